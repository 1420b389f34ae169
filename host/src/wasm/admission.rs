//! Who may run now: calls in flight and in the queue, for one plugin and for the whole pool.
//!
//! A plugin whose tools call others ([`AdmissionQueue::calling`]) waits for calls while it holds an instance, and its calls may come back to it. So that nobody waits for
//! something that waits for it:
//!
//! - Its turn, which `concurrency` counts, is given back while it waits for what it called, and taken again afterwards: see [`Turn`]. Whoever has a turn runs,
//!   and waits for nothing of this file: a place in the pool comes first. A client's call counts against `concurrency` from its start to its end as well, so
//!   that those which wait are no more than those which may run.
//! - Its instance keeps a place in the pool, which cannot be given back. So the last places are kept for calls that are deeper in a chain: a call which can
//!   make others leaves some free for each level below it ([`Levels`]). The deepest ones make no calls, so they end and give their places back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{
    config::PluginLimits,
    provider::{CallError, MAX_DEPTH, Principal, ProviderId, StartSignal, start_signal},
};

/// How long a caller who was turned away had better wait. Most calls take milliseconds: a second is enough for the queue to move.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Places from which on a pool keeps some of them back.
const SHARED: usize = 64;

/// The way into one plugin.
pub(crate) struct AdmissionQueue {
    running: Arc<Semaphore>,
    /// Clients' calls from start to end, of a plugin whose tools call others.
    calling: Option<Arc<Semaphore>>,
    /// Calls that have given their turn back.
    away: Arc<AtomicUsize>,
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
    levels: Levels,
    /// Whether a plugin was loaded whose tools call others.
    has_calling: AtomicBool,
    /// Who has places that it can do without.
    spare: Mutex<Vec<Weak<dyn Reclaim>>>,
}

/// Somebody with instances that wait for nothing but their next call.
pub(crate) trait Reclaim: Send + Sync {
    /// Drops all of them. Whether there were any.
    fn reclaim(&self) -> bool;
}

/// Places for the levels of calls that lead to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Levels {
    /// How deep calls may wait for a place. One that is deeper gets one at once or not at all.
    deepest: u32,
    /// Places for each level.
    each: usize,
}

impl Levels {
    fn of(places: usize) -> Self {
        // A quarter of the pool, or what a pool of a few places can spare.
        let deepest = usize::try_from(MAX_DEPTH).unwrap_or(usize::MAX).min(places.saturating_sub(1));
        let each = (places / 4 / usize::try_from(MAX_DEPTH).unwrap_or(usize::MAX)).max(1);
        Self { deepest: u32::try_from(deepest).unwrap_or(MAX_DEPTH), each }
    }

    /// Places that a call leaves free which can make others.
    fn kept(self, depth: u32) -> usize {
        let levels = usize::try_from(self.deepest.saturating_sub(depth)).unwrap_or(usize::MAX);
        levels.saturating_mul(self.each)
    }

    /// Whether there will be a place, however many calls wait for deeper ones.
    fn can_wait(self, depth: u32, weight: usize) -> bool {
        depth == 0 || depth <= self.deepest && weight <= self.each
    }
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
            levels: Levels::of(places),
            has_calling: AtomicBool::new(false),
            spare: Mutex::default(),
        })
    }

    /// Somebody who may have places to spare from now on.
    pub(crate) fn spares(&self, spare: Weak<dyn Reclaim>) {
        let mut all = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|spare| spare.strong_count() > 0);
        all.push(spare);
    }

    /// Frees places of instances that wait for a call: somebody needs one now. Whether there were any.
    fn reclaim(&self) -> bool {
        let all = self.spare.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Each of them, whatever came of the one before.
        all.iter().filter_map(Weak::upgrade).filter(|spare| spare.reclaim()).count() > 0
    }

    /// Whether nobody waits for a place, and enough are free for one more that is only held in reserve.
    fn has_spare(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && self.places.available_permits() > self.all / 2
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

    /// Whether so many places are enough for an instance of this weight that can make calls.
    pub(crate) fn has_room_for_calling(&self, weight: u32) -> bool {
        self.levels.kept(0).saturating_add(weight as usize) <= self.all
    }
}

/// A turn among the calls of a plugin, given back while what it called runs.
pub(crate) struct Turn {
    running: Arc<Semaphore>,
    held: Mutex<Held>,
    /// Calls of the plugin that have given theirs back.
    away: Arc<AtomicUsize>,
}

