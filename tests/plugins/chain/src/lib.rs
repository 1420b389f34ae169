//! Tools that call others: one, several at once, themselves, in a circle.

use exports::toolbay::plugin::tools::{CallResult, Content, Error, Guest, Tool};
use serde_json::{Value, json};
use toolbay::plugin::{
    calls::{self, Answer, CallError, Request},
    progress,
    types::TextContent,
};

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

/// Name, description, schema of the arguments.
const TOOLS: [(&str, &str, &str); 6] = [
    ("chain_call", "Calls a tool", r#"{"type":"object","properties":{"tool":{"type":"string"},"arguments":{}},"required":["tool"]}"#),
    ("chain_all", "Calls several tools at once", r#"{"type":"object","properties":{"calls":{"type":"array"}},"required":["calls"]}"#),
    ("chain_list", "Names the tools that it may call", r#"{"type":"object"}"#),
    (
        "chain_down",
        "Calls itself with one less",
        r#"{"type":"object","properties":{"n":{"type":"integer"},"tool":{"type":"string"}},"required":["n"]}"#,
    ),
    ("chain_forever", "Calls itself with the same, or tools in turn", r#"{"type":"object","properties":{"tools":{"type":"array"}}}"#),
    (
        "chain_step",
        "Calls a tool as the second of three steps",
        r#"{"type":"object","properties":{"tool":{"type":"string"},"arguments":{}},"required":["tool"]}"#,
    ),
];

struct Chain;

impl Guest for Chain {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        Ok(TOOLS.iter().map(|(name, description, schema)| tool(name, description, schema)).collect())
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        let given: Value = serde_json::from_str(&arguments).unwrap_or_default();
        Ok(match name.as_str() {
            "chain_call" => said(call(&given)),
            "chain_step" => {
                progress::report(1.0, Some(3.0), Some("the first step"));
                let called = call(&given);
                progress::report(3.0, Some(3.0), Some("the last step"));
                said(called)
            }
            "chain_all" => {
                let requests = given["calls"].as_array().into_iter().flatten().map(request).collect::<Vec<_>>();
                let lines = calls::call_all(&requests).into_iter().map(|called| texts(&said(called)));
                result(&lines.collect::<Vec<_>>().join("\n"), false)
            }
            "chain_list" => result(&calls::list_tools().iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(" "), false),
            "chain_down" => match given["n"].as_i64() {
                Some(n) if n > 0 => {
                    let mut less = given.clone();
                    less["n"] = (n - 1).into();
                    let tool = given["tool"].as_str().unwrap_or("chain_down");
                    let below = said(calls::call(tool, &less.to_string()));
                    if below.is_error { below } else { result(&format!("{n} {}", texts(&below)), false) }
                }
                _ => result("0", false),
            },
            "chain_forever" => match given["tools"].as_array() {
                Some(tools) if !tools.is_empty() => {
                    let mut turned = tools.clone();
                    turned.rotate_left(1);
                    said(calls::call(tools[0].as_str().unwrap_or_default(), &json!({ "tools": turned }).to_string()))
                }
                _ => said(calls::call("chain_forever", "{}")),
            },
            other => return Err(Error { code: -32602, message: format!("there is no tool {other}"), data: None }),
        })
    }
}

fn call(given: &Value) -> Result<Answer, CallError> {
    let Request { name, arguments } = request(given);
    calls::call(&name, &arguments)
}

fn request(given: &Value) -> Request {
    let arguments = match &given["arguments"] {
        Value::Null => json!({}).to_string(),
        // What is no JSON is sent as it is.
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Request { name: given["tool"].as_str().unwrap_or_default().to_owned(), arguments }
}

/// The answer as its own, or why there is none.
fn said(called: Result<Answer, CallError>) -> CallResult {
    match called {
        Ok(answer) => CallResult {
            content: answer.content,
            structured_content: answer.structured_content,
            is_error: answer.is_error,
            meta: answer.meta,
        },
        Err(error) => {
            let (kind, why) = match error {
                CallError::Unknown(why) => ("unknown", why),
                CallError::Denied(why) => ("denied", why),
                CallError::Circular(why) => ("circular", why),
                CallError::Busy(why) => ("busy", why),
                CallError::Failed(error) => ("failed", format!("{} {}", error.code, error.message)),
            };
            result(&format!("{kind}: {why}"), true)
        }
    }
}

fn texts(result: &CallResult) -> String {
    let texts = result.content.iter().filter_map(|content| match content {
        Content::Text(content) => Some(content.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn result(text: &str, is_error: bool) -> CallResult {
    let content = vec![Content::Text(TextContent { text: text.to_owned(), annotations: None, meta: None })];
    CallResult { content, structured_content: None, is_error, meta: None }
}

fn tool(name: &str, description: &str, schema: &str) -> Tool {
    Tool {
        name: name.into(),
        title: None,
        description: Some(description.into()),
        input_schema: schema.into(),
        output_schema: None,
        annotations: None,
        icons: Vec::new(),
        meta: None,
        extra: None,
    }
}

export!(Chain);
