//! Instances that serve several calls, one after another: `reuse` of a plugin. And those of a guard that was asked about a call, and will be asked about
//! its answer.
//!
//! An instance that waits keeps its place in the pool only as long as nobody else needs it: whoever finds no place has them all dropped
//! ([`Reclaim`]). It is never used by two calls at once, and by two callers only where the operator has said so.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use wasmtime::{Store, component::Instance};

use crate::{
    config::{PluginConfig, ReuseAcross},
    provider::{CallContext, GuardHooks, Principal},
    wasm::{
        admission::{Place, Reclaim},
        instance::State,
    },
};

/// How long an instance waits for its next call.
const IDLE: Duration = Duration::from_secs(60);
/// How long one of a guard waits for the answer of a call. A new one costs microseconds: for a call that takes longer, that is the smaller price.
const ANSWERED: Duration = Duration::from_secs(1);
/// Instances of one plugin that wait.
const WAITING: usize = 16;

/// An instance that can serve a call. In the order in which it is dropped: the place is given back when the instance is gone.
pub(super) struct Ready {
    pub(super) store: Store<State>,
    pub(super) instance: Instance,
    _place: Place,
    /// Calls that it has served.
    pub(super) served: u32,
    /// Whose these were. None: it has served none.
    pub(super) of: Option<Owner>,
    since: Instant,
}

/// Whose calls an instance serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Everybody's.
    All,
    /// Those of one caller.
    One(Principal),
    /// What one guard of the configuration is asked about one call.
    Questions(u64, Arc<str>),
}

impl Ready {
    pub(super) fn new(store: Store<State>, instance: Instance, place: Place, served: u32, of: Option<Owner>) -> Self {
        Self { store, instance, _place: place, served, of, since: Instant::now() }
    }
}

/// The instances of one version of a plugin that wait for a call.
pub(super) struct Kept {
    waiting: Mutex<Vec<Ready>>,
    reuse: u32,
    across: ReuseAcross,
    most: usize,
    /// Whether the plugin can ask its caller: such a call may be made again, and has to find then what it found before.
    asks: bool,
    idle: Duration,
    /// One waits where none did, or nothing will any more.
    stirred: Arc<Notify>,
}

impl Kept {
    /// None: each call has a fresh instance.
    pub(super) fn new(config: &PluginConfig, asks: bool) -> Option<Arc<Self>> {
        let (reuse, across) = (config.limits.reuse, config.grants.reuse_across);
        (reuse > 1).then(|| Arc::new(Self::with(config, reuse, across, asks, IDLE)))
    }

    /// Those of a guard between its two questions about a call. None: it is asked but one.
    pub(super) fn between_questions(config: &PluginConfig, hooks: GuardHooks) -> Option<Arc<Self>> {
        let both = hooks.before && hooks.after;
        both.then(|| Arc::new(Self::with(config, 2, ReuseAcross::Principal, false, ANSWERED)))
    }

    fn with(config: &PluginConfig, reuse: u32, across: ReuseAcross, asks: bool, idle: Duration) -> Self {
        let most = config.limits.concurrency.min(WAITING);
        Self { waiting: Mutex::default(), reuse, across, most, asks, idle, stirred: Arc::default() }
    }

    /// Whose instances may serve this call. None: only a fresh one, which is not kept.
    pub(super) fn owner(&self, context: &CallContext) -> Option<Owner> {
        let can_be_asked = |capabilities: &str| !matches!(capabilities.trim(), "" | "{}");
        if self.asks && context.asker.as_ref().is_some_and(|asker| can_be_asked(asker.capabilities())) {
            return None;
        }
        match (self.across, &context.principal) {
            (ReuseAcross::All, _) => Some(Owner::All),
            (ReuseAcross::Principal, Some(principal)) => Some(Owner::One(principal.clone())),
            // Callers are not told apart.
            (ReuseAcross::Principal, None) => None,
        }
    }

    /// An instance for a call of this owner: one that has served it before, else one that has served nobody.
    pub(super) fn take(&self, owner: &Owner) -> Option<Ready> {
        let mut waiting = self.lock();
        let at = waiting
            .iter()
            .rposition(|ready| ready.of.as_ref() == Some(owner) && ready.since.elapsed() < self.idle)
            .or_else(|| waiting.iter().rposition(|ready| ready.of.is_none()))?;
        Some(waiting.remove(at))
    }

    /// Keeps an instance for the next call, if it may serve one more.
    pub(super) fn put(&self, mut ready: Ready) {
        if ready.served >= self.reuse || !ready.store.data_mut().rest() {
            return;
        }
        ready.since = Instant::now();
        let mut waiting = self.lock();
        waiting.push(ready);
        if waiting.len() == 1 {
            self.stirred.notify_one();
        }
        // The one that has waited longest goes. Stores are dropped when nothing is locked.
        let gone = if waiting.len() > self.most { Some(waiting.remove(0)) } else { None };
        drop(waiting);
        drop(gone);
    }

    /// Whether one waits that has served nobody.
    pub(super) fn has_fresh(&self) -> bool {
        self.lock().iter().any(|ready| ready.of.is_none())
    }

    /// Drops those that have waited for long. Whether any still wait.
    pub(super) fn expire(&self) -> bool {
        let mut waiting = self.lock();
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut *waiting).into_iter().partition(|ready| ready.since.elapsed() < self.idle);
        *waiting = kept;
        let any = !waiting.is_empty();
        drop(waiting);
        drop(gone);
        any
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reclaim for Kept {
    fn reclaim(&self) -> bool {
        let gone = std::mem::take(&mut *self.lock());
        !gone.is_empty()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stirred.notify_one();
    }
}

/// Drops what waits for long, as long as the plugin is there. It rests while nothing waits.
pub(super) async fn expire(kept: Weak<Kept>) {
    loop {
        let Some((stirred, idle)) = kept.upgrade().map(|kept| (Arc::clone(&kept.stirred), kept.idle)) else { return };
        stirred.notified().await;
        loop {
            tokio::time::sleep(idle / 2).await;
            let Some(kept) = kept.upgrade() else { return };
            if !kept.expire() {
                break;
            }
        }
    }
}
