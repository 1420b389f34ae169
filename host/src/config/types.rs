//! The types that values have: how each is read, what of it is allowed, and how a default is
//! written.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Secret,
    key::TypeInfo,
    secret::{self, Plain},
    toml_reader::{Item, set},
    units::{format_duration, format_size},
};

/// One millisecond: nothing that is timed here is shorter.
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
/// One second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// One hour.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// One day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// Thirty days.
pub(super) const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// 2^10 bytes.
pub(super) const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub(super) const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub(super) const GIB: u64 = 1 << 30;
/// 2^40 bytes.
pub(super) const TIB: u64 = 1 << 40;

/// How a value of type `T` stands in a file.
pub(super) trait Type<T> {
    /// The value. None where it is wrong, which is noted.
    fn read(&self, item: &Item<'_>) -> Option<T>;

    /// Puts what is read in place of what holds without it. Tables of names are merged name by
    /// name.
    fn read_into(&self, item: &Item<'_>, value: &mut T) {
        set(value, self.read(item));
    }

    /// What may stand there.
    fn info(&self) -> TypeInfo;

    /// How a default stands in a file. None: it is not set.
    fn write(&self, value: &T) -> Option<Value>;
}

/// `true` or `false`.
pub(super) struct Boolean;

impl Type<bool> for Boolean {
    fn read(&self, item: &Item<'_>) -> Option<bool> {
        item.boolean()
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("true or false", json!({ "type": "boolean" }))
    }

    fn write(&self, value: &bool) -> Option<Value> {
        Some((*value).into())
    }
}

/// A whole number.
pub(super) struct Number(RangeInclusive<u32>);

/// A whole number in `range`.
pub(super) fn number(range: RangeInclusive<u32>) -> Number {
    Number(range)
}

impl<T: TryFrom<u32> + Serialize> Type<T> for Number {
    fn read(&self, item: &Item<'_>) -> Option<T> {
        T::try_from(item.number(self.0.clone())?).ok()
    }

    fn info(&self) -> TypeInfo {
        let (least, most) = (self.0.start(), self.0.end());
        TypeInfo::new("number", json!({ "type": "integer", "minimum": least, "maximum": most })).within(format!("{least} to {most}"))
    }

    fn write(&self, value: &T) -> Option<Value> {
        serde_json::to_value(value).ok()
    }
}

/// A number that may have a fraction.
pub(super) struct Fraction(RangeInclusive<f64>);

/// A number in `range` that may have a fraction.
pub(super) fn fraction(range: RangeInclusive<f64>) -> Fraction {
    Fraction(range)
}

impl Type<f64> for Fraction {
    fn read(&self, item: &Item<'_>) -> Option<f64> {
        item.fraction(*self.0.start(), *self.0.end())
    }

    fn info(&self) -> TypeInfo {
        let (least, most) = (self.0.start(), self.0.end());
        TypeInfo::new("number", json!({ "type": "number", "minimum": least, "maximum": most })).within(format!("{least} to {most}"))
    }

    fn write(&self, value: &f64) -> Option<Value> {
        Some((*value).into())
    }
}

/// Bytes.
pub(super) struct Size(RangeInclusive<u64>);

/// Bytes, in `range`.
pub(super) fn size(range: RangeInclusive<u64>) -> Size {
    Size(range)
}

impl<T: TryFrom<u64> + Copy> Type<T> for Size
where
    u64: TryFrom<T>,
{
    fn read(&self, item: &Item<'_>) -> Option<T> {
        T::try_from(item.size(self.0.clone())?).ok()
    }

    fn info(&self) -> TypeInfo {
        let range = format!("{} to {}", format_size(*self.0.start()), format_size(*self.0.end()));
        TypeInfo::new("size", json!({ "$ref": "#/$defs/Size" })).within(range)
    }

    fn write(&self, value: &T) -> Option<Value> {
        Some(format_size(u64::try_from(*value).ok()?).into())
    }
}

/// A time.
pub(super) struct Time(RangeInclusive<Duration>);

/// A duration in `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> Time {
    Time(range)
}

impl Type<Duration> for Time {
    fn read(&self, item: &Item<'_>) -> Option<Duration> {
        item.duration(self.0.clone())
    }

    fn info(&self) -> TypeInfo {
        let range = format!("{} to {}", format_duration(*self.0.start()), format_duration(*self.0.end()));
        TypeInfo::new("duration", json!({ "$ref": "#/$defs/Duration" })).within(range)
    }

    fn write(&self, value: &Duration) -> Option<Value> {
        Some(format_duration(*value).into())
    }
}

/// A text that is parsed.
pub(super) struct Text<T> {
    words: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

/// A text that `parse` understands, which the page calls `words`.
pub(super) fn text<T>(words: &'static str, parse: fn(&str) -> Result<T, String>) -> Text<T> {
    Text { words, parse }
}

impl<T: Display> Type<T> for Text<T> {
    fn read(&self, item: &Item<'_>) -> Option<T> {
        item.parsed(self.parse)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new(self.words, json!({ "type": "string" }))
    }

    fn write(&self, value: &T) -> Option<Value> {
        Some(value.to_string().into())
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(&'static [(&'static str, T)]);

/// One of these words.
pub(super) fn choice<T>(words: &'static [(&'static str, T)]) -> Choice<T> {
    Choice(words)
}

impl<T> Choice<T> {
    /// The words as a list: `"a", "b" or "c"`, with something around each.
    fn words(&self, around: &str) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{around}{word:?}{around}")).collect();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => words.join(""),
        }
    }
}

impl<T: Copy + PartialEq> Type<T> for Choice<T> {
    fn read(&self, item: &Item<'_>) -> Option<T> {
        item.parsed(|text| {
            let found = self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            found.ok_or_else(|| format!("{text:?} is not allowed; it must be {}", self.words("")))
        })
    }

