//! axum and serde_json, and the sum computed in place: what HTTP and JSON cost.

use axum::{
    Router,
    body::{Body, Bytes},
    http::Response,
    routing::post,
};

use super::rpc::{self, Terms};
use crate::requests::TOOL;

pub(super) fn router() -> Router {
    Router::new().route("/mcp", post(call))
}

async fn call(body: Bytes) -> Response<Body> {
    let Some((id, Terms { a, b })) = rpc::read(&body, TOOL) else { return rpc::refused() };
    rpc::answer(id, a + b, &(a + b).to_string())
}
