//! The body of an answer on its way out: what is long waits in pieces, and is counted until it is read.
//!
//! A connection asks for a body's bytes when it has a place for them. In HTTP/1 that is at once. In HTTP/2 a client says for each stream how much it takes,
//! which can be nothing for ever: a stream of events, whose last one can be megabytes, is therefore taken by a task beside the connection, so that what
//! comes of it is counted too.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt as _;
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};

use super::guarded_body::{GuardedBody, PIECE, Room};

/// Bytes of an answer over HTTP/2 that is not counted: one connection can have hundreds of them.
const SMALL: usize = 4 << 10;

/// Events of a stream that wait for its client.
const EVENTS: usize = 64;

/// An answer's body, which keeps something until it is sent or given up.
pub(super) struct Outgoing<T> {
    body: Source,
    /// What has come of the body and was not handed on.
    waits: Option<GuardedBody>,
    room: Arc<Room>,
    _kept: T,
}

enum Source {
    Body(Body),
    Task(Pumped),
}

/// What an answer's body sends.
enum Part {
    Frame(Frame<Bytes>),
    /// What is counted.
    GuardedBody(GuardedBody),
    Failed(axum::Error),
}

/// A body that a task reads.
struct Pumped {
    parts: Receiver<Part>,
    task: JoinHandle<()>,
}

impl Drop for Pumped {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T> Outgoing<T> {
    /// `patience` is how long a client may leave a full stream unread.
    pub(super) fn new(mut body: Body, room: &Arc<Room>, version: Version, patience: Duration, kept: T) -> Self {
        let is_h2 = version == Version::HTTP_2;
        let mut waits = None;
        let body = match body.size_hint().exact() {
            // A body that is whole is there at once.
            Some(length) if length > if is_h2 { SMALL } else { PIECE } as u64 => {
                if let Some(Some(Ok(frame))) = body.frame().now_or_never()
                    && let Ok(whole) = frame.into_data()
                {
                    waits = Some(room.hold(whole));
                }
                Source::Body(body)
            }
            None if is_h2 => {
                let (send, parts) = channel(EVENTS);
                let task = tokio::spawn(pump(body, Arc::clone(room), send, patience));
                Source::Task(Pumped { parts, task })
            }
            _ => Source::Body(body),
        };
        Self { body, waits, room: Arc::clone(room), _kept: kept }
    }
}

/// Reads a body to its end, as far as its client keeps up.
async fn pump(mut body: Body, room: Arc<Room>, parts: Sender<Part>, patience: Duration) {
    while let Some(frame) = body.frame().await {
        let part = match frame {
            Ok(frame) => counted(frame, &room, SMALL),
            Err(error) => Part::Failed(error),
        };
        if parts.send_timeout(part, patience).await.is_err() {
            tracing::debug!("a client does not read its stream, which ends");
            return;
        }
    }
}

fn counted(frame: Frame<Bytes>, room: &Arc<Room>, least: usize) -> Part {
    if frame.data_ref().is_none_or(|data| data.len() <= least) {
        return Part::Frame(frame);
    }
    match frame.into_data() {
        Ok(data) => Part::GuardedBody(room.hold(data)),
        Err(frame) => Part::Frame(frame),
    }
}

impl Source {
    fn poll_part(&mut self, room: &Arc<Room>, cx: &mut Context<'_>) -> Poll<Option<Part>> {
        match self {
            Self::Task(pumped) => pumped.parts.poll_recv(cx),
            Self::Body(body) => Poll::Ready(ready!(Pin::new(body).poll_frame(cx)).map(|frame| match frame {
                Ok(frame) => counted(frame, room, PIECE),
                Err(error) => Part::Failed(error),
            })),
        }
    }
}

impl<T: Unpin> HttpBody for Outgoing<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(held) = &mut this.waits {
                match held.piece() {
                    Ok(Some(piece)) => {
                        if held.left() == Some(0) {
                            this.waits = None;
                        }
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                    Ok(None) => this.waits = None,
                    Err(given_up) => return Poll::Ready(Some(Err(axum::Error::new(given_up)))),
                }
            }
            match ready!(this.body.poll_part(&this.room, cx)) {
                Some(Part::GuardedBody(held)) => this.waits = Some(held),
                Some(Part::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Some(Part::Failed(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waits.is_none() && matches!(&self.body, Source::Body(body) if body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Source::Body(body) = &self.body else { return SizeHint::default() };
        let rest = body.size_hint();
        match (&self.waits, rest.exact()) {
            (None, _) => rest,
            (Some(held), Some(rest)) => SizeHint::with_exact(rest + held.left().unwrap_or(0) as u64),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn whole(length: usize) -> Body {
        Body::from(vec![7; length])
    }

    fn events(lengths: &[usize]) -> Body {
        let events: Vec<_> = lengths.iter().map(|length| Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; *length]))).collect();
        Body::from_stream(stream::iter(events))
    }

    #[tokio::test]
    async fn every_answer_arrives_whole_in_both_versions_and_leaves_nothing() {
        let room = Room::new(1 << 20);
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for length in [0, 1, SMALL, SMALL + 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
                let out = Outgoing::new(whole(length), &room, version, PATIENCE, ());
                assert_eq!(out.size_hint().exact(), Some(length as u64));
                assert_eq!(out.collect().await.unwrap().to_bytes().len(), length, "{version:?} {length}");
                let out = Outgoing::new(events(&[1, length, 5]), &room, version, PATIENCE, ());
                assert_eq!(out.collect().await.unwrap().to_bytes().len(), length + 6, "{version:?} {length}");
            }
        }
        assert_eq!(room.bytes(), 0);
    }

    #[tokio::test]
    async fn answers_that_are_never_asked_for_are_bounded() {
        let room = Room::new(1 << 20);
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let unread: Vec<_> = (0..50).map(|_| Outgoing::new(whole(200_000), &room, version, PATIENCE, ())).collect();
            assert!(room.bytes() <= 1 << 20);
            drop(unread);
            assert_eq!(room.bytes(), 0);
        }
        // Streams of events whose last one is long, over HTTP/2, where nobody asks for it.
        let unread: Vec<_> = (0..50).map(|_| Outgoing::new(events(&[1, 200_000]), &room, Version::HTTP_2, PATIENCE, ())).collect();
        tokio::time::timeout(PATIENCE, async {
            while room.bytes() < 900_000 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("they are counted");
        assert!(room.bytes() <= 1 << 20);
        let failed = futures::future::join_all(unread.into_iter().map(|one| one.collect())).await;
        let failed = failed.iter().filter(|one| one.is_err()).count();
        assert!((40..50).contains(&failed), "{failed}");
        assert_eq!(room.bytes(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_ends() {
        let room = Room::new(1 << 20);
        let out = Outgoing::new(events(&[1; 1000]), &room, Version::HTTP_2, Duration::from_millis(1), ());
        let Source::Task(pumped) = &out.body else { panic!("there is no task") };
        tokio::time::timeout(PATIENCE, async {
            while !pumped.task.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the task ends");
        assert!(out.collect().await.unwrap().to_bytes().len() < 1000);
    }
}
