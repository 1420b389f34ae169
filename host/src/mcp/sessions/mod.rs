//! Sessions of clients before 2026-07-28. A session is its id: a signed text (`token`) that any instance with the same keys
//! goes on with. What a client leaves at one instance (`session`) is kept there while it is in use, within limits (`room`),
//! and `stream` is how it hears of changes.

mod lists;
mod room;
mod session;
mod stream;
mod token;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Response, request::Parts};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::{
    headers::{Ambiguous, SESSION_NAME, single},
    options::LiveOptions,
    present::SessionInfo,
    signing::{OpenError, SignError, Signer},
    updates::{COALESCE, gathered},
};
use crate::{catalog::Catalog, config::Sessions as Mode, dispatch::Dispatcher, provider::Principal};
use lists::Lists;
pub(super) use room::Room;
pub(super) use session::{MAX_SUBSCRIPTIONS, Session};
use token::{Claims, Tokens};

/// The sessions of one endpoint.
pub(super) struct Sessions {
    tokens: Tokens,
    table: RwLock<Kept>,
    /// Ids of sessions that ended before their time, and until when they would be good.
    ended: Mutex<HashMap<Arc<str>, Instant>>,
    room: Arc<Room>,
    options: LiveOptions,
    started: Instant,
    catalog: Arc<Catalog>,
    lists: Arc<Lists>,
    /// Ends the streams: what the sessions were about is gone, or the front closes.
    closing: CancellationToken,
    /// No session is kept any more. Changed under the table's lock.
    retired: AtomicBool,
    /// Whether the log has been told of a key that another instance must have.
    told: AtomicBool,
}

type Kept = HashMap<Arc<str>, Arc<Session>, BuildHasherDefault<Tail>>;

/// An id that is in use is looked at again after that time: it may have expired.
const CHECK: Duration = Duration::from_secs(60);

/// Sessions that are looked at before others get their turn.
const AT_A_TIME: usize = 64;

/// Ids that are remembered as ended: so many clients end at once, and no more is kept for them than that.
const ENDED: usize = 100_000;

/// Why a request has none of the sessions, though it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSession {
    /// It names several, or none that can be read.
    Ambiguous,
    /// There is none of that id, or it is somebody else's.
    Unknown,
}

/// What `initialize` agreed on.
pub(super) struct Agreed<'a> {
    pub(super) revision: &'a str,
    /// JSON text of an object.
    pub(super) capabilities: Option<String>,
    pub(super) caller: Option<&'a Principal>,
    /// Where this instance is reached by others.
    pub(super) home: Option<&'a str>,
}

impl Sessions {
    /// An empty table, for the endpoint of one provider or of everything. [`Self::watch`] has to run beside it.
    pub(super) fn new(
        catalog: Arc<Catalog>,
        endpoint: Option<&str>,
        dispatcher: Arc<Dispatcher>,
        signer: Arc<Signer>,
        room: Arc<Room>,
        options: LiveOptions,
        closing: CancellationToken,
    ) -> Arc<Self> {
        let sessions = Arc::new(Self {
            tokens: Tokens::new(signer, endpoint),
            table: RwLock::default(),
            ended: Mutex::default(),
            room,
            options,
            started: Instant::now(),
            lists: Arc::new(Lists::new(Arc::clone(&catalog), dispatcher)),
            catalog,
            closing,
            retired: AtomicBool::new(false),
            told: AtomicBool::new(false),
        });
        let table: Weak<Self> = Arc::downgrade(&sessions);
        sessions.room.add(table);
        sessions
    }

