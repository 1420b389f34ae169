//! Whether a published schema keeps to the rules that make it portable: for `toolbay check`, and for tests of whatever makes schemas.

use serde_json::{Map, Value};

use super::{
    MAX_SAFE_INTEGER, Role,
    defs::bare_circles,
    keywords::{TYPES, is_safe},
    pattern,
};

/// Levels of JSON that a schema may have: OpenAI's converters, and parsers that recurse, stop at 100 and less.
const DEPTH: usize = 60;

/// Keywords that some reader fails on or drops, whatever is in them.
const UNKNOWN: [&str; 31] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "definitions",
    "const",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "prefixItems",
    "additionalItems",
    "contains",
    "uniqueItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "nullable",
    "discriminator",
    "example",
    "minContains",
    "maxContains",
];

/// What in a schema is against the rules, with the place of each. Empty: every client reads it.
#[must_use]
#[cfg(test)]
pub(crate) fn faults(schema: &Map<String, Value>) -> Vec<String> {
    faults_of(schema, Role::Input)
}

/// The same of a schema that is for this: that of an answer is read by validators alone.
#[must_use]
pub(crate) fn faults_of(schema: &Map<String, Value>, role: Role) -> Vec<String> {
    let mut lint = Lint { root: schema, role, faults: Vec::new() };
    if schema.get("type").is_none_or(|kind| kind != "object") {
        lint.add("", "is not of type object");
    }
    // Model APIs refuse a tool for these, and read the schemas of arguments alone.
    if role == Role::Input && (schema.contains_key("anyOf") || schema.contains_key("enum") || schema.contains_key("$ref")) {
        lint.add("", "has alternatives at its top");
    }
    lint.schema(schema, "");
    lint.value(&Value::Object(schema.clone()), "", 0);
    if role == Role::Input && bare_circles(schema.clone()) != *schema {
        lint.add("", "has something beside a reference that leads back to where it stands");
    }
    lint.faults
}

struct Lint<'a> {
    root: &'a Map<String, Value>,
    role: Role,
    faults: Vec<String>,
}

impl<'a> Lint<'a> {
    fn add(&mut self, place: &str, what: &str) {
        self.faults.push(format!("{}: {what}", if place.is_empty() { "#" } else { place }));
    }

    /// Rules of JSON itself: numbers and depth.
    fn value(&mut self, value: &Value, place: &str, depth: usize) {
        if depth > DEPTH {
            self.add(place, "is nested too deep");
            return;
        }
        match value {
            Value::Number(number) if !is_safe(number) => {
                self.add(place, &format!("has a number beyond {MAX_SAFE_INTEGER}: {number}"));
            }
            Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| self.value(item, &format!("{place}/{at}"), depth + 1)),
            Value::Object(members) => members.iter().for_each(|(name, member)| self.value(member, &format!("{place}/{name}"), depth + 1)),
            _ => {}
        }
    }

    fn schema(&mut self, schema: &'a Map<String, Value>, place: &str) {
        for key in UNKNOWN {
            // Whoever checks an answer knows it.
            let is_read = key == "allOf" && self.role == Role::Output;
            if schema.contains_key(key) && !is_read {
                self.add(place, &format!("has {key:?}"));
            }
        }
        let kind = match schema.get("type") {
            None => None,
            Some(Value::String(kind)) => Some(&**kind),
            // Output schemas that were relaxed: a type or null.
            Some(Value::Array(kinds)) => match kinds.as_slice() {
                [Value::String(kind), Value::String(null)] if null == "null" => Some(&**kind),
                _ => {
                    self.add(place, "has several types");
                    None
                }
            },
            Some(_) => {
                self.add(place, "has a type that is none");
                None
            }
        };
        if kind.is_some_and(|kind| !TYPES.contains(&kind)) {
            self.add(place, "has a type that is none");
        }
        if kind.is_some() && schema.contains_key("anyOf") {
            self.add(place, "has alternatives beside its type");
        }
        if kind == Some("object") && !schema.contains_key("properties") {
            self.add(place, "has no properties");
        }
        // Those that say nothing are taken for none by google-genai.
        if kind == Some("array") && schema.get("items").and_then(Value::as_object).is_none_or(Map::is_empty) {
            self.add(place, "has no items");
        }
        for (key, value) in schema {
            let inside = format!("{place}/{key}");
            match &**key {
                "properties" | "patternProperties" | "$defs" => match value {
                    Value::Object(list) => {
                        for (name, part) in list {
                            if key == "patternProperties" && pattern::portable(name).as_deref() != Some(name) {
                                self.add(&inside, "has a pattern that not every client compiles");
                            }
                            self.part(part, &format!("{inside}/{name}"), false);
                        }
                    }
                    _ => self.add(&inside, "is no object"),
                },
                "items" | "additionalProperties" => self.part(value, &inside, false),
                "anyOf" | "allOf" => match value {
                    Value::Array(list) if !list.is_empty() => {
                        list.iter().enumerate().for_each(|(at, part)| self.part(part, &format!("{inside}/{at}"), key == "anyOf"));
                    }
                    _ => self.add(&inside, "is no list of schemas"),
                },
                "required" => self.required(value, schema.get("properties"), &inside),
                "enum" => {
                    let texts = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
                    if !value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(texts)) {
                        self.add(&inside, "has values that are no texts, or empty");
                    }
                }
                "pattern" if value.as_str().is_none_or(|text| pattern::portable(text).as_deref() != Some(text)) => {
                    self.add(&inside, "is a pattern that not every client compiles");
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" if !value.is_number() => {
                    self.add(&inside, "is no number");
                }
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" if !value.is_u64() => {
                    self.add(&inside, "is no count");
                }
                "title" | "description" | "format" | "contentEncoding" | "contentMediaType" if !value.is_string() => {
                    self.add(&inside, "is no text");
                }
                "$ref" => {
                    let name = value.as_str().and_then(|to| to.strip_prefix("#/$defs/"));
                    let defs = self.root.get("$defs").and_then(Value::as_object);
                    if !name.is_some_and(|name| defs.is_some_and(|defs| defs.contains_key(name))) {
                        self.add(&inside, "leads nowhere");
                    }
                }
                _ => {}
            }
        }
    }

    fn part(&mut self, part: &'a Value, place: &str, typed: bool) {
        let Value::Object(schema) = part else {
            self.add(place, "is no object");
            return;
        };
        if typed && !["type", "$ref", "anyOf"].iter().any(|key| schema.contains_key(*key)) {
            self.add(place, "is an alternative without a type");
        }
        self.schema(schema, place);
    }

    fn required(&mut self, names: &Value, properties: Option<&Value>, place: &str) {
        let Value::Array(names) = names else {
            self.add(place, "is no list");
            return;
        };
        let known = |name: &str| properties.and_then(|list| list.get(name)).is_some();
        if !names.iter().all(|name| name.as_str().is_some_and(known)) {
            self.add(place, "names what is no property");
        }
    }
}
