//! A tool of `tools/list`, made fit.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{description, icons, meta, text};
use crate::{
    config::{OutputSchema, PublishRules},
    provider::{Tool, ToolName},
    schema::{
        Schema,
        portable::{Role, portable},
        promise::Promise,
    },
};

/// The hints of `annotations`, which are yes or no.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// A tool as it can be published, and what had to be changed or left out of it, in sentences.
///
/// # Errors
///
/// Why it cannot be offered, after the words "a tool ".
pub fn tool(mut entry: Map<String, Value>, rules: PublishRules) -> Result<(Tool, Vec<String>), String> {
    let name = match entry.shift_remove("name") {
        Some(Value::String(name)) => name,
        Some(Value::Number(name)) => name.to_string(),
        _ => return Err("has no name".to_owned()),
    };
    let name = ToolName::new(name).map_err(|error| format!("cannot be called: {error}"))?;
    let mut faults = Vec::new();
    let given = entry.shift_remove("inputSchema");
    if given.is_none() {
        faults.push("it has no inputSchema, and is published with one that takes any arguments".to_owned());
    }
    let input = portable(&given.unwrap_or_default(), Role::Input, rules.max_schema)
        .map_err(|why| format!("{name:?} has an inputSchema that {why}"))?;
    faults.extend(input.notes.into_iter().map(|note| format!("its inputSchema {note}")));
    let output_schema = entry.shift_remove("outputSchema").filter(|schema| !schema.is_null());
    let output_schema = output_schema.and_then(|schema| output(schema, rules, &mut faults)).map(Arc::new);
    let (title, description) = (text(&mut entry, "title", &mut faults), description(&mut entry, &mut faults));
    let annotations = annotations(entry.shift_remove("annotations"), &mut faults);
    let icons = icons(entry.shift_remove("icons"), &mut faults);
    let meta = meta(entry.shift_remove("_meta"), &mut faults);
    execution(&mut entry, &mut faults);
    let tool = Tool {
        name,
        title,
        description,
        input_schema: Arc::new(input.schema),
        output_schema,
        annotations,
        icons,
        meta,
        extra: entry,
        notifies: true,
    };
    Ok((tool, faults))
}

/// The output schema as it is published.
fn output(schema: Value, rules: PublishRules, faults: &mut Vec<String>) -> Option<Map<String, Value>> {
    if rules.output == OutputSchema::Off {
        return None;
    }
    let fitted = match portable(&schema, Role::Output, rules.max_schema) {
        Ok(fitted) => fitted,
        Err(why) => {
            faults.push(format!("its outputSchema {why}, and is left out"));
            return None;
        }
    };
    let published = match (rules.output, schema) {
        (OutputSchema::AsIs, Value::Object(schema)) => {
            faults.extend(fitted.notes.into_iter().map(|note| format!("its outputSchema {note}")));
            schema
        }
        // What is lost of a promise that is not kept to needs no word.
        _ => Promise::of(&fitted.schema).0,
    };
    match Schema::new(&published) {
        Ok(_) => Some(published),
        Err(why) => {
            faults.push(format!("its outputSchema {why}, and is left out"));
            None
        }
    }
}

fn annotations(annotations: Option<Value>, faults: &mut Vec<String>) -> Option<Value> {
    let mut members = match annotations {
        Some(Value::Object(members)) => members,
        None | Some(Value::Null) => return None,
        Some(_) => {
            faults.push("its annotations are no object, and are left out".to_owned());
            return None;
        }
    };
    members.retain(|key, value| {
        let fits = match key.as_str() {
            "title" => value.is_string(),
            key if HINTS.contains(&key) => value.is_boolean(),
            _ => true,
        };
        if !fits && !value.is_null() {
            faults.push(format!("{key:?} of its annotations is of a wrong type, and is left out"));
        }
        fits
    });
    Some(Value::Object(members))
}

