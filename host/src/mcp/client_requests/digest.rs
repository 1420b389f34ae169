//! Digests of JSON that are the same for the same value, however it is written: members in any order, white space anywhere.

use serde_json::Value;

/// Hex digits of a digest: 128 bits, which nobody finds a second value for by chance. What is forged is found by the signature.
const DIGITS: usize = 32;

/// The digest of these parts, in order.
pub(super) struct Digest(blake3::Hasher);

impl Digest {
    pub(super) fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    /// Adds a text.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.put_text(text);
        self
    }

    /// Adds JSON text. What is no JSON counts as its own text.
    pub(super) fn json(mut self, text: &str) -> Self {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.put(&value),
            Err(_) => self.put_text(text),
        }
        self
    }

    pub(super) fn finish(self) -> String {
        let mut digest = self.0.finalize().to_hex().to_string();
        digest.truncate(DIGITS);
        digest
    }

    /// With its length first, so that no two sequences of texts are one.
    fn put_text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text.as_bytes());
    }

    fn length(&mut self, length: usize) {
        self.0.update(&(length as u64).to_le_bytes());
    }

    fn put(&mut self, value: &Value) {
        match value {
            Value::Null => drop(self.0.update(b"n")),
            Value::Bool(flag) => drop(self.0.update(if *flag { b"t" } else { b"f" })),
            Value::Number(number) => {
                self.0.update(b"#");
                self.put_text(&number.to_string());
            }
            Value::String(text) => {
                self.0.update(b"\"");
                self.put_text(text);
            }
            Value::Array(items) => {
                self.0.update(b"[");
                self.length(items.len());
                items.iter().for_each(|item| self.put(item));
            }
            Value::Object(members) => {
                self.0.update(b"{");
                self.length(members.len());
                let mut members: Vec<_> = members.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                for (name, value) in members {
                    self.put_text(name);
                    self.put(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> String {
        Digest::new().json(text).finish()
    }

    #[test]
    fn the_same_value_has_the_same_digest_however_it_is_written() {
        assert_eq!(digest(r#"{"a":1,"b":[true,"x"]}"#), digest("{ \"b\" : [ true, \"\\u0078\" ],\n\"a\" : 1 }"));
        for other in [r#"{"a":2,"b":[true,"x"]}"#, r#"{"a":1,"b":["x",true]}"#, r#"{"a":1,"b":[true,"x"],"c":null}"#, r#"["a",1,"b"]"#] {
            assert_ne!(digest(r#"{"a":1,"b":[true,"x"]}"#), digest(other), "{other}");
        }
        assert_ne!(Digest::new().text("ab").text("c").finish(), Digest::new().text("a").text("bc").finish());
    }
}
