//! From a server's answers to those of a provider. What has a field there goes into it, what has none is kept beside it.

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    ChannelError, fit,
    raw::{RawObject, write_key},
};
use crate::{
    json::is_deeper_than,
    provider::{CallOutput, Completions, Content, JsonText, PromptOutput},
};

/// Levels of JSON that every client reads.
const DEPTH: usize = 64;
/// Levels that stand around them in a result.
const AROUND: usize = 4;

/// Keys of MCP itself in a result's `_meta`: they belong to one hop.
const RESERVED: &str = "io.modelcontextprotocol/";

/// Members of a call's result that have a field, or belong to one hop.
const CALL_MEMBERS: [&str; 5] = ["content", "structuredContent", "isError", "_meta", "resultType"];

/// The result of `tools/call`.
///
/// # Errors
///
/// [`ChannelError::Malformed`].
pub fn call(result: &JsonText) -> Result<CallOutput, ChannelError> {
    let object = RawObject::parse(result.as_str()).ok_or_else(|| malformed("tools/call", "it is not an object", result))?;
    // The call was done: whatever its answer looks like, the caller gets it in a form that can be read.
    let mut content = match object.get("content") {
        None | Some("null") => Vec::new(),
        Some(content) => match serde_json::from_str::<Vec<&RawValue>>(content) {
            Ok(blocks) => blocks.into_iter().map(|block| block_of(block.get())).collect(),
            Err(_) => vec![block_of(content)],
        },
    };
    let structured = object.get("structuredContent").filter(|structured| *structured != "null");
    let readable = structured.filter(|structured| is_readable(structured));
    if let (Some(structured), None) = (structured, readable)
        && content.is_empty()
    {
        content.push(Content::text(structured));
    }
    let mut extra = String::from("{");
    for (key, value) in object.members().filter(|(key, value)| !CALL_MEMBERS.contains(key) && is_readable(value)) {
        write_key(&mut extra, key);
        extra.push_str(value);
    }
    extra.push('}');
    Ok(CallOutput {
        content,
        structured: readable.map(text),
        is_error: object.read("isError").unwrap_or_default(),
        meta: meta(&object),
        extra: (extra.len() > 2).then(|| JsonText::from_writer(extra)),
        denied: None,
    })
}

/// A block of content. What clients would fail on is given to them as the text that it is.
fn block_of(block: &str) -> Content {
    let Some(object) = RawObject::parse(block).filter(|_| is_readable(block)) else {
        let plain = serde_json::from_str::<String>(block);
        return Content::Text(plain.unwrap_or_else(|_| block.to_owned()));
    };
    // The usual ones have nothing in them that could be odd.
    let is_text = |key: &str| object.get(key).is_some_and(|value| value.starts_with('"'));
    let plain = match object.get("type") {
        Some("\"text\"") => is_text("text"),
        Some("\"image\"" | "\"audio\"") => is_text("data") && is_text("mimeType"),
        _ => false,
    };
    if plain && object.members().all(|(key, _)| matches!(key, "type" | "text" | "data" | "mimeType")) {
        return Content::Block(text(block));
    }
    let fitted = serde_json::from_str::<Map<String, Value>>(block).ok().map(|read| (fit::content(&read), read));
    match fitted {
        Some((Some(fitted), read)) if fitted == read => Content::Block(text(block)),
        Some((Some(fitted), _)) => JsonText::from_value(&fitted).map_or_else(|_| Content::text(block), Content::Block),
        _ => Content::text(block),
    }
}

/// Whether JSON has no more levels than every client reads.
fn is_readable(json: &str) -> bool {
    !is_deeper_than(json.as_bytes(), DEPTH)
}

