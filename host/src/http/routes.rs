//! What is where: the endpoints, how the server is, and what it says to those who lost their way.
//!
//! A route of ours has one segment (`/mcp`, `/status`); a route of a provider has two, the provider's name and `mcp`, `tools` or `call`. So no provider can
//! shadow a route, whatever it is called: `/mcp` is the endpoint of everything, `/mcp/mcp` that of a provider named `mcp`. Whoever adds a route keeps to
//! one segment, or begins it with a `.`, which no provider's name does.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::body::Body;
use futures::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts};
use hyper::body::Incoming;
use serde::Serialize;

use super::{
    AppState, Authenticator, Endpoint, MCP_PATH, answer,
    body::Received,
    connection::{Connection, Limits},
    cors::FromPage,
    held::Room,
    rest,
};
use crate::provider::{ProviderStatus, StatusSource};

/// What every request needs.
pub(super) struct App<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) limits: Limits,
    /// No new work: set once, when the end begins.
    pub(super) draining: AtomicBool,
    /// What long answers may take until they are read.
    pub(super) answers: Arc<Room>,
    auth: Arc<Authenticator>,
    statuses: Vec<Arc<dyn StatusSource>>,
    version: &'static str,
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    ready: bool,
    plugins: Vec<ProviderStatus>,
    #[serde(flatten)]
    sections: BTreeMap<&'static str, serde_json::Value>,
}

impl<E: Endpoint> App<E> {
    pub(super) fn new(state: AppState<E>, limits: Limits) -> Self {
        let AppState { endpoint, auth, statuses, version, config } = state;
        let answers = Room::new(config.max_answers);
        Self { endpoint, limits, draining: AtomicBool::new(false), answers, auth, statuses, version }
    }

