//! The answer of a call held against the output schema that was published of its tool.
//!
//! The call was done, and is never reported as failed because its answer is not what was promised: strict SDKs refuse a whole result for
//! structured content that does not fit, or that is missing. Such an answer is given in the form that all of them take: its content as text,
//! and as much of its structured content as fits.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    config::{OutputSchema, PublishRules},
    json::is_deeper_than,
    provider::{CallOutput, Content, JsonText, Tool},
    schema::{Schema, Unfit, places},
    upstream::raw::inside,
};

/// The member of `_meta` that says why an answer is not as the server gave it.
const MARK: &str = "io.toolbay/output";

/// Levels of JSON that every client reads.
const DEPTH: usize = 64;

/// Bytes from which an answer is looked at beside the workers.
const LARGE: usize = 64 << 10;

/// What was published of the outputs of one server's tools.
#[derive(Default)]
pub struct Outputs(HashMap<String, Arc<Schema>>);

impl Outputs {
    /// Of these tools. A schema that is published as it is stays the server's own affair.
    #[must_use]
    pub fn new(tools: &[Arc<Tool>], rules: PublishRules) -> Self {
        if rules.output != OutputSchema::Relaxed {
            return Self::default();
        }
        let compiled = |tool: &Arc<Tool>| {
            let schema = Schema::new(tool.output_schema.as_deref()?).ok()?;
            Some((tool.name.as_str().to_owned(), Arc::new(schema)))
        };
        Self(tools.iter().filter_map(compiled).collect())
    }

    /// The answer in a form that every client reads; `server` and `tool` are for the log.
    pub async fn fit(&self, server: &str, tool: &str, mut output: CallOutput) -> CallOutput {
        if let Some(structured) = output.structured.take_if(|structured| is_deeper_than(structured.as_str().as_bytes(), DEPTH)) {
            in_text(&mut output, &structured);
            mark(&mut output, server, tool, &format!("its structured content is nested more than {DEPTH} levels deep"));
        }
        let Some(schema) = self.0.get(tool).filter(|_| !output.is_error) else { return output };
        let Some(structured) = output.structured.take() else {
            let (fitted, why) = match text_of(&output).filter(|text| schema.check(text.as_str()).is_ok()) {
                Some(text) => (text, "it has no structured content; that of its text is taken"),
                None => (empty(), "it has no structured content"),
            };
            output.structured = Some(fitted);
            mark(&mut output, server, tool, why);
            return output;
        };
        let (structured, checked) = check(Arc::clone(schema), structured).await;
        let Err(why) = checked else {
            output.structured = Some(structured);
            return output;
        };
        in_text(&mut output, &structured);
        output.structured = Some(fitting(schema, &structured));
        mark(&mut output, server, tool, &why);
        output
    }
}

/// Whether it fits, and if not, where and why.
async fn check(schema: Arc<Schema>, structured: JsonText) -> (JsonText, Result<(), String>) {
    let is_large = structured.as_str().len() > LARGE;
    let look = move || {
        let checked = schema.check(structured.as_str()).map_err(|unfit| match unfit {
            Unfit::NotJson(why) => why,
            Unfit::Deep(levels) => format!("its structured content is nested more than {levels} levels deep"),
            Unfit::Long(_) => "its structured content does not fit its output schema".to_owned(),
            Unfit::Problems(problems) => format!("its structured content does not fit its output schema: {}", places("", problems)),
        });
        (structured, checked)
    };
    // Most answers are so small that handing them over would cost more than the look.
    if !is_large {
        return look();
    }
    // This has an end soon: a relaxed schema has no patterns.
    match tokio::task::spawn_blocking(look).await {
        Ok(result) => result,
        Err(_) => (empty(), Err("it could not be looked at".to_owned())),
    }
}

/// The members that fit by themselves.
fn fitting(schema: &Schema, structured: &JsonText) -> JsonText {
    let Ok(Value::Object(members)) = serde_json::from_str(structured.as_str()) else { return empty() };
    if members.len() > 1000 {
        return empty();
    }
    let mut kept = Map::new();
    for (name, value) in members {
        let mut alone = Map::new();
        alone.insert(name.clone(), value.clone());
        if schema.check_value(&Value::Object(alone), || LARGE + 1).is_ok() {
            kept.insert(name, value);
        }
    }
    JsonText::from_value(&kept).unwrap_or_else(|_| empty())
}

