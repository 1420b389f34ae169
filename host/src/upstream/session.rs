//! One connection to a server, whatever carries its messages: the requests in flight, whose a message is,
//! questions, log levels, subscriptions and the order of calls. A [`Transport`] sends and receives.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::{broadcast, oneshot, watch},
    task::AbortHandle,
    time::Instant,
};

use super::{
    CallGuard, CallLock, Change, ChannelError, Clock, Closing, Era, Known, ServerLog, Strays, Uris, input_required, message, no_turn,
    pending::{Entry, Flight, Reply},
    raw::write_json,
};
use crate::provider::{CallContext, JsonText, LogLevel};

/// Changes that a slow listener may be behind.
const CHANGES: usize = 64;

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What carries the messages of a session.
pub(crate) trait Transport: Send + Sync + Sized + 'static {
    /// A request that its caller has given up may be answered so much later, before a server whose calls go
    /// one at a time is started anew. None: nothing is waited for.
    const ABANDONED: Option<Duration>;

    /// How the server is spoken to. Before it was greeted: by the rules of sessions.
    fn era(&self) -> Era;

    /// Makes a request within its time and awaits its answer. It goes out under an id of
    /// [`Session::begin`]; what the server says meanwhile is handed to [`Session::take`].
    fn exchange<'a>(session: &'a Arc<Session<Self>>, request: Request<'a>) -> BoxFuture<'a, Result<JsonText, ChannelError>>;

    /// Sends an answer or a notification. Must not block; where it does not get there, nothing can be done.
    fn send(session: &Arc<Session<Self>>, message: String);

    /// Sends a request whose answer tells nothing. When this is ready, whatever is sent next comes to the server after it.
    fn ask_aside<'a>(session: &'a Arc<Session<Self>>, method: &'static str, params: String) -> BoxFuture<'a, ()>;

    /// Nobody waits for the answer to this request any more: the server is told. The request is
    /// removed from those in flight when nothing that the server says can be for it.
    fn abandon(session: &Arc<Session<Self>>, id: u64);

    /// Has the server tell updates of these resources, by the rules of 2026-07-28, until dropped.
    fn listen<'a>(session: &'a Arc<Session<Self>>, uris: &'a Uris) -> BoxFuture<'a, Option<Box<dyn Send>>>;

    /// The connection is of no more use.
    fn doom(session: &Session<Self>, why: &str);
}

/// A request as it is to be made.
pub(crate) struct Request<'a> {
    /// Which.
    pub(crate) method: &'static str,
    /// JSON text of an object.
    pub(crate) params: &'a str,
    /// Who makes it.
    pub(crate) context: &'a CallContext,
    /// Its right to be made, in the order of calls.
    pub(crate) turn: Option<Arc<CallGuard>>,
    /// When its time is over, as things stand: how long a message may wait for room.
    pub(crate) until: Instant,
}

/// One connection.
pub(crate) struct Session<T> {
    /// The server's name in the configuration.
    pub(crate) server: Arc<str>,
    /// What carries its messages.
    pub(crate) transport: T,
    /// What is learnt of the server, for all its connections.
    pub(crate) known: Arc<Known>,
    /// Requests that are not answered.
    pub(crate) flight: Flight,
    /// What the server tells of changes.
    pub(crate) changes: broadcast::Sender<Change>,
    /// The server's lines in the operator's log.
    pub(crate) log: ServerLog,
    /// Of more use, or not.
    pub(crate) closing: Closing,
    /// Answers that belong to no request.
    pub(crate) strays: Strays,
    /// Resources whose updates are wanted.
    pub(crate) wanted: watch::Sender<Uris>,
    /// Counts the sessions that took the place of one that the server has forgotten.
    pub(crate) opened: watch::Sender<u64>,
    /// By the server's ids, as JSON text.
    pub(super) questions: Mutex<HashMap<String, AbortHandle>>,
    turns: CallLock,
    next_id: AtomicU64,
    /// Whether the server sends log messages, and from which level on.
    logs: AtomicBool,
    level: AtomicU8,
}