/// The result of `resources/read`, of the resource at `uri`.
///
/// # Errors
///
/// [`ChannelError::Malformed`].
pub fn contents(result: &JsonText, uri: &str) -> Result<Vec<JsonText>, ChannelError> {
    let object = members(result, "resources/read")?;
    let contents = object.get("contents").filter(|contents| *contents != "null");
    let contents = contents.ok_or_else(|| malformed("resources/read", "it has no list of contents", result))?;
    Ok(match serde_json::from_str::<Vec<&RawValue>>(contents) {
        Ok(contents) => contents.into_iter().map(|content| content_of(content.get(), uri)).collect(),
        Err(_) => vec![content_of(contents, uri)],
    })
}

/// One of the contents of a resource, in the form that clients read.
fn content_of(content: &str, uri: &str) -> JsonText {
    let mut read = match serde_json::from_str::<Value>(content) {
        Ok(Value::Object(read)) => read,
        Ok(Value::String(plain)) => Map::from_iter([("text".to_owned(), plain.into())]),
        _ => Map::from_iter([("text".to_owned(), content.into())]),
    };
    let given = read.clone();
    read.retain(|key, value| match key.as_str() {
        "uri" | "mimeType" | "blob" => value.is_string(),
        "_meta" => value.is_object(),
        _ => true,
    });
    read.entry("uri").or_insert_with(|| uri.into());
    if !read.contains_key("blob") {
        // JSON that was meant to be written as text.
        let plain = match read.get("text") {
            Some(Value::String(_)) => None,
            Some(Value::Null) | None => Some(String::new()),
            Some(other) => Some(other.to_string()),
        };
        if let Some(plain) = plain {
            read.insert("text".to_owned(), plain.into());
        }
    }
    if read == given { text(content) } else { JsonText::from_value(&read).unwrap_or_else(|_| text(content)) }
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
    Ok(PromptOutput { description: object.read("description"), messages: messages_of(messages), meta: meta(&object) })
}

/// The messages of a prompt, each in the form that clients read.
fn messages_of(messages: &str) -> JsonText {
    let Ok(Value::Array(given)) = serde_json::from_str::<Value>(messages) else { return text(messages) };
    let mut fitted = Vec::with_capacity(given.len());
    for message in &given {
        let role = message.get("role").and_then(Value::as_str).filter(|role| *role == "assistant").unwrap_or("user");
        let content = if message.is_object() { message.get("content").cloned().unwrap_or_default() } else { message.clone() };
        // Some write a list of blocks, as tools do.
        let blocks = if let Value::Array(blocks) = content { blocks } else { vec![content] };
        for block in blocks {
            let fit = match &block {
                Value::Object(read) => fit::content(read).map(Value::Object),
                _ => None,
            };
            let plain = || match &block {
                Value::String(plain) => plain.clone(),
                other => other.to_string(),
            };
            let block = fit.unwrap_or_else(|| json!({ "type": "text", "text": plain() }));
            let mut message = match message {
                Value::Object(message) => message.clone(),
                _ => Map::new(),
            };
            message.insert("role".to_owned(), role.into());
            message.insert("content".to_owned(), block);
            fitted.push(Value::Object(message));
        }
    }
    if fitted == given { text(messages) } else { JsonText::from_value(&fitted).unwrap_or_else(|_| text(messages)) }
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
    if is_deeper_than(result.as_str().as_bytes(), DEPTH + AROUND) {
        return Err(malformed(method, &format!("it is nested more than {DEPTH} levels deep"), result));
    }
    RawObject::parse(result.as_str()).ok_or_else(|| malformed(method, "it is not an object", result))
}

fn malformed(method: &str, what: &str, result: &JsonText) -> ChannelError {
    let start: String = result.as_str().chars().take(200).collect();
    ChannelError::Malformed(format!("the server's answer to {method} is not what MCP allows ({what}): {start}"))
}

