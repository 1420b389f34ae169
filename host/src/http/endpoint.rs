//! What answers at `/mcp`: the seam between connections and the protocol, and the MCP front on this side of it.

use std::{future::Future, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use super::{
    bodies::{Bodies, Received},
    settings::HttpSettings,
};
use crate::{
    mcp::{self, Front},
    offload, threads,
};

/// What answers at [`MCP_PATH`](super::MCP_PATH): every method but `OPTIONS`, after origin and
/// authentication. Who calls is in the request's extensions, as [`Principal`](crate::provider::Principal).
pub trait Endpoint: Send + Sync + 'static {
    /// Answers one request about everything, or about one provider alone. Dropping the future means that
    /// the connection is gone.
    fn handle(&self, provider: Option<&str>, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// Calls that run or wait now; a stream that only listens is none.
    fn in_flight(&self) -> usize;

    /// Ends all open streams. Called once, when the calls in flight are done or their time is over.
    fn close(&self);
}

/// The MCP front over HTTP: it reads bodies, within what all of them may take.
pub struct McpEndpoint {
    front: Arc<Front>,
    bodies: Arc<Bodies>,
    settings: Arc<HttpSettings>,
}

impl McpEndpoint {
    /// Of this front, with the limits on bodies.
    #[must_use]
    pub fn new(front: Arc<Front>, settings: &Arc<HttpSettings>) -> Arc<Self> {
        let metrics = Arc::clone(front.dispatcher().metrics());
        Arc::new(Self { front, bodies: Arc::new(Bodies::new(Arc::clone(settings), metrics)), settings: Arc::clone(settings) })
    }

    pub(super) fn front(&self) -> &Arc<Front> {
        &self.front
    }

    pub(super) fn settings(&self) -> &Arc<HttpSettings> {
        &self.settings
    }

    pub(super) fn bodies(&self) -> &Arc<Bodies> {
        &self.bodies
    }
}

impl Endpoint for McpEndpoint {
    async fn handle(&self, provider: Option<&str>, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return self.front.handle(provider, Request::from_parts(parts, Bytes::new())).await;
        }
        if let Err(refusal) = mcp::check_content_type(&parts.headers) {
            return *refusal;
        }
        match self.bodies.read(&parts.headers, body).await {
            Ok(Received { bytes, share }) => {
                // It goes wherever the request goes, and some requests outlive their connection.
                if let Some(share) = share {
                    parts.extensions.insert(share);
                }
                let (size, request) = (bytes.len(), Request::from_parts(parts, bytes));
                if size <= offload::SMALL {
                    return self.front.handle(provider, request).await;
                }
                // Reading megabytes takes long, before it is known what is asked for.
                let (front, provider) = (Arc::clone(&self.front), provider.map(str::to_owned));
                let handled = Box::pin(threads::sized(size, async move { front.handle(provider.as_deref(), request).await }));
                handled.await.unwrap_or_else(|_| mcp::refusal(StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down", None))
            }
            Err(refused) => mcp::refusal(refused.status, &refused.message, refused.retry_after),
        }
    }

    fn in_flight(&self) -> usize {
        self.front.in_flight()
    }

    fn close(&self) {
        self.front.close();
    }
}
