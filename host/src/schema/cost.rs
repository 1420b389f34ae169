//! What checking arguments against a plugin's schema can cost: a validator cannot be interrupted, so what would take it too long is never begun.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// How often one value may be looked at, by all the ways that lead to its place together.
const VISITS: u64 = 1000;

/// Schemas that lead to each other without looking at a part of the value: a validator recurses once for each.
const NESTED: usize = 200;

/// Keywords whose schemas are applied to the same value.
const SAME: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];

/// Keywords with a schema for each name, all applied to the same value. (An array in `dependencies` is none.)
const SAME_BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];

/// Keywords that refer to a schema, which is applied to the same value.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Keywords that look once more at what the others have looked at.
const AGAIN: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// What checking a value takes.
pub(super) struct Cost {
    /// Levels of objects and arrays that arguments may have so that no value of theirs is looked at more than [`VISITS`] times.
    pub(super) levels: usize,
    /// How often one value of so many levels is looked at, at most.
    pub(super) visits: usize,
    /// Values of all `enum`s together.
    pub(super) choices: usize,
}

/// What it takes to check arguments of `most` levels, or of as many as can be.
///
/// # Errors
///
/// Where not even the outermost value can be checked at that price, in words that go on with "its input-schema".
pub(super) fn of(schema: &Value, most: usize) -> Result<Cost, String> {
    let mut anchors = HashMap::new();
    find_anchors(schema, true, &mut anchors)?;
    let mut count =
        Count { root: schema, anchors, targets: HashSet::new(), known: HashMap::new(), open: HashSet::new(), depth: 0, endless: false };
    count.find_targets(schema);
    let levels = (0..=most).take_while(|level| count.visits(schema, *level) <= VISITS).count();
    if count.endless {
        return Err("refers to itself without ever looking at a part of the arguments".to_owned());
    }
    let levels =
        levels.checked_sub(1).ok_or_else(|| "applies so many schemas to one value that checking it would take too long".to_owned())?;
    let visits = usize::try_from(count.visits(schema, levels)).unwrap_or(usize::MAX);
    Ok(Cost { levels, visits, choices: choices(schema) })
}

fn choices(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => {
            let own = members.get("enum").and_then(Value::as_array).map_or(0, Vec::len);
            members.values().fold(own, |sum, part| sum.saturating_add(choices(part)))
        }
        Value::Array(parts) => parts.iter().fold(0, |sum, part| sum.saturating_add(choices(part))),
        _ => 0,
    }
}

/// Names that references may use in place of a path.
fn find_anchors<'a>(schema: &'a Value, root: bool, found: &mut HashMap<&'a str, Vec<&'a Value>>) -> Result<(), String> {
    match schema {
        Value::Object(members) => {
            // A schema with a name of its own changes what the references in it mean.
            if !root && members.get("$id").is_some_and(Value::is_string) && members.len() > 1 {
                return Err("has an `$id` below its top; refer by `#/$defs/…`".to_owned());
            }
            for keyword in ["$anchor", "$dynamicAnchor"] {
                if let Some(Value::String(name)) = members.get(keyword) {
                    found.entry(name).or_default().push(schema);
                }
            }
            let values = ["const", "enum", "default", "examples"];
            members.iter().filter(|(name, _)| !values.contains(&name.as_str())).try_for_each(|(_, part)| find_anchors(part, false, found))
        }
        Value::Array(parts) => parts.iter().try_for_each(|part| find_anchors(part, false, found)),
        _ => Ok(()),
    }
}

/// Counts, for a schema, how often one value at most is looked at on the way down.
struct Count<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    /// What references lead to, by its place in memory. Everything else is reached in one way only, so that nothing has to be remembered of it.
    targets: HashSet<*const Value>,
    /// Of targets, by levels.
    known: HashMap<(*const Value, usize), u64>,
    /// Targets that are being counted.
    open: HashSet<(*const Value, usize)>,
    /// Schemas that are being counted.
    depth: usize,
    /// Some way comes back to its schema with the same value.
    endless: bool,
}