/// `_meta` without what belongs to one hop.
fn meta(object: &RawObject<'_>) -> Option<JsonText> {
    let given = object.get("_meta").filter(|meta| meta.starts_with('{') && is_readable(meta))?;
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
    use super::*;

    fn result(text: &str) -> JsonText {
        JsonText::parse(text.to_owned()).unwrap()
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
    fn an_answer_of_an_odd_form_is_an_answer() {
        let content = |text: &str| call(&result(text)).unwrap().content;
        assert_eq!(content(r#"{"content":"done"}"#), [Content::text("done")]);
        assert_eq!(content(r#"{"content":["a",{"b":1}]}"#), [Content::text("a"), Content::text(r#"{"b":1}"#)]);
        assert_eq!(content(r#"{"content":{"type":"text","text":"t"}}"#), [Content::Block(result(r#"{"type":"text","text":"t"}"#))]);
        assert_eq!(
            content(r#"{"content":[{"type":"text","text":"t","annotations":{"audience":"all"}}]}"#),
            [Content::Block(result(r#"{"type":"text","text":"t"}"#))]
        );
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let block = format!(r#"{{"type":"text","text":"t","_meta":{{"a":{deep}}}}}"#);
        assert_eq!(content(&format!(r#"{{"content":[{block}]}}"#)), [Content::text(block.as_str())]);
        let output = call(&result(&format!(r#"{{"_meta":{{"a":{deep}}},"later":{deep}}}"#))).unwrap();
        assert_eq!((output.meta, output.extra), (None, None));
        let output = call(&result(&format!(r#"{{"structuredContent":{{"a":{deep}}}}}"#))).unwrap();
        assert_eq!((output.structured, output.content), (None, vec![Content::text(format!(r#"{{"a":{deep}}}"#))]));
    }

    #[test]
    fn contents_and_messages_of_an_odd_form_are_read_by_clients_too() {
        let read = |text: &str| contents(&result(&format!(r#"{{"contents":{text}}}"#)), "f:///a").unwrap();
        let exact = r#"{"uri":"f:///b","text":"é","new": 1.0}"#;
        assert_eq!(read(&format!("[{exact}]")), [result(exact)], "what is right is passed on as it was written");
        for (given, want) in [
            (r#"["plain"]"#, r#"{"text":"plain","uri":"f:///a"}"#),
            (r#"{"text":"t"}"#, r#"{"text":"t","uri":"f:///a"}"#),
            (r#"[{"uri":5,"text":{"a":1},"mimeType":null,"_meta":[]}]"#, r#"{"text":"{\"a\":1}","uri":"f:///a"}"#),
            (r#"[{"uri":"f:///b","blob":"AA=="}]"#, r#"{"uri":"f:///b","blob":"AA=="}"#),
            ("[7]", r#"{"text":"7","uri":"f:///a"}"#),
        ] {
            assert_eq!(read(given), [result(want)], "{given}");
        }
        let said = |text: &str| prompt(&result(&format!(r#"{{"messages":{text}}}"#))).unwrap().messages;
        let exact = r#"[{"role":"assistant","content":{"type":"text","text":"t","x": 1.0}}]"#;
        assert_eq!(said(exact), result(exact));
        for (given, want) in [
            (r#"["hi"]"#, r#"[{"role":"user","content":{"type":"text","text":"hi"}}]"#),
            (r#"[{"role":"system","content":"be kind"}]"#, r#"[{"role":"user","content":{"type":"text","text":"be kind"}}]"#),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"odd"}]}]"#,
                r#"[{"role":"user","content":{"type":"text","text":"a"}},{"role":"user","content":{"type":"text","text":"{\"type\":\"odd\"}"}}]"#,
            ),
        ] {
            assert_eq!(said(given), result(want), "{given}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_told_with_its_beginning() {
        let error = call(&result("[]")).unwrap_err().to_string();
        assert!(error.contains("tools/call") && error.contains("[]"), "{error}");
        assert!(
            contents(&result("{}"), "f:///a").is_err()
                && prompt(&result(r#"{"messages":{}}"#)).is_err()
                && completions(&result("{}")).is_err()
        );
    }
}
