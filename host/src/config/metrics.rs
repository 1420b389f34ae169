//! `[metrics]`: whether calls are counted, who may read it, and where it is sent.

use std::{net::SocketAddr, time::Duration};

use http::HeaderMap;
use url::Url;

use super::{
    headers::{Headers, http_url},
    listen::Listen,
    section::section,
    traces::service_name,
    types::{Boolean, HOUR, SECOND, choice, duration, optional, text},
};

/// What a pushed count is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// All since the start.
    Cumulative,
    /// What has come since the push before.
    Delta,
}

/// The words for it.
const TEMPORALITIES: &[(&str, Temporality)] = &[("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)];

section! {
    /// Metrics for Prometheus at `/metrics`, and for an OpenTelemetry collector (OTLP over HTTP).
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
        /// The URL of a collector that metrics are pushed to, such as `"http://127.0.0.1:4318"`.
        /// Without a path, `/v1/metrics` is added. Unset: nothing is pushed.
        endpoint: Option<Url> = None, optional(text("URL", http_url));
        /// Sent with each push, such as `{ Authorization = { from_env = "METRICS_TOKEN" } }`.
        headers: HeaderMap = HeaderMap::new(), Headers;
        /// The time between two pushes.
        interval: Duration = SECOND * 60, duration(SECOND..=HOUR);
        /// What pushed counts are about: `cumulative`, all since the start, or `delta`, what has
        /// come since the last push that was taken.
        temporality: Temporality = Temporality::Cumulative, choice(TEMPORALITIES);
        /// Whether pushes are compressed.
        gzip: bool = true, Boolean;
        /// The name of this service in what is pushed.
        service_name: String = "toolbay".to_owned(), text("text", service_name);
    }
}
