//! The way in: connections, routes, who may come in, and how it ends.
//!
//! `serve` takes a listener that is bound already. A request's way is short on purpose, since `POST /mcp` is the hot path: one connection task of hyper,
//! one function for the routes (`routes`), the endpoint. No stack of layers lies between them, and a request without an `Origin` pays one header
//! look-up for CORS.

mod answer;
mod auth;
mod body;
mod connection;
mod cors;
mod exposure;
mod front;
mod held;
pub mod rest;
mod routes;
mod server;
pub mod shutdown;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc};

use axum::body::Body;
use http::{HeaderMap, Request, Response, Uri};

pub use auth::{AuthError, Authenticator, Challenge};
pub use exposure::{Exposed, may_listen};
pub use server::{ServeError, serve};
pub use shutdown::Shutdown;

use crate::{config::HttpConfig, provider::StatusSource};

/// The path of the MCP endpoint. Below a provider's name (`/weather/mcp`) it is the endpoint of that provider alone.
pub const MCP_PATH: &str = "/mcp";

/// What answers at [`MCP_PATH`]: every method but `OPTIONS`, after authentication. It checks `Origin`, `Host` and the size of the body itself, since their
/// refusals have a form in MCP, and is asked about the first two for the other routes, so that there is one rule. A caller's name is in the request's extensions as [`crate::provider::Principal`].
pub trait Endpoint: Send + Sync + 'static {
    /// Answers one request. Dropping the future means that the connection is gone.
    fn handle(self: &Arc<Self>, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// The same at `/{provider}/mcp`, about that provider alone.
    fn handle_provider(self: &Arc<Self>, provider: &str, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a request of the REST face, whose `Origin` and `Host` were checked.
    fn rest(self: &Arc<Self>, route: rest::Route, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// Whether a request names this server by a name that is ours, and comes from no foreign page.
    ///
    /// # Errors
    ///
    /// The answer to send.
    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response<Body>>>;

    /// Whether pages of this origin may call, for the answer to a browser that asks before it sends.
    fn allows_origin(&self, origin: &str) -> bool;

    /// Calls that run or wait now; a stream that only listens is none.
    fn in_flight(&self) -> usize;

    /// Ends all open streams. Called once, when the calls in flight are done or their time is over.
    fn close(&self);
}

/// What [`serve`] serves.
pub struct AppState<E> {
    /// Answers at `/mcp`.
    pub endpoint: Arc<E>,
    /// Who may come in.
    pub auth: Arc<Authenticator>,
    /// Who knows how the plugins stand: for `/readyz` and `/status`.
    pub statuses: Vec<Arc<dyn StatusSource>>,
    /// `[http]`.
    pub config: HttpConfig,
    /// Toolbay's version, shown in `/status`.
    pub version: &'static str,
}
