//! JSON → `Val`: arguments, checked and converted in one pass over their text.
//!
//! A value that does not fit is taken down and passed over, so that all problems of a call are told at once. A name twice in one object is a problem
//! too: which of the two was meant is for the caller to say.

mod parts;

use std::{collections::HashSet, fmt};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use wasmtime::component::Val;

use super::{
    diagnostics::{ArgumentError, OutOfMemory, Path, Problems, expected, quoted, shown},
    wit_type::{Cases, Fields, Shape},
};
use parts::{FlagSeed, KeySeed, PairSeed, drain, integer, number};

/// Bytes that the values of one call may take. A record of many optional fields is two bytes of JSON and kilobytes of values, so that the size of a
/// request says too little. Enough for 3 MB of `list<u8>`, a byte of which is a [`Val`] of its own.
const MAX_MEMORY: usize = 128 << 20;

const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Stands where a value did not fit. Never leaves this file: where there is a problem there is no result.
const NOTHING: Val = Val::Bool(false);

/// Reads the JSON text of an object: one value for each field, in the order of the fields.
pub(super) fn arguments(fields: &Fields, json: &str) -> Result<Vec<Val>, ArgumentError> {
    let cx = Problems::new(MAX_MEMORY);
    let mut text = serde_json::Deserializer::from_str(json);
    let read = Arguments { fields, cx: &cx }.deserialize(&mut text).and_then(|values| text.end().map(|()| values));
    finish(read, cx)?.map_err(ArgumentError::NotAnObject)
}

/// Reads one value.
#[cfg(test)]
pub(super) fn value(shape: &Shape, json: &str) -> Result<Val, ArgumentError> {
    let cx = Problems::new(MAX_MEMORY);
    let mut text = serde_json::Deserializer::from_str(json);
    let read = Seed { shape, path: &Path::ROOT, cx: &cx }.deserialize(&mut text).and_then(|value| text.end().map(|()| value));
    finish(read, cx)
}

fn finish<T>(read: Result<T, serde_json::Error>, cx: Problems) -> Result<T, ArgumentError> {
    match read {
        // The only error of this file's own is that of `charge`.
        Err(error) if error.is_data() => Err(ArgumentError::TooLarge(MAX_MEMORY)),
        Err(error) => Err(ArgumentError::Syntax(error.to_string())),
        Ok(value) => cx.into_error().map_or(Ok(value), Err),
    }
}

fn charge<E: Error>(cx: &Problems, bytes: usize) -> Result<(), E> {
    cx.charge(bytes).map_err(|OutOfMemory| E::custom("too large"))
}

/// The object of all arguments. Something else is answered as a description of it.
struct Arguments<'p> {
    fields: &'p Fields,
    cx: &'p Problems,
}

