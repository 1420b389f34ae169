//! A call answered by a stream of events: what it tells first, its answer last.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, stream};
use http::{
    HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior},
};

use super::{
    answer::Answer,
    disconnect::{Caller, CancelBeforeStart},
    notification_queue::NotificationQueue,
};
use crate::provider::StartSignal;

/// How often a stream that has nothing to say says so: half of the shortest idle timeout (30 s) among the usual proxies.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A call that runs beside the stream that reports on it, so that a client that does not read holds up nothing.
pub(super) struct CallTask {
    task: JoinHandle<Option<Answer>>,
    id: String,
    outbox: Arc<NotificationQueue>,
    /// In 2026-07-28 closing the stream cancels the call; before, it does not, once the call has begun.
    ends_with_stream: bool,
    caller: Arc<Caller>,
}

impl CallTask {
    /// The future's None means: cancelled, no answer.
    pub(super) fn spawn(
        id: String,
        outbox: Arc<NotificationQueue>,
        ends_with_stream: bool,
        call: impl Future<Output = Option<Answer>> + Send + 'static,
        signal: Arc<StartSignal>,
    ) -> Self {
        let caller = Arc::<Caller>::default();
        Self { task: tokio::spawn(CancelBeforeStart::new(call, signal, Arc::clone(&caller))), id, outbox, ends_with_stream, caller }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        Pin::new(&mut self.task).poll(context).map(|ended| match ended {
            Ok(answer) => answer,
            Err(error) if error.is_cancelled() => None,
            Err(error) => {
                tracing::error!("a call panicked: {error}");
                Some(Answer::internal_error(&self.id, "internal error: see the host's log"))
            }
        })
    }
}

impl Drop for CallTask {
    fn drop(&mut self) {
        if self.ends_with_stream {
            self.task.abort();
        } else {
            self.caller.leave();
        }
        // A call that goes on is told that nobody hears it.
        self.outbox.close();
    }
}

/// Answers by plain JSON where the call says nothing before its answer, else by events.
pub(super) async fn respond(mut task: CallTask) -> Response<Body> {
    let outbox = Arc::clone(&task.outbox);
    let first = std::future::poll_fn(|context| match task.poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if outbox.is_empty(context.waker()) => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    })
    .await;
    let (task, last) = match first {
        None => (Some(task), None),
        Some(answer) => {
            let silent = outbox.is_empty(futures::task::noop_waker_ref());
            match answer {
                Some(answer) if silent => return answer.into_response(),
                answer => (None, answer.map(|answer| event(&answer.body))),
            }
        }
    };
    let mut beat = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    response(Body::from_stream(CallStream { outbox, task, last, beat }))
}

/// The answer to a call that its caller has cancelled: a stream that ends at once, since nothing more may be sent.
pub(super) fn nothing() -> Response<Body> {
    response(Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
}

/// A response that is a stream of events.
pub(super) fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would hold events back else.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct CallStream {
    outbox: Arc<NotificationQueue>,
    task: Option<CallTask>,
    last: Option<Bytes>,
    beat: Interval,
}

impl Stream for CallStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(task) = &mut this.task
            && let Poll::Ready(answer) = task.poll(context)
        {
            this.last = answer.map(|answer| event(&answer.body));
            this.task = None;
        }
        // Register first, then look: a notification in between wakes.
        if !this.outbox.is_empty(context.waker())
            && let Some(note) = this.outbox.pop()
        {
            return Poll::Ready(Some(Ok(event(&note.message()))));
        }
        if this.task.is_none() {
            return Poll::Ready(this.last.take().map(Ok));
        }
        match this.beat.poll_tick(context) {
            Poll::Ready(_) => Poll::Ready(Some(Ok(Bytes::from_static(b": still working\n\n")))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// One event, by the name that some clients listen for alone. A line break between two tokens of JSON must not end it.
pub(super) fn event(json: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(json.len() + 32);
    event.extend_from_slice(b"event: message\n");
    for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

/// The same with an id, by which a client that comes again says what it has seen.
pub(super) fn event_with_id(id: &str, json: &[u8]) -> Bytes {
    [b"id: ", id.as_bytes(), b"\n", &event(json)].concat().into()
}
