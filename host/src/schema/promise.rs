//! A schema that is the promise of somebody else: published so that an answer that breaks the promise is still read, and what of an answer does not
//! keep it.
//!
//! Nothing is required, everything may be null, and there are no patterns, formats and limits: what is left are types and descriptions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

const NULL: u8 = 1;
const BOOL: u8 = 2;
const NUMBER: u8 = 4;
const TEXT: u8 = 8;
const LIST: u8 = 16;
const OBJECT: u8 = 32;
const ANY: u8 = 63;

/// Deviations that are told.
const TOLD: usize = 5;

/// How often values of one answer are looked at before the rest is taken as it is: a document may say the same of a value a thousand times.
const LOOKS: usize = 2_000_000;
/// Definitions that lead to each other without a look at a part of the value.
const CHAIN: usize = 32;

/// What is promised, without what nobody relies on.
pub(crate) struct Promise {
    root: Shape,
    defs: Vec<Shape>,
}

/// Of which kinds a value is, and what is in it.
#[derive(Default)]
struct Shape {
    kinds: u8,
    properties: Vec<(Box<str>, Shape)>,
    /// Of all other properties.
    more: Option<Box<Shape>>,
    items: Option<Box<Shape>>,
    /// It is also what these say.
    all: Vec<Shape>,
    reference: Option<usize>,
}

/// How an answer differs from what was promised.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Deviations {
    /// Values that are null though nobody said that they could be; they are delivered so.
    pub(crate) nulls: Vec<String>,
    /// Values of another kind; the structured content has null in their place.
    pub(crate) others: Vec<String>,
    count: usize,
    looks: usize,
}

