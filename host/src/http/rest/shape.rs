//! In which shape a call is answered: the value that a program wants of it, or the whole result as MCP has it.

use http::request::Parts;

use crate::{
    config::RestResult,
    provider::{CallOutput, Content},
};

/// The header by which one request chooses.
const HEADER: &str = "toolbay-result";

/// What the request chooses, else what is configured.
pub(super) fn of(head: &Parts, configured: RestResult) -> Result<RestResult, &'static str> {
    let in_query = head.uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("result=")));
    let in_header = head.headers.get(HEADER).map(|value| value.to_str().unwrap_or_default());
    match in_query.or(in_header).map(str::trim) {
        None => Ok(configured),
        Some("mcp") => Ok(RestResult::Mcp),
        Some("value") => Ok(RestResult::Value),
        Some(_) => Err("`result` in the query, or the header Toolbay-Result, must be \"value\" or \"mcp\""),
    }
}

/// `CallToolResult` of MCP, as JSON text.
pub(super) fn whole(output: &CallOutput) -> String {
    let mut result = format!("{{\"content\":[{}]", blocks(output).join(","));
    if let Some(structured) = &output.structured {
        result.push_str(",\"structuredContent\":");
        result.push_str(structured.as_str());
    }
    result.push_str(if output.is_error { ",\"isError\":true" } else { ",\"isError\":false" });
    if let Some(meta) = &output.meta {
        result.push_str(",\"_meta\":");
        result.push_str(meta.as_str());
    }
    // Members that nobody here knows, as an object.
    let extra = output.extra.as_ref().map(|extra| extra.as_str().trim());
    if let Some(members) = extra.and_then(|extra| extra.strip_prefix('{')?.strip_suffix('}')).filter(|members| !members.trim().is_empty()) {
        result.push(',');
        result.push_str(members);
    }
    result.push('}');
    result
}

/// The blocks of content, each as JSON text.
pub(super) fn blocks(output: &CallOutput) -> Vec<String> {
    let block = |content: &Content| match content {
        Content::Text(text) => format!("{{\"type\":\"text\",\"text\":{}}}", quoted(text)),
        Content::Block(block) => block.as_str().to_owned(),
    };
    output.content.iter().map(block).collect()
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
