//! `Val` → JSON: an answer, written straight into text, and no further than its limit.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use wasmtime::component::Val;

use super::wit_type::{Cases, Fields, Shape};

/// Why an answer could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Over the limit.
    #[error("the answer is larger than {limit} bytes, the limit `output` of this plugin")]
    TooLarge {
        /// Bytes of JSON that are allowed.
        limit: usize,
    },
    /// There is no JSON for it.
    #[error("the answer cannot be written as JSON: `{path}` is {what}")]
    NotJson {
        /// Where in the answer.
        path: String,
        /// What is there.
        what: String,
    },
}

/// Writes one value, at most `limit` bytes. `root` is what an error calls the value.
pub(super) fn value(shape: &Shape, value: &Val, limit: usize, root: &str) -> Result<String, OutputError> {
    let mut writer = Writer { out: String::new(), limit };
    match writer.value(shape, value) {
        Ok(()) => Ok(writer.out),
        Err(Stop::TooLarge) => Err(OutputError::TooLarge { limit }),
        Err(Stop::NotJson { what, path }) => {
            let mut text = root.to_owned();
            path.iter().rev().for_each(|segment| text.push_str(segment));
            Err(OutputError::NotJson { path: text.strip_prefix('.').unwrap_or(&text).to_owned(), what: what.to_owned() })
        }
    }
}

struct Writer {
    out: String,
    limit: usize,
}

enum Stop {
    TooLarge,
    /// The path is filled on the way up, innermost first.
    NotJson {
        what: &'static str,
        path: Vec<String>,
    },
}

impl Stop {
    fn at(mut self, segment: impl FnOnce() -> String) -> Self {
        if let Self::NotJson { path, .. } = &mut self {
            path.push(segment());
        }
        self
    }

    fn not_json(what: &'static str) -> Self {
        Self::NotJson { what, path: Vec::new() }
    }
}

