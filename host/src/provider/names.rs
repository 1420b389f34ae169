//! Names of providers and tools, and what is allowed in them.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::Serialize;

use super::Harmless;

/// Longest name that a provider may give to a tool. What is published of it is shorter: see the catalog.
pub const MAX_TOOL_NAME: usize = 4096;

/// The name of a provider: `weather` for `weather.wasm`. Lower-case letters, digits, `-`, `_`, `.`; never empty, never with `__` in it, which separates
/// provider from tool in a qualified name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

/// The name of a tool as its provider has it: 1 to [`MAX_TOOL_NAME`] bytes. Servers give names such as `Create CIFS Share`, `files.read` and
/// `list `, with a space at its end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolName(Arc<str>);

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} is not allowed: {rule}")]
pub struct NameError {
    kind: &'static str,
    name: String,
    rule: &'static str,
}

macro_rules! name_type {
    ($type:ident, $kind:literal, $max:expr, $allowed:expr, $rule:literal) => {
        impl $type {
            /// Checks the name and takes it.
            ///
            /// # Errors
            ///
            /// [`NameError`], with the rule that was broken.
            pub fn new(name: impl Into<Arc<str>>) -> Result<Self, NameError> {
                let name = name.into();
                let allowed: fn(&str) -> bool = $allowed;
                if name.is_empty() || name.len() > $max || !allowed(&name) {
                    return Err(NameError { kind: $kind, name: name.chars().take(200).collect(), rule: $rule });
                }
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // In one line, whatever somebody else has called it.
                Harmless(&self.0).fmt(f)
            }
        }
        impl From<&$type> for Arc<str> {
            fn from(name: &$type) -> Self {
                Self::clone(&name.0)
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name_type!(
    ProviderId,
    "plugin",
    64,
    |name| {
        !name.contains("__")
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
    },
    "1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or a digit, without '__'"
);
name_type!(ToolName, "tool", MAX_TOOL_NAME, |_| true, "1 to 4096 bytes");