/// Where a turn is.
enum Held {
    /// The call runs.
    Here(#[expect(dead_code, reason = "it is held, and not looked at")] OwnedSemaphorePermit),
    /// The call waits for what it called.
    Away,
    /// The call has ended. What still runs of it takes no turn.
    Ended,
}

impl Turn {
    /// Lets others run. [`Self::take`] ends that.
    pub(crate) fn give_back(&self) {
        let mut held = self.lock();
        if matches!(*held, Held::Here(_)) {
            *held = Held::Away;
            self.away.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for a turn to go on. At most as many wait as may run, and those that they called.
    pub(crate) async fn take(&self) {
        // It is closed when the host ends, which ends the call as well.
        let Ok(permit) = self.running.clone().acquire_owned().await else { return };
        let mut held = self.lock();
        if matches!(*held, Held::Away) {
            *held = Held::Here(permit);
            self.away.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The call has ended, wherever it was.
    fn end(&self) {
        if matches!(std::mem::replace(&mut *self.lock(), Held::Ended), Held::Away) {
            self.away.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run one instance, given back when dropped.
pub(crate) struct Permit {
    /// Of the plugin's own, as long as somebody waits for the call.
    pub(crate) running: RunningTurn,
    /// Of the pool's, as long as there is an instance.
    pub(crate) place: Place,
}

/// One of the calls of a plugin that run, until this is dropped.
pub(crate) struct RunningTurn {
    _plugin: Option<OwnedSemaphorePermit>,
    _calling: Option<OwnedSemaphorePermit>,
    turn: Option<Arc<Turn>>,
}

impl RunningTurn {
    /// Its turn, where that can be given back. None: its plugin makes no calls.
    pub(crate) fn turn(&self) -> Option<Arc<Turn>> {
        self.turn.clone()
    }
}

impl Drop for RunningTurn {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn {
            turn.end();
        }
    }
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
    gate: &'a AdmissionQueue,
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

impl AdmissionQueue {
    pub(crate) fn new(limits: &PluginLimits, pool: Arc<Pool>, weight: u32) -> Self {
        Self {
            running: Arc::new(Semaphore::new(limits.concurrency)),
            calling: None,
            away: Arc::default(),
            concurrency: limits.concurrency,
            queue: limits.queue,
            waiting: AtomicUsize::new(0),
            waiting_of: Mutex::default(),
            patience: limits.timeout,
            pool,
            weight,
        }
    }

    /// The same for a plugin whose tools call others.
    pub(crate) fn calling(self) -> Self {
        self.pool.has_calling.store(true, Ordering::Relaxed);
        Self { calling: Some(Arc::new(Semaphore::new(self.concurrency))), ..self }
    }

    /// [`Self::enter_at`] for a client's call.
    #[cfg(test)]
    async fn enter(&self, plugin: &ProviderId, caller: Option<&Principal>, signal: Option<&StartSignal>) -> Result<Permit, CallError> {
        self.enter_at(plugin, caller, signal, 0).await
    }

    /// How deep a call is that makes a list and calls nothing. Others may wait for it in the places that they have, so those of a plugin that calls others
    /// take one that is left for the deepest calls.
    pub(crate) fn depth_of_lists(&self) -> u32 {
        let Levels { deepest, each } = self.pool.levels;
        if self.calling.is_some() && self.weight as usize <= each { deepest } else { 0 }
    }

    /// Waits for a turn, if the queue has a place. `signal` is told of it. `depth`: how many calls led to this one.
    ///
    /// A caller that has a name gets at most half of the queue, so that its flood leaves places to others, and they wait for that half at most.
    pub(crate) async fn enter_at(
        &self,
        plugin: &ProviderId,
        caller: Option<&Principal>,
        signal: Option<&StartSignal>,
        depth: u32,
    ) -> Result<Permit, CallError> {
        if self.calling.is_some() || depth > 0 {
            if let Some(permit) = self.at_once(depth) {
                start_signal::mark_started(signal);
                return Ok(permit);
            }
            if !self.pool.levels.can_wait(depth, self.weight as usize) {
                return Err(self.too_deep(plugin, depth));
            }
        } else if let Ok(of_plugin) = self.running.clone().try_acquire_owned()
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
            let Some(calling) = &self.calling else {
                let of_plugin = self.running.clone().acquire_owned().await.ok()?;
                let place = self.place(depth).await?;
                return Some(self.permit(of_plugin, place));
            };
            let calling = if depth == 0 { Some(calling.clone().acquire_owned().await.ok()?) } else { None };
            let place = self.place(depth).await?;
            let of_plugin = self.running.clone().acquire_owned().await.ok()?;
            Some(self.permit_to_call(calling, of_plugin, place))
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

    /// A permit without waiting, for a call within a call, or one that can make calls.
    fn at_once(&self, depth: u32) -> Option<Permit> {
        let Some(calling) = &self.calling else {
            let of_plugin = self.running.clone().try_acquire_owned().ok()?;
            let place = self.free_place(depth)?;
            return Some(self.permit(of_plugin, place));
        };
        let calling = if depth == 0 { Some(calling.clone().try_acquire_owned().ok()?) } else { None };
        let place = self.free_place(depth)?;
        let of_plugin = self.running.clone().try_acquire_owned().ok()?;
        Some(self.permit_to_call(calling, of_plugin, place))
    }

    /// A place that is free, if this plugin may have it.
    fn free_place(&self, depth: u32) -> Option<OwnedSemaphorePermit> {
        let free = || {
            let place = self.pool.places.clone().try_acquire_many_owned(self.weight).ok()?;
            self.may_keep(depth).then_some(place)
        };
        free().or_else(|| if self.pool.reclaim() { free() } else { None })
    }

    /// A place for an instance that is held in reserve, where that keeps nobody waiting.
    pub(crate) fn spare_place(&self) -> Option<Place> {
        let place = self.pool.places.clone().try_acquire_many_owned(self.weight).ok()?;
        self.pool.has_spare().then(|| self.taken(place))
    }

    /// Whether an instance may wait for its next call: nobody waits for its place.
    pub(crate) fn may_wait(&self) -> bool {
        self.pool.waiting.load(Ordering::Relaxed) == 0
    }

    /// What waits for calls of this plugin, and can be dropped when others need its places.
    pub(crate) fn spares(&self, spare: Weak<dyn Reclaim>) {
        self.pool.spares(spare);
    }

    /// Whether a place that it has just taken leaves enough to others.
    fn may_keep(&self, depth: u32) -> bool {
        let levels = &self.pool.levels;
        let leaves_levels = self.calling.is_none() || self.pool.places.available_permits() >= levels.kept(depth);
        // Who waits for a call within a call holds a place, so that the call is not kept waiting for those of others.
        leaves_levels && (depth > 0 || self.pool.allows(self.places(), self.weight as usize))
    }

    /// Waits for a place in the pool, and until this plugin may have it.
    async fn place(&self, depth: u32) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(&self.pool.waiting);
        // Who waits for several places in the line takes them one by one, and keeps those that a call within a call could run in.
        let lines_up = self.weight == 1 || !self.pool.has_calling.load(Ordering::Relaxed);
        loop {
            let freed = self.pool.freed.notified();
            if let Some(place) = self.free_place(depth) {
                return Some(place);
            }
            if lines_up {
                let place = self.pool.places.clone().acquire_many_owned(self.weight).await.ok()?;
                if self.may_keep(depth) {
                    return Some(place);
                }
            }
            freed.await;
        }
    }

    fn permit(&self, plugin: OwnedSemaphorePermit, place: OwnedSemaphorePermit) -> Permit {
        let running = RunningTurn { _plugin: Some(plugin), _calling: None, turn: None };
        Permit { running, place: self.taken(place) }
    }

    fn permit_to_call(&self, calling: Option<OwnedSemaphorePermit>, plugin: OwnedSemaphorePermit, place: OwnedSemaphorePermit) -> Permit {
        let turn = Turn { running: Arc::clone(&self.running), held: Mutex::new(Held::Here(plugin)), away: Arc::clone(&self.away) };
        let running = RunningTurn { _plugin: None, _calling: calling, turn: Some(Arc::new(turn)) };
        Permit { running, place: self.taken(place) }
    }

    fn taken(&self, place: OwnedSemaphorePermit) -> Place {
        Place { place: Some(place), pool: Arc::clone(&self.pool) }
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

    fn too_deep(&self, plugin: &ProviderId, depth: u32) -> CallError {
        CallError::Busy {
            what: format!(
                "plugin {plugin} got no instance for a call that {depth} others wait for, and the host's pool is too small to wait for one; raise `instances` in [host]"
            ),
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
        let running = self.concurrency.saturating_sub(self.running.available_permits());
        // Those that wait for what they called have no turn, and are there all the same.
        running + self.away.load(Ordering::Relaxed)
    }

    /// Calls that wait.
    pub(crate) fn queued(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrency: usize, queue: usize, pool: usize) -> (Arc<AdmissionQueue>, ProviderId) {
        let limits = PluginLimits { concurrency, queue, timeout: Duration::from_millis(200), ..PluginLimits::default() };
        (Arc::new(AdmissionQueue::new(&limits, Pool::new(pool), 1)), ProviderId::new("p").unwrap())
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
        let gate = AdmissionQueue::new(&limits, pool.clone(), 4);
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
    async fn who_waits_for_what_it_called_gives_its_turn_back_and_takes_it_again() {
        use futures::FutureExt as _;
        let limits = PluginLimits { concurrency: 1, timeout: Duration::from_secs(5), ..PluginLimits::default() };
        let (pool, id) = (Pool::new(4), ProviderId::new("p").unwrap());
        let gate = AdmissionQueue::new(&limits, pool.clone(), 1).calling();
        let first = gate.enter_at(&id, None, None, 0).await.unwrap();
        assert!(gate.enter_at(&id, None, None, 1).now_or_never().is_none(), "there is one turn");
        let turn = first.running.turn().unwrap();
        turn.give_back();
        // Another client's call has to wait: the first has not ended.
        assert!(gate.enter_at(&id, None, None, 0).now_or_never().is_none());
        let below = gate.enter_at(&id, None, None, 1).now_or_never().unwrap().unwrap();
        assert_eq!((gate.in_flight(), pool.counts().0), (2, 2));
        assert!(turn.take().now_or_never().is_none());
        drop(below);
        turn.take().now_or_never().unwrap();
        assert_eq!(gate.in_flight(), 1);
        // Who ends while it waits leaves nothing behind.
        turn.give_back();
        drop(first);
        assert_eq!((gate.in_flight(), pool.counts().0), (0, 0));
        assert!(gate.enter_at(&id, None, None, 0).now_or_never().is_some());
    }

    #[tokio::test]
    async fn calls_that_can_make_others_leave_places_for_them() {
        use futures::FutureExt as _;
        let limits = PluginLimits { concurrency: 100, queue: 100, timeout: Duration::from_millis(50), ..PluginLimits::default() };
        let id = ProviderId::new("p").unwrap();
        for places in [1, 2, 3, 9, 10, 40, 64, 1000] {
            let pool = Pool::new(places);
            let (calling, leaf) = (AdmissionQueue::new(&limits, pool.clone(), 1).calling(), AdmissionQueue::new(&limits, pool.clone(), 1));
            let mut held = Vec::new();
            for depth in 0..MAX_DEPTH {
                // As many as get a place at once, on each level.
                while let Some(Ok(permit)) = calling.enter_at(&id, None, None, depth).now_or_never() {
                    permit.running.turn().unwrap().give_back();
                    held.push(permit);
                    if depth == 0 && held.len() >= 100 {
                        break;
                    }
                }
                let free = pool.counts().1;
                let levels = pool.levels;
                assert!(free >= levels.kept(depth), "{places} places, {depth} deep: {free} are free, {levels:?}");
                // The next level can run, or is told at once that it cannot.
                match leaf.enter_at(&id, None, None, depth + 1).now_or_never() {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        assert!(depth + 1 > levels.deepest, "{places} places, {depth} deep: {error}");
                        assert!(error.to_string().contains("raise `instances`"), "{error}");
                    }
                    None => panic!("{places} places, {depth} deep: it waits for who waits for it"),
                }
            }
        }
        // None is left for what an instance of several places would call.
        assert!(!Pool::new(4).has_room_for_calling(4) && Pool::new(1000).has_room_for_calling(4));
    }

    #[tokio::test]
    async fn a_list_of_a_plugin_that_calls_others_finds_a_place_beside_those_who_wait_for_it() {
        let pool = Pool::new(8);
        let limits = PluginLimits { concurrency: 8, queue: 8, timeout: Duration::from_secs(30), ..PluginLimits::default() };
        let waits = AdmissionQueue::new(&limits, pool.clone(), 1).calling();
        let lists = AdmissionQueue::new(&limits, pool.clone(), 1).calling();
        let id = ProviderId::new("p").unwrap();
        let mut held = Vec::new();
        while let Some(permit) = waits.at_once(0) {
            held.push(permit);
        }
        assert!(!held.is_empty() && lists.at_once(0).is_none());
        assert!(lists.enter_at(&id, None, None, lists.depth_of_lists()).await.is_ok());
        // Whoever calls nothing is not kept from the rest anyway.
        assert_eq!(AdmissionQueue::new(&limits, pool, 1).depth_of_lists(), 0);
    }

    #[tokio::test]
    async fn two_plugins_leave_places_for_a_third() {
        let id = ProviderId::new("p").unwrap();
        let limits = PluginLimits { concurrency: 64, queue: 4, timeout: Duration::from_millis(50), ..PluginLimits::default() };
        let pool = Pool::new(160);
        let gates = [4, 4, 1].map(|weight| AdmissionQueue::new(&limits, pool.clone(), weight));
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
