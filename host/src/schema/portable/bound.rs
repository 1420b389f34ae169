//! A schema in so many bytes: what is least missed goes first.

use serde_json::{Map, Value};

use super::{
    Role,
    defs::{map_parts, reachable},
    keywords::is_known,
    parts::target,
};

/// Levels that are tried, one after the other, where a schema is too large.
const LEVELS: [usize; 6] = [8, 6, 4, 3, 2, 1];

/// Bytes of a description where a schema is too large.
const SHORT: usize = 160;

/// The schema where it is no larger than `max` bytes, else a smaller one: without examples, with short descriptions, with fewer levels.
///
/// # Errors
///
/// It is too large at any price, as the end of a sentence.
pub(super) fn bounded(schema: Map<String, Value>, max: usize, role: Role, notes: &mut Vec<String>) -> Result<Map<String, Value>, String> {
    let size = size_of(&schema);
    if size <= max {
        return Ok(schema);
    }
    // It is of use to nobody in parts: who reads it wants to know what comes.
    if role == Role::Output {
        return Err(format!("has {size} bytes, more than `max_schema` ({max})"));
    }
    let schema = shortened(schema);
    if size_of(&schema) <= max {
        notes.push(format!("has {size} bytes, more than `max_schema` ({max}): its descriptions are shortened"));
        return Ok(schema);
    }
    for levels in LEVELS {
        let cut = cut(&schema, levels);
        if size_of(&cut) <= max {
            notes.push(format!("has {size} bytes, more than `max_schema` ({max}): only {levels} levels of it are published"));
            return Ok(cut);
        }
    }
    Err(format!("has {size} bytes, more than `max_schema` ({max})"))
}

fn size_of(schema: &Map<String, Value>) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Cannot fail: the writer does not, and a map of texts is JSON.
    let _ = serde_json::to_writer(&mut count, schema);
    count.0
}

fn shortened(mut schema: Map<String, Value>) -> Map<String, Value> {
    for key in ["examples", "default", "title"] {
        schema.shift_remove(key);
    }
    schema.retain(|key, _| is_known(key) || matches!(key.as_str(), "description" | "title" | "deprecated" | "x-mcp-header"));
    if let Some(Value::String(text)) = schema.get_mut("description")
        && text.len() > SHORT
    {
        text.truncate(text.floor_char_boundary(SHORT));
        text.push('…');
    }
    let defs = schema.shift_remove("$defs");
    let mut schema = map_parts(schema, &mut |_, part| shortened(part));
    if let Some(Value::Object(defs)) = defs {
        let defs = defs.into_iter().map(|(name, part)| match part {
            Value::Object(part) => (name, Value::Object(shortened(part))),
            other => (name, other),
        });
        schema.insert("$defs".to_owned(), Value::Object(defs.collect()));
    }
    schema
}

/// The schema with so many levels, those behind references counted too.
fn cut(schema: &Map<String, Value>, levels: usize) -> Map<String, Value> {
    let mut top = schema.clone();
    let defs = match top.shift_remove("$defs") {
        Some(Value::Object(defs)) => defs,
        _ => Map::new(),
    };
    // How many levels are left where a definition is reached first.
    let mut left: Map<String, Value> = Map::new();
    let mut order: Vec<(String, usize)> = Vec::new();
    let mut out = level(top, levels, &mut |name, levels| reach(name, levels, &mut order));
    let mut at = 0;
    while let Some((name, levels)) = order.get(at).cloned() {
        at += 1;
        if let Some(Value::Object(def)) = defs.get(&name) {
            let def = level(def.clone(), levels, &mut |name, levels| reach(name, levels, &mut order));
            left.insert(name, def.into());
        }
    }
    let used = reachable(&out, &left);
    left.retain(|name, _| used.contains(name));
    if !left.is_empty() {
        out.insert("$defs".to_owned(), left.into());
    }
    out
}

/// Whether a definition is written out that is reached with so many levels left. The first to reach it has the most: levels are read one by one.
fn reach(name: &str, levels: usize, order: &mut Vec<(String, usize)>) -> bool {
    if order.iter().any(|(known, _)| known == name) {
        return true;
    }
    if levels > 0 {
        order.push((name.to_owned(), levels));
    }
    levels > 0
}

fn level(schema: Map<String, Value>, levels: usize, reach: &mut impl FnMut(&str, usize) -> bool) -> Map<String, Value> {
    if let Some(name) = target(&schema) {
        if reach(name, levels) {
            return schema;
        }
        let mut out = schema;
        out.shift_remove("$ref");
        return out;
    }
    if levels == 0 {
        return bare(schema);
    }
    map_parts(schema, &mut |_, part| level(part, levels - 1, reach))
}

/// What a schema says of itself, without what is in it.
fn bare(schema: Map<String, Value>) -> Map<String, Value> {
    let mut out: Map<String, Value> = Map::new();
    for (key, value) in schema {
        let value = match &*key {
            "anyOf" | "additionalProperties" | "patternProperties" | "required" => continue,
            "properties" | "items" => Value::Object(Map::new()),
            _ => value,
        };
        out.insert(key, value);
    }
    out
}
