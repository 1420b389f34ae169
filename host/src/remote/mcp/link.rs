//! The session with one server: greeting it, greeting it again when it has forgotten, trying again what may be tried again, and when it is gone.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Method};
use tokio::sync::{broadcast, watch};

use super::{
    asking::Flying,
    exchange::Answer,
    headers::{ParamHeaders, Speech},
    http::{Failure, Http},
};
use crate::{
    provider::{CallContext, JsonText, LogLevel},
    upstream::{
        Change, ChannelError, Closing, Era, Known, Turn, Turns, Uris,
        handshake::{Greeting, Wire, capability, greet},
        message,
        raw::{RawObject, write_json},
    },
};

/// Changes that a slow listener may be behind.
const CHANGES: usize = 64;

/// A request whose connection was refused is sent again after these: nothing of it was done.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// A message that nobody waits for.
const ASIDE: Duration = Duration::from_secs(10);

/// What was agreed on with the server.
pub(super) struct Session {
    pub(super) speech: Speech,
    /// The `result` of `initialize` or `server/discover`.
    pub(super) server: JsonText,
    /// The least level of log messages that it was told to send.
    level: AtomicU8,
}

pub(super) struct Link {
    pub(super) http: Arc<Http>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) params: ParamHeaders,
    /// Requests that wait for their answers, by id.
    pub(super) flight: Mutex<HashMap<u64, Flying>>,
    /// None: it was not greeted yet.
    session: watch::Sender<Option<Arc<Session>>>,
    /// Of calls, in the older era.
    pub(super) turns: Turns,
    /// Held by whoever opens it again.
    opening: tokio::sync::Mutex<()>,
    next_id: AtomicU64,
    /// Of more use, or not.
    pub(super) closing: Closing,
    /// Resources whose updates are wanted.
    pub(super) wanted: watch::Sender<Uris>,
}

impl Link {
    /// Greets a server.
    pub(super) async fn open(http: Arc<Http>) -> Result<Arc<Self>, ChannelError> {
        let link = Arc::new(Self {
            http,
            changes: broadcast::channel(CHANGES).0,
            params: ParamHeaders::default(),
            flight: Mutex::default(),
            session: watch::Sender::new(None),
            turns: Turns::default(),
            opening: tokio::sync::Mutex::default(),
            next_id: AtomicU64::new(1),
            closing: Closing::default(),
            wanted: watch::Sender::default(),
        });
        // What it spoke the last time may not be what it speaks now: who runs it may have changed it.
        link.greet(&Known::default()).await?;
        Ok(link)
    }

