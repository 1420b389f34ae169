//! Answers that no request waits for: the sign of a server that does not repeat the ids of requests.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// A server may answer twice. One that has answered nothing right this long after an answer that
/// belongs to no request gives its answers wrong ids.
const GRACE: Duration = Duration::from_secs(5);

/// What one connection has seen of them.
#[derive(Default)]
pub struct Strays {
    last: Mutex<Option<(Instant, String)>>,
    seen: Notify,
}

impl Strays {
    /// One came; `fault` says it in a sentence.
    pub fn note(&self, fault: &str) {
        *self.lock() = Some((Instant::now(), fault.to_owned()));
        self.seen.notify_one();
    }

    /// The fault, where one came at this time or later.
    #[must_use]
    pub fn since(&self, begin: Instant) -> Option<String> {
        self.lock().as_ref().filter(|(at, _)| *at >= begin).map(|(_, fault)| fault.clone())
    }

    /// Waits until one came, and then as long as an answer that is right may still come.
    pub async fn wait(&self) -> String {
        loop {
            self.seen.notified().await;
            tokio::time::sleep(GRACE).await;
            if let Some((_, fault)) = self.lock().clone() {
                return fault;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
