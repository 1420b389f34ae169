//! Types as JSON Schemas: of arguments, of structured content, and of forms.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema of a tool's arguments. For the macros only.
#[doc(hidden)]
#[must_use]
pub fn input<T: JsonSchema>() -> Value {
    let mut schema = of::<T>(false);
    schema.remove("title");
    schema.remove("description");
    schema.entry("type").or_insert_with(|| "object".into());
    Value::Object(schema)
}

/// The schema of structured content, which is an object by MCP's rules: anything else is its member `result`.
pub(crate) fn output<T: JsonSchema>() -> Value {
    let schema = of::<T>(true);
    let root = Value::Object(schema.clone());
    let defs = schema.get("$defs").cloned();
    let wrapped = |mut inner: Map<String, Value>| {
        inner.remove("$defs");
        json!({ "type": "object", "properties": { "result": inner }, "required": ["result"] })
    };
    let mut published = match kind(&root, &root, 0) {
        Kind::Object => {
            let mut schema = schema;
            schema.entry("type").or_insert_with(|| "object".into());
            return Value::Object(schema);
        }
        Kind::Other => wrapped(schema),
        Kind::Either => {
            let mut bare = schema.clone();
            bare.remove("$defs");
            json!({ "type": "object", "anyOf": [bare, wrapped(schema)] })
        }
    };
    if let (Some(defs), Some(object)) = (defs, published.as_object_mut()) {
        object.insert("$defs".to_owned(), defs);
    }
    published
}

/// The schema of a form: its properties have their types in place, since clients follow no references there.
pub(crate) fn form<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    without_null(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
    }
    schema
}

fn of<T: JsonSchema>(answers: bool) -> Map<String, Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    if answers {
        settings.contract = schemars::generate::Contract::Serialize;
    }
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    if !answers {
        without_null(&mut schema);
    }
    match schema {
        Value::Object(object) => object,
        // `true`: anything.
        _ => Map::new(),
    }
}

/// Takes away what says nothing to a client: Rust's names of number types, and defaults that are null.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(format)) = object.get("format")
                && (format.starts_with("int") || format.starts_with("uint") || format == "float" || format == "double")
            {
                object.remove("format");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// An optional property may be left out; that it may also be null needs no saying.
fn without_null(schema: &mut Value) {
    let required: Vec<String> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties {
        let Some(property) = property.as_object_mut() else { continue };
        if required.contains(name) {
            continue;
        }
        if property.get("default").is_some_and(Value::is_null) {
            property.remove("default");
        }
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|ty| ty != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                property.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = property.get_mut("enum") {
            choices.retain(|choice| !choice.is_null());
        }
        if let Some(Value::Array(any)) = property.get_mut("anyOf") {
            any.retain(|schema| schema.get("type").is_none_or(|ty| ty != "null"));
            if let [Value::Object(only)] = any.as_slice() {
                let only = only.clone();
                property.remove("anyOf");
                for (key, value) in only {
                    property.entry(key).or_insert(value);
                }
            }
        }
    }
}

/// What values of a schema can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Other,
    Either,
}

fn kind(schema: &Value, root: &Value, depth: usize) -> Kind {
    /// References that are followed: a type that is nothing but itself has no values.
    const DEEP: usize = 16;
    if depth > DEEP {
        return Kind::Either;
    }
    let deeper = |schema: &Value| kind(schema, root, depth + 1);
    if let Some(Value::String(ty)) = schema.get("type") {
        return if ty == "object" { Kind::Object } else { Kind::Other };
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        return if types.iter().any(|ty| ty == "object") { Kind::Either } else { Kind::Other };
    }
    if let Some(value) = schema.get("const") {
        return if value.is_object() { Kind::Object } else { Kind::Other };
    }
    if schema.get("enum").is_some() {
        return Kind::Other;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).map_or(Kind::Either, deeper);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(parts)) = schema.get(key) {
            let mut kinds = parts.iter().map(deeper);
            let first = kinds.next().unwrap_or(Kind::Either);
            return if kinds.all(|kind| kind == first) { first } else { Kind::Either };
        }
    }
    Kind::Either
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    #[data]
    struct Leaf {
        /// How many.
        #[schemars(range(min = 1))]
        count: u8,
        note: Option<String>,
    }

    #[data]
    enum Either {
        Nothing,
        Something(u8),
    }

    #[data]
    struct Tree {
        children: Vec<Tree>,
    }

    #[test]
    fn an_optional_argument_is_what_it_is_and_may_be_left_out() {
        let schema = input::<Leaf>();
        assert_eq!(schema["properties"]["note"], json!({ "type": "string" }));
        assert_eq!(schema["required"], json!(["count"]));
        assert_eq!(schema["properties"]["count"], json!({ "description": "How many.", "type": "integer", "minimum": 1, "maximum": 255 }));
    }

    #[test]
    fn structured_content_is_an_object() {
        assert_eq!(output::<Leaf>()["type"], "object");
        assert_eq!(output::<Vec<u8>>()["properties"]["result"]["type"], "array");
        assert_eq!(output::<Option<String>>()["properties"]["result"]["type"], json!(["string", "null"]));
        assert_eq!(output::<Either>()["anyOf"].as_array().map(Vec::len), Some(2));
        assert_eq!(output::<Tree>()["type"], "object");
        let trees = output::<Vec<Tree>>();
        assert!(trees.pointer("/$defs/Tree").is_some() && trees["properties"]["result"].get("$defs").is_none(), "{trees}");
        assert_eq!(output::<Value>()["type"], "object");
    }
}
