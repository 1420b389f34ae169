//! JSON objects whose members stay as they were written: nothing is parsed further than it must be.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An object: its members in their order, each value as the text it was.
#[derive(Debug, Default)]
pub(crate) struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Reads JSON text. None: it is no object.
    #[must_use]
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of a member's value.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.raw(key).map(RawValue::get)
    }

    /// A member's value as a type. None: it is not there, or is something else.
    #[must_use]
    pub(crate) fn read<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.get(key)?).ok()
    }

    /// All members.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(key, value)| (&**key, value.get()))
    }

    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(4);
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Borrowed where it has no escapes: `Cow` by itself is always owned.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Appends a value as JSON.
pub(crate) fn write_json(to: &mut String, value: &(impl serde::Serialize + ?Sized)) {
    // Strings, numbers and JSON values: these cannot fail.
    to.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()));
}

/// Appends `"key":` after a comma where one is due.
pub(crate) fn write_key(to: &mut String, key: &str) {
    if !to.ends_with('{') {
        to.push(',');
    }
    write_json(to, key);
    to.push(':');
}

/// The text between the braces of an object.
#[must_use]
pub(crate) fn inside(object: &str) -> &str {
    let text = object.trim();
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_as_they_were_written() {
        let object = RawObject::parse("{\"a\": {\"x\" : 1.50}, \"b\\n\":[ ], \"c\":\"t\\u0041\"}").unwrap();
        assert_eq!(object.members().collect::<Vec<_>>(), [("a", "{\"x\" : 1.50}"), ("b\n", "[ ]"), ("c", "\"t\\u0041\"")]);
        assert_eq!((object.get("b"), object.read::<String>("c").as_deref(), object.read::<u8>("c")), (None, Some("tA"), None));
        assert!(RawObject::parse("[1]").is_none() && RawObject::parse("{").is_none());
    }

    #[test]
    fn the_inside_of_an_object_can_be_written_on() {
        assert_eq!((inside(" { } "), inside("{\"a\":1}"), inside("[]")), ("", "\"a\":1", ""));
    }
}
