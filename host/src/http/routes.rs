//! What is where: the MCP endpoints first and by themselves, then everything else as a router of axum.
//!
//! A route of ours has one segment (`/mcp`, `/status`); a route of a provider has two, the provider's name and `mcp`, `tools` or `call`. So no provider can
//! shadow a route, whatever it is called: `/mcp` is the endpoint of everything, `/mcp/mcp` that of a provider named `mcp`. Whoever adds a route keeps to
//! one segment, or begins it with a `.`, which no provider's name does.
//!
//! The way of a request is the same everywhere: CORS, then `Host` and `Origin`, then authentication, then the
//! route. Only probes, and what does not exist, are answered to anybody. CORS is not tower-http's layer, since
//! that lets a foreign page's preflight pass without a word, and knows no list of headers without an end.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{Extension, Router, body::Body, middleware::from_fn_with_state, routing::get};
use futures::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts};
use hyper::body::Incoming;
use tower::Service as _;

use super::{
    accounts::{self, ACCOUNTS_PATH, ALL_PATH, Desk},
    admission::Admission,
    answer,
    app_state::AppState,
    body::DeadlineBody,
    card::Cards,
    connection::{Connection, Limits, Service},
    console,
    endpoint::Endpoint,
    guards::{Peer, Reach, guard, wrong_method},
    metrics, oauth_hint,
    path::MCP_PATH,
    rest::Route,
    status::{self, Health},
};
use crate::{
    credentials::accounts::{CALLBACK_PATH, START_PATH},
    mcp::{Front, NeedsScopes},
    telemetry::metrics::{HttpRoute, Metrics, Page, Reason},
};

/// Where the public keys are by which servers verify who calls.
const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What every request needs.
pub(super) struct App<E> {
    endpoint: Arc<E>,
    front: Option<Arc<Front>>,
    limits: Limits,
    admission: Arc<Admission>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    cards: Arc<Cards>,
    /// Everything but the MCP endpoints.
    router: Router,
}

impl<E: Endpoint> App<E> {
    pub(super) fn new(state: AppState<E>, limits: Limits) -> Self {
        let AppState { endpoint, rest, front, settings, statuses, metrics, audit, page, console, version } = state;
        let admission = Arc::new(Admission::new(settings, Arc::clone(&metrics), audit.clone(), front.clone()));
        let for_instances = front.clone();
        let console = console.zip(front.clone()).map(|(host, front)| console::router(host, front, &admission));
        let cards = Arc::new(Cards::new(Arc::clone(&admission), front.clone(), version));
        let desk = Desk { admission: Arc::clone(&admission), front: front.clone(), audit };
        let health = Arc::new(Health::new(statuses, front, console.is_some(), version));
        let mut router = router(&admission, Arc::clone(&health), page, rest, Arc::clone(&cards));
        router = router.merge(connecting(desk).layer(Extension(Arc::clone(&admission))));
        if let Some(console) = console {
            router = router.merge(console.layer(Extension(Arc::clone(&admission))));
        }
        Self { endpoint, front: for_instances, limits, admission, health, metrics, cards, router }
    }

    async fn route(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let (mut head, incoming) = request.into_parts();
        let incoming = DeadlineBody::new(incoming, self.limits.body, head.version, &head.headers);
        let path = head.uri.path();
        if connection.over_limit && !matches!(path, "/healthz" | "/readyz") {
            self.metrics.refused(Reason::Connections);
            return full(connection, head.version);
        }
        let Some(provider) = mcp_of(path) else {
            head.extensions.insert(Peer(connection.peer));
            let Ok(response) = self.router.clone().call(Request::from_parts(head, Body::new(incoming))).await;
            return response;
        };
        if head.method == Method::OPTIONS {
            return answer::with(empty(StatusCode::NO_CONTENT), header::ALLOW, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
        }
        let provider = provider.map(str::to_owned);
        if let Some(front) = &self.front
            && let Err(refusal) = front.receive(&mut head)
        {
            return *refusal;
        }
        match self.admission.admit(&mut head, connection.peer, true).await {
            Ok(()) => {
                let response = self.endpoint.handle(provider.as_deref(), Request::from_parts(head, Body::new(incoming))).await;
                // Only the protocol knows what was asked for, and only this how a client is told of
                // it.
                if response.extensions().get::<NeedsScopes>().is_some() {
                    return self.admission.needs_scopes(response, provider.as_deref());
                }
                response
            }
            Err(refusal) => *refusal,
        }
    }
}

impl<E: Endpoint> Service for App<E> {
    /// Answers a request, whatever happens on the way.
    async fn respond(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let begin = Instant::now();
        let (route, method) = (route_of(request.uri().path()), request.method().clone());
        let is_head = method == Method::HEAD;
        let page = self.admission.page(request.headers());
        let preflight = page.as_ref().and_then(|page| {
            let card = || self.cards.preflight(request.method(), request.uri(), request.headers());
            card().or_else(|| page.preflight(request.method(), request.headers()))
        });
        let mut response = match preflight {
            Some(response) => response,
            None => AssertUnwindSafe(self.route(request, connection)).catch_unwind().await.unwrap_or_else(|panic| {
                tracing::error!(panic = said(&*panic), "a request handler panicked");
                answer::problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal server error",
                    "see the server's log, and please report what it says",
                )
            }),
        };
        if let Some(page) = page {
            page.reveal(&mut response);
        }
        if is_head {
            without_body(&mut response);
        }
        if let Some(http) = self.metrics.http() {
            http.answered(route, method.as_str(), response.status().as_u16(), begin.elapsed());
        }
        response
    }