    fn info(&self) -> TypeInfo {
        let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
        TypeInfo::new(self.words("`"), json!({ "type": "string", "enum": words }))
    }

    fn write(&self, value: &T) -> Option<Value> {
        self.0.iter().find(|(_, known)| known == value).map(|(word, _)| (*word).into())
    }
}

/// A path; a relative one goes from the folder of its file.
pub(super) struct FilePath;

impl Type<PathBuf> for FilePath {
    fn read(&self, item: &Item<'_>) -> Option<PathBuf> {
        item.file_path()
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("path", json!({ "type": "string" }))
    }

    fn write(&self, value: &PathBuf) -> Option<Value> {
        (!value.as_os_str().is_empty()).then(|| value.display().to_string().into())
    }
}

/// A value that may be left out.
pub(super) struct Optional<K>(K);

/// Nothing, or a value of this type.
pub(super) fn optional<K>(of: K) -> Optional<K> {
    Optional(of)
}

impl<T, K: Type<T>> Type<Option<T>> for Optional<K> {
    fn read(&self, item: &Item<'_>) -> Option<Option<T>> {
        self.0.read(item).map(Some)
    }

    fn info(&self) -> TypeInfo {
        self.0.info()
    }

    fn write(&self, value: &Option<T>) -> Option<Value> {
        self.0.write(value.as_ref()?)
    }
}

/// An array.
pub(super) struct List<K> {
    words: &'static str,
    of: K,
}

/// An array of values of this type, which the page calls `words`.
pub(super) fn list<K>(words: &'static str, of: K) -> List<K> {
    List { words, of }
}

impl<T, K: Type<T>> Type<Vec<T>> for List<K> {
    fn read(&self, item: &Item<'_>) -> Option<Vec<T>> {
        Some(item.list()?.iter().filter_map(|item| self.of.read(item)).collect())
    }

    fn info(&self) -> TypeInfo {
        let of = self.of.info();
        let info = TypeInfo::new(format!("list of {}", self.words), json!({ "type": "array", "items": of.schema }));
        if of.secret { info.secret() } else { info }
    }

    fn write(&self, value: &Vec<T>) -> Option<Value> {
        Some(value.iter().filter_map(|value| self.of.write(value)).collect())
    }
}

/// A table of texts by names that the operator chose.
pub(super) struct Texts {
    words: &'static str,
    parse: fn(&str) -> Result<String, String>,
}

/// A table of texts that `parse` understands, which the page calls `words`.
pub(super) fn texts(words: &'static str, parse: fn(&str) -> Result<String, String>) -> Texts {
    Texts { words, parse }
}

impl Type<BTreeMap<String, String>> for Texts {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, String>> {
        let table = item.table()?;
        Some(table.items().filter_map(|item| Some((item.key.clone(), item.parsed(self.parse)?))).collect())
    }

    fn read_into(&self, item: &Item<'_>, value: &mut BTreeMap<String, String>) {
        value.extend(self.read(item).unwrap_or_default());
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new(self.words, json!({ "type": "object", "additionalProperties": { "type": "string" } }))
    }

    fn write(&self, _: &BTreeMap<String, String>) -> Option<Value> {
        None
    }
}

/// A secret, by where it is taken from, that is parsed.
pub(super) struct Credential<T> {
    plain: Plain,
    parse: fn(Secret) -> Result<T, String>,
}

/// A secret that does not stand in the file, and that `parse` understands.
pub(super) fn credential<T>(parse: fn(Secret) -> Result<T, String>) -> Credential<T> {
    Credential { plain: Plain::Refused, parse }
}

/// A text, or where it is taken from.
pub(super) fn text_or_source<T>(parse: fn(Secret) -> Result<T, String>) -> Credential<T> {
    Credential { plain: Plain::Allowed, parse }
}

impl<T> Type<T> for Credential<T> {
    fn read(&self, item: &Item<'_>) -> Option<T> {
        (self.parse)(secret::read(item, self.plain)?).map_err(|message| item.fail(message)).ok()
    }

    fn info(&self) -> TypeInfo {
        match self.plain {
            Plain::Refused => TypeInfo::new("secret", json!({ "$ref": "#/$defs/SecretSource" })).secret(),
            Plain::Allowed => TypeInfo::new("text or secret", json!({ "$ref": "#/$defs/EnvSource" })).secret(),
        }
    }

    fn write(&self, _: &T) -> Option<Value> {
        None
    }
}

/// A table of secrets by names that the operator chose.
pub(super) struct Secrets<T> {
    name: fn(&str) -> Result<(), String>,
    of: Credential<T>,
}

/// A table whose names `name` allows, of secrets.
pub(super) fn secrets<T>(name: fn(&str) -> Result<(), String>, of: Credential<T>) -> Secrets<T> {
    Secrets { name, of }
}

impl<T> Type<BTreeMap<String, T>> for Secrets<T> {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, T>> {
        let mut read = BTreeMap::new();
        for item in item.table()?.items() {
            match (self.name)(&item.key) {
                Err(message) => item.fail_key(message),
                Ok(()) => read.extend(self.of.read(&item).map(|value| (item.key, value))),
            }
        }
        Some(read)
    }

    fn read_into(&self, item: &Item<'_>, value: &mut BTreeMap<String, T>) {
        value.extend(self.read(item).unwrap_or_default());
    }

    fn info(&self) -> TypeInfo {
        let of = self.of.info();
        TypeInfo::new("table", json!({ "type": "object", "additionalProperties": of.schema })).secret()
    }

    fn write(&self, _: &BTreeMap<String, T>) -> Option<Value> {
        None
    }
}
