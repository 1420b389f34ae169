//! Serving what was put together, until the end is asked for.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpListener;

use super::{
    app_state::AppState,
    connection::Limits,
    endpoint::Endpoint,
    routes::App,
    server::{self, ServeError},
    shutdown::{Shutdown, Stage},
};
use crate::config::HttpConfig;

/// How long the end is announced: ten checks of a balancer that checks every half second, and the usual advice.
const LAME_DUCK: Duration = Duration::from_secs(5);

/// Serves until `shutdown` asks for the end.
///
/// Then it stops accepting, closes what is idle, and lets calls in flight end within `http.drain`; when they have, or when the time is over, it closes the
/// streams that are still open, and returns. A forced end returns at once. Past `http.max_connections` an idle connection makes room for a new one;
/// where none is idle, the new one is answered 503 with `Retry-After` and closed (`/healthz` and `/readyz` are answered as
/// ever, so that nobody takes a busy server for a dead one).
///
/// # Errors
///
/// [`ServeError`], before the first connection is taken.
pub async fn serve<E: Endpoint>(listener: TcpListener, state: AppState<E>, shutdown: Shutdown) -> Result<(), ServeError> {
    let settings = state.settings.clone();
    serve_within(listener, state, shutdown, move || Limits::new(settings.header_timeout())).await
}

pub(super) async fn serve_within<E: Endpoint>(
    listener: TcpListener,
    state: AppState<E>,
    shutdown: Shutdown,
    limits: impl Fn() -> Limits + Send + Sync + 'static,
) -> Result<(), ServeError> {
    let settings = state.settings.clone();
    let HttpConfig { max_connections, max_answers, .. } = settings.load().config;
    let tls = {
        let settings = settings.clone();
        Box::new(move || settings.load().config.tls.as_ref().map(|tls| Arc::clone(&tls.0)))
    };
    let drain = {
        let settings = settings.clone();
        Box::new(move || settings.load().config.drain)
    };
    // Who listens on loopback is tried out or developed, and its balancer, if there is one, on the same machine.
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    // Another process on this machine is as good as a balancer's other host.
    let lame_duck = Box::new(move |stage| {
        let is_announced = !is_local || stage == Stage::HandedOver;
        settings.load().config.lame_duck.unwrap_or(if is_announced { LAME_DUCK } else { Duration::ZERO })
    });
    let metrics = Arc::clone(&state.metrics);
    let opened = Box::new(move |open| metrics.set_connections(open));
    let app = Arc::new(App::new(state, limits()));
    let options = server::Options { limits: Box::new(limits), max_connections, max_answers, lame_duck, drain, opened, tls };
    server::serve(listener, app, options, shutdown).await
}
