//! What this instance knows of one session: what its client left here, and what goes on for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::AbortHandle;
use tokio::sync::Notify;

use super::token::Claims;
use crate::{
    catalog::Generations,
    mcp::{
        client_requests::Questions,
        present::SessionInfo,
        updates::{Gathered, Subscriptions},
    },
    provider::{LogLevel, Principal, Subscription},
};

/// Resources that one client may subscribe to: more than anybody watches, and not much memory.
pub(in crate::mcp) const MAX_SUBSCRIPTIONS: usize = 1_000;

/// For so long a call that nobody here knows may still be made known: another instance says so after a while that it runs.
const REMEMBERED: Duration = Duration::from_secs(10);

/// As many cancelled calls are remembered, and keys of so many bytes: ids are short.
const CANCELLED: usize = 64;
const KEY: usize = 256;

/// One session.
pub(in crate::mcp) struct Session {
    id: Arc<str>,
    /// Who opened it. Nobody else may use it.
    owner: Option<Principal>,
    claims: Claims,
    /// What its client was asked and has not answered.
    questions: Questions,
    /// When it was used last, in microseconds since the table began: fine enough to tell the older one of two.
    pub(super) used: AtomicU64,
    /// When its id was last found to be good, as `used`, and by which version of the keys.
    checked: AtomicU64,
    keys: AtomicU64,
    /// It is in the table. Else only the requests that have it know of it.
    pub(super) kept: AtomicBool,
    ended: AtomicBool,
    /// The least level of log messages, as its place in [`LogLevel::ALL`].
    level: AtomicU8,
    /// The numbers of its open GET streams, the one that tells last.
    streams: Mutex<Vec<u64>>,
    /// Wakes the streams.
    nudge: Notify,
    /// Calls that run, by the key of their id, so that they can be cancelled. The number tells two calls of one id apart.
    calls: Mutex<HashMap<String, (u64, AbortHandle)>>,
    /// Calls that were cancelled and are not known here: another instance may run them.
    cancelled: Mutex<VecDeque<(String, Instant)>>,
    /// Wakes who waits for one of them.
    cancel: Notify,
    /// The lists that the client knows of.
    told: Mutex<Generations>,
    /// Resources whose updates the client wants to hear of.
    subscriptions: Mutex<Subscriptions>,
}

impl Session {
    /// `keys`: the version of those by which its id was found to be good just now.
    pub(super) fn new(id: Arc<str>, owner: Option<Principal>, claims: Claims, told: Generations, now: u64, keys: u64) -> Self {
        Self {
            id,
            owner,
            claims,
            questions: Questions::default(),
            used: AtomicU64::new(now),
            checked: AtomicU64::new(now),
            keys: AtomicU64::new(keys),
            kept: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            // Info, as the specification's example servers have it.
            level: AtomicU8::new(1),
            streams: Mutex::default(),
            nudge: Notify::new(),
            calls: Mutex::default(),
            cancelled: Mutex::default(),
            cancel: Notify::new(),
            told: Mutex::new(told),
            subscriptions: Mutex::default(),
        }
    }

    pub(in crate::mcp) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether its id was found to be good by these keys, and no longer than so many microseconds ago.
    pub(super) fn is_checked(&self, keys: u64, now: u64, within: u64) -> bool {
        self.keys.load(Ordering::Acquire) == keys && now.saturating_sub(self.checked.load(Ordering::Relaxed)) <= within
    }

    /// Its id was found to be good.
    pub(super) fn check(&self, keys: u64, now: u64) {
        self.checked.store(now, Ordering::Relaxed);
        self.keys.store(keys, Ordering::Release);
    }

    pub(super) fn owner(&self) -> Option<&Principal> {
        self.owner.as_ref()
    }

    /// The instance where its stream and its subscriptions are.
    pub(in crate::mcp) fn home(&self) -> Option<&str> {
        self.claims.home.as_deref()
    }

    /// The least level of log messages that the client wants.
    pub(in crate::mcp) fn level(&self) -> LogLevel {
        LogLevel::ALL.get(usize::from(self.level.load(Ordering::Relaxed))).copied().unwrap_or(LogLevel::Info)
    }

