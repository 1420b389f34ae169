//! One client: what it sends goes to the endpoint, what the endpoint sends comes back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{
    endpoint::{Answer, Endpoint, EndpointError},
    lines::Out,
    message::Message,
    session::{Greeting, Session},
};
use crate::remote::mcp::{
    events::Events,
    headers::{ParamHeaders, VERSION},
};

/// JSON-RPC: the message is none.
const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: the other end did not do its part.
const INTERNAL_ERROR: i32 = -32603;
/// MCP 2026-07-28: headers and body disagree, so that arguments may have to be repeated in headers.
const HEADER_MISMATCH: i64 = -32020;

/// Between tries of a request that did not go out. Together they outlast a restart of the other end.
const RETRIES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// How long a notification may take to be accepted: what follows it waits.
const ACCEPTED: Duration = Duration::from_secs(30);
/// How long the good-bye to a session may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between tries to listen again, the first and the longest.
const LISTEN_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Bytes of one message from the other end: larger than any limit of a host's own.
const LARGEST: usize = 256 << 20;
/// Bytes that are read of an error that is no message.
const ERROR_TEXT: usize = 16 << 10;

/// Clones are the same one.
#[derive(Clone)]
pub(super) struct Bridge(Arc<Inner>);

struct Inner {
    endpoint: Arc<dyn Endpoint>,
    output: mpsc::Sender<Out>,
    session: Mutex<Option<Session>>,
    greeting: Mutex<Greeting>,
    /// Held while a lost session is opened anew.
    renewing: tokio::sync::Mutex<()>,
    /// Hears what the other end sends outside of answers.
    listener: Mutex<Option<AbortOnDropHandle<()>>>,
    running: Mutex<HashMap<u64, Running>>,
    idle: Notify,
    next: AtomicU64,
    params: ParamHeaders,
}

