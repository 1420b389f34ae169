//! `/metrics`: the page for Prometheus, at the address of everything else or at one of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request as Asked, State},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::{
    Authenticator,
    admission::Admission,
    answer,
    connection::{Connection, Limits, Service},
    server::{self, ServeError},
    settings::HttpSettings,
    shutdown::Shutdown,
};
use crate::telemetry::metrics::{Format, Metrics, Page};

/// Where the page is.
pub(super) const PATH: &str = "/metrics";

/// Connections at the address of its own: some scrapers, and some people.
const CONNECTIONS: usize = 64;

/// Pages that wait to be read there, in bytes.
const ANSWERS: usize = 256 << 20;

/// Anybody in the network could read the names of everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {0} for metrics: other machines can reach it, and no authentication is configured.\n\
     Give callers tokens ([auth.tokens]), listen on 127.0.0.1, or, if anybody who reaches this address may read the metrics,\n\
     set authenticate = false in [metrics]"
)]
pub struct MetricsExposed(SocketAddr);

/// Whether the page may be served at an address of its own.
///
/// # Errors
///
/// [`MetricsExposed`], where others than this machine could read it without a token and nobody said that this is meant.
pub fn may_serve_metrics(addr: SocketAddr, auth: &Authenticator, authenticate: bool) -> Result<(), MetricsExposed> {
    if addr.ip().to_canonical().is_loopback() || !auth.is_open() || !authenticate { Ok(()) } else { Err(MetricsExposed(addr)) }
}

/// The page, in the format that the request asks for.
pub(super) async fn page(State(page): State<Arc<Page>>, request: Asked) -> Response<Body> {
    respond(&page, request.headers())
}

fn respond(page: &Page, headers: &HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::of(accept);
    let response = answer::text(StatusCode::OK, page.render(format));
    answer::with(response, header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()))
}

/// Who may read it: those who may call everything, since it names everything, unless the configuration lets everybody.
pub(super) async fn admit(admission: &Admission, head: &mut http::request::Parts, peer: SocketAddr) -> Result<(), Box<Response<Body>>> {
    if admission.settings().metrics_are_open() {
        return admission.check_origin(head);
    }
    admission.admit(head, peer, false).await?;
    if admission.settings().sees_everything(head.extensions.get()) {
        return Ok(());
    }
    let hint = "use a token whose role has servers = [\"*\"] and no deny, or set authenticate = false in [metrics]";
    Err(Box::new(answer::problem(
        StatusCode::FORBIDDEN,
        "the metrics name all tools and servers, and your roles do not allow all of them",
        hint,
    )))
}

/// Serves the page alone, until `shutdown` asks for the end.
///
/// # Errors
///
/// [`ServeError`], before the first connection is taken.
pub async fn serve_metrics(
    listener: TcpListener,
    page: Arc<Page>,
    metrics: Arc<Metrics>,
    settings: Arc<HttpSettings>,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let limits = {
        let settings = Arc::clone(&settings);
        Box::new(move || Limits::new(settings.header_timeout()))
    };
    let options = server::Options {
        limits,
        max_connections: CONNECTIONS,
        max_answers: ANSWERS,
        lame_duck: Box::new(|_| Duration::ZERO),
        drain: Box::new(|| Duration::ZERO),
        opened: Box::new(|_| ()),
        // Whoever scrapes it is in the same network.
        tls: Box::new(|| None),
    };
    let service = Alone { admission: Admission::new(settings, metrics, None, None), page };
    server::serve(listener, Arc::new(service), options, shutdown).await
}

/// The service at an address of its own.
struct Alone {
    admission: Admission,
    page: Arc<Page>,
}

impl Service for Alone {
    async fn respond(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let (mut head, _) = request.into_parts();
        if head.uri.path() != PATH {
            return answer::problem(StatusCode::NOT_FOUND, "only metrics are served at this address", PATH);
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let response = answer::problem(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here", "GET");
            return answer::with(response, header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        match admit(&self.admission, &mut head, connection.peer).await {
            // Hyper sends no body in answer to HEAD.
            Ok(()) => respond(&self.page, &head.headers),
            Err(refusal) => *refusal,
        }
    }

    fn in_flight(&self) -> usize {
        0
    }

    fn drain(&self) {}

    fn close(&self) {}
}
