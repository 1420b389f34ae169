//! Several schemas for one value become one: `allOf`, alternatives of objects, and the top of a document, where no alternatives may stand.
//!
//! What is made takes all that the parts take together. Where two parts disagree on a keyword that narrows, the one that is kept may take more.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    defs::{filled, reachable},
    parts::{any_of, target},
};

/// References that are followed into each other while parts are put together.
const DEPTH: usize = 24;

/// Schemas in schemas that are put together, those behind references counted too.
const NESTED: usize = 160;

/// Schemas that may be written while parts are put together, before it is given up.
const MAX_COPIED: usize = 20_000;

/// The document with everything put together: its `$defs` are those that are referred to.
///
/// # Errors
///
/// Why it is no schema of an object, as the end of a sentence.
pub(super) fn merged(root: Map<String, Value>, defs: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut merge = Merge { defs: &defs, copied: 0, nested: 0 };
    let mut done = Map::new();
    for (name, schema) in &defs {
        let Value::Object(schema) = schema else { continue };
        done.insert(name.clone(), Value::Object(merge.schema(schema, &mut vec![name])));
    }
    let root = merge.schema(&root, &mut Vec::new());
    let mut top = merge.top(&root)?;
    if merge.copied > MAX_COPIED {
        return Err("has so many `allOf` in it that they cannot be put together".to_owned());
    }
    cut_circles(&mut done);
    let used = reachable(&top, &done);
    done.retain(|name, _| used.contains(name));
    if !done.is_empty() {
        top.insert("$defs".to_owned(), done.into());
    }
    // A circle that was cut leaves nothing where something was said.
    Ok(filled(top))
}

struct Merge<'a> {
    defs: &'a Map<String, Value>,
    copied: usize,
    /// Schemas that are being put together, each in the one before.
    nested: usize,
}

impl<'a> Merge<'a> {
    /// A schema whose parts, and theirs, are put together. `open` are the definitions that are being read.
    fn schema(&mut self, schema: &Map<String, Value>, open: &mut Vec<&'a str>) -> Map<String, Value> {
        self.copied += 1;
        // What is deeper may be anything: the stack is that of whoever reads a list.
        if self.nested == NESTED {
            return Map::new();
        }
        self.nested += 1;
        let out = self.whole(schema, open);
        self.nested -= 1;
        out
    }

    fn whole(&mut self, schema: &Map<String, Value>, open: &mut Vec<&'a str>) -> Map<String, Value> {
        let mut out = Map::new();
        for (key, value) in schema {
            let value = match (&**key, value) {
                ("allOf", _) => continue,
                ("properties" | "patternProperties", Value::Object(list)) => {
                    let each = |(name, value): (&String, &Value)| (name.clone(), self.value(value, open));
                    Value::Object(list.iter().map(each).collect())
                }
                ("items" | "additionalProperties", value) => self.value(value, open),
                ("anyOf", Value::Array(list)) => Value::Array(list.iter().map(|one| self.value(one, open)).collect()),
                (_, value) => value.clone(),
            };
            out.insert(key.clone(), value);
        }
        let Some(Value::Array(parts)) = schema.get("allOf") else { return self.flat(out, open) };
        for part in parts {
            let Value::Object(part) = part else { continue };
            // One part and nothing else that narrows: a reference may stay one.
            if parts.len() == 1 && target(part).is_some() && out.keys().all(|key| !narrows(key)) {
                out.extend(part.iter().filter(|(key, _)| !schema.contains_key(*key)).map(|(key, value)| (key.clone(), value.clone())));
                return out;
            }
            let part = self.inlined(part, open);
            self.combine(&mut out, part, open);
        }
        self.flat(out, open)
    }

    fn value(&mut self, value: &Value, open: &mut Vec<&'a str>) -> Value {
        match value {
            Value::Object(schema) => Value::Object(self.schema(schema, open)),
            other => other.clone(),
        }
    }

    /// The schema, or what it refers to, written out. A circle ends in a schema that takes anything.
    fn inlined(&mut self, schema: &Map<String, Value>, open: &mut Vec<&'a str>) -> Map<String, Value> {
        let Some(name) = target(schema) else { return self.schema(schema, open) };
        let Some((name, Value::Object(found))) = self.defs.get_key_value(name) else { return Map::new() };
        if open.contains(&&**name) || open.len() >= DEPTH || self.copied > MAX_COPIED {
            return Map::new();
        }
        open.push(name);
        let mut out = self.schema(found, open);
        if target(&out).is_some() {
            out = self.inlined(&out, open);
        }
        open.pop();
        for (key, value) in schema.iter().filter(|(key, _)| *key != "$ref") {
            out.insert(key.clone(), value.clone());
        }
        out
    }

