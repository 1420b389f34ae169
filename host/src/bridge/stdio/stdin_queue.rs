//! What is sent to a server: a bounded queue before its stdin, so that a server which does not read holds nobody up but its own callers.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use tokio::{io::AsyncWrite, sync::Notify, time::Instant};

/// Bytes that wait for a server to read them. Past that, requests wait, and then fail.
const CAPACITY: usize = 4 << 20;

/// What the queue keeps of its memory while it is empty.
const KEPT: usize = 64 << 10;

/// The way to a server's stdin.
pub(super) struct StdinQueue {
    state: Mutex<State>,
    /// The writer has to go on, since nobody else does.
    work: Notify,
    /// There is room again.
    room: Notify,
}

struct State {
    writer: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    queue: BytesMut,
    failed: Option<String>,
}

/// Why nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// The server has not read its input for so long.
    Full,
    /// Its input is closed, or broken in this way.
    Closed(String),
}

impl StdinQueue {
    pub(super) fn new(writer: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        let state = State { writer: Some(writer), queue: BytesMut::new(), failed: None };
        Self { state: Mutex::new(state), work: Notify::new(), room: Notify::new() }
    }

    /// Queues a message, a line without its end; waits for room until `deadline`.
    pub(super) async fn send(&self, message: &str, deadline: Instant) -> Result<(), SendError> {
        loop {
            let room = self.room.notified();
            match self.push(message, CAPACITY) {
                Err(SendError::Full) => {}
                other => return other,
            }
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                return Err(SendError::Full);
            }
        }
    }

    /// Queues a short message that cannot wait: an answer, a cancellation.
    pub(super) fn send_now(&self, message: &str) -> Result<(), SendError> {
        self.push(message, 2 * CAPACITY)
    }

    /// Ends the server's input. What was not written is dropped.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.writer = None;
        state.queue = BytesMut::new();
        drop(state);
        self.work.notify_one();
        self.room.notify_waiters();
    }

    /// Writes what waits, as long as the input is open. Answers why it is not any more.
    pub(super) async fn run(&self) -> String {
        loop {
            let work = self.work.notified();
            if let Err(why) = std::future::poll_fn(|context| self.lock().poll(context)).await {
                return why;
            }
            self.room.notify_waiters();
            work.await;
        }
    }

    fn push(&self, message: &str, capacity: usize) -> Result<(), SendError> {
        let mut state = self.lock();
        if let Some(why) = &state.failed {
            return Err(SendError::Closed(why.clone()));
        }
        if state.writer.is_none() {
            return Err(SendError::Closed("its input was closed".to_owned()));
        }
        let idle = state.queue.is_empty();
        if !idle && state.queue.len() + message.len() > capacity {
            return Err(SendError::Full);
        }
        state.queue.reserve(message.len() + 1);
        state.queue.extend_from_slice(message.as_bytes());
        state.queue.extend_from_slice(b"\n");
        // The usual case: nobody writes, and the pipe has room. Then no other task has to run for it.
        let unfinished = idle && !matches!(state.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
        drop(state);
        if unfinished {
            self.work.notify_one();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes as much as goes. Ready: the queue is empty, or nothing can be written any more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        let Some(writer) = &mut self.writer else { return Poll::Ready(Err("its input was closed".to_owned())) };
        let mut fail = |error: io::Error| {
            let why = format!("its stdin cannot be written ({error})");
            self.failed = Some(why.clone());
            Poll::Ready(Err(why))
        };
        while !self.queue.is_empty() {
            match Pin::new(&mut *writer).poll_write(context, &self.queue) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return fail(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.queue.advance(written),
                Poll::Ready(Err(error)) => return fail(error),
            }
        }
        match Pin::new(writer).poll_flush(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return fail(error),
            Poll::Ready(Ok(())) => {}
        }
        if self.queue.capacity() > KEPT {
            self.queue = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::upstream::deadline;

    #[tokio::test]
    async fn messages_go_out_in_order_however_little_the_pipe_takes() {
        let (ours, mut theirs) = tokio::io::duplex(7);
        let out = Arc::new(StdinQueue::new(Box::new(ours)));
        let writer = tokio::spawn({
            let out = Arc::clone(&out);
            async move { out.run().await }
        });
        let messages: Vec<String> = (0..100).map(|n| format!("message {n}")).collect();
        for message in &messages {
            out.send(message, deadline(Duration::from_secs(60))).await.unwrap();
        }
        let mut seen = vec![0; messages.iter().map(|message| message.len() + 1).sum()];
        theirs.read_exact(&mut seen).await.unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), messages.join("\n") + "\n");
        out.close();
        assert_eq!(writer.await.unwrap(), "its input was closed");
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_does_not_read_is_sent_no_more_than_so_much() {
        let (ours, _theirs) = tokio::io::duplex(7);
        let out = StdinQueue::new(Box::new(ours));
        let message = "x".repeat(CAPACITY / 2 + 7);
        let soon = || deadline(Duration::from_millis(1));
        assert_eq!(out.send(&message, soon()).await, Ok(()));
        assert_eq!(out.send(&message, soon()).await, Err(SendError::Full));
        assert_eq!(out.send_now("a short one"), Ok(()));
    }

    #[tokio::test]
    async fn a_broken_pipe_is_told() {
        let (ours, theirs) = tokio::io::duplex(7);
        drop(theirs);
        let out = StdinQueue::new(Box::new(ours));
        let _ = out.send("m", deadline(Duration::ZERO)).await;
        assert!(matches!(out.send_now("m"), Err(SendError::Closed(why)) if why.contains("pipe")));
        assert!(out.run().await.contains("pipe"));
    }
}
