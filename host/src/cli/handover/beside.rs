//! Who else of this host runs on this machine: one that is to follow, and those that were followed and have not ended yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{net::UnixStream, sync::watch};

use super::wire;

/// Who else runs. Clones are the same one.
#[derive(Clone)]
pub(in crate::cli) struct Beside(Arc<State>);

struct State {
    count: watch::Sender<usize>,
    /// Connections to those that were followed.
    before: Mutex<Vec<Arc<UnixStream>>>,
}

/// One more, for as long as this is kept.
pub(in crate::cli) struct Another(Beside);

impl Beside {
    /// Nobody.
    pub(in crate::cli) fn new() -> Self {
        Self(Arc::new(State { count: watch::Sender::new(0), before: Mutex::default() }))
    }

    /// There is one more.
    pub(in crate::cli) fn enter(&self) -> Another {
        self.0.count.send_modify(|count| *count += 1);
        Another(self.clone())
    }

    /// How many there are.
    pub(in crate::cli) fn count(&self) -> watch::Receiver<usize> {
        self.0.count.subscribe()
    }

    /// Connections to those that were followed and have not ended.
    pub(super) fn before(&self) -> Vec<Arc<UnixStream>> {
        self.lock().clone()
    }

    /// Knows of those that were followed from now on, until the last of them has ended: then what is returned does.
    pub(in crate::cli) fn until_ended(&self, before: Vec<UnixStream>) -> impl Future<Output = ()> + use<> {
        let links: Vec<_> = before.into_iter().map(|link| (Arc::new(link), self.enter())).collect();
        self.lock().extend(links.iter().map(|(link, _)| Arc::clone(link)));
        let ends = links.into_iter().map(async |(link, another)| {
            wire::ended(&link).await;
            another.0.lock().retain(|other| !Arc::ptr_eq(other, &link));
        });
        let ends = futures::future::join_all(ends);
        async { drop(ends.await) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<UnixStream>>> {
        self.0.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        self.0.0.count.send_modify(|count| *count -= 1);
    }
}
