//! axum, reqwest and serde: what a call costs that fetches and formats, without a sandbox; and the service that it fetches from.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{Response, header},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::rpc;
use crate::{fetch, weather};

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
    let Some((id, Place { state })) = rpc::read(&body, weather::TOOL) else {
        let Some((id, several)) = rpc::read(&body, fetch::MANY) else { return rpc::refused() };
        let outcomes = json!({ "outcomes": upstream.fetch(&several).await });
        return rpc::structured(id, &outcomes, &outcomes.to_string());
    };
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

/// Several requests for one address.
#[derive(Deserialize)]
struct Several {
    url: String,
    count: usize,
}

impl Upstream {
    /// Sends all of them at once, and tells what the plugin tells of each answer.
    async fn fetch(&self, Several { url, count }: &Several) -> Vec<Value> {
        let mut sent = JoinSet::new();
        for _ in 0..*count {
            let request = self.client.get(url).send();
            sent.spawn(async move {
                let answer = request.await.ok()?;
                let (status, location) = (answer.status().as_u16(), answer.headers().get(header::LOCATION).cloned());
                let body = answer.bytes().await.ok()?;
                let location = location.and_then(|location| location.to_str().ok().map(str::to_owned));
                Some(json!({ "status": status, "location": location, "bytes": body.len(), "body": String::from_utf8_lossy(&body) }))
            });
        }
        sent.join_all().await.into_iter().flatten().collect()
    }
}

/// The weather service, and something small beside it.
pub(super) fn upstream() -> Router {
    let alerts = |Path(state): Path<String>| async move {
        let document = if state == weather::LARGE_STATE { &weather::LARGE } else { &weather::DOCUMENT };
        ([(header::CONTENT_TYPE, "application/geo+json")], document.as_str())
    };
    Router::new().route("/alerts/active/area/{state}", get(alerts)).route(fetch::SMALL_PATH, get(|| async { fetch::SMALL }))
}
