//! `[traces]`: where what calls did is sent to.

use std::time::Duration;

use http::HeaderMap;
use url::Url;

use super::{
    headers::{Headers, http_url},
    section::section,
    types::{Boolean, HOUR, MILLISECOND, duration, fraction, number, optional, text},
};

section! {
    /// Traces of calls for an OpenTelemetry collector (OTLP over HTTP).
    pub struct TracesConfig {
        /// The collector's URL, such as `"http://127.0.0.1:4318"`. Without a path, `/v1/traces` is
        /// added. Unset: nothing is recorded.
        endpoint: Option<Url> = None, optional(text("URL", http_url)) => restart;
        /// Sent with each export, such as `{ Authorization = { from_env = "TRACES_TOKEN" } }`.
        headers: HeaderMap = HeaderMap::new(), Headers => restart;
        /// The share of calls that are recorded, of those that come without a `traceparent`. A call
        /// with one is recorded if its flags say so, unless `parent_based = false`.
        sample: f64 = 1.0, fraction(0.0..=1.0) => restart;
        /// Whether a caller's `traceparent` decides if a call is recorded. `false`: `sample` decides for
        /// all calls, so that no caller can have everything recorded. The trace id stays the caller's.
        parent_based: bool = true, Boolean => restart;
        /// Calls that take at least this long are kept, whatever `sample` says.
        slow: Option<Duration> = None, optional(duration(MILLISECOND..=HOUR)) => unset("none are kept for that"), restart;
        /// Whether calls that fail are kept, whatever `sample` says.
        failed: bool = false, Boolean => restart;
        /// The name of this service in traces.
        service_name: String = "toolbay".to_owned(), text("text", service_name) => restart;
        /// Spans that may wait to be sent. Further ones are dropped and counted.
        queue: usize = 8192, number(64..=1_000_000) => restart;
    }
}

pub(super) fn service_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("the name of a service cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}