    fn in_flight(&self) -> usize {
        self.endpoint.in_flight()
    }

    fn drain(&self) {
        self.health.drain();
    }

    fn close(&self) {
        self.endpoint.close();
    }
}

/// The pages by which people connect accounts.
fn connecting(desk: Desk) -> Router {
    let only = |reach: Reach| from_fn_with_state((Arc::clone(&desk.admission), reach), guard);
    Router::new()
        .route(START_PATH, get(accounts::start).route_layer(only(Reach::Ours)).fallback(wrong_method))
        .route(CALLBACK_PATH, get(accounts::callback).route_layer(only(Reach::Ours)).fallback(wrong_method))
        .route(ALL_PATH, get(accounts::all).delete(accounts::all).route_layer(only(Reach::Callers)).fallback(wrong_method))
        .route(ACCOUNTS_PATH, get(accounts::accounts).delete(accounts::accounts).route_layer(only(Reach::Callers)).fallback(wrong_method))
        .with_state(desk)
}

/// Everything but the MCP endpoints.
fn router(admission: &Arc<Admission>, health: Arc<Health>, metrics: Option<Arc<Page>>, rest: Router, cards: Arc<Cards>) -> Router {
    let only = |reach: Reach| from_fn_with_state((Arc::clone(admission), reach), guard);
    // A method that is not served is none of a route's business, so it is told to anybody.
    let page = |route: axum::routing::MethodRouter<Arc<Health>>| route.fallback(wrong_method);
    let scraped = metrics.map_or_else(Router::new, |metrics| {
        let route = get(metrics::page).route_layer(only(Reach::Scrapers)).fallback(wrong_method);
        Router::new().route(metrics::PATH, route).with_state(metrics)
    });
    Router::new()
        .route("/healthz", page(get(status::alive)))
        .route("/readyz", page(get(status::ready)))
        .route("/", page(get(status::welcome).route_layer(only(Reach::Ours))))
        .route("/status", page(get(status::status).route_layer(only(Reach::Callers))))
        .with_state(health)
        .merge(scraped)
        .merge(rest.route_layer(only(Reach::Callers)))
        .fallback(nothing)
        .layer(Extension(cards))
        .layer(Extension(Arc::clone(admission)))
}

/// Who sends a message of MCP to another address reads the errors of JSON-RPC, and who looks for OAuth why there is none.
async fn nothing(
    Extension(admission): Extension<Arc<Admission>>,
    Extension(cards): Extension<Arc<Cards>>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, _) = request.into_parts();
    if let Some(card) = cards.get(&head) {
        return card;
    }
    let Parts { method, uri, .. } = head;
    if matches!(method, Method::GET | Method::HEAD)
        && let Some(metadata) = admission.metadata(uri.path())
    {
        return metadata;
    }
    if uri.path() == JWKS_PATH
        && let Some(keys) = admission.jwks().filter(|_| matches!(method, Method::GET | Method::HEAD))
    {
        return answer::json_text(StatusCode::OK, keys.to_string());
    }
    if oauth_hint::is_asked_for(uri.path()) {
        return oauth_hint::response(admission.is_open());
    }
    let error = format!("there is nothing at {:?}", answer::echo(uri.path()));
    match method {
        Method::POST => answer::rpc_problem(StatusCode::NOT_FOUND, &format!("{error}; the MCP endpoint is {MCP_PATH}"), MCP_PATH),
        _ => answer::problem(StatusCode::NOT_FOUND, &error, MCP_PATH),
    }
}

/// Whether a path is an MCP endpoint: that of everything, or of the provider that it names. Clients and
/// people add a slash at its end.
fn mcp_of(path: &str) -> Option<Option<&str>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == MCP_PATH {
        return Some(None);
    }
    let provider = path.strip_suffix(MCP_PATH)?.strip_prefix('/')?;
    (!provider.is_empty() && !provider.contains('/')).then_some(Some(provider))
}

/// The route of a path, for the metrics.
fn route_of(path: &str) -> HttpRoute {
    match mcp_of(path) {
        Some(None) => return HttpRoute::Mcp,
        Some(Some(_)) => return HttpRoute::ProviderMcp,
        None => {}
    }
    match path {
        "/" => HttpRoute::Root,
        "/healthz" => HttpRoute::Healthz,
        "/readyz" => HttpRoute::Readyz,
        "/status" => HttpRoute::Status,
        metrics::PATH => HttpRoute::Metrics,
        path if path == "/console" || path.starts_with("/console/") && Route::of(path).is_none() => HttpRoute::Console,
        _ => match Route::of(path) {
            Some(Route::Tools(None)) => HttpRoute::Tools,
            Some(Route::Tools(Some(_))) => HttpRoute::ProviderTools,
            Some(Route::Call(None)) => HttpRoute::Call,
            Some(Route::Call(Some(_))) => HttpRoute::ProviderCall,
            Some(Route::OpenApi) => HttpRoute::OpenApi,
            None => HttpRoute::None,
        },
    }
}

/// The answer on a connection that is one too many, which ends with it.
fn full(connection: &Connection, version: Version) -> Response<Body> {
    let error = "the server has reached max_connections in [http] of its toolbay.toml";
    let response = answer::problem(StatusCode::SERVICE_UNAVAILABLE, error, "retry in a second, or use fewer connections");
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
