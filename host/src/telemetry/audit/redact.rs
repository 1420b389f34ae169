//! Arguments without their secrets: values of keys that sound like one, and every secret that the configuration holds.

use std::borrow::Cow;

use serde_json::Value;

use crate::config::known_secrets;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Words in a key that mean a secret; `-`, `_`, spaces and case do not count.
const WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "cookie",
    "bearer",
    "signature",
];

/// Removes them.
#[derive(Debug)]
pub(super) struct Redactor {
    /// Of the configuration, beside the usual ones.
    words: Vec<String>,
}

impl Redactor {
    pub(super) fn new(more: &[String]) -> Self {
        Self { words: more.iter().map(|word| plain(word)).filter(|word| !word.is_empty()).collect() }
    }

    /// Arguments, as JSON text. None: they are no JSON, so that nobody can tell what is in them.
    pub(super) fn arguments(&self, text: &str) -> Option<Value> {
        let mut value = serde_json::from_str(text).ok()?;
        self.value(&mut value);
        Some(value)
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = known(text) {
                    *text = clean;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                for (key, member) in members {
                    if self.is_secret(key) && !member.is_null() {
                        *member = REDACTED.into();
                    } else {
                        self.value(member);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn is_secret(&self, key: &str) -> bool {
        let key = plain(key);
        WORDS.iter().copied().chain(self.words.iter().map(String::as_str)).any(|word| key.contains(word))
    }
}

fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '.')).flat_map(char::to_lowercase).collect()
}

/// The text without the values of secrets that the configuration holds or held.
pub(super) fn known(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for secret in known_secrets().iter() {
        if text.contains(secret.as_ref()) {
            text = Cow::Owned(text.replace(secret.as_ref(), REDACTED));
        }
    }
    text
}
