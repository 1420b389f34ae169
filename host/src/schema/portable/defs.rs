//! Definitions: what is nested deep or written often stands once under `$defs`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::parts::{items_are, target, unique};

/// Schemas in schemas before the next one is a definition. Model APIs limit it (OpenAI: 10), as do parsers of JSON; each is about two levels of text.
const NESTED: usize = 7;

/// Bytes that have to be saved before what is written often is written once: readers follow what is inline more easily.
const SAVED: usize = 4096;

/// The same schema, with definitions for what is nested deep or written often.
pub(super) fn hoisted(mut schema: Map<String, Value>) -> Map<String, Value> {
    let mut defs = match schema.shift_remove("$defs") {
        Some(Value::Object(defs)) => defs,
        _ => Map::new(),
    };
    let mut taken: HashSet<String> = defs.keys().cloned().collect();
    let mut by_text: HashMap<String, usize> = HashMap::new();
    count(&schema, &mut by_text);
    defs.values().filter_map(Value::as_object).for_each(|schema| {
        count(schema, &mut by_text);
    });
    let often = by_text.into_iter().filter(|(text, times)| text.len() * (times - 1) >= SAVED).map(|(text, _)| (text, None)).collect();
    let mut hoist = Hoist { often, new: Map::new(), taken: &mut taken };
    let done: Map<String, Value> = std::mem::take(&mut defs)
        .into_iter()
        .map(|(name, schema)| match schema {
            Value::Object(schema) => (name, Value::Object(hoist.inside(schema, 0))),
            other => (name, other),
        })
        .collect();
    let mut schema = hoist.inside(schema, 0);
    let mut defs = done;
    defs.extend(hoist.new);
    if !defs.is_empty() {
        schema.insert("$defs".to_owned(), defs.into());
    }
    schema
}

/// Counts schemas by their text. The text of a schema that is worth a definition, with all that is in it, is returned.
fn count(schema: &Map<String, Value>, by_text: &mut HashMap<String, usize>) -> usize {
    const LEAST: usize = 200;
    let mut size = 0;
    parts(schema, &mut |_, part| size += count(part, by_text));
    if size < LEAST && schema.len() < 2 {
        return size + 20;
    }
    let text = Value::Object(schema.clone()).to_string();
    let length = text.len();
    if length >= LEAST && target(schema).is_none() {
        *by_text.entry(text).or_default() += 1;
    }
    length
}

struct Hoist<'a> {
    /// What is written often, and its name once it has one.
    often: HashMap<String, Option<String>>,
    new: Map<String, Value>,
    taken: &'a mut HashSet<String>,
}

impl Hoist<'_> {
    /// The parts of a schema, each in its place or as a reference.
    fn inside(&mut self, schema: Map<String, Value>, depth: usize) -> Map<String, Value> {
        map_parts(schema, &mut |name, part| self.part(name, part, depth + 1))
    }

    fn part(&mut self, name: &str, schema: Map<String, Value>, depth: usize) -> Map<String, Value> {
        if target(&schema).is_some() {
            return schema;
        }
        if !self.often.is_empty() {
            let text = Value::Object(schema.clone()).to_string();
            match self.often.get(&text) {
                Some(Some(known)) => return reference(known),
                Some(None) => {
                    let def = unique(name, self.taken);
                    self.often.insert(text, Some(def.clone()));
                    return self.define(def, schema);
                }
                None => {}
            }
        }
        if depth >= NESTED && has_parts(&schema) {
            let def = unique(name, self.taken);
            return self.define(def, schema);
        }
        self.inside_named(name, schema, depth)
    }

    fn inside_named(&mut self, name: &str, schema: Map<String, Value>, depth: usize) -> Map<String, Value> {
        map_parts(schema, &mut |key, part| {
            let name = if key.is_empty() { name } else { key };
            self.part(name, part, depth + 1)
        })
    }

    fn define(&mut self, def: String, schema: Map<String, Value>) -> Map<String, Value> {
        let out = reference(&def);
        let schema = self.inside_named(&def, schema, 0);
        self.new.insert(def, schema.into());
        out
    }
}

fn reference(name: &str) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("$ref".to_owned(), format!("#/$defs/{name}").into());
    out
}

fn has_parts(schema: &Map<String, Value>) -> bool {
    let mut found = false;
    parts(schema, &mut |_, part| found |= !part.is_empty());
    found
}

/// The schema with something said wherever a part was taken out: of its alternatives, which are nothing once one of them takes anything,
/// and of what its arrays hold.
pub(super) fn filled(schema: Map<String, Value>) -> Map<String, Value> {
    let typed = |part: &Value| part.get("type").is_some() || part.get("$ref").is_some();
    let schema = everywhere(schema, &mut |schema| {
        if schema.get("anyOf").and_then(Value::as_array).is_some_and(|parts| !parts.iter().all(typed)) {
            schema.shift_remove("anyOf");
        }
    });
    everywhere(schema, &mut |schema| {
        if let Some(Value::Object(items)) = schema.get("items").filter(|items| items.as_object().is_some_and(Map::is_empty)) {
            items_are(items.clone(), schema);
        }
    })
}

