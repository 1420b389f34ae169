//! Sessions of clients before 2026-07-28: rmcp's, with limits on their number and idle time, an owner each, and the calls that run in them.

use std::{
    collections::{BTreeSet, HashMap},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, future::AbortHandle};
use http::request::Parts;
use rmcp::{
    Peer, RoleServer, ServiceError,
    model::{ClientJsonRpcMessage, ResourceUpdatedNotificationParam, ServerJsonRpcMessage},
    transport::streamable_http_server::session::{
        ServerSseMessage, SessionId, SessionManager,
        local::{LocalSessionManager, LocalSessionManagerError, SessionTransport},
    },
};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::{
    asking::Questions,
    headers::SESSION_NAME,
    headers::{Ambiguous, single},
    open::{OpenIds, Taken},
    options::LiveOptions,
    updates::{COALESCE, Subscriptions, gathered},
};
use crate::{
    catalog::{Catalog, Generations, Seen},
    dispatch::Dispatcher,
    provider::{LogLevel, Principal, Subscription},
};

/// How long telling one session of a change may take. A client that does not read its stream for that long misses it.
const TELLING: Duration = Duration::from_secs(10);

/// All sessions.
pub(super) struct Sessions {
    /// rmcp's part: the workers and their streams.
    local: LocalSessionManager,
    table: RwLock<HashMap<SessionId, Arc<Session>>>,
    room: Arc<Room>,
    options: LiveOptions,
    started: Instant,
    catalog: Arc<Catalog>,
    /// Knows what the owners of sessions may use.
    dispatcher: Arc<Dispatcher>,
    closing: CancellationToken,
    /// No session is opened any more. Changed under the table's lock.
    retired: AtomicBool,
}

/// How many sessions may be open: one limit for the tables of all endpoints together.
///
/// Where all are taken, those that are not in use make room: first of whoever has the most, and of those the one that was used least recently. A caller that
/// is known by name never has more than half of them.
pub(super) struct Room {
    max: AtomicUsize,
    open: AtomicUsize,
    tables: Mutex<Vec<Weak<Sessions>>>,
}

/// Of all sessions, the part that is ended at once where room is needed: looking for them costs as much as there are.
const AT_ONCE: usize = 64;

impl Room {
    pub(super) fn new(max: usize) -> Self {
        Self { max: AtomicUsize::new(max), open: AtomicUsize::new(0), tables: Mutex::default() }
    }