    async fn greet(self: &Arc<Self>, known: &Known) -> Result<Arc<Session>, ChannelError> {
        let handshake = Handshake { link: self, legacy: Mutex::new(Speech::legacy()) };
        let Greeting { era, version, server } = greet(&handshake, known).await?;
        let speech = match era {
            Era::Modern => Speech::modern(),
            Era::Legacy => handshake.legacy.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        tracing::debug!(server = %self.http.id, version, "handshake done");
        let session = Arc::new(Session { speech, server, level: AtomicU8::new(LogLevel::Emergency as u8) });
        self.session.send_replace(Some(session.clone()));
        if era == Era::Legacy {
            self.lower_level(&session, LogLevel::Info).await;
        }
        Ok(session)
    }

    pub(super) fn session(&self) -> Arc<Session> {
        // Nobody but the handshake has a link that was not greeted.
        self.session.borrow().clone().unwrap_or_else(|| {
            Arc::new(Session { speech: Speech::legacy(), server: JsonText::from_writer("{}".to_owned()), level: AtomicU8::new(0) })
        })
    }

    /// Sees each session that takes the place of another.
    pub(super) fn sessions(&self) -> watch::Receiver<Option<Arc<Session>>> {
        self.session.subscribe()
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request and awaits its answer, and sends it again where that does no harm. Its turn is over when the server knows that it is.
    pub(super) async fn request(
        self: &Arc<Self>,
        method: &'static str,
        params: &str,
        context: &CallContext,
        turn: Option<Arc<Turn>>,
    ) -> Result<JsonText, ChannelError> {
        // All others only read.
        let idempotent = method != "tools/call";
        let mut pauses = AGAIN.iter();
        let (mut repeated, mut reopened) = (false, false);
        loop {
            let session = self.session();
            if let Some(level) = context.notifier.as_ref().and_then(|notifier| notifier.log_level()) {
                self.lower_level(&session, level).await;
            }
            let failure = match self.exchange(&session.speech, method, params, context, turn.clone()).await {
                Ok(Answer { result, .. }) => return Ok(result),
                Err(failure) => failure,
            };
            match &failure {
                Failure::Connect(why) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await,
                    None => {
                        self.closing.close(why);
                        return Err(failure.into());
                    }
                },
                Failure::Broken(_) if idempotent && !repeated => repeated = true,
                Failure::Refused(refusal) if idempotent && !repeated && refusal.is_passing() => repeated = true,
                // The server says that it does not know the session, so that it did nothing.
                Failure::Refused(refusal) if session.speech.session.is_some() && !reopened && refusal.is_of_session() => {
                    reopened = true;
                    self.reopen(&session).await?;
                }
                Failure::Broken(_) | Failure::Refused(_) | Failure::Channel(_) => return Err(failure.into()),
            }
        }
    }

    /// Opens the session again that the server has forgotten. One does it for all.
    pub(super) async fn reopen(self: &Arc<Self>, stale: &Arc<Session>) -> Result<(), ChannelError> {
        let _one = self.opening.lock().await;
        if !Arc::ptr_eq(&self.session(), stale) {
            return Ok(());
        }
        tracing::info!(server = %self.http.id, "the session has expired on the server: opening a new one");
        let known = Known::default();
        known.set_era(Era::Legacy);
        match self.greet(&known).await {
            Ok(session) if session.server == stale.server => {
                // It was started again, most likely.
                self.all_changed(&session.server);
                Ok(())
            }
            Ok(_) => {
                self.closing.close("the server's name, version or capabilities have changed");
                Ok(())
            }
            Err(error) => {
                self.closing.close(&format!("the session has expired on the server, and opening a new one failed: {error}"));
                Err(error)
            }
        }
    }

    /// Tells that anything may have changed while nobody listened.
    pub(super) fn all_changed(&self, server: &JsonText) {
        for (name, change) in [("tools", Change::Tools), ("prompts", Change::Prompts), ("resources", Change::Resources)] {
            if capability(server, name).is_some() {
                // Nobody may listen.
                let _ = self.changes.send(change);
            }
        }
    }

    /// In the older era the level is the session's: the least that any caller wants.
    async fn lower_level(self: &Arc<Self>, session: &Session, level: LogLevel) {
        if session.speech.era == Era::Legacy
            && session.level.load(Ordering::Relaxed) > level as u8
            && capability(&session.server, "logging").is_some()
            && session.level.fetch_min(level as u8, Ordering::Relaxed) > level as u8
        {
            let mut params = String::from("{\"level\":");
            write_json(&mut params, &level);
            params.push('}');
            let context = CallContext::default();
            let setting = self.exchange(&session.speech, "logging/setLevel", &params, &context, None);
            if !matches!(tokio::time::timeout(ASIDE, setting).await, Ok(Ok(_))) {
                tracing::debug!(server = %self.http.id, "the server rejected the log level");
            }
        }
    }

    /// Sends a notification or an answer.
    pub(super) async fn tell(&self, speech: &Speech, message: String) -> Result<(), Failure> {
        self.http.send(Method::POST, speech.headers(), Some(message)).await.map(drop)
    }

    /// The same, where nothing can be done about it if it does not get there.
    pub(super) async fn tell_aside(&self, speech: &Speech, message: String) {
        match tokio::time::timeout(ASIDE, self.tell(speech, message)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::debug!(server = %self.http.id, "a message could not be delivered: {}", ChannelError::from(failure))
            }
            Err(_) => tracing::debug!(server = %self.http.id, "a message could not be delivered in time"),
        }
    }
}

/// The first words.
struct Handshake<'a> {
    link: &'a Arc<Link>,
    /// How the older era is spoken, which `initialize` tells.
    legacy: Mutex<Speech>,
}

impl Handshake<'_> {
    fn legacy(&self) -> std::sync::MutexGuard<'_, Speech> {
        self.legacy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for Handshake<'_> {
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            let speech = match era {
                Era::Modern => Speech::modern(),
                Era::Legacy => Speech::legacy(),
            };
            let Answer { result, session } = self.link.exchange(&speech, method, params, &CallContext::default(), None).await?;
            if era == Era::Legacy {
                let version: Option<String> = RawObject::parse(result.as_str()).and_then(|result| result.read("protocolVersion"));
                let version = version.and_then(|version| HeaderValue::try_from(version).ok());
                *self.legacy() = Speech { era, version, session };
            }
            Ok(result)
        })
    }

    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>> {
        let speech = self.legacy().clone();
        Box::pin(async move { Ok(self.link.tell(&speech, message::notification(method, params)).await?) })
    }
}
