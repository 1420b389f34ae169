//! Tools that try what a plugin may do, and say what came of it: for tests of permissions and limits.
//!
//! An attempt that the host refuses is an answer with `isError` and the reason; what works answers JSON as structured content.

mod http;
mod tools;

use exports::toolbay::plugin::tools::{CallResult, Content, Error, Guest, Tool};
use serde_json::{Map, Value};
use toolbay::plugin::types::TextContent;

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

/// What a tool makes of its arguments.
enum Outcome {
    /// It worked: structured content.
    Done(Value),
    /// It did not.
    Failed(String),
    /// An answer of the tool's own making.
    Answer(CallResult),
    /// An error of the protocol.
    Refused(Error),
}

/// The arguments of a call, with ways to get at them.
struct Arguments(Map<String, Value>);

impl Arguments {
    fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default().into()
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }
}

struct Probe;

impl Guest for Probe {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        Ok(tools::ALL.iter().map(published).collect())
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        let refused = |message: String| Error { code: -32602, message, data: None };
        let tool = tools::ALL.iter().find(|tool| tool.name == name).ok_or_else(|| refused(format!("there is no tool {name}")))?;
        let arguments = serde_json::from_str(&arguments).map_err(|error| refused(error.to_string()))?;
        match (tool.run)(&Arguments(arguments)) {
            Outcome::Done(value) => {
                let json = value.to_string();
                Ok(CallResult { content: vec![text(json.clone())], structured_content: Some(json), is_error: false, meta: None })
            }
            Outcome::Failed(why) => Ok(CallResult { content: vec![text(why)], structured_content: None, is_error: true, meta: None }),
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Refused(error) => Err(error),
        }
    }
}

fn published(tool: &tools::Entry) -> Tool {
    let properties: Map<String, Value> =
        tool.arguments.iter().map(|(name, kind)| ((*name).into(), serde_json::json!({ "type": kind }))).collect();
    Tool {
        name: tool.name.into(),
        title: None,
        description: Some(tool.description.into()),
        input_schema: serde_json::json!({ "type": "object", "properties": properties }).to_string(),
        output_schema: tool.output.map(Into::into),
        annotations: None,
        icons: Vec::new(),
        meta: None,
        extra: None,
    }
}

fn text(text: String) -> Content {
    Content::Text(TextContent { text, annotations: None, meta: None })
}

export!(Probe);
