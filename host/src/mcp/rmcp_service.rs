//! The general way: everything that is not lean, served by rmcp request by request, with its answers made JSON-RPC where
//! they are bare text. Sessions, which rmcp would keep in one process, are ours.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST},
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use rmcp::{
    model::InitializeRequestParams,
    transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    answer::{self, plain_error},
    cancel::cancellable,
    client_requests::essence,
    endpoint_state::EndpointState,
    envelope::id_key,
    era::{Era, LEGACY, MODERN},
    fleet::{AWAIT_CANCEL, Fleet},
    headers::{SESSION_HEADER, SESSION_NAME, VERSION_HEADER},
    media,
    notification_queue::NotificationQueue,
    request_checks::{self, Accepts, AnswerOnly, Head},
    rmcp_handler::{RmcpHandler, as_caller},
    rpc::{BUSY, HEADER_MISMATCH, INTERNAL, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, SESSION_NOT_FOUND},
    sessions::{Agreed, NoSession, Session, Sessions},
    sse::{self, CallTask},
    tasks,
};
use crate::{
    provider::{CallError, Principal, StartSignal},
    telemetry::metrics::Reason,
};

/// How long a client should wait for a free session. Idle ones end within minutes, closed ones at once.
const RETRY_SESSION: Duration = Duration::from_secs(5);

/// Bytes of a request for a session: who a client is and what it can takes a few hundred.
const GREETING: usize = 64 << 10;

/// The longest text of an error of rmcp's that is read to be wrapped.
const ERROR_TEXT: usize = 16 << 10;

/// rmcp, which answers each request by itself. What sessions have beyond that is here.
pub(super) struct RmcpService {
    shared: Arc<EndpointState>,
    service: Arc<StreamableHttpService<RmcpHandler, NeverSessionManager>>,
}

impl RmcpService {
    pub(super) fn new(shared: Arc<EndpointState>) -> Self {
        let config = StreamableHttpServerConfig::default()
            // `http` has checked Host and Origin, and the body's size.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_json_response(true)
            .with_legacy_session_mode(false)
            .with_sse_retry(None)
            .with_max_request_body_bytes(usize::MAX);
        let handler = {
            let shared = Arc::clone(&shared);
            move || Ok(RmcpHandler::new(Arc::clone(&shared)))
        };
        Self { service: Arc::new(StreamableHttpService::new(handler, Arc::default(), config)), shared }
    }

    /// Answers a POST.
    pub(super) async fn post(&self, mut parts: Parts, body: Bytes, accepts: Accepts) -> Response<Body> {
        let head = match request_checks::inspect(&body) {
            Ok(head) => head,
            Err(refusal) => return *refusal,
        };
        let id = head.id.as_deref();
        let is_stream = head.method.as_deref() == Some("subscriptions/listen");
        if accepts.none() || (is_stream && !accepts.events) {
            let message = "the answer is JSON or a stream of events: send Accept: application/json, text/event-stream";
            return plain_error(StatusCode::NOT_ACCEPTABLE, id, INVALID_REQUEST, message, None);
        }
        if let Err(refusal) = check_single(&parts.headers, id) {
            return *refusal;
        }
        // rmcp compares texts.
        parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let modern = Era::of_header(&parts.headers) == Era::Modern;
        if modern && let Some(method) = head.method.as_deref().filter(|method| REMOVED.contains(method)) {
            let message = format!("there is no method {method:?} in MCP {MODERN}");
            return plain_error(StatusCode::NOT_FOUND, id, METHOD_NOT_FOUND, &message, None);
        }
        let session = if modern { Ok(None) } else { self.shared.sessions.named(&parts) };
        let Ok(session) = session else { return session_not_found(id) };
        if modern && self.lacks_tasks(&head) {
            let error = CallError::MissingCapability(tasks::required());
            return answer::raw(id.unwrap_or("null"), Era::Modern, Err(error), &self.shared.seen(parts.extensions.get())).into_response();
        }
        match (session, head.method.as_deref()) {
            (session, Some("initialize")) => self.initialize(parts, body, &head, session.is_none()).await,
            (Some(session), _) => self.in_session(session, parts, body, head).await,
            (None, _) => media::named(as_json(self.by_rmcp(parts, body).await, id).await),
        }
    }

    async fn by_rmcp(&self, parts: Parts, body: Bytes) -> Response<Body> {
        let caller = parts.extensions.get().cloned();
        as_caller(caller, self.service.handle(for_rmcp(parts, body))).await.map(Body::new)
    }

