//! `[metrics]`: whether calls are counted, and who may read it.

use std::net::SocketAddr;

use super::{
    listen::Listen,
    section::section,
    types::{Boolean, optional},
};

section! {
    /// Metrics for Prometheus at `/metrics`.
    #[derive(Eq)]
    pub struct MetricsConfig {
        /// Whether there are metrics.
        enabled: bool = true, Boolean => restart;
        /// An address for `/metrics` alone, such as `"0.0.0.0:9100"`. Unset: `/metrics` is at the
        /// address of all other endpoints.
        listen: Option<SocketAddr> = None, optional(Listen) => restart;
        /// Whether `/metrics` requires a token if `[auth.tokens]` are configured. If false, anybody
        /// who reaches the address can read it. It shows names of tools, plugins, servers and
        /// models, and no arguments, callers or secrets.
        authenticate: bool = true, Boolean;
    }
}
