//! From the text of a document to its tree, value by value: nothing of it stands in memory twice.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor},
};

use super::tree::{Data, Member, Span};

/// Values of a document beyond one for each of its bytes: aliases of YAML make more of a text than stands in it.
const SPARE: usize = 1 << 20;

/// What a document became.
pub(super) struct Grown {
    pub(super) decoded: String,
    pub(super) members: Vec<Member>,
    pub(super) items: Vec<Data>,
    pub(super) root: Data,
}

/// Reads JSON, or else YAML.
///
/// # Errors
///
/// Why it is neither.
pub(super) fn parse(text: &str) -> Result<Grown, String> {
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    if !looks_like_json {
        return yaml(text).map_err(|error| format!("it is neither JSON nor YAML: {error}"));
    }
    match json(text) {
        Ok(grown) => Ok(grown),
        // Half of a character that is written as two escapes is no text. Nobody misses it.
        Err(_) if text.contains("\\u") && json(&whole_characters(text)).is_ok() => {
            let text = whole_characters(text);
            // Its places are the same: every replacement is as long as what it replaces.
            json(&text).map_err(|error| error.to_string())
        }
        // Comments, commas at the end, and tabs in texts are YAML.
        Err(error) => yaml(text).map_err(|_| format!("it is not JSON: {error}")),
    }
}

fn json(text: &str) -> Result<Grown, serde_json::Error> {
    let mut builder = Builder::new(text);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let root = Grow(&mut builder).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(builder.grown(root))
}

fn yaml(text: &str) -> Result<Grown, yaml_serde::Error> {
    let mut builder = Builder::new(text);
    let root = Grow(&mut builder).deserialize(yaml_serde::Deserializer::from_str(text))?;
    Ok(builder.grown(root))
}

/// JSON text with U+FFFD for every surrogate that stands alone.
fn whole_characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let code = |text: &str| text.strip_prefix("\\u").and_then(|hex| u16::from_str_radix(hex.get(..4)?, 16).ok());
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let next = escape.get(6..).and_then(code);
        let (written, len) = match (code(escape), next) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (escape.get(..12), 12),
            (Some(0xD800..=0xDFFF), _) => (Some("\\ufffd"), 6),
            (Some(_), _) => (escape.get(..6), 6),
            // A backslash and what it escapes, which is one byte or the beginning of a character that is no escape.
            (None, _) => (escape.get(..2), 2),
        };
        match written {
            Some(written) => out.push_str(written),
            None => return out + escape,
        }
        rest = escape.get(len..).unwrap_or_default();
    }
    out + rest
}

struct Builder<'t> {
    text: &'t str,
    decoded: String,
    members: Vec<Member>,
    items: Vec<Data>,
    most: usize,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        let most = text.len().saturating_add(SPARE);
        Self { text, decoded: String::new(), members: Vec::new(), items: Vec::new(), most }
    }

    fn grown(self, root: Data) -> Grown {
        Grown { decoded: self.decoded, members: self.members, items: self.items, root }
    }

    /// Text that may stand in the document as it is.
    fn borrowed<E: Error>(&mut self, text: &str) -> Result<Span, E> {
        match (text.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize) {
            Some(at) if at + text.len() <= self.text.len() => span(at, text.len()),
            _ => self.copied(text),
        }
    }

    fn copied<E: Error>(&mut self, text: &str) -> Result<Span, E> {
        let span = span(self.text.len() + self.decoded.len(), text.len())?;
        self.decoded.push_str(text);
        if self.decoded.len() > self.most { Err(E::custom("its aliases make too much of it")) } else { Ok(span) }
    }

    fn map<E: Error>(&mut self, members: &[Member]) -> Result<Data, E> {
        let span = span(self.members.len(), members.len())?;
        self.members.extend_from_slice(members);
        self.check()?;
        Ok(Data::Map(span))
    }

    fn list<E: Error>(&mut self, items: &[Data]) -> Result<Data, E> {
        let span = span(self.items.len(), items.len())?;
        self.items.extend_from_slice(items);
        self.check()?;
        Ok(Data::List(span))
    }

    fn check<E: Error>(&self) -> Result<(), E> {
        let many = self.members.len() + self.items.len() > self.most;
        if many { Err(E::custom("its aliases make too much of it")) } else { Ok(()) }
    }

    /// What `<<` of YAML stands for: the members of another object that are not there by themselves.
    fn merged(&self, members: &mut Vec<Member>, from: Data) {
        match from {
            Data::Map(span) => {
                let of = self.members.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default();
                for member in of {
                    if !members.iter().any(|own| self.str(own.name) == self.str(member.name)) {
                        members.push(*member);
                    }
                }
            }
            Data::List(span) => {
                let of = self.items.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default();
                of.iter().for_each(|item| self.merged(members, *item));
            }
            _ => {}
        }
    }

    fn str(&self, span: Span) -> &str {
        let (at, len) = (span.at as usize, span.len as usize);
        match at.checked_sub(self.text.len()) {
            None => self.text.get(at..at + len),
            Some(at) => self.decoded.get(at..at + len),
        }
        .unwrap_or_default()
    }
}

fn span<E: Error>(at: usize, len: usize) -> Result<Span, E> {
    match (u32::try_from(at), u32::try_from(len)) {
        (Ok(at), Ok(len)) => Ok(Span { at, len }),
        _ => Err(E::custom("it is larger than 4 GB")),
    }
}

/// Takes in one value.
struct Grow<'b, 't>(&'b mut Builder<'t>);

impl<'de> DeserializeSeed<'de> for Grow<'_, '_> {
    type Value = Data;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Grow<'_, '_> {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Uint(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON has numbers of this size")]
    fn visit_i128<E: Error>(self, value: i128) -> Result<Data, E> {
        Ok(Data::Float(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON has numbers of this size")]
    fn visit_u128<E: Error>(self, value: u128) -> Result<Data, E> {
        Ok(Data::Float(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Data, E> {
        self.0.borrowed(value).map(Data::Text)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Data, E> {
        self.0.copied(value).map(Data::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Grow(self.0))? {
            items.push(item);
        }
        self.0.list(&items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let (mut members, mut merged) = (Vec::new(), Vec::new());
        while let Some((name, is_merge)) = map.next_key_seed(Name(self.0))? {
            let value = map.next_value_seed(Grow(self.0))?;
            match value {
                Data::Map(_) | Data::List(_) if is_merge => merged.push(value),
                _ => members.push(Member { name, value }),
            }
        }
        merged.into_iter().for_each(|from| self.0.merged(&mut members, from));
        self.0.map(&members)
    }

    /// A value with a tag of YAML: without it.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Data, A::Error> {
        let (_, value) = data.variant::<serde::de::IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }
}

/// Takes in the name of a member, and whether it is `<<`: in YAML it need not be text.
struct Name<'b, 't>(&'b mut Builder<'t>);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = (Span, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, '_> {
    type Value = (Span, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok((self.0.borrowed(value)?, value == "<<"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok((self.0.copied(value)?, value == "<<"))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.visit_str("null")
    }
}
