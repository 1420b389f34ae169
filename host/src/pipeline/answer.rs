//! What a step answered, as other steps see it, and what a pipeline answers.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::plan::Plan;
use crate::{
    config::Uses,
    pick::{Document, Scope},
    provider::{CallOutput, Content, JsonText},
    schema::{Unfit, places},
};

/// How a call of a step ended.
pub(super) enum Ended {
    /// The tool answered.
    Answered(CallOutput),
    /// It failed, with this text, and the pipeline goes on.
    Failed(String),
}

impl Ended {
    /// As others pick from it.
    fn value(&self, uses: Uses) -> Value {
        let mut members = Map::new();
        let (output, error) = match self {
            Self::Answered(output) => (Some(output), Value::Null),
            Self::Failed(error) => (None, error.as_str().into()),
        };
        if uses.structured {
            let structured = output.and_then(|output| output.structured.as_ref());
            // It was made by a writer of JSON, or looked at before; what is too deep to be read is nothing.
            members.insert(
                "structured".to_owned(),
                structured.map_or(Value::Null, |json| serde_json::from_str(json.as_str()).unwrap_or_default()),
            );
        }
        if uses.text {
            members.insert("text".to_owned(), output.map(text).unwrap_or_default().into());
        }
        if uses.content {
            let blocks = output.iter().flat_map(|output| &output.content).map(|block| match block {
                Content::Text(text) => json!({ "type": "text", "text": text }),
                Content::Block(json) => serde_json::from_str(json.as_str()).unwrap_or_default(),
            });
            members.insert("content".to_owned(), blocks.collect());
        }
        members.insert("error".to_owned(), error);
        members.insert("skipped".to_owned(), false.into());
        members.into()
    }
}

/// The answer of a step with one call.
pub(super) fn of_one(ended: &Ended, uses: Uses) -> Arc<Document> {
    Document::new(ended.value(uses))
}

/// The answers of a step with a list.
pub(super) fn of_each(ended: &[Ended], uses: Uses) -> Arc<Document> {
    Document::new(ended.iter().map(|ended| ended.value(uses)).collect())
}

/// The answer of a step that was skipped.
pub(super) fn skipped(is_list: bool) -> Arc<Document> {
    let nothing = json!({ "structured": null, "text": "", "content": [], "error": null, "skipped": true });
    Document::new(if is_list { json!([]) } else { nothing })
}

/// All text of an answer.
pub(super) fn text(output: &CallOutput) -> String {
    let texts = output.content.iter().filter_map(|block| match block {
        Content::Text(text) => Some(text.clone()),
        Content::Block(json) => {
            let block: Value = serde_json::from_str(json.as_str()).ok()?;
            (block.get("type")? == "text").then(|| block.get("text")?.as_str().map(str::to_owned))?
        }
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// What the pipeline answers: the answers of the last step that ran.
pub(super) fn of_last(plan: &Plan, last: Option<(usize, Vec<Ended>)>) -> CallOutput {
    let Some((at, ended)) = last else {
        return CallOutput { content: vec![Content::text("every step was skipped")], ..CallOutput::default() };
    };
    let is_list = plan.config.steps.get(at).is_some_and(|step| step.each.is_some());
    let mut outputs = ended.into_iter().filter_map(|ended| match ended {
        Ended::Answered(output) => Some(output),
        Ended::Failed(_) => None,
    });
    if !is_list {
        return outputs.next().unwrap_or_default();
    }
    let (mut content, mut results) = (Vec::new(), String::from("{\"results\":["));
    for (at, output) in outputs.enumerate() {
        if at > 0 {
            results.push(',');
        }
        match &output.structured {
            Some(structured) => results.push_str(structured.as_str()),
            None => crate::json::raw::write_json(&mut results, &text(&output)),
        }
        content.extend(output.content);
    }
    results.push_str("]}");
    CallOutput { content, structured: Some(JsonText::from_writer(results)), ..CallOutput::default() }
}

/// What the pipeline answers by its `output`.
///
/// # Errors
///
/// What is wrong with it: a sentence.
pub(super) fn by_output(plan: &Plan, scope: &Scope) -> Result<Option<CallOutput>, String> {
    let Some(output) = &plan.config.output else { return Ok(None) };
    let value = output.value(scope)?.ok_or("`output` picks nothing")?;
    // As a typed function of a plugin: what is no object is the result, and the text is that alone.
    let (text, value) = match (value, &plan.output) {
        (Value::String(text), None) => return Ok(Some(CallOutput { content: vec![Content::Text(text)], ..CallOutput::default() })),
        (value @ Value::Object(_), _) => (value.to_string(), value),
        (value, _) => (value.to_string(), json!({ "result": value })),
    };
    if let Some(schema) = &plan.output {
        schema.check_value(&value, || text.len()).map_err(|unfit| match unfit {
            Unfit::Problems(problems) => format!("`output` does not fit `output_schema`: {}", places("", problems)),
            _ => "`output` does not fit `output_schema`".to_owned(),
        })?;
    }
    let structured = JsonText::from_writer(value.to_string());
    Ok(Some(CallOutput { content: vec![Content::Text(text)], structured: Some(structured), ..CallOutput::default() }))
}