/// Whether a request is made for a caller, so that what the server says can be for it.
pub(crate) fn is_call(method: &str) -> bool {
    matches!(method, "tools/call" | "resources/read" | "prompts/get" | "completion/complete")
}

impl<T: Transport> Session<T> {
    /// A connection that was not greeted yet.
    #[must_use]
    pub(crate) fn new(server: Arc<str>, known: Arc<Known>, transport: T) -> Arc<Self> {
        Arc::new(Self {
            log: ServerLog::new(Arc::clone(&server)),
            server,
            transport,
            known,
            flight: Flight::default(),
            changes: broadcast::channel(CHANGES).0,
            closing: Closing::default(),
            strays: Strays::default(),
            wanted: watch::Sender::default(),
            opened: watch::Sender::default(),
            questions: Mutex::default(),
            turns: CallLock::default(),
            next_id: AtomicU64::new(1),
            logs: AtomicBool::new(false),
            level: AtomicU8::new(LogLevel::Emergency as u8),
        })
    }

    /// An id that no request has had.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of the last request.
    pub(crate) fn last_id(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }

    /// Makes a request as [`Channel::request`](super::Channel::request) says.
    pub(crate) async fn request(
        self: &Arc<Self>,
        method: &'static str,
        params: &str,
        context: &CallContext,
        timeout: Duration,
    ) -> Result<JsonText, ChannelError> {
        let begun = Instant::now();
        let clock = Clock::start(timeout, context);
        let result = clock.limit(self.in_turn(method, params, timeout, &clock)).await;
        // Of a call it is the time that counts: it may have been done.
        if matches!(result, Err(ChannelError::Timeout(_)))
            && method.ends_with("/list")
            && let Some(fault) = self.strays.since(begun)
        {
            return Err(ChannelError::Malformed(fault));
        }
        result
    }

    async fn in_turn(
        self: &Arc<Self>,
        method: &'static str,
        params: &str,
        timeout: Duration,
        clock: &Clock<'_>,
    ) -> Result<JsonText, ChannelError> {
        let context = clock.context();
        if let Some(level) = context.notifier.as_ref().and_then(|notifier| notifier.log_level()) {
            self.lower_level(level).await;
        }
        match self.transport.era() {
            Era::Legacy => {
                // What nobody makes for a caller is asked beside all that there is: nothing that the server says is for it.
                let turn = if is_call(method) { Some(Arc::new(self.turn(timeout, clock.until()).await?)) } else { None };
                T::exchange(self, Request { method, params, context, turn, until: clock.until() }).await
            }
            Era::Modern => {
                let send = |params: String| async move {
                    T::exchange(self, Request { method, params: &params, context, turn: None, until: clock.until() }).await
                };
                input_required::answered(params, context.asker.as_deref(), send).await
            }
        }
    }

    async fn turn(&self, timeout: Duration, deadline: Instant) -> Result<CallGuard, ChannelError> {
        if let Some(turn) = self.turns.at_once(&self.known) {
            return Ok(turn);
        }
        let turn = self.turns.take(&self.known);
        tokio::pin!(turn);
        loop {
            if let Ok(turn) = tokio::time::timeout_at(deadline.min(Instant::now() + LOOK), &mut turn).await {
                return Ok(turn);
            }
            if T::ABANDONED.is_some_and(|since| self.flight.is_forsaken(since)) {
                T::doom(self, "the server has not ended a cancelled call, so its next request could belong to that call or to another");
                return Err(ChannelError::Closed("restarting the server: it did not end a cancelled call".to_owned()));
            }
            if Instant::now() >= deadline {
                return Err(no_turn(timeout));
            }
        }
    }

