//! The keywords of schemas: which are known, what they must be, and what is made of those of OpenAPI 3.0 and of common slips.

use serde_json::{Map, Number, Value, json};

use super::tree::Node;

/// Examples that are published, and how long one may be.
const EXAMPLES: usize = 3;
const EXAMPLE: usize = 500;

/// Values of an enumeration beyond which they are not published: a list of all time zones helps nobody.
const VALUES: usize = 500;

/// The largest number that every client reads as it is: 2^53 - 1.
const LARGEST: f64 = 9_007_199_254_740_991.0;

/// What a keyword holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Schema,
    /// A list of schemas.
    Schemas,
    /// Schemas by name.
    Named,
    Text,
    /// Anything else.
    Plain,
}

/// What a keyword holds. None: it means nothing to a validator, or it is not what it should be, and is left out.
pub(super) fn kind(name: &str, value: Node<'_>) -> Option<Keyword> {
    let is_schema = value.is_map() || value.bool().is_some();
    match name {
        "items" if value.is_list() => Some(Keyword::Schemas),
        "items" | "contains" | "propertyNames" => is_schema.then_some(Keyword::Schema),
        "additionalProperties" if value.bool().is_some() => Some(Keyword::Plain),
        "additionalProperties" | "additionalItems" => value.is_map().then_some(Keyword::Schema),
        // Where something is not published for want of room, these would refuse what is right.
        "not" | "if" | "then" | "else" | "dependentSchemas" | "unevaluatedItems" | "unevaluatedProperties" => None,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => value.is_list().then_some(Keyword::Schemas),
        "properties" | "patternProperties" => value.is_map().then_some(Keyword::Named),
        "title" | "description" | "format" | "contentEncoding" | "contentMediaType" => value.said().map(|_| Keyword::Text),
        "type" | "enum" | "const" | "default" | "required" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum"
        | "multipleOf" | "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" | "minContains"
        | "maxContains" | "pattern" | "uniqueItems" | "deprecated" | "example" | "examples" | "dependentRequired" => Some(Keyword::Plain),
        _ => None,
    }
}

/// What a keyword is called in what is published.
pub(super) fn published<'k>(name: &'k str, value: Node<'_>) -> &'k str {
    match name {
        "items" if value.is_list() => "prefixItems",
        // Documents often have alternatives that both fit, a number and an integer say: the application knows which it takes.
        "oneOf" => "anyOf",
        "example" => "examples",
        name => name,
    }
}

/// A keyword that holds no schema. None: it is not what it should be.
pub(super) fn plain(name: &str, value: Node<'_>, node: Node<'_>) -> Option<Value> {
    match name {
        "type" => types(value),
        "enum" => values_of(value),
        "required" => {
            let mut names: Vec<&str> = value.items().filter_map(Node::text).collect();
            let mut seen = std::collections::HashSet::new();
            names.retain(|name| seen.insert(*name));
            (!names.is_empty()).then(|| names.into())
        }
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            let number = value.number()?;
            let size = number.as_f64()?;
            (size.abs() <= LARGEST && (name != "multipleOf" || size > 0.0)).then(|| whole(number).into())
        }
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" | "minContains" | "maxContains" => {
            let number = value.number()?;
            let count =
                number.as_u64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n <= LARGEST).map(count))?;
            (count <= count_of(LARGEST)).then(|| count.into())
        }
        "pattern" => portable(value.text()?).then(|| value.value()),
        "uniqueItems" | "deprecated" => value.flag().map(Value::Bool),
        "example" => short(value).map(|example| json!([example])),
        "examples" => {
            let examples: Vec<Value> = value.items().filter_map(short).take(EXAMPLES).collect();
            (!examples.is_empty() && node.get("example").is_none()).then(|| examples.into())
        }
        "dependentRequired" => {
            let fits =
                value.is_map() && value.members().all(|(_, names)| names.is_list() && names.items().all(|name| name.text().is_some()));
            fits.then(|| value.value())
        }
        "default" | "const" => short(value),
        _ => Some(value.value()),
    }
}

