//! Who may run now: calls in flight and in the queue, for one plugin and for the whole pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::PluginLimits,
    provider::{CallError, ProviderId, StartSignal, start_signal},
};

/// How long a caller who was turned away had better wait. Most calls take milliseconds: a second is enough for the queue to move.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The way into one plugin.
pub(crate) struct Gate {
    running: Arc<Semaphore>,
    concurrency: usize,
    queue: usize,
    waiting: AtomicUsize,
    /// A place in the queue is not kept for longer than a call may take.
    patience: Duration,
    pool: Arc<Semaphore>,
    /// Places of the pool that one instance takes.
    weight: u32,
}

/// The right to run one instance, given back when dropped.
pub(crate) struct Permit {
    _plugin: OwnedSemaphorePermit,
    _pool: OwnedSemaphorePermit,
}

/// One waiting call, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(crate) fn new(limits: &PluginLimits, pool: Arc<Semaphore>, weight: u32) -> Self {
        Self {
            running: Arc::new(Semaphore::new(limits.concurrency)),
            concurrency: limits.concurrency,
            queue: limits.queue,
            waiting: AtomicUsize::new(0),
            patience: limits.timeout,
            pool,
            weight,
        }
    }

    /// Waits for a turn, if the queue has a place. `signal` is told of it.
    pub(crate) async fn enter(&self, plugin: &ProviderId, signal: Option<&StartSignal>) -> Result<Permit, CallError> {
        if let (Ok(of_plugin), Ok(of_pool)) =
            (self.running.clone().try_acquire_owned(), self.pool.clone().try_acquire_many_owned(self.weight))
        {
            start_signal::mark_started(signal);
            return Ok(Permit { _plugin: of_plugin, _pool: of_pool });
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(self.busy(plugin, "its queue is full"));
        }
        let waiting = Waiting(&self.waiting);
        let turn = async {
            let of_plugin = self.running.clone().acquire_owned().await.ok()?;
            let of_pool = self.pool.clone().acquire_many_owned(self.weight).await.ok()?;
            Some(Permit { _plugin: of_plugin, _pool: of_pool })
        };
        let turn = start_signal::queued(signal, tokio::time::timeout(self.patience, turn)).await;
        drop(waiting);
        match turn {
            Ok(Some(permit)) => {
                start_signal::mark_started(signal);
                Ok(permit)
            }
            Ok(None) => Err(CallError::Internal("the host is shutting down".to_owned())),
            Err(_) => Err(self.busy(plugin, "no slot became free in time")),
        }
    }

    /// Out of slots although there was a permit: a plugin of several memories takes more than one of the pool's.
    pub(crate) fn out_of_slots(&self, plugin: &ProviderId) -> CallError {
        CallError::Busy {
            what: format!("plugin {plugin} got no instance: the host's pool is full; raise `instances` in [host]"),
            retry_after: RETRY_AFTER,
        }
    }

    fn busy(&self, plugin: &ProviderId, why: &str) -> CallError {
        CallError::Busy {
            what: format!(
                "plugin {plugin} is busy, {why} ({} calls run, {} wait); `concurrency` and `queue` in [plugin.{plugin}] set how many may",
                self.in_flight(),
                self.queued()
            ),
            retry_after: RETRY_AFTER,
        }
    }

    /// Calls that run now.
    pub(crate) fn in_flight(&self) -> usize {
        self.concurrency.saturating_sub(self.running.available_permits())
    }

    /// Calls that wait.
    pub(crate) fn queued(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrency: usize, queue: usize, pool: usize) -> (Arc<Gate>, ProviderId) {
        let limits = PluginLimits { concurrency, queue, timeout: Duration::from_millis(200), ..PluginLimits::default() };
        (Arc::new(Gate::new(&limits, Arc::new(Semaphore::new(pool)), 1)), ProviderId::new("p").unwrap())
    }

    #[tokio::test]
    async fn a_full_queue_is_answered_at_once() {
        let (gate, id) = gate(1, 1, 10);
        let first = gate.enter(&id, None).await.unwrap();
        let second = tokio::spawn({
            let (gate, id) = (gate.clone(), id.clone());
            async move { gate.enter(&id, None).await.map(drop) }
        });
        while gate.queued() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(gate.enter(&id, None).await, Err(CallError::Busy { .. })));
        drop(first);
        second.await.unwrap().unwrap();
        assert_eq!((gate.in_flight(), gate.queued()), (0, 0));
    }

    #[tokio::test]
    async fn a_caller_who_leaves_gives_the_place_back() {
        let (gate, id) = gate(1, 1, 10);
        let _first = gate.enter(&id, None).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(20), gate.enter(&id, None)).await;
        assert!(waiting.is_err());
        assert_eq!(gate.queued(), 0);
    }

    #[tokio::test]
    async fn a_call_in_the_queue_has_not_begun() {
        use futures::FutureExt as _;
        let (gate, id) = gate(1, 1, 10);
        let call = || {
            let (gate, id, signal) = (gate.clone(), id.clone(), Arc::<StartSignal>::default());
            let call = Box::pin({
                let signal = signal.clone();
                async move {
                    let _permit = gate.enter(&id, Some(&signal)).await.unwrap();
                    std::future::pending::<()>().await;
                }
            });
            (call, signal)
        };
        let ((mut first, is_first), (mut second, is_second)) = (call(), call());
        assert!((&mut first).now_or_never().is_none() && !is_first.is_queued());
        assert!((&mut second).now_or_never().is_none() && is_second.is_queued());
        assert_eq!((gate.in_flight(), gate.queued()), (1, 1));
        drop(first);
        assert!((&mut second).now_or_never().is_none() && !is_second.is_queued());
    }

    #[tokio::test]
    async fn an_instance_that_takes_several_places_waits_for_all_of_them() {
        let limits = PluginLimits { timeout: Duration::from_millis(200), ..PluginLimits::default() };
        let (pool, id) = (Arc::new(Semaphore::new(5)), ProviderId::new("p").unwrap());
        let gate = Gate::new(&limits, pool.clone(), 4);
        let first = gate.enter(&id, None).await.unwrap();
        assert_eq!(pool.available_permits(), 1);
        assert!(gate.enter(&id, None).await.is_err());
        drop(first);
        assert_eq!(pool.available_permits(), 5);
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_a_call_may_take() {
        let (gate, id) = gate(5, 5, 1);
        let _first = gate.enter(&id, None).await.unwrap();
        let error = gate.enter(&id, None).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("no slot became free in time"), "{error}");
    }
}
