//! From a settled file to a provider, or to the reason why there is none.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::sync::{Mutex, Semaphore};

use super::{
    Loaded, Loader, Source, blocking,
    entry::Serving,
    scan::{self, ReadError, Seen, Version},
};
use crate::provider::ProviderId;

/// One file to be loaded.
pub(super) struct Job {
    pub(super) id: ProviderId,
    pub(super) seen: Seen,
    /// The number of what the configuration says of it.
    pub(super) configuration: u64,
    /// What serves already: the same content again is not loaded.
    pub(super) current: Option<Version>,
    /// Set when the loader begins.
    pub(super) working: Arc<AtomicBool>,
    /// The plugin's own: loads of one plugin run one after the other, and one that was given up must have ended.
    pub(super) lane: Arc<Mutex<()>>,
}

/// How it ended.
pub(super) enum Outcome {
    /// It can serve.
    Loaded(Serving, Duration),
    /// It is what serves already.
    Same,
    /// It cannot serve: a sentence.
    Failed(String),
    /// It was written to while it was read.
    Changed,
}

/// Reads and loads one version, when it is its turn: what has been read waits for nothing but its own loader, so that memory holds only as many files as
/// are being worked on.
pub(super) async fn load(job: Job, loader: Arc<dyn Loader>, turns: Arc<Semaphore>) -> Outcome {
    let _lane = Arc::clone(&job.lane).lock_owned().await;
    let Ok(_turn) = turns.acquire_owned().await else { return Outcome::Failed("the host is shutting down".to_owned()) };
    let begin = Instant::now();
    let Job { id, seen, configuration, current, working, .. } = job;
    let path = seen.file.path.clone();
    let content = match blocking(move || scan::read(&seen, configuration)).await {
        Ok(Ok(content)) => content,
        Ok(Err(ReadError::Changed)) => return Outcome::Changed,
        Ok(Err(ReadError::Refused(error))) => return Outcome::Failed(error),
        Err(error) => return Outcome::Failed(format!("cannot read {}: {error}", path.display())),
    };
    let version = content.version;
    if current == Some(version) {
        return Outcome::Same;
    }
    working.store(true, Ordering::Relaxed);
    let source = Source { id, path, bytes: content.bytes, digest: version.digest, sidecar: content.sidecar };
    let loading = AssertUnwindSafe(async { loader.load(source).await }).catch_unwind();
    match loading.await {
        Ok(Ok(loaded)) => Outcome::Loaded(Serving { loaded, version }, begin.elapsed()),
        Ok(Err(error)) => Outcome::Failed(error.0),
        Err(_) => Outcome::Failed("loading internal error; please report it with the file".to_owned()),
    }
}

/// What a log line says of a version.
pub(super) fn tell(id: &ProviderId, serving: &Serving, took: Duration, again: bool) {
    let Loaded { provider, warnings, .. } = &serving.loaded;
    let digest = super::entry::short(serving.version.digest);
    let (tools, ms) = (provider.tools().len(), took.as_millis() as u64);
    let offers = provider.offers();
    let (resources, templates, prompts) = (offers.resources.len(), offers.templates.len(), offers.prompts.len());
    let compiler = serving.loaded.compiled.map(|compiled| compiled.by);
    if again {
        tracing::info!(plugin = %id, digest, tools, resources, templates, prompts, compiler, ms, "plugin reloaded");
    } else {
        tracing::info!(plugin = %id, digest, tools, resources, templates, prompts, compiler, ms, "plugin loaded");
    }
    for warning in warnings {
        tracing::warn!(plugin = %id, "{warning}");
    }
}

/// What a log line says of a version that lists something else now. Debug: how often it happens is the plugin's business.
pub(super) fn tell_lists(id: &ProviderId, loaded: &Loaded) {
    let (tools, offers) = (loaded.provider.tools().len(), loaded.provider.offers());
    let (resources, templates, prompts) = (offers.resources.len(), offers.templates.len(), offers.prompts.len());
    tracing::debug!(plugin = %id, tools, resources, templates, prompts, "plugin listed again");
    for warning in &loaded.warnings {
        tracing::debug!(plugin = %id, "{warning}");
    }
}