/// Example values and the like, where they are not too long to be of use.
pub(super) fn short(value: Node<'_>) -> Option<Value> {
    value.is_within(EXAMPLE).then(|| value.value())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of this size fits")]
fn count(number: f64) -> u64 {
    number as u64
}

fn count_of(number: f64) -> u64 {
    count(number)
}

/// `1.0` as `1`.
fn whole(number: Number) -> Number {
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of this size fits")]
        Some(float) if number.is_f64() && float.fract() == 0.0 => (float as i64).into(),
        _ => number,
    }
}

/// Types as JSON Schema calls them.
fn types(value: Node<'_>) -> Option<Value> {
    let known = |name: &str| {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "string" | "str" | "text" | "date" | "datetime" | "date-time" | "uuid" | "file" | "binary" | "byte" | "password" | "email"
            | "uri" | "url" => "string",
            "number" | "float" | "double" | "decimal" => "number",
            "integer" | "int" | "int32" | "int64" | "long" => "integer",
            "boolean" | "bool" => "boolean",
            "object" | "dict" | "map" | "hash" => "object",
            "array" | "list" => "array",
            "null" | "nil" | "none" => "null",
            _ => return None,
        })
    };
    if let Some(name) = value.text() {
        return known(name).map(Value::from);
    }
    let mut kinds: Vec<&str> = Vec::new();
    for item in value.items() {
        // `null` without quotes is none in YAML.
        let kind = if item.is_null() { Some("null") } else { item.text().and_then(known) }?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    match kinds.as_slice() {
        [] => None,
        [one] => Some((*one).into()),
        many => Some(many.to_vec().into()),
    }
}

/// The values of an enumeration, each once.
fn values_of(value: Node<'_>) -> Option<Value> {
    let mut values: Vec<Value> = Vec::with_capacity(value.len());
    if value.len() > VALUES {
        return None;
    }
    for item in value.items().map(Node::value) {
        if !values.contains(&item) {
            values.push(item);
        }
    }
    (!values.is_empty()).then(|| values.into())
}

/// A limit that was a flag beside another, in 3.0.
pub(super) fn exclusive(node: Node<'_>, made: &mut Map<String, Value>) {
    for (flag, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if node.get(flag).and_then(Node::flag) == Some(true)
            && let Some(value) = made.shift_remove(limit)
        {
            made.insert(flag.to_owned(), value);
        }
    }
}

/// Values that are written as of another type than the schema says: `enum: [1, 2]` of a string.
pub(super) fn values(made: &mut Map<String, Value>) {
    let kind = made.get("type").and_then(Value::as_str).map(str::to_owned);
    if kind.as_deref() == Some("array")
        && let Some(values) = made.shift_remove("enum")
    {
        // What is meant are the items' values, where they are no lists themselves.
        let are_items = values.as_array().is_some_and(|values| values.iter().all(|value| !value.is_array()));
        match made.get_mut("items") {
            Some(Value::Object(items)) if are_items => drop(items.entry("enum").or_insert(values)),
            _ if are_items => {}
            _ => drop(made.insert("enum".to_owned(), values)),
        }
    }
    let Some(Value::Array(values)) = made.get_mut("enum") else { return };
    for value in values.iter_mut() {
        match (kind.as_deref(), &*value) {
            (Some("string"), Value::Number(_) | Value::Bool(_)) => *value = value.to_string().into(),
            (Some("integer" | "number"), Value::String(text)) => {
                if let Ok(number) = text.trim().parse::<Number>() {
                    *value = number.into();
                }
            }
            (Some("boolean"), Value::String(text)) => match text.trim() {
                "true" => *value = true.into(),
                "false" => *value = false.into(),
                _ => {}
            },
            _ => {}
        }
    }
    let all = std::mem::take(values);
    for value in all {
        if !values.contains(&value) {
            values.push(value);
        }
    }
}

