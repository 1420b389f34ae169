//! What MCP's headers repeat of a request's body, so that a proxy can route by it.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, header::AsHeaderName};
use serde_json::Value;

use crate::catalog::Entry;

pub(super) const VERSION_HEADER: &str = "mcp-protocol-version";
pub(super) const SESSION_HEADER: &str = "mcp-session-id";
/// Headers that every call is asked for, as names that need not be read first.
pub(super) static VERSION_NAME: HeaderName = HeaderName::from_static(VERSION_HEADER);
pub(super) static SESSION_NAME: HeaderName = HeaderName::from_static(SESSION_HEADER);
pub(super) static METHOD_NAME: HeaderName = HeaderName::from_static("mcp-method");
pub(super) static NAME_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A header came more than once, or is no text: a proxy could read another value than we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// The header's only value.
pub(super) fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Ambiguous> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Ambiguous);
    }
    value.to_str().map(Some).map_err(|_| Ambiguous)
}

/// `Mcp-Method` and `Mcp-Name` say what the body says. `name`: for methods that have one.
pub(super) fn has_standard_headers(headers: &HeaderMap, method: &str, name: Option<&str>) -> bool {
    single(headers, &METHOD_NAME).is_ok_and(|value| value == Some(method))
        && name.is_none_or(|name| single(headers, &NAME_NAME).is_ok_and(|value| value.is_some_and(|value| is_encoded(value, name))))
}

/// `Mcp-Param-*` say what the arguments say. Nearly no tool has any.
pub(super) fn has_param_headers(headers: &HeaderMap, entry: &Entry, arguments: &str) -> bool {
    if entry.param_headers().is_empty() {
        return true;
    }
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else { return false };
    entry.param_headers().iter().all(|param| {
        let value = param.path.iter().try_fold(&arguments, |value, name| value.get(name));
        let expected = match value {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        match (single(headers, param.header.as_str()), expected) {
            (Ok(None), None) => true,
            (Ok(Some(value)), Some(expected)) => is_encoded(value, &expected),
            _ => false,
        }
    })
}

/// Whether a header's value stands for this text, as it is or as `=?base64?…?=`.
fn is_encoded(value: &str, text: &str) -> bool {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).is_ok_and(|bytes| bytes == text.as_bytes()),
        None => value == text,
    }
}
