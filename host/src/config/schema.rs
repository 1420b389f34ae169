//! The JSON Schema of `toolbay.toml`, made of the declarations of its keys.

use serde_json::{Map, Value, json};

use super::{
    key::{Key, TableInfo},
    tables,
    units::{duration_pattern, size_pattern},
};

/// The JSON Schema (2020-12) of `toolbay.toml`, with descriptions and defaults.
#[must_use]
pub fn json_schema() -> Value {
    let mut definitions = shared();
    let mut root = Map::new();
    for known in &tables::vocabulary().tables {
        let schema = table(known);
        if known.header.is_empty() {
            root = schema;
        } else {
            definitions.insert(known.title.to_owned(), schema.into());
        }
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "toolbay.toml".into());
    schema.extend(root);
    schema.insert("$defs".to_owned(), definitions.into());
    let mut schema = Value::from(schema);
    // A page for tools: in the order of the alphabet two versions of it differ by what changed alone.
    schema.sort_all_objects();
    schema
}

fn table(table: &TableInfo) -> Map<String, Value> {
    let properties: Map<_, _> = table.keys().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = table.keys().filter(|key| key.is_required()).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("description".to_owned(), table.about.as_str().into());
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = Map::new();
    let range = key.of.range.as_ref().map_or(String::new(), |range| format!(" {range}."));
    schema.insert("description".to_owned(), format!("{}{range}", key.meaning()).into());
    if let Value::Object(of) = &key.of.schema {
        schema.extend(of.clone());
    }
    if let Some(default) = &key.default {
        schema.insert("default".to_owned(), default.clone());
    }
    schema.into()
}

/// What several keys have as their value.
fn shared() -> Map<String, Value> {
    let source = json!({
        "description": "Where a secret is taken from.",
        "type": "object",
        "properties": {
            "from_env": { "type": "string", "description": "The name of an environment variable of the host." },
            "from_file": { "type": "string", "description": "A file. One newline at its end is left out." }
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1
    });
    let shared = json!({
        "Size": {
            "description": "Bytes, or a number and a unit: 4096, \"64KiB\", \"1.5 GiB\", \"10MB\".",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": size_pattern() }]
        },
        "Duration": {
            "description": "A number and a unit (us, ms, s, m, h, d), or several: \"500ms\", \"90s\", \"1h30m\". Without a unit: seconds.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": duration_pattern() }]
        },
        "SecretSource": source,
        "TokenSource": {
            "description": "Where a token is taken from, and the roles of who has it.",
            "type": "object",
            "properties": {
                "from_env": { "type": "string", "description": "The name of an environment variable of the host." },
                "from_file": { "type": "string", "description": "A file. One newline at its end is left out." },
                "roles": { "type": "array", "items": { "type": "string" }, "description": "Names of [role.NAME] tables." }
            },
            "additionalProperties": false,
            "oneOf": [{ "required": ["from_env"] }, { "required": ["from_file"] }]
        },
        "EnvSource": {
            "description": "The value itself, or where a secret is taken from.",
            "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/SecretSource" }]
        },
        "GpuMemory": {
            "description": "Bytes, or a share of all that the GPU has.",
            "anyOf": [{ "$ref": "#/$defs/Size" }, { "type": "number", "exclusiveMinimum": 0, "maximum": 1 }]
        },
        "Replicas": {
            "description": "A number of replicas, or between which two numbers they are and when they become more.",
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 1000 }, { "$ref": "#/$defs/ReplicasSection" }]
        }
    });
    match shared {
        Value::Object(shared) => shared,
        _ => Map::new(),
    }
}
