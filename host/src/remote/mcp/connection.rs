//! A session over HTTP: the handshake, again when the server has forgotten the session, trying again what may be tried again, and when the server is gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    exchange::Answer,
    http::{Failure, Http},
    listen,
};
use crate::{
    credentials::OnBehalf,
    provider::{CallContext, JsonText, Principal},
    upstream::{
        CallGuard, Change, ChannelError, Era, Known, Request, Session, Transport, Uris, cancellation,
        handshake::{Greeting, Wire, capability, greet, resource_subscription},
        http_headers::{ParamHeaders, SessionHeaders},
        message,
        raw::RawObject,
    },
};

/// A request whose connection was refused is sent again after these: nothing of it was done.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// A message that nobody waits for.
const ASIDE: Duration = Duration::from_secs(10);

/// Answers and notifications that are on their way at once. A server that asks for more gets no answer.
const MAX_ASIDE: usize = 64;

/// What was agreed on with the server.
pub(super) struct Agreed {
    pub(super) speech: SessionHeaders,
    /// The `result` of `initialize` or `server/discover`.
    pub(super) server: JsonText,
}

/// Requests of HTTP to one server.
pub(super) struct HttpTransport {
    pub(super) http: Arc<Http>,
    pub(super) params: ParamHeaders,
    /// Whose it is, as it called last. None: the host's own.
    caller: Option<ArcSwap<Principal>>,
    /// None: the handshake is not done.
    agreed: watch::Sender<Option<Arc<Agreed>>>,
    /// Held by whoever opens the session again.
    opening: tokio::sync::Mutex<()>,
    aside: Arc<Semaphore>,
}

/// One connection.
pub(super) type HttpConnection = Session<HttpTransport>;

impl Transport for HttpTransport {
    /// What was given up is in flight no longer than it takes to say so.
    const ABANDONED: Option<Duration> = None;

    fn era(&self) -> Era {
        self.agreed.borrow().as_ref().map_or(Era::Legacy, |agreed| agreed.speech.era)
    }

    fn exchange<'a>(session: &'a Arc<Session<Self>>, request: Request<'a>) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        let Request { method, params, context, turn, .. } = request;
        Box::pin(session.retried(method, params, context, turn))
    }

    fn send(session: &Arc<Session<Self>>, message: String) {
        let Ok(place) = Arc::clone(&session.transport.aside).try_acquire_owned() else {
            return tracing::debug!(server = &*session.server, "too many requests of the server at once");
        };
        session.spawn(move |link| async move {
            link.tell_aside(message).await;
            drop(place);
        });
    }

    fn ask_aside<'a>(session: &'a Arc<Session<Self>>, method: &'static str, params: String) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let context = CallContext::default();
            // The level is set in the middle of opening a session, which is not opened again for it.
            let asked = async {
                if method == "logging/setLevel" {
                    let speech = session.agreed().speech.clone();
                    session.exchange(&speech, method, &params, &context, None).await.map(drop).map_err(ChannelError::from)
                } else {
                    session.retried(method, &params, &context, None).await.map(drop)
                }
            };
            match tokio::time::timeout(ASIDE, asked).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(server = &*session.server, method, params, "{error}"),
                Err(_) => tracing::debug!(server = &*session.server, method, params, "no answer within {ASIDE:?}"),
            }
        })
    }

    fn abandon(session: &Arc<Session<Self>>, id: u64) {
        if session.transport.era() == Era::Modern {
            drop(session.flight.remove(id));
            return;
        }
        // What the server asks until it knows may be for this call.
        session.spawn(move |link| async move {
            link.tell_aside(cancellation(id)).await;
            drop(link.flight.remove(id));
        });
    }

    fn listen<'a>(session: &'a Arc<Session<Self>>, uris: &'a Uris) -> BoxFuture<'a, Option<Box<dyn Send>>> {
        Box::pin(async move {
            resource_subscription(&session.agreed().server, uris)?;
            let task = listen::updates(Arc::clone(session), Arc::clone(uris)).await;
            Some(Box::new(AbortOnDropHandle::new(task)) as Box<dyn Send>)
        })
    }

    fn doom(session: &Session<Self>, why: &str) {
        session.closing.close(why);
    }
}

impl HttpTransport {
    /// Sends one request: for the caller of a call, else for whom the connection is.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Option<String>,
        call: Option<&CallContext>,
    ) -> Result<reqwest::Response, Failure> {
        let own = self.caller.as_ref().map(|caller| caller.load_full());
        let caller = call.map(OnBehalf::from).or_else(|| own.as_deref().map(|own| OnBehalf { principal: Some(own), headers: None }));
        self.http.send(method, headers, body, caller).await
    }

    /// From now on what is sent beside calls goes by this token of the caller.
    pub(super) fn goes_by(&self, principal: &Principal) {
        if let Some(caller) = &self.caller {
            caller.store(Arc::new(principal.clone()));
        }
    }
}

impl Session<HttpTransport> {
    /// Does the handshake with a server, in the name of a caller or in the host's own.
    pub(super) async fn open(http: Arc<Http>, caller: Option<Principal>) -> Result<Arc<Self>, ChannelError> {
        let transport = HttpTransport {
            caller: caller.map(ArcSwap::from_pointee),
            params: ParamHeaders::default(),
            agreed: watch::Sender::new(None),
            opening: tokio::sync::Mutex::default(),
            aside: Arc::new(Semaphore::new(MAX_ASIDE)),
            http: http.clone(),
        };
        let link = Self::new(http.id.as_str().into(), Arc::clone(&http.known), transport);
        // What it spoke the last time may not be what it speaks now: who runs it may have changed it.
        link.greet(&Known::of(&http.limits)).await?;
        Ok(link)
    }

