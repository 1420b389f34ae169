//! JSON that crosses as text.

use std::borrow::Cow;

use serde::Serialize;

use crate::json;

/// Text that is known to be one JSON value, so that it can be written into an answer as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(String);

impl JsonText {
    /// Serializes a value.
    ///
    /// # Errors
    ///
    /// Where the value cannot be JSON (a map with keys that are no strings).
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self)
    }

    /// Takes text that somebody else wrote, after a look whether it is JSON.
    ///
    /// # Errors
    ///
    /// Where it is not one JSON value.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&serde_json::value::RawValue>(&text)?;
        Ok(Self(text))
    }

    /// Takes text that the caller has just made as JSON, without a second look. Only for writers of JSON: text from outside goes through [`Self::parse`].
    #[must_use]
    pub fn from_writer(text: String) -> Self {
        debug_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "not JSON: {text}");
        Self(text)
    }

    /// The same with a replacement character for each half of a character that stands alone: JSON lets `\ud83d` stand by itself, and most readers do not.
    #[must_use]
    pub fn with_whole_characters(self) -> Self {
        match json::whole_characters(&self.0) {
            Cow::Borrowed(_) => self,
            Cow::Owned(text) => Self(text),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, given away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}