/// A request that is not answered yet.
struct Running {
    /// JSON text.
    id: String,
    task: AbortOnDropHandle<()>,
    /// Of 2026-07-28, where the end of the connection cancels it.
    modern: bool,
    /// Lasts as long as the client does.
    listens: bool,
    /// The client wants no answer any more.
    cancelled: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bridge {
    pub(super) fn new(endpoint: Arc<dyn Endpoint>, output: mpsc::Sender<Out>) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            output,
            session: Mutex::default(),
            greeting: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            listener: Mutex::default(),
            running: Mutex::default(),
            idle: Notify::new(),
            next: AtomicU64::new(0),
            params: ParamHeaders::default(),
        }))
    }

    /// Ends what runs when it is dropped: the tasks hold the bridge, so that it would not go by itself.
    pub(super) fn until_dropped(&self) -> Ends {
        Ends(self.clone())
    }

    /// Takes one message. Requests run beside each other; all else is done in the order in which it comes.
    pub(super) async fn take(&self, line: Bytes) {
        let message = Message::of(&line);
        if message.is_request() && message.method.as_deref() == Some("initialize") && message.revision.is_none() {
            return self.initialize(message, line).await;
        }
        if message.is_request() {
            return self.start(message, line);
        }
        if let Some(id) = message.cancels()
            && self.cancel(&id)
        {
            return;
        }
        let begun = message.method.as_deref() == Some("notifications/initialized");
        if begun {
            lock(&self.0.greeting).initialized = Some(line.clone());
        }
        let request = self.request(&message, line);
        match tokio::time::timeout(ACCEPTED, self.exchange(&message, request)).await {
            Ok(()) => {}
            Err(_) => tracing::warn!(method = message.method.as_deref().unwrap_or("an answer"), "not accepted within {ACCEPTED:?}"),
        }
        if begun {
            self.listen();
        }
    }

    /// Says that a line was too long to be read.
    pub(super) async fn refuse_long(&self, limit: usize) {
        let message =
            format!("the message is longer than {limit} bytes, which is as long as one may be: max_body in [http] sets the limit");
        self.fail(None, INVALID_REQUEST, &message).await;
    }

    /// Waits until every request is answered, but those that only listen.
    pub(super) async fn finished(&self) {
        loop {
            let idle = self.0.idle.notified();
            if lock(&self.0.running).values().all(|running| running.listens) {
                return;
            }
            idle.await;
        }
    }

    /// Ends everything, the session too.
    pub(super) async fn end(&self) {
        drop(self.until_dropped());
        let session = lock(&self.0.session).take();
        if let Some(session) = session.filter(|session| session.id.is_some()) {
            let mut request = Request::new(Bytes::new());
            *request.method_mut() = Method::DELETE;
            session.write(request.headers_mut());
            // A session that nobody ends goes by itself.
            let _ = tokio::time::timeout(FAREWELL, self.0.endpoint.send(request)).await;
        }
    }

    /// Opens the session. What follows needs what the answer says, so it waits.
    async fn initialize(&self, message: Message, line: Bytes) {
        lock(&self.0.session).take();
        *lock(&self.0.greeting) = Greeting::begun(line.clone());
        match self.open(&message, line).await {
            Ok(answer) => self.say(answer).await,
            Err(why) => self.fail(message.id.as_deref(), INTERNAL_ERROR, &why).await,
        }
    }

    /// Sends `initialize`, and keeps the session that it opens. What is returned is the answer.
    async fn open(&self, message: &Message, line: Bytes) -> Result<Vec<u8>, String> {
        let answer = self.send(&post(HeaderMap::new(), line)).await.map_err(|error| error.message)?;
        let headers = answer.headers().clone();
        let mut messages = Messages::of(answer);
        loop {
            let answer = match messages.next(message.id.as_deref()).await {
                Some(answer) => answer?,
                None => return Err("the server ended its answer to initialize before it was whole".to_owned()),
            };
            if is_answer(&answer, message.id.as_deref()) {
                *lock(&self.0.session) = Session::of(&headers, &answer);
                return Ok(answer);
            }
            self.say(answer).await;
        }
    }

    /// Opens a session in place of one that the other end has lost, and tells it again what it knew.
    async fn renew(&self, lost: &Session) -> Result<(), String> {
        let _one = self.0.renewing.lock().await;
        if lock(&self.0.session).as_ref() != Some(lost) {
            return Ok(()); // Somebody else was quicker.
        }
        let greeting = lock(&self.0.greeting).clone();
        let Some(line) = greeting.initialize.clone() else { return Ok(()) };
        let answer = self.open(&Message::of(&line), line).await?;
        if lock(&self.0.session).is_none() {
            return Err(format!("the server does not open a new session: {}", String::from_utf8_lossy(&answer)));
        }
        tracing::info!("the server had lost the session; a new one was opened");
        for line in greeting.rest() {
            let request = self.request(&Message::of(line), line.clone());
            self.send(&request).await.map_err(|error| error.message)?;
        }
        self.listen();
        // What was listed before may be different now.
        for list in ["tools", "prompts", "resources"] {
            let note = json!({ "jsonrpc": "2.0", "method": format!("notifications/{list}/list_changed") });
            self.say(note.to_string().into_bytes()).await;
        }
        Ok(())
    }

    /// Runs a request beside the others.
    fn start(&self, message: Message, line: Bytes) {
        let serial = self.0.next.fetch_add(1, Ordering::Relaxed);
        let method = message.method.as_deref().unwrap_or_default();
        let (listens, modern) = (method == "subscriptions/listen", message.revision.is_some());
        let waits = !matches!(method, "ping" | "server/discover");
        let id = message.id.clone().unwrap_or_default();
        let bridge = self.clone();
        // The task cannot be done before it is in the table: it takes its place out under the same lock.
        let mut running = lock(&self.0.running);
        let task = tokio::spawn(async move {
            let _done = Done { bridge: bridge.clone(), serial };
            if waits {
                bridge.0.endpoint.ready().await;
            }
            if message.revision.is_none() {
                lock(&bridge.0.greeting).note(&message, &line);
            }
            let request = bridge.request(&message, line);
            bridge.exchange(&message, request).await;
        });
        running.insert(serial, Running { id, task: AbortOnDropHandle::new(task), modern, listens, cancelled: false });
    }

    /// Takes note that the client wants no answer of a request. True: that was all that is to be done.
    fn cancel(&self, id: &str) -> bool {
        let mut running = lock(&self.0.running);
        let Some((&serial, call)) = running.iter_mut().find(|(_, running)| running.id == id) else { return false };
        call.cancelled = true;
        if call.modern {
            // In 2026-07-28 the end of the connection is the cancellation.
            call.task.abort();
            running.remove(&serial);
            self.0.idle.notify_waiters();
            return true;
        }
        false
    }

    /// Whether nobody wants an answer of this request any more.
    fn is_cancelled(&self, id: &str) -> bool {
        lock(&self.0.running).values().any(|running| running.id == id && running.cancelled)
    }

    /// A message as a request of HTTP.
    fn request(&self, message: &Message, line: Bytes) -> Request<Bytes> {
        let mut headers = HeaderMap::new();
        match &message.revision {
            Some(revision) => {
                if let Ok(revision) = HeaderValue::try_from(revision) {
                    headers.insert(VERSION, revision);
                }
                if let Some(method) = &message.method {
                    self.0.params.write(&mut headers, method, message.params.as_deref().unwrap_or("{}"));
                }
            }
            None => {
                if let Some(session) = &*lock(&self.0.session) {
                    session.write(&mut headers);
                }
            }
        }
        post(headers, line)
    }

    /// Sends a message and writes what comes of it.
    async fn exchange(&self, message: &Message, mut request: Request<Bytes>) {
        let id = message.id.as_deref().filter(|_| message.method.is_some());
        let session = lock(&self.0.session).clone().filter(|session| message.revision.is_none() && session.id.is_some());
        let mut answer = self.send(&request).await;
        if let (Ok(found), Some(lost)) = (&answer, &session)
            && found.status() == StatusCode::NOT_FOUND
        {
            if let Err(why) = self.renew(lost).await {
                return self.fail(id, INTERNAL_ERROR, &why).await;
            }
            request = self.request(message, request.into_body());
            answer = self.send(&request).await;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.fail(id, INTERNAL_ERROR, &error.message).await,
        };
        let refused = message.revision.is_some() && answer.status() == StatusCode::BAD_REQUEST;
        let mut messages = Messages::of(answer);
        messages.as_it_is = message.is_none();
        let mut answered = id.is_none();
        let mut mismatch = refused && message.method.as_deref() == Some("tools/call");
        while let Some(next) = messages.next(id).await {
            match next {
                Ok(text) => {
                    if std::mem::take(&mut mismatch)
                        && code(&text) == Some(HEADER_MISMATCH)
                        && let Some(again) = self.with_params(message, &request).await
                    {
                        messages = Messages::of(again);
                        continue;
                    }
                    if is_answer(&text, id) {
                        answered = true;
                        if message.method.as_deref() == Some("tools/list") {
                            self.learn(&text);
                        }
                    }
                    self.say(text).await;
                }
                Err(why) if answered => return tracing::warn!("{why}"),
                Err(why) => return self.fail(id, INTERNAL_ERROR, &why).await,
            }
        }
        if let Some(id) = id.filter(|id| !answered && !self.is_cancelled(id)) {
            self.fail(Some(id), INTERNAL_ERROR, "the server ended its answer before it was whole").await;
        }
    }

    /// Makes a call again whose arguments have to be repeated in headers, as the tool's schema says which.
    async fn with_params(&self, message: &Message, request: &Request<Bytes>) -> Option<Answer> {
        let params: Value = serde_json::from_str(message.params.as_deref()?).ok()?;
        let mut cursor = Value::Null;
        loop {
            let mut list = json!({ "_meta": params.get("_meta")? });
            if let (Some(list), false) = (list.as_object_mut(), cursor.is_null()) {
                list.insert("cursor".to_owned(), cursor);
            }
            let line = json!({ "jsonrpc": "2.0", "id": "toolbay-tools", "method": "tools/list", "params": list }).to_string();
            let list = Message::of(line.as_bytes());
            let answer = self.send(&self.request(&list, line.into())).await.ok()?;
            let text = Messages::of(answer).next(list.id.as_deref()).await?.ok()?;
            self.learn(&text);
            cursor = serde_json::from_slice::<Value>(&text).ok()?.pointer("/result/nextCursor").cloned().unwrap_or_default();
            if cursor.is_null() {
                break;
            }
        }
        self.send(&self.request(message, request.body().clone())).await.ok()
    }

    /// Takes note of what a list of tools wants in headers.
    fn learn(&self, answer: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Listed<'a> {
            #[serde(borrow)]
            result: &'a RawValue,
        }
        if let Ok(Listed { result }) = serde_json::from_slice(answer) {
            self.0.params.learn(result.get());
        }
    }

    /// Sends, and again where nothing went out.
    async fn send(&self, request: &Request<Bytes>) -> Result<Answer, EndpointError> {
        let mut tries = RETRIES.iter();
        loop {
            match (self.0.endpoint.send(request.clone()).await, tries.next()) {
                (Err(error), Some(wait)) if error.unsent => {
                    tracing::debug!("trying again in {wait:?}: {error}");
                    tokio::time::sleep(*wait).await;
                }
                (answer, _) => return answer,
            }
        }
    }

    /// Hears what the other end sends by itself, as long as there is a session.
    fn listen(&self) {
        let session = lock(&self.0.session).clone();
        let Some(session) = session.filter(|session| session.id.is_some()) else { return };
        let bridge = self.clone();
        let task = tokio::spawn(async move { bridge.hear(session).await });
        *lock(&self.0.listener) = Some(AbortOnDropHandle::new(task));
    }

    async fn hear(&self, session: Session) {
        let (mut wait, mut last_id) = (LISTEN_AGAIN.0, None::<HeaderValue>);
        loop {
            let mut request = Request::new(Bytes::new());
            *request.method_mut() = Method::GET;
            let headers = request.headers_mut();
            session.write(headers);
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            if let Some(id) = &last_id {
                headers.insert("last-event-id", id.clone());
            }
            match self.0.endpoint.send(request).await {
                Ok(answer) if answer.status().is_success() => {
                    let mut messages = Messages::of(answer);
                    while let Some(Ok(message)) = messages.next(None).await {
                        wait = LISTEN_AGAIN.0;
                        self.say(message).await;
                    }
                    last_id = messages.last_id().or(last_id);
                }
                // The session is lost: it is opened anew, and listened to from there.
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                    let bridge = self.clone();
                    tokio::spawn(async move {
                        if let Err(why) = bridge.renew(&session).await {
                            tracing::warn!("{why}");
                        }
                    });
                    return;
                }
                // The other end sends nothing by itself.
                Ok(answer) if answer.status().is_client_error() => {
                    return tracing::debug!(status = %answer.status(), "no stream to listen to");
                }
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LISTEN_AGAIN.1);
        }
    }

    /// Writes a message to the client. One that has gone is told nothing.
    async fn say(&self, message: Vec<u8>) {
        let _ = self.0.output.send(Out::Message(message)).await;
    }

    /// Answers a request by an error; what is no request is told in the log.
    async fn fail(&self, id: Option<&str>, code: i32, message: &str) {
        let id = match id {
            Some(id) => serde_json::from_str(id).unwrap_or_default(),
            None if code == INVALID_REQUEST => Value::Null,
            None => return tracing::warn!("{message}"),
        };
        let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        self.say(error.to_string().into_bytes()).await;
    }
}

