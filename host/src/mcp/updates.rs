//! Updates of resources on their way to a client: only of what it subscribed to, each once however often it was updated meanwhile.

use std::collections::{BTreeSet, HashSet};

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::catalog::{Catalog, Updates};

/// What one `subscriptions/listen` waits for.
pub(super) struct Watcher {
    updates: Receiver<Updates>,
    watched: BTreeSet<String>,
    waiting: BTreeSet<String>,
}

impl Watcher {
    /// Watches these resources from now on.
    pub(super) fn new(catalog: &Catalog, watched: Option<&Vec<String>>) -> Self {
        let watched = watched.map(|uris| uris.iter().cloned().collect()).unwrap_or_default();
        Self { updates: catalog.updates(), watched, waiting: BTreeSet::new() }
    }

    /// Waits for an update of something that is watched. Dropping the future loses nothing.
    pub(super) async fn updated(&mut self) {
        if self.watched.is_empty() {
            std::future::pending::<()>().await;
        }
        while self.waiting.is_empty() {
            let received = self.updates.recv().await;
            match received {
                Ok(updates) => self.waiting.extend(updates.intersection(&self.watched).cloned()),
                // What was missed may have been any of it.
                Err(RecvError::Lagged(_)) => self.waiting.clone_from(&self.watched),
                Err(RecvError::Closed) => std::future::pending::<()>().await,
            }
        }
    }

    /// What was updated since the last time.
    pub(super) fn take(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.waiting)
    }
}

/// What one session subscribed to, and what of it was updated and is not told yet.
#[derive(Default)]
pub(super) struct Subscriptions {
    subscribed: HashSet<String>,
    waiting: BTreeSet<String>,
}

impl Subscriptions {
    /// False: these are as many as may be.
    pub(super) fn add(&mut self, uri: String, max: usize) -> bool {
        if self.subscribed.len() >= max && !self.subscribed.contains(&uri) {
            return false;
        }
        self.subscribed.insert(uri);
        true
    }

    pub(super) fn remove(&mut self, uri: &str) {
        self.subscribed.remove(uri);
        self.waiting.remove(uri);
    }

    /// Takes in what was updated: all that is subscribed, where it is not known what.
    pub(super) fn note(&mut self, updates: Option<&Updates>) {
        match updates {
            Some(updates) if !self.subscribed.is_empty() => {
                self.waiting.extend(updates.iter().filter(|uri| self.subscribed.contains(*uri)).cloned());
            }
            Some(_) => {}
            None => self.waiting.extend(self.subscribed.iter().cloned()),
        }
    }

    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What was updated since the last time.
    pub(super) fn take(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_hears_of_what_it_subscribed_to_and_no_longer_when_it_left() {
        let mut subscriptions = Subscriptions::default();
        let updates = Updates::new(["a:1", "a:2", "a:3"].map(str::to_owned).into());
        subscriptions.note(Some(&updates));
        assert!(!subscriptions.waits());
        assert!(subscriptions.add("a:1".into(), 2) && subscriptions.add("a:2".into(), 2) && !subscriptions.add("a:3".into(), 2));
        subscriptions.note(Some(&updates));
        subscriptions.note(Some(&updates));
        subscriptions.remove("a:1");
        assert_eq!(subscriptions.take().into_iter().collect::<Vec<_>>(), ["a:2"]);
        assert!(!subscriptions.waits());
        subscriptions.note(None);
        assert_eq!(subscriptions.take().len(), 1, "what was missed may have been any of it");
    }
}
