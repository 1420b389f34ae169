//! Answers as they go out: JSON-RPC texts and HTTP responses, and what each failure of a call is called there.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::era::Era;
use crate::{
    catalog::Snapshot,
    provider::{CallError, CallOutput, Content},
};

/// JSON-RPC: not JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: JSON, but no request.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the method's parameters do not fit; MCP: also an unknown tool.
pub(super) const INVALID_PARAMS: i32 = -32602;
/// JSON-RPC: our fault.
const INTERNAL: i32 = -32603;
/// JSON-RPC's first code for servers: too much to do.
pub(super) const BUSY: i32 = -32000;
/// The code that the SDKs give to a session that is gone.
pub(super) const SESSION_NOT_FOUND: i32 = -32001;
/// MCP 2026-07-28: a header and the body disagree, a capability is missing, the version is not served.
pub(super) const HEADER_MISMATCH: i32 = -32020;
const MISSING_CAPABILITY: i32 = -32021;
const UNSUPPORTED_VERSION: i32 = -32022;

/// How long a client of 2026-07-28 may take a list for fresh. Plugins come and go by a copy into a folder, and who waits for one looks again within
/// seconds; clients that listen for changes are told at once.
pub(super) const LIST_TTL_MS: u64 = 5_000;

/// An error of JSON-RPC.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

/// One JSON-RPC answer with its HTTP status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The answer when something broke that no caller can mend.
    pub(super) fn internal_error(id: &str, message: &str) -> Self {
        let error = RpcError { code: INTERNAL, message: message.to_owned(), data: None };
        Self { status: StatusCode::OK, retry_after: None, body: error_body(Some(id), &error) }
    }

    /// As a plain JSON response.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(after)));
        }
        response
    }
}

/// Whole seconds for `Retry-After`, at least one.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// The answer to a call. `id` is the request's id as JSON text.
pub(super) fn call(id: &str, era: Era, result: Result<CallOutput, CallError>, snapshot: &Snapshot) -> Answer {
    match result {
        Ok(output) => Answer { status: StatusCode::OK, retry_after: None, body: success(id, era, &output) },
        Err(error) => {
            let retry_after = if let CallError::Busy { retry_after, .. } = &error { Some(*retry_after) } else { None };
            let error = rpc_error(error, snapshot);
            let status = if retry_after.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { status(era, error.code) };
            Answer { status, retry_after, body: error_body(Some(id), &error) }
        }
    }
}

/// The answer to `tools/list`.
pub(super) fn list(id: &str, era: Era, private: bool, snapshot: &Snapshot) -> Answer {
    let tools = snapshot.list_json();
    let mut body = Vec::with_capacity(tools.len() + id.len() + 128);
    body.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(b",\"result\":{");
    if era == Era::Modern {
        body.extend_from_slice(b"\"resultType\":\"complete\",\"ttlMs\":");
        body.extend_from_slice(itoa::Buffer::new().format(LIST_TTL_MS).as_bytes());
        let scope: &[u8] = if private { b",\"cacheScope\":\"private\"," } else { b",\"cacheScope\":\"public\"," };
        body.extend_from_slice(scope);
    }
    body.extend_from_slice(b"\"tools\":");
    body.extend_from_slice(tools);
    body.extend_from_slice(b"}}");
    Answer { status: StatusCode::OK, retry_after: None, body }
}

/// Written by hand: parts that are JSON already are copied as they are.
fn success(id: &str, era: Era, output: &CallOutput) -> Vec<u8> {
    let structured = structured(era, output);
    let mut body = Vec::with_capacity(192 + id.len() + content_size(output) + structured.map_or(0, str::len));
    body.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(b",\"result\":{");
    if era == Era::Modern {
        body.extend_from_slice(b"\"resultType\":\"complete\",");
    }
    body.extend_from_slice(b"\"content\":[");
    for (index, content) in output.content.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match content {
            Content::Text(text) => {
                body.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                write_json(&mut body, text);
                body.push(b'}');
            }
            Content::Block(block) => body.extend_from_slice(block.as_str().as_bytes()),
        }
    }
    body.push(b']');
    if let Some(structured) = structured {
        body.extend_from_slice(b",\"structuredContent\":");
        body.extend_from_slice(structured.as_bytes());
    }
    body.extend_from_slice(if output.is_error { b",\"isError\":true" } else { b",\"isError\":false" });
    if let Some(meta) = &output.meta {
        body.extend_from_slice(b",\"_meta\":");
        body.extend_from_slice(meta.as_str().as_bytes());
    }
    body.extend_from_slice(b"}}");
    body
}