/// See [`Bridge::until_dropped`].
pub(super) struct Ends(Bridge);

impl Drop for Ends {
    fn drop(&mut self) {
        let running = std::mem::take(&mut *lock(&self.0.0.running));
        drop(running);
        lock(&self.0.0.listener).take();
    }
}

/// Takes a request out of the table when its task ends, however it does.
struct Done {
    bridge: Bridge,
    serial: u64,
}

impl Drop for Done {
    fn drop(&mut self) {
        let gone = lock(&self.bridge.0.running).remove(&self.serial);
        if let Some(running) = gone {
            // Ends by itself: this is the task.
            drop(running.task.detach());
        }
        self.bridge.0.idle.notify_waiters();
    }
}

fn post(mut headers: HeaderMap, line: Bytes) -> Request<Bytes> {
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut request = Request::new(line);
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    request
}

/// The code of an error of JSON-RPC.
fn code(message: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(message).ok()?.pointer("/error/code")?.as_i64()
}

/// Whether a message is the answer to the request of this id.
fn is_answer(message: &[u8], id: Option<&str>) -> bool {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        method: Option<serde::de::IgnoredAny>,
    }
    let Ok(Head { id: Some(found), method: None }) = serde_json::from_slice::<Head<'_>>(message) else { return false };
    id == Some(found.get())
}

