//! The transport of 2024 (HTTP with SSE), which many servers still speak alone: one GET stream on which the server
//! says everything, and an address, told on that stream, that takes what is sent to it.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderMap, Method, header};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::task::AbortOnDropHandle;

use super::http::{Failure, Http};
use crate::{
    provider::{CallContext, JsonText},
    supervisor::replicas::Attached,
    upstream::{
        Change, Channel, ChannelError, Entry, Era, Known, Request, Session, Transport, Uris, cancellation,
        handshake::{Wire, capability, greet, subscribes},
        is_call,
        message::{self, Incoming},
        meta,
        sse_decoder::SseDecoder,
        subscriber,
    },
};

/// A message that nobody waits for.
const ASIDE: Duration = Duration::from_secs(10);
/// Such messages that are on their way at once.
const MAX_ASIDE: usize = 64;

/// The two ways of one connection.
pub(super) struct TwoWay {
    /// Where what is sent goes.
    post: Arc<Http>,
    aside: Arc<Semaphore>,
}

type Connection = Session<TwoWay>;

impl Transport for TwoWay {
    /// What was given up is in flight no longer than it takes to say so.
    const ABANDONED: Option<Duration> = None;

    fn era(&self) -> Era {
        Era::Legacy
    }

    fn exchange<'a>(session: &'a Arc<Session<Self>>, request: Request<'a>) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(session.exchange(request.method, request.params, request.context, request.turn))
    }

    fn send(session: &Arc<Session<Self>>, message: String) {
        let Ok(place) = Arc::clone(&session.transport.aside).try_acquire_owned() else {
            return tracing::debug!(server = &*session.server, "too many messages to the server at once");
        };
        session.spawn(move |session| async move {
            session.tell(message).await;
            drop(place);
        });
    }

    fn ask_aside<'a>(session: &'a Arc<Session<Self>>, method: &'static str, params: String) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let context = CallContext::default();
            match tokio::time::timeout(ASIDE, session.exchange(method, &params, &context, None)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(server = &*session.server, method, params, "{error}"),
                Err(_) => tracing::debug!(server = &*session.server, method, params, "no answer within {ASIDE:?}"),
            }
        })
    }

    fn abandon(session: &Arc<Session<Self>>, id: u64) {
        // What the server asks until it knows may be for this call.
        session.spawn(move |session| async move {
            session.tell(cancellation(id)).await;
            drop(session.flight.remove(id));
        });
    }

    fn listen<'a>(_: &'a Arc<Session<Self>>, _: &'a Uris) -> BoxFuture<'a, Option<Box<dyn Send>>> {
        // Of the newer era.
        Box::pin(std::future::ready(None))
    }

    fn doom(session: &Session<Self>, why: &str) {
        session.closing.close(why);
    }
}

impl Session<TwoWay> {
    /// Sends a request and awaits its answer, which comes on the stream.
    async fn exchange(
        self: &Arc<Self>,
        method: &'static str,
        params: &str,
        context: &CallContext,
        turn: Option<Arc<crate::upstream::CallGuard>>,
    ) -> Result<JsonText, ChannelError> {
        let (mut in_flight, answer) = self.begin(method, context, turn);
        let meta = meta::outgoing(Era::Legacy, context, in_flight.id);
        let text = message::request(in_flight.id, method, params, meta.as_deref());
        // Looked at after the request is among those that are failed when the stream ends: one of both sees the other.
        if let Some(why) = self.closing.why() {
            return Err(ChannelError::Closed(why.to_string()));
        }
        // MCP: `initialize` must not be cancelled.
        in_flight.sent(method != "initialize");
        let call = is_call(method).then(|| context.into());
        let sent = async {
            match self.transport.post.send(Method::POST, HeaderMap::new(), Some(text), call).await {
                Ok(_) => std::future::pending().await,
                Err(failure) => failure,
            }
        };
        tokio::select! {
            reply = answer => {
                in_flight.over();
                reply.unwrap_or_else(|_| Err(ChannelError::Closed("the connection was closed by the host".to_owned())))
            }
            failure = sent => {
                in_flight.done();
                if let Failure::Connect(why) = &failure {
                    self.end(why);
                }
                Err(failure.into())
            }
        }
    }