    /// Forgets idle sessions and has listening ones told of changes, until the front is closed.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut changes = self.catalog.changes();
        let mut seen_keys = self.tokens.signer().version();
        let mut updates = self.catalog.updates();
        let mut next_sweep = Instant::now();
        let signer = self.tokens.signer();
        loop {
            let mut keys = std::pin::pin!(signer.changed());
            // First listen, then look.
            keys.as_mut().enable();
            let version = signer.version();
            if seen_keys != version {
                seen_keys = version;
                self.check_kept().await;
            }
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = keys => {}
                () = sleep_until(next_sweep.into()) => {
                    self.sweep();
                    self.check_kept().await;
                    next_sweep = Instant::now() + (self.idle() / 4).clamp(Duration::from_millis(10), CHECK);
                }
                updated = updates.recv() => {
                    tokio::time::sleep(COALESCE).await;
                    let Some(updated) = gathered(updated, &mut updates) else { return };
                    for session in self.read().values() {
                        session.note(&updated);
                        session.nudge();
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(COALESCE).await;
                    changes.mark_unchanged();
                    self.read().values().for_each(|session| session.nudge());
                }
            }
        }
    }

    /// Whether there are sessions at all.
    pub(super) fn are_on(&self) -> bool {
        self.options.load().sessions == Mode::Auto
    }

    /// The id of a new session. Nothing is kept of it.
    ///
    /// # Errors
    ///
    /// It cannot be signed.
    pub(super) fn begin(&self, agreed: Agreed<'_>) -> Result<String, SignError> {
        let Agreed { revision, capabilities, caller, home } = agreed;
        let claims = Claims::new(revision, capabilities, caller, home, self.lists.now(caller).1)?;
        self.tokens.seal(&claims, self.options.load().session_ttl)
    }

    /// The session that a request names, if its caller may use it. Counts as use.
    pub(super) fn named(&self, parts: &Parts) -> Result<Option<Arc<Session>>, NoSession> {
        match single(&parts.headers, &SESSION_NAME).map_err(|Ambiguous| NoSession::Ambiguous)? {
            Some(id) if self.are_on() => self.find(id, parts.extensions.get::<Principal>()).map(Some),
            // A client that has an id from before is served without a session, as all others.
            _ => Ok(None),
        }
    }

    fn find(&self, id: &str, caller: Option<&Principal>) -> Result<Arc<Session>, NoSession> {
        let kept = self.read().get(id).cloned();
        let Some(session) = kept else { return self.take_up(id, caller) };
        let now = self.now();
        if session.owner() != caller || !self.is_good(&session, now) {
            return Err(NoSession::Unknown);
        }
        session.used.store(now, Ordering::Relaxed);
        Ok(session)
    }

    /// Whether the id of a session that is kept is still good: it may have expired, or its key may be gone. That is looked at now and then.
    fn is_good(&self, session: &Session, now: u64) -> bool {
        let keys = self.tokens.signer().version();
        let within = CHECK.min(self.options.load().session_ttl / 4);
        if session.is_checked(keys, now, u64::try_from(within.as_micros()).unwrap_or(u64::MAX)) {
            return true;
        }
        match self.tokens.open(session.id()) {
            Ok(_) => {
                session.check(keys, now);
                true
            }
            Err(error) => {
                self.explain(&error);
                self.let_go(session);
                false
            }
        }
    }

    /// Ends the sessions whose ids are not good any more, so that their streams end too.
    async fn check_kept(&self) {
        let kept: Vec<Arc<Session>> = self.read().values().cloned().collect();
        for some in kept.chunks(AT_A_TIME) {
            for session in some {
                self.is_good(session, self.now());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Goes on with a session that nothing is kept of here.
    fn take_up(&self, id: &str, caller: Option<&Principal>) -> Result<Arc<Session>, NoSession> {
        // First the version: keys that change in between are looked at again.
        let keys = self.tokens.signer().version();
        let claims = self.tokens.open(id).map_err(|error| {
            self.explain(&error);
            NoSession::Unknown
        })?;
        if !claims.is_of(caller) || self.lock_ended().contains_key(id) || self.is_retired() {
            return Err(NoSession::Unknown);
        }
        let told = self.lists.unlike(caller, claims.lists);
        let session = Arc::new(Session::new(id.into(), caller.cloned(), claims, told, self.now(), keys));
        self.keep(session)
    }

    /// Keeps a session where there is room for it. Without, the requests that have it go on with it as it is.
    fn keep(&self, session: Arc<Session>) -> Result<Arc<Session>, NoSession> {
        if !self.room.enter(session.owner()) {
            return Ok(session);
        }
        let mut table = self.write();
        if self.is_retired() {
            self.room.leave(session.owner());
            return Err(NoSession::Unknown);
        }
        // Another request was faster.
        if let Some(kept) = table.get(session.id()) {
            self.room.leave(session.owner());
            return Ok(Arc::clone(kept));
        }
        session.kept.store(true, Ordering::Release);
        table.insert(Arc::clone(session.id()), Arc::clone(&session));
        Ok(session)
    }

    /// Whether something is kept of the session, so that it can have a stream.
    pub(super) fn keeps(session: &Session) -> bool {
        session.kept.load(Ordering::Acquire)
    }

    /// The stream by which the client hears of changes. `last`: the last event that it saw.
    pub(super) fn stream(&self, session: Arc<Session>, last: Option<&str>) -> Response<Body> {
        if let Some(seen) = last.and_then(stream::seen) {
            session.knows(self.lists.unlike(session.owner(), seen));
        }
        stream::open(Arc::clone(&self.lists), session, self.closing.clone())
    }

    /// Ends a session: its id is good for nothing any more at this instance.
    pub(super) fn end(&self, session: &Session) {
        self.let_go(session);
        let mut ended = self.lock_ended();
        // Those that have expired are dropped by the sweep: looking for them costs as much as there are.
        if ended.len() < ENDED {
            ended.insert(Arc::clone(session.id()), Instant::now() + self.options.load().session_ttl);
        }
    }

    /// Ends what goes on in a session, and keeps nothing of it.
    fn let_go(&self, session: &Session) {
        let kept = self.write().remove(session.id());
        if let Some(kept) = kept {
            self.room.leave(kept.owner());
            kept.kept.store(false, Ordering::Release);
            kept.end();
        }
        session.end();
    }

    /// Sessions that something is kept of, at all endpoints.
    pub(super) fn len(&self) -> usize {
        self.room.open()
    }

    /// Those that something is kept of, for an operator to see.
    pub(super) fn list(&self, endpoint: Option<&str>) -> Vec<SessionInfo> {
        let now = self.now();
        let info = |session: &Arc<Session>| {
            let idle = now.saturating_sub(session.used.load(Ordering::Relaxed));
            SessionInfo { endpoint: endpoint.map(str::to_owned), idle: idle / 1_000_000, ..session.info() }
        };
        self.read().values().map(info).collect()
    }

    /// Ends all sessions for good, since what they were about is gone. Calls that run end by themselves.
    pub(super) fn retire(&self) {
        let ended: Vec<Arc<Session>> = {
            let mut table = self.write();
            self.retired.store(true, Ordering::Release);
            table.drain().map(|(_, session)| session).collect()
        };
        for session in ended {
            self.room.leave(session.owner());
            session.kept.store(false, Ordering::Release);
        }
        self.closing.cancel();
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// How long a session is kept unused.
    fn idle(&self) -> Duration {
        self.options.load().session_idle
    }

    fn sweep(&self) {
        let now = self.now();
        let idle = u64::try_from(self.idle().as_micros()).unwrap_or(u64::MAX);
        let unused = |session: &Session| now.saturating_sub(session.used.load(Ordering::Relaxed)) >= idle;
        let idle: Vec<Arc<str>> = self.read().values().filter(|session| unused(session)).map(|session| Arc::clone(session.id())).collect();
        for id in idle {
            room::Table::forget(self, &id);
        }
        let now = Instant::now();
        self.lock_ended().retain(|_, until| *until > now);
    }

    fn explain(&self, error: &OpenError) {
        match error {
            OpenError::UnknownKey if !self.told.swap(true, Ordering::Relaxed) => tracing::warn!(
                "a session is signed with an unknown key, and its client has to begin again: all instances behind one address need the same [state] keys, also after a restart"
            ),
            error => tracing::debug!(?error, "a session's id is not taken, and its client has to begin again"),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_ended(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Instant>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl room::Table for Sessions {
    fn each(&self, visit: room::Visit<'_>) {
        for session in self.read().values() {
            let unused = (!session.is_busy()).then(|| (session.id(), session.used.load(Ordering::Relaxed)));
            visit(session.owner(), unused);
        }
    }

    fn forget(&self, id: &str) {
        let mut table = self.write();
        if table.get(id).is_some_and(|session| !session.is_busy())
            && let Some(session) = table.remove(id)
        {
            session.kept.store(false, Ordering::Release);
            self.room.leave(session.owner());
        }
    }
}

/// Hashes an id by its end: that is its signature, which nobody chooses. Only ids with a good one are in a table.
#[derive(Default)]
pub(super) struct Tail(u64);

impl Hasher for Tail {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        // A text ends with one byte of its own.
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }
}