/// The messages of one response.
struct Messages {
    status: StatusCode,
    body: futures::stream::BoxStream<'static, Result<Bytes, String>>,
    /// None: the body is one message.
    events: Option<Events>,
    ended: bool,
    /// An error without an id is a message too.
    as_it_is: bool,
}

impl Messages {
    fn of(answer: Answer) -> Self {
        let status = answer.status();
        let is_stream = answer.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        Self { status, body: answer.into_body(), events: is_stream.then(|| Events::new(LARGEST)), ended: false, as_it_is: false }
    }

    /// The next one. `id` is that of the request, which the answer to it must have.
    async fn next(&mut self, id: Option<&str>) -> Option<Result<Vec<u8>, String>> {
        use futures::StreamExt as _;
        let Some(events) = &mut self.events else {
            if std::mem::replace(&mut self.ended, true) {
                return None;
            }
            return self.whole(id).await.transpose();
        };
        loop {
            if let Some(event) = events.next() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            match self.body.next().await {
                Some(Ok(chunk)) if events.push(&chunk).is_ok() => {}
                Some(Ok(_)) => {
                    self.ended = true;
                    return Some(Err(format!("the server sent an event of more than {LARGEST} bytes")));
                }
                Some(Err(why)) => {
                    self.ended = true;
                    return Some(Err(format!("the connection to the server broke: {why}")));
                }
                None => self.ended = true,
            }
        }
    }

