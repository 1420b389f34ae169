//! The files that a configuration is made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::ConfigError;

/// What a configuration was made from. When any of it changes, the configuration may be another.
///
/// Files that were looked for and are not there are among them. Sidecars are not: whoever watches
/// the plugin folder reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `toolbay.toml`, the files that it includes, files of `mcpServers`, and the files that
    /// secrets are taken from.
    pub files: BTreeSet<PathBuf>,
    /// Folders in which a file more, or less, counts: those of the patterns of `include`. Not what
    /// is below them.
    pub folders: BTreeSet<PathBuf>,
    /// Of the files of settings and policies: whether they say anything.
    pub texts: BTreeMap<PathBuf, bool>,
}

impl Files {
    /// What stands in a file of settings or policies. None: it is not there.
    pub(super) fn has_text(&mut self, path: &Path, text: Option<&str>) {
        let says = text.is_some_and(|text| !text.trim_start_matches('\u{feff}').trim().is_empty());
        self.texts.insert(path.to_owned(), says);
    }
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let wrong = |reason: String| ConfigError::Read { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes)
        .map_err(|error| wrong(format!("it is not UTF-8 text (byte {} is wrong)", error.utf8_error().valid_up_to() + 1)))
}