    /// Has room for so many from now on. Sessions that are open stay.
    pub(super) fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Release);
    }

    fn max(&self) -> usize {
        self.max.load(Ordering::Acquire)
    }

    fn tables(&self) -> Vec<Arc<Sessions>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|table| table.strong_count() > 0);
        tables.iter().filter_map(Weak::upgrade).collect()
    }

    /// Sessions of that caller, of all endpoints.
    fn of(&self, caller: &Principal) -> usize {
        let owns = |session: &Session| session.owner.get().and_then(Option::as_ref) == Some(caller);
        self.tables().iter().map(|table| table.read().values().filter(|session| owns(session)).count()).sum()
    }

    /// Ends sessions that are not in use.
    async fn make_room(&self) {
        let tables = self.tables();
        let mut idle = Vec::new();
        let mut counts: HashMap<Option<Principal>, usize> = HashMap::new();
        for table in &tables {
            for (id, session) in table.read().iter() {
                let owner = session.owner.get().cloned().flatten();
                *counts.entry(owner.clone()).or_default() += 1;
                // One that is just being opened has no owner yet.
                if session.owner.get().is_some() && !session.is_busy() {
                    idle.push((owner, session.used.load(Ordering::Relaxed), Arc::clone(table), Arc::clone(id)));
                }
            }
        }
        idle.sort_by_key(|(owner, used, ..)| (std::cmp::Reverse(counts.get(owner).copied().unwrap_or(0)), *used));
        let ended = idle.len().min((self.max() / AT_ONCE).max(1));
        for (_, _, table, id) in idle.into_iter().take(ended) {
            if let Err(error) = table.close_session(&id).await {
                tracing::debug!(session = &*id, "the session did not end: {error}");
            }
        }
        if ended > 0 {
            tracing::info!(
                ended,
                "{} sessions are open: those that were used least recently end; max_sessions in [http] allows more",
                self.max()
            );
        }
    }

    /// Open sessions, of all endpoints.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    fn is_full(&self) -> bool {
        self.open() >= self.max()
    }

    /// Takes one place. False: there is none.
    fn enter(&self) -> bool {
        let max = self.max();
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < max).then_some(open + 1)).is_ok()
    }

    fn leave(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Resources that one client may subscribe to: more than anybody watches, and not much memory.
pub(super) const MAX_SUBSCRIPTIONS: usize = 1_000;

/// One session, as far as rmcp does not know it.
pub(super) struct Session {
    /// Who opened it. Nobody else may use it.
    owner: OnceLock<Option<Principal>>,
    /// What its client can, as it said in `initialize`: JSON text of an object.
    capabilities: OnceLock<Box<str>>,
    /// What its client was asked and has not answered.
    questions: Questions,
    /// When it was used last, in microseconds since the table began: fine enough to tell the older one of two.
    used: AtomicU64,
    /// The least level of log messages, as its place in [`LogLevel::ALL`].
    level: AtomicU8,
    /// Open GET streams.
    streams: AtomicUsize,
    /// Calls that run, by the key of their id, so that they can be cancelled. The number tells two calls of one id apart.
    calls: Mutex<HashMap<String, (u64, AbortHandle)>>,
    /// Requests that went the general way and are not answered.
    open: Arc<OpenIds>,
    /// The way to the client, from `notifications/initialized` on.
    peer: OnceLock<Peer<RoleServer>>,
    /// The lists that the client knows of.
    told: Mutex<Generations>,
    telling: AtomicBool,
    /// Resources whose updates the client wants to hear of.
    subscriptions: Mutex<Subscriptions>,
}

/// Why a request has none of the sessions, though it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSession {
    /// It names several, or none that can be read.
    Ambiguous,
    /// There is none of that id, or it is somebody else's.
    Unknown,
}

/// Why no session is opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("{0} sessions are open, which is the limit; the server's operator can raise max_sessions in [http]")]
    Full(usize),
    #[error("the plugin or server of this endpoint has just been removed")]
    Gone,
    #[error(transparent)]
    Local(#[from] LocalSessionManagerError),
}

impl Sessions {
    /// An empty table. [`Self::watch`] has to run beside it.
    pub(super) fn new(
        catalog: Arc<Catalog>,
        dispatcher: Arc<Dispatcher>,
        room: Arc<Room>,
        options: LiveOptions,
        closing: CancellationToken,
    ) -> Self {
        let mut local = LocalSessionManager::default();
        // The idle time is counted here, where calls that pass rmcp by count too.
        local.session_config.keep_alive = None;
        // No invitation to reconnect to a POST stream: answers are not kept for that.
        local.session_config.sse_retry = None;
        let (table, started, retired) = (RwLock::default(), Instant::now(), AtomicBool::new(false));
        Self { local, table, room, options, started, catalog, dispatcher, closing, retired }
    }