/// What 3.0 calls nullable, and 2.0 `x-nullable`.
pub(super) fn nullable(node: Node<'_>, mut made: Map<String, Value>) -> Value {
    let is = |name: &str| node.get(name).and_then(Node::flag) == Some(true);
    if !is("nullable") && !is("x-nullable") {
        return Value::Object(made);
    }
    if made.is_empty() {
        return json!({});
    }
    match made.get_mut("type") {
        Some(kind @ Value::String(_)) if kind != "null" => {
            *kind = json!([kind.clone(), "null"]);
            if let Some(Value::Array(values)) = made.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
            Value::Object(made)
        }
        Some(Value::Array(kinds)) => {
            if !kinds.contains(&"null".into()) {
                kinds.push("null".into());
            }
            Value::Object(made)
        }
        Some(_) => Value::Object(made),
        None => {
            let text = made.shift_remove("description");
            let mut either = json!({ "anyOf": [made, { "type": "null" }] });
            if let (Some(text), Value::Object(either)) = (text, &mut either) {
                either.insert("description".to_owned(), text);
            }
            either
        }
    }
}

/// Whether a pattern means the same to everybody who reads it, JavaScript with its `u` flag and Rust among them.
fn portable(pattern: &str) -> bool {
    /// Longer ones are compiled to machines of many megabytes.
    const LONGEST: usize = 500;
    if pattern.len() > LONGEST || pattern.contains("(?") && !pattern.contains("(?:") {
        return false;
    }
    let mut chars = pattern.chars().peekable();
    let (mut in_class, mut class_start, mut before) = (false, false, ' ');
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut class_start);
        match c {
            '\\' => {
                let Some(escaped) = chars.next() else { return false };
                let known = match escaped {
                    'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 'r' | 't' | 'f' | 'v' => true,
                    'b' | 'B' => !in_class,
                    '-' => in_class,
                    other => "^$\\.*+?()[]{}|/".contains(other),
                };
                // A class in a range is an error to one and a text to another.
                if !known || (in_class && escaped.is_ascii_alphabetic() && (before == '-' || chars.peek() == Some(&'-'))) {
                    return false;
                }
                before = 'e';
                continue;
            }
            '[' if in_class => return false,
            '[' => (in_class, class_start) = (true, true),
            ']' if in_class => in_class = false,
            ']' | '}' if !in_class => return false,
            '^' if in_class && at_start => class_start = true,
            '-' if in_class => {
                // At the edges, or in a range.
                let next = chars.peek().copied();
                if !at_start && next != Some(']') && (before == '-' || next == Some('-') || before == '>') {
                    return false;
                }
                if !at_start && next != Some(']') {
                    // A range ends with what follows: a dash behind that is one too many.
                    let Some(end) = chars.next() else { return false };
                    if end == '\\' {
                        let Some(escaped) = chars.next() else { return false };
                        if escaped.is_ascii_alphanumeric() {
                            return false;
                        }
                    }
                    before = '>';
                    continue;
                }
            }
            '&' | '~' if in_class && chars.peek() == Some(&c) => return false,
            '{' if !in_class => {
                let mut count = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == ',') {
                    count.push(c);
                }
                let parts: Vec<&str> = count.split(',').collect();
                let numbers = parts.iter().all(|part| part.is_empty() || part.parse::<u16>().is_ok_and(|n| n <= 1000));
                if chars.next() != Some('}') || count.is_empty() || count.starts_with(',') || parts.len() > 2 || !numbers {
                    return false;
                }
            }
            _ => {}
        }
        before = c;
    }
    !in_class
}

#[cfg(test)]
mod tests {
    use super::portable;

    #[test]
    fn a_pattern_is_published_where_everybody_reads_it_alike() {
        for pattern in ["^[a-z]+$", "^[\\w.-]+@x\\.org$", "^(?:a|b){1,3}$", "^\\d{4}-\\d{2}$", "[-a]", "[^-a-z_-]", "a/b\\/c"] {
            assert!(portable(pattern), "{pattern}");
        }
        for pattern in
            ["^[a-z0-9-_]+$", "\\-", "\\_x", "a\\Z", "(?i)a", "^(?=a)b", "[\\w-z]", "[[a]]", "a{,3}", "x}", "\\p{L}", "(?<n>a)", "["]
        {
            assert!(!portable(pattern), "{pattern}");
        }
    }
}
