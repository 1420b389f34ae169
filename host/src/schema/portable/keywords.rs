//! Single keywords: types by whatever name, numbers, annotations.

use serde_json::{Number, Value};

use super::MAX_SAFE_INTEGER;

/// Annotations that may stand beside a reference, and their type.
pub(super) const ANNOTATIONS: [&str; 8] =
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];

/// The seven types of JSON Schema.
pub(super) const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

/// The type that a word means, also where it is another language's. None: none in particular.
pub(super) fn type_of(word: &str) -> Option<&'static str> {
    let word = word.trim().to_ascii_lowercase();
    if let Some(known) = TYPES.iter().find(|known| **known == word) {
        return Some(known);
    }
    Some(match &*word {
        "int" | "int32" | "int64" | "uint" | "uint32" | "uint64" | "long" | "short" | "byte" | "bigint" => "integer",
        "float" | "float32" | "float64" | "double" | "decimal" | "numeric" | "real" => "number",
        "bool" => "boolean",
        "str" | "text" | "char" | "varchar" | "date" | "datetime" | "date-time" | "time" | "uuid" | "uri" | "url" | "email" | "file"
        | "binary" | "base64" => "string",
        "dict" | "map" | "record" | "struct" | "hash" => "object",
        "list" | "tuple" | "set" | "vec" | "sequence" => "array",
        "none" | "nil" | "undefined" | "void" => "null",
        _ => return None,
    })
}

/// Whether a type is one that a value is of.
pub(super) fn is_of(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => kind == "number" || kind == "integer" && is_whole(number),
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Whether a word is one of JSON Schema of any draft, of OpenAPI, or one that a validator knows. Any other is a vendor's own.
pub(super) fn is_known(keyword: &str) -> bool {
    const OTHERS: [&str; 41] = [
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "definitions",
        "id",
        "dependencies",
        "divisibleBy",
        "extends",
        "disallow",
        "contentSchema",
        "minContains",
        "maxContains",
        "unevaluatedItems",
        "unevaluatedProperties",
        "dependentSchemas",
        "nullable",
        "discriminator",
        "xml",
        "externalDocs",
        "example",
        "formatMinimum",
        "formatMaximum",
        "formatExclusiveMinimum",
        "formatExclusiveMaximum",
        "instanceof",
        "typeof",
        "regexp",
        "transform",
        "uniqueItemProperties",
        "propertyOrdering",
        "ref",
        "defs",
        "any_of",
        "one_of",
    ];
    keyword.starts_with('$') || implied(keyword).is_some() || OTHERS.contains(&keyword)
}

/// The type that a keyword is about, where it tells.
pub(super) fn implied(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "properties"
        | "required"
        | "additionalProperties"
        | "patternProperties"
        | "minProperties"
        | "maxProperties"
        | "propertyNames"
        | "dependentRequired" => "object",
        "items" | "prefixItems" | "additionalItems" | "minItems" | "maxItems" | "uniqueItems" | "contains" => "array",
        "minLength" | "maxLength" | "pattern" | "format" | "contentEncoding" | "contentMediaType" => "string",
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => "number",
        _ => return None,
    })
}

/// The type of all of these values, if they are of one.
pub(super) fn common(values: &[Value]) -> Option<&'static str> {
    let first = values.first()?;
    let kind =
        TYPES.iter().find(|kind| **kind != "number" && is_of(first, kind)).or_else(|| TYPES.iter().find(|kind| is_of(first, kind)))?;
    if values.iter().all(|value| is_of(value, kind)) {
        return Some(kind);
    }
    values.iter().all(Value::is_number).then_some("number")
}

/// Whether a number is kept by every reader of JSON.
pub(super) fn is_safe(number: &Number) -> bool {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), ..) => number.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs(),
        (None, Some(_), _) => false,
        // Exact: 2^53−1 is a float.
        #[allow(clippy::cast_precision_loss, reason = "2^53-1 has 53 bits")]
        (None, None, Some(number)) => number.abs() <= MAX_SAFE_INTEGER as f64,
        (None, None, None) => false,
    }
}

/// Whether all numbers in a value are kept by every reader of JSON, and it is no deeper than annotations need to be.
pub(super) fn is_plain(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(number) => is_safe(number),
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_plain(item, depth - 1)),
        Value::Object(members) => depth > 0 && members.values().all(|member| is_plain(member, depth - 1)),
        _ => true,
    }
}

/// A count: a whole number, not negative, also where it is written `3.0` or `"3"`.
pub(super) fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        value => value.as_f64()?,
    };
    #[allow(clippy::cast_precision_loss, reason = "2^53-1 has 53 bits")]
    let fits = number >= 0.0 && number.fract() == 0.0 && number <= MAX_SAFE_INTEGER as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at on the line above")]
    fits.then_some(number as u64)
}

/// A bound: a number, also where it is written as a text, that every reader keeps.
pub(super) fn number(value: &Value) -> Option<Number> {
    let number = match value {
        Value::Number(number) => number.clone(),
        Value::String(text) => serde_json::from_str(text.trim()).ok()?,
        _ => return None,
    };
    is_safe(&number).then_some(number)
}
