//! The protocol front: MCP over HTTP, both eras on one endpoint.
//!
//! The way of a request: `origin` (who may call from where) → `intake` (is it JSON, of a size) → `lean` (plain lists, calls, reads, prompts
//! and completions, from bytes to bytes) or else `general` (rmcp: everything, and every error). Both look names up by `resolve` and run by `calls`.

mod answer;
mod asking;
mod calls;
mod detach;
mod envelope;
mod era;
mod faults;
mod general;
mod handler;
mod intake;
mod lean;
mod origin;
mod outbox;
mod render;
mod resolve;
mod sessions;
mod sse;
#[cfg(test)]
mod tests;
mod typed;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, Uri};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    catalog::Catalog,
    config::{HttpConfig, StateConfig},
};
use general::General;
use handler::Shared;
use intake::Accepts;
use origin::Origins;
use sessions::Sessions;

/// How the front is to behave.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Names that `Host` may have beside loopback: `name`, `name:port`, or `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call beside loopback: `https://name[:port]`, or `*` for any.
    pub allowed_origins: Vec<String>,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Sessions of clients before 2026-07-28 at once.
    pub max_sessions: usize,
    /// After how long without use a session ends.
    pub session_idle: Duration,
    /// How long a client with a session may take to answer a question.
    pub ask_timeout: Duration,
    /// What signs the state that a client of 2026-07-28 carries from a question to its answer.
    pub state: StateConfig,
    /// Whether callers are told apart, so that what they get must not be shared by a cache.
    pub authenticated: bool,
    /// What the server says of itself.
    pub server_version: String,
    /// What the server tells a model about itself.
    pub instructions: Option<String>,
    /// Off: everything goes by rmcp. For comparing the two.
    pub lean: bool,
}

impl Default for FrontOptions {
    fn default() -> Self {
        Self::from(&HttpConfig::default())
    }
}

impl From<&HttpConfig> for FrontOptions {
    fn from(http: &HttpConfig) -> Self {
        Self {
            allowed_hosts: http.allowed_hosts.clone(),
            allowed_origins: http.allowed_origins.clone(),
            max_body: http.max_body,
            max_sessions: http.max_sessions,
            session_idle: http.session_idle,
            ask_timeout: http.ask_timeout,
            state: StateConfig::default(),
            authenticated: false,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            lean: true,
        }
    }
}

/// The endpoint.
pub struct Front {
    origins: Origins,
    max_body: usize,
    lean: bool,
    shared: Arc<Shared>,
    general: General,
    /// Ends the watching task with the front.
    _closing: DropGuard,
}

impl Front {
    /// Starts to serve a catalog. Has to be called inside a Tokio runtime: a task watches over sessions until [`Self::close`] or the front's end.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, options: FrontOptions) -> Arc<Self> {
        let closing = CancellationToken::new();
        let sessions = Arc::new(Sessions::new(Arc::clone(&catalog), options.max_sessions, options.session_idle, closing.clone()));
        tokio::spawn(Arc::clone(&sessions).watch());
        let shared = Arc::new(Shared::new(catalog, sessions, &options, closing.clone()));
        Arc::new(Self {
            origins: Origins::new(&options.allowed_hosts, &options.allowed_origins),
            max_body: options.max_body,
            lean: options.lean,
            general: General::new(Arc::clone(&shared), options.max_body),
            shared,
            _closing: closing.drop_guard(),
        })
    }

    /// Answers one request of HTTP. Who calls is in its extensions, as a [`Principal`](crate::provider::Principal).
    ///
    /// Dropping the future before it is done means that the connection is gone: it ends a call of 2026-07-28, while one of an older client runs on.
    pub async fn handle(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        if let Err(refusal) = self.check_origin(request.uri(), request.headers()) {
            return *refusal;
        }
        let (parts, body) = request.into_parts();
        match parts.method {
            Method::POST => {}
            Method::GET | Method::DELETE => return self.general.session_request(parts).await,
            _ => return general::method_not_allowed("POST, GET, DELETE, OPTIONS"),
        }
        if let Err(refusal) = intake::check_content_type(&parts.headers) {
            return *refusal;
        }
        let accepts = Accepts::of(&parts.headers);
        let body = match intake::read(&parts.headers, body, self.max_body).await {
            Ok(body) => body,
            Err(refusal) => return *refusal,
        };
        if self.lean
            && accepts.both()
            && let Some(response) = lean::answer(&self.shared, &parts, &body).await
        {
            return response;
        }
        self.general.post(parts, body, accepts).await
    }

    /// Whether `Host` and `Origin` are allowed. [`Self::handle`] asks first of all; other routes beside `/mcp` can ask too.
    ///
    /// # Errors
    ///
    /// The answer to send.
    pub fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
        self.origins.check(uri, headers)
    }

    /// Whether pages of this origin may call, for the answer to a preflight request.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.allows_origin(origin)
    }

    /// Ends listening streams: subscriptions by their final result, GET streams of sessions by their end. Calls in flight go on.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// Calls that run now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.calls.in_flight()
    }

    /// Open sessions of clients before 2026-07-28.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.sessions.len()
    }
}