impl Writer {
    fn raw(&mut self, text: &str) -> Result<(), Stop> {
        if text.len() > self.limit - self.out.len() {
            return Err(Stop::TooLarge);
        }
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, shape: &Shape, value: &Val) -> Result<(), Stop> {
        match (shape, value) {
            (Shape::Bool, Val::Bool(true)) => self.raw("true"),
            (Shape::Bool, Val::Bool(false)) => self.raw("false"),
            (Shape::Int(_), Val::S8(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::U8(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::S16(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::U16(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::S32(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::U32(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::S64(value)) => self.raw(itoa::Buffer::new().format(*value)),
            (Shape::Int(_), Val::U64(value)) => self.raw(itoa::Buffer::new().format(*value)),
            // The shortest text that reads back as the same number: an f32 is written as an f32.
            (Shape::F32, Val::Float32(value)) if value.is_finite() => self.raw(ryu::Buffer::new().format_finite(*value)),
            (Shape::F64, Val::Float64(value)) if value.is_finite() => self.raw(ryu::Buffer::new().format_finite(*value)),
            (Shape::F32, Val::Float32(value)) => Err(Stop::not_json(if value.is_nan() { "NaN" } else { "infinite" })),
            (Shape::F64, Val::Float64(value)) => Err(Stop::not_json(if value.is_nan() { "NaN" } else { "infinite" })),
            (Shape::Char, Val::Char(value)) => self.string(value.encode_utf8(&mut [0; 4])),
            (Shape::String, Val::String(value)) => self.string(value),
            (Shape::Bytes, Val::List(items)) => self.base64(items),
            (Shape::List(item), Val::List(items)) | (Shape::Fixed(item, _), Val::FixedLengthList(items)) => {
                self.items(items.iter().map(|value| (&**item, value)))
            }
            (Shape::Tuple(shapes), Val::Tuple(items)) if shapes.len() == items.len() => self.items(shapes.iter().zip(items)),
            (Shape::Object(shape), Val::Map(entries)) => self.object(shape, entries),
            (Shape::Pairs(shapes), Val::Map(entries)) => self.pairs(shapes, entries),
            (Shape::Record(fields), Val::Record(values)) if fields.shapes.len() == values.len() => self.record(fields, values),
            (Shape::Variant(cases), Val::Variant(name, payload)) => self.variant(cases, name, payload.as_deref()),
            (Shape::Enum(_), Val::Enum(name)) => self.name(name),
            (Shape::Flags(_), Val::Flags(names)) => {
                self.raw("[")?;
                for (index, name) in names.iter().enumerate() {
                    self.comma(index)?;
                    self.name(name)?;
                }
                self.raw("]")
            }
            (Shape::Option(_), Val::Option(None)) => self.raw("null"),
            (Shape::Option(inner), Val::Option(Some(value))) => self.some(inner, value),
            (Shape::Result(ok, _), Val::Result(Ok(value))) => self.only("ok", ok.as_deref(), value.as_deref()),
            (Shape::Result(_, error), Val::Result(Err(value))) => self.only("error", error.as_deref(), value.as_deref()),
            _ => Err(Stop::not_json("a value of another type than was declared")),
        }
    }

    fn comma(&mut self, index: usize) -> Result<(), Stop> {
        if index > 0 { self.raw(",") } else { Ok(()) }
    }

    fn items<'v>(&mut self, items: impl Iterator<Item = (&'v Shape, &'v Val)>) -> Result<(), Stop> {
        self.raw("[")?;
        for (index, (shape, value)) in items.enumerate() {
            self.comma(index)?;
            self.value(shape, value).map_err(|stop| stop.at(|| format!("[{index}]")))?;
        }
        self.raw("]")
    }

    fn some(&mut self, inner: &Shape, value: &Val) -> Result<(), Stop> {
        if inner.takes_null() { self.only("some", Some(inner), Some(value)) } else { self.value(inner, value) }
    }

    /// An object of one entry.
    fn only(&mut self, wit: &str, shape: Option<&Shape>, value: Option<&Val>) -> Result<(), Stop> {
        self.raw("{")?;
        self.name(wit)?;
        self.raw(":")?;
        match (shape, value) {
            (Some(shape), Some(value)) => {
                self.value(shape, value).map_err(|stop| stop.at(|| format!(".{}", super::names::published(wit))))?
            }
            _ => self.raw("null")?,
        }
        self.raw("}")
    }

    fn record(&mut self, fields: &Fields, values: &[(String, Val)]) -> Result<(), Stop> {
        self.raw("{")?;
        let mut index = 0;
        for ((name, shape), (_, value)) in fields.names.iter().zip(&fields.shapes).zip(values) {
            let written = match (shape, value) {
                (Shape::Option(_), Val::Option(None)) => continue,
                (Shape::Option(inner), Val::Option(Some(value))) => {
                    self.key(index, &name.json)?;
                    self.some(inner, value)
                }
                _ => {
                    self.key(index, &name.json)?;
                    self.value(shape, value)
                }
            };
            written.map_err(|stop| stop.at(|| format!(".{}", name.json)))?;
            index += 1;
        }
        self.raw("}")
    }

    /// The published name of a field, which needs no escape.
    fn key(&mut self, index: usize, json: &str) -> Result<(), Stop> {
        self.raw(if index > 0 { ",\"" } else { "\"" })?;
        self.raw(json)?;
        self.raw("\":")
    }

    fn variant(&mut self, cases: &Cases, wit: &str, payload: Option<&Val>) -> Result<(), Stop> {
        let shape = cases.names.find_wit(wit).and_then(|at| cases.payloads.get(at));
        match (shape, payload) {
            (Some(None), None) => self.name(wit),
            (Some(Some(shape)), Some(value)) => self.only(wit, Some(shape), Some(value)),
            _ => Err(Stop::not_json("a case that was not declared")),
        }
    }

    /// A guest may give a key twice. The last one counts, as in the component model.
    fn object(&mut self, shape: &Shape, entries: &[(Val, Val)]) -> Result<(), Stop> {
        let mut last = HashMap::new();
        for (index, (key, _)) in entries.iter().enumerate() {
            if let Val::String(key) = key {
                last.insert(key.as_str(), index);
            }
        }
        self.raw("{")?;
        let mut written = 0;
        for (index, (key, value)) in entries.iter().enumerate() {
            let Val::String(key) = key else { return Err(Stop::not_json("a key that is not a string")) };
            if last.get(key.as_str()) == Some(&index) {
                self.comma(written)?;
                self.string(key)?;
                self.raw(":")?;
                self.value(shape, value).map_err(|stop| stop.at(|| format!("[{}]", super::diagnostics::quoted(key))))?;
                written += 1;
            }
        }
        self.raw("}")
    }

    fn pairs(&mut self, shapes: &(Shape, Shape), entries: &[(Val, Val)]) -> Result<(), Stop> {
        self.raw("[")?;
        for (index, (key, value)) in entries.iter().enumerate() {
            self.comma(index)?;
            let pair = [(&shapes.0, key), (&shapes.1, value)];
            self.items(pair.into_iter()).map_err(|stop| stop.at(|| format!("[{index}]")))?;
        }
        self.raw("]")
    }

    /// A name that the type declares, published.
    fn name(&mut self, wit: &str) -> Result<(), Stop> {
        if wit.len() + 2 > self.limit - self.out.len() {
            return Err(Stop::TooLarge);
        }
        self.out.push('"');
        self.out.extend(wit.chars().map(|c| if c == '-' { '_' } else { c }));
        self.out.push('"');
        Ok(())
    }

    fn base64(&mut self, items: &[Val]) -> Result<(), Stop> {
        // In pieces of whole groups, so that no padding falls between them.
        let mut bytes = Vec::with_capacity(items.len().min(3 * 1024));
        if items.len() / 3 * 4 > self.limit - self.out.len() {
            return Err(Stop::TooLarge);
        }
        let mut text = String::new();
        self.raw("\"")?;
        for items in items.chunks(3 * 1024) {
            bytes.clear();
            text.clear();
            for item in items {
                let Val::U8(byte) = item else { return Err(Stop::not_json("a value of another type than was declared")) };
                bytes.push(*byte);
            }
            STANDARD.encode_string(&bytes, &mut text);
            self.raw(&text)?;
        }
        self.raw("\"")
    }

    fn string(&mut self, text: &str) -> Result<(), Stop> {
        if text.len() + 2 > self.limit - self.out.len() {
            return Err(Stop::TooLarge);
        }
        self.raw("\"")?;
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            // What has to be escaped is one byte, so both sides of it are whole characters.
            let (plain, tail) = rest.split_at(at);
            self.raw(plain)?;
            let byte = tail.bytes().next().unwrap_or(b' ');
            match byte {
                b'"' => self.raw("\\\"")?,
                b'\\' => self.raw("\\\\")?,
                b'\n' => self.raw("\\n")?,
                b'\r' => self.raw("\\r")?,
                b'\t' => self.raw("\\t")?,
                _ => self.raw(&format!("\\u{byte:04x}"))?,
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        self.raw(rest)?;
        self.raw("\"")
    }
}
