//! Whether a client declared what a question needs.

use serde_json::{Map, Value, json};

use crate::provider::{Question, QuestionKind};

/// Whether a client with these capabilities, a JSON text, declared this part of one.
pub(in crate::mcp) fn is_declared(declared: &str, capability: &str, part: &str) -> bool {
    let declared: Value = serde_json::from_str(declared).unwrap_or_default();
    declared.get(capability).and_then(|declared| declared.get(part)).is_some_and(Value::is_object)
}

/// What these questions need and the client did not declare, as a `ClientCapabilities` object. None: nothing is missing.
pub(in crate::mcp) fn missing(declared: &str, questions: &[Question]) -> Option<Map<String, Value>> {
    let declared: Value = serde_json::from_str(declared).unwrap_or_default();
    let mut missing = Map::new();
    for question in questions {
        let (capability, part) = needed(question);
        let has = declared.get(capability).and_then(Value::as_object).is_some_and(|declared| match part {
            None => true,
            // An elicitation capability that names no mode is one for forms (MCP 2025-11-25, "Elicitation: Capabilities").
            Some("form") => declared.contains_key("form") || !declared.contains_key("url"),
            Some(part) => declared.contains_key(part),
        });
        if !has {
            let entry = missing.entry(capability).or_insert_with(|| json!({}));
            if let (Some(part), Some(entry)) = (part, entry.as_object_mut()) {
                entry.insert(part.to_owned(), json!({}));
            }
        }
    }
    (!missing.is_empty()).then_some(missing)
}

/// Bytes of all extensions of a client that go with every request of its session. Names and types, no more.
const MAX_EXTENSIONS: usize = 512;

/// Of what a client declared, a JSON text, what somebody may ask for or wants to know: short enough to go with every request of its session.
/// None: nothing.
pub(in crate::mcp) fn essence(declared: &str) -> Option<String> {
    const ASKED: [(&str, &[&str]); 3] =
        [("elicitation", &["form", "url"]), ("sampling", &["tools", "context"]), ("roots", &["listChanged"])];
    let declared: Value = serde_json::from_str(declared).unwrap_or_default();
    let mut essence = Map::new();
    for (capability, parts) in ASKED {
        let Some(declared) = declared.get(capability).and_then(Value::as_object) else { continue };
        let part = |part: &&str| match declared.get(*part)? {
            Value::Object(_) => Some(((*part).to_owned(), json!({}))),
            Value::Bool(flag) => Some(((*part).to_owned(), json!(flag))),
            _ => None,
        };
        essence.insert(capability.to_owned(), Value::Object(parts.iter().filter_map(part).collect()));
    }
    let mut left = MAX_EXTENSIONS;
    let mut fits = |(name, declared): &(&String, &Value)| {
        let length = name.len() + declared.to_string().len();
        let fits = declared.is_object() && length <= left;
        left -= if fits { length } else { 0 };
        fits
    };
    let extensions = declared.get("extensions").and_then(Value::as_object).into_iter().flatten();
    let extensions: Map<String, Value> = extensions.filter(&mut fits).map(|(name, declared)| (name.clone(), declared.clone())).collect();
    if !extensions.is_empty() {
        essence.insert("extensions".to_owned(), Value::Object(extensions));
    }
    (!essence.is_empty()).then(|| Value::Object(essence).to_string())
}

/// The capability and the part of it.
fn needed(question: &Question) -> (&'static str, Option<&'static str>) {
    let params = || serde_json::from_str::<Value>(question.params.as_str()).unwrap_or_default();
    match question.kind {
        QuestionKind::Roots => ("roots", None),
        QuestionKind::Sampling => {
            let params = params();
            let tools = params.get("tools").is_some() || params.get("toolChoice").is_some();
            ("sampling", tools.then_some("tools"))
        }
        QuestionKind::Elicitation => {
            let url = params().get("mode").is_some_and(|mode| mode == "url");
            ("elicitation", Some(if url { "url" } else { "form" }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::JsonText;

    fn question(kind: QuestionKind, params: &Value) -> Question {
        Question { key: None, kind, params: JsonText::from_value(params).unwrap() }
    }

    #[test]
    fn the_essence_answers_what_all_of_it_does() {
        let long = "x".repeat(10_000);
        for (declared, expected) in [
            (json!({}), None),
            (Value::Null, None),
            (json!({"elicitation": true, "experimental": {long.clone(): {}}}), None),
            (json!({"elicitation": {}}), Some(json!({"elicitation": {}}))),
            (
                json!({"elicitation": {"url": {"x": long.clone()}, "form": {}}, "sampling": {"tools": {}, "y": 1}, "roots": {"listChanged": true}, "tasks": {}}),
                Some(json!({"elicitation": {"url": {}, "form": {}}, "sampling": {"tools": {}}, "roots": {"listChanged": true}})),
            ),
            (
                json!({"extensions": {"a/long": {"x": long.clone()}, "io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}, "b/odd": 5}}),
                Some(json!({"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}})),
            ),
        ] {
            let seen = essence(&declared.to_string()).map(|text| serde_json::from_str::<Value>(&text).unwrap());
            assert_eq!(seen, expected, "{declared}");
        }
    }

    #[test]
    fn a_question_needs_what_its_params_use() {
        let form = question(QuestionKind::Elicitation, &json!({"message": "?"}));
        let url = question(QuestionKind::Elicitation, &json!({"mode": "url", "url": "https://example.com"}));
        let plain = question(QuestionKind::Sampling, &json!({"messages": []}));
        let tools = question(QuestionKind::Sampling, &json!({"messages": [], "tools": []}));
        let roots = question(QuestionKind::Roots, &json!({}));
        for (declared, asked, expected) in [
            (json!({"elicitation": {}}), &form, Value::Null),
            (json!({"elicitation": {"form": {}}}), &form, Value::Null),
            (json!({"elicitation": {"url": {}}}), &form, json!({"elicitation": {"form": {}}})),
            (json!({}), &form, json!({"elicitation": {"form": {}}})),
            (json!({"elicitation": true}), &form, json!({"elicitation": {"form": {}}})),
            (json!({"elicitation": {}}), &url, json!({"elicitation": {"url": {}}})),
            (json!({"elicitation": {"url": {}}}), &url, Value::Null),
            (json!({"sampling": {}}), &plain, Value::Null),
            (json!({}), &plain, json!({"sampling": {}})),
            (json!({"sampling": {}}), &tools, json!({"sampling": {"tools": {}}})),
            (json!({"sampling": {"tools": {}}}), &tools, Value::Null),
            (json!({"roots": {"listChanged": true}}), &roots, Value::Null),
            (Value::Null, &roots, json!({"roots": {}})),
        ] {
            let seen = missing(&declared.to_string(), std::slice::from_ref(asked)).map_or(Value::Null, Value::Object);
            assert_eq!(seen, expected, "{declared} for {asked:?}");
        }
        assert_eq!(
            missing("{}", &[form, url, tools, roots]).map(Value::Object),
            Some(json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}))
        );
    }
}
