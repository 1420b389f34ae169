//! `toolbay call`: one call from the command line.

use std::{io::Read, path::PathBuf, process::ExitCode};

use serde_json::{Map, Value};

use super::{FAILED, Failure, Outcome, TRYING, dialogue::Dialogue, print, print_json, runtime, source::SourceArgs};
use crate::{
    author::cases::{Case, record},
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Prints the answer: text as it is, other content in one line. Without --url the folder is loaded for this one call, and
stderr shows what the plugin prints and logs, its progress, and how it failed. What it asks is asked on the terminal.

  toolbay call add '{"a": 1, "b": 2}' --plugins dist/plugins
  toolbay call add '{"a": 1, "b": 2}' --plugins dist --record tests/cases.toml
  toolbay call order --answer '{"cake": "apple", "pieces": 2}' --plugins dist
  echo '{"state": "CA"}' | toolbay call get_alerts - --url http://127.0.0.1:8000/mcp

Exit status: 0 answered, 1 the tool or the call failed, 2 wrong usage or configuration."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Call {
    /// The tool, as `toolbay tools` names it, or as `plugin__tool`
    name: String,
    /// The arguments, a JSON object; - reads it from stdin
    #[arg(default_value = "{}")]
    arguments: String,
    #[command(flatten)]
    source: SourceArgs,
    /// What a person answers when the tool asks: the JSON of a form, decline or cancel; once for each question, in order
    #[arg(long, value_name = "JSON", conflicts_with = "url")]
    answer: Vec<String>,
    /// Adds the call, and what came of it, to a file of cases for `toolbay test`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The whole result, as JSON
    #[arg(long)]
    json: bool,
}

impl Call {
    pub(super) fn run(self) -> Outcome {
        let arguments = self.arguments()?;
        let mut dialogue = self.dialogue();
        let _logs = telemetry::init_terminal(TRYING).map_err(Failure::usage)?;
        runtime()?.block_on(async {
            let source = self.source.open().await?;
            let answer = source.call(&self.name, arguments.clone(), &mut dialogue).await;
            source.close().await;
            let answer = answer?;
            if let Some(path) = &self.record {
                record(path, Case::of_call(&self.name, arguments, dialogue.answered(), &answer.json))?;
            }
            if self.json {
                print_json(&answer.json)?;
            } else {
                print(&readable(&answer.json))?;
            }
            Ok(if answer.is_error { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
        })
    }

    /// Who answers what the tool asks.
    fn dialogue(&self) -> Dialogue {
        if self.answer.is_empty() {
            return Dialogue::of_terminal(self.arguments == "-");
        }
        // What is no JSON is a word: decline, cancel, or what a model writes.
        let answers = self.answer.iter().map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())));
        Dialogue::prepared(answers.collect(), true)
    }

    fn arguments(&self) -> Result<Map<String, Value>, Failure> {
        let mut text = self.arguments.clone();
        if text == "-" {
            text.clear();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage(format!("cannot read the arguments from stdin: {error}")))?;
        }
        match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(other) => Err(Failure::usage(format!("the arguments must be a JSON object such as '{{\"a\": 1}}', not {other}"))),
            Err(error) => Err(Failure::usage(format!("the arguments are not JSON ({error}): {text}"))),
        }
    }
}

fn readable(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut text: String = blocks
        .iter()
        .map(|block| match block.get("text").and_then(Value::as_str) {
            Some(text) if block.get("type").and_then(Value::as_str) == Some("text") => format!("{text}\n"),
            _ => format!("{}\n", summary(block)),
        })
        .collect();
    if blocks.is_empty()
        && let Some(structured) = result.get("structuredContent")
    {
        text = format!("{structured}\n");
    }
    text
}

/// A block without its data, which a terminal has no use for.
fn summary(block: &Value) -> Value {
    let mut block = block.clone();
    for pointer in ["/data", "/resource/blob"] {
        if let Some(Value::String(data)) = block.pointer_mut(pointer) {
            *data = format!("({} characters of base64)", data.len());
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_printed_as_it_is_and_data_is_not() {
        let result =
            json!({ "content": [{ "type": "text", "text": "a\nb" }, { "type": "image", "data": "AAAA", "mimeType": "image/png" }] });
        assert_eq!(readable(&result), "a\nb\n{\"type\":\"image\",\"data\":\"(4 characters of base64)\",\"mimeType\":\"image/png\"}\n");
    }
}