    /// Puts `part` to what there is: both hold.
    fn combine(&mut self, out: &mut Map<String, Value>, part: Map<String, Value>, open: &mut Vec<&'a str>) {
        let closes = |schema: &Map<String, Value>| schema.get("additionalProperties").cloned();
        let rest = match (closes(out), closes(&part)) {
            (Some(a), Some(b)) if a == b => Some(a),
            // A part that lets nothing else in knows nothing of the other's properties.
            _ => None,
        };
        for (key, value) in part {
            match (&*key, out.get_mut(&key), value) {
                ("additionalProperties", ..) => {}
                (_, None, value) => drop(out.insert(key, value)),
                ("type", Some(have), value) if have == "number" && value == "integer" => *have = value,
                ("properties" | "patternProperties", Some(Value::Object(have)), Value::Object(more)) => {
                    for (name, schema) in more {
                        match (have.get_mut(&name), schema) {
                            (Some(Value::Object(both)), Value::Object(schema)) if *both != schema && target(both).is_none() => {
                                if target(&schema).is_none() {
                                    self.combine(both, schema, open);
                                    *both = self.flat(std::mem::take(both), open);
                                } else if both.keys().all(|key| !narrows(key)) {
                                    let mut schema = schema;
                                    schema.extend(std::mem::take(both));
                                    *both = schema;
                                }
                            }
                            (Some(_), _) => {}
                            (None, schema) => drop(have.insert(name, schema)),
                        }
                    }
                }
                ("required", Some(Value::Array(have)), Value::Array(more)) => {
                    for name in more {
                        if !have.contains(&name) {
                            have.push(name);
                        }
                    }
                }
                ("enum", Some(Value::Array(have)), Value::Array(more)) => {
                    let both: Vec<Value> = have.iter().filter(|value| more.contains(value)).cloned().collect();
                    if !both.is_empty() {
                        *have = both;
                    }
                }
                _ => {}
            }
        }
        match rest {
            Some(rest) => drop(out.insert("additionalProperties".to_owned(), rest)),
            None => drop(out.shift_remove("additionalProperties")),
        }
    }

    /// A type and alternatives beside each other are one or the other: model APIs take alternatives by themselves only.
    fn flat(&mut self, mut schema: Map<String, Value>, open: &mut Vec<&'a str>) -> Map<String, Value> {
        let Some(kind) = schema.get("type").and_then(Value::as_str).map(str::to_owned) else { return schema };
        let Some(Value::Array(alternatives)) = schema.shift_remove("anyOf") else { return schema };
        if kind == "object" {
            let alternatives: Vec<_> = alternatives.iter().filter_map(Value::as_object).map(|one| self.inlined(one, open)).collect();
            put_alternatives(&mut schema, alternatives);
        }
        schema
    }

    /// The top of a document: a type, properties, and no alternatives.
    fn top(&mut self, root: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut open = Vec::new();
        let mut top = self.inlined(root, &mut open);
        match top.get("type").and_then(Value::as_str) {
            Some("object") => {}
            Some(other) => return Err(format!("is for \"{other}\" and not for an object")),
            None => {
                let alternatives = match top.shift_remove("anyOf") {
                    Some(Value::Array(list)) => list,
                    _ => Vec::new(),
                };
                let all: Vec<_> = alternatives.iter().filter_map(Value::as_object).map(|one| self.inlined(one, &mut open)).collect();
                let mut objects: Vec<_> = all.iter().filter(|one| one.get("type").is_some_and(|kind| kind == "object")).cloned().collect();
                let mut nested = all.iter().filter_map(|one| one.get("anyOf").and_then(Value::as_array)).flatten();
                let inner = nested.by_ref().filter_map(Value::as_object).map(|one| self.inlined(one, &mut open));
                objects.extend(inner.filter(|one| one.get("type").is_some_and(|kind| kind == "object")));
                if objects.is_empty() && !all.is_empty() {
                    return Err("is not for an object".to_owned());
                }
                top.insert("type".to_owned(), "object".into());
                put_alternatives(&mut top, objects);
            }
        }
        if !top.get("properties").is_some_and(Value::is_object) {
            top.insert("properties".to_owned(), Value::Object(Map::new()));
        }
        top.shift_remove("$defs");
        Ok(ordered(top))
    }
}

/// The words of the top in the order in which people write them.
fn ordered(mut top: Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for key in ["type", "title", "description", "properties", "required"] {
        if let Some(value) = top.shift_remove(key) {
            out.insert(key.to_owned(), value);
        }
    }
    out.extend(top);
    out
}

