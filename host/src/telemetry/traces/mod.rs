//! Traces: what a call did, where and how long, as spans that are sent to an OpenTelemetry collector (OTLP over HTTP).
//!
//! Whether a call is recorded is decided before anything is made of it. A span is written as OTLP has it from its beginning on; its trace is gathered, and
//! goes into a queue when the call has ended: then it is known, too, whether it was slow or failed. A thread of its own sends what has been gathered. Where
//! that cannot follow, spans are dropped and counted.

mod context;
mod sink;
mod span;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

pub use context::{trace_digits, trace_id, trace_parent};
pub use span::Root;
pub use wire::{Outline, Record};

use super::otlp::{ClientOptions, Delivery, Exporter, Queue};
use crate::config::TracesConfig;
use context::Parent;
use sink::Sink;

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
    /// Whether callers decide about their own traces.
    parent_based: bool,
    sink: Arc<Sink>,
    delivery: Arc<Delivery>,
}

impl Traces {
    /// Starts to send, where the configuration says where to.
    ///
    /// # Errors
    ///
    /// [`TracesError`].
    pub fn start(config: &TracesConfig) -> Result<Option<Arc<Self>>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let queue = Arc::new(Queue::new(config.queue));
        let delivery = Arc::<Delivery>::default();
        let options =
            ClientOptions { signal: "traces", what: "traces", endpoint, headers: &config.headers, gzip: false, delivery: &delivery };
        let exporter = Exporter::new(&options, "spans", &config.service_name, Arc::clone(&queue)).map_err(TracesError::Client)?;
        // It ends when this is gone and all is sent.
        exporter.start("toolbay-traces").map_err(TracesError::Thread)?;
        let TracesConfig { sample, parent_based, slow, failed, .. } = *config;
        Ok(Some(Arc::new(Self { sample, parent_based, sink: Arc::new(Sink { slow, failed, queue }), delivery })))
    }

    /// Whether a call is recorded: asked before anything is made of it. `parent`: W3C `traceparent` of its request.
    #[must_use]
    pub fn choose(&self, parent: Option<&str>) -> Option<Chosen<'_>> {
        let parent = parent.and_then(Parent::parse);
        // Who asks for it has decided already whether the trace is one of those that are kept.
        let decided = parent.as_ref().filter(|_| self.parent_based).map(|parent| parent.sampled);
        let sampled = decided.unwrap_or_else(|| self.sample > 0.0 && fastrand::f64() < self.sample);
        (sampled || self.sink.keeps_some()).then_some(Chosen { sink: &self.sink, parent, sampled })
    }

    /// Spans that were sent and taken, and spans that were dropped.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.sink.queue.counts.get()
    }

    /// How the requests to the collector go.
    #[must_use]
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// Waits until all up to now is sent, for so long at most. Blocks. Whether it is.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        self.sink.queue.flush(limit)
    }
}

/// A call that is recorded.
#[derive(Debug)]
pub struct Chosen<'a> {
    sink: &'a Arc<Sink>,
    parent: Option<Parent>,
    sampled: bool,
}

impl Chosen<'_> {
    /// Begins its trace here. `begin`: by both clocks; `attributes`: sets those that are known already, beside those of the outline.
    #[must_use]
    pub fn begin(&self, begin: (Instant, SystemTime), outline: &Outline, attributes: impl FnOnce(&mut Record)) -> Root {
        Root::new(self.sink, self.parent.as_ref(), self.sampled, begin, outline, attributes)
    }
}
