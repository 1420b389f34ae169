//! Traces: what a call did, where and how long, as spans that are sent to an OpenTelemetry collector (OTLP over HTTP).
//!
//! Whether a call is recorded is decided before anything is made of it. What is recorded is gathered with its trace and goes into a queue when the call has
//! ended: then it is known, too, whether it was slow or failed. A thread of its own sends it. Where that cannot follow, spans are dropped and counted.

mod context;
mod export;
mod span;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    io,
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

pub use context::trace_id;
pub use span::Root;

use super::flush::flush;
use crate::{config::TracesConfig, provider::SpanKind};
use context::Parent;
use export::Exporter;
use span::Record;

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The exporter cannot be made.
    #[error("cannot prepare the client that sends traces to [traces] endpoint: {0}")]
    Client(String),
    /// No thread.
    #[error("cannot start the thread that sends traces: {0}")]
    Thread(io::Error),
}

/// Decides what is recorded, and sends it.
#[derive(Debug)]
pub struct Traces {
    sample: f64,
    slow: Option<Duration>,
    failed: bool,
    queue: SyncSender<Message>,
    most: usize,
    counts: Arc<Counts>,
}

/// What is on its way to the thread that sends.
enum Message {
    /// Spans that have ended.
    Spans(Vec<Record>),
    /// Tell when all that came before is sent.
    Flush(SyncSender<()>),
}

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    queued: AtomicUsize,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Traces {
    /// Starts to send, where the configuration says where to.
    ///
    /// # Errors
    ///
    /// [`TracesError`].
    pub fn start(config: &TracesConfig) -> Result<Option<Arc<Self>>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let counts = Arc::<Counts>::default();
        let (queue, messages) = sync_channel(config.queue);
        let exporter = Exporter::new(endpoint, config, messages, Arc::clone(&counts)).map_err(TracesError::Client)?;
        // It ends when this is gone and all is sent.
        thread::Builder::new().name("toolbay-traces".to_owned()).spawn(move || exporter.run()).map_err(TracesError::Thread)?;
        let TracesConfig { sample, slow, failed, queue: most, .. } = *config;
        Ok(Some(Arc::new(Self { sample, slow, failed, queue, most, counts })))
    }

    /// Begins the trace of a call here, if it is to be recorded. `parent`: W3C `traceparent` of its request.
    pub fn begin(self: &Arc<Self>, parent: Option<&str>, name: impl FnOnce() -> String) -> Option<Root> {
        let parent = parent.and_then(Parent::parse);
        // Who asks for it has decided already whether the trace is one of those that are kept.
        let sampled = parent.as_ref().map_or_else(|| self.sample > 0.0 && fastrand::f64() < self.sample, |parent| parent.sampled);
        let by_its_end = self.failed || self.slow.is_some();
        (sampled || by_its_end).then(|| Root::new(self, parent, sampled, SpanKind::Server, name()))
    }

    /// Whether the trace of a call that ended so is kept where it was not chosen at its beginning.
    fn keeps(&self, failed: bool, took: Duration) -> bool {
        (failed && self.failed) || self.slow.is_some_and(|slow| took >= slow)
    }

    fn send(&self, spans: Vec<Record>) {
        let count = spans.len();
        let before = self.counts.queued.fetch_add(count, AcqRel);
        if before + count > self.most || self.queue.try_send(Message::Spans(spans)).is_err() {
            self.counts.queued.fetch_sub(count, AcqRel);
            self.dropped(count);
        }
    }

    fn dropped(&self, count: usize) {
        self.counts.lost(count);
    }

    /// Spans that were sent and taken, and spans that were dropped.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.exported.load(Relaxed), self.counts.dropped.load(Relaxed))
    }

    /// Waits until all up to now is sent, for so long at most. Blocks. Whether it is.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        flush(&self.queue, Message::Flush, limit)
    }
}

impl Counts {
    fn lost(&self, count: usize) {
        self.dropped.fetch_add(count.try_into().unwrap_or(u64::MAX), Relaxed);
    }
}
