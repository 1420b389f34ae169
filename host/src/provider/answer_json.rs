//! A tool's answer as one JSON text, MCP's result of `tools/call`, and back: for whoever judges answers.

use serde_json::{Map, Value, value::RawValue};

use super::{CallOutput, Content, JsonText};
use crate::json::raw::{RawObject, write_json, write_key};

/// Members that have a field.
const KNOWN: [&str; 4] = ["content", "structuredContent", "isError", "_meta"];

impl CallOutput {
    /// The answer as JSON text of an object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::from("{\"content\":[");
        for (index, content) in self.content.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match content {
                Content::Text(plain) => {
                    text.push_str("{\"type\":\"text\",\"text\":");
                    write_json(&mut text, plain);
                    text.push('}');
                }
                Content::Block(block) => text.push_str(block.as_str()),
            }
        }
        text.push(']');
        for (key, value) in [("structuredContent", &self.structured), ("_meta", &self.meta)] {
            if let Some(value) = value {
                write_key(&mut text, key);
                text.push_str(value.as_str());
            }
        }
        if self.is_error {
            text.push_str(",\"isError\":true");
        }
        if let Some(members) = self.extra.as_ref().and_then(|extra| extra.as_str().trim().strip_prefix('{')?.strip_suffix('}')) {
            text.push(',');
            text.push_str(members);
        }
        text.push('}');
        text
    }

    /// Reads what [`Self::to_json`] writes, as somebody else has changed it.
    ///
    /// # Errors
    ///
    /// What is wrong with it: half a sentence that begins with "it".
    pub fn from_json(text: &str) -> Result<Self, String> {
        let object = RawObject::parse(text).ok_or("it is not a JSON object")?;
        let member = |key: &str| object.get(key).filter(|value| *value != "null");
        let blocks: Vec<&RawValue> = match member("content") {
            None => Vec::new(),
            Some(content) => serde_json::from_str(content).map_err(|_| "its \"content\" is not an array")?,
        };
        let content = blocks.into_iter().map(|block| content(block.get())).collect::<Result<_, String>>()?;
        let is_error = match member("isError") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err("its \"isError\" is not true or false".to_owned()),
        };
        let meta = member("_meta");
        if meta.is_some_and(|meta| !meta.starts_with('{')) {
            return Err("its \"_meta\" is not an object".to_owned());
        }
        let mut extra = String::from("{");
        for (key, value) in object.members().filter(|(key, _)| !KNOWN.contains(key)) {
            write_key(&mut extra, key);
            extra.push_str(value);
        }
        extra.push('}');
        let json = |text: &str| JsonText::from_writer(text.to_owned());
        Ok(Self {
            content,
            structured: member("structuredContent").map(json),
            is_error,
            meta: meta.map(json),
            extra: (extra.len() > 2).then(|| JsonText::from_writer(extra)),
            denied: None,
        })
    }
}

fn content(block: &str) -> Result<Content, String> {
    let wrong = || "a block of its \"content\" is not an object with a \"type\"".to_owned();
    let object = RawObject::parse(block).ok_or_else(wrong)?;
    let kind: String = object.read("type").ok_or_else(wrong)?;
    if kind != "text" {
        return Ok(Content::Block(JsonText::from_writer(block.to_owned())));
    }
    let text: String = object.read("text").ok_or("a text of its \"content\" has no \"text\"")?;
    let is_plain = object.members().all(|(key, _)| matches!(key, "type" | "text"));
    Ok(if is_plain { Content::Text(text) } else { Content::Block(JsonText::from_writer(block.to_owned())) })
}

/// Whether a text is JSON of an object.
///
/// # Errors
///
/// What is wrong with it: half a sentence that begins with "it".
pub fn check_object(text: &str) -> Result<(), String> {
    serde_json::from_str::<Map<String, Value>>(text).map(drop).map_err(|error| format!("it is not a JSON object: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn answer(texts: Vec<String>, structured: Option<i64>, is_error: bool) -> CallOutput {
        let json = |value: &Value| JsonText::from_value(value).unwrap();
        let mut content: Vec<Content> = texts.into_iter().map(Content::Text).collect();
        content.push(Content::Block(json(&json!({ "type": "image", "data": "AA==", "mimeType": "image/png" }))));
        content.push(Content::Block(json(&json!({ "type": "text", "text": "x", "annotations": { "priority": 0.5 } }))));
        CallOutput {
            content,
            structured: structured.map(|number| json(&json!({ "n": number }))),
            is_error,
            meta: structured.map(|_| json(&json!({ "a/b": [1] }))),
            extra: is_error.then(|| json(&json!({ "more": 1, "other": "x" }))),
            denied: None,
        }
    }

    proptest! {
        #[test]
        fn what_nobody_changes_is_the_same_again(texts in prop::collection::vec(".{0,20}", 0..4), structured: Option<i64>, is_error: bool) {
            let answer = answer(texts, structured, is_error);
            let text = answer.to_json();
            prop_assert!(check_object(&text).is_ok(), "{text}");
            prop_assert_eq!(CallOutput::from_json(&text), Ok(answer));
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,60}") {
            let _ = CallOutput::from_json(&text);
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (text, why) in [
            ("[]", "not a JSON object"),
            ("{", "not a JSON object"),
            (r#"{"content":1}"#, "not an array"),
            (r#"{"content":[1]}"#, "not an object with a \"type\""),
            (r#"{"content":[{"text":"x"}]}"#, "not an object with a \"type\""),
            (r#"{"content":[{"type":"text"}]}"#, "has no \"text\""),
            (r#"{"isError":"no"}"#, "not true or false"),
            (r#"{"_meta":1}"#, "not an object"),
        ] {
            let error = CallOutput::from_json(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(CallOutput::from_json("{}"), Ok(CallOutput::default()));
        assert_eq!(CallOutput::from_json(r#"{"content":null,"isError":null}"#), Ok(CallOutput::default()));
    }
}
