//! What browsers are told: which pages may call and what they may send and see (CORS).

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{answer, origin::Origins};

/// What a page may send: the methods of MCP's transport.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
/// The headers that MCP's transport names. `Mcp-Param-*` has no end, so those that a preflight asks for are added one by one.
const HEADERS: &str = "content-type, accept, authorization, dpop, last-event-id, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name, traceparent, tracestate, baggage";
/// What a page may see of an answer.
const EXPOSED: HeaderValue = HeaderValue::from_static("Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, Retry-After, DPoP-Nonce");
/// How long a browser may remember a preflight: what Chromium takes at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// The headers by which an answer differs.
const VARY: HeaderValue = HeaderValue::from_static("Origin");

const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// A request from a page in a browser.
pub(super) struct FromPage {
    origin: HeaderValue,
    allowed: bool,
}

impl FromPage {
    /// None where no page asks: the only thing that other requests pay for.
    pub(super) fn of(headers: &HeaderMap, origins: &Origins) -> Option<Self> {
        let origin = headers.get(header::ORIGIN)?;
        let allowed = origin.to_str().is_ok_and(|text| origins.allows_origin(text));
        Some(Self { origin: origin.clone(), allowed })
    }

    /// The answer to a browser that asks before it sends. None: this is no such question.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        if *method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        if !self.allowed {
            let origin = answer::echo(&String::from_utf8_lossy(self.origin.as_bytes()));
            tracing::warn!(origin, "denied a page in a browser: its origin is not in http.allowed_origins");
            let error = format!("pages from {origin} may not call this server");
            return Some(answer::problem(
                StatusCode::FORBIDDEN,
                &error,
                "add the origin to allowed_origins in [http] of the server's toolbay.toml",
            ));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let out = response.headers_mut();
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(headers));
        out.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if headers.contains_key(PRIVATE_NETWORK) {
            out.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        Some(response)
    }

    /// Lets the page see an answer, whichever it is.
    pub(super) fn reveal(self, response: &mut Response<Body>) {
        let out = response.headers_mut();
        out.append(header::VARY, VARY);
        if self.allowed {
            out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
            out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// The fixed list, and what was asked for beside it of MCP's own.
fn allowed_headers(headers: &HeaderMap) -> HeaderValue {
    let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let mut list = HEADERS.to_owned();
    for name in asked.flat_map(|value| value.split(',')).map(str::trim) {
        if name.to_ascii_lowercase().starts_with("mcp-") && HeaderName::try_from(name).is_ok() {
            list.push_str(", ");
            list.push_str(name);
        }
    }
    HeaderValue::try_from(list).unwrap_or(HeaderValue::from_static(HEADERS))
}
