//! axum and serde_json: what it costs to read arguments of some size, and to answer them, without a sandbox.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    http::Response,
    routing::post,
};
use serde_json::Value;

use super::rpc;
use crate::ways::ECHO;

pub(super) fn router() -> Router {
    Router::new().route("/mcp", post(call)).layer(DefaultBodyLimit::disable())
}

/// Read and written as the plugin does it: into values, and as text in the answer's two places.
async fn call(body: Bytes) -> Response<Body> {
    match rpc::read::<Value>(&body, ECHO) {
        Some((id, arguments)) => rpc::structured(id, &arguments, &arguments.to_string()),
        None => rpc::refused(),
    }
}
