//! Pieces of schemas that every step reads or makes: references of ours, names for definitions, alternatives.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::keywords::ANNOTATIONS;

/// The name that a reference of ours leads to.
pub(super) fn target(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// A name for `$defs` that no reader has to escape, and that nothing else has.
pub(super) fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    const LONGEST: usize = 48;
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut base: String = name.chars().map(safe).take(LONGEST).collect();
    if base.chars().all(|c| c == '_') {
        "schema".clone_into(&mut base);
    }
    let mut name = base.clone();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{base}_{number}");
    }
    name
}

/// A schema that takes what any of these takes.
pub(super) fn any_of(schemas: Vec<Map<String, Value>>) -> Map<String, Value> {
    let mut distinct: Vec<Map<String, Value>> = Vec::with_capacity(schemas.len());
    for schema in schemas {
        if schema.keys().all(|key| ANNOTATIONS.contains(&&**key)) {
            return Map::new();
        }
        // What is an alternative already is no level of its own.
        let inner = match schema.get("anyOf") {
            Some(Value::Array(list)) if schema.len() == 1 => list.iter().filter_map(|one| one.as_object().cloned()).collect(),
            _ => vec![schema],
        };
        for schema in inner {
            if !distinct.contains(&schema) {
                distinct.push(schema);
            }
        }
    }
    if distinct.len() == 1 {
        return distinct.pop().unwrap_or_default();
    }
    let mut out = Map::new();
    if !distinct.is_empty() {
        out.insert("anyOf".to_owned(), distinct.into_iter().map(Value::Object).collect());
    }
    out
}

/// The schema of an array's members. An empty one is taken for none at all by google-genai, and Gemini's API
/// refuses an array without `items`.
pub(super) fn items_are(mut items: Map<String, Value>, out: &mut Map<String, Value>) {
    if items.is_empty() {
        items.insert("description".to_owned(), "Any value.".into());
    }
    out.insert("items".to_owned(), items.into());
}