impl<'a> Count<'a> {
    fn visits(&mut self, schema: &'a Value, levels: usize) -> u64 {
        let Value::Object(members) = schema else { return 1 };
        let key = (std::ptr::from_ref(schema), levels);
        let is_target = self.targets.contains(&key.0);
        if is_target {
            if let Some(visits) = self.known.get(&key) {
                return *visits;
            }
            if !self.open.insert(key) {
                self.endless = true;
                return 1;
            }
        }
        self.depth += 1;
        let visits = if self.depth > NESTED { None } else { Some(self.parts(members, levels)) };
        self.depth -= 1;
        if is_target {
            self.open.remove(&key);
        }
        // What is nested too deeply here may not be elsewhere.
        let Some(visits) = visits else { return u64::MAX };
        if is_target {
            self.known.insert(key, visits);
        }
        visits
    }

    fn parts(&mut self, members: &'a Map<String, Value>, levels: usize) -> u64 {
        let mut visits = 1_u64.saturating_add(self.same(members, levels));
        if let Some(levels) = levels.checked_sub(1) {
            visits = visits.saturating_add(self.object(members, levels).max(self.array(members, levels)));
        }
        if AGAIN.iter().any(|keyword| members.contains_key(*keyword)) {
            visits = visits.saturating_mul(2);
        }
        visits
    }

    fn find_targets(&mut self, schema: &'a Value) {
        match schema {
            Value::Object(members) => {
                for keyword in REFERENCES {
                    if let Some(Value::String(reference)) = members.get(keyword) {
                        let found = self.targets(reference);
                        self.targets.extend(found.into_iter().map(std::ptr::from_ref));
                    }
                }
                members.values().for_each(|part| self.find_targets(part));
            }
            Value::Array(parts) => parts.iter().for_each(|part| self.find_targets(part)),
            _ => {}
        }
    }

    fn same(&mut self, members: &'a Map<String, Value>, levels: usize) -> u64 {
        let mut sum = 0_u64;
        for keyword in SAME {
            sum = sum.saturating_add(self.all(members.get(keyword), levels));
        }
        for keyword in SAME_BY_NAME {
            if let Some(Value::Object(parts)) = members.get(keyword) {
                sum = parts.values().fold(sum, |sum, part| sum.saturating_add(self.visits(part, levels)));
            }
        }
        for keyword in REFERENCES {
            let Some(Value::String(reference)) = members.get(keyword) else { continue };
            for target in self.targets(reference) {
                sum = sum.saturating_add(self.visits(target, levels));
            }
        }
        sum
    }

    fn object(&mut self, members: &'a Map<String, Value>, levels: usize) -> u64 {
        let mut sum = match members.get("properties") {
            Some(Value::Object(parts)) => self.most(parts.values(), levels),
            _ => 0,
        };
        if let Some(Value::Object(parts)) = members.get("patternProperties") {
            sum = parts.values().fold(sum, |sum, part| sum.saturating_add(self.visits(part, levels)));
        }
        for keyword in ["additionalProperties", "unevaluatedProperties", "propertyNames"] {
            sum = sum.saturating_add(self.all(members.get(keyword), levels));
        }
        sum
    }

    fn array(&mut self, members: &'a Map<String, Value>, levels: usize) -> u64 {
        let mut sum = 0_u64;
        for keyword in ["prefixItems", "items"] {
            sum = sum.saturating_add(match members.get(keyword) {
                Some(Value::Array(parts)) => self.most(parts.iter(), levels),
                part => self.all(part, levels),
            });
        }
        for keyword in ["additionalItems", "contains", "unevaluatedItems"] {
            sum = sum.saturating_add(self.all(members.get(keyword), levels));
        }
        sum
    }