    /// What its client can: JSON text of an object.
    pub(in crate::mcp) fn capabilities(&self) -> &str {
        self.claims.capabilities.as_deref().unwrap_or("{}")
    }

    /// What its client was asked and has not answered.
    pub(in crate::mcp) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// `logging/setLevel`.
    pub(in crate::mcp) fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Makes a call that runs since then cancellable until the guard is dropped. One that was cancelled meanwhile ends.
    pub(in crate::mcp) fn register(self: &Arc<Self>, key: String, begun: Instant, abort: AbortHandle) -> Registered {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        lock(&self.calls).insert(key.clone(), (number, abort.clone()));
        // First be found, then look.
        if self.has_ended() || lock(&self.cancelled).iter().any(|(noted, since)| *noted == key && *since >= begun) {
            abort.abort();
        }
        Registered { session: Arc::clone(self), key, number }
    }

    /// `notifications/cancelled`: ends the call with that id, if it runs here. False: it does not.
    pub(in crate::mcp) fn cancel(&self, key: &str) -> bool {
        let call = lock(&self.calls).remove(key);
        call.map(|(_, abort)| abort.abort()).is_some()
    }

    /// Takes note that a call was cancelled which another instance may run, or which is about to be made known here.
    pub(in crate::mcp) fn note_cancelled(&self, key: String) {
        if key.len() > KEY {
            return;
        }
        let mut cancelled = lock(&self.cancelled);
        cancelled.retain(|(_, since)| since.elapsed() < REMEMBERED);
        if cancelled.len() >= CANCELLED {
            cancelled.pop_front();
        }
        cancelled.push_back((key, Instant::now()));
        drop(cancelled);
        self.cancel.notify_waiters();
    }

    /// Returns when the call with that id is cancelled, or the session ends.
    pub(in crate::mcp) async fn cancelled(&self, key: &str) {
        loop {
            let mut noted = std::pin::pin!(self.cancel.notified());
            // First listen, then look.
            noted.as_mut().enable();
            let is_noted = {
                let mut cancelled = lock(&self.cancelled);
                let place = cancelled.iter().position(|(noted, since)| noted == key && since.elapsed() < REMEMBERED);
                place.and_then(|place| cancelled.remove(place)).is_some()
            };
            if is_noted || self.has_ended() {
                return;
            }
            noted.await;
        }
    }

    /// `resources/subscribe`; `subscribe` asks the provider. False: the client has subscribed to as many as may.
    pub(in crate::mcp) fn subscribe(&self, uri: &str, subscribe: impl FnOnce() -> Option<Subscription>) -> bool {
        lock(&self.subscriptions).add(uri, MAX_SUBSCRIPTIONS, subscribe)
    }

    /// `resources/unsubscribe`.
    pub(in crate::mcp) fn unsubscribe(&self, uri: &str) {
        lock(&self.subscriptions).remove(uri);
    }

    /// Takes note of resources that were updated, for the stream.
    pub(super) fn note(&self, updated: &Gathered) {
        lock(&self.subscriptions).note(updated);
    }

    /// What the client has not been told: the lists it knew and those it knows now, and resources.
    pub(super) fn news(&self, now: Generations) -> (Generations, std::collections::BTreeSet<String>) {
        (std::mem::replace(&mut *lock(&self.told), now), lock(&self.subscriptions).take())
    }

    /// The client knows other lists than these.
    pub(super) fn knows(&self, told: Generations) {
        *lock(&self.told) = told;
    }

    /// Has the streams look for news.
    pub(super) fn nudge(&self) {
        self.nudge.notify_waiters();
    }

