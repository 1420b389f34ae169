//! Where spans go that have ended, and which of them.

use std::{sync::Arc, time::Duration};

use crate::telemetry::otlp::Queue;

/// Where spans go that have ended, and which are kept.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) slow: Option<Duration>,
    pub(super) failed: bool,
    pub(super) queue: Arc<Queue>,
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
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.queue.close();
    }
}