    async fn greet(self: &Arc<Self>, known: &Known) -> Result<Arc<Agreed>, ChannelError> {
        let handshake = Handshake { link: self, legacy: Mutex::new(SessionHeaders::legacy()) };
        let Greeting { era, version, server } = greet(&handshake, known).await?;
        let speech = match era {
            Era::Modern => SessionHeaders::modern(),
            Era::Legacy => handshake.legacy.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        tracing::debug!(server = &*self.server, version, "handshake done");
        let agreed = Arc::new(Agreed { speech, server });
        let is_first = self.transport.agreed.send_replace(Some(agreed.clone())).is_none();
        if era == Era::Legacy && capability(&agreed.server, "logging").is_some() {
            if is_first {
                self.ask_for_logs().await;
            } else {
                self.renew_level().await;
            }
        }
        Ok(agreed)
    }

    pub(super) fn agreed(&self) -> Arc<Agreed> {
        // Nobody but the handshake has a link whose handshake is not done.
        self.transport
            .agreed
            .borrow()
            .clone()
            .unwrap_or_else(|| Arc::new(Agreed { speech: SessionHeaders::legacy(), server: JsonText::from_writer("{}".to_owned()) }))
    }

    /// Sees each session that takes the place of another.
    pub(super) fn sessions(&self) -> watch::Receiver<Option<Arc<Agreed>>> {
        self.transport.agreed.subscribe()
    }

    /// Sends a request and awaits its answer, and sends it again where that does no harm. Its turn is over when the server knows that it is.
    async fn retried(
        self: &Arc<Self>,
        method: &'static str,
        params: &str,
        context: &CallContext,
        turn: Option<Arc<CallGuard>>,
    ) -> Result<JsonText, ChannelError> {
        // All others only read.
        let idempotent = method != "tools/call";
        let mut pauses = AGAIN.iter();
        let (mut repeated, mut reopened) = (false, false);
        loop {
            let agreed = self.agreed();
            let failure = match self.exchange(&agreed.speech, method, params, context, turn.clone()).await {
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
                Failure::Refused(refusal) if agreed.speech.session.is_some() && !reopened && refusal.is_of_session() => {
                    reopened = true;
                    self.reopen(&agreed).await?;
                }
                Failure::Broken(_) | Failure::Refused(_) | Failure::Channel(_) => return Err(failure.into()),
            }
        }
    }

    /// Opens the session again that the server has forgotten. One does it for all.
    pub(super) async fn reopen(self: &Arc<Self>, stale: &Arc<Agreed>) -> Result<(), ChannelError> {
        let _one = self.transport.opening.lock().await;
        if !Arc::ptr_eq(&self.agreed(), stale) {
            return Ok(());
        }
        tracing::info!(server = &*self.server, "the session has expired on the server: opening a new one");
        let known = Known::default();
        known.set_era(Era::Legacy);
        match self.greet(&known).await {
            Ok(agreed) if agreed.server == stale.server => {
                // It was started again, most likely.
                self.all_changed(&agreed.server);
                self.opened.send_modify(|number| *number += 1);
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

    /// Says good-bye, where there is a session and somebody to say it to.
    pub(super) async fn leave(self: Arc<Self>) {
        let agreed = self.agreed();
        if agreed.speech.session.is_some() && self.closing.why().is_none() {
            // Whoever is gone need not be told.
            let _ = tokio::time::timeout(ASIDE, self.transport.send(Method::DELETE, agreed.speech.headers(), None, None)).await;
        }
        self.closing.close("the connection was closed by the host");
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

    /// Sends a notification or an answer.
    async fn tell(&self, speech: &SessionHeaders, message: String) -> Result<(), Failure> {
        self.transport.send(Method::POST, speech.headers(), Some(message), None).await.map(drop)
    }

    /// The same, where nothing can be done about it if it does not get there.
    async fn tell_aside(&self, message: String) {
        let agreed = self.agreed();
        match tokio::time::timeout(ASIDE, self.tell(&agreed.speech, message)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::debug!(server = &*self.server, "a message could not be delivered: {}", ChannelError::from(failure))
            }
            Err(_) => tracing::debug!(server = &*self.server, "a message could not be delivered in time"),
        }
    }

    /// Does something beside. Without a runtime the process ends, and the server with it.
    fn spawn<F: Future<Output = ()> + Send + 'static>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work(Arc::clone(self)));
        }
    }
}

/// The first words.
struct Handshake<'a> {
    link: &'a Arc<HttpConnection>,
    /// How the older era is spoken, which `initialize` tells.
    legacy: Mutex<SessionHeaders>,
}

impl Handshake<'_> {
    fn legacy(&self) -> std::sync::MutexGuard<'_, SessionHeaders> {
        self.legacy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for Handshake<'_> {
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            let speech = match era {
                Era::Modern => SessionHeaders::modern(),
                Era::Legacy => SessionHeaders::legacy(),
            };
            let Answer { result, session } = self.link.exchange(&speech, method, params, &CallContext::default(), None).await?;
            if era == Era::Legacy {
                let version: Option<String> = RawObject::parse(result.as_str()).and_then(|result| result.read("protocolVersion"));
                let version = version.and_then(|version| HeaderValue::try_from(version).ok());
                *self.legacy() = SessionHeaders { era, version, session };
            }
            Ok(result)
        })
    }

    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>> {
        let speech = self.legacy().clone();
        Box::pin(async move { Ok(self.link.tell(&speech, message::notification(method, params)).await?) })
    }
}
