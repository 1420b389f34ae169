//! Schemas: from OpenAPI's dialects to JSON Schema 2020-12, with everything that they refer to in `$defs` of their own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::Document;

/// References that lead from one to the next before it is called a circle.
const CHAIN: usize = 32;

/// Which way a value goes: what is only read is not sent, what is only written does not come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Request,
    Response,
}

/// Translates schemas of one tool, and gathers what they refer to.
pub(super) struct Translation<'a> {
    document: &'a Document,
    way: Way,
    /// By the name below `$defs`. Null while it is being made.
    defs: BTreeMap<String, Value>,
}

impl<'a> Translation<'a> {
    pub(super) fn new(document: &'a Document, way: Way) -> Self {
        Self { document, way, defs: BTreeMap::new() }
    }

    /// The schema in 2020-12. References are to `#/$defs/…`.
    pub(super) fn schema(&mut self, schema: &Value) -> Result<Value, String> {
        let Value::Object(members) = schema else { return Ok(schema.clone()) };
        if let Some(Value::String(reference)) = members.get("$ref") {
            let reference = json!({ "$ref": self.reference(reference)? });
            // In 3.0 what stands beside a reference does not count.
            if self.document.old || members.len() == 1 {
                return Ok(reference);
            }
        }
        let mut made = Map::new();
        for (keyword, value) in members {
            match keyword.as_str() {
                "$ref" => {
                    let reference = value.as_str().ok_or_else(|| "a $ref is not text".to_owned())?;
                    made.insert(keyword.clone(), self.reference(reference)?.into());
                }
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                    made.insert(keyword.clone(), self.named(value, keyword == "properties")?);
                }
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties" => {
                    made.insert(keyword.clone(), self.schema(value)?);
                }
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    let parts = value.as_array().ok_or_else(|| format!("{keyword} is not a list"))?;
                    made.insert(keyword.clone(), parts.iter().map(|part| self.schema(part)).collect::<Result<_, _>>()?);
                }
                "example" => drop(made.entry("examples").or_insert_with(|| json!([value]))),
                // OpenAPI's own, which say nothing to a validator.
                "discriminator" | "xml" | "externalDocs" | "readOnly" | "writeOnly" | "$schema" | "$id" => {}
                "nullable" | "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {}
                keyword if keyword.starts_with("x-") => {}
                _ => drop(made.insert(keyword.clone(), value.clone())),
            }
        }
        for (flag, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            if members.get(flag) == Some(&Value::Bool(true))
                && let Some(value) = made.shift_remove(limit)
            {
                made.insert(flag.to_owned(), value);
            }
        }
        if let (Some(Value::Object(properties)), Some(Value::Array(required))) = (members.get("properties"), made.get_mut("required")) {
            required.retain(|name| !name.as_str().and_then(|name| properties.get(name)).is_some_and(|property| self.is_hidden(property)));
        }
        if members.get("nullable") == Some(&Value::Bool(true)) {
            return Ok(nullable(made));
        }
        Ok(Value::Object(made))
    }

    fn named(&mut self, value: &Value, are_properties: bool) -> Result<Value, String> {
        let Value::Object(named) = value else { return Err("what should be schemas by name is none".to_owned()) };
        let mut made = Map::new();
        for (name, schema) in named {
            if !(are_properties && self.is_hidden(schema)) {
                made.insert(name.clone(), self.schema(schema)?);
            }
        }
        Ok(Value::Object(made))
    }

    /// Whether a property does not go this way.
    fn is_hidden(&self, property: &Value) -> bool {
        let flag = if self.way == Way::Request { "readOnly" } else { "writeOnly" };
        property.get(flag) == Some(&Value::Bool(true))
    }

    /// Takes in what a reference leads to, and answers where it is now.
    fn reference(&mut self, reference: &str) -> Result<String, String> {
        let Some(pointer) = reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/')) else {
            return Err(format!("{reference:?} refers to another document, which is not followed"));
        };
        let (target, name, rest) = match pointer.strip_prefix("/components/schemas/") {
            Some(path) => {
                let (name, rest) = path.split_once('/').map_or((path, ""), |(name, _)| (name, path.get(name.len()..).unwrap_or_default()));
                (format!("/components/schemas/{name}"), name.to_owned(), rest)
            }
            None => (pointer.to_owned(), pointer.trim_start_matches('/').to_owned(), ""),
        };
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        if !self.defs.contains_key(&name) {
            let document = self.document;
            let found = document.raw.pointer(&target).ok_or_else(|| format!("{reference:?} leads nowhere"))?;
            self.defs.insert(name.clone(), Value::Null);
            let made = self.schema(found)?;
            self.defs.insert(name.clone(), made);
        }
        Ok(format!("#/$defs/{name}{rest}"))
    }

    /// The translated schema itself, past any references.
    pub(super) fn resolved<'s>(&'s self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..CHAIN {
            let Some(Value::String(reference)) =
                schema.get("$ref").filter(|_| schema.as_object().is_some_and(|members| members.len() == 1))
            else {
                return schema;
            };
            let Some(name) = reference.strip_prefix("#/$defs/") else { return schema };
            let (name, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
            match self.defs.get(name).and_then(|def| def.pointer(rest)) {
                Some(next) => schema = next,
                None => return schema,
            }
        }
        schema
    }

    /// A schema of an object as a document of its own, with all that it refers to.
    pub(super) fn into_root(mut self, mut root: Map<String, Value>) -> Map<String, Value> {
        let mut needed: Vec<String> = Vec::new();
        root.values().for_each(|value| names_in(value, &mut needed));
        let mut defs = Map::new();
        while let Some(name) = needed.pop() {
            if let Some(def) = self.defs.remove(&name) {
                names_in(&def, &mut needed);
                defs.insert(name, def);
            }
        }
        if !defs.is_empty()
            && let Value::Object(all) = root.entry("$defs").or_insert_with(|| json!({}))
        {
            all.extend(defs);
        }
        root
    }
}

/// The definitions that a schema refers to.
fn names_in(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(reference) if name == "$ref" => {
                        found.extend(reference.strip_prefix("#/$defs/").and_then(|rest| rest.split('/').next()).map(str::to_owned));
                    }
                    member => names_in(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, found)),
        _ => {}
    }
}

/// What 3.0 calls nullable.
fn nullable(mut schema: Map<String, Value>) -> Value {
    match schema.get_mut("type") {
        Some(kind @ Value::String(_)) => {
            *kind = json!([kind.clone(), "null"]);
            if let Some(Value::Array(values)) = schema.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
            Value::Object(schema)
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}
