//! How the server is, for probes and for people: `/healthz`, `/readyz`, `/status` and `/`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::{Extension, body::Body, extract::State};
use http::{Response, StatusCode};
use serde::Serialize;

use super::{answer, path::MCP_PATH};
use crate::{
    mcp::Front,
    provider::{Principal, ProviderStatus, StatusSource},
};

/// What is known of how the server is.
pub(super) struct Health {
    statuses: Vec<Arc<dyn StatusSource>>,
    /// Knows what callers may be told. None: everything.
    front: Option<Arc<Front>>,
    has_console: bool,
    version: &'static str,
    /// No new work: set once, when the end begins.
    draining: AtomicBool,
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    ready: bool,
    plugins: Vec<ProviderStatus>,
    #[serde(flatten)]
    sections: BTreeMap<&'static str, serde_json::Value>,
}

impl Health {
    pub(super) fn new(statuses: Vec<Arc<dyn StatusSource>>, front: Option<Arc<Front>>, has_console: bool, version: &'static str) -> Self {
        Self { statuses, front, has_console, version, draining: AtomicBool::new(false) }
    }

    /// Takes no new work from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    fn is_ready(&self) -> bool {
        !self.draining.load(Relaxed) && self.statuses.iter().all(|source| source.ready())
    }
}

/// `/healthz`. Probes ask by whatever name or address they know, and learn one word.
pub(super) async fn alive() -> Response<Body> {
    answer::text(StatusCode::OK, "ok\n")
}

/// `/readyz`, for probes too.
pub(super) async fn ready(State(health): State<Arc<Health>>) -> Response<Body> {
    if health.is_ready() {
        answer::text(StatusCode::OK, "ready\n")
    } else if health.draining.load(Relaxed) {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, "loading\n")
    }
}

/// `/status`, as far as the caller may know of it: what is about the host as a whole names everything.
pub(super) async fn status(State(health): State<Arc<Health>>, principal: Option<Extension<Principal>>) -> Response<Body> {
    let mut plugins: Vec<_> = health.statuses.iter().flat_map(|source| source.statuses()).collect();
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    let seen = health.front.as_ref().map(|front| front.seen(principal.as_deref()));
    let is_limited = seen.as_ref().is_some_and(|seen| seen.is_limited());
    if let Some(seen) = seen {
        plugins = seen.visible(plugins);
    }
    let sections = health.statuses.iter().filter(|_| !is_limited).flat_map(|source| source.sections()).collect();
    answer::json(StatusCode::OK, &Status { version: health.version, ready: health.is_ready(), plugins, sections })
}

/// `/`: what is where.
pub(super) async fn welcome(State(health): State<Arc<Health>>) -> Response<Body> {
    let version = health.version;
    let console = if health.has_console { "The console, for operators: /console.\n" } else { "" };
    answer::text(
        StatusCode::OK,
        format!(
            "Toolbay {version}: WebAssembly tools for MCP clients.\n\n\
             The MCP endpoint is {MCP_PATH} (streamable HTTP): give a client this address with {MCP_PATH} at its end.\n\
             One plugin alone, under its own names: /NAME{MCP_PATH}.\n\
             Without MCP: GET /tools, POST /call, /NAME/tools, /NAME/call; described in /openapi.json.\n\
             How the plugins stand: /status. Whether the server lives, and takes calls: /healthz, /readyz.\n\
             Metrics for Prometheus: /metrics.\n{console}"
        ),
    )
}
