//! The two bodies of a request: what comes in has to come in time, and is read even where nobody wants it; what goes out is counted until it is out.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, Version, header::EXPECT};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep, timeout},
};

use super::held::{Held, PIECE, Room};

/// Bytes of a body that are read although nobody wants them, and for how long: past either, the client has to do without the answer.
const UNWANTED: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(2);

/// A request's body. The clock runs from the first time that somebody had to wait for a part of it.
///
/// Who is answered before the body was read (a caller without a token, a body over its limit) may still be sending. A connection that is closed then is
/// reset, and the client never sees the answer that says why. So what is dropped unread is read for a while, beside everything else.
pub(super) struct Received {
    /// None when there is nothing more to come.
    incoming: Option<Incoming>,
    limit: Duration,
    /// None as long as everything was there when it was asked for, as it is with nearly all: no timer is made for those.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether the client sends what nobody asks for.
    is_sent_anyway: bool,
}

impl Received {
    pub(super) fn new(incoming: Incoming, limit: Duration, version: Version, headers: &HeaderMap) -> Self {
        // HTTP/2 ends one request without ending the connection. With `Expect`, the client waits to be asked.
        let is_sent_anyway = version < Version::HTTP_2 && !headers.contains_key(EXPECT);
        Self { incoming: Some(incoming), limit, deadline: None, is_sent_anyway }
    }
}

impl HttpBody for Received {
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

impl Drop for Received {
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

/// An answer's body, which keeps something until it is sent or given up.
///
/// What is long goes out in pieces, each when the one before has found a place in the connection's buffers. All that waits is counted.
pub(super) struct Outgoing<T> {
    body: Body,
    /// What has come of the body and was not handed on.
    waits: Option<Held>,
    room: Arc<Room>,
    _kept: T,
}

impl<T> Outgoing<T> {
    pub(super) fn new(mut body: Body, room: &Arc<Room>, kept: T) -> Self {
        let mut waits = None;
        // A body that is whole is there at once. One that comes by and by is counted as it comes.
        if body.size_hint().exact().is_some_and(|length| length > PIECE as u64)
            && let Some(Some(Ok(frame))) = body.frame().now_or_never()
            && let Ok(whole) = frame.into_data()
        {
            waits = Some(room.hold(whole));
        }
        Self { body, waits, room: Arc::clone(room), _kept: kept }
    }
}

impl<T: Unpin> HttpBody for Outgoing<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            if let Some(held) = &mut self.waits {
                match held.piece() {
                    Ok(Some(piece)) => {
                        if held.left() == Some(0) {
                            self.waits = None;
                        }
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                    Ok(None) => self.waits = None,
                    Err(given_up) => return Poll::Ready(Some(Err(axum::Error::new(given_up)))),
                }
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() > PIECE) => frame,
                other => return other,
            };
            match frame.into_data() {
                Ok(data) => self.waits = Some(self.room.hold(data)),
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waits.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        match (&self.waits, rest.exact()) {
            (None, _) => rest,
            (Some(held), Some(rest)) => SizeHint::with_exact(rest + held.left().unwrap_or(0) as u64),
            (Some(_), None) => SizeHint::default(),
        }
    }
}