/// The schema with this done to it and to each one in it, its definitions too.
pub(super) fn everywhere(mut schema: Map<String, Value>, each: &mut impl FnMut(&mut Map<String, Value>)) -> Map<String, Value> {
    each(&mut schema);
    let defs = schema.shift_remove("$defs");
    let mut schema = map_parts(schema, &mut |_, part| everywhere(part, each));
    if let Some(Value::Object(defs)) = defs {
        let defs = defs.into_iter().map(|(name, part)| match part {
            Value::Object(part) => (name, Value::Object(everywhere(part, each))),
            other => (name, other),
        });
        schema.insert("$defs".to_owned(), Value::Object(defs.collect()));
    }
    schema
}

/// The schemas directly inside of a schema, with the property's name where they have one.
pub(super) fn parts<'a>(schema: &'a Map<String, Value>, each: &mut impl FnMut(&'a str, &'a Map<String, Value>)) {
    for (key, value) in schema {
        match (&**key, value) {
            ("properties" | "patternProperties" | "$defs", Value::Object(list)) => {
                list.iter().filter_map(|(name, part)| Some((name, part.as_object()?))).for_each(|(name, part)| each(name, part));
            }
            ("items" | "additionalProperties", Value::Object(part)) => each("", part),
            ("anyOf", Value::Array(list)) => list.iter().filter_map(Value::as_object).for_each(|part| each("", part)),
            _ => {}
        }
    }
}

/// The same schema with other parts in the places of its own.
pub(super) fn map_parts(
    schema: Map<String, Value>,
    each: &mut impl FnMut(&str, Map<String, Value>) -> Map<String, Value>,
) -> Map<String, Value> {
    let mut one = |name: &str, value: Value| match value {
        Value::Object(part) => Value::Object(each(name, part)),
        other => other,
    };
    let map = |(key, value): (String, Value)| {
        let value = match (&*key, value) {
            ("properties" | "patternProperties", Value::Object(list)) => Value::Object(
                list.into_iter()
                    .map(|(name, part)| {
                        let part = one(&name, part);
                        (name, part)
                    })
                    .collect(),
            ),
            ("items" | "additionalProperties", part @ Value::Object(_)) => one("", part),
            ("anyOf", Value::Array(list)) => Value::Array(list.into_iter().map(|part| one("", part)).collect()),
            (_, value) => value,
        };
        (key, value)
    };
    schema.into_iter().map(map).collect()
}

/// The names of the definitions that a schema leads to.
pub(super) fn reachable(schema: &Map<String, Value>, defs: &Map<String, Value>) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        if let Some(name) = target(schema)
            && found.insert(name.to_owned())
            && let Some(Value::Object(next)) = defs.get(name)
        {
            open.push(next);
        }
        parts(schema, &mut |_, part| open.push(part));
    }
    found
}

/// The schema with nothing beside a reference that leads back to the definition in which it stands: openai-agents writes out each that has something
/// beside it, and would not come to an end.
pub(super) fn bare_circles(mut schema: Map<String, Value>) -> Map<String, Value> {
    let Some(Value::Object(defs)) = schema.get_mut("$defs") else { return schema };
    let number: HashMap<String, usize> = defs.keys().enumerate().map(|(at, name)| (name.clone(), at)).collect();
    // Which definitions lead to each.
    let mut from: Vec<Vec<usize>> = vec![Vec::new(); number.len()];
    for (at, def) in defs.values().enumerate() {
        let mut open: Vec<&Map<String, Value>> = def.as_object().into_iter().collect();
        while let Some(part) = open.pop() {
            if let Some(to) = target(part).and_then(|name| from.get_mut(*number.get(name)?)) {
                to.push(at);
            }
            parts(part, &mut |_, part| open.push(part));
        }
    }
    for (at, def) in defs.values_mut().enumerate() {
        let Value::Object(def) = def else { continue };
        let mut leading = vec![false; from.len()];
        let mut open = vec![at];
        while let Some(one) = open.pop() {
            if let Some(seen) = leading.get_mut(one).filter(|seen| !**seen) {
                *seen = true;
                open.extend(from.get(one).into_iter().flatten());
            }
        }
        let leads_back = |name: &str| number.get(name).and_then(|at| leading.get(*at)).is_some_and(|leads| *leads);
        *def = bare_references(std::mem::take(def), &leads_back);
    }
    schema
}

fn bare_references(mut schema: Map<String, Value>, is_bare: &impl Fn(&str) -> bool) -> Map<String, Value> {
    if schema.len() > 1 && target(&schema).is_some_and(is_bare) {
        schema.retain(|key, _| key == "$ref");
    }
    map_parts(schema, &mut |_, part| bare_references(part, is_bare))
}
