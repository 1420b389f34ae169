//! How far a call has come with what it calls, as its client is told: one number that only rises.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::provider::{JsonText, LogLevel, Notifier};

/// How far a call has come with what it called, as one number that only rises.
#[derive(Debug)]
pub(crate) struct Told(Mutex<Reach>);

#[derive(Debug)]
struct Reach {
    highest: f64,
    total: Option<f64>,
    /// From where on what is called moves it.
    base: f64,
}

impl Told {
    /// It has come so far already.
    pub(crate) fn new(progress: f64, total: Option<f64>) -> Self {
        Self(Mutex::new(Reach { highest: progress, total, base: 0.0 }))
    }

    pub(crate) fn highest(&self) -> f64 {
        self.lock().highest
    }

    /// The call itself has come so far.
    pub(crate) fn reached(&self, progress: f64, total: Option<f64>) {
        let mut reach = self.lock();
        reach.total = total;
        reach.highest = reach.highest.max(progress);
    }

    /// So many steps are done. Whether that is more than was told.
    pub(crate) fn step(&self, done: f64, total: f64) -> bool {
        let mut reach = self.lock();
        reach.total = Some(total);
        let is_more = done > reach.highest;
        reach.highest = reach.highest.max(done);
        is_more
    }

    /// Something is called next.
    pub(crate) fn begin(&self) {
        let mut reach = self.lock();
        reach.base = reach.highest.max(0.0);
    }

    /// What was called has come so far: a part of one step. None: that is no more than was told.
    fn part(&self, progress: f64, total: Option<f64>) -> Option<(f64, Option<f64>)> {
        let done = match total {
            Some(total) if total > 0.0 => progress / total,
            _ => progress / (progress.max(0.0) + 1.0),
        };
        let mut reach = self.lock();
        let step = reach.total.map_or(1.0, |total| (total - reach.base).clamp(0.0, 1.0));
        let reached = reach.base + step * done.clamp(0.0, 1.0);
        if !reached.is_finite() || reached <= reach.highest {
            return None;
        }
        reach.highest = reached;
        Some((reached, reach.total))
    }

    fn lock(&self) -> MutexGuard<'_, Reach> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the caller of the call in hand what is told by one that it made.
pub(super) struct Relay {
    pub(super) inner: Arc<dyn Notifier>,
    pub(super) told: Option<Arc<Told>>,
    /// What is called.
    pub(super) name: String,
}

impl Notifier for Relay {
    fn wants_progress(&self) -> bool {
        self.told.is_some()
    }

    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        if let Some((progress, total)) = self.told.as_ref().and_then(|told| told.part(progress, total)) {
            self.inner.progress(progress, total, Some(text.unwrap_or_else(|| self.name.clone())));
        }
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.inner.log_level()
    }

    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        self.inner.log(level, Some(logger.unwrap_or_else(|| self.name.clone())), data);
    }
}
