//! The endpoint that is served: the MCP front.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, Response, Uri};

use super::{Endpoint, rest};
use crate::mcp::Front;

impl Endpoint for Front {
    fn handle(self: &Arc<Self>, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        Self::handle(self, request)
    }

    fn handle_provider(self: &Arc<Self>, provider: &str, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        Self::handle_provider(self, provider, request)
    }

    fn rest(self: &Arc<Self>, route: rest::Route, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        rest::answer(Arc::clone(self), route, request)
    }

    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
        Self::check_origin(self, uri, headers)
    }

    fn allows_origin(&self, origin: &str) -> bool {
        Self::allows_origin(self, origin)
    }

    fn in_flight(&self) -> usize {
        Self::in_flight(self)
    }

    fn close(&self) {
        Self::close(self);
    }
}
