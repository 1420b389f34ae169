//! What becomes of requests to a collector, for metrics, `/status` and the console.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;

use crate::unix_time;

/// Counts the requests of one signal.
#[derive(Debug, Default)]
pub struct Delivery {
    taken: AtomicU64,
    failed: AtomicU64,
    failing: Mutex<Option<Failing>>,
}

#[derive(Clone, Debug)]
struct Failing {
    error: String,
    /// Of the first request that failed after one that was taken, in seconds since 1970.
    since: u64,
}

/// How requests of one signal went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryStatus {
    /// Requests that the collector took.
    pub taken: u64,
    /// Requests that it did not take, after all tries.
    pub failed: u64,
    /// Why the last one was not taken, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Since when none was, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl Delivery {
    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
        *self.failing() = None;
    }

    pub(super) fn failed(&self, why: &str) {
        self.failed.fetch_add(1, Relaxed);
        let mut failing = self.failing();
        let since = failing.as_ref().map_or_else(unix_time::seconds, |failing| failing.since);
        *failing = Some(Failing { error: why.to_owned(), since });
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> DeliveryStatus {
        let failing = self.failing().clone();
        let (error, since) = failing.map(|failing| (failing.error, failing.since)).unzip();
        DeliveryStatus { taken: self.taken.load(Relaxed), failed: self.failed.load(Relaxed), error, since }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