impl<'de> DeserializeSeed<'de> for Arguments<'_> {
    type Value = Result<Vec<Val>, String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Arguments<'_> {
    type Value = Result<Vec<Val>, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        fields(self.fields, &Path::ROOT, self.cx, &mut map).map(Ok)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        drain(&mut items)?;
        Ok(Err("an array".into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Err("null".into()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Err(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Err(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Err(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Err(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Err(format!("the string {}", quoted(value))))
    }
}

/// One value of a known shape.
#[derive(Clone, Copy)]
struct Seed<'p> {
    shape: &'p Shape,
    path: &'p Path<'p>,
    cx: &'p Problems,
}

impl Seed<'_> {
    fn mismatch(self, got: &str) -> Val {
        self.cx.mismatch(self.path, got, self.shape);
        NOTHING
    }

    fn problem(self, text: impl FnOnce() -> String) -> Val {
        self.cx.add(|| format!("{}: {}", self.path, text()));
        NOTHING
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Val;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Val, D::Error> {
        charge(self.cx, size_of::<Val>())?;
        match self.shape {
            // Numbers are read from their text: a parser's number could have been rounded.
            Shape::Int(int) => {
                let text = <&RawValue>::deserialize(json)?.get();
                Ok(integer(*int, text).unwrap_or_else(|| self.mismatch(&shown(text))))
            }
            Shape::F32 => {
                let text = <&RawValue>::deserialize(json)?.get();
                let number = number(text).and_then(|text| text.parse::<f32>().ok()).filter(|number| number.is_finite());
                Ok(number.map_or_else(|| self.mismatch(&shown(text)), Val::Float32))
            }
            Shape::F64 => {
                let text = <&RawValue>::deserialize(json)?.get();
                let number = number(text).and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
                Ok(number.map_or_else(|| self.mismatch(&shown(text)), Val::Float64))
            }
            Shape::Option(inner) if !inner.takes_null() => json.deserialize_option(self),
            _ => json.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Val;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&expected(self.shape))
    }

    fn visit_none<E: Error>(self) -> Result<Val, E> {
        Ok(Val::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Val, D::Error> {
        let Shape::Option(inner) = self.shape else { return Ok(NOTHING) };
        let value = Seed { shape: inner, ..self }.deserialize(json)?;
        Ok(Val::Option(Some(Box::new(value))))
    }

    fn visit_unit<E: Error>(self) -> Result<Val, E> {
        Ok(match self.shape {
            Shape::Option(_) => Val::Option(None),
            _ => self.mismatch("null"),
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Val, E> {
        Ok(match self.shape {
            Shape::Bool => Val::Bool(value),
            _ => self.mismatch(if value { "true" } else { "false" }),
        })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Val, E> {
        Ok(self.mismatch(&value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Val, E> {
        Ok(self.mismatch(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Val, E> {
        Ok(self.mismatch(&value.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Val, E> {
        Ok(match self.shape {
            Shape::String => {
                charge(self.cx, text.len())?;
                Val::String(text.to_owned())
            }
            Shape::Char => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(only), None) => Val::Char(only),
                    _ => self.mismatch(&quoted(text)),
                }
            }
            Shape::Bytes => {
                charge(self.cx, (text.len() / 4 + 1) * 3 * size_of::<Val>())?;
                match BASE64.decode(text) {
                    Ok(bytes) => Val::List(bytes.into_iter().map(Val::U8).collect()),
                    Err(error) => self.problem(|| format!("got {}, expected a string with base64: {error}", quoted(text))),
                }
            }
            Shape::Enum(names) => match names.find(text).and_then(|at| names.get(at)) {
                Some(name) => Val::Enum(name.wit.to_string()),
                None => self.mismatch(&quoted(text)),
            },
            Shape::Variant(cases) => match case(cases, text) {
                Some((wit, _, None)) => Val::Variant(wit.to_owned(), None),
                Some((_, json, Some(payload))) => {
                    self.problem(|| format!("the case \"{json}\" has a value: write {{\"{json}\": …}} with {}", expected(payload)))
                }
                None => self.mismatch(&quoted(text)),
            },
            _ => self.mismatch(&quoted(text)),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Val, A::Error> {
        Ok(match self.shape {
            Shape::List(item) => {
                let mut list = Vec::new();
                while let Some(value) = self.item(&mut items, item, list.len())? {
                    list.push(value);
                }
                Val::List(list)
            }
            Shape::Fixed(item, count) => {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                Val::FixedLengthList(self.exactly(&mut items, std::iter::repeat_n(&**item, count), count)?)
            }
            Shape::Tuple(shapes) => Val::Tuple(self.exactly(&mut items, shapes.iter(), shapes.len())?),
            Shape::Pairs(shapes) => {
                let mut list = Vec::new();
                loop {
                    let path = self.path.index(list.len());
                    match items.next_element_seed(PairSeed { shapes, seed: Seed { path: &path, ..self } })? {
                        Some(pair) => list.push(pair),
                        None => break Val::Map(list),
                    }
                }
            }
            Shape::Flags(names) => {
                let mut set = vec![false; names.len()];
                let mut count = 0;
                loop {
                    let path = self.path.index(count);
                    let Some(at) = items.next_element_seed(FlagSeed { names, path: &path, cx: self.cx })? else { break };
                    count += 1;
                    if let Some((at, flag)) = at.and_then(|at| Some((at, set.get_mut(at)?))) {
                        if *flag {
                            let name = names.get(at).map_or("", |name| &*name.json);
                            self.cx.add(|| format!("{path}: \"{name}\" is there already"));
                        }
                        *flag = true;
                    }
                }
                Val::Flags(names.iter().zip(set).filter(|(_, set)| *set).map(|(name, _)| name.wit.to_string()).collect())
            }
            _ => {
                drain(&mut items)?;
                self.mismatch("an array")
            }
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Val, A::Error> {
        match self.shape {
            Shape::Record(list) => {
                let values = fields(list, self.path, self.cx, &mut map)?;
                let text: usize = list.names.iter().map(|name| name.wit.len() + size_of::<String>()).sum();
                charge(self.cx, text)?;
                Ok(Val::Record(list.names.iter().zip(values).map(|(name, value)| (name.wit.to_string(), value)).collect()))
            }
            Shape::Object(shape) => self.object(shape, &mut map),
            Shape::Variant(cases) => {
                let one = self.only(&mut map, |key| match case(cases, key) {
                    Some((wit, json, Some(payload))) => Ok((wit, json, Some(payload))),
                    Some((_, json, None)) => Err(format!("the case \"{json}\" has no value: write \"{json}\"")),
                    None => Err(format!("got {{{}: …}}, expected {}", quoted(key), expected(self.shape))),
                })?;
                Ok(one.map_or(NOTHING, |(wit, value)| Val::Variant(wit.to_owned(), value)))
            }
            Shape::Result(ok, error) => {
                let one = self.only(&mut map, |key| match key {
                    "ok" => Ok((true, "ok", ok.as_deref())),
                    "error" => Ok((false, "error", error.as_deref())),
                    _ => Err(format!("got {{{}: …}}, expected {}", quoted(key), expected(self.shape))),
                })?;
                Ok(one.map_or(NOTHING, |(ok, value)| Val::Result(if ok { Ok(value) } else { Err(value) })))
            }
            Shape::Option(inner) if inner.takes_null() => {
                let one = self.only(&mut map, |key| match key {
                    "some" => Ok(((), "some", Some(&**inner))),
                    _ => Err(format!("got {{{}: …}}, expected {}", quoted(key), expected(self.shape))),
                })?;
                Ok(one.map_or(NOTHING, |((), value)| Val::Option(value)))
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("an object"))
            }
        }
    }
}

/// The WIT name, the published name and the payload of a case.
fn case<'s>(cases: &'s Cases, json: &str) -> Option<(&'s str, &'s str, Option<&'s Shape>)> {
    let at = cases.names.find(json)?;
    let name = cases.names.get(at)?;
    Some((&name.wit, &name.json, cases.payloads.get(at)?.as_ref()))
}

/// What an object of one entry was read as; none where there was a problem.
type Found<T> = Option<(T, Option<Box<Val>>)>;

impl<'p> Seed<'p> {
    fn item<'de, A: SeqAccess<'de>>(self, items: &mut A, shape: &Shape, index: usize) -> Result<Option<Val>, A::Error> {
        items.next_element_seed(Seed { shape, path: &self.path.index(index), cx: self.cx })
    }

    /// As many items as there are shapes.
    fn exactly<'s, 'de, A: SeqAccess<'de>>(
        self,
        items: &mut A,
        shapes: impl Iterator<Item = &'s Shape>,
        count: usize,
    ) -> Result<Vec<Val>, A::Error> {
        let mut list = Vec::new();
        for shape in shapes {
            match self.item(items, shape, list.len())? {
                Some(value) => list.push(value),
                None => {
                    self.problem(|| format!("got an array of {}, expected an array of {count} items", list.len()));
                    return Ok(list);
                }
            }
        }
        let more = drain(items)?;
        if more > 0 {
            self.problem(|| format!("got an array of {}, expected an array of {count} items", count.saturating_add(more)));
        }
        Ok(list)
    }

    /// A map with keys of the caller's choice.
    fn object<'de, A: MapAccess<'de>>(self, shape: &Shape, map: &mut A) -> Result<Val, A::Error> {
        let mut seen = HashSet::new();
        let mut list = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            charge(self.cx, 2 * key.len() + 3 * size_of::<Val>())?;
            if !seen.insert(key.clone()) {
                self.problem(|| format!("{} is there twice", quoted(&key)));
            }
            let value = map.next_value_seed(Seed { shape, path: &self.path.key(&key), cx: self.cx })?;
            list.push((Val::String(key), value));
        }
        Ok(Val::Map(list))
    }

    /// An object of one entry. `find` says what stands under a key: whatever the caller wants back, the name, and the shape of the value; none: `null`.
    fn only<'de, 's, A: MapAccess<'de>, T>(
        self,
        map: &mut A,
        find: impl FnOnce(&str) -> Result<(T, &'s str, Option<&'s Shape>), String>,
    ) -> Result<Found<T>, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            self.mismatch("an empty object");
            return Ok(None);
        };
        let found = match find(&key) {
            Ok((found, name, shape)) => {
                let path = self.path.name(name);
                let value = match shape {
                    Some(shape) => Some(Box::new(map.next_value_seed(Seed { shape, path: &path, cx: self.cx })?)),
                    None => {
                        let text = map.next_value::<&RawValue>()?.get();
                        if text != "null" {
                            self.cx.add(|| format!("{path}: got {}, expected null", shown(text)));
                        }
                        None
                    }
                };
                Some((found, value))
            }
            Err(problem) => {
                map.next_value::<IgnoredAny>()?;
                self.problem(|| problem);
                None
            }
        };
        let mut more = 0usize;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            more += 1;
        }
        if more > 0 {
            self.problem(|| format!("got an object of {} entries, expected exactly one: {}", more.saturating_add(1), expected(self.shape)));
        }
        Ok(found)
    }
}

/// The values of a record or of the parameters, in the order of the fields.
fn fields<'de, A: MapAccess<'de>>(list: &Fields, path: &Path<'_>, cx: &Problems, map: &mut A) -> Result<Vec<Val>, A::Error> {
    charge(cx, list.names.len() * 2 * size_of::<Val>())?;
    let mut values: Vec<Option<Val>> = Vec::new();
    values.resize_with(list.names.len(), || None);
    while let Some(found) = map.next_key_seed(KeySeed { names: &list.names, path, cx })? {
        let known = found.and_then(|at| Some((list.names.get(at)?, list.shapes.get(at)?, values.get_mut(at)?)));
        let Some((name, shape, value)) = known else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let path = path.name(&name.json);
        if value.is_some() {
            cx.add(|| format!("{path} is there twice"));
        }
        *value = Some(map.next_value_seed(Seed { shape, path: &path, cx })?);
    }
    let all = list.names.iter().zip(&list.shapes).zip(values);
    Ok(all
        .map(|((name, shape), value)| match (value, shape) {
            (Some(value), _) => value,
            (None, Shape::Option(_)) => Val::Option(None),
            (None, shape) => {
                cx.add(|| format!("{} is missing: expected {}", path.name(&name.json), expected(shape)));
                NOTHING
            }
        })
        .collect())
}
