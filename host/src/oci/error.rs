//! What did not work with a registry.

use std::fmt;

/// What did not work, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError {
    pub(super) message: String,
    /// The registry says that it does not have it.
    pub is_missing: bool,
}

impl RegistryError {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), is_missing: false }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RegistryError {}

impl From<String> for RegistryError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
