//! From a server's JSON to what a provider offers and answers. What has a field there goes into it, what has none is kept beside it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    ChannelError,
    raw::{RawObject, write_key},
};
use crate::{
    json,
    provider::{CallOutput, Completions, Content, JsonText, Offer, PromptOutput, Tool, ToolName},
};

/// Levels of objects and arrays that structured content may have, as that of plugins, and those that stand around it or
/// around a block of content.
const LEVELS: usize = 64;
const AROUND: usize = 4;

/// Keys of MCP itself in a result's `_meta`: they belong to one hop.
const RESERVED: &str = "io.modelcontextprotocol/";

/// Members of a call's result that have a field, or belong to one hop.
const CALL_MEMBERS: [&str; 5] = ["content", "structuredContent", "isError", "_meta", "resultType"];

/// A tool of `tools/list`, and what had to be left out of it.
///
/// # Errors
///
/// Why it cannot be offered, after the words "a tool ".
pub fn tool(mut entry: Map<String, Value>) -> Result<(Tool, Vec<String>), String> {
    let Some(Value::String(name)) = entry.remove("name") else { return Err("has no name".to_owned()) };
    let name = ToolName::new(name).map_err(|error| format!("cannot be called: {error}"))?;
    let mut faults = Vec::new();
    let input_schema = match entry.remove("inputSchema") {
        Some(Value::Object(schema)) => object_schema(schema).map_err(|why| format!("{name:?} has an inputSchema that {why}"))?,
        None => return Err(format!("{name:?} has no inputSchema")),
        Some(_) => return Err(format!("{name:?} has an inputSchema that is not an object")),
    };
    let output_schema = match entry.remove("outputSchema") {
        None | Some(Value::Null) => None,
        Some(Value::Object(schema)) => {
            object_schema(schema).map_err(|why| faults.push(format!("its outputSchema {why}, and is left out"))).ok().map(Arc::new)
        }
        Some(_) => {
            faults.push("its outputSchema is not an object, and is left out".to_owned());
            None
        }
    };
    let mut text = |key: &str| match entry.remove(key) {
        Some(Value::String(text)) => Some(text),
        None | Some(Value::Null) => None,
        Some(_) => {
            faults.push(format!("its {key} is not text, and is left out"));
            None
        }
    };
    let (title, description) = (text("title"), text("description"));
    let tool = Tool {
        name,
        title,
        description,
        input_schema: Arc::new(input_schema),
        output_schema,
        annotations: entry.remove("annotations").filter(Value::is_object),
        icons: entry.remove("icons").filter(Value::is_array),
        meta: match entry.remove("_meta") {
            Some(Value::Object(meta)) => Some(meta),
            _ => None,
        },
        extra: entry,
        notifies: true,
    };
    Ok((tool, faults))
}

/// Clients refuse a whole list for one schema that is not of an object, so that it is put right or refused here.
fn object_schema(mut schema: Map<String, Value>) -> Result<Map<String, Value>, String> {
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" => Ok(schema),
        None => {
            schema.insert("type".to_owned(), "object".into());
            Ok(schema)
        }
        Some(other) => Err(format!("is for {other} and not for an object")),
    }
}

/// A resource, a template or a prompt, by the member that it is called by.
///
/// # Errors
///
/// Why it cannot be offered, after the words "a prompt ".
pub fn offer(entry: Map<String, Value>, key: &str) -> Result<(Offer, Vec<String>), String> {
    match (entry.get(key), entry.get("name")) {
        (Some(Value::String(called)), Some(Value::String(_))) if !called.is_empty() => {
            Ok((Offer { key: called.clone(), json: entry }, Vec::new()))
        }
        (Some(Value::String(called)), _) if !called.is_empty() => Err(format!("{called:?} has no name")),
        _ => Err(format!("has no {key}")),
    }
}

