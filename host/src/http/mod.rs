//! The way in: connections, routes, who may come in, and how it ends.
//!
//! `serve` takes a listener that is bound already. `server` accepts connections, `connection` serves one and
//! knows nothing of routes, `routes` says what is where and in which order a request is checked. A request's
//! way is short on purpose, since `POST /mcp` is the hot path: one connection task of hyper, one function for
//! the routes, the endpoint. No stack of layers lies between them, and a request without an `Origin` pays one
//! header look-up for CORS. Everything else is an axum router behind it.

mod accounts;
mod admission;
mod answer;
mod app_state;
mod auth;
mod bodies;
mod body;
mod card;
mod client_address;
mod connection;
mod console;
mod cors;
mod endpoint;
mod exposure;
mod guarded_body;
mod guards;
mod metrics;
mod oauth_hint;
mod origin;
mod outgoing;
mod own_page;
mod path;
mod resource;
pub mod rest;
mod routes;
mod serve;
mod server;
mod settings;
pub mod shutdown;
mod status;
mod stream;
#[cfg(test)]
mod tests;

pub use app_state::AppState;
pub use auth::{Authenticator, Challenge};
pub use console::{AcceptError, ConsoleExposed, ConsoleHost, Pool, TokenRoles, Unaccepted, may_serve_console};
pub use endpoint::{Endpoint, McpEndpoint};
pub use exposure::{Exposed, may_listen};
pub use metrics::{MetricsExposed, may_serve_metrics, serve_metrics};
pub use path::MCP_PATH;
pub use serve::serve;
pub use server::ServeError;
pub use settings::HttpSettings;
pub use shutdown::Shutdown;
