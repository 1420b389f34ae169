//! The type of a claim or an argument, as the operator declares it, and a JSON value of it for Cedar.

use std::{collections::BTreeMap, fmt};

use cedar_policy::RestrictedExpression;
use serde_json::Value;

/// How deep types may be in each other.
const DEEPEST: usize = 8;

/// A type, in Cedar's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `String`.
    String,
    /// `Long`: a whole number of 64 bits.
    Long,
    /// `Bool`.
    Bool,
    /// `decimal`: a number with at most four digits after the point.
    Decimal,
    /// `Set<T>`: from an array.
    Set(Box<Self>),
    /// `{ name: T }`: from an object. Each member may be absent, and members that are not named are not looked at.
    Record(BTreeMap<String, Self>),
}

/// A value is none of the declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

impl Kind {
    /// Reads a type.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let kind = Self::read(&mut rest, 0)?;
        if rest.trim().is_empty() { Ok(kind) } else { Err(format!("{:?} is too much after the type", rest.trim())) }
    }

    fn read(rest: &mut &str, depth: usize) -> Result<Self, String> {
        if depth > DEEPEST {
            return Err(format!("types are in each other more than {DEEPEST} deep"));
        }
        if eat(rest, "{") {
            let mut members = BTreeMap::new();
            while !eat(rest, "}") {
                let name = name(rest)?;
                // It may be absent in any case.
                eat(rest, "?");
                if !eat(rest, ":") {
                    return Err(format!("a colon is missing after {name:?}; write {{ {name}: String }}"));
                }
                members.insert(name, Self::read(rest, depth + 1)?);
                if !eat(rest, ",") && !rest.trim_start().starts_with('}') {
                    return Err(format!("a comma or a closing brace is missing before {:?}", rest.trim()));
                }
            }
            return Ok(Self::Record(members));
        }
        let word = word(rest);
        match word {
            "String" => Ok(Self::String),
            "Long" => Ok(Self::Long),
            "Bool" => Ok(Self::Bool),
            "decimal" => Ok(Self::Decimal),
            "Set" if eat(rest, "<") => {
                let of = Self::read(rest, depth + 1)?;
                if eat(rest, ">") { Ok(Self::Set(Box::new(of))) } else { Err("the `>` after the type of a Set is missing".to_owned()) }
            }
            _ => Err(format!("{:?} is no type; it must be String, Long, Bool, decimal, Set<…> or {{ name: … }}", first(word, rest))),
        }
    }

    /// A JSON value of this type. None: it is null, which is as if it were absent.
    ///
    /// # Errors
    ///
    /// It is none of this type.
    pub(super) fn of(&self, value: &Value) -> Result<Option<RestrictedExpression>, Mismatch> {
        let value = match (self, value) {
            (_, Value::Null) => return Ok(None),
            (Self::String, Value::String(text)) => RestrictedExpression::new_string(text.clone()),
            (Self::Bool, Value::Bool(value)) => RestrictedExpression::new_bool(*value),
            (Self::Long, Value::Number(number)) => RestrictedExpression::new_long(whole(number).ok_or(Mismatch)?),
            (Self::Decimal, Value::Number(number)) => RestrictedExpression::new_decimal(decimal(number).ok_or(Mismatch)?),
            (Self::Set(of), Value::Array(values)) => {
                let values = values.iter().map(|value| of.of(value)?.ok_or(Mismatch));
                RestrictedExpression::new_set(values.collect::<Result<Vec<_>, _>>()?)
            }
            (Self::Record(members), Value::Object(values)) => {
                let mut fields = Vec::new();
                for (name, kind) in members {
                    let Some(value) = values.get(name) else { continue };
                    fields.extend(kind.of(value)?.map(|value| (name.clone(), value)));
                }
                RestrictedExpression::new_record(fields).map_err(|_| Mismatch)?
            }
            _ => return Err(Mismatch),
        };
        Ok(Some(value))
    }
}