/// The result of `tools/call`.
///
/// # Errors
///
/// [`ChannelError::Malformed`].
pub fn call(result: &JsonText) -> Result<CallOutput, ChannelError> {
    let object = members(result, "tools/call")?;
    let content: Vec<&RawValue> = match object.get("content") {
        None | Some("null") => Vec::new(),
        Some(content) => {
            serde_json::from_str(content).map_err(|error| malformed("tools/call", &format!("its content: {error}"), result))?
        }
    };
    let content = content
        .into_iter()
        .map(|block| block_of(block).ok_or_else(|| malformed("tools/call", "a block of content is not an object", result)));
    let mut extra = String::from("{");
    for (key, value) in object.members().filter(|(key, _)| !CALL_MEMBERS.contains(key)) {
        write_key(&mut extra, key);
        extra.push_str(value);
    }
    extra.push('}');
    Ok(CallOutput {
        content: content.collect::<Result<_, _>>()?,
        structured: object.get("structuredContent").filter(|structured| *structured != "null").map(text),
        is_error: object.read("isError").unwrap_or_default(),
        meta: meta(&object),
        extra: (extra.len() > 2).then(|| JsonText::from_writer(extra)),
    })
}

fn block_of(block: &RawValue) -> Option<Content> {
    let block = block.get();
    block.starts_with('{').then(|| Content::Block(text(block)))
}

/// The result of `resources/read`.
///
/// # Errors
///
/// [`ChannelError::Malformed`].
pub fn contents(result: &JsonText) -> Result<Vec<JsonText>, ChannelError> {
    let contents: Vec<&RawValue> = members(result, "resources/read")?
        .read("contents")
        .ok_or_else(|| malformed("resources/read", "it has no list of contents", result))?;
    Ok(contents.into_iter().map(|content| text(content.get())).collect())
}

/// The result of `prompts/get`.
///
/// # Errors
///
/// [`ChannelError::Malformed`].
pub fn prompt(result: &JsonText) -> Result<PromptOutput, ChannelError> {
    let object = members(result, "prompts/get")?;
    let messages = object.get("messages").filter(|messages| messages.starts_with('['));
    let messages = messages.ok_or_else(|| malformed("prompts/get", "it has no list of messages", result))?;
    Ok(PromptOutput { description: object.read("description"), messages: text(messages), meta: meta(&object) })
}

/// The result of `completion/complete`.
///
/// # Errors
///
/// [`ChannelError::Malformed`].
pub fn completions(result: &JsonText) -> Result<Completions, ChannelError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Completion {
        values: Vec<String>,
        #[serde(default)]
        total: Option<u32>,
        #[serde(default)]
        has_more: Option<bool>,
    }
    let Completion { values, total, has_more } = members(result, "completion/complete")?
        .read("completion")
        .ok_or_else(|| malformed("completion/complete", "it has no completion with a list of values", result))?;
    Ok(Completions { values, total, has_more: has_more.unwrap_or_default() })
}

fn members<'a>(result: &'a JsonText, method: &str) -> Result<RawObject<'a>, ChannelError> {
    // Passed on as it is, it would take down those clients that recurse once for each level.
    if json::is_deeper_than(result.as_str().as_bytes(), LEVELS + AROUND) {
        return Err(malformed(method, &format!("it is nested more than {LEVELS} levels deep"), result));
    }
    RawObject::parse(result.as_str()).ok_or_else(|| malformed(method, "it is not an object", result))
}

fn malformed(method: &str, what: &str, result: &JsonText) -> ChannelError {
    let start: String = result.as_str().chars().take(200).collect();
    ChannelError::Malformed(format!("the server's answer to {method} is not what MCP allows ({what}): {start}"))
}

/// `_meta` without what belongs to one hop.
fn meta(object: &RawObject<'_>) -> Option<JsonText> {
    let given = object.get("_meta").filter(|meta| meta.starts_with('{'))?;
    if !given.contains(RESERVED) {
        return Some(text(given));
    }
    let mut kept = String::from("{");
    for (key, value) in RawObject::parse(given)?.members().filter(|(key, _)| !key.starts_with(RESERVED)) {
        write_key(&mut kept, key);
        kept.push_str(value);
    }
    kept.push('}');
    (kept.len() > 2).then(|| JsonText::from_writer(kept))
}

