//! The least that a server reads of a call and writes as its answer.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(bound = "A: Deserialize<'de>")]
struct Request<'a, A> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Params<'a, A>,
}

#[derive(Deserialize)]
#[serde(bound = "A: Deserialize<'de>")]
struct Params<'a, A> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: A,
}

#[derive(Deserialize)]
pub(super) struct Terms {
    pub(super) a: f64,
    pub(super) b: f64,
}

#[derive(Serialize)]
struct Answer<'a, S> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: Outcome<'a, S>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a, S> {
    result_type: &'static str,
    content: [Text<'a>; 1],
    structured_content: S,
    is_error: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Structured<R> {
    result: R,
}

/// A call of a tool: its id and the arguments. None for anything else.
pub(super) fn read<'a, A: Deserialize<'a>>(body: &'a [u8], tool: &str) -> Option<(&'a RawValue, A)> {
    let request: Request<'a, A> = serde_json::from_slice(body).ok()?;
    let is_call = request.jsonrpc == "2.0" && request.method == "tools/call" && request.params.name == tool;
    is_call.then_some((request.id, request.params.arguments))
}

/// The result, and the same as text.
pub(super) fn answer(id: &RawValue, result: impl Serialize, text: &str) -> Response<Body> {
    structured(id, Structured { result }, text)
}

/// The structured content, and the same as text.
pub(super) fn structured(id: &RawValue, structured_content: impl Serialize, text: &str) -> Response<Body> {
    let content = [Text { r#type: "text", text }];
    let result = Outcome { result_type: "complete", content, structured_content, is_error: false };
    let Ok(body) = serde_json::to_vec(&Answer { jsonrpc: "2.0", id, result }) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn refused() -> Response<Body> {
    StatusCode::BAD_REQUEST.into_response()
}