    /// Answers `initialize`, and where there are sessions begins one, unless the request has one.
    async fn initialize(&self, parts: Parts, body: Bytes, head: &Head, opens: bool) -> Response<Body> {
        let id = head.id.as_deref();
        if body.len() > GREETING {
            let message = format!("initialize takes at most {GREETING} bytes: send a shorter clientInfo and fewer capabilities");
            return plain_error(StatusCode::PAYLOAD_TOO_LARGE, id, INVALID_REQUEST, &message, None);
        }
        if let Err(error) = serde_json::from_str::<InitializeRequestParams>(head.params.as_deref().unwrap_or("{}")) {
            let message = format!("the params of initialize do not fit: {error}");
            return plain_error(StatusCode::BAD_REQUEST, id, INVALID_PARAMS, &message, None);
        }
        let caller = parts.extensions.get::<Principal>().cloned();
        let response = media::named(as_json(self.by_rmcp(parts, body).await, id).await);
        if !opens || !self.shared.sessions.are_on() || !response.status().is_success() {
            return response;
        }
        let (mut head_of, body) = response.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return answer::Answer::internal_error(id.unwrap_or("null"), &error.to_string()).into_response(),
        };
        if let Some(revision) = revision(&body) {
            let (capabilities, home) = (essence(&capabilities(head)), self.shared.fleet.own());
            let agreed = Agreed { revision: &revision, capabilities, caller: caller.as_ref(), home };
            match self.shared.sessions.begin(agreed).map(HeaderValue::try_from) {
                Ok(Ok(session)) => drop(head_of.headers.insert(&SESSION_NAME, session)),
                Ok(Err(error)) => tracing::error!("a client gets no session: its id is no header: {error}"),
                // It is served all the same, only not asked and not told of changes.
                Err(error) => tracing::error!("a client gets no session: {error}"),
            }
        }
        Response::from_parts(head_of, Body::from(body))
    }

    /// Answers what is sent in a session.
    async fn in_session(&self, session: Arc<Session>, mut parts: Parts, body: Bytes, head: Head) -> Response<Body> {
        let id = head.id.as_deref();
        let Some(method) = head.method.as_deref() else {
            return self.answered(&session, &parts, body, id).await;
        };
        let home = self.shared.fleet.home(&session, &parts.headers);
        match (method, id) {
            ("notifications/cancelled", _) => {
                self.cancelled(&session, &parts, body, &head).await;
                return accepted();
            }
            // The answer to these is where the stream is.
            ("resources/subscribe" | "resources/unsubscribe" | "logging/setLevel", Some(_)) => {
                if let Some(home) = home
                    && let Ok(answer) = self.shared.fleet.hand_on(home, &parts, body.clone()).await
                {
                    // The calls that run here go by it too.
                    if method == "logging/setLevel" && answer.status().is_success() {
                        parts.extensions.insert(Arc::clone(&session));
                        drop(self.by_rmcp(parts, body).await);
                    }
                    return media::named(answer);
                }
            }
            (AWAIT_CANCEL, Some(id)) if Fleet::is_of_instance(&parts, &body) => {
                let Some(key) = id_key(id) else { return accepted() };
                // A stream, since this host does not wait for streams when it ends.
                let cancelled = stream::once(async move {
                    session.cancelled(&key).await;
                    Ok::<_, Infallible>(Bytes::from_static(b": cancelled\n\n"))
                });
                let closing = self.shared.closing.clone().cancelled_owned();
                return sse::response(Body::from_stream(cancelled.take_until(Box::pin(closing))));
            }
            _ => {}
        }
        let Some(id) = id else {
            // Notifications that nobody waits for.
            return media::named(as_json(self.by_rmcp(parts, body).await, None).await);
        };
        let (outbox, signal) =
            (Arc::new(NotificationQueue::new(token(&head).as_deref(), Some(session.level()))), Arc::<StartSignal>::default());
        if parts.extensions.get::<AnswerOnly>().is_none() {
            parts.extensions.insert(Arc::clone(&outbox));
        }
        parts.extensions.insert(Arc::clone(&signal));
        parts.extensions.insert(Arc::clone(&session));
        let cancellation = self.shared.fleet.cancellation(&session, &parts, id);
        let begun = Instant::now();
        let running = {
            let (service, id) = (Arc::clone(&self.service), id.to_owned());
            async move {
                let caller = parts.extensions.get().cloned();
                let response = as_caller(caller, service.handle(for_rmcp(parts, body))).await.map(Body::new);
                let response = as_json(response, Some(&id)).await;
                let (head, body) = response.into_parts();
                match body.collect().await {
                    Ok(body) => answer::Answer { status: head.status, retry_after: None, scopes: None, body: body.to_bytes().into() },
                    Err(error) => answer::Answer::internal_error(&id, &error.to_string()),
                }
            }
        };
        let running = cancellable(running, Some(session), cancellation, id, begun);
        sse::respond(CallTask::spawn(id.to_owned(), outbox, false, running, signal)).await
    }

    /// Takes a client's answer to a question, at this instance or where it was asked.
    async fn answered(&self, session: &Session, parts: &Parts, body: Bytes, id: Option<&str>) -> Response<Body> {
        if let Some(id) = id
            && !session.questions().answer(id, &body)
            && let Some(host) = self.shared.fleet.asked_by(&parts.headers, id)
        {
            // Where that is gone, so is the call that asked.
            drop(self.shared.fleet.hand_on(&host, parts, body).await);
        }
        accepted()
    }

    /// Ends the call that a `notifications/cancelled` names, wherever it runs.
    async fn cancelled(&self, session: &Session, parts: &Parts, body: Bytes, head: &Head) {
        let Some(key) = cancelled(head) else { return };
        if session.cancel(&key) {
            return;
        }
        match self.shared.fleet.home(session, &parts.headers) {
            Some(home) => drop(self.shared.fleet.hand_on(home, parts, body).await),
            // An instance that runs it asks for it; here it may just begin.
            None => session.note_cancelled(key),
        }
    }

    /// Answers a GET or a DELETE, which only sessions have.
    pub(super) async fn session_request(&self, mut parts: Parts) -> Response<Body> {
        if let Err(refusal) = check_single(&parts.headers, None) {
            return *refusal;
        }
        if Era::of_header(&parts.headers) == Era::Modern {
            return method_not_allowed("POST, OPTIONS");
        }
        let session = match self.shared.sessions.named(&parts) {
            Ok(Some(session)) => session,
            Ok(None) | Err(NoSession::Ambiguous) => return method_not_allowed("POST, OPTIONS"),
            Err(NoSession::Unknown) => return session_not_found(None),
        };
        if let Some(version) = text(&parts.headers, VERSION_HEADER).filter(|version| !LEGACY.contains(version)) {
            let message = format!("there is no revision {version:?} of MCP that has sessions; there are: {}", LEGACY.join(", "));
            return plain_error(StatusCode::BAD_REQUEST, None, INVALID_REQUEST, &message, None);
        }
        let home = self.shared.fleet.home(&session, &parts.headers);
        if parts.method == Method::DELETE {
            self.shared.sessions.end(&session);
            if let Some(home) = home {
                // Where that is gone, there is nothing to end.
                drop(self.shared.fleet.hand_on(home, &parts, Bytes::new()).await);
            }
            let mut response = Response::new(Body::empty());
            // The Python SDK takes 200 and 204 for an end, and warns its user of anything else.
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        if !Accepts::of(&parts.headers).events {
            let message = "the answer is a stream of events: send Accept: text/event-stream";
            return plain_error(StatusCode::NOT_ACCEPTABLE, None, INVALID_REQUEST, message, None);
        }
        parts.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(home) = home
            && let Ok(stream) = self.shared.fleet.hand_on(home, &parts, Bytes::new()).await
        {
            return stream;
        }
        if !Sessions::keeps(&session) {
            return self.no_room();
        }
        let last = text(&parts.headers, "last-event-id").map(str::to_owned);
        self.shared.sessions.stream(session, last.as_deref())
    }

    /// Whether this wants to be told of tasks, and does not declare that it knows them: MCP wants that refused, though nobody is told of tasks here.
    fn lacks_tasks(&self, head: &Head) -> bool {
        if head.method.as_deref() != Some("subscriptions/listen") || !self.shared.tasks.are_on() {
            return false;
        }
        let params: Value = head.params.as_deref().and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default();
        let member = |object: &str, name: &str| params.get(object).and_then(|object| object.get(name));
        let declared = member("_meta", "io.modelcontextprotocol/clientCapabilities");
        member("notifications", "taskIds").is_some() && declared.is_some_and(|declared| !self.shared.tasks.may_be(&declared.to_string()))
    }

    fn no_room(&self) -> Response<Body> {
        let message = format!(
            "{} sessions have streams or calls, or this caller has half of the allowed number; the server's operator can raise max_sessions in [http]",
            self.shared.sessions.len()
        );
        tracing::warn!("{message}");
        self.shared.dispatcher.metrics().refused(Reason::Sessions);
        plain_error(StatusCode::SERVICE_UNAVAILABLE, None, BUSY, &message, Some(RETRY_SESSION))
    }
}

