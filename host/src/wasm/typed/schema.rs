//! The JSON Schema (2020-12) of a [`Shape`], in the part of it that every client reads: see `schema::portable`.
//!
//! Each WIT type becomes what a person would write for it in JSON, and every value has exactly one way to be written by us:
//!
//! | WIT | JSON | because |
//! |---|---|---|
//! | `bool`, `string` | boolean, string | |
//! | `s8` … `u64` | integer with `minimum` and `maximum` | `1.0` and `1e3` are integers too, as in JSON Schema; a number that would have to be rounded is none |
//! | bounds beyond ±(2^53−1) | left out | model APIs refuse the request; the host checks the true range and keeps values exact |
//! | `f32`, `f64` | number | NaN and the infinities are not in JSON: an answer that has one is an error |
//! | `char` | string of length 1 | |
//! | `list<u8>` | string, `contentEncoding: base64` | bytes as an array of numbers cost a model five times the tokens |
//! | `list<T>`, `list<T, N>` | array | a list of known length has `minItems` = `maxItems` |
//! | `tuple` | array of known length, `items` takes what stands at any place, the order is in the description | `prefixItems` is refused or read as something else by half of the clients |
//! | `map<string, T>` | object with `additionalProperties` | |
//! | other `map<K, V>` | array of `[key, value]` | JSON's keys are strings |
//! | `record` | object; the host refuses other properties | an unknown field is nearly always a mistyped one; `additionalProperties: false` is a boolean schema, on which google-genai fails |
//! | `enum` | string, one of the cases | |
//! | `flags` | array of the names that are set, each once | |
//! | `variant` | `anyOf`: the case's name where it has no payload, else `{"name": payload}`; each with a `type` | Gemini knows no `oneOf` and no `const` |
//! | `result` | `{"ok": …}` or `{"error": …}`, `null` where there is no payload | only inside other types; a function's own result is the answer |
//! | `option<T>` as parameter or field | the property may be left out (`null` is taken too; never written) | what models do anyway |
//! | `option<T>` elsewhere | T or `null` | a list cannot leave an item out |
//! | `option<option<T>>` | the outer one is left out or `null`, else `{"some": inner}` | `null` alone could be either |
//!
//! What is nested deep stands under `$defs`.

use serde_json::{Map, Value, json};

use super::{
    names::Name,
    wit_type::{Cases, Fields, Shape},
};
use crate::schema::portable::{self, MAX_SAFE_INTEGER};

/// What is said of flags: `uniqueItems` is a word that OpenAI's strict mode refuses.
const ONCE: &str = "Each at most once.";

/// Before what stands at the places of a tuple.
const ORDER: &str = "In this order: ";

/// The schema of parameters or of a result as it is published: what is nested deep or written often stands under `$defs`.
pub(super) fn published(schema: Map<String, Value>) -> Map<String, Value> {
    portable::hoisted(schema)
}

/// The schema of parameters or of a record: an object with `"type": "object"`.
pub(super) fn object(fields: &Fields) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, shape) in fields.names.iter().zip(&fields.shapes) {
        let mut schema = match shape {
            Shape::Option(inner) => some(inner),
            shape => {
                required.push(Value::from(&*name.json));
                of(shape)
            }
        };
        describe_in_place(&mut schema, name.doc.as_deref());
        properties.insert(name.json.to_string(), schema);
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    if let Some(doc) = &fields.names.doc {
        schema.insert("description".into(), Value::from(&**doc));
    }
    schema.insert("properties".into(), properties.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

/// The schema of an object that has one property, and has to have it.
pub(super) fn only(name: &str, value: Value) -> Map<String, Value> {
    let mut properties = Map::new();
    properties.insert(name.to_owned(), value);
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), json!([name]));
    schema
}

/// The schema of a value that stands by itself: `null` and nothing else stands for an option that is empty.
pub(super) fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int(int) => {
            let (least, greatest) = int.range();
            let mut schema = json!({"type": "integer"});
            for (key, bound) in [("minimum", least), ("maximum", greatest)] {
                if let Some(bound) = i64::try_from(bound).ok().filter(|bound| bound.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs()) {
                    set(&mut schema, key, bound.into());
                }
            }
            schema
        }
        Shape::F32 | Shape::F64 => json!({"type": "number"}),
        Shape::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
        Shape::String => json!({"type": "string"}),
        Shape::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Fixed(item, count) => json!({"type": "array", "items": of(item), "minItems": count, "maxItems": count}),
        Shape::Tuple(items) => tuple(items.iter()),
        Shape::Object(value) => json!({"type": "object", "properties": {}, "additionalProperties": of(value)}),
        Shape::Pairs(pair) => json!({"type": "array", "items": tuple([&pair.0, &pair.1].into_iter())}),
        Shape::Record(fields) => Value::Object(object(fields)),
        Shape::Variant(cases) => variant(cases),
        Shape::Enum(names) => {
            let mut schema = json!({"type": "string", "enum": names.iter().map(|name| &*name.json).collect::<Vec<_>>()});
            describe(&mut schema, with_items(names.doc.as_deref(), names.iter()).as_deref());
            schema
        }
        Shape::Flags(names) => {
            let list: Vec<&str> = names.iter().map(|name| &*name.json).collect();
            let mut schema = json!({"type": "array", "items": {"type": "string", "enum": list}});
            let doc = with_items(names.doc.as_deref(), names.iter());
            let once = doc.map_or_else(|| ONCE.to_owned(), |doc| format!("{doc}\n{ONCE}"));
            describe(&mut schema, Some(&once));
            schema
        }
        Shape::Option(inner) => any_of(vec![some(inner), json!({"type": "null"})]),
        Shape::Result(ok, error) => {
            let side = |shape: &Option<Box<Shape>>| shape.as_deref().map_or_else(|| json!({"type": "null"}), of);
            json!({"anyOf": [only("ok", side(ok)), only("error", side(error))]})
        }
    }
}

