//! Parameters under other names: what is published of a tool's arguments, and the arguments of a call turned back.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::{
    json::raw::{RawObject, write_json, write_key},
    provider::Tool,
};

/// The own name of each parameter of one tool that is published under another.
pub(super) type OwnParams = HashMap<String, String>;

/// Renames parameters in a tool's input schema; `renames` says the published name of each by its own.
///
/// Returns the own name of each by its published one, and gives to `warn` what of it could not be done.
pub(super) fn rename(tool: &mut Tool, renames: &BTreeMap<String, String>, mut warn: impl FnMut(String)) -> OwnParams {
    let mut own_names = OwnParams::new();
    let mut schema = Map::clone(&tool.input_schema);
    let Some(Value::Object(properties)) = schema.get("properties") else { return own_names };
    for (own, published) in renames {
        if !properties.contains_key(own) {
            warn(format!("renames the parameter {own:?}, which the tool does not have"));
        } else if properties.contains_key(published) && !renames.contains_key(published) {
            warn(format!("renames the parameter {own:?} to {published:?}, and the tool has another one of that name"));
        } else {
            own_names.insert(published.clone(), own.clone());
        }
    }
    let published = |own: &String| match renames.get(own) {
        Some(name) if own_names.get(name) == Some(own) => name.clone(),
        _ => own.clone(),
    };
    let properties = properties.iter().map(|(own, schema)| (published(own), described(schema, own, &published(own)))).collect();
    schema.insert("properties".to_owned(), Value::Object(properties));
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        for name in required {
            if let Value::String(own) = name {
                *own = published(own);
            }
        }
    }
    tool.input_schema = schema.into();
    own_names
}

/// The schema of a parameter, which tells its own name where it is published under another: errors of the tool speak of that.
fn described(schema: &Value, own: &str, published: &str) -> Value {
    let mut schema = schema.clone();
    if own != published
        && let Value::Object(members) = &mut schema
    {
        let text = match members.get("description").and_then(Value::as_str) {
            Some(text) => format!("{}\n\nOriginal name: {own}", text.trim_end()),
            None => format!("Original name: {own}"),
        };
        members.insert("description".to_owned(), text.into());
    }
    schema
}

/// The arguments under their own names. None: they are as they are to be. An own name that nothing else is published under is taken as well.
pub(super) fn turned_back(arguments: &str, own_names: &OwnParams) -> Option<String> {
    let object = RawObject::parse(arguments)?;
    if !object.members().any(|(name, _)| own_names.contains_key(name)) {
        return None;
    }
    let mut out = String::with_capacity(arguments.len() + 32);
    out.push('{');
    for (name, value) in object.members() {
        write_key(&mut out, own_names.get(name).map_or(name, String::as_str));
        out.push_str(value);
    }
    out.push('}');
    Some(out)
}

/// Text of an answer about arguments, such as a list of those that are missing, in published names.
pub(super) fn missing(arguments: &str, schema: &Map<String, Value>, own_names: &OwnParams) -> Option<String> {
    let object = RawObject::parse(arguments)?;
    let has = |name: &str| object.get(name).is_some();
    let required = schema.get("required")?.as_array()?.iter().filter_map(Value::as_str);
    let missing = required.filter(|name| own_names.get(*name).is_some_and(|own| !has(name) && !has(own)));
    let mut text = String::new();
    for name in missing {
        text.push_str(if text.is_empty() { "" } else { ", " });
        write_json(&mut text, name);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::provider::ToolName;

    fn tool() -> Tool {
        let schema = json!({"type": "object", "required": ["q", "n"], "properties": {"q": {"type": "string", "description": "Words."},
            "n": {"type": "integer"}, "sort": {"type": "string"}}});
        Tool {
            name: ToolName::new("t").unwrap(),
            title: None,
            description: None,
            input_schema: Arc::new(schema.as_object().unwrap().clone()),
            output_schema: None,
            annotations: None,
            icons: None,
            meta: None,
            extra: Map::new(),
            notifies: false,
        }
    }

    fn renames(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(own, published)| ((*own).to_owned(), (*published).to_owned())).collect()
    }

    #[test]
    fn schema_and_call_have_the_published_names_in_their_authors_order() {
        let mut tool = tool();
        let own = rename(&mut tool, &renames(&[("q", "query"), ("n", "sort"), ("sort", "n")]), |warning| panic!("{warning}"));
        let names: Vec<&str> = tool.input_schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((names, &tool.input_schema["required"]), (vec!["query", "sort", "n"], &json!(["query", "sort"])), "two are exchanged");
        assert_eq!(tool.input_schema["properties"]["query"]["description"], "Words.\n\nOriginal name: q");
        let back = turned_back(r#"{"query": "x",  "sort":1.50, "n": "a", "q2": {}}"#, &own).unwrap();
        assert_eq!(back, r#"{"q":"x","n":1.50,"sort":"a","q2":{}}"#);
        assert_eq!(turned_back(r#"{"q": "x"}"#, &own), None, "the own name is taken as it is");
        assert_eq!(missing(r#"{"sort": 1}"#, &tool.input_schema, &own).as_deref(), Some("\"query\""));
        assert_eq!(missing(r#"{"q": 1, "sort": 2}"#, &tool.input_schema, &own), None);
    }

    #[test]
    fn what_cannot_be_renamed_is_told() {
        let (mut tool, mut warnings) = (tool(), Vec::new());
        let own = rename(&mut tool, &renames(&[("x", "y"), ("q", "sort")]), |warning| warnings.push(warning));
        assert!(own.is_empty() && tool.input_schema["properties"].get("q").is_some());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