/// A request as rmcp takes it: it wants a `Host` even where it is told not to check any. Who comes by HTTP has
/// one, which `http` has checked; who comes by stdio has none.
fn for_rmcp(mut parts: Parts, body: Bytes) -> Request<Full<Bytes>> {
    parts.headers.entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    Request::from_parts(parts, Full::new(body))
}

/// Methods that 2026-07-28 removed. rmcp would take `initialize` for an older client's, whatever its header says.
const REMOVED: [&str; 5] = ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

/// The answer to a method of HTTP that is not served.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let message = "send MCP messages by POST; GET and DELETE are for sessions before 2026-07-28 and need their Mcp-Session-Id";
    let mut response = plain_error(StatusCode::METHOD_NOT_ALLOWED, None, INVALID_REQUEST, message, None);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn session_not_found(id: Option<&str>) -> Response<Body> {
    let message = "there is no such session, or it has expired: call initialize to open one";
    plain_error(StatusCode::NOT_FOUND, id, SESSION_NOT_FOUND, message, None)
}

/// Of these headers one value counts. With two, a proxy could read another one than we do.
fn check_single(headers: &HeaderMap, id: Option<&str>) -> Result<(), Box<Response<Body>>> {
    for name in [VERSION_HEADER, SESSION_HEADER] {
        if headers.get_all(name).iter().count() > 1 {
            let message = format!("the header {name} was sent more than once");
            return Err(Box::new(plain_error(StatusCode::BAD_REQUEST, id, HEADER_MISMATCH, &message, None)));
        }
    }
    Ok(())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What the client can, as `initialize` says it: JSON text of an object.
fn capabilities(head: &Head) -> String {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        capabilities: &'a RawValue,
    }
    let params = head.params.as_deref().and_then(|params| serde_json::from_str::<Params<'_>>(params).ok());
    params.map_or_else(|| "{}".to_owned(), |params| params.capabilities.get().to_owned())
}

/// The revision that the answer to `initialize` agrees on. None: it is an error.
fn revision(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        result: Agreed,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Agreed {
        protocol_version: String,
    }
    serde_json::from_slice::<Answer>(answer).ok().map(|answer| answer.result.protocol_version)
}

/// The progress token of a request, as JSON text.
fn token(head: &Head) -> Option<String> {
    let params: Value = serde_json::from_str(head.params.as_deref()?).ok()?;
    let token = params.get("_meta")?.get("progressToken")?;
    (token.is_string() || token.is_i64() || token.is_u64()).then(|| token.to_string())
}

/// The answer to what needs none.
fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The key of the request that a `notifications/cancelled` names.
fn cancelled(head: &Head) -> Option<String> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    if head.method.as_deref() != Some("notifications/cancelled") {
        return None;
    }
    let params: Params<'_> = serde_json::from_str(head.params.as_deref()?).ok()?;
    id_key(params.request_id.get())
}

/// An error of rmcp's in bare text becomes one of JSON-RPC, which is what a client can read.
async fn as_json(response: Response<Body>, id: Option<&str>) -> Response<Body> {
    let status = response.status();
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = http_body_util::Limited::new(body, ERROR_TEXT).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = String::from_utf8_lossy(&body);
    // Valid JSON that is no message: rmcp calls that a wrong media type.
    let (status, code) = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (StatusCode::BAD_REQUEST, INVALID_REQUEST),
        StatusCode::NOT_FOUND => (status, SESSION_NOT_FOUND),
        status if status.is_server_error() => (status, INTERNAL),
        status => (status, INVALID_REQUEST),
    };
    let mut wrapped = plain_error(status, id, code, message.trim(), None);
    if let Some(allow) = parts.headers.get(ALLOW) {
        wrapped.headers_mut().insert(ALLOW, allow.clone());
    }
    wrapped
}
