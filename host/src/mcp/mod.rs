//! The protocol front: MCP over HTTP, both eras on one endpoint.
//!
//! The way of a request: `origin` (who may call from where) → `intake` (is it JSON, of a size) → `lean` (plain lists, calls, reads, prompts
//! and completions, from bytes to bytes) or else `general` (rmcp: everything, and every error). Both look names up by `resolve` and run by `calls`; `media` has the answer in a type that the caller takes.

mod answer;
mod asking;
mod bodies;
mod calls;
mod detach;
mod envelope;
mod era;
mod faults;
mod general;
mod handler;
mod intake;
mod lean;
mod media;
mod open;
mod origin;
mod outbox;
mod render;
mod resolve;
mod sessions;
mod signing;
mod sse;
mod tasks;
#[cfg(test)]
mod tests;
mod typed;
mod updates;
mod views;

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    catalog::{Catalog, Entry},
    config::{HttpConfig, StateConfig, TasksConfig},
    provider::{Absence, CallError, CallOutput, StatusSource},
};
use asking::{Asking, PlainCaller};
use bodies::{Bodies, Received, Refused};
use calls::{Checked, Output, Work};
use intake::Accepts;
use origin::Origins;
use views::{View, Views};

/// How the front is to behave.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Names that `Host` may have beside loopback: `name`, `name:port`, or `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call beside loopback: `https://name[:port]`, or `*` for any.
    pub allowed_origins: Vec<String>,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Bytes of all bodies that are held at once.
    pub max_bodies: usize,
    /// Sessions of clients before 2026-07-28 at once.
    pub max_sessions: usize,
    /// After how long without use a session ends.
    pub session_idle: Duration,
    /// How long a client with a session may take to answer a question.
    pub ask_timeout: Duration,
    /// What signs the state that a client of 2026-07-28 carries from a question to its answer.
    pub state: StateConfig,
    /// Calls that go on when their request is answered.
    pub tasks: TasksConfig,
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
            max_bodies: http.max_bodies,
            max_sessions: http.max_sessions,
            session_idle: http.session_idle,
            ask_timeout: http.ask_timeout,
            state: StateConfig::default(),
            tasks: TasksConfig::default(),
            authenticated: false,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            lean: true,
        }
    }
}

/// A call of a tool by a caller that speaks no MCP.
pub(crate) struct PlainCall<'a> {
    pub(crate) entry: Arc<Entry>,
    /// An object, as JSON text.
    pub(crate) arguments: &'a str,
    pub(crate) principal: Option<Arc<str>>,
    pub(crate) trace_parent: Option<Arc<str>>,
}

/// The endpoints: that of everything, and one for each provider.
pub struct Front {
    origins: Origins,
    bodies: Bodies,
    lean: bool,
    views: Arc<Views>,
    /// Who knows of providers that are not in the catalog, and why.
    statuses: Vec<Arc<dyn StatusSource>>,
    /// Ends the watching tasks with the front.
    _closing: DropGuard,
}

