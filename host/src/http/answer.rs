//! The answers that do not come from the endpoint: short JSON or text, never cached.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// How much of what a client sent is repeated in an answer.
const ECHO: usize = 100;

/// An error as all of ours look: what is wrong, and what to try.
#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    #[serde(rename = "try")]
    hint: &'a str,
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    build(status, TEXT, body.into())
}

/// A value as JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(body) => build(status, JSON, body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            build(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer could not be written; see the server's log\n".to_owned())
        }
    }
}

/// What is JSON already.
pub(super) fn json_text(status: StatusCode, body: String) -> Response<Body> {
    build(status, JSON, body)
}

/// `{"error": …, "try": …}`.
pub(super) fn problem(status: StatusCode, error: &str, hint: &str) -> Response<Body> {
    json(status, &Problem { error, hint })
}

/// The same for a client that speaks JSON-RPC: SDKs show their users the message of an error of
/// JSON-RPC, and of nothing else. It is to no id, as the request was not read.
pub(super) fn rpc_problem(status: StatusCode, message: &str, hint: &str) -> Response<Body> {
    /// JSON-RPC: no request that can be served.
    const INVALID_REQUEST: i32 = -32600;
    let error = serde_json::json!({ "code": INVALID_REQUEST, "message": message });
    json(status, &serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": error, "try": hint }))
}

/// The same answer with one more header.
pub(super) fn with(mut response: Response<Body>, name: HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}

/// The beginning of what a client sent, for an error message.
pub(super) fn echo(text: &str) -> String {
    if text.chars().count() <= ECHO { text.to_owned() } else { text.chars().take(ECHO).chain(['…']).collect() }
}

fn build(status: StatusCode, kind: HeaderValue, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
