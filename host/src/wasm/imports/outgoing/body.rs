//! Bodies on their way through: the plugin's to the server as it is, the server's to the plugin under the limits.

use std::{
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{error::body_error, send::instant_after};
use crate::wasm::permissions::{Refusal, Refusals};

/// A plugin's body in a form that reqwest takes: it asks for `Sync`, and a mutex that is never locked gives that.
pub(super) struct RequestBody(pub(super) Mutex<WasiBody>);

impl RequestBody {
    pub(super) fn new(body: WasiBody) -> Self {
        Self(Mutex::new(body))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut().0.get_mut() {
            Ok(body) => Pin::new(body).poll_frame(cx),
            Err(_) => Poll::Ready(Some(Err(Error::InternalError(None)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_ok_and(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().map(|body| body.size_hint()).unwrap_or_default()
    }
}

/// What ends an answer before its own end.
pub(super) struct AnswerLimits {
    pub(super) bytes: u64,
    /// Between two frames.
    pub(super) pause: Duration,
    /// The end of `http_timeout`.
    pub(super) deadline: Instant,
    pub(super) refusals: Refusals,
    /// None: to take no more was the plugin's own wish.
    pub(super) too_large: Option<Refusal>,
    pub(super) too_late: Refusal,
}

/// A server's body. It counts as an open request until its end, or until it is dropped.
pub(super) struct ResponseBody {
    open: Option<(reqwest::Body, OwnedSemaphorePermit)>,
    limits: AnswerLimits,
    left: u64,
    deadline: Pin<Box<Sleep>>,
    pause: Pin<Box<Sleep>>,
    /// Whether `pause` runs: only while the plugin waits, so that its own slowness is not the server's.
    paused: bool,
}

impl ResponseBody {
    pub(super) fn new(body: reqwest::Body, permit: OwnedSemaphorePermit, limits: AnswerLimits) -> Self {
        let deadline = Box::pin(tokio::time::sleep_until(limits.deadline));
        let pause = Box::pin(tokio::time::sleep_until(limits.deadline));
        Self { open: Some((body, permit)), left: limits.bytes, deadline, pause, paused: false, limits }
    }

    /// Ends the request: the connection, with what still comes on it, is closed.
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.open = None;
        Poll::Ready(Some(Err(error)))
    }

    fn too_late(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.limits.refusals.push(self.limits.too_late.clone());
        self.fail(Error::HttpResponseTimeout)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some((body, _)) = &mut this.open else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // A server that never pauses must meet the deadline too.
                if Instant::now() >= this.limits.deadline {
                    return this.too_late();
                }
                this.paused = false;
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(left) = this.left.checked_sub(length) else {
                    if let Some(refusal) = this.limits.too_large.take() {
                        this.limits.refusals.push(refusal);
                    }
                    return this.fail(Error::HttpResponseBodySize(Some(this.limits.bytes)));
                };
                this.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(err))) => this.fail(body_error(&err)),
            Poll::Ready(None) => {
                this.open = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.deadline.as_mut().poll(cx).is_ready() {
                    return this.too_late();
                }
                if !this.paused {
                    this.paused = true;
                    this.pause.as_mut().reset(instant_after(Instant::now(), this.limits.pause));
                }
                if this.pause.as_mut().poll(cx).is_ready() {
                    return this.fail(Error::ConnectionReadTimeout);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.open.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.open.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_server_that_never_pauses_meets_the_deadline() {
        // Always ready: the timers are never looked at.
        let endless = reqwest::Body::wrap_stream(futures::stream::repeat_with(|| Ok::<_, Error>(Bytes::from_static(b"more"))));
        let refusals = Refusals::default();
        let limits = AnswerLimits {
            bytes: u64::MAX,
            pause: Duration::MAX,
            deadline: Instant::now() + Duration::from_millis(20),
            refusals: refusals.clone(),
            too_large: Some(Refusal::body(&"p".into(), "x:80".to_owned(), 0)),
            too_late: Refusal::time(&"p".into(), "x:80".to_owned(), Duration::ZERO),
        };
        let open = Arc::new(Semaphore::new(1));
        let mut body = ResponseBody::new(endless, open.clone().try_acquire_owned().unwrap(), limits);
        let began = Instant::now();
        let err = loop {
            if let Err(err) = body.frame().await.unwrap() {
                break err;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "the deadline was not met");
        };
        assert!(matches!(err, Error::HttpResponseTimeout), "{err:?}");
        assert!(body.is_end_stream() && body.frame().await.is_none());
        assert_eq!(open.available_permits(), 1);
        assert_eq!(refusals.messages().len(), 1);
    }
}