impl Front {
    /// Starts to serve a catalog. Has to be called inside a Tokio runtime: tasks watch over sessions and providers until [`Self::close`] or the front's end.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, options: FrontOptions) -> Arc<Self> {
        Self::with_statuses(catalog, options, Vec::new())
    }

    /// The same; who asks for a provider that is known to these and offers nothing is told why.
    #[must_use]
    pub fn with_statuses(catalog: Arc<Catalog>, options: FrontOptions, statuses: Vec<Arc<dyn StatusSource>>) -> Arc<Self> {
        let closing = CancellationToken::new();
        let (bodies, lean) = (Bodies::new(options.max_body, options.max_bodies), options.lean);
        let origins = Origins::new(&options.allowed_hosts, &options.allowed_origins);
        let views = Arc::new(Views::new(catalog, options, closing.clone()));
        tokio::spawn(Arc::clone(&views).watch());
        Arc::new(Self { origins, bodies, lean, views, statuses, _closing: closing.drop_guard() })
    }

    /// Answers one request of HTTP about everything there is. Who calls is in its extensions, as a [`Principal`](crate::provider::Principal).
    ///
    /// Dropping the future before it is done means that the connection is gone: it ends a call of 2026-07-28, while one of an older client runs on.
    pub async fn handle(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        if let Err(refusal) = self.check_origin(request.uri(), request.headers()) {
            return *refusal;
        }
        self.answer(self.views.whole(), request).await
    }

    /// The same about what one provider offers, under its own names.
    pub async fn handle_provider(self: &Arc<Self>, provider: &str, request: Request<Body>) -> Response<Body> {
        if let Err(refusal) = self.check_origin(request.uri(), request.headers()) {
            return *refusal;
        }
        match self.views.of(provider) {
            Some(view) => self.answer(&view, request).await,
            None => self.no_provider(provider, request).await,
        }
    }

    async fn answer(&self, view: &View, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        match parts.method {
            Method::POST => {}
            Method::GET | Method::DELETE => return view.general.session_request(parts).await,
            _ => return general::method_not_allowed("POST, GET, DELETE, OPTIONS"),
        }
        if let Err(refusal) = intake::check_content_type(&parts.headers) {
            return *refusal;
        }
        let accepts = Accepts::of(&parts.headers);
        let Received { bytes: body, share } = match intake::read(&self.bodies, &parts.headers, body).await {
            Ok(received) => received,
            Err(refusal) => return *refusal,
        };
        // It goes wherever the request goes, and some requests outlive their connection.
        if let Some(share) = share {
            parts.extensions.insert(share);
        }
        if let Some(copy) = view.shared.tasks.elsewhere(&parts.headers) {
            let id = intake::inspect(&body).ok().and_then(|head| head.id);
            return view.shared.tasks.hand_on(&copy, parts, body, id.as_deref()).await;
        }
        if !accepts.events {
            parts.extensions.insert(media::AnswerOnly);
        }
        if self.lean
            && !accepts.none()
            && let Some(response) = lean::answer(&view.shared, &parts, &body).await
        {
            return media::fit(response, accepts).await;
        }
        media::fit(view.general.post(parts, body, accepts).await, accepts).await
    }

    /// Says that there is no such provider, and which there are; or why one that is known is not there.
    async fn no_provider(&self, provider: &str, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        // The answer is to the request's id, where it has one that can be read.
        let body = intake::read(&self.bodies, &parts.headers, body).await.map(|received| received.bytes);
        let id = intake::inspect(&body.unwrap_or_default()).ok().and_then(|head| head.id);
        if let Some(Absence { why, retry_after }) = self.absence(provider) {
            return answer::plain_error(StatusCode::SERVICE_UNAVAILABLE, id.as_deref(), answer::BUSY, &why, retry_after);
        }
        let message = views::no_provider(provider, self.catalog());
        answer::plain_error(StatusCode::NOT_FOUND, id.as_deref(), answer::INVALID_REQUEST, &message, None)
    }

    /// Reads the body of a request that is not MCP, within the same limit.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) async fn read_body(&self, headers: &HeaderMap, body: Body) -> Result<Received, Refused> {
        let received = self.bodies.read(headers, body).await?;
        if intake::is_too_deep(&received.bytes) {
            let message = "the request's body is nested too deep".to_owned();
            return Err(Refused { status: StatusCode::BAD_REQUEST, message, retry_after: None });
        }
        Ok(received)
    }

    /// Runs a tool for a caller that speaks no MCP: counted, limited and logged as every call is, with nobody to notify and nobody to ask. Dropping the
    /// future ends the call.
    pub(crate) async fn call(&self, tool: PlainCall<'_>) -> Result<CallOutput, CallError> {
        let PlainCall { entry, arguments, principal, trace_parent } = tool;
        let work = Work::Call { entry, arguments: Cow::Borrowed(arguments) };
        let asking = Asking::Waiting(Arc::new(PlainCaller));
        let deferral = work.notifies().then(|| self.views.whole().shared.tasks.refusing());
        let checked = Checked { work, era: None, principal, trace_parent, meta: None, notifier: None, asking, deferral, share: None };
        match self.views.calls().run(checked).await? {
            Output::Call(output) => Ok(output),
            _ => Err(CallError::Internal("a tool answered as something else does".to_owned())),
        }
    }

    /// What one provider offers, under its own names, where there is such a provider.
    pub(crate) fn catalog_of(&self, provider: &str) -> Option<Arc<Catalog>> {
        self.views.of(provider).map(|view| Arc::clone(&view.shared.catalog))
    }

    /// Why a provider that is known is not in the catalog. None: nobody knows one of that name.
    pub(crate) fn absence(&self, provider: &str) -> Option<Absence> {
        let mut statuses = self.statuses.iter().flat_map(|source| source.statuses());
        statuses.find(|status| status.name == provider).map(|status| status.absence())
    }

    /// The sentence for a provider that is not there: it says which there are.
    pub(crate) fn no_provider_text(&self, provider: &str) -> String {
        views::no_provider(provider, self.catalog())
    }

    /// Whether callers have to say who they are.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.views.whole().shared.private
    }

    /// Everything that is served.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.views.whole().shared.catalog
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
        self.views.close();
    }

    /// Calls that run now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.views.calls().in_flight()
    }

    /// Open sessions of clients before 2026-07-28.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.views.whole().shared.sessions.len()
    }
}
