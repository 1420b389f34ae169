//! axum, reqwest and serde: what a call costs that fetches and formats, without a sandbox; and the service that it fetches from.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, header},
    routing::{get, post},
};
use serde::Deserialize;

use super::rpc;
use crate::weather;

/// What the tool is called with.
#[derive(Deserialize)]
struct Place {
    state: String,
}

#[derive(Clone)]
struct Upstream {
    client: reqwest::Client,
    base: String,
}

pub(super) fn router(upstream: &str) -> anyhow::Result<Router> {
    // The client wants one, though nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let upstream = Upstream { client: reqwest::Client::builder().build()?, base: format!("http://{upstream}") };
    Ok(Router::new().route("/mcp", post(call)).with_state(upstream))
}

async fn call(State(upstream): State<Upstream>, body: Bytes) -> Response<Body> {
    let Some((id, Place { state })) = rpc::read(&body, weather::TOOL) else { return rpc::refused() };
    let fetched = async {
        let url = format!("{}/alerts/active/area/{state}", upstream.base);
        let request = upstream.client.get(url).header(header::ACCEPT, "application/geo+json").header(header::USER_AGENT, "weather-app/1.0");
        request.send().await?.error_for_status()?.bytes().await
    };
    match fetched.await.ok().and_then(|document| weather::told(&document)) {
        Some(told) => rpc::answer(id, &told, &told),
        None => rpc::refused(),
    }
}

/// The weather service.
pub(super) fn upstream() -> Router {
    let alerts = || async { ([(header::CONTENT_TYPE, "application/geo+json")], weather::DOCUMENT.as_str()) };
    Router::new().route("/alerts/active/area/{state}", get(alerts))
}