/// The schema of an option that is not empty.
fn some(inner: &Shape) -> Value {
    if inner.takes_null() { Value::Object(only("some", of(inner))) } else { of(inner) }
}

/// A list of known length. `items` takes what stands at any of its places; which is where is said in words.
fn tuple<'a>(items: impl Iterator<Item = &'a Shape>) -> Value {
    let items: Vec<Value> = items.map(of).collect();
    let count = items.len();
    let order: Vec<String> = items.iter().map(word).collect();
    let each = any_of(items);
    let mut schema = json!({"type": "array", "items": each, "minItems": count, "maxItems": count});
    if schema.pointer("/items/anyOf").is_some() {
        describe(&mut schema, Some(&format!("{ORDER}{}.", order.join(", "))));
    }
    schema
}

/// What a person would call a value of this schema.
fn word(schema: &Value) -> String {
    match (schema.get("type").and_then(Value::as_str), schema.get("anyOf").and_then(Value::as_array)) {
        (Some(kind), _) => kind.to_owned(),
        (None, Some(list)) => {
            let mut words: Vec<String> = Vec::new();
            for one in list.iter().map(word) {
                if !words.contains(&one) {
                    words.push(one);
                }
            }
            words.join(" or ")
        }
        (None, None) => "any value".to_owned(),
    }
}

/// Any of these schemas, each once. An alternative that has alternatives and nothing else is no level of its own.
fn any_of(schemas: Vec<Value>) -> Value {
    let mut distinct: Vec<Value> = Vec::with_capacity(schemas.len());
    for schema in schemas {
        let inner = match schema.as_object().and_then(|members| members.get("anyOf").filter(|_| members.len() == 1)) {
            Some(Value::Array(list)) => list.clone(),
            _ => vec![schema],
        };
        for schema in inner {
            if !distinct.contains(&schema) {
                distinct.push(schema);
            }
        }
    }
    if distinct.len() == 1 { distinct.swap_remove(0) } else { json!({ "anyOf": distinct }) }
}

/// Cases without a payload are one `enum`, at the place of the first of them.
fn variant(cases: &Cases) -> Value {
    let bare: Vec<&Name> = cases.names.iter().zip(&cases.payloads).filter(|(_, payload)| payload.is_none()).map(|(name, _)| name).collect();
    let mut list: Vec<Value> = Vec::new();
    let mut told = false;
    for (name, payload) in cases.names.iter().zip(&cases.payloads) {
        match payload {
            Some(shape) => {
                let mut schema = Value::Object(only(&name.json, of(shape)));
                describe(&mut schema, name.doc.as_deref());
                list.push(schema);
            }
            None if told => {}
            None => {
                told = true;
                let mut schema = json!({"type": "string", "enum": bare.iter().map(|name| &*name.json).collect::<Vec<_>>()});
                match &*bare {
                    [only] => describe(&mut schema, only.doc.as_deref()),
                    all => describe(&mut schema, with_items(None, all.iter().copied()).as_deref()),
                }
                list.push(schema);
            }
        }
    }
    let mut schema = if list.len() == 1 { list.swap_remove(0) } else { json!({ "anyOf": list }) };
    describe(&mut schema, cases.names.doc.as_deref());
    schema
}

fn set(schema: &mut Value, key: &str, value: Value) {
    if let Value::Object(schema) = schema {
        schema.insert(key.to_owned(), value);
    }
}

/// Sets the description, if there is one.
pub(super) fn describe(schema: &mut Value, doc: Option<&str>) {
    if let (Value::Object(schema), Some(doc)) = (schema, doc) {
        schema.insert("description".into(), doc.into());
    }
}

/// Sets the description of a property. What only we can say of its type stays.
fn describe_in_place(schema: &mut Value, doc: Option<&str>) {
    let own = schema.get("description").and_then(Value::as_str).and_then(|text| text.lines().last());
    let own = own.filter(|line| *line == ONCE || line.starts_with(ORDER)).map(str::to_owned);
    let text = match (doc, own) {
        (Some(doc), Some(own)) => Some(format!("{doc}\n{own}")),
        (doc, _) => doc.map(str::to_owned),
    };
    describe(schema, text.as_deref());
}

/// JSON Schema has no place for words on one string of an `enum`: they go into the description of the whole.
fn with_items<'a>(doc: Option<&str>, names: impl Iterator<Item = &'a Name>) -> Option<String> {
    let mut text = doc.unwrap_or_default().to_owned();
    for name in names {
        if let Some(doc) = &name.doc {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str("- `");
            text.push_str(&name.json);
            text.push_str("`: ");
            text.push_str(&doc.replace('\n', " "));
        }
    }
    (!text.is_empty()).then_some(text)
}
