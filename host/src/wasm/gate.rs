//! Who may run now: calls in flight and in the queue, for one plugin and for the whole pool.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{
    config::PluginLimits,
    provider::{CallError, Principal, ProviderId, StartSignal, start_signal},
};

/// How long a caller who was turned away had better wait. Most calls take milliseconds: a second is enough for the queue to move.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Places from which on a pool keeps some of them back.
const SHARED: usize = 64;

/// The way into one plugin.
pub(crate) struct Gate {
    running: Arc<Semaphore>,
    concurrency: usize,
    queue: usize,
    waiting: AtomicUsize,
    /// Calls that wait, of callers that have a name.
    waiting_of: Mutex<HashMap<Principal, usize>>,
    /// A place in the queue is not kept for longer than a call may take.
    patience: Duration,
    pool: Arc<Pool>,
    /// Places of the pool that one instance takes.
    weight: u32,
}

/// The places of the pool, for all plugins. The last ones are for plugins that have only a few.
pub(crate) struct Pool {
    places: Arc<Semaphore>,
    /// How many places there are.
    all: usize,
    /// As many as this are kept back from plugins that have more than `few`.
    kept: usize,
    few: usize,
    /// Plugins that wait until no place would be kept back from them.
    waiting: AtomicUsize,
    freed: Notify,
}

impl Pool {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            all: places,
            // A pool of a few places is too small to be shared like that.
            kept: if places < SHARED { 0 } else { places / 4 },
            few: places / 16,
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// Places that are used, that are free, and plugins' calls that wait for one.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let free = self.places.available_permits();
        (self.all.saturating_sub(free), free, self.waiting.load(Ordering::Relaxed))
    }

    /// Whether a plugin that has so many places, `weight` for its newest instance among them, may keep them. One instance it always may.
    fn allows(&self, has: usize, weight: usize) -> bool {
        has <= self.few.max(weight) || self.places.available_permits() >= self.kept
    }
}

/// The right to run one instance, given back when dropped.
pub(crate) struct Permit {
    /// One of the plugin's own, as long as somebody waits for the call.
    pub(crate) turn: OwnedSemaphorePermit,
    /// One of the pool's, as long as there is an instance.
    pub(crate) place: Place,
}

/// The places of an instance in the pool, given back when dropped.
pub(crate) struct Place {
    place: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.place.take());
        if self.pool.waiting.load(Ordering::Relaxed) > 0 {
            self.pool.freed.notify_waiters();
        }
    }
}

/// One waiting call, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in the queue that counts for a caller until it is dropped.
struct Share<'a> {
    gate: &'a Gate,
    caller: Option<&'a Principal>,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let Some(caller) = self.caller else { return };
        let mut waiting = self.gate.lock_waiting();
        match waiting.get_mut(caller) {
            Some(has) if *has > 1 => *has -= 1,
            _ => drop(waiting.remove(caller)),
        }
    }
}

impl Gate {
    pub(crate) fn new(limits: &PluginLimits, pool: Arc<Pool>, weight: u32) -> Self {
        Self {
            running: Arc::new(Semaphore::new(limits.concurrency)),
            concurrency: limits.concurrency,
            queue: limits.queue,
            waiting: AtomicUsize::new(0),
            waiting_of: Mutex::default(),
            patience: limits.timeout,
            pool,
            weight,
        }
    }

    /// Waits for a turn, if the queue has a place. `signal` is told of it.
    ///
    /// A caller that has a name gets at most half of the queue, so that its flood leaves places to others, and they wait for that half at most.
    pub(crate) async fn enter(
        &self,
        plugin: &ProviderId,
        caller: Option<&Principal>,
        signal: Option<&StartSignal>,
    ) -> Result<Permit, CallError> {
        if let Ok(of_plugin) = self.running.clone().try_acquire_owned()
            && let Ok(place) = self.pool.places.clone().try_acquire_many_owned(self.weight)
            && self.pool.allows(self.places(), self.weight as usize)
        {
            start_signal::mark_started(signal);
            return Ok(self.permit(of_plugin, place));
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(self.busy(plugin, "its queue is full"));
        }
        let waiting = Waiting(&self.waiting);
        let Some(share) = self.share_of(caller) else {
            return Err(self.busy(plugin, "this caller has its half of the queue"));
        };
        let turn = async {
            let of_plugin = self.running.clone().acquire_owned().await.ok()?;
            let place = self.place().await?;
            Some(self.permit(of_plugin, place))
        };
        let turn = start_signal::queued(signal, tokio::time::timeout(self.patience, turn)).await;
        drop((waiting, share));
        match turn {
            Ok(Some(permit)) => {
                start_signal::mark_started(signal);
                Ok(permit)
            }
            Ok(None) => Err(CallError::Internal("the host is shutting down".to_owned())),
            Err(_) => Err(self.busy(plugin, "no slot became free in time")),
        }
    }

    /// One more place in the queue for a caller. None: it has as many as one may have.
    fn share_of<'a>(&'a self, caller: Option<&'a Principal>) -> Option<Share<'a>> {
        if let Some(caller) = caller {
            let mut waiting = self.lock_waiting();
            let has = waiting.get(caller).copied().unwrap_or(0);
            if has >= (self.queue / 2).max(1) {
                return None;
            }
            waiting.insert(caller.clone(), has + 1);
        }
        Some(Share { gate: self, caller })
    }

