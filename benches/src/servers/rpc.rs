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
struct Request<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: Terms,
}

#[derive(Deserialize)]
pub(super) struct Terms {
    pub(super) a: f64,
    pub(super) b: f64,
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    result_type: &'static str,
    content: [Text<'a>; 1],
    structured_content: Sum,
    is_error: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Sum {
    result: f64,
}

/// A call of `add`: its id and the two numbers. None for anything else.
pub(super) fn read(body: &[u8]) -> Option<(&RawValue, Terms)> {
    let request: Request<'_> = serde_json::from_slice(body).ok()?;
    let is_call = request.jsonrpc == "2.0" && request.method == "tools/call" && request.params.name == crate::requests::TOOL;
    is_call.then_some((request.id, request.params.arguments))
}

pub(super) fn answer(id: &RawValue, sum: f64) -> Response<Body> {
    let text = sum.to_string();
    let content = [Text { r#type: "text", text: &text }];
    let result = Outcome { result_type: "complete", content, structured_content: Sum { result: sum }, is_error: false };
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