    /// Ends idle sessions and tells listening ones of changes, until the front is closed.
    pub(super) async fn watch(self: Arc<Self>) {
        self.room.tables.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&self));
        let mut changes = self.catalog.changes();
        let mut updates = self.catalog.updates();
        let mut next_sweep = Instant::now();
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = sleep_until(next_sweep.into()) => {
                    self.sweep().await;
                    next_sweep = Instant::now() + (self.idle() / 4).clamp(Duration::from_millis(10), Duration::from_secs(60));
                }
                updated = updates.recv() => {
                    tokio::time::sleep(COALESCE).await;
                    let Some(updated) = gathered(updated, &mut updates) else { return };
                    let sessions: Vec<_> = self.read().values().cloned().collect();
                    for session in &sessions {
                        session.lock_subscriptions().note(&updated);
                        self.tell(session);
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(COALESCE).await;
                    changes.mark_unchanged();
                    let sessions: Vec<_> = self.read().values().cloned().collect();
                    sessions.iter().for_each(|session| self.tell(session));
                }
            }
        }
    }

    /// The session of that id, if this caller may use it. Counts as use.
    pub(super) fn find(&self, id: &str, caller: Option<&Principal>) -> Option<Arc<Session>> {
        let session = self.read().get(id).cloned()?;
        if session.owner.get().is_some_and(|owner| owner.as_ref() != caller) {
            return None;
        }
        self.touch(&session);
        Some(session)
    }

    /// The session that a request names, if its caller may use it. Counts as use.
    pub(super) fn named(&self, parts: &Parts) -> Result<Option<Arc<Session>>, NoSession> {
        match single(&parts.headers, &SESSION_NAME).map_err(|Ambiguous| NoSession::Ambiguous)? {
            None => Ok(None),
            Some(id) => self.find(id, parts.extensions.get::<Principal>()).map(Some).ok_or(NoSession::Unknown),
        }
    }

    /// Makes the caller the session's owner, once, and keeps what its client can: JSON text.
    pub(super) fn bind(&self, id: &str, caller: Option<Principal>, capabilities: &str) {
        if let Some(session) = self.read().get(id) {
            // Nobody has been told of anything yet.
            *session.lock_told() = self.dispatcher.seen_now(&self.catalog, caller.as_ref()).generations();
            // A session that has an owner keeps it.
            let _already = session.owner.set(caller);
            let _already = session.capabilities.set(capabilities.into());
        }
    }

    /// Takes note of the way to the client, and tells what it missed meanwhile.
    pub(super) fn initialized(&self, id: &str, peer: Peer<RoleServer>) {
        let session = self.read().get(id).cloned();
        if let Some(session) = session {
            // A second `initialized` changes nothing.
            let _already = session.peer.set(peer);
            self.tell(&session);
        }
    }

    /// Whether this caller may open one more session. Where there are as many as may be, idle ones are ended first.
    pub(super) async fn has_room(&self, caller: Option<&Principal>) -> bool {
        if !self.room.is_full() {
            // Nobody is counted as long as half of the room is free.
            let is_scarce = self.room.open() >= self.room.max() / 2;
            return !is_scarce || caller.is_none_or(|caller| self.room.of(caller) < (self.room.max() / 2).max(1));
        }
        self.sweep().await;
        if self.room.is_full() {
            self.room.make_room().await;
        }
        !self.room.is_full()
    }

    /// Open sessions, of all endpoints.
    pub(super) fn len(&self) -> usize {
        self.room.open()
    }

    /// Ends all sessions for good, since what they were about is gone. Calls that run end by themselves.
    pub(super) async fn retire(&self) {
        let ended: Vec<SessionId> = {
            let mut table = self.write();
            self.retired.store(true, Ordering::Release);
            table.drain().map(|(id, _)| id).collect()
        };
        for id in ended {
            self.room.leave();
            if let Err(error) = self.local.close_session(&id).await {
                tracing::debug!(session = &*id, "the session did not end: {error}");
            }
        }
    }

    /// How long a session may be unused.
    fn idle(&self) -> Duration {
        self.options.load().session_idle
    }

    async fn sweep(&self) {
        let now = self.now();
        let idle = u64::try_from(self.idle().as_micros()).unwrap_or(u64::MAX);
        let unused = |session: &Session| now.saturating_sub(session.used.load(Ordering::Relaxed)) >= idle && !session.is_busy();
        let ended: Vec<SessionId> = self.read().iter().filter(|(_, session)| unused(session)).map(|(id, _)| Arc::clone(id)).collect();
        for id in ended {
            tracing::debug!(session = &*id, "session ended: it was not used for {:?}", self.idle());
            if let Err(error) = self.close_session(&id).await {
                tracing::warn!(session = &*id, "the session did not end: {error}");
            }
        }
    }

    /// Tells the session's client once of all changes so far, if it listens.
    fn tell(&self, session: &Arc<Session>) {
        let Some(peer) = session.peer.get().cloned() else { return };
        let news =
            || *session.lock_told() != session.seen(&self.dispatcher, &self.catalog).generations() || session.lock_subscriptions().waits();
        if session.streams.load(Ordering::Acquire) == 0 || !news() || session.telling.swap(true, Ordering::AcqRel) {
            return;
        }
        let (session, catalog, dispatcher) = (Arc::clone(session), Arc::clone(&self.catalog), Arc::clone(&self.dispatcher));
        // Ends by itself within TELLING; one at a time for each session.
        tokio::spawn(async move {
            loop {
                let mut updated = session.lock_subscriptions().take();
                let now = {
                    let seen = session.seen(&dispatcher, &catalog);
                    // What was allowed when it subscribed may not be any more.
                    updated.retain(|uri| !seen.is_limited() || seen.resource(uri).is_some());
                    seen.generations()
                };
                let before = std::mem::replace(&mut *session.lock_told(), now);
                if before != now || !updated.is_empty() {
                    match tokio::time::timeout(TELLING, notify(&peer, before, now, updated)).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => tracing::debug!("a session could not be notified of a change: {error}"),
                        Err(_) => tracing::debug!("a session does not read its stream and was not notified of a change"),
                    }
                }
                session.telling.store(false, Ordering::Release);
                // A change between the last look and the store above.
                let news = session.seen(&dispatcher, &catalog).generations() != now || session.lock_subscriptions().waits();
                if !news || session.telling.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }

    fn touch(&self, session: &Session) {
        session.used.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says which lists have changed, and which resources.
async fn notify(peer: &Peer<RoleServer>, before: Generations, now: Generations, updated: BTreeSet<String>) -> Result<(), ServiceError> {
    if before.tools != now.tools {
        peer.notify_tool_list_changed().await?;
    }
    if before.prompts != now.prompts {
        peer.notify_prompt_list_changed().await?;
    }
    if before.resources != now.resources {
        peer.notify_resource_list_changed().await?;
    }
    for uri in updated {
        peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await?;
    }
    Ok(())
}

impl Session {
    fn new(known: Generations, now: u64) -> Self {
        Self {
            owner: OnceLock::new(),
            capabilities: OnceLock::new(),
            questions: Questions::default(),
            used: AtomicU64::new(now),
            // Info, as the specification's example servers have it.
            level: AtomicU8::new(1),
            streams: AtomicUsize::new(0),
            calls: Mutex::default(),
            open: Arc::default(),
            peer: OnceLock::new(),
            told: Mutex::new(known),
            telling: AtomicBool::new(false),
            subscriptions: Mutex::default(),
        }
    }

    /// What its owner may use by now.
    fn seen(&self, dispatcher: &Dispatcher, catalog: &Catalog) -> Seen {
        dispatcher.seen_now(catalog, self.owner.get().and_then(Option::as_ref))
    }

    /// The least level of log messages that the client wants.
    pub(super) fn level(&self) -> LogLevel {
        LogLevel::ALL.get(usize::from(self.level.load(Ordering::Relaxed))).copied().unwrap_or(LogLevel::Info)
    }

    /// What its client can: JSON text of an object.
    pub(super) fn capabilities(&self) -> &str {
        self.capabilities.get().map_or("{}", |capabilities| capabilities)
    }

    /// What its client was asked and has not answered.
    pub(super) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// `logging/setLevel`.
    pub(super) fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Makes a call cancellable until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, key: String, abort: AbortHandle) -> Registered {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.lock_calls().insert(key.clone(), (number, abort));
        Registered { session: Arc::clone(self), key, number }
    }

    /// `notifications/cancelled`: ends the call with that id, if it runs.
    pub(super) fn cancel(&self, key: &str) -> bool {
        let call = self.lock_calls().remove(key);
        call.map(|(_, abort)| abort.abort()).is_some()
    }

    /// Takes the id of a request that goes the general way, until it is answered. None: a request that went there before has it.
    pub(super) fn take_id(&self, key: String) -> Option<Taken> {
        self.open.take(key)
    }

    /// `resources/subscribe`; `subscribe` asks the provider. False: the client has subscribed to as many as may.
    pub(super) fn subscribe(&self, uri: &str, subscribe: impl FnOnce() -> Option<Subscription>) -> bool {
        self.lock_subscriptions().add(uri, MAX_SUBSCRIPTIONS, subscribe)
    }

    /// `resources/unsubscribe`.
    pub(super) fn unsubscribe(&self, uri: &str) {
        self.lock_subscriptions().remove(uri);
    }

    fn lock_subscriptions(&self) -> std::sync::MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_told(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0 || !self.lock_calls().is_empty()
    }

    fn lock_calls(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u64, AbortHandle)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call in the table of its session.
pub(super) struct Registered {
    session: Arc<Session>,
    key: String,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut calls = self.session.lock_calls();
        if calls.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            calls.remove(&self.key);
        }
    }
}

impl SessionManager for Sessions {
    type Error = SessionError;
    type Transport = SessionTransport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let (id, transport) = self.local.create_session().await?;
        let session = Arc::new(Session::new(self.dispatcher.seen_now(&self.catalog, None).generations(), self.now()));
        if !self.room.enter() {
            self.local.close_session(&id).await?;
            return Err(SessionError::Full(self.room.max()));
        }
        let retired = {
            let mut table = self.write();
            let retired = self.retired.load(Ordering::Acquire);
            if !retired {
                table.insert(Arc::clone(&id), session);
            }
            retired
        };
        if retired {
            self.room.leave();
            self.local.close_session(&id).await?;
            return Err(SessionError::Gone);
        }
        Ok((id, transport))
    }

    async fn initialize_session(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<ServerJsonRpcMessage, Self::Error> {
        Ok(self.local.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        Ok(self.read().contains_key(id) && self.local.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        let session = self.write().remove(id);
        if let Some(session) = session {
            self.room.leave();
            // The session is gone and with it whoever would read the answers.
            for (_, (_, abort)) in session.lock_calls().drain() {
                abort.abort();
            }
        }
        Ok(self.local.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.local.create_stream(id, message).await?)
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        Ok(self.local.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.local.create_standalone_stream(id).await?;
        Ok(self.watched(id, stream))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.local.resume(id, last_event_id).await?;
        Ok(self.watched(id, stream))
    }
}

impl Sessions {
    /// Counts a GET stream as open while it is, and ends it when the front closes.
    fn watched<S: Stream + Send + Sync + 'static>(&self, id: &SessionId, stream: S) -> impl Stream<Item = S::Item> + Send + Sync + 'static {
        let session = self.read().get(id).cloned();
        if let Some(session) = &session {
            session.streams.fetch_add(1, Ordering::AcqRel);
            self.tell(session);
        }
        let closing = self.closing.clone();
        let stream: Pin<Box<dyn Stream<Item = S::Item> + Send + Sync>> = Box::pin(stream);
        Watched { stream, session }.take_until(Box::pin(closing.cancelled_owned()))
    }
}

struct Watched<T> {
    stream: Pin<Box<dyn Stream<Item = T> + Send + Sync>>,
    session: Option<Arc<Session>>,
}

impl<T> Stream for Watched<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.streams.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_subscribes_to_so_many_resources_and_no_more() {
        let session = Session::new(Generations::default(), 0);
        let subscribe = |uri: &str| session.subscribe(uri, || None);
        assert!((0..MAX_SUBSCRIPTIONS).all(|n| subscribe(&format!("x://{n}"))));
        assert!(!subscribe("x://new"));
        assert!(subscribe("x://5"), "what is there already is not a new one");
        session.unsubscribe("x://5");
        assert!(subscribe("x://new"));
        assert!(!subscribe("x://5"));
    }
}
