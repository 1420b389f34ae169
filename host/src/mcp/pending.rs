//! What is not there yet: plugins that are being compiled and servers that are being started.
//!
//! A name that nobody knows is "not found" only when nothing more is to come. Until then its caller is told
//! to try again, and lists wait a while, so that a client that connects in the first second of a host does
//! not take a part for the whole.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;

use crate::provider::{Absence, CallError, ProviderState, StatusSource};

/// How long a request waits for the first look at everything: as long as readiness waits for servers.
const WAIT: Duration = Duration::from_secs(10);
/// How long what was seen of all providers is good for, so that a flood of unknown names costs one look.
const FRESH: Duration = Duration::from_millis(100);
/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who knows whether something is to come.
#[derive(Default)]
pub(crate) struct Pending {
    statuses: Vec<Arc<dyn StatusSource>>,
    /// The first look at everything was done once.
    ready: AtomicBool,
    /// When it was looked whether something loads, and whether something does.
    seen: Mutex<Option<(Instant, bool)>>,
}

impl Pending {
    pub(super) fn new(statuses: Vec<Arc<dyn StatusSource>>) -> Self {
        Self { statuses, ..Self::default() }
    }

    pub(super) fn statuses(&self) -> &[Arc<dyn StatusSource>] {
        &self.statuses
    }

    /// Whether the first look at everything is done.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) || {
            let ready = self.statuses.iter().all(|source| source.ready());
            self.ready.store(ready, Relaxed);
            ready
        }
    }

    /// Waits until it is, but not for ever.
    pub(crate) async fn wait(&self) {
        self.wait_at_most(WAIT).await;
    }

    async fn wait_at_most(&self, limit: Duration) {
        let ready = join_all(self.statuses.iter().map(|source| source.until_ready()));
        // What is there after that is listed; the rest comes as a change of the lists.
        let _ = tokio::time::timeout(limit, ready).await;
    }

    /// What a caller is told in place of "not found" while something is to come.
    pub(crate) fn in_place_of(&self, error: CallError) -> CallError {
        let what = match &error {
            CallError::UnknownTool(name) => ("tool", name),
            CallError::UnknownPrompt(name) => ("prompt", name),
            CallError::UnknownResource(uri) => ("resource", uri),
            _ => return error,
        };
        if self.is_ready() && !self.is_loading() {
            return error;
        }
        let (kind, name) = (what.0, what.1.chars().take(128).collect::<String>());
        let what = format!("there is no {kind} {name:?} yet: plugins or servers are still being started");
        CallError::Busy { what, retry_after: RETRY_AFTER }
    }

    /// Why a provider that nobody knows may be there soon.
    pub(super) fn absence(&self) -> Option<Absence> {
        let why = "plugins and servers are still being started".to_owned();
        (!self.is_ready()).then_some(Absence { why, retry_after: Some(RETRY_AFTER) })
    }

    fn is_loading(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((at, loading)) if at.elapsed() < FRESH => loading,
            _ => {
                let mut statuses = self.statuses.iter().flat_map(|source| source.statuses());
                let loading = statuses.any(|status| status.state == ProviderState::Loading);
                *seen = Some((Instant::now(), loading));
                loading
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use tokio::sync::watch;

    use super::*;
    use crate::provider::ProviderStatus;

    #[derive(Default)]
    struct Source(watch::Sender<bool>);

    impl StatusSource for Source {
        fn statuses(&self) -> Vec<ProviderStatus> {
            Vec::new()
        }

        fn ready(&self) -> bool {
            *self.0.borrow()
        }

        fn until_ready(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {
                let _ = self.0.subscribe().wait_for(|ready| *ready).await;
            })
        }
    }

    #[tokio::test]
    async fn what_is_unknown_is_to_come_until_everything_was_looked_at() {
        let source = Arc::new(Source::default());
        let pending = Arc::new(Pending::new(vec![Arc::clone(&source) as _]));
        let unknown = || CallError::UnknownTool("x".repeat(4 << 20));
        let told = pending.in_place_of(unknown());
        assert!(matches!(&told, CallError::Busy { what, .. } if what.len() < 300), "{told}");
        assert_eq!(pending.in_place_of(CallError::InputRequired), CallError::InputRequired);
        let waiting = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move { pending.wait().await }
        });
        source.0.send_replace(true);
        waiting.await.unwrap();
        assert_eq!(pending.in_place_of(unknown()), unknown());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let pending = Pending::new(vec![Arc::new(Source::default())]);
        let limit = Duration::from_millis(60);
        let start = Instant::now();
        pending.wait_at_most(limit).await;
        assert!(start.elapsed() >= limit && !pending.is_ready());
    }
}
