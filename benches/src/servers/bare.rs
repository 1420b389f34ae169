//! axum and serde_json, and the sum computed in place: what HTTP and JSON cost.

use axum::{
    Router,
    body::{Body, Bytes},
    http::Response,
    routing::post,
};

use super::rpc;

pub(super) fn router() -> Router {
    Router::new().route("/mcp", post(call))
}

async fn call(body: Bytes) -> Response<Body> {
    match rpc::read(&body) {
        Some((id, terms)) => rpc::answer(id, terms.a + terms.b),
        None => rpc::refused(),
    }
}