impl Deviations {
    fn add(&mut self, path: &str, shape: &Shape, value: &Value) {
        self.count += 1;
        let place = if path.is_empty() { "the answer" } else { path };
        let text = format!("{place} is {}, not {}", kind_name(kind_of(value)), kind_name(shape.kinds & !NULL));
        let list = if value.is_null() { &mut self.nulls } else { &mut self.others };
        if list.len() < TOLD {
            list.push(text);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Promise {
    /// Loosens a schema that is the promise of somebody else: what to publish in its place, and what to hold answers against.
    #[must_use]
    pub(crate) fn of(strict: &Map<String, Value>) -> (Map<String, Value>, Self) {
        let mut relaxed = Relaxing::default();
        let defs: Vec<(&String, &Value)> = strict.get("$defs").and_then(Value::as_object).into_iter().flatten().collect();
        relaxed.defs = defs.iter().enumerate().map(|(at, (name, _))| (format!("#/$defs/{name}"), at)).collect();
        let made: Vec<(Value, Shape)> = defs.iter().map(|(_, def)| relaxed.relax(def)).collect();
        let mut published = Map::new();
        let (mut shapes, mut named) = (Vec::with_capacity(made.len()), Map::with_capacity(made.len()));
        for ((name, _), (schema, shape)) in defs.iter().zip(made) {
            named.insert((*name).clone(), schema);
            shapes.push(shape);
        }
        let mut own = strict.clone();
        own.shift_remove("$defs");
        let (schema, mut shape) = relaxed.relax(&Value::Object(own));
        if let Value::Object(schema) = schema {
            published.extend(schema);
        }
        // The answer itself is an object in any case.
        shape.kinds = OBJECT;
        published.insert("type".to_owned(), "object".into());
        published.entry("properties").or_insert_with(|| json!({}));
        if !named.is_empty() {
            published.insert("$defs".to_owned(), named.into());
        }
        (published, Self { root: shape, defs: shapes })
    }

    /// Puts null where something is of another kind than was promised, and says where.
    pub(crate) fn settle(&self, answer: &mut Value) -> Deviations {
        let mut deviations = Deviations::default();
        self.check(&self.root, answer, &mut String::new(), 0, &mut deviations);
        if !answer.is_object() {
            *answer = json!({});
        }
        deviations
    }

    fn check(&self, shape: &Shape, value: &mut Value, path: &mut String, chain: usize, deviations: &mut Deviations) {
        deviations.looks += 1;
        if chain > CHAIN || deviations.looks > LOOKS {
            return;
        }
        if let Some(shape) = shape.reference.and_then(|at| self.defs.get(at)) {
            self.check(shape, value, path, chain + 1, deviations);
        }
        let kind = kind_of(value);
        if shape.kinds & kind == 0 {
            deviations.add(path, shape, value);
            *value = Value::Null;
            return;
        }
        for shape in &shape.all {
            self.check(shape, value, path, chain + 1, deviations);
        }
        let length = path.len();
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    let own = shape.properties.iter().find(|(property, _)| **property == **name).map(|(_, shape)| shape);
                    if let Some(shape) = own.or(shape.more.as_deref()) {
                        path.push_str(if length == 0 { "" } else { "." });
                        path.push_str(name);
                        self.check(shape, member, path, 0, deviations);
                        path.truncate(length);
                    }
                }
            }
            Value::Array(items) => {
                let Some(shape) = &shape.items else { return };
                for (nth, item) in items.iter_mut().enumerate() {
                    path.push_str(&format!("{}{nth}", if length == 0 { "" } else { "." }));
                    self.check(shape, item, path, 0, deviations);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }
}

/// Makes loose schemas of strict ones.
#[derive(Default)]
struct Relaxing {
    /// References, and which definition each is.
    defs: HashMap<String, usize>,
}

impl Relaxing {
    /// What is published, and what answers are held against.
    fn relax(&self, strict: &Value) -> (Value, Shape) {
        let mut shape = Shape { kinds: ANY, ..Shape::default() };
        let Value::Object(strict) = strict else { return (json!({}), shape) };
        let mut made = Map::with_capacity(strict.len());
        if strict.get("not").is_some() {
            return (json!({}), shape);
        }
        for keyword in ["title", "description", "deprecated", "contentEncoding", "contentMediaType"] {
            if let Some(value) = strict.get(keyword) {
                made.insert(keyword.to_owned(), value.clone());
            }
        }
        if let Some(Value::String(reference)) = strict.get("$ref") {
            shape.reference = self.defs.get(reference).copied();
            made.insert("$ref".to_owned(), reference.as_str().into());
            return (made.into(), shape);
        }
        if let Some(Value::Array(parts)) = strict.get("anyOf") {
            let parts: Vec<&Value> = parts.iter().filter(|part| part.get("type").is_none_or(|kind| kind != "null")).collect();
            // Which of several it is cannot be told from outside, nor does it matter.
            let [one] = parts.as_slice() else { return (made.into(), shape) };
            let (value, shape) = self.relax(one);
            if let Value::Object(value) = value {
                for (keyword, value) in value {
                    made.entry(keyword).or_insert(value);
                }
            }
            return (made.into(), Shape { kinds: shape.kinds | NULL, ..shape });
        }
        if let Some(kinds) = strict.get("type") {
            // What is always null promises nothing.
            shape.kinds = Some(kinds_of(kinds)).filter(|kinds| *kinds != NULL).unwrap_or(ANY);
            made.insert("type".to_owned(), kind_names(shape.kinds | NULL));
        }
        if let Some(Value::Object(properties)) = strict.get("properties") {
            let mut named = Map::with_capacity(properties.len());
            for (name, property) in properties {
                let (value, part) = self.relax(property);
                named.insert(name.clone(), value);
                shape.properties.push((name.as_str().into(), part));
            }
            made.insert("properties".to_owned(), named.into());
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(part @ Value::Object(_)) = strict.get(keyword) {
                let (value, part) = self.relax(part);
                made.insert(keyword.to_owned(), value);
                *(if keyword == "items" { &mut shape.items } else { &mut shape.more }) = Some(Box::new(part));
            }
        }
        if let Some(Value::Array(parts)) = strict.get("allOf") {
            let (values, parts): (Vec<Value>, Vec<Shape>) = parts.iter().map(|part| self.relax(part)).unzip();
            made.insert("allOf".to_owned(), values.into());
            shape.all = parts;
        }
        // What all clients want of objects and lists.
        if shape.kinds != ANY && shape.kinds & OBJECT != 0 {
            made.entry("properties").or_insert_with(|| json!({}));
        }
        if shape.kinds != ANY && shape.kinds & LIST != 0 {
            made.entry("items").or_insert_with(|| json!({}));
        }
        // A list of more than one type and null is no type to some; none is any.
        if (shape.kinds & !NULL).count_ones() != 1 {
            made.shift_remove("type");
        }
        (made.into(), shape)
    }
}

fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOL,
        Value::Number(_) => NUMBER,
        Value::String(_) => TEXT,
        Value::Array(_) => LIST,
        Value::Object(_) => OBJECT,
    }
}

/// Names of kinds. A number is one whether it is whole or not.
const KINDS: [(u8, &str, &str); 6] = [
    (TEXT, "string", "text"),
    (NUMBER, "number", "a number"),
    (BOOL, "boolean", "true or false"),
    (OBJECT, "object", "an object"),
    (LIST, "array", "a list"),
    (NULL, "null", "null"),
];

fn kinds_of(named: &Value) -> u8 {
    let one = |name: &Value| match name.as_str() {
        Some("integer") => NUMBER,
        name => KINDS.iter().find(|(_, kind, _)| Some(*kind) == name).map_or(0, |(kind, ..)| *kind),
    };
    let kinds = match named {
        Value::Array(names) => names.iter().fold(0, |kinds, name| kinds | one(name)),
        name => one(name),
    };
    if kinds == 0 { ANY } else { kinds }
}

fn kind_names(kinds: u8) -> Value {
    KINDS.iter().filter(|(kind, ..)| kinds & kind != 0).map(|(_, name, _)| Value::from(*name)).collect()
}

fn kind_name(kinds: u8) -> String {
    let names: Vec<&str> = KINDS.iter().filter(|(kind, ..)| kinds & kind != 0).map(|(.., name)| *name).collect();
    names.join(" or ")
}
