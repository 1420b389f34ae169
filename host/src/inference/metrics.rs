//! What models have done: counted while they work, and shown in `/status`.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;

use crate::config::ModelConfig;

/// Counters of one model; a reload keeps them.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    computes: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    runs: AtomicU64,
    batched: AtomicU64,
    largest: AtomicU64,
    /// In microseconds, both.
    waited: AtomicU64,
    ran: AtomicU64,
}

impl Metrics {
    /// A run of `size` computes has ended, which waited for their turn for `waited` together.
    pub(super) fn ran(&self, size: usize, took: Duration, waited: Duration) {
        let size = size as u64;
        self.runs.fetch_add(1, Relaxed);
        self.batched.fetch_add(size, Relaxed);
        self.largest.fetch_max(size, Relaxed);
        self.ran.fetch_add(micros(took), Relaxed);
        self.waited.fetch_add(micros(waited), Relaxed);
    }

    pub(super) fn answered(&self, ok: bool) {
        self.computes.fetch_add(1, Relaxed);
        self.failed.fetch_add(u64::from(!ok), Relaxed);
    }

    pub(super) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// What one run takes, from those that were.
    pub(super) fn mean_run(&self) -> Duration {
        Duration::from_micros(self.ran.load(Relaxed) / self.runs.load(Relaxed).max(1))
    }

    pub(super) fn counts(&self) -> Counts {
        let (runs, batched) = (self.runs.load(Relaxed), self.batched.load(Relaxed));
        Counts {
            computes: self.computes.load(Relaxed),
            failed: self.failed.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            runs,
            mean_batch: if runs == 0 { 0.0 } else { (batched as f64 / runs as f64 * 100.0).round() / 100.0 },
            largest_batch: self.largest.load(Relaxed),
            run_ms: self.ran.load(Relaxed) / 1000,
            wait_ms: self.waited.load(Relaxed) / 1000,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What a model has done since the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// Computes that were answered.
    pub computes: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Computes whose caller went away before.
    pub cancelled: u64,
    /// Runs of the runtime; one can hold many computes.
    pub runs: u64,
    /// Computes in a run.
    pub mean_batch: f64,
    /// The most that there were in one.
    pub largest_batch: u64,
    /// Time of all runs together, in milliseconds.
    pub run_ms: u64,
    /// Time that computes waited for their turn, in milliseconds.
    pub wait_ms: u64,
}

/// How a model stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// Where it runs.
    pub device: String,
    /// The plugins that may use it.
    pub plugins: Vec<String>,
    /// Bytes of its files, which is about what each of its sessions takes.
    pub bytes: u64,
    /// The most that it takes of its GPU. None: no limit was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<u64>,
    /// Its graphs.
    pub graphs: Vec<GraphStatus>,
    /// What is wrong with the newest files, while the ones before serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Computes that wait.
    pub queued: usize,
    /// What it has done.
    #[serde(flatten)]
    pub counts: Counts,
}

impl ModelStatus {
    /// A model that cannot run at all.
    pub(super) fn idle(name: &str, config: &ModelConfig, error: String) -> Self {
        Self {
            name: name.to_owned(),
            path: config.path.display().to_string(),
            device: config.device.to_string(),
            plugins: config.plugins.clone(),
            bytes: 0,
            gpu_memory: None,
            graphs: Vec::new(),
            error: Some(error),
            queued: 0,
            counts: Metrics::default().counts(),
        }
    }
}

/// What a graph is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphStatus {
    /// The name by which a plugin loads it.
    pub name: String,
    /// `name: type[shape]`.
    pub inputs: Vec<String>,
    /// The same.
    pub outputs: Vec<String>,
    /// Whether computes of many callers run as one.
    pub batches: bool,
    /// Whether callers at different steps do, too.
    pub ragged: bool,
}
