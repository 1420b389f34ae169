//! One request that was let through, from its sending to the head of its answer.

use std::{pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, header::HOST};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    Limits,
    body::{AnswerLimits, RequestBody, ResponseBody},
    client::{Connecting, OutgoingClients},
    error::{Failure, head_failure},
    target::Target,
};
use crate::wasm::permissions::{AddressScope, HttpPolicy, Refusal, Refusals};

/// Name lookup, TCP and TLS, where the plugin sets no time for them.
const CONNECT: Duration = Duration::from_secs(10);
/// A time that never comes: what tokio's own timers use for it.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// A request that may be sent.
pub(super) struct Admitted {
    pub(super) clients: Arc<OutgoingClients>,
    pub(super) reach: AddressScope,
    pub(super) policy: Arc<HttpPolicy>,
    pub(super) refusals: Refusals,
    pub(super) limits: Limits,
    pub(super) target: Target,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Admitted {
    /// Sends it and waits for the head of the answer.
    pub(super) async fn run(self, request: Request<WasiBody>, options: RequestOptions) -> Result<Response<WasiBody>, Error> {
        let began = Instant::now();
        let Self { clients, reach, policy, refusals, limits, target, permit } = self;
        let authority = target.authority();
        let too_late = Refusal::time(policy.plugin(), authority.clone(), limits.timeout);
        let deadline = instant_after(began, limits.timeout);
        let first_byte = options.first_byte_timeout.unwrap_or(limits.timeout);
        let connecting = Connecting::new(options.connect_timeout.unwrap_or(CONNECT).min(limits.timeout));

        let client = clients.for_reach(reach).await?.clone();
        let request = outgoing(request, &target);
        let mut sending = pin!(clients.beside(connecting.scope(async move { client.execute(request).await })));
        let answer = loop {
            // The first byte is waited for once there is a connection; how long that takes is limited by itself.
            let first_byte_at = instant_after(began, first_byte.saturating_add(connecting.spent()));
            tokio::select! {
                biased;
                answer = &mut sending => break answer?,
                () = tokio::time::sleep_until(first_byte_at.min(deadline)) => {}
            }
            let now = Instant::now();
            if now >= deadline {
                refusals.push(too_late);
                return Err(Error::HttpResponseTimeout);
            }
            if now >= instant_after(began, first_byte.saturating_add(connecting.spent())) {
                return Err(Error::ConnectionReadTimeout);
            }
        };
        match answer {
            Ok(answer) => {
                let limits = AnswerLimits {
                    bytes: limits.body,
                    pause: options.between_bytes_timeout.unwrap_or(limits.timeout),
                    deadline,
                    refusals,
                    too_large: Refusal::body(policy.plugin(), authority, limits.body),
                    too_late,
                };
                Ok(Response::from(answer).map(|body| ResponseBody::new(body, permit, limits).boxed_unsync()))
            }
            Err(err) => Err(match head_failure(&err) {
                Failure::NotPublic => {
                    refusals.push(policy.refuse_private(target.scheme, &target.host, target.port));
                    Error::HttpRequestDenied
                }
                Failure::Code(code) => {
                    tracing::debug!(plugin = &**policy.plugin(), authority, "outgoing request failed: {err:?}");
                    code
                }
            }),
        }
    }
}

/// The request as the client takes it.
fn outgoing(request: Request<WasiBody>, target: &Target) -> reqwest::Request {
    let (parts, body) = request.into_parts();
    let mut request = reqwest::Request::new(parts.method, target.url.clone());
    *request.headers_mut() = parts.headers;
    request.headers_mut().remove(HOST);
    if !body.is_end_stream() {
        *request.body_mut() = Some(reqwest::Body::wrap(RequestBody::new(body)));
    }
    request
}

/// `duration` after `instant`, however long that is.
pub(super) fn instant_after(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(NEVER)).unwrap_or(instant)
}
