//! Updates of resources on their way to a client: only of what it subscribed to, each once however often it was updated meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

use crate::{catalog::Updates, provider::Subscription};

/// How long changes of the list are gathered before clients are told of them: plugins that are copied together are one change, and a person does not
/// notice it.
pub(super) const COALESCE: Duration = Duration::from_millis(25);

/// Updates that came together.
pub(super) enum Gathered {
    /// Of these resources.
    These(BTreeSet<String>),
    /// More than could be kept: any resource may be among them.
    Any,
}

/// Everything up to now that came after the first. None: the catalog is gone.
pub(super) fn gathered(first: Result<Updates, RecvError>, updates: &mut Receiver<Updates>) -> Option<Gathered> {
    let mut all = match first {
        Ok(first) => Gathered::These(first.iter().cloned().collect()),
        Err(RecvError::Lagged(_)) => Gathered::Any,
        Err(RecvError::Closed) => return None,
    };
    loop {
        match (updates.try_recv(), &mut all) {
            (Ok(more), Gathered::These(all)) => all.extend(more.iter().cloned()),
            (Ok(_), Gathered::Any) => {}
            (Err(TryRecvError::Lagged(_)), _) => all = Gathered::Any,
            (Err(TryRecvError::Empty | TryRecvError::Closed), _) => return Some(all),
        }
    }
}

/// Those of the updates that somebody subscribed to.
pub(super) fn wanted(updates: &Gathered, subscribed: &BTreeSet<String>) -> BTreeSet<String> {
    match updates {
        Gathered::These(updates) => updates.intersection(subscribed).cloned().collect(),
        Gathered::Any => subscribed.clone(),
    }
}

/// Bytes of all the addresses that one session subscribes to. A template takes addresses of any length.
pub(super) const MAX_BYTES: usize = 128 << 10;

/// What one session subscribed to, and what of it was updated and is not told yet.
#[derive(Default)]
pub(super) struct Subscriptions {
    subscribed: BTreeSet<String>,
    /// What keeps providers telling, where they have to be asked.
    held: BTreeMap<String, Subscription>,
    /// Of these together.
    bytes: usize,
    waiting: BTreeSet<String>,
}

impl Subscriptions {
    /// One more, for which `subscribe` asks its provider. False: these are as many as may be.
    pub(super) fn add(&mut self, uri: &str, max: usize, subscribe: impl FnOnce() -> Option<Subscription>) -> bool {
        if self.subscribed.contains(uri) {
            return true;
        }
        if self.subscribed.len() >= max || self.bytes + uri.len() > MAX_BYTES {
            return false;
        }
        self.bytes += uri.len();
        self.subscribed.insert(uri.to_owned());
        self.held.extend(subscribe().map(|held| (uri.to_owned(), held)));
        true
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.subscribed.len()
    }

    pub(super) fn remove(&mut self, uri: &str) {
        if self.subscribed.remove(uri) {
            self.bytes -= uri.len();
        }
        self.waiting.remove(uri);
        self.held.remove(uri);
    }

    /// Takes in what was updated.
    pub(super) fn note(&mut self, updates: &Gathered) {
        self.waiting.extend(wanted(updates, &self.subscribed));
    }

    /// What was updated since the last time.
    pub(super) fn take(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(subscriptions: &mut Subscriptions, uri: &str, max: usize) -> bool {
        subscriptions.add(uri, max, || None)
    }

    #[test]
    fn a_provider_is_asked_once_for_each_and_left_when_the_client_leaves() {
        let held = std::sync::Arc::new(());
        let mut subscriptions = Subscriptions::default();
        let mut add = |uri: &str| subscriptions.add(uri, 2, || Some(Box::new(held.clone())));
        assert!(add("a:1") && add("a:1") && add("a:2") && !add("a:3"));
        assert_eq!(std::sync::Arc::strong_count(&held), 3);
        subscriptions.remove("a:1");
        assert_eq!(std::sync::Arc::strong_count(&held), 2);
        drop(subscriptions);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_session_hears_of_what_it_subscribed_to_and_no_longer_when_it_left() {
        let mut subscriptions = Subscriptions::default();
        let updates = Gathered::These(["a:1", "a:2", "a:3"].map(str::to_owned).into());
        subscriptions.note(&updates);
        assert!(subscriptions.take().is_empty());
        assert!(add(&mut subscriptions, "a:1", 2) && add(&mut subscriptions, "a:2", 2) && !add(&mut subscriptions, "a:3", 2));
        subscriptions.note(&updates);
        subscriptions.note(&updates);
        subscriptions.remove("a:1");
        assert_eq!(subscriptions.take().into_iter().collect::<Vec<_>>(), ["a:2"]);
        assert!(subscriptions.take().is_empty());
        subscriptions.note(&Gathered::Any);
        assert_eq!(subscriptions.take().len(), 1, "what was missed may have been any of it");
    }

    #[test]
    fn a_session_keeps_so_many_bytes_of_addresses_and_no_more() {
        let mut subscriptions = Subscriptions::default();
        let long = |n: usize| format!("{n}{}", "x".repeat(MAX_BYTES / 2 - 1));
        assert!(add(&mut subscriptions, &long(1), 9) && add(&mut subscriptions, &long(2), 9) && !add(&mut subscriptions, "a:1", 9));
        assert!(add(&mut subscriptions, &long(1), 9), "what is there already is not a new one");
        subscriptions.remove("a:1");
        assert!(!add(&mut subscriptions, "a:1", 9));
        subscriptions.remove(&long(1));
        assert!(add(&mut subscriptions, "a:1", 9));
    }

    #[test]
    fn who_falls_behind_is_told_of_all_that_is_watched() {
        let sender = tokio::sync::broadcast::Sender::new(2);
        let mut updates = sender.subscribe();
        let send = |uri: &str| drop(sender.send(Updates::new([uri.to_owned()].into())));
        let watched: BTreeSet<String> = ["a:1", "a:2"].map(str::to_owned).into();
        let now = |updates: &mut Receiver<Updates>| {
            let first = updates.try_recv().map_err(|error| match error {
                TryRecvError::Lagged(missed) => RecvError::Lagged(missed),
                _ => RecvError::Closed,
            });
            gathered(first, updates).map(|all| wanted(&all, &watched).into_iter().collect::<Vec<_>>())
        };
        send("a:1");
        send("a:9");
        assert_eq!(now(&mut updates).unwrap(), ["a:1"]);
        for _ in 0..10 {
            send("a:9");
        }
        assert_eq!(now(&mut updates).unwrap(), ["a:1", "a:2"]);
        drop(sender);
        assert!(now(&mut updates).is_none());
    }
}
