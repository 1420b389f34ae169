//! The JSON Schema (2020-12) of a [`Shape`].
//!
//! Each WIT type becomes what a person would write for it in JSON, and every value has exactly one way to be written by us:
//!
//! | WIT | JSON | because |
//! |---|---|---|
//! | `bool`, `string` | boolean, string | |
//! | `s8` … `u64` | integer with `minimum` and `maximum` | `1.0` and `1e3` are integers too, as in JSON Schema; a number that would have to be rounded is none |
//! | `f32`, `f64` | number | NaN and the infinities are not in JSON: an answer that has one is an error |
//! | `char` | string of length 1 | |
//! | `list<u8>` | string, `contentEncoding: base64` | bytes as an array of numbers cost a model five times the tokens |
//! | `list<T>`, `list<T, N>` | array | a list of known length has `minItems` = `maxItems` |
//! | `tuple` | array with `prefixItems`, nothing after them | |
//! | `map<string, T>` | object with `additionalProperties` | |
//! | other `map<K, V>` | array of `[key, value]` | JSON's keys are strings |
//! | `record` | object, no other properties | an unknown field is nearly always a mistyped one |
//! | `enum` | string, one of the cases | |
//! | `flags` | array of the names that are set, each once | |
//! | `variant` | the case's name where it has no payload, else `{"name": payload}` | |
//! | `result` | `{"ok": …}` or `{"error": …}`, `null` where there is no payload | only inside other types; a function's own result is the answer |
//! | `option<T>` as parameter or field | the property may be left out (`null` is taken too; never written) | what models do anyway |
//! | `option<T>` elsewhere | T or `null` | a list cannot leave an item out |
//! | `option<option<T>>` | the outer one is left out or `null`, else `{"some": inner}` | `null` alone could be either |

use serde_json::{Map, Value, json};

use super::{
    names::Name,
    shape::{Cases, Fields, Shape},
};

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
        describe(&mut schema, name.doc.as_deref());
        properties.insert(name.json.to_string(), schema);
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    if let Some(doc) = &fields.names.doc {
        schema.insert("description".into(), Value::from(&**doc));
    }
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), required.into());
    schema.insert("additionalProperties".into(), false.into());
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
    schema.insert("additionalProperties".into(), false.into());
    schema
}

/// The schema of a value that stands by itself: `null` and nothing else stands for an option that is empty.
pub(super) fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int(int) => {
            let (least, greatest) = int.range();
            // Every bound fits either an i64 or a u64.
            let least = i64::try_from(least).unwrap_or(i64::MIN);
            let greatest = u64::try_from(greatest).unwrap_or(u64::MAX);
            json!({"type": "integer", "minimum": least, "maximum": greatest})
        }
        Shape::F32 | Shape::F64 => json!({"type": "number"}),
        Shape::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
        Shape::String => json!({"type": "string"}),
        Shape::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Fixed(item, count) => json!({"type": "array", "items": of(item), "minItems": count, "maxItems": count}),
        Shape::Tuple(items) => tuple(items.iter().map(of).collect()),
        Shape::Object(value) => json!({"type": "object", "additionalProperties": of(value)}),
        Shape::Pairs(pair) => json!({"type": "array", "items": tuple(vec![of(&pair.0), of(&pair.1)])}),
        Shape::Record(fields) => Value::Object(object(fields)),
        Shape::Variant(cases) => variant(cases),
        Shape::Enum(names) => {
            let mut schema = json!({"type": "string", "enum": names.iter().map(|name| &*name.json).collect::<Vec<_>>()});
            describe(&mut schema, with_items(names.doc.as_deref(), names.iter()).as_deref());
            schema
        }
        Shape::Flags(names) => {
            let list: Vec<&str> = names.iter().map(|name| &*name.json).collect();
            let mut schema = json!({"type": "array", "items": {"type": "string", "enum": list}, "uniqueItems": true});
            describe(&mut schema, with_items(names.doc.as_deref(), names.iter()).as_deref());
            schema
        }
        Shape::Option(inner) => json!({"anyOf": [some(inner), {"type": "null"}]}),
        Shape::Result(ok, error) => {
            let side = |shape: &Option<Box<Shape>>| shape.as_deref().map_or_else(|| json!({"type": "null"}), of);
            json!({"oneOf": [only("ok", side(ok)), only("error", side(error))]})
        }
    }
}

/// The schema of an option that is not empty.
fn some(inner: &Shape) -> Value {
    if inner.takes_null() { Value::Object(only("some", of(inner))) } else { of(inner) }
}

fn tuple(items: Vec<Value>) -> Value {
    let count = items.len();
    json!({"type": "array", "prefixItems": items, "items": false, "minItems": count, "maxItems": count})
}

fn variant(cases: &Cases) -> Value {
    let list = cases.names.iter().zip(&cases.payloads).map(|(name, payload)| {
        let mut schema = match payload {
            None => json!({"const": name.json}),
            Some(shape) => Value::Object(only(&name.json, of(shape))),
        };
        describe(&mut schema, name.doc.as_deref());
        schema
    });
    let mut schema = json!({"oneOf": list.collect::<Vec<Value>>()});
    describe(&mut schema, cases.names.doc.as_deref());
    schema
}

/// Sets the description, if there is one.
pub(super) fn describe(schema: &mut Value, doc: Option<&str>) {
    if let (Value::Object(schema), Some(doc)) = (schema, doc) {
        schema.insert("description".into(), doc.into());
    }
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