fn content_size(output: &CallOutput) -> usize {
    let length = |content: &Content| match content {
        Content::Text(text) => text.len() + text.len() / 8,
        Content::Block(block) => block.as_str().len(),
    };
    output.content.iter().map(|content| length(content) + 32).sum()
}

/// The structured content for this era: before 2026-07-28 it could only be an object, and clients of that time fail on anything else. A text copy stands
/// beside it.
pub(super) fn structured(era: Era, output: &CallOutput) -> Option<&str> {
    let structured = output.structured.as_ref()?.as_str();
    (era == Era::Modern || structured.trim_start().starts_with('{')).then_some(structured)
}

/// What a failure of a call is in JSON-RPC.
pub(super) fn rpc_error(error: CallError, snapshot: &Snapshot) -> RpcError {
    match error {
        CallError::UnknownTool(name) => unknown_tool(&name, snapshot),
        CallError::Busy { retry_after, .. } => {
            let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            RpcError { code: BUSY, message: error.to_string(), data: Some(json!({ "retryAfterMs": millis })) }
        }
        CallError::Protocol { code, message, data } => RpcError { code, message, data },
        CallError::UnknownResource(_) | CallError::UnknownPrompt(_) | CallError::InvalidParams(_) => {
            RpcError { code: INVALID_PARAMS, message: error.to_string(), data: None }
        }
        CallError::Internal(message) => RpcError { code: INTERNAL, message, data: None },
    }
}

/// Says which names are near. The names of all tools are no secret: the caller may list them.
pub(super) fn unknown_tool(name: &str, snapshot: &Snapshot) -> RpcError {
    const SHOWN: usize = 3;
    /// Longer than any tool's name, so nothing is near, and comparing costs by the length.
    const TOO_LONG: usize = 256;
    let mut near: Vec<(f64, &str)> = Vec::new();
    if name.len() <= TOO_LONG {
        let similarity = |other: &str| match other.strip_suffix(name) {
            // The bare name of tools that are published qualified.
            Some(prefix) if prefix.ends_with("__") => 1.0,
            _ => strsim::jaro_winkler(name, other),
        };
        near = snapshot.tools().map(|entry| (similarity(entry.name()), entry.name())).filter(|(score, _)| *score >= 0.8).collect();
        near.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
        near.truncate(SHOWN);
    }
    let shown: String = name.chars().take(TOO_LONG).collect();
    let names: Vec<String> = near.iter().map(|(_, name)| format!("{name:?}")).collect();
    let message = match names.as_slice() {
        [] => format!("there is no tool {shown:?}; tools/list says which there are"),
        names => format!("there is no tool {shown:?}; did you mean {}?", names.join(" or ")),
    };
    RpcError { code: INVALID_PARAMS, message, data: None }
}

/// The HTTP status of an answer with this error: in 2026-07-28 some errors have one of their own.
fn status(era: Era, code: i32) -> StatusCode {
    match (era, code) {
        (Era::Modern, HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION) => StatusCode::BAD_REQUEST,
        (Era::Modern, METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// An error answer as JSON text. `id` is JSON text; without one it is null.
pub(super) fn error_body(id: Option<&str>, error: &RpcError) -> Vec<u8> {
    let mut body = Vec::with_capacity(96 + error.message.len());
    body.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.extend_from_slice(id.unwrap_or("null").as_bytes());
    body.extend_from_slice(b",\"error\":{\"code\":");
    body.extend_from_slice(itoa::Buffer::new().format(error.code).as_bytes());
    body.extend_from_slice(b",\"message\":");
    write_json(&mut body, &error.message);
    if let Some(data) = &error.data {
        body.extend_from_slice(b",\"data\":");
        write_json(&mut body, data);
    }
    body.extend_from_slice(b"}}");
    body
}

/// A whole response that says what is wrong with a request.
pub(super) fn plain_error(status: StatusCode, id: Option<&str>, code: i32, message: &str, retry_after: Option<Duration>) -> Response<Body> {
    let error = RpcError { code, message: message.to_owned(), data: None };
    Answer { status, retry_after, body: error_body(id, &error) }.into_response()
}

/// Appends a value as JSON.
pub(super) fn write_json<T: Serialize + ?Sized>(to: &mut Vec<u8>, value: &T) {
    // Strings and values always are JSON, and a Vec takes every byte.
    if serde_json::to_writer(&mut *to, value).is_err() {
        to.extend_from_slice(b"null");
    }
}
