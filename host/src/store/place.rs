//! Where the store is.

use std::{env, path::PathBuf};

use crate::config::StoreConfig;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// In memory, for as long as the host runs.
    Memory,
}

impl Place {
    /// Where a configuration says.
    ///
    /// # Errors
    ///
    /// It does not say it, and neither does the environment.
    pub(super) fn of(config: &StoreConfig) -> Result<Self, String> {
        match &config.path {
            Some(path) if path.ends_with(StoreConfig::MEMORY) => Ok(Self::Memory),
            Some(path) => Ok(Self::File(path.clone())),
            None => {
                let from = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
                let base = from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")));
                let missing = "there is no place for the store: neither `path` in [store] nor XDG_DATA_HOME nor HOME is set";
                base.map(|base| Self::File(base.join("toolbay/store.redb"))).ok_or_else(|| missing.to_owned())
            }
        }
    }
}
