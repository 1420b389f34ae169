//! What a server serves, put together by whoever starts it.

use std::sync::Arc;

use axum::Router;

use super::{auth::Authenticator, endpoint::McpEndpoint, rest};
use crate::{config::HttpConfig, mcp::Front, provider::StatusSource};

/// What [`serve`](super::serve) serves.
pub struct AppState<E> {
    /// Answers at `/mcp`.
    pub endpoint: Arc<E>,
    /// Answers callers without MCP. Origin and authentication are checked before it.
    pub rest: Router,
    /// Who may come in.
    pub auth: Arc<Authenticator>,
    /// Who knows how the plugins stand: for `/readyz` and `/status`.
    pub statuses: Vec<Arc<dyn StatusSource>>,
    /// `[http]`.
    pub config: HttpConfig,
    /// Toolbay's version, shown in `/status`.
    pub version: &'static str,
}

impl AppState<McpEndpoint> {
    /// A front, for callers with and without MCP.
    #[must_use]
    pub fn new(front: Arc<Front>, auth: Arc<Authenticator>, statuses: Vec<Arc<dyn StatusSource>>, config: HttpConfig) -> Self {
        let endpoint = McpEndpoint::new(front, &config);
        let rest = rest::router(&endpoint);
        Self { endpoint, rest, auth, statuses, config, version: env!("CARGO_PKG_VERSION") }
    }
}
