//! The general way: everything that is not lean, served by rmcp, with its answers made JSON-RPC where they are bare text.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
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
    endpoint_state::EndpointState,
    envelope::id_key,
    era::{Era, MODERN},
    handler::{Handler, as_caller},
    headers::{SESSION_HEADER, VERSION_HEADER},
    intake::{self, Accepts, Head},
    media,
    rpc::{BUSY, HEADER_MISMATCH, INTERNAL, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, SESSION_NOT_FOUND},
    sessions::{NoSession, Sessions},
    tasks,
};
use crate::{
    provider::{CallError, Principal},
    telemetry::metrics::Reason,
};

/// How long a client should wait for a free session. Idle ones end within minutes, closed ones at once.
const RETRY_SESSION: Duration = Duration::from_secs(5);

/// Bytes of a request for a session: who the client is stays in memory until the session ends, twice.
const GREETING: usize = 64 << 10;

/// The longest text of an error of rmcp's that is read to be wrapped.
const ERROR_TEXT: usize = 16 << 10;

/// rmcp, twice: with sessions for clients that have one or want one, and without.
pub(super) struct General {
    shared: Arc<EndpointState>,
    with_sessions: StreamableHttpService<Handler, Sessions>,
    without: StreamableHttpService<Handler, NeverSessionManager>,
}

impl General {
    pub(super) fn new(shared: Arc<EndpointState>) -> Self {
        let config = |sessions: bool| {
            StreamableHttpServerConfig::default()
                // `http` has checked Host and Origin, and the body's size.
                .disable_allowed_hosts()
                .disable_allowed_origins()
                .with_json_response(true)
                .with_legacy_session_mode(sessions)
                .with_sse_retry(None)
                .with_max_request_body_bytes(usize::MAX)
        };
        let handler = || {
            let shared = Arc::clone(&shared);
            move || Ok(Handler::new(Arc::clone(&shared)))
        };
        Self {
            with_sessions: StreamableHttpService::new(handler(), Arc::clone(&shared.sessions), config(true)),
            without: StreamableHttpService::new(handler(), Arc::default(), config(false)),
            shared,
        }
    }

    /// Answers a POST.
    pub(super) async fn post(&self, mut parts: Parts, body: Bytes, accepts: Accepts) -> Response<Body> {
        let head = match intake::inspect(&body) {
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

        let caller = parts.extensions.get::<Principal>().cloned();
        let modern = Era::of_header(&parts.headers) == Era::Modern;
        if modern && let Some(method) = head.method.as_deref().filter(|method| REMOVED.contains(method)) {
            let message = format!("there is no method {method:?} in MCP {MODERN}");
            return plain_error(StatusCode::NOT_FOUND, id, METHOD_NOT_FOUND, &message, None);
        }
        let opens = head.method.as_deref() == Some("initialize");
        if opens && body.len() > GREETING {
            let message = format!("initialize takes at most {GREETING} bytes: send a shorter clientInfo and fewer capabilities");
            return plain_error(StatusCode::PAYLOAD_TOO_LARGE, id, INVALID_REQUEST, &message, None);
        }
        let session = if modern { Ok(None) } else { self.shared.sessions.named(&parts) };
        let Ok(session) = session else { return session_not_found(id) };
        if opens && session.is_none() {
            if let Err(error) = serde_json::from_str::<InitializeRequestParams>(head.params.as_deref().unwrap_or("{}")) {
                let message = format!("the params of initialize do not fit: {error}");
                return plain_error(StatusCode::BAD_REQUEST, id, INVALID_PARAMS, &message, None);
            }
            if !self.shared.sessions.has_room(caller.as_ref()).await {
                return self.no_room(id);
            }
        }
        if let (Some(session), Some(key)) = (&session, cancelled(&head)) {
            session.cancel(&key);
        }
        if let (Some(session), None, Some(id)) = (&session, &head.method, id)
            && session.questions().answer(id, &body)
        {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            return response;
        }
        if modern && self.lacks_tasks(&head) {
            let error = CallError::MissingCapability(tasks::required());
            return answer::raw(id.unwrap_or("null"), Era::Modern, Err(error), &self.shared.seen(caller.as_ref())).into_response();
        }
        let mut taken = None;
        if let (Some(session), Some(_), Some(id)) = (&session, &head.method, id)
            && let Some(key) = id_key(id)
        {
            let Some(id) = session.take_id(key) else { return id_in_use(id) };
            parts.extensions.insert(id.clone());
            taken = Some(id);
        }
        let with_sessions = opens || parts.headers.contains_key(SESSION_HEADER);
        let request = for_rmcp(parts, body);
        let response = as_caller(caller.clone(), async {
            if with_sessions { self.with_sessions.handle(request).await } else { self.without.handle(request).await }
        })
        .await;
        let response = response.map(Body::new);
        if opens && let Some(session) = text(response.headers(), SESSION_HEADER) {
            self.shared.sessions.bind(session, caller.clone(), &capabilities(&head));
        }
        if opens && response.status() == StatusCode::INTERNAL_SERVER_ERROR && !self.shared.sessions.has_room(caller.as_ref()).await {
            return self.no_room(id);
        }
        let response = media::named(as_json(response, id).await);
        match taken {
            Some(taken) => response.map(|body| taken.until_told(body)),
            None => response,
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
        match self.shared.sessions.named(&parts) {
            Ok(Some(_)) => {}
            Ok(None) | Err(NoSession::Ambiguous) => return method_not_allowed("POST, OPTIONS"),
            Err(NoSession::Unknown) => return session_not_found(None),
        }
        if parts.method == Method::GET {
            if !Accepts::of(&parts.headers).events {
                let message = "the answer is a stream of events: send Accept: text/event-stream";
                return plain_error(StatusCode::NOT_ACCEPTABLE, None, INVALID_REQUEST, message, None);
            }
            parts.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let ends = parts.method == Method::DELETE;
        let mut response = self.with_sessions.handle(for_rmcp(parts, Bytes::new())).await;
        if ends && response.status() == StatusCode::ACCEPTED {
            // rmcp says 202. The Python SDK takes 200 and 204 for an end, and warns its user of anything else.
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        media::named(as_json(response.map(Body::new), None).await)
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

    fn no_room(&self, id: Option<&str>) -> Response<Body> {
        let message = format!(
            "{} sessions are open and in use, or this caller has half of the allowed number; the server's operator can raise max_sessions in [http]",
            self.shared.sessions.len()
        );
        tracing::warn!("{message}");
        self.shared.dispatcher.metrics().refused(Reason::Sessions);
        plain_error(StatusCode::SERVICE_UNAVAILABLE, id, BUSY, &message, Some(RETRY_SESSION))
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

fn id_in_use(id: &str) -> Response<Body> {
    let message = format!("id {id} is in use by a request of this session that has not been answered: give each request its own id");
    plain_error(StatusCode::BAD_REQUEST, Some(id), INVALID_REQUEST, &message, None)
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
