//! What is read and written.

use std::{fmt::Display, sync::Arc, time::Duration};

/// Whose keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// The plugin.
    pub plugin: Arc<str>,
    /// Its caller, where each has keys of its own; else empty.
    pub owner: Arc<str>,
    /// What the plugin may keep, all owners together.
    pub quota: u64,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was set.
    pub value: Vec<u8>,
    /// Another one for each write, of any key.
    pub version: u64,
}

/// When a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In any case.
    Always,
    /// Where there is no value.
    Absent,
    /// Where the value is of this version.
    Version(u64),
}

/// A write to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a value.
    Set {
        /// To this.
        value: Vec<u8>,
        /// For so long. None: until it is deleted.
        ttl: Option<Duration>,
        /// If that is so.
        when: When,
    },
    /// Deletes a value, if that is so.
    Delete(When),
    /// Adds to a number, which is 0 where there is none. It keeps its time to live.
    Increment(i64),
}

impl Write {
    /// Of the value that it sets.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::Delete(_) | Self::Increment(_) => 0,
        }
    }
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Set, and the version of that. None: the condition did not hold.
    Set(Option<u64>),
    /// Whether there was something to delete, and the condition held.
    Deleted(bool),
    /// The number that it is now.
    Number(i64),
}

/// Why nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is not of the form that it has to be of.
    #[error("{0}")]
    Invalid(String),
    /// There is no room for it.
    #[error("{0}")]
    Full(String),
    /// The store does not work.
    #[error("{0}")]
    Unavailable(String),
}

impl StoreError {
    /// A plugin would keep more than it may.
    pub(super) fn too_much_of(space: &Space, own: impl Display) -> Self {
        let (plugin, quota) = (&space.plugin, space.quota);
        Self::Full(format!("plugin {plugin} may keep {quota} bytes, and this would make {own}; raise `store` in [plugin.{plugin}]"))
    }

    /// All of them would keep more than they may.
    pub(super) fn too_much(size: u64, all: impl Display) -> Self {
        Self::Full(format!("all plugins together may keep {size} bytes, and this would make {all}; raise `size` in [store]"))
    }
}