    /// Puts a request among those in flight, under an id of its own. What the receiver gives ends it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        method: &str,
        context: &CallContext,
        turn: Option<Arc<CallGuard>>,
    ) -> (InFlight<T>, oneshot::Receiver<Reply>) {
        let id = self.next_id();
        let (waits, reply) = oneshot::channel();
        let entry = Entry {
            waits: Some(waits),
            notifier: context.notifier.clone(),
            asker: context.asker.clone(),
            turn,
            questions: Vec::new(),
            is_call: is_call(method),
            left: None,
        };
        self.flight.insert(id, entry);
        (InFlight { session: Arc::clone(self), id, stage: Stage::Queued }, reply)
    }

    /// The server offers log messages: those of the usual levels are asked for, others when a caller wants them.
    pub(crate) async fn ask_for_logs(self: &Arc<Self>) {
        self.logs.store(true, Ordering::Relaxed);
        self.lower_level(LogLevel::Info).await;
    }

    /// Another session took the place of this one at the server: it knows nothing of levels.
    pub(crate) async fn renew_level(self: &Arc<Self>) {
        if self.logs.load(Ordering::Relaxed) {
            let level = self.level.load(Ordering::Relaxed);
            self.set_level(LogLevel::ALL.get(usize::from(level)).copied().unwrap_or(LogLevel::Info)).await;
        }
    }

    /// The level is the session's: the least that any caller wants.
    async fn lower_level(self: &Arc<Self>, level: LogLevel) {
        if self.transport.era() == Era::Legacy
            && self.logs.load(Ordering::Relaxed)
            && self.level.load(Ordering::Relaxed) > level as u8
            && self.level.fetch_min(level as u8, Ordering::Relaxed) > level as u8
        {
            self.set_level(level).await;
        }
    }

    async fn set_level(self: &Arc<Self>, level: LogLevel) {
        let mut params = String::from("{\"level\":");
        write_json(&mut params, &level);
        params.push('}');
        T::ask_aside(self, "logging/setLevel", params).await;
    }

    /// Updates of these resources are wanted from now on.
    pub(crate) fn want(&self, uris: Uris) {
        self.wanted.send_if_modified(|wanted| {
            let is_new = *wanted != uris;
            *wanted = uris;
            is_new
        });
    }

    pub(super) fn questions(&self) -> MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request among those in flight. Dropped before its answer, it is given up.
pub(crate) struct InFlight<T: Transport> {
    session: Arc<Session<T>>,
    /// Its id.
    pub(crate) id: u64,
    stage: Stage,
}

enum Stage {
    /// It may not have got out.
    Queued,
    /// The server has it.
    Sent,
    /// The server has it, and must not be told that it was given up.
    Uncancellable,
    /// It ended here. The server may still have to answer.
    Over,
    /// The server has answered.
    Done,
}

impl<T: Transport> InFlight<T> {
    /// The server has it from now on.
    pub(crate) fn sent(&mut self, cancellable: bool) {
        self.stage = if cancellable { Stage::Sent } else { Stage::Uncancellable };
    }

    /// It ended: the server knows that, or will answer all the same.
    pub(crate) fn over(&mut self) {
        self.stage = Stage::Over;
    }

    /// The server has answered, or never had it.
    pub(crate) fn done(&mut self) {
        self.stage = Stage::Done;
    }
}

impl<T: Transport> Drop for InFlight<T> {
    fn drop(&mut self) {
        let flight = &self.session.flight;
        match self.stage {
            Stage::Queued | Stage::Done => drop(flight.remove(self.id)),
            Stage::Uncancellable | Stage::Over => drop(flight.leave(self.id)),
            Stage::Sent => {
                if flight.leave(self.id) {
                    T::abandon(&self.session, self.id);
                }
            }
        }
    }
}

/// The notification that a request was given up.
#[must_use]
pub(crate) fn cancellation(id: u64) -> String {
    message::notification(
        "notifications/cancelled",
        &format!("{{\"requestId\":{id},\"reason\":\"the caller no longer waits for the answer\"}}"),
    )
}
