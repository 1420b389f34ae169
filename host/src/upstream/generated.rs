//! Lists and answers of servers that are made by chance: whatever comes is published in a form that clients read, or left out alone.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{convert, fit, message::Incoming};
use crate::{
    config::PublishRules,
    provider::{Content, JsonText, Offer},
    schema::portable::{Role, lint},
};

/// Members that lists and answers have, by which most faults are made.
const MEMBERS: [&str; 24] = [
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "icons",
    "_meta",
    "execution",
    "uri",
    "uriTemplate",
    "mimeType",
    "size",
    "arguments",
    "required",
    "content",
    "structuredContent",
    "isError",
    "type",
    "text",
    "data",
    "resource",
    "src",
    "audience",
];

/// Any JSON, of words that mean something in MCP more often than not.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("object"),
        Just("string"),
        Just("text"),
        Just("image"),
        Just("resource"),
        Just("resource_link"),
        Just("user"),
        Just("f:///a"),
        Just(""),
        Just("required"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        word.prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        any::<char>().prop_map(|c| Value::from(c.to_string())),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object(inner).prop_map(Value::Object),]
    })
}

fn object(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![9 => proptest::sample::select(&MEMBERS[..]).prop_map(str::to_owned), 1 => "\\PC{0,4}"];
    proptest::collection::vec((key, of), 0..8).prop_map(|members| members.into_iter().collect())
}

/// An entry that has what makes it one, and anything beside.
fn entry(key: &'static str) -> impl Strategy<Value = Map<String, Value>> {
    (object(any_json()), any::<bool>()).prop_map(move |(mut entry, named)| {
        if named {
            entry.insert(key.to_owned(), "f:///a".into());
        }
        entry
    })
}

fn is_text_or_missing(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).is_none_or(Value::is_string)
}

/// Whether a block is one that every SDK's reader takes.
fn is_block(block: &Map<String, Value>) -> bool {
    let text = |key: &str| block.get(key).is_some_and(Value::is_string);
    match block.get("type").and_then(Value::as_str) {
        Some("text") => text("text"),
        Some("image" | "audio") => text("data") && text("mimeType"),
        Some("resource_link") => text("uri") && text("name"),
        Some("resource") => block["resource"]["uri"].is_string(),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_tool_is_published_as_clients_read_it_or_left_out(entry in entry("name")) {
        if let Ok((tool, _)) = fit::tool(entry, PublishRules::default()) {
            prop_assert_eq!(lint::faults(&tool.input_schema), Vec::<String>::new());
            if let Some(schema) = &tool.output_schema {
                prop_assert_eq!(lint::faults_of(schema, Role::Output), Vec::<String>::new());
            }
            let hints = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
            if let Some(annotations) = &tool.annotations {
                prop_assert!(annotations.is_object() && hints.iter().all(|hint| annotations.get(hint).is_none_or(Value::is_boolean)));
            }
            let icons = tool.icons.as_ref().map_or_else(|| Some(Vec::new()), |icons| icons.as_array().cloned());
            prop_assert!(icons.is_some_and(|icons| icons.iter().all(|icon| icon["src"].is_string())));
        }
    }

    #[test]
    fn resources_templates_and_prompts_are_published_as_clients_read_them_or_left_out(
        (key, entry) in prop_oneof![Just("uri"), Just("uriTemplate"), Just("name")].prop_flat_map(|key| (Just(key), entry(key)))
    ) {
        if let Ok((Offer { key: called, json }, _)) = fit::offer(entry, key) {
            prop_assert!(json["name"].is_string() && json[key] == called.as_str());
            for member in ["title", "description", "mimeType"] {
                prop_assert!(is_text_or_missing(&json, member), "{member}");
            }
            let arguments = if key == "name" { json.get("arguments") } else { None };
            prop_assert!(arguments.is_none_or(|list| list.as_array().is_some_and(|list| list.iter().all(|one| one["name"].is_string()))));
            prop_assert!(json.get("_meta").is_none_or(Value::is_object));
        }
    }

    #[test]
    fn an_answer_has_blocks_that_clients_read(answer in object(any_json())) {
        let text = JsonText::from_value(&answer).unwrap();
        let output = convert::call(&text).unwrap();
        for content in &output.content {
            if let Content::Block(block) = content {
                let block: Value = serde_json::from_str(block.as_str()).unwrap();
                prop_assert!(block.as_object().is_some_and(is_block), "{block}");
            }
        }
        let parsed = |json: &Option<JsonText>| json.as_ref().map(|json| serde_json::from_str::<Value>(json.as_str()).unwrap());
        prop_assert!(parsed(&output.meta).is_none_or(|meta| meta.is_object()) && parsed(&output.extra).is_none_or(|extra| extra.is_object()));
        // Others are refused or read, and never the end of the server.
        let _ = convert::completions(&text);
        let lists = json!({"contents": answer.get("content"), "messages": answer.get("content")});
        let lists = JsonText::from_value(&lists).unwrap();
        for content in convert::contents(&lists, "f:///a").into_iter().flatten() {
            let content: Value = serde_json::from_str(content.as_str()).unwrap();
            prop_assert!(content["uri"].is_string() && (content["text"].is_string() || content["blob"].is_string()), "{content}");
        }
        if let Ok(prompt) = convert::prompt(&lists) {
            let messages: Vec<Value> = serde_json::from_str(prompt.messages.as_str()).unwrap();
            let is_read = |message: &Value| message["role"].is_string() && message["content"].as_object().is_some_and(is_block);
            prop_assert!(messages.iter().all(is_read), "{messages:?}");
        }
    }

    #[test]
    fn no_line_breaks_the_reader_of_messages(line in prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), any_json().prop_map(|json| json.to_string().into_bytes())]) {
        let _ = Incoming::parse(&line);
    }
}