    /// Sends something that nobody waits for.
    async fn tell(&self, message: String) {
        match tokio::time::timeout(ASIDE, self.transport.post.send(Method::POST, HeaderMap::new(), Some(message), None)).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => {
                tracing::debug!(server = &*self.server, "a message could not be delivered: {}", ChannelError::from(failure));
            }
            Err(_) => tracing::debug!(server = &*self.server, "a message could not be delivered in time"),
        }
    }

    /// The connection is of no more use. The first reason stays.
    fn end(&self, why: &str) {
        self.closing.close(why);
        self.flight.fail(&self.closing.why().unwrap_or_else(|| why.into()));
    }

    fn take(self: &Arc<Self>, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Answer { id, written, result } => match id.and_then(|id| self.flight.remove(id)) {
                Some(Entry { waits: Some(waits), turn, .. }) => {
                    // Nobody may wait any more.
                    let _ = waits.send(result.map(|result| JsonText::from_writer(result.to_owned())));
                    drop(turn);
                }
                Some(Entry { waits: None, .. }) => {}
                None => {
                    let written: String = written.unwrap_or("null").chars().take(40).collect();
                    self.strays.note(&format!(
                        "the server answers under the id {written}, and no request that waits has that id: a server has to give each answer the id of its request"
                    ));
                }
            },
            Incoming::Request { id, method, params } => self.requested(id, &method, params, None),
            Incoming::Notification { method, params } => self.notified(&method, params, None),
        }
    }

    /// Takes what the server says until its stream ends.
    async fn read(self: Arc<Self>, mut stream: Stream) {
        let why = loop {
            match stream.next().await {
                Ok(Some(data)) => match Incoming::parse(&data) {
                    Some(incoming) => self.take(incoming),
                    None => tracing::debug!(server = &*self.server, "an event that is not an MCP message"),
                },
                Ok(None) => break format!("{} has ended the stream on which it answers", self.transport.post.place()),
                Err(failure) => break ChannelError::from(failure).to_string(),
            }
        };
        self.end(&why);
    }

    /// Does something beside. Without a runtime the process ends, and the server with it.
    fn spawn<F: Future<Output = ()> + Send + 'static>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work(Arc::clone(self)));
        }
    }
}

/// The server's events.
struct Stream {
    http: Arc<Http>,
    response: reqwest::Response,
    events: SseDecoder,
}

impl Stream {
    /// The data of the next event. None: there is no more.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(data) = self.events.next() {
                return Ok(Some(data));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.http.push(&mut self.events, &bytes)?,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.http.broken(&error)),
            }
        }
    }
}

/// A server of 2024 that was greeted.
pub(super) struct TwoWayChannel {
    session: Arc<Connection>,
    server: JsonText,
    reader: AbortOnDropHandle<()>,
    subscriber: AbortOnDropHandle<()>,
}

impl TwoWayChannel {
    /// Connects, where the address is one of that transport. None: it is not.
    ///
    /// # Errors
    ///
    /// Why the server, which speaks it, cannot be used.
    pub(super) async fn connect(http: &Arc<Http>) -> Option<Result<Arc<Self>, ChannelError>> {
        let response = http.send(Method::GET, HeaderMap::new(), None, None).await.ok()?;
        let kind = response.headers().get(header::CONTENT_TYPE)?;
        if !kind.as_bytes().starts_with(b"text/event-stream") {
            return None;
        }
        let mut stream = Stream { http: Arc::clone(http), response, events: SseDecoder::new(http.limits.max_message) };
        // The first event says where to send to.
        let first = stream.next().await.ok()??;
        let told = std::str::from_utf8(&first).ok().filter(|told| !told.starts_with('{'))?.trim();
        Some(match http.beside(told) {
            Ok(post) => Self::greet(stream, Arc::new(post)).await,
            Err(why) => Err(ChannelError::Malformed(why)),
        })
    }

    async fn greet(stream: Stream, post: Arc<Http>) -> Result<Arc<Self>, ChannelError> {
        let known = Arc::clone(&post.known);
        let transport = TwoWay { aside: Arc::new(Semaphore::new(MAX_ASIDE)), post };
        let session = Session::new(stream.http.id.as_str().into(), known, transport);
        let reader = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&session).read(stream)));
        // No server of this transport knows the newer era.
        let era = Known::default();
        era.set_era(Era::Legacy);
        let greeting = greet(&Handshake(&session), &era).await?;
        let server = greeting.server.clone();
        tracing::debug!(server = &*session.server, version = greeting.version, "handshake done, by the SSE transport of 2024");
        if capability(&server, "logging").is_some() {
            session.ask_for_logs().await;
        }
        let subscriber = AbortOnDropHandle::new(tokio::spawn(subscriber::run(Arc::clone(&session))));
        Ok(Arc::new(Self { session, server, reader, subscriber }))
    }
}

/// The first words.
struct Handshake<'a>(&'a Arc<Connection>);

impl Wire for Handshake<'_> {
    fn exchange<'a>(&'a self, _: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move { self.0.exchange(method, params, &CallContext::default(), None).await })
    }

    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(async move {
            self.0.tell(message::notification(method, params)).await;
            Ok(())
        })
    }
}

impl Channel for TwoWayChannel {
    fn request<'a>(
        &'a self,
        method: &'static str,
        params: &'a str,
        context: &'a CallContext,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(self.session.request(method, params, context, timeout))
    }

    fn server(&self) -> &JsonText {
        &self.server
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.session.changes.subscribe()
    }

    fn subscribe(&self, uris: Uris) {
        if subscribes(&self.server) {
            self.session.want(uris);
        }
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.session.closing.wait().await.to_string() })
    }
}

/// What is at the server for this host: the stream.
pub(super) struct Streamed(pub(super) Arc<TwoWayChannel>);

impl Attached for Streamed {
    fn name(&self) -> String {
        self.0.session.transport.post.place()
    }

    fn stop(self: Box<Self>, _: Duration) -> BoxFuture<'static, ()> {
        // The end of the stream is all that the server is told.
        self.0.reader.abort();
        self.0.subscriber.abort();
        self.0.session.end("the connection was closed by the host");
        Box::pin(std::future::ready(()))
    }
}
