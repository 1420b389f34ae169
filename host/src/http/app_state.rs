//! What a server serves, put together by whoever starts it.

use std::sync::Arc;

use axum::Router;

use super::{console::ConsoleHost, endpoint::McpEndpoint, rest, settings::HttpSettings};
use crate::{
    mcp::Front,
    provider::StatusSource,
    telemetry::{
        audit::Audit,
        metrics::{Metrics, Page},
    },
};

/// What [`serve`](super::serve) serves.
pub struct AppState<E> {
    /// Answers at `/mcp`.
    pub endpoint: Arc<E>,
    /// Answers callers without MCP. Origin and authentication are checked before it.
    pub rest: Router,
    /// Knows what callers may be told of `statuses`. None: everything.
    pub front: Option<Arc<Front>>,
    /// Who knows how the plugins stand: for `/readyz` and `/status`.
    pub statuses: Vec<Arc<dyn StatusSource>>,
    /// `[http]`, and who may come in.
    pub settings: Arc<HttpSettings>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where audit lines go, if there are any.
    pub audit: Option<Arc<Audit>>,
    /// What is shown at `/metrics`. None: nothing is there.
    pub page: Option<Arc<Page>>,
    /// The host that the console is about. None: there is no console.
    pub console: Option<Arc<dyn ConsoleHost>>,
    /// Toolbay's version, shown in `/status`.
    pub version: &'static str,
}

impl AppState<McpEndpoint> {
    /// A front, for callers with and without MCP.
    #[must_use]
    pub fn new(front: Arc<Front>, settings: Arc<HttpSettings>, statuses: Vec<Arc<dyn StatusSource>>, page: Option<Arc<Page>>) -> Self {
        let (metrics, audit) = (Arc::clone(front.dispatcher().metrics()), front.dispatcher().audit().cloned());
        let endpoint = McpEndpoint::new(Arc::clone(&front), &settings);
        let rest = rest::router(&endpoint);
        let front = Some(front);
        Self { endpoint, rest, front, settings, statuses, metrics, audit, page, console: None, version: env!("CARGO_PKG_VERSION") }
    }

    /// The same with a console, which is about this host.
    #[must_use]
    pub fn with_console(self, host: Arc<dyn ConsoleHost>) -> Self {
        Self { console: Some(host), ..self }
    }
}
