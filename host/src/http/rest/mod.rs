//! The REST face: tools for callers that speak no MCP.
//!
//! `GET /tools`, `POST /call` over everything, `/{server}/tools`, `/{server}/call` over one plugin or server, `GET /openapi.json` about both. A refusal is
//! `{"detail": …, "reason": …}`: `detail` is one of a few fixed sentences that a program can compare, `reason` says more to a person.

mod call;
mod lists;
mod openapi;
mod shape;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::State, handler::Handler, routing::any};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;

use super::{answer, bodies::Bodies, endpoint::McpEndpoint, settings::HttpSettings};
use crate::{
    catalog::Catalog,
    mcp::Front,
    provider::{Absence, Principal},
};

/// What answers callers without MCP: the same front and the same limits on bodies as those of MCP clients.
pub(super) struct Rest {
    front: Arc<Front>,
    bodies: Arc<Bodies>,
    settings: Arc<HttpSettings>,
    lists: lists::Lists,
}

/// The routes of this face. Who may call was checked before.
pub(super) fn router(endpoint: &McpEndpoint) -> Router {
    let rest = Arc::new(Rest {
        front: Arc::clone(endpoint.front()),
        bodies: Arc::clone(endpoint.bodies()),
        settings: Arc::clone(endpoint.settings()),
        lists: lists::Lists::default(),
    });
    routes(respond).with_state(rest)
}

/// One handler at all paths of this face.
pub(super) fn routes<H: Handler<T, S>, T: 'static, S: Clone + Send + Sync + 'static>(handler: H) -> Router<S> {
    ["/tools", "/call", "/{provider}/tools", "/{provider}/call", "/openapi.json"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, any(handler.clone())))
}

async fn respond(State(rest): State<Arc<Rest>>, request: Request<Body>) -> Response<Body> {
    match Route::of(request.uri().path()) {
        Some(route) => answer(&rest, route, request).await,
        None => Refusal::new(StatusCode::NOT_FOUND, "Not Found", "there is nothing at this address").into_response(),
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The list of tools: of everything, or of one provider.
    Tools(Option<String>),
    /// A call: of anything, or of one provider's tool.
    Call(Option<String>),
    /// The description of this face.
    OpenApi,
}

impl Route {
    /// What a path asks for, where it is one of these.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        if path == "openapi.json" {
            return Some(Self::OpenApi);
        }
        let (provider, last) = match path.split_once('/') {
            Some((provider, last)) if !provider.is_empty() => (Some(provider.to_owned()), last),
            Some(_) => return None,
            None => (None, path),
        };
        match last {
            "tools" => Some(Self::Tools(provider)),
            "call" => Some(Self::Call(provider)),
            _ => None,
        }
    }
}

/// Answers a request. Dropping the future means that the connection is gone, and ends the call.
async fn answer(rest: &Arc<Rest>, route: Route, request: Request<Body>) -> Response<Body> {
    let (method, allowed) = match &route {
        Route::Call(_) => (request.method() == Method::POST, "POST"),
        Route::Tools(_) | Route::OpenApi => (matches!(*request.method(), Method::GET | Method::HEAD), "GET, HEAD"),
    };
    if !method {
        let reason = format!("use {allowed} here, not {}", answer::echo(request.method().as_str()));
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", reason);
        return answer::with(refusal.into_response(), header::ALLOW, HeaderValue::from_static(allowed));
    }
    if !matches!(route, Route::Call(_)) && !rest.front.pending().is_ready() {
        rest.front.pending().wait().await;
    }
    let answered = match route {
        Route::Tools(provider) => tools(rest, provider.as_deref(), &request),
        Route::Call(provider) => call::call(rest, provider.as_deref(), request).await,
        Route::OpenApi => Ok(answer::tagged_json(request.headers(), &openapi::document(&rest.front, request.extensions().get()))),
    };
    answered.unwrap_or_else(Refusal::into_response)
}

fn tools(rest: &Rest, provider: Option<&str>, request: &Request<Body>) -> Result<Response<Body>, Refusal> {
    let principal = request.extensions().get::<Principal>();
    let catalog = catalog(&rest.front, provider, principal)?;
    Ok(rest.lists.answer(&rest.front.seen_of(&catalog, principal), request.headers()))
}

/// What is on offer at this address, as far as the caller may know of it.
fn catalog(front: &Front, provider: Option<&str>, principal: Option<&Principal>) -> Result<Arc<Catalog>, Refusal> {
    match provider {
        None => Ok(Arc::clone(front.catalog())),
        Some(name) => front.catalog_of(name, principal).ok_or_else(|| {
            if let Some(Absence { why, retry_after }) = front.absence(name, principal) {
                let detail = format!("MCP {} not running", answer::echo(name));
                return Refusal { retry_after, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail, why) };
            }
            let detail = format!("MCP {} not found", answer::echo(name));
            Refusal::new(StatusCode::NOT_FOUND, detail, front.no_provider_text(name, principal))
        }),
    }
}

/// An answer that says no.
struct Refusal {
    status: StatusCode,
    detail: String,
    reason: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), reason: reason.into(), retry_after: None }
    }

    fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Wire {
            detail: String,
            reason: String,
        }
        let response = answer::json(self.status, &Wire { detail: self.detail, reason: self.reason });
        match self.retry_after {
            // Whole seconds, at least one.
            Some(after) => {
                answer::with(response, header::RETRY_AFTER, (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1).into())
            }
            None => response,
        }
    }
}