    /// The event that the stream goes on from.
    fn last_id(&self) -> Option<HeaderValue> {
        self.events.as_ref()?.last_id.as_deref().and_then(|id| HeaderValue::try_from(id).ok())
    }

    /// The body as one message, which an error may have to be made of.
    async fn whole(&mut self, id: Option<&str>) -> Result<Option<Vec<u8>>, String> {
        use futures::StreamExt as _;
        let mut text = Vec::new();
        while let Some(chunk) = self.body.next().await {
            text.extend_from_slice(&chunk.map_err(|why| format!("the connection to the server broke: {why}"))?);
            if text.len() > LARGEST {
                return Err(format!("the server sent a message of more than {LARGEST} bytes"));
            }
        }
        if self.status.is_success() {
            return Ok((!text.trim_ascii().is_empty()).then_some(text));
        }
        let mut error = match serde_json::from_slice::<Value>(&text) {
            Ok(error) if error.get("error").is_some_and(Value::is_object) => error,
            _ => {
                text.truncate(ERROR_TEXT);
                let said = String::from_utf8_lossy(&text);
                return Err(format!("the server answered {}{}{}", self.status, if said.is_empty() { "" } else { ": " }, said.trim()));
            }
        };
        // An error that the transport made knows no id.
        let Some(id) = id else {
            let message = error.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
            return if error.get("id").is_none_or(Value::is_null) && !self.as_it_is {
                Err(format!("the server answered {}: {message}", self.status))
            } else {
                Ok(Some(text))
            };
        };
        if let (Some(members), Ok(id)) = (error.as_object_mut(), serde_json::from_str(id)) {
            members.insert("id".to_owned(), id);
        }
        Ok(Some(error.to_string().into_bytes()))
    }
}