/// Adds the properties of alternatives, of which one holds, to an object that takes all of them.
fn put_alternatives(schema: &mut Map<String, Value>, alternatives: Vec<Map<String, Value>>) {
    if alternatives.is_empty() {
        return;
    }
    let mut own = match schema.shift_remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    let mut more: Vec<(String, Vec<Map<String, Value>>)> = Vec::new();
    let mut required: Option<HashSet<String>> = None;
    for alternative in &alternatives {
        if let Some(Value::Object(properties)) = alternative.get("properties") {
            for (name, property) in properties {
                let Value::Object(property) = property else { continue };
                match more.iter_mut().find(|(known, _)| known == name) {
                    Some((_, list)) => list.push(property.clone()),
                    None => more.push((name.clone(), vec![property.clone()])),
                }
            }
        }
        let names = alternative.get("required").and_then(Value::as_array).into_iter().flatten();
        let names: HashSet<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        required = Some(required.map_or_else(|| names.clone(), |both| both.intersection(&names).cloned().collect()));
    }
    for (name, list) in more {
        let is_open = own.get(&name).and_then(Value::as_object).is_none_or(|property| property.keys().all(|key| !narrows(key)));
        if is_open {
            let mut property = values_together(list);
            if let Some(Value::Object(said)) = own.get(&name) {
                property.extend(said.clone());
            }
            own.insert(name, property.into());
        }
    }
    let mut names: Vec<Value> = match schema.shift_remove("required") {
        Some(Value::Array(names)) => names,
        _ => Vec::new(),
    };
    let known: Vec<&String> = own.keys().collect();
    for name in known {
        let every = required.as_ref().is_some_and(|required| required.contains(name));
        if every && !names.iter().any(|have| have == name) {
            names.push(name.clone().into());
        }
    }
    schema.insert("properties".to_owned(), own.into());
    if !names.is_empty() {
        schema.insert("required".to_owned(), names.into());
    }
    schema.shift_remove("additionalProperties");
    schema.shift_remove("patternProperties");
    // What one alternative allows is not for another one to limit.
    schema.shift_remove("minProperties");
    schema.shift_remove("maxProperties");
}

/// One schema for what several say of a property: texts of an `enum` together, else alternatives.
fn values_together(list: Vec<Map<String, Value>>) -> Map<String, Value> {
    let texts = |schema: &Map<String, Value>| {
        (schema.get("type").is_some_and(|kind| kind == "string") && !schema.contains_key("pattern"))
            .then(|| schema.get("enum").and_then(Value::as_array).cloned())
            .flatten()
    };
    let Some(values) = list.iter().map(texts).collect::<Option<Vec<_>>>() else { return any_of(list) };
    let mut all: Vec<Value> = Vec::new();
    for value in values.into_iter().flatten() {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    let mut out = list.into_iter().next().unwrap_or_default();
    out.insert("enum".to_owned(), all.into());
    out
}

fn narrows(key: &str) -> bool {
    !matches!(key, "title" | "description" | "default" | "examples" | "deprecated" | "readOnly" | "writeOnly") && !key.starts_with("x-")
}

/// A definition that leads back to itself without looking at a part of the value is one that no reader comes to the end of.
fn cut_circles(defs: &mut Map<String, Value>) {
    let names: Vec<String> = defs.keys().cloned().collect();
    for name in names {
        // Everything that is reached from here without a step into the value.
        loop {
            let mut seen = HashSet::new();
            let mut open = vec![name.clone()];
            let mut last = None;
            while let Some(at) = open.pop() {
                if !seen.insert(at.clone()) {
                    continue;
                }
                for next in in_place(defs.get(&at)) {
                    if next == name {
                        last = Some(at.clone());
                    }
                    open.push(next);
                }
            }
            let Some(from) = last else { break };
            if let Some(Value::Object(schema)) = defs.get_mut(&from) {
                let before = schema.clone();
                cut(schema, &name);
                if *schema == before {
                    break;
                }
            }
        }
    }
}

/// Definitions that hold for the same value.
fn in_place(schema: Option<&Value>) -> Vec<String> {
    let Some(Value::Object(schema)) = schema else { return Vec::new() };
    let mut found: Vec<String> = target(schema).map(str::to_owned).into_iter().collect();
    for one in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        found.extend(in_place(Some(one)));
    }
    found
}

fn cut(schema: &mut Map<String, Value>, name: &str) {
    if target(schema) == Some(name) {
        schema.shift_remove("$ref");
    }
    if let Some(Value::Array(list)) = schema.get_mut("anyOf") {
        list.retain(|one| one.as_object().and_then(target) != Some(name));
        for one in list.iter_mut() {
            if let Value::Object(one) = one {
                cut(one, name);
            }
        }
        if list.is_empty() {
            schema.shift_remove("anyOf");
        }
    }
}