fn empty() -> JsonText {
    JsonText::from_writer("{}".to_owned())
}

/// The JSON object that the only block of text is, as servers write it that know no structured content.
fn text_of(output: &CallOutput) -> Option<JsonText> {
    let text = match output.content.as_slice() {
        [Content::Text(text)] => text.clone(),
        [Content::Block(block)] => serde_json::from_str::<Map<String, Value>>(block.as_str()).ok()?.get("text")?.as_str()?.to_owned(),
        _ => return None,
    };
    text.trim_start().starts_with('{').then(|| JsonText::parse(text).ok())?
}

/// Puts the structured content into the text as it is, unless the text has it already.
fn in_text(output: &mut CallOutput, structured: &JsonText) {
    let has_text = output.content.iter().any(|content| match content {
        Content::Text(_) => true,
        Content::Block(block) => block.as_str().contains("\"text\""),
    });
    if !has_text {
        output.content.push(Content::text(structured.as_str()));
    }
}

fn mark(output: &mut CallOutput, server: &str, tool: &str, why: &str) {
    let why: String = why.chars().take(500).collect();
    tracing::warn!(server, tool, "the answer is given in another form: {why}");
    let mut meta = Map::new();
    meta.insert(MARK.to_owned(), why.into());
    let Ok(marked) = JsonText::from_value(&meta) else { return };
    output.meta = Some(match &output.meta {
        Some(given) if !inside(given.as_str()).is_empty() => {
            JsonText::from_writer(format!("{{{},{}}}", inside(given.as_str()), inside(marked.as_str())))
        }
        _ => marked,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::upstream::{convert, fit};

    async fn fitted(result: Value) -> CallOutput {
        let Value::Object(entry) = json!({"name": "t", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object",
            "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}, "required": ["id"]}})
        else {
            unreachable!()
        };
        let rules = PublishRules::default();
        let tool = Arc::new(fit::tool(entry, rules).unwrap().0);
        let output = convert::call(&JsonText::parse(result.to_string()).unwrap()).unwrap();
        Outputs::new(&[tool], rules).fit("s", "t", output).await
    }

    fn structured(output: &CallOutput) -> Value {
        serde_json::from_str(output.structured.as_ref().unwrap().as_str()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_keeps_its_promise_or_bends_it_is_as_it_was() {
        for kept in [json!({"id": 1, "name": "n"}), json!({}), json!({"id": null, "more": [1]}), json!({"id": 1.5})] {
            let output = fitted(json!({"content": [], "structuredContent": kept, "_meta": {"k": 1}})).await;
            assert_eq!((structured(&output), output.meta.unwrap().as_str()), (kept, r#"{"k":1}"#));
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_its_promise_is_given_in_a_form_that_every_client_takes() {
        let output = fitted(json!({"content": [], "structuredContent": {"id": "one", "name": "n"}, "_meta": {"k": 1}})).await;
        assert_eq!((structured(&output), output.is_error), (json!({"name": "n"}), false));
        assert_eq!(output.content, [Content::text(r#"{"id":"one","name":"n"}"#)]);
        let meta: Value = serde_json::from_str(output.meta.unwrap().as_str()).unwrap();
        assert!(meta["k"] == 1 && meta[MARK].as_str().unwrap().contains("id"), "{meta}");

        let output = fitted(json!({"content": [{"type": "text", "text": "a list"}], "structuredContent": [1]})).await;
        assert_eq!((structured(&output), output.content.len()), (json!({}), 1));
    }

    #[tokio::test]
    async fn an_answer_without_structured_content_gets_some() {
        let output = fitted(json!({"content": [{"type": "text", "text": "{\"id\": 7}"}]})).await;
        assert_eq!(structured(&output), json!({"id": 7}));
        let output = fitted(json!({"content": [{"type": "text", "text": "done"}]})).await;
        assert!(structured(&output) == json!({}) && output.meta.unwrap().as_str().contains(MARK));
        let error = fitted(json!({"content": [{"type": "text", "text": "no"}], "isError": true})).await;
        assert_eq!((error.structured, error.meta), (None, None));
    }
}
