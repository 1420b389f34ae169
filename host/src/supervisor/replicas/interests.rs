//! The resources whose updates somebody wants to hear of: counted, so that a server is asked for each once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{provider::Subscription, upstream::Uris};

/// The resources that somebody wants to hear of. They outlive the replicas that are asked for them.
#[derive(Default)]
pub struct Interests {
    /// How many want to hear of each.
    counts: Mutex<BTreeMap<String, usize>>,
    /// Says that others are wanted than before.
    changed: watch::Sender<()>,
}

impl Interests {
    /// One more wants to hear of it, until what is returned is dropped.
    pub(super) fn add(self: &Arc<Self>, uri: &str) -> Subscription {
        let mut counts = self.lock();
        let count = counts.entry(uri.to_owned()).or_insert(0);
        *count += 1;
        let is_first = *count == 1;
        drop(counts);
        if is_first {
            self.changed.send_replace(());
        }
        Box::new(Interest { interests: Arc::clone(self), uri: uri.to_owned() })
    }

    /// All that are wanted.
    pub(super) fn wanted(&self) -> Uris {
        Arc::new(self.lock().keys().cloned().collect())
    }

    /// Sees changes of [`Self::wanted`] from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Interest {
    interests: Arc<Interests>,
    uri: String,
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut counts = self.interests.lock();
        if let Some(count) = counts.get_mut(&self.uri) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uri);
                drop(counts);
                self.interests.changed.send_replace(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_want_is_wanted_until_the_last_of_them_is_gone() {
        let interests = Arc::new(Interests::default());
        let mut changes = interests.changes();
        let mut changed = || {
            changes.has_changed().unwrap() && {
                changes.mark_unchanged();
                true
            }
        };
        let wanted = || interests.wanted().iter().cloned().collect::<Vec<_>>();
        let (first, second) = (interests.add("x://1"), interests.add("x://1"));
        assert!(changed());
        let other = interests.add("x://2");
        assert!(changed());
        drop(first);
        assert!(!changed());
        assert_eq!(wanted(), ["x://1", "x://2"]);
        drop(second);
        assert!(changed());
        drop(other);
        assert_eq!(wanted(), [] as [&str; 0]);
    }
}