    pub(super) fn nudged(&self) -> tokio::sync::futures::Notified<'_> {
        self.nudge.notified()
    }

    pub(super) fn open_stream(&self, number: u64) {
        lock(&self.streams).push(number);
    }

    pub(super) fn close_stream(&self, number: u64) {
        lock(&self.streams).retain(|open| *open != number);
        // Another one may be the last now.
        self.nudge();
    }

    /// Whether that stream tells the client: one does, the last that was opened.
    pub(super) fn tells(&self, number: u64) -> bool {
        lock(&self.streams).last() == Some(&number)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends its streams and its calls: whoever would read the answers is gone.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        for (_, (_, abort)) in lock(&self.calls).drain() {
            abort.abort();
        }
        self.nudge();
        self.cancel.notify_waiters();
    }

    /// What an operator sees of it.
    pub(super) fn info(&self) -> SessionInfo {
        let capabilities: serde_json::Map<String, serde_json::Value> = serde_json::from_str(self.capabilities()).unwrap_or_default();
        SessionInfo {
            caller: self.owner.as_ref().map(|owner| owner.subject().to_owned()),
            endpoint: None,
            revision: self.claims.revision.clone(),
            capabilities: capabilities.into_iter().map(|(name, _)| name).collect(),
            idle: 0,
            streams: lock(&self.streams).len(),
            calls: lock(&self.calls).len(),
            subscriptions: lock(&self.subscriptions).len(),
        }
    }

    /// Whether a stream is open or a call runs.
    pub(super) fn is_busy(&self) -> bool {
        !lock(&self.streams).is_empty() || !lock(&self.calls).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call in the table of its session.
pub(in crate::mcp) struct Registered {
    session: Arc<Session>,
    key: String,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut calls = lock(&self.session.calls);
        if calls.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            calls.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Arc<Session> {
        let claims = Claims::new("2025-11-25", None, None, None, [0; 3]).unwrap();
        Arc::new(Session::new("id".into(), None, claims, Generations::default(), 0, 0))
    }

    #[test]
    fn a_session_subscribes_to_so_many_resources_and_no_more() {
        let session = session();
        let subscribe = |uri: &str| session.subscribe(uri, || None);
        assert!((0..MAX_SUBSCRIPTIONS).all(|n| subscribe(&format!("x://{n}"))));
        assert!(!subscribe("x://new"));
        assert!(subscribe("x://5"), "what is there already is not a new one");
        session.unsubscribe("x://5");
        assert!(subscribe("x://new"));
        assert!(!subscribe("x://5"));
    }

    #[tokio::test]
    async fn who_waits_for_a_cancellation_hears_of_it_before_and_after() {
        let session = session();
        session.note_cancelled("1".to_owned());
        session.cancelled("1").await;
        let waits = session.cancelled("1");
        let notes = async {
            tokio::task::yield_now().await;
            session.note_cancelled("2".to_owned());
            session.note_cancelled("1".to_owned());
        };
        tokio::join!(waits, notes);
        session.cancelled("2").await;
        tokio::join!(session.cancelled("3"), async { session.end() });
        for n in 0..1_000 {
            session.note_cancelled(n.to_string());
        }
        assert_eq!(lock(&session.cancelled).len(), CANCELLED);
    }

    #[test]
    fn a_call_that_was_cancelled_before_it_was_known_ends() {
        let session = session();
        let begins = |key: &str, begun| {
            let (call, abort) = futures::future::abortable(futures::future::pending::<()>());
            let _registered = session.register(key.to_owned(), begun, abort);
            call.is_aborted()
        };
        let begun = Instant::now();
        session.note_cancelled("1".to_owned());
        assert!(begins("1", begun) && !begins("2", begun));
        assert!(!begins("1", Instant::now()), "a later call of the same id is another one");
        session.note_cancelled("x".repeat(KEY + 1));
        assert_eq!(lock(&session.cancelled).len(), 1, "long keys are not kept");
        session.end();
        assert!(begins("2", begun));
    }

    #[test]
    fn of_several_streams_the_last_tells() {
        let session = session();
        session.open_stream(1);
        session.open_stream(2);
        assert!(session.tells(2) && !session.tells(1) && session.is_busy());
        session.close_stream(2);
        assert!(session.tells(1));
        session.close_stream(1);
        assert!(!session.is_busy());
    }
}
