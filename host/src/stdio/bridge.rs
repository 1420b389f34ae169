//! One client: what it sends goes to the endpoint, what the endpoint sends comes back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header::ACCEPT};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    endpoint::Endpoint,
    lines::Out,
    link::{Link, post},
    message::Message,
    messages::{Messages, code, is_answer},
    requests::{self, Requests},
    session::{Greeting, Session},
};

/// JSON-RPC: the message is none.
const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: the other end did not do its part.
const INTERNAL_ERROR: i32 = -32603;
/// MCP 2026-07-28: headers and body disagree, so that arguments may have to be repeated in headers.
const HEADER_MISMATCH: i64 = -32020;

/// How long a notification may take to be accepted: what follows it waits.
const ACCEPTED: Duration = Duration::from_secs(30);
/// How long the good-bye to a session may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between tries to listen again, the first and the longest.
const LISTEN_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Clones are the same one.
#[derive(Clone)]
pub(super) struct Bridge(Arc<Inner>);

struct Inner {
    link: Link,
    output: mpsc::Sender<Out>,
    session: Mutex<Option<Session>>,
    greeting: Mutex<Greeting>,
    /// Held while a lost session is opened anew.
    renewing: tokio::sync::Mutex<()>,
    /// Hears what the other end sends outside of answers.
    listener: Mutex<Option<AbortOnDropHandle<()>>>,
    requests: Requests,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bridge {
    pub(super) fn new(endpoint: Arc<dyn Endpoint>, output: mpsc::Sender<Out>) -> Self {
        Self(Arc::new(Inner {
            link: Link::new(endpoint),
            output,
            session: Mutex::default(),
            greeting: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            listener: Mutex::default(),
            requests: Requests::default(),
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
            && self.0.requests.cancel(&id)
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
        self.0.requests.finished().await;
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
            let _ = tokio::time::timeout(FAREWELL, self.0.link.endpoint.send(request)).await;
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
        let answer = self.0.link.send(&post(HeaderMap::new(), line)).await.map_err(|error| error.message)?;
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
            self.0.link.send(&request).await.map_err(|error| error.message)?;
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
        let request = requests::Request {
            id: message.id.clone().unwrap_or_default(),
            modern: message.revision.is_some(),
            listens: message.method.as_deref() == Some("subscriptions/listen"),
        };
        let bridge = self.clone();
        self.0.requests.start(request, async move {
            if message.revision.is_none() {
                lock(&bridge.0.greeting).note(&message, &line);
            }
            let request = bridge.request(&message, line);
            bridge.exchange(&message, request).await;
        });
    }

    /// A message as a request of HTTP.
    fn request(&self, message: &Message, line: Bytes) -> Request<Bytes> {
        if message.revision.is_some() {
            return self.0.link.modern(message, line);
        }
        let mut headers = HeaderMap::new();
        if let Some(session) = &*lock(&self.0.session) {
            session.write(&mut headers);
        }
        post(headers, line)
    }

    /// Sends a message and writes what comes of it.
    async fn exchange(&self, message: &Message, mut request: Request<Bytes>) {
        let id = message.id.as_deref().filter(|_| message.method.is_some());
        let session = lock(&self.0.session).clone().filter(|session| message.revision.is_none() && session.id.is_some());
        let mut answer = self.0.link.send(&request).await;
        if let (Ok(found), Some(lost)) = (&answer, &session)
            && found.status() == StatusCode::NOT_FOUND
        {
            if let Err(why) = self.renew(lost).await {
                return self.fail(id, INTERNAL_ERROR, &why).await;
            }
            request = self.request(message, request.into_body());
            answer = self.0.link.send(&request).await;
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
                        && let Some(again) = self.0.link.with_params(message, &request).await
                    {
                        messages = Messages::of(again);
                        continue;
                    }
                    if is_answer(&text, id) {
                        answered = true;
                        if message.method.as_deref() == Some("tools/list") {
                            self.0.link.learn(&text);
                        }
                    }
                    self.say(text).await;
                }
                Err(why) if answered => return tracing::warn!("{why}"),
                Err(why) => return self.fail(id, INTERNAL_ERROR, &why).await,
            }
        }
        if let Some(id) = id.filter(|id| !answered && !self.0.requests.is_cancelled(id)) {
            self.fail(Some(id), INTERNAL_ERROR, "the server ended its answer before it was whole").await;
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
            match self.0.link.endpoint.send(request).await {
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
        self.0.0.requests.end();
        lock(&self.0.0.listener).take();
    }
}