    /// One schema, or a list of which all are applied.
    fn all(&mut self, part: Option<&'a Value>, levels: usize) -> u64 {
        match part {
            Some(Value::Array(parts)) => parts.iter().fold(0, |sum: u64, part| sum.saturating_add(self.visits(part, levels))),
            Some(part @ Value::Object(_)) => self.visits(part, levels),
            _ => 0,
        }
    }

    /// Schemas for values beside each other: no value meets more than one.
    fn most(&mut self, parts: impl Iterator<Item = &'a Value>, levels: usize) -> u64 {
        parts.map(|part| self.visits(part, levels)).max().unwrap_or(0)
    }

    /// What a reference may mean. One that is none of ours is found out when the schema is compiled.
    fn targets(&self, reference: &str) -> Vec<&'a Value> {
        let own = self.root.get("$id").and_then(Value::as_str).unwrap_or_default();
        let rest = reference.strip_prefix(own).unwrap_or(reference);
        let Some(fragment) = rest.strip_prefix('#') else { return vec![self.root] };
        let fragment = decoded(fragment);
        match self.root.pointer(&fragment) {
            Some(target) => vec![target],
            None => self.anchors.get(fragment.as_str()).cloned().unwrap_or_default(),
        }
    }
}

/// Without `%24` and the like.
fn decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn levels(schema: &Value, most: usize) -> Result<usize, String> {
        of(schema, most).map(|cost| cost.levels)
    }

    /// Each definition applies the next one twice.
    fn doubling(levels: usize) -> Value {
        let mut parts: Map<String, Value> = (0..levels)
            .map(|level| {
                let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
                (format!("d{level}"), json!({ "allOf": [next.clone(), next] }))
            })
            .collect();
        parts.insert(format!("d{levels}"), json!({ "type": "object" }));
        json!({ "type": "object", "$ref": "#/$defs/d0", "$defs": parts })
    }

    #[test]
    fn a_schema_that_doubles_at_every_step_is_refused_at_once() {
        assert!(levels(&doubling(3), 64).is_ok());
        assert!(levels(&doubling(60), 64).unwrap_err().contains("too long"));
    }

    #[test]
    fn one_that_doubles_with_every_level_of_the_arguments_takes_few_levels() {
        let again = json!({ "$ref": "#" });
        for schema in [
            json!({ "properties": { "a": { "allOf": [again, again] } } }),
            json!({ "properties": { "a": { "anyOf": [{ "$ref": "#top" }, { "$ref": "#top" }] } }, "$anchor": "top" }),
            json!({ "items": { "oneOf": [{ "$ref": "#/%24defs/a" }, again] }, "$defs": { "a": { "items": again } } }),
        ] {
            let levels = levels(&schema, 64).unwrap();
            assert!((2..=12).contains(&levels), "{levels} for {schema}");
        }
    }

    #[test]
    fn loops_are_found_by_any_form_of_reference() {
        for schema in [
            json!({ "$ref": "" }),
            json!({ "$anchor": "a", "anyOf": [{ "$ref": "#a" }] }),
            json!({ "$dynamicAnchor": "a", "not": { "$dynamicRef": "#a" } }),
            json!({ "$id": "http://e.example/x", "allOf": [{ "$ref": "http://e.example/x#" }] }),
            json!({ "$ref": "#/%24defs/a", "$defs": { "a": { "allOf": [{ "$ref": "#/%24defs/a" }] } } }),
        ] {
            assert!(levels(&schema, 64).unwrap_err().contains("refers to itself"), "{schema}");
        }
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let mut parts: Map<String, Value> =
            (0..20_000).map(|n| (format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }))).collect();
        parts.insert("d20000".to_owned(), json!({}));
        assert!(levels(&json!({ "$ref": "#/$defs/d0", "$defs": parts }), 64).is_err());
    }

    #[test]
    fn usual_schemas_take_all_levels() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } }),
            json!({ "properties": { "a": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/n" }] } }, "$defs": { "n": { "items": { "$ref": "#/$defs/n" } } } }),
        ] {
            assert_eq!(levels(&schema, 64), Ok(64), "{schema}");
        }
    }
}