/// In Cedar's syntax of schemas.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("String"),
            Self::Long => f.write_str("Long"),
            Self::Bool => f.write_str("Bool"),
            Self::Decimal => f.write_str("decimal"),
            Self::Set(of) => write!(f, "Set<{of}>"),
            Self::Record(members) => {
                f.write_str("{ ")?;
                for (place, (name, of)) in members.iter().enumerate() {
                    write!(f, "{}{}?: {of}", if place > 0 { ", " } else { "" }, quoted(name))?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// A name of an attribute in Cedar's syntax.
pub(super) fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            _ if character.is_control() => text.push_str(&format!("\\u{{{:x}}}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text.push('"');
    text
}

/// A whole number, also where it is written with a fraction of zero.
fn whole(number: &serde_json::Number) -> Option<i64> {
    /// Below this each whole number has an `f64` of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let of_fraction = || {
        let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and smaller than 2^53")]
        Some(number as i64)
    };
    number.as_i64().or_else(of_fraction)
}

/// A number as Cedar writes decimals: one to four digits after the point.
fn decimal(number: &serde_json::Number) -> Option<String> {
    if let Some(whole) = whole(number) {
        return Some(format!("{whole}.0"));
    }
    let text = number.as_f64()?.to_string();
    let digits = text.split_once('.')?.1;
    (digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn eat(rest: &mut &str, sign: &str) -> bool {
    match rest.trim_start().strip_prefix(sign) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    word
}

fn name(rest: &mut &str) -> Result<String, String> {
    if eat(rest, "\"") {
        let (name, after) = rest.split_once('"').ok_or("a quote is missing after a name")?;
        *rest = after;
        return if name.contains('\\') { Err("names with backslashes cannot be declared".to_owned()) } else { Ok(name.to_owned()) };
    }
    let word = word(rest);
    if word.is_empty() { Err(format!("a name is missing before {:?}", rest.trim())) } else { Ok(word.to_owned()) }
}

/// What stands where a type should.
fn first<'a>(word: &'a str, rest: &'a str) -> &'a str {
    if word.is_empty() { rest.trim() } else { word }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_read_and_written_as_cedar_has_it() {
        for (text, written) in [
            ("String", "String"),
            (" Long ", "Long"),
            ("Set< Set<Bool> >", "Set<Set<Bool>>"),
            ("{ host: String, \"x-y\"?: decimal, }", "{ \"host\"?: String, \"x-y\"?: decimal }"),
            ("{}", "{  }"),
        ] {
            assert_eq!(Kind::parse(text).unwrap().to_string(), written, "{text}");
        }
        for wrong in
            ["", "string", "Set", "Set<String", "{ a String }", "{ a: String b: Long }", "String String", "{", "Set<>", "{ : Long }"]
        {
            assert!(Kind::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Kind::parse(&"Set<".repeat(10_000)).unwrap_err().contains("deep"));
    }

    #[test]
    fn a_value_of_another_type_is_none_and_null_is_absent() {
        let fits = |kind: &str, value: Value| Kind::parse(kind).unwrap().of(&value).map(|value| value.is_some());
        for (kind, value, there) in [
            ("Long", json!(5), true),
            ("Long", json!(5.0), true),
            ("decimal", json!(10.25), true),
            ("decimal", json!(-3), true),
            ("Set<String>", json!(["a", "b"]), true),
            ("{ a: Long }", json!({ "a": 1, "b": "not looked at" }), true),
            ("{ a: Long }", json!({ "a": null }), true),
            ("String", Value::Null, false),
        ] {
            assert_eq!(fits(kind, value.clone()), Ok(there), "{kind} {value}");
        }
        for (kind, value) in [
            ("Long", json!("5")),
            ("Long", json!(5.5)),
            ("Long", json!(1e300)),
            ("Long", json!(18_446_744_073_709_551_615_u64)),
            ("String", json!(["a"])),
            ("String", json!(1)),
            ("decimal", json!(0.12345)),
            ("Set<Long>", json!([1, "2"])),
            ("Set<Long>", json!([null])),
            ("{ a: Long }", json!({ "a": "1" })),
            ("Bool", json!("true")),
        ] {
            assert_eq!(fits(kind, value.clone()), Err(Mismatch), "{kind} {value}");
        }
    }
}
