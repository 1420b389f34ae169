//! The way of spans to the thread that sends them, and which are kept.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
        mpsc::SyncSender,
    },
    time::Duration,
};

use super::record::Record;

/// What is on its way to the thread that sends.
pub(super) enum Message {
    /// Spans that have ended.
    Spans(Vec<Record>),
    /// Tell when all that came before is sent.
    Flush(SyncSender<()>),
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) queued: AtomicUsize,
    pub(super) exported: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Counts {
    pub(super) fn lost(&self, count: usize) {
        self.dropped.fetch_add(count.try_into().unwrap_or(u64::MAX), Relaxed);
    }
}

/// Where spans go that have ended.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) slow: Option<Duration>,
    pub(super) failed: bool,
    pub(super) queue: SyncSender<Message>,
    /// Spans that may wait.
    pub(super) most: usize,
    pub(super) counts: Arc<Counts>,
}

impl Sink {
    /// Whether the trace of a call that ended so is kept where it was not chosen at its beginning.
    pub(super) fn keeps(&self, failed: bool, took: Duration) -> bool {
        (failed && self.failed) || self.slow.is_some_and(|slow| took >= slow)
    }

    /// Whether that may be so for any call.
    pub(super) fn keeps_some(&self) -> bool {
        self.failed || self.slow.is_some()
    }

    /// Never waits.
    pub(super) fn send(&self, spans: Vec<Record>) {
        let count = spans.len();
        let before = self.counts.queued.fetch_add(count, AcqRel);
        if before + count > self.most || self.queue.try_send(Message::Spans(spans)).is_err() {
            self.counts.queued.fetch_sub(count, AcqRel);
            self.lost(count);
        }
    }

    pub(super) fn lost(&self, count: usize) {
        self.counts.lost(count);
    }
}
