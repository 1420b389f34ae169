//! What stands before routes of axum: from where a request comes, and by which method.

use std::{net::SocketAddr, sync::Arc};

use axum::{Extension, body::Body, extract::State, middleware::Next};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use super::{admission::Admission, answer, metrics};

/// Where a request comes from, for the log.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Who may reach a route.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// Whoever comes by a name of ours, and from no foreign page.
    Ours,
    /// Those who may call.
    Callers,
    /// Those who may read the metrics.
    Scrapers,
}

/// Lets through those who may reach a route.
pub(super) async fn guard(
    State((admission, reach)): State<(Arc<Admission>, Reach)>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let admitted = match reach {
        Reach::Ours => admission.check_origin(&head),
        Reach::Callers => admission.admit(&mut head, peer, false).await,
        Reach::Scrapers => metrics::admit(&admission, &mut head, peer).await,
    };
    match admitted {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refusal) => *refusal,
    }
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response<Body> {
    let error = format!("{} is not allowed at {}", answer::echo(method.as_str()), uri.path());
    answer::with(answer::problem(StatusCode::METHOD_NOT_ALLOWED, &error, "GET"), header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}
