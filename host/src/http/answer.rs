//! The answers that do not come from the endpoint: short JSON or text, never cached.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
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

/// A document that a client may keep, and asks for again by its tag: 304 where it is still the same.
pub(super) fn tagged(asked: &HeaderMap, kind: HeaderValue, body: String, cache: HeaderValue) -> Response<Body> {
    let hash = blake3::hash(body.as_bytes()).to_hex();
    let tag = format!("\"{}\"", hash.get(..32).unwrap_or_default());
    let is_known = names_tag(asked, |known| tag.trim_matches('"') == known);
    let mut response = if is_known { build(StatusCode::NOT_MODIFIED, kind, String::new()) } else { build(StatusCode::OK, kind, body) };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Whether a client asks for what it does not have, and has this. `is_it` looks at a tag without its quotes.
pub(super) fn names_tag(asked: &HeaderMap, is_it: impl Fn(&str) -> bool) -> bool {
    // RFC 9110, 13.1.2: a list, compared weakly.
    let named = |known: &str| {
        let known = known.trim();
        let tag = known.strip_prefix("W/").unwrap_or(known);
        known == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).is_some_and(&is_it)
    };
    asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok()).any(|known| known.split(',').any(named))
}

/// The same of a value as JSON, which is this caller's own: a client asks each time whether it is still the same.
pub(super) fn tagged_json<T: Serialize>(asked: &HeaderMap, value: &T) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(body) => tagged(asked, JSON, body, HeaderValue::from_static("private, no-cache")),
        Err(_) => json(StatusCode::OK, value),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_already_is_not_sent_again() {
        let ask = |known: Option<&str>| {
            let asked = known.map(|known| (header::IF_NONE_MATCH, HeaderValue::try_from(known).unwrap())).into_iter().collect();
            tagged(&asked, JSON, "{}".to_owned(), HeaderValue::from_static("no-cache"))
        };
        let first = ask(None);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for (known, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (String::new(), 200),
        ] {
            let answer = ask(Some(&known));
            assert_eq!((answer.status().as_u16(), answer.headers()[header::ETAG].to_str().unwrap()), (status, &*tag), "{known}");
        }
    }
}