/// `execution`: whether it may be a task.
fn execution(entry: &mut Map<String, Value>, faults: &mut Vec<String>) {
    let Some(execution) = entry.get("execution") else { return };
    let known = |support: &Value| support == "forbidden" || support == "optional" || support == "required";
    let fits = execution.as_object().is_some_and(|members| members.get("taskSupport").is_none_or(known));
    if !fits {
        faults.push("its execution is not what MCP has there, and is left out".to_owned());
        entry.shift_remove("execution");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: PublishRules = PublishRules { output: OutputSchema::Relaxed, max_schema: 4096 };

    fn fit(value: Value) -> Result<(Tool, Vec<String>), String> {
        match value {
            Value::Object(entry) => tool(entry, RULES),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_tool_keeps_all_its_members() {
        let given = json!({"name": "t", "title": "T", "description": "d", "inputSchema": {"type": "object", "properties": {}},
            "outputSchema": {"type": "object"}, "annotations": {"x": 1}, "icons": [{"src": "s"}], "_meta": {"k": 1},
            "execution": {"taskSupport": "optional"}, "new": [1]});
        let (tool, faults) = fit(given).unwrap();
        assert!(faults.is_empty() && tool.notifies, "{faults:?}");
        assert_eq!((tool.title.as_deref(), tool.description.as_deref()), (Some("T"), Some("d")));
        assert_eq!(Value::Object((*tool.input_schema).clone()), json!({"type": "object", "properties": {}}));
        assert_eq!(Value::Object(tool.extra), json!({"execution": {"taskSupport": "optional"}, "new": [1]}));
        assert_eq!((tool.annotations, tool.icons), (Some(json!({"x": 1})), Some(json!([{"src": "s"}]))));
    }

    #[test]
    fn a_tool_that_cannot_be_called_is_withheld_by_its_name() {
        let refused = |value| fit(value).unwrap_err();
        assert!(refused(json!({"inputSchema": {}})).contains("no name"));
        assert!(refused(json!({"name": "", "inputSchema": {}})).contains("cannot be called"));
        assert!(
            refused(json!({"name": "t", "inputSchema": {"type": "string"}})).contains("\"t\" has an inputSchema that is for \"string\"")
        );
        let large: Map<String, Value> = (0..2000).map(|n| (format!("property_{n}"), json!({"type": "string"}))).collect();
        assert!(refused(json!({"name": "t", "inputSchema": {"type": "object", "properties": large}})).contains("max_schema"));
    }

    #[test]
    fn members_of_a_wrong_type_are_left_out_and_told() {
        let (tool, faults) =
            fit(json!({"name": "t", "title": 1, "description": {}, "outputSchema": {"type": "array"}, "annotations": {"title": 5,
            "readOnlyHint": "yes", "mine": 1}, "icons": [{"src": 1}, {"src": "a", "sizes": "48x48 any", "theme": "pink"}], "_meta": [],
            "execution": {"taskSupport": "maybe"}}))
            .unwrap();
        assert_eq!((tool.title, tool.description, tool.output_schema, tool.meta), (None, None, None, None));
        assert_eq!(Value::Object((*tool.input_schema).clone()), json!({"type": "object", "properties": {}}));
        assert_eq!(tool.annotations, Some(json!({"mine": 1})));
        assert_eq!(tool.icons, Some(json!([{"src": "a", "sizes": ["48x48", "any"]}])));
        assert!(tool.extra.is_empty());
        assert_eq!(faults.len(), 9, "{faults:#?}");
        let (tool, faults) = fit(json!({"name": "t", "inputSchema": {}, "annotations": 5, "icons": "x"})).unwrap();
        assert_eq!((tool.annotations, tool.icons, faults.len()), (None, None, 2));
    }

    #[test]
    fn an_output_schema_is_published_as_the_setting_says() {
        let entry = json!({"name": "t", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object", "required": ["a"],
            "properties": {"a": {"type": "string", "format": "uri"}}, "additionalProperties": false}});
        let with = |output| match entry.clone() {
            Value::Object(entry) => {
                tool(entry, PublishRules { output, ..RULES }).unwrap().0.output_schema.map(|schema| Value::Object((*schema).clone()))
            }
            _ => None,
        };
        assert_eq!(with(OutputSchema::Off), None);
        assert_eq!(with(OutputSchema::AsIs).unwrap(), entry["outputSchema"]);
        assert_eq!(with(OutputSchema::Relaxed).unwrap(), json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}));
    }
}
