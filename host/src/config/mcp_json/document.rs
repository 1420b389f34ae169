//! The text of a file of servers as JSON that people write: with comments, commas too many, a mark at
//! its beginning, in the encoding of their system.

use std::{borrow::Cow, path::Path};

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, Value},
    common::Ranged as _,
    parse_to_ast,
};

use super::super::error::{ConfigError, Place, Problem, place};

/// What is written into an error for a file that has no servers.
pub(super) const HINT: &str = "write {\"mcpServers\": {\"name\": {\"command\": \"…\"}}}";

/// Text of a file: UTF-8, or UTF-16 as some shells write it, which begins with a mark.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            rest.chunks_exact(2).map(|pair| unit([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)])).collect();
        String::from_utf16(&units).map_err(|_| "it is not UTF-16 text, as its first bytes say".to_owned())
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec())
            .map_err(|error| format!("it is not UTF-8 text (byte {} is wrong)", error.utf8_error().valid_up_to() + 1)),
    }
}

/// Half of a surrogate pair, which an editor left of a cut emoji, is no character: the sign for one
/// that cannot be shown stands in its place. Nothing moves.
pub(super) fn sound(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut sound = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some(at) = text.get(rest..).and_then(|tail| tail.find('\\')).map(|found| rest + found) {
        sound.push_str(text.get(rest..at).unwrap_or_default());
        let (length, replaced) = match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => (12, false),
            Some(0xD800..=0xDFFF) => (6, true),
            Some(_) => (6, false),
            // A backslash and what it is before.
            None => (1 + text.get(at + 1..).and_then(|tail| tail.chars().next()).map_or(0, char::len_utf8), false),
        };
        sound.push_str(if replaced { "\\ufffd" } else { text.get(at..at + length).unwrap_or_default() });
        rest = at + length;
    }
    sound.push_str(text.get(rest..).unwrap_or_default());
    Cow::Owned(sound)
}

/// A file that was read.
pub(super) struct Document<'a> {
    text: &'a str,
    path: &'a Path,
    root: Object<'a>,
}

impl<'a> Document<'a> {
    /// Reads it.
    pub(super) fn parse(text: &'a str, path: &'a Path) -> Result<Self, ConfigError> {
        let wrong = |offset, message: String| {
            let problem = Problem { place: place(path, text, offset), message, excerpt: None };
            Err(ConfigError::Invalid { problems: vec![problem] })
        };
        let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
        match parse_to_ast(text, &CollectOptions::default(), &options) {
            Ok(parsed) => match parsed.value {
                Some(Value::Object(root)) => Ok(Self { text, path, root }),
                Some(other) => wrong(other.start(), format!("it is not a JSON object; {HINT}")),
                None => wrong(0, format!("it is empty; {HINT}")),
            },
            // The kind of a mistake shows nothing of the text, which may be a secret.
            Err(error) => wrong(error.range().start, format!("this is not JSON ({})", error.kind())),
        }
    }

    pub(super) fn root(&self) -> Members<'a, '_> {
        Members(&self.root)
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        place(self.path, self.text, offset)
    }
}

/// The members of an object. Of two with one name the last one counts.
#[derive(Clone, Copy)]
pub(super) struct Members<'a, 'd>(&'d Object<'a>);

impl<'a, 'd> Members<'a, 'd> {
    pub(super) fn get(&self, name: &str) -> Option<Member<'a, 'd>> {
        self.0.properties.iter().rev().find(|property| property.name.as_str() == name).map(|property| Member::Value(&property.value))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (String, Member<'a, 'd>)> + use<'a, 'd> {
        let properties = &self.0.properties;
        properties.iter().enumerate().filter_map(move |(at, property)| {
            let name = property.name.as_str();
            let is_last = !properties.iter().skip(at + 1).any(|later| later.name.as_str() == name);
            is_last.then(|| (name.to_owned(), Member::Value(&property.value)))
        })
    }

    pub(super) fn as_member(self) -> Member<'a, 'd> {
        Member::Object(self)
    }
}

/// A value, and where it stands.
#[derive(Clone, Copy)]
pub(super) enum Member<'a, 'd> {
    Value(&'d Value<'a>),
    Object(Members<'a, 'd>),
}

impl<'a, 'd> Member<'a, 'd> {
    pub(super) fn offset(&self) -> usize {
        match self {
            Self::Value(value) => value.start(),
            Self::Object(members) => members.0.range.start,
        }
    }

    pub(super) fn members(&self) -> Option<Members<'a, 'd>> {
        match self {
            Self::Value(Value::Object(object)) => Some(Members(object)),
            Self::Value(_) => None,
            Self::Object(members) => Some(*members),
        }
    }

    pub(super) fn items(&self) -> Option<impl Iterator<Item = Member<'a, 'd>> + use<'a, 'd>> {
        match self {
            Self::Value(Value::Array(array)) => Some(array.elements.iter().map(Member::Value)),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Value(Value::NullKeyword(_)))
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Value(Value::BooleanLit(literal)) => Some(literal.value),
            Self::Value(Value::StringLit(literal)) => literal.value.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&'d str> {
        match self {
            Self::Value(Value::StringLit(literal)) => Some(&literal.value),
            _ => None,
        }
    }

    /// Text, and numbers and booleans, which many write bare where text is meant.
    pub(super) fn scalar(&self) -> Option<Cow<'d, str>> {
        match self {
            Self::Value(Value::StringLit(literal)) => Some(Cow::Borrowed(&literal.value)),
            Self::Value(Value::NumberLit(literal)) => Some(Cow::Borrowed(literal.value)),
            Self::Value(Value::BooleanLit(literal)) => Some(Cow::Borrowed(if literal.value { "true" } else { "false" })),
            _ => None,
        }
    }

    /// A list of texts. None: it is none.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        self.items()?.map(|item| item.text().map(str::to_owned)).collect()
    }

    /// Its members by name, or the items of a list by their member `name`.
    pub(super) fn entries(&self) -> Vec<(String, Member<'a, 'd>)> {
        if let Some(members) = self.members() {
            return members.iter().collect();
        }
        let name = |item: &Member<'a, 'd>| item.members().and_then(|members| Some(members.get("name")?.text()?.to_owned()));
        let items = self.items().into_iter().flatten().enumerate();
        items.map(|(at, item)| (name(&item).unwrap_or_else(|| format!("server {}", at + 1)), item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pair_is_replaced_and_nothing_moves() {
        for (text, want) in [
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\ud83d\ude00 \ude00"}"#, r#"{"a":"\ud83d\ude00 \ufffd"}"#),
            (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
            (r#"{"a":"\u00e4\n"}"#, r#"{"a":"\u00e4\n"}"#),
            ("{\"a\":\"\\", "{\"a\":\"\\"),
        ] {
            assert_eq!(sound(text), want);
        }
        assert_eq!(sound("\u{feff}{}"), "{}");
    }

    #[test]
    fn a_file_is_read_in_the_encoding_of_its_system() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        assert_eq!(decode(&utf16("\u{feff}{ä}", u16::to_le_bytes)).unwrap(), "{ä}");
        assert_eq!(decode(&utf16("\u{feff}{ä}", u16::to_be_bytes)).unwrap(), "{ä}");
        assert_eq!(decode("{ä}".as_bytes()).unwrap(), "{ä}");
        assert_eq!(decode(b"{\"\xe4\"}").unwrap_err(), "it is not UTF-8 text (byte 3 is wrong)");
    }
}