/// A part of a message that was read as JSON.
fn text(json: &str) -> JsonText {
    JsonText::from_writer(json.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(entry) => entry,
            other => panic!("{other}"),
        }
    }

    fn result(text: &str) -> JsonText {
        JsonText::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_tool_keeps_all_its_members() {
        let given = json!({"name": "t", "title": "T", "description": "d", "inputSchema": {"type": "object", "$defs": {}}, "outputSchema": {"type": "object"},
            "annotations": {"x": 1}, "icons": [{"src": "s"}], "_meta": {"k": 1}, "execution": {"taskSupport": "optional"}, "new": [1]});
        let (tool, faults) = tool(entry(given)).unwrap();
        assert!(faults.is_empty() && tool.notifies);
        assert_eq!((tool.title.as_deref(), tool.description.as_deref()), (Some("T"), Some("d")));
        assert_eq!(Value::Object((*tool.input_schema).clone()), json!({"type": "object", "$defs": {}}));
        assert_eq!(Value::Object(tool.extra), json!({"execution": {"taskSupport": "optional"}, "new": [1]}));
        assert_eq!((tool.annotations, tool.icons), (Some(json!({"x": 1})), Some(json!([{"src": "s"}]))));
    }

    #[test]
    fn a_tool_that_would_spoil_the_list_is_refused_by_its_name() {
        let refused = |value| tool(entry(value)).unwrap_err();
        assert!(refused(json!({"inputSchema": {}})).contains("no name"));
        assert!(refused(json!({"name": "two words", "inputSchema": {}})).contains("\"two words\""));
        assert!(refused(json!({"name": "t"})).contains("\"t\" has no inputSchema"));
        assert!(refused(json!({"name": "t", "inputSchema": {"type": "string"}})).contains("is for \"string\""));
        let (tool, faults) = tool(entry(json!({"name": "t", "inputSchema": {}, "outputSchema": {"type": "array"}, "title": 1}))).unwrap();
        assert_eq!((tool.input_schema["type"].as_str(), tool.output_schema, tool.title), (Some("object"), None, None));
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn a_result_crosses_as_it_was_written() {
        let output = call(&result(
            r#"{"content":[{"type":"text","text":"é","new": 1.0}],"structuredContent":{"b":1.00,"a":2},"isError":true,"_meta":{"k": 1,"io.modelcontextprotocol/serverInfo":{}},"resultType":"complete","later":[ 1]}"#,
        ))
        .unwrap();
        assert_eq!(output.content, [Content::Block(result(r#"{"type":"text","text":"é","new": 1.0}"#))]);
        assert_eq!(output.structured, Some(result(r#"{"b":1.00,"a":2}"#)));
        assert_eq!((output.is_error, output.meta, output.extra), (true, Some(result(r#"{"k":1}"#)), Some(result(r#"{"later":[ 1]}"#))));
        assert_eq!(call(&result("{}")).unwrap(), CallOutput::default());
    }

    #[test]
    fn what_is_not_allowed_is_told_with_its_beginning() {
        for text in ["[]", r#"{"content":{}}"#, r#"{"content":["x"]}"#] {
            let error = call(&result(text)).unwrap_err().to_string();
            assert!(error.contains("tools/call") && error.contains(text), "{error}");
        }
        for levels in [100, 1_000_000] {
            let deep = |member: &str| format!("{{\"content\":[],\"{member}\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
            for member in ["structuredContent", "_meta", "other"] {
                let error = call(&result(&deep(member))).unwrap_err().to_string();
                assert!(error.contains("64 levels deep") && error.len() < 500, "{error}");
            }
        }
        assert!(contents(&result("{}")).is_err() && prompt(&result(r#"{"messages":{}}"#)).is_err() && completions(&result("{}")).is_err());
    }
}
