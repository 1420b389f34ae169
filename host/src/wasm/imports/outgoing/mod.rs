//! The HTTP requests that plugins send: by `wasi:http/outgoing-handler` piece by piece, by `toolbay:plugin/fetch` whole. Both go the same way.
//!
//! - A request goes out only to a host that the plugin is granted ([`HttpPolicy`]), and, but for a grant of `http_private`, only to public addresses: the
//!   address that was checked is the one that is connected to, so a name that changes its address in between gains nothing.
//!   A public address that leads back to this machine cannot be told from others: a service that plugins must not reach belongs on a private one.
//! - Redirects are not followed: the plugin gets the 3xx and asks again, so each hop is checked like the first.
//! - Proxy settings of the environment are not used: a proxy would connect where the host cannot check.
//! - HTTP/1.1 only. Bodies stream both ways and stay as they were sent: nothing is decompressed. The URL is sent in the `url` crate's normal form
//!   (`/a/../b` as `/b`). `Host` comes from the authority; `User-Agent: toolbay/VERSION` and `Accept: */*` are added where the plugin sets none,
//!   and the call's `traceparent`, if it came with one.
//! - The plugin's own timeouts (connect, first byte, between bytes) count within `http_timeout`, which covers everything up to the last byte of the answer.
//! - Connections are kept and shared by all calls and all plugins, each for one scheme, host and port. Those to hosts granted in `http_private` are in a
//!   pool of their own: every plugin that is handed one has the private grant for exactly that host and port.

mod body;
#[cfg(test)]
mod both_ways;
mod bounds;
mod client;
mod error;
mod send;
mod target;
#[cfg(test)]
mod tests;
mod whole;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use http_body::Body as _;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

pub use self::client::{ClientError, OutgoingClients};
use self::{body::RequestBody, send::Admitted, target::Target};
pub(crate) use self::{
    bounds::bound_requests,
    whole::{Fetch, Room},
};
use crate::{
    config::PluginLimits,
    provider::{CallContext, Span, SpanKind},
    wasm::{
        limits::CHUNK,
        permissions::{HttpPolicy, Refusal, Refusals},
    },
};

/// W3C Trace Context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers that are the connection's: plugins neither set nor see them.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

/// The HTTP of one call. Cheap to make: most calls never send anything.
pub struct Outgoing {
    clients: Arc<OutgoingClients>,
    policy: Arc<HttpPolicy>,
    refusals: Refusals,
    limits: Limits,
    /// As many permits as requests may be open. Made for the first request.
    open: Option<Arc<Semaphore>>,
    /// W3C `traceparent` of the call, for requests in which the plugin sets none.
    trace_parent: Option<Arc<str>>,
    /// The span of the call, where that is recorded.
    span: Option<Arc<dyn Span>>,
}

/// What of the limits concerns HTTP.
#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    body: u64,
    timeout: std::time::Duration,
}

impl Outgoing {
    /// The HTTP of one call of the plugin that `policy` is for. What it is refused is noted in `refusals`.
    #[must_use]
    pub fn new(
        clients: Arc<OutgoingClients>,
        policy: Arc<HttpPolicy>,
        limits: &PluginLimits,
        refusals: Refusals,
        call: &CallContext,
    ) -> Self {
        let limits = Limits { connections: limits.http_connections, body: limits.http_body, timeout: limits.http_timeout };
        Self { clients, policy, refusals, limits, open: None, trace_parent: call.caller_trace.clone(), span: call.span.clone() }
    }

    /// Checks a request and sends it. Dropping the future, or the body of the answer, ends the request and closes its connection.
    fn send(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<> {
        let (mut parts, body) = request.into_parts();
        let (ready, span) = self.prepare(&mut parts);
        async move {
            let result = match ready {
                Ok(admitted) => {
                    let body = (!body.is_end_stream()).then(|| reqwest::Body::wrap(RequestBody::new(body)));
                    admitted.head(parts, body, options.unwrap_or_default()).await
                }
                Err(error) => Err(error),
            };
            span.end(&result);
            result
        }
    }

    /// What every request has before it is sent, whichever way it came: it is checked, has a span, and carries the trace of its call.
    fn prepare(&mut self, parts: &mut Parts) -> (Result<Admitted, Error>, RequestSpan) {
        let ready = self.admit(parts);
        let span = self.span.as_ref().map(|span| begin(&**span, parts));
        let parent = span.as_ref().map(|span| span.trace_parent()).or_else(|| self.trace_parent.clone());
        if let Some(value) = parent.and_then(|text| HeaderValue::try_from(&*text).ok()) {
            parts.headers.entry(TRACE_PARENT).or_insert(value);
        }
        (ready, RequestSpan(span))
    }

    /// Everything that is to be decided before anything is sent.
    fn admit(&mut self, request: &Parts) -> Result<Admitted, Error> {
        if request.method == http::Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid); // a tunnel would lead where nobody checks
        }
        let target = Target::new(&request.uri)?;
        let reach = match self.policy.check(target.scheme, &target.host, target.port) {
            Ok(reach) => reach,
            Err(refusal) => {
                self.refusals.push(refusal);
                return Err(Error::HttpRequestDenied);
            }
        };
        let limit = self.limits.connections;
        let open = self.open.get_or_insert_with(|| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))));
        let Ok(permit) = open.clone().try_acquire_owned() else {
            self.refusals.push(Refusal::connections(self.policy.plugin(), target.authority(), limit));
            return Err(Error::ConnectionLimitReached);
        };
        Ok(Admitted {
            clients: self.clients.clone(),
            reach,
            policy: self.policy.clone(),
            refusals: self.refusals.clone(),
            limits: self.limits,
            target,
            permit,
        })
    }
}

/// Begins the span of a request. Its URL is not told: there may be secrets in it.
fn begin(span: &dyn Span, request: &Parts) -> Arc<dyn Span> {
    let method = match request.method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH") => known,
        _ => "HTTP",
    };
    let span = span.child(SpanKind::Client, &[method]);
    span.set("http.request.method", if method == "HTTP" { "_OTHER" } else { method }.into());
    if let Some(host) = request.uri.host() {
        span.set("server.address", host.into());
    }
    if let Some(port) = request.uri.port_u16() {
        span.set("server.port", port.into());
    }
    span
}

/// The span of a request, where its call is recorded.
struct RequestSpan(Option<Arc<dyn Span>>);

impl RequestSpan {
    /// The answer is there, as far as it is waited for, or never will be.
    fn end<B>(self, result: &Result<Response<B>, Error>) {
        let Some(span) = self.0 else { return };
        match result {
            Ok(response) => {
                let status = response.status();
                span.set("http.response.status_code", status.as_u16().into());
                if status.is_client_error() || status.is_server_error() {
                    span.fail(status.as_str());
                }
            }
            Err(error) => span.fail(&word(error)),
        }
    }
}

/// What kind of error, in the word that `wasi:http` has for it.
fn word(error: &Error) -> String {
    let text = format!("{error:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

/// What a request ends in: the answer, and a future for errors that come after it, of which there are none here.
type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outgoing {
    /// `Host` is written by the client, from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN.contains(name)
    }

    /// Bodies that are never sent are kept all the same: as many as a plugin has handles.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _fut: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let sending = self.send(request, options);
        Box::new(async move {
            let response = sending.await?;
            let after: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, after))
        })
    }
}
