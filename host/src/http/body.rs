//! The body of a request: it has to come in time, and is read even where nobody wants it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::BoxError;
use bytes::Bytes;
use http::{HeaderMap, Version, header::EXPECT};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep, timeout},
};

/// Bytes of a body that are read although nobody wants them, and for how long: past either, the client has to do without the answer.
const UNWANTED: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(2);

/// A request's body. The clock runs from the first time that somebody had to wait for a part of it.
///
/// Who is answered before the body was read (a caller without a token, a body over its limit) may still be sending. A connection that is closed then is
/// reset, and the client never sees the answer that says why. So what is dropped unread is read for a while, beside everything else.
pub(super) struct DeadlineBody {
    /// None when there is nothing more to come.
    incoming: Option<Incoming>,
    limit: Duration,
    /// None as long as everything was there when it was asked for, as it is with nearly all: no timer is made for those.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether the client sends what nobody asks for.
    is_sent_anyway: bool,
}

impl DeadlineBody {
    pub(super) fn new(incoming: Incoming, limit: Duration, version: Version, headers: &HeaderMap) -> Self {
        // HTTP/2 ends one request without ending the connection. With `Expect`, the client waits to be asked.
        let is_sent_anyway = version < Version::HTTP_2 && !headers.contains_key(EXPECT);
        Self { incoming: Some(incoming), limit, deadline: None, is_sent_anyway }
    }
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
            if !matches!(frame, Some(Ok(_))) {
                self.incoming = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        deadline.as_mut().poll(cx).map(|()| {
            self.incoming = None;
            let late = format!("the request's body was not complete after {} s", limit.as_secs_f32());
            Some(Err(io::Error::new(io::ErrorKind::TimedOut, late).into()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for DeadlineBody {
    fn drop(&mut self) {
        let unread = self.incoming.take().filter(|incoming| self.is_sent_anyway && !incoming.is_end_stream());
        if let (Some(unread), Ok(runtime)) = (unread, Handle::try_current()) {
            drop(runtime.spawn(timeout(PATIENCE, discard(unread))));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = UNWANTED;
    while left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
    }
}
