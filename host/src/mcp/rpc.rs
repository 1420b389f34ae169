//! Errors of JSON-RPC, and what each failure of a call is called there.

use serde_json::{Value, json};

use super::era::Era;
use crate::{catalog::Snapshot, json::write_json, provider::CallError, similar};

/// JSON-RPC: not JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: JSON, but no request.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the method's parameters do not fit; MCP: also an unknown tool.
pub(super) const INVALID_PARAMS: i32 = -32602;
/// JSON-RPC: our fault.
pub(super) const INTERNAL: i32 = -32603;
/// JSON-RPC's first code for servers: too much to do.
pub(super) const BUSY: i32 = -32000;
/// MCP before 2026-07-28: no such resource. Since then that is [`INVALID_PARAMS`].
const RESOURCE_NOT_FOUND: i32 = -32002;
/// The code that the SDKs give to a session that is gone.
pub(super) const SESSION_NOT_FOUND: i32 = -32001;
/// MCP 2026-07-28: a header and the body disagree, a capability is missing, the version is not served.
pub(super) const HEADER_MISMATCH: i32 = -32020;
pub(super) const MISSING_CAPABILITY: i32 = -32021;
pub(super) const UNSUPPORTED_VERSION: i32 = -32022;

/// An error of JSON-RPC.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

/// The error when something broke that no caller can mend.
pub(super) fn internal(message: &str) -> RpcError {
    RpcError { code: INTERNAL, message: message.to_owned(), data: None }
}

/// What a failure of a call is in JSON-RPC.
pub(super) fn rpc_error(error: CallError, era: Era, snapshot: &Snapshot) -> RpcError {
    match error {
        CallError::UnknownTool(name) => unknown("tool", &name, snapshot, snapshot.callable().map(|entry| entry.name())),
        CallError::UnknownPrompt(name) => unknown("prompt", &name, snapshot, snapshot.prompts().map(|entry| entry.name())),
        CallError::UnknownResource(uri) => {
            let code = if era == Era::Modern { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
            let shown: String = uri.chars().take(SHOWN_NAME).collect();
            let that = allowed(snapshot);
            let message = format!("there is no resource {shown:?}{that}; resources/list and resources/templates/list say which there are");
            RpcError { code, message, data: Some(json!({ "uri": uri })) }
        }
        CallError::Busy { retry_after, .. } | CallError::Limited { retry_after, .. } | CallError::Uncounted { retry_after, .. } => {
            let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            RpcError { code: BUSY, message: error.to_string(), data: Some(json!({ "retryAfterMs": millis })) }
        }
        CallError::Protocol { code, message, data } => RpcError { code, message, data },
        CallError::NeedsScopes { ref scopes, .. } => {
            let data = Some(json!({ "error": "insufficient_scope", "scope": scopes }));
            RpcError { code: INVALID_PARAMS, message: error.to_string(), data }
        }
        CallError::Denied { message, .. } => RpcError { code: INVALID_PARAMS, message, data: Some(json!({ "error": "denied" })) },
        CallError::InvalidParams(message) => RpcError { code: INVALID_PARAMS, message, data: None },
        CallError::MissingCapability(required) => {
            let message = format!("this needs a capability that the client did not declare: {}", Value::Object(required.clone()));
            RpcError { code: MISSING_CAPABILITY, message, data: Some(json!({ "requiredCapabilities": required })) }
        }
        // The front has made a result of it where it could.
        error @ CallError::InputRequired => RpcError { code: INTERNAL, message: error.to_string(), data: None },
        CallError::Internal(message) => RpcError { code: INTERNAL, message, data: None },
    }
}

/// Characters of an unknown name that are repeated in an error: longer than any tool's name.
const SHOWN_NAME: usize = 256;

/// What is said of something that is not there, to a caller that may not use everything: the same whether
/// there is such a thing or not.
pub(super) fn allowed(snapshot: &Snapshot) -> &'static str {
    match snapshot.limits() {
        Some(access) if access.has_policies() => " that you may use",
        Some(_) => " that your roles allow",
        None => "",
    }
}

/// Says which names are near. They are no secret: the caller may list them.
fn unknown<'s>(kind: &str, name: &str, snapshot: &Snapshot, names: impl Iterator<Item = &'s str>) -> RpcError {
    const SHOWN: usize = 3;
    let names: Vec<String> = similar::near(name, names, SHOWN).iter().map(|name| format!("{name:?}")).collect();
    let shown: String = name.chars().take(SHOWN_NAME).collect();
    let that = allowed(snapshot);
    let message = match names.as_slice() {
        [] if kind == "tool" && snapshot.is_searched() => {
            format!("there is no tool {shown:?}{that}; find_tools finds those that there are")
        }
        [] => format!("there is no {kind} {shown:?}{that}; {kind}s/list says which there are"),
        names => format!("there is no {kind} {shown:?}{that}; did you mean {}?", names.join(" or ")),
    };
    RpcError { code: INVALID_PARAMS, message, data: None }
}

/// An error answer as JSON text. `id` is JSON text; without one it is null.
pub(super) fn error_body(id: Option<&str>, error: &RpcError) -> Vec<u8> {
    let mut body = Vec::with_capacity(96 + error.message.len());
    body.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.extend_from_slice(id.unwrap_or("null").as_bytes());
    body.extend_from_slice(b",\"error\":");
    error_object(&mut body, error);
    body.push(b'}');
    body
}

/// Appends JSON-RPC's error object.
pub(super) fn error_object(to: &mut Vec<u8>, error: &RpcError) {
    to.extend_from_slice(b"{\"code\":");
    to.extend_from_slice(itoa::Buffer::new().format(error.code).as_bytes());
    to.extend_from_slice(b",\"message\":");
    write_json(to, &error.message);
    if let Some(data) = &error.data {
        to.extend_from_slice(b",\"data\":");
        write_json(to, data);
    }
    to.push(b'}');
}
