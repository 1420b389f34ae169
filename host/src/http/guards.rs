//! What stands before routes of axum: from where a request comes, and by which method.

use std::{net::SocketAddr, sync::Arc};

use axum::{body::Body, extract::State, middleware::Next};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use super::{admission::Admission, answer};

/// Where a request comes from, for the log.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Lets through what comes by a name of ours, and from no foreign page.
pub(super) async fn from_ours(State(admission): State<Arc<Admission>>, request: Request<Body>, next: Next) -> Response<Body> {
    let (head, body) = request.into_parts();
    match admission.check_origin(&head) {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refusal) => *refusal,
    }
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response<Body> {
    let error = format!("{} is not allowed at {}", answer::echo(method.as_str()), uri.path());
    answer::with(answer::problem(StatusCode::METHOD_NOT_ALLOWED, &error, "GET"), header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}
