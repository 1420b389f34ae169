//! Who did what: one line of JSON for each decision and call.
//!
//! A call writes its line and adds it to what waits; a thread of its own takes that whole and writes it out. Where it cannot follow, lines are dropped, counted
//! and told in the log: a full disk holds up no call.

mod collector;
mod line;
mod outputs;
mod queue;
mod redact;
mod rotate;
mod worker;

use std::{
    borrow::Cow,
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

pub use line::{Arguments, End, Facts, cut};

use super::otlp::{self, Delivery};
use crate::config::{AuditArguments, AuditConfig};
use collector::Collector;
use line::Kept;
use outputs::Outputs;
use queue::Queue;
use redact::Redactor;
use worker::Worker;

/// Bytes of arguments that may be kept until their secrets are removed. Of what comes beyond, only the digest is written.
const HELD: usize = 32 << 20;

/// Longer arguments are not kept: only their digest is written.
const KEPT: usize = 64 << 10;

/// All of this process, for [`flush_all`]. Each process has one; it is open until the end, so that the last line of a call that is dropped then is kept too.
static OPEN: Mutex<Vec<Arc<Audit>>> = Mutex::new(Vec::new());

/// The way of audit lines to where they are kept.
#[derive(Debug)]
pub struct Audit {
    queue: Arc<Queue>,
    delivery: Arc<Delivery>,
    /// Whether lines have the arguments in them.
    has_arguments: bool,
    /// Lines for a collector.
    collected: Option<Arc<otlp::Queue>>,
    /// Whether they go nowhere else.
    is_alone: bool,
}

/// Why there can be no audit lines.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Nothing can be written there.
    #[error("cannot open {what} for audit lines: {error}; [audit] in toolbay.toml says where they go")]
    Open {
        /// Which file or socket.
        what: String,
        /// The system's words.
        error: io::Error,
    },
    /// The way to the collector cannot be made.
    #[error("cannot prepare the client that sends audit lines to [audit] endpoint: {0}")]
    Collector(String),
    /// No thread.
    #[error("cannot start the thread that writes audit lines: {0}")]
    Thread(io::Error),
}

/// The text without the values of secrets that the configuration holds or held.
pub(super) fn known(text: &str) -> Cow<'_, str> {
    redact::known(text)
}

impl Audit {
    /// Starts to write, where the configuration says so. `now`: whether what is written to is opened at once, and not with the first line.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn start(config: &AuditConfig, now: bool) -> Result<Option<Arc<Self>>, AuditError> {
        if !config.is_on() {
            return Ok(None);
        }
        let mut outputs = Outputs::new(config);
        if now {
            outputs.open().map_err(|(what, error)| AuditError::Open { what, error })?;
        }
        let redactor = (config.arguments == AuditArguments::Redacted).then(|| Redactor::new(&config.redact));
        let delivery = Arc::<Delivery>::default();
        let collector = Collector::start(config, &delivery).map_err(AuditError::Collector)?;
        let audit = Arc::new(Self::with((outputs, collector), delivery, redactor).map_err(AuditError::Thread)?);
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&audit));
        Ok(Some(audit))
    }

    /// What [`Self::start`] could not open, by key. Nothing is written or made.
    #[must_use]
    pub fn probe(config: &AuditConfig) -> Vec<(&'static str, AuditError)> {
        let unusable = Outputs::new(config).probe().into_iter();
        unusable.map(|(key, what, error)| (key, AuditError::Open { what, error })).collect()
    }

    fn with(outputs: (Outputs, Option<Collector>), delivery: Arc<Delivery>, redactor: Option<Redactor>) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let (collected, is_alone) = (outputs.1.as_ref().map(|collector| Arc::clone(collector.queue())), outputs.0.is_none());
        let has_arguments = redactor.is_some();
        let worker = Worker::new(Arc::clone(&queue), outputs, redactor);
        // It ends when this is gone and all is written.
        thread::Builder::new().name("toolbay-audit".to_owned()).spawn(move || worker.run())?;
        Ok(Self { queue, delivery, has_arguments, collected, is_alone })
    }

    /// What a line is to have of arguments, as JSON text: asked before a call takes them.
    #[must_use]
    pub fn arguments(&self, text: &str) -> Arguments {
        let held = &self.queue.counts.held;
        let keeps = self.has_arguments && text.len() <= KEPT && held.load(Relaxed) <= HELD;
        Arguments::of(text, keeps.then(|| Kept::new(text, held)))
    }

    /// Writes a line. Never waits.
    pub fn write(&self, facts: &Facts<'_>, mut arguments: Arguments, end: &End<'_>) {
        let kept = arguments.kept.take();
        line::written(facts, &arguments, end, |text, place| self.queue.put(text, place, kept));
    }

    /// Lines that were written, or taken by the collector where they go nowhere else; and lines that were dropped, on their way to any of these.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let counts = &self.queue.counts;
        let (written, dropped) = (counts.written.load(Relaxed), counts.dropped.load(Relaxed));
        let (taken, refused) = self.collected.as_ref().map_or((0, 0), |queue| queue.counts.get());
        (if self.is_alone { taken } else { written }, dropped + refused)
    }

    /// How requests to the collector go.
    #[must_use]
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// Waits until all up to now is written and on disk, for so long at most. Blocks. Whether it is.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Flushes every audit of this process, for a process that ends at once.
pub fn flush_all(limit: Duration) {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for audit in open {
        // Whoever ends at once has nobody left to tell.
        let _ = audit.flush(limit);
    }
}

#[cfg(test)]
mod tests;
