//! Output schemas that are the promise of somebody else: published so that an answer that breaks the promise is still read.

use serde_json::{Map, Value};

use super::defs::map_parts;

/// Words that an answer of somebody else's keeps to or not.
const PROMISES: [&str; 21] = [
    "required",
    "enum",
    "pattern",
    "format",
    "patternProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "contentEncoding",
    "contentMediaType",
    "additionalProperties",
    "default",
    "examples",
];

/// The same schema with its types and descriptions alone: nothing is required, everything may be null, no patterns, formats and limits.
#[must_use]
pub(crate) fn relaxed(schema: Map<String, Value>) -> Map<String, Value> {
    let mut out = relax(schema);
    // The answer itself is an object in any case.
    out.insert("type".to_owned(), "object".into());
    out
}

fn relax(mut schema: Map<String, Value>) -> Map<String, Value> {
    let rest = schema.get("additionalProperties").cloned();
    schema.retain(|key, _| !PROMISES.contains(&&**key));
    if let Some(Value::Object(rest)) = rest
        && schema.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty)
    {
        // A map: what is in it is all that there is to say.
        schema.insert("additionalProperties".to_owned(), rest.into());
    }
    let defs = schema.shift_remove("$defs");
    match schema.get("type").and_then(Value::as_str) {
        Some("null") => drop(schema.shift_remove("type")),
        // Who wrote "integer" may send 1.5, and who wrote "string" a number.
        Some("integer") => drop(schema.insert("type".to_owned(), Value::from(vec!["number", "null"]))),
        Some(kind) => {
            let kinds = vec![kind.to_owned(), "null".to_owned()];
            schema.insert("type".to_owned(), kinds.into());
        }
        None => {}
    }
    if let Some(Value::Array(list)) = schema.get_mut("anyOf") {
        list.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
        if list.is_empty() {
            schema.shift_remove("anyOf");
        }
    }
    let mut schema = map_parts(schema, &mut |_, part| relax(part));
    if let Some(Value::Object(defs)) = defs {
        let defs = defs.into_iter().map(|(name, part)| match part {
            Value::Object(part) => (name, Value::Object(relax(part))),
            other => (name, other),
        });
        schema.insert("$defs".to_owned(), Value::Object(defs.collect()));
    }
    schema
}
