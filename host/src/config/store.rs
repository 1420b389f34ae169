//! `[store]`: where what plugins remember is kept, and how much.

use std::{fmt, path::PathBuf};

use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    section::section,
    toml_reader::Item,
    types::{FilePath, GIB, KIB, MIB, TIB, Type, optional, size},
    units::format_size,
};

section! {
    /// The embedded key-value store of plugins. A plugin uses it where `store` grants it that. What
    /// was acknowledged to a plugin is on disk.
    #[derive(Eq)]
    pub struct StoreConfig {
        /// The file. One process has it open at a time. `":memory:"` keeps everything in memory.
        path: Option<PathBuf> = None, optional(FilePath)
            => restart, unset("`${XDG_DATA_HOME:-~/.local/share}/toolbay/store.redb`");
        /// What all plugins together may keep.
        size: u64 = GIB, size(64 * KIB..=TIB) => restart;
        /// What a plugin may keep whose grant is `store = true`.
        quota: u64 = 16 * MIB, size(KIB..=TIB) => restart;
        /// Largest value.
        value: u64 = MIB, size(1..=64 * MIB) => restart;
    }
}

impl StoreConfig {
    /// A path of this name means memory, as SQLite has it: for hosts that are gone after one call.
    pub const MEMORY: &str = ":memory:";
}

/// What a plugin may keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreGrant {
    /// Nothing.
    #[default]
    None,
    /// As much as `quota` in `[store]` says.
    Quota,
    /// So many bytes.
    Bytes(u64),
}

impl StoreGrant {
    /// In bytes, with this quota. None: it may not use the store.
    #[must_use]
    pub fn bytes(self, quota: u64) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Quota => Some(quota),
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl fmt::Display for StoreGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("false"),
            Self::Quota => f.write_str("true"),
            Self::Bytes(bytes) => f.write_str(&format_size(*bytes)),
        }
    }
}

/// `true`, `false`, or a size.
pub(super) struct Grant;

impl Type<StoreGrant> for Grant {
    fn read(&self, item: &Item<'_>) -> Option<StoreGrant> {
        if item.value.is_bool() {
            return item.boolean().map(|granted| if granted { StoreGrant::Quota } else { StoreGrant::None });
        }
        item.size(KIB..=TIB).map(StoreGrant::Bytes)
    }

    fn info(&self) -> TypeInfo {
        let range = format!("{} to {}", format_size(KIB), format_size(TIB));
        TypeInfo::new("true, false or size", json!({ "anyOf": [{ "type": "boolean" }, { "$ref": "#/$defs/Size" }] })).within(range)
    }

    fn write(&self, value: &StoreGrant) -> Option<Value> {
        Some(match value {
            StoreGrant::None => false.into(),
            StoreGrant::Quota => true.into(),
            StoreGrant::Bytes(bytes) => format_size(*bytes).into(),
        })
    }
}

/// Whose keys a plugin sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreScope {
    /// The same for all callers.
    #[default]
    Plugin,
    /// Each caller has keys of its own.
    Caller,
}

/// The words for it.
pub(super) const SCOPES: &[(&str, StoreScope)] = &[("plugin", StoreScope::Plugin), ("caller", StoreScope::Caller)];
