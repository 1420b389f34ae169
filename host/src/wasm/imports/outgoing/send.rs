//! One request that was let through, from its sending to its answer: the head of it, or all of it.

use std::{pin::pin, sync::Arc, time::Duration};

use http::{Response, header::HOST, request::Parts};
use http_body_util::BodyExt;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    Limits,
    body::{AnswerLimits, ResponseBody},
    client::{Connecting, OutgoingClients},
    error::{Failure, head_failure},
    target::Target,
    whole::Room,
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

/// What an answer's body is read under.
struct Under {
    permit: OwnedSemaphorePermit,
    limits: AnswerLimits,
}

impl Admitted {
    /// Sends it and waits for the head of the answer. The body is read, by whoever wants it, under the limits.
    pub(super) async fn head(
        self,
        request: Parts,
        body: Option<reqwest::Body>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let read = |answer, under| std::future::ready(Ok((answer, under)));
        let (answer, Under { permit, limits }): (Response<reqwest::Body>, _) = self.run(request, body, options, u64::MAX, read).await?;
        Ok(answer.map(|body| ResponseBody::new(body, permit, limits).boxed_unsync()))
    }

    /// Sends it and waits for the whole answer, which is put together where the connections are. `most`: bytes of the body.
    pub(super) async fn whole(
        self,
        request: Parts,
        body: Option<reqwest::Body>,
        options: RequestOptions,
        most: u64,
        room: Arc<Room>,
    ) -> Result<Response<Vec<u8>>, Error> {
        let read = |answer: Response<reqwest::Body>, Under { permit, limits }| async move {
            room.read(answer.map(|body| ResponseBody::new(body, permit, limits))).await
        };
        self.run(request, body, options, most, read).await
    }

    /// `read`: what is made of the answer, beside the threads that serve calls.
    async fn run<T, F>(
        self,
        request: Parts,
        body: Option<reqwest::Body>,
        options: RequestOptions,
        most: u64,
        read: impl FnOnce(Response<reqwest::Body>, Under) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let began = Instant::now();
        let Self { clients, reach, policy, refusals, limits, target, permit } = self;
        let authority = target.authority();
        let too_late = Refusal::time(policy.plugin(), authority.clone(), limits.timeout);
        let deadline = instant_after(began, limits.timeout);
        let first_byte = options.first_byte_timeout.unwrap_or(limits.timeout);
        let connecting = Connecting::new(options.connect_timeout.unwrap_or(CONNECT).min(limits.timeout));

        let client = clients.for_reach(reach).await?.clone();
        let request = outgoing(request, body, &target);
        let under = Under {
            permit,
            limits: AnswerLimits {
                bytes: limits.body.min(most),
                pause: options.between_bytes_timeout.unwrap_or(limits.timeout),
                deadline,
                refusals: refusals.clone(),
                // Less than that is the plugin's own wish.
                too_large: (limits.body <= most).then(|| Refusal::body(policy.plugin(), authority.clone(), limits.body)),
                too_late: too_late.clone(),
            },
        };
        let seen = connecting.clone();
        let exchange = connecting.scope(async move {
            let answer = client.execute(request).await?;
            seen.answer();
            Ok(read(answer.into(), under).await)
        });
        let mut sending = pin!(clients.beside(exchange));
        let answer: Result<Result<T, Error>, reqwest::Error> = loop {
            // The first byte is waited for once there is a connection; how long that takes is limited by itself.
            let first_byte_at =
                || if connecting.is_answered() { deadline } else { instant_after(began, first_byte.saturating_add(connecting.spent())) };
            tokio::select! {
                biased;
                answer = &mut sending => break answer?,
                () = tokio::time::sleep_until(first_byte_at().min(deadline)) => {}
            }
            let now = Instant::now();
            if now >= deadline {
                refusals.push(too_late);
                return Err(Error::HttpResponseTimeout);
            }
            if now >= first_byte_at() {
                return Err(Error::ConnectionReadTimeout);
            }
        };
        match answer {
            Ok(read) => read,
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
fn outgoing(parts: Parts, body: Option<reqwest::Body>, target: &Target) -> reqwest::Request {
    let mut request = reqwest::Request::new(parts.method, target.url.clone());
    *request.headers_mut() = parts.headers;
    request.headers_mut().remove(HOST);
    *request.body_mut() = body;
    request
}

/// `duration` after `instant`, however long that is.
pub(super) fn instant_after(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(NEVER)).unwrap_or(instant)
}
