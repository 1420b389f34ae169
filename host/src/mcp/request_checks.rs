//! What has to hold before a request is looked at as MCP: its media types, its size, that it is JSON and one message.

use axum::body::Body;
use http::{
    HeaderMap, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    answer::plain_error,
    rpc::{INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR},
};
use crate::json::{MAX_DEPTH, is_too_deep};

type Refusal = Box<Response<Body>>;

fn refuse(status: StatusCode, id: Option<&str>, code: i32, message: &str) -> Refusal {
    Box::new(plain_error(status, id, code, message, None))
}

/// The body's media type has to be JSON.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("what is not text"));
    let media_type = value.and_then(|value| value.split(';').next()).map(str::trim);
    if media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let sent = value.map_or_else(|| "none was sent".to_owned(), |value| format!("{value:?} was sent"));
    let message = format!("send the request as JSON with the header Content-Type: application/json; {sent}");
    Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, INVALID_REQUEST, &message))
}

/// A request's extension: its caller takes no stream, so that nothing is said to it before the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerOnly;

/// What the caller takes. No header and wildcards are everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl Accepts {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        // What the SDKs send.
        if headers.get(ACCEPT).is_some_and(|value| value == "application/json, text/event-stream") {
            return Self { json: true, events: true };
        }
        let mut values = headers.get_all(ACCEPT).iter().filter(|value| !value.as_bytes().trim_ascii().is_empty()).peekable();
        if values.peek().is_none() {
            return Self { json: true, events: true };
        }
        let mut accepts = Self { json: false, events: false };
        for value in values {
            let Ok(value) = value.to_str() else { continue };
            for range in value.split(',') {
                let range = range.split(';').next().unwrap_or_default().trim();
                let is = |name: &str| range.eq_ignore_ascii_case(name);
                if is("application/json") || is("application/*") {
                    accepts.json = true;
                } else if is("text/event-stream") || is("text/*") {
                    accepts.events = true;
                } else if is("*/*") {
                    return Self { json: true, events: true };
                }
            }
        }
        accepts
    }

    pub(super) fn both(self) -> bool {
        self.json && self.events
    }

    pub(super) fn none(self) -> bool {
        !self.json && !self.events
    }
}

/// What a message is, as far as it decides its way.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The id as JSON text.
    pub(super) id: Option<String>,
    pub(super) method: Option<String>,
    /// The params as JSON text.
    pub(super) params: Option<String>,
}

#[derive(Deserialize)]
struct RawHead<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

/// Looks at a body that is out of the ordinary, and says what is wrong with it as far as JSON and JSON-RPC go.
pub(super) fn inspect(body: &[u8]) -> Result<Head, Refusal> {
    let invalid = |id: Option<&str>, message: &str| Err(refuse(StatusCode::BAD_REQUEST, id, INVALID_REQUEST, message));
    let malformed = |message: &str| Err(refuse(StatusCode::BAD_REQUEST, None, PARSE_ERROR, message));
    let Ok(text) = std::str::from_utf8(body) else { return malformed("the request's body is not UTF-8") };
    let text = text.trim_ascii();
    if text.is_empty() {
        return malformed("the request's body is empty: send one JSON-RPC message");
    }
    if is_too_deep(body) {
        return invalid(None, &format!("the message is nested deeper than {MAX_DEPTH} levels"));
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return malformed(&format!("the request's body is not JSON: {error}"));
    }
    if text.starts_with('[') {
        return invalid(None, "batches were removed from MCP in 2025-06-18: send each message in a request of its own");
    }
    if !text.starts_with('{') {
        return invalid(None, "a JSON-RPC message is an object");
    }
    let head: RawHead<'_> = match serde_json::from_str(text) {
        Ok(head) => head,
        Err(error) => return invalid(None, &format!("not a JSON-RPC message: {error}")),
    };
    let id = head.id.map(RawValue::get);
    if id.is_some_and(|id| !id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())) {
        return invalid(None, "the id of a JSON-RPC message is a string or a number");
    }
    if head.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return invalid(id, "a JSON-RPC message has \"jsonrpc\": \"2.0\"");
    }
    let method = match head.method {
        Some(method) => match serde_json::from_str::<String>(method.get()) {
            Ok(method) => Some(method),
            Err(_) => return invalid(id, "the method of a JSON-RPC message is a string"),
        },
        None if head.result.is_some() || head.error.is_some() => None,
        None => return invalid(id, "a JSON-RPC message has a method, or is an answer with a result or an error"),
    };
    if head.params.is_some_and(|params| !params.get().starts_with(['{', '['])) {
        return Err(refuse(StatusCode::BAD_REQUEST, id, INVALID_PARAMS, "the params of a request must be an object"));
    }
    Ok(Head { id: id.map(Into::into), method, params: head.params.map(|params| params.get().to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(values: &[&str]) -> Accepts {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        Accepts::of(&headers)
    }

    #[test]
    fn accept_knows_wildcards_lists_and_several_headers() {
        let both = Accepts { json: true, events: true };
        for values in [
            &[][..],
            &["", " "],
            &["*/*"],
            &["text/html, */*;q=0.1"],
            &["application/json, text/event-stream"],
            &["Application/JSON", "text/event-stream;q=1"],
            &["application/*,text/*"],
        ] {
            assert_eq!(accepts(values), both, "{values:?}");
        }
        assert_eq!(accepts(&["application/json"]), Accepts { json: true, events: false });
        assert_eq!(accepts(&["text/html"]), Accepts { json: false, events: false });
    }
}
