//! `/console`: the page for operators, and the JSON that it shows.
//!
//! `assets` are the files of the page, embedded, which anybody may read: they hold nothing of this host. `api` answers at `/console/api/…`, from what the
//! host knows anyway, and never on the way of a call; `access` says who may see it and who may act. Nothing here is a cookie: the page sends the token that
//! its user pasted, so that no other page can send it for them.

mod access;
mod act;
mod api;
mod assets;
mod history;
mod host;
mod live;
mod offers;
mod query;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    middleware::{Next, from_fn_with_state},
    routing::{get, post},
};
use http::{Method, Request, Response, StatusCode, Uri};

pub use host::{AcceptError, ConsoleHost, Pool, TokenRoles, Unaccepted};

use super::{Authenticator, admission::Admission, answer, guards::Peer};
use crate::{mcp::Front, telemetry::audit::Audit};

/// Anybody in the network could see and steer the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to start with a console on {0}: other machines can reach it, and no authentication is configured.\n\
     Give callers tokens ([auth.tokens]), set listen = \"127.0.0.1:9000\" in [console], or set enabled = false there"
)]
pub struct ConsoleExposed(SocketAddr);

/// Whether there may be a console at an address. Not even `--insecure` lets everybody in the network act on a host.
///
/// # Errors
///
/// [`ConsoleExposed`], where others than this machine could reach it without a token.
pub fn may_serve_console(addr: SocketAddr, auth: &Authenticator) -> Result<(), ConsoleExposed> {
    if addr.ip().to_canonical().is_loopback() || !auth.is_open() { Ok(()) } else { Err(ConsoleExposed(addr)) }
}

/// What answers the console.
pub(super) struct Console {
    host: Arc<dyn ConsoleHost>,
    front: Arc<Front>,
    audit: Option<Arc<Audit>>,
    admission: Arc<Admission>,
    history: history::History,
}

/// The routes of the console. `guard` has checked the name by which they were asked for.
pub(super) fn router(host: Arc<dyn ConsoleHost>, front: Arc<Front>, admission: &Arc<Admission>) -> Router {
    let audit = front.dispatcher().audit().cloned();
    let console = Arc::new(Console { host, front, audit, admission: Arc::clone(admission), history: history::History::default() });
    history::keep(&console);
    let seen = Router::new()
        .route("/session", get(api::session))
        .route("/live", get(live::live))
        .route("/history", get(history::history))
        .route("/status", get(api::status))
        .route("/offers", get(offers::offers))
        .route("/tool", get(offers::tool))
        .route("/calls", get(api::calls))
        .route("/log", get(api::log))
        .route("/present", get(api::present))
        .route("/lock", get(api::lock))
        .route("/roles", get(offers::roles))
        .route("/seen", get(offers::seen))
        .fallback(nothing)
        .route_layer(from_fn_with_state(Arc::clone(&console), by_viewers));
    let acted = Router::new()
        .route("/restart", post(act::restart))
        .route("/disable", post(act::disable))
        .route("/reload", post(act::reload))
        .route("/accept", post(act::accept))
        .route_layer(from_fn_with_state(Arc::clone(&console), by_operators));
    let api = seen.merge(acted).method_not_allowed_fallback(wrong_method).with_state(console);
    assets::router(admission).nest("/console/api", api)
}

/// Lets through those who may see the console.
async fn by_viewers(
    State(console): State<Arc<Console>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    admit(&console, peer, request, next, false).await
}

/// Lets through those who may act in it.
async fn by_operators(
    State(console): State<Arc<Console>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    admit(&console, peer, request, next, true).await
}

async fn admit(console: &Console, peer: SocketAddr, request: Request<Body>, next: Next, acts: bool) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    match access::admit(console, &mut head, peer, acts).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refusal) => *refusal,
    }
}

async fn nothing(uri: Uri) -> Response<Body> {
    let error = format!("there is nothing at {:?}", answer::echo(uri.path()));
    answer::problem(StatusCode::NOT_FOUND, &error, "reload the page: it may be of another version of Toolbay")
}

async fn wrong_method(method: Method) -> Response<Body> {
    let error = format!("{} is not allowed here", answer::echo(method.as_str()));
    answer::problem(StatusCode::METHOD_NOT_ALLOWED, &error, "reload the page: it may be of another version of Toolbay")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthConfig, Tokens};

    #[test]
    fn other_machines_need_a_token_whatever_the_operator_says() {
        let tokens = AuthConfig { tokens: Tokens::parse([("me", "0123456789abcdef")]).unwrap(), ..AuthConfig::default() };
        let closed = Authenticator::from_config(&tokens);
        let (local, exposed) = ("127.0.0.1:9000".parse().unwrap(), "0.0.0.0:9000".parse().unwrap());
        assert_eq!(may_serve_console(local, &Authenticator::Open), Ok(()));
        assert_eq!(may_serve_console(exposed, &closed), Ok(()));
        let error = may_serve_console(exposed, &Authenticator::Open).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:9000") && error.contains("[auth.tokens]") && error.contains("[console]"), "{error}");
    }
}