    /// Answers a request, whatever happens on the way.
    pub(super) async fn respond(&self, request: Request<Incoming>, connection: &Connection<E>) -> Response<Body> {
        let is_head = *request.method() == Method::HEAD;
        let page = FromPage::of(request.headers(), &*self.endpoint);
        let preflight = page.as_ref().and_then(|page| page.preflight(request.method(), request.headers()));
        let mut response = match preflight {
            Some(response) => response,
            None => AssertUnwindSafe(self.route(request, connection)).catch_unwind().await.unwrap_or_else(|panic| {
                tracing::error!(panic = said(&*panic), "a request made the server panic; it goes on");
                answer::problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the server made a mistake",
                    "look into its log, and report what stands there",
                )
            }),
        };
        if let Some(page) = page {
            page.reveal(&mut response);
        }
        if is_head {
            without_body(&mut response);
        }
        response
    }

    async fn route(&self, request: Request<Incoming>, connection: &Connection<E>) -> Response<Body> {
        let (mut head, incoming) = request.into_parts();
        let incoming = Received::new(incoming, self.limits.body, head.version, &head.headers);
        let path = head.uri.path();
        if connection.surplus && !matches!(path, "/healthz" | "/readyz") {
            return full(connection, head.version);
        }
        if let Some(provider) = mcp_of(path) {
            if head.method == Method::OPTIONS {
                return answer::with(empty(StatusCode::NO_CONTENT), header::ALLOW, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
            }
            let provider = provider.map(str::to_owned);
            if !self.auth.is_open()
                && let Err(refusal) = self.admit(&mut head, connection).await
            {
                return refusal;
            }
            let request = Request::from_parts(head, Body::new(incoming));
            return match provider {
                None => self.endpoint.handle(request).await,
                Some(provider) => self.endpoint.handle_provider(&provider, request).await,
            };
        }
        if let Some(route) = rest::Route::of(path) {
            return self.rest(route, head, incoming, connection).await;
        }
        if !matches!(path, "/" | "/healthz" | "/readyz" | "/status") {
            return answer::problem(StatusCode::NOT_FOUND, &format!("there is nothing at {:?}", answer::echo(path)), MCP_PATH);
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return wrong_method(&head);
        }
        // Probes ask by whatever name or address they know, and learn one word.
        match path {
            "/healthz" => return answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => return self.readiness(),
            _ => {}
        }
        if let Err(refusal) = self.endpoint.check_origin(&head.uri, &head.headers) {
            return *refusal;
        }
        if path == "/" {
            return self.welcome();
        }
        match self.admit(&mut head, connection).await {
            Ok(()) => self.status(),
            Err(refusal) => refusal,
        }
    }

    /// The REST face: for the same callers as `/mcp`.
    async fn rest(&self, route: rest::Route, mut head: Parts, incoming: Received, connection: &Connection<E>) -> Response<Body> {
        if let Err(refusal) = self.endpoint.check_origin(&head.uri, &head.headers) {
            return *refusal;
        }
        if let Err(refusal) = self.admit(&mut head, connection).await {
            return refusal;
        }
        self.endpoint.rest(route, Request::from_parts(head, Body::new(incoming))).await
    }

    /// Finds out who calls and notes it for those further down.
    async fn admit(&self, head: &mut Parts, connection: &Connection<E>) -> Result<(), Response<Body>> {
        match self.auth.authenticate(head).await {
            Ok(Some(principal)) => {
                head.extensions.insert(principal);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(challenge) => {
                tracing::info!(reason = ?challenge, peer = %connection.peer, method = %head.method, path = head.uri.path(), "a caller was not let in");
                Err(challenge.response())
            }
        }
    }

    fn is_ready(&self) -> bool {
        !self.draining.load(Relaxed) && self.statuses.iter().all(|source| source.ready())
    }

    fn readiness(&self) -> Response<Body> {
        if self.is_ready() {
            answer::text(StatusCode::OK, "ready\n")
        } else if self.draining.load(Relaxed) {
            answer::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else {
            answer::text(StatusCode::SERVICE_UNAVAILABLE, "loading\n")
        }
    }

    fn status(&self) -> Response<Body> {
        let mut plugins: Vec<_> = self.statuses.iter().flat_map(|source| source.statuses()).collect();
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        let sections = self.statuses.iter().flat_map(|source| source.sections()).collect();
        answer::json(StatusCode::OK, &Status { version: self.version, ready: self.is_ready(), plugins, sections })
    }

    fn welcome(&self) -> Response<Body> {
        let version = self.version;
        answer::text(
            StatusCode::OK,
            format!(
                "Toolbay {version}: WebAssembly tools for MCP clients.\n\n\
                 The MCP endpoint is {MCP_PATH} (streamable HTTP): give a client this address with {MCP_PATH} at its end.\n\
                 One plugin alone, under its own names: /NAME{MCP_PATH}.\n\
                 Without MCP: GET /tools, POST /call, /NAME/tools, /NAME/call; described in /openapi.json.\n\
                 How the plugins stand: /status. Whether the server lives, and takes calls: /healthz, /readyz.\n"
            ),
        )
    }
}

/// Whether a path is an MCP endpoint: that of everything, or of the provider that it names.
fn mcp_of(path: &str) -> Option<Option<&str>> {
    if path == MCP_PATH {
        return Some(None);
    }
    let provider = path.strip_suffix(MCP_PATH)?.strip_prefix('/')?;
    (!provider.is_empty() && !provider.contains('/')).then_some(Some(provider))
}

fn wrong_method(head: &Parts) -> Response<Body> {
    let error = format!("{} is not possible at {}", answer::echo(head.method.as_str()), head.uri.path());
    answer::with(answer::problem(StatusCode::METHOD_NOT_ALLOWED, &error, "GET"), header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}

/// The answer on a connection that is one too many, which ends with it.
fn full<E>(connection: &Connection<E>, version: Version) -> Response<Body> {
    let error = "the server has as many connections as max_connections in [http] of its toolbay.toml allows";
    let response = answer::problem(StatusCode::SERVICE_UNAVAILABLE, error, "come back in a second, or use fewer connections at once");
    let response = answer::with(response, header::RETRY_AFTER, HeaderValue::from_static("1"));
    if version == Version::HTTP_2 {
        connection.watch.close();
        response
    } else {
        answer::with(response, header::CONNECTION, HeaderValue::from_static("close"))
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer to HEAD says how long the body would be, and has none.
fn without_body(response: &mut Response<Body>) {
    use http_body::Body as _;
    if let Some(length) = response.body().size_hint().exact()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
        && response.status() != StatusCode::NO_CONTENT
    {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::empty();
}

/// The text of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