    fn lock_waiting(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.waiting_of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place in the pool, and until this plugin may have it.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(&self.pool.waiting);
        loop {
            let freed = self.pool.freed.notified();
            let place = self.pool.places.clone().acquire_many_owned(self.weight).await.ok()?;
            if self.pool.allows(self.places(), self.weight as usize) {
                return Some(place);
            }
            drop(place);
            freed.await;
        }
    }

    fn permit(&self, plugin: OwnedSemaphorePermit, place: OwnedSemaphorePermit) -> Permit {
        Permit { turn: plugin, place: Place { place: Some(place), pool: Arc::clone(&self.pool) } }
    }

    /// Places that the calls of this plugin have, or are about to have.
    fn places(&self) -> usize {
        self.in_flight().saturating_mul(self.weight as usize)
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
        (Arc::new(Gate::new(&limits, Pool::new(pool), 1)), ProviderId::new("p").unwrap())
    }

    #[tokio::test]
    async fn a_full_queue_is_answered_at_once() {
        let (gate, id) = gate(1, 1, 10);
        let first = gate.enter(&id, None, None).await.unwrap();
        let second = tokio::spawn({
            let (gate, id) = (gate.clone(), id.clone());
            async move { gate.enter(&id, None, None).await.map(drop) }
        });
        while gate.queued() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(gate.enter(&id, None, None).await, Err(CallError::Busy { .. })));
        drop(first);
        second.await.unwrap().unwrap();
        assert_eq!((gate.in_flight(), gate.queued()), (0, 0));
    }

    #[tokio::test]
    async fn a_caller_who_leaves_gives_the_place_back() {
        let (gate, id) = gate(1, 1, 10);
        let _first = gate.enter(&id, None, None).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(20), gate.enter(&id, None, None)).await;
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
                    let _permit = gate.enter(&id, None, Some(&signal)).await.unwrap();
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
        let (pool, id) = (Pool::new(5), ProviderId::new("p").unwrap());
        let gate = Gate::new(&limits, pool.clone(), 4);
        let first = gate.enter(&id, None, None).await.unwrap();
        assert_eq!(pool.places.available_permits(), 1);
        assert!(gate.enter(&id, None, None).await.is_err());
        drop(first);
        assert_eq!(pool.places.available_permits(), 5);
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_a_call_may_take() {
        let (gate, id) = gate(5, 5, 1);
        let _first = gate.enter(&id, None, None).await.unwrap();
        let error = gate.enter(&id, None, None).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("no slot became free in time"), "{error}");
    }

    #[tokio::test]
    async fn the_flood_of_one_caller_leaves_half_of_the_queue_to_others() {
        use futures::FutureExt as _;
        let (gate, id) = gate(1, 8, 10);
        let [ann, bob] = ["ann", "bob"].map(Principal::new);
        let first = gate.enter(&id, Some(&ann), None).await.unwrap();
        let wait = |caller| {
            let mut turn = Box::pin(gate.enter(&id, caller, None));
            let now = (&mut turn).now_or_never();
            now.is_none().then_some(turn)
        };
        let flood: Vec<_> = (0..20).filter_map(|_| wait(Some(&ann))).collect();
        assert_eq!((flood.len(), gate.queued()), (4, 4));
        let others: Vec<_> = [wait(Some(&bob)), wait(None), wait(None)].into_iter().flatten().collect();
        assert_eq!((others.len(), gate.queued()), (3, 7));
        // Whoever leaves gives the place back, and nobody is remembered that does not wait.
        drop(flood);
        assert!(wait(Some(&ann)).is_some());
        drop(others);
        assert!(gate.lock_waiting().is_empty() && gate.queued() == 0);
        drop(first);
        gate.enter(&id, Some(&ann), None).await.unwrap();
        // A queue of one place is for whoever comes first.
        let (narrow, _) = self::gate(1, 1, 10);
        let _running = narrow.enter(&id, Some(&ann), None).await.unwrap();
        let mut turn = Box::pin(narrow.enter(&id, Some(&ann), None));
        assert!((&mut turn).now_or_never().is_none() && narrow.queued() == 1);
    }

    #[tokio::test]
    async fn two_plugins_leave_places_for_a_third() {
        let id = ProviderId::new("p").unwrap();
        let limits = PluginLimits { concurrency: 64, queue: 4, timeout: Duration::from_millis(50), ..PluginLimits::default() };
        let pool = Pool::new(160);
        let gates = [4, 4, 1].map(|weight| Gate::new(&limits, pool.clone(), weight));
        let mut permits = Vec::new();
        for gate in gates.iter().take(2) {
            while let Ok(permit) = gate.enter(&id, None, None).await {
                permits.push(permit);
            }
        }
        assert!((120..=130).contains(&(permits.len() * 4)), "{}", permits.len());
        for _ in 0..10 {
            permits.push(gates[2].enter(&id, None, None).await.unwrap());
        }
        // Whoever waits goes on when others have ended.
        let waits = gates[0].enter(&id, None, None);
        permits.truncate(20);
        assert!(waits.await.is_ok());
    }
}
