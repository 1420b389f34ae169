//! Answers as they go out: JSON-RPC texts and HTTP responses.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY},
};

use super::{
    era::Era,
    packed::PackedLists,
    result_json,
    rpc::{
        BUSY, HEADER_MISMATCH, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY, RpcError, UNSUPPORTED_VERSION, error_body, internal,
        rpc_error,
    },
};
use crate::{catalog::Snapshot, provider::CallError};

/// One JSON-RPC answer with its HTTP status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    /// Scopes that the caller's token needs.
    pub(super) scopes: Option<Box<str>>,
    pub(super) body: Vec<u8>,
}

/// Beside a response, for who knows how clients are told of it: scopes that the caller's token
/// needs, with spaces between.
#[derive(Clone, Debug)]
pub struct NeedsScopes(pub Box<str>);

impl Answer {
    /// The answer when something broke that no caller can mend.
    pub(super) fn internal_error(id: &str, message: &str) -> Self {
        Self { status: StatusCode::OK, retry_after: None, scopes: None, body: error_body(Some(id), &internal(message)) }
    }

    /// As a plain JSON response.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(after)));
        }
        if let Some(scopes) = self.scopes {
            response.extensions_mut().insert(NeedsScopes(scopes));
        }
        response
    }
}

/// Whole seconds for `Retry-After`, at least one.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// The answer to a call that has no result.
pub(super) fn failure(id: &str, era: Era, error: CallError, snapshot: &Snapshot) -> Answer {
    let (retry_after, full) = match &error {
        CallError::Busy { retry_after, .. } | CallError::Uncounted { retry_after, .. } => {
            (Some(*retry_after), Some(StatusCode::SERVICE_UNAVAILABLE))
        }
        CallError::Limited { retry_after, .. } => (Some(*retry_after), Some(StatusCode::TOO_MANY_REQUESTS)),
        CallError::NeedsScopes { .. } => (None, Some(StatusCode::FORBIDDEN)),
        _ => (None, None),
    };
    let scopes = match &error {
        CallError::NeedsScopes { scopes, .. } => Some(scopes.as_str().into()),
        _ => None,
    };
    let error = rpc_error(error, era, snapshot);
    let status = full.unwrap_or_else(|| status(era, error.code));
    Answer { status, retry_after, scopes, body: error_body(Some(id), &error) }
}

/// The answer with a result that is JSON already, or with the error.
pub(super) fn raw(id: &str, era: Era, result: Result<Vec<u8>, CallError>, snapshot: &Snapshot) -> Answer {
    match result {
        Ok(result) => {
            let mut body = begin(id, result.len());
            body.extend_from_slice(&result);
            body.push(b'}');
            Answer { status: StatusCode::OK, retry_after: None, scopes: None, body }
        }
        Err(error) => failure(id, era, error, snapshot),
    }
}

/// The answer to a request for a list, with all items on one page.
pub(super) fn list(id: &str, era: Era, private: bool, member: &str, items: &[u8]) -> Answer {
    let mut body = begin(id, items.len());
    result_json::list(&mut body, era, private, member, items);
    body.push(b'}');
    Answer { status: StatusCode::OK, retry_after: None, scopes: None, body }
}

/// The same compressed. None: it is not worth it, or not ready.
pub(super) fn packed_list(id: &str, era: Era, private: bool, member: &str, items: &Bytes, lists: &PackedLists) -> Option<Response<Body>> {
    let mut before = begin(id, 0);
    result_json::list(&mut before, era, private, member, b"");
    // What stands behind the items: the end of the result, and that of the message.
    before.pop();
    let body = lists.around(&before, items, b"}}")?;
    let mut response = Response::new(Body::from(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    Some(response)
}

/// The beginning of a message with a result of about this size.
pub(super) fn begin(id: &str, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(192 + id.len() + size);
    body.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(b",\"result\":");
    body
}

/// The HTTP status of an answer with this error: in 2026-07-28 some errors have one of their own.
fn status(era: Era, code: i32) -> StatusCode {
    match (era, code) {
        (Era::Modern, HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION) => StatusCode::BAD_REQUEST,
        (Era::Modern, METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// A whole response that says what is wrong with a request.
pub(super) fn plain_error(status: StatusCode, id: Option<&str>, code: i32, message: &str, retry_after: Option<Duration>) -> Response<Body> {
    let error = RpcError { code, message: message.to_owned(), data: None };
    Answer { status, retry_after, scopes: None, body: error_body(id, &error) }.into_response()
}

/// The answer to a request that was not looked at: it may not come in, or its body cannot be read.
pub(crate) fn refusal(status: StatusCode, message: &str, retry_after: Option<Duration>) -> Response<Body> {
    let code = if retry_after.is_some() { BUSY } else { INVALID_REQUEST };
    plain_error(status, None, code, message, retry_after)
}
