//! One message of MCP to the server in a component: a request in an instance, and its answer, as JSON or at the end of a stream, with what the server says
//! before it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use wasmtime::{Store, component::Instance};

use super::{
    super::{Code, run::Failure},
    guest::{Head, Post, Reader, Unanswered},
};
use crate::{
    provider::{CallContext, JsonText},
    upstream::{
        ChannelError, Era, Request, Session, Transport, Uris,
        http_headers::{ParamHeaders, SESSION, SessionHeaders},
        message::{self, Incoming},
        meta,
        raw::RawObject,
        sse_decoder::{SseDecoder, TooLong},
    },
    wasm::{
        instance::State,
        limits::{self, Exceeded},
    },
};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Characters of a refusal that are shown.
const SHOWN: usize = 300;

/// A server in a component.
pub(super) type GuestSession = Session<GuestTransport>;

/// Requests of HTTP to the handler of a component, each in an instance.
pub(super) struct GuestTransport {
    pub(super) code: Arc<Code>,
    /// Where it serves MCP.
    pub(super) path: &'static str,
    pub(super) agreed: OnceLock<Agreed>,
    /// It knows a session only in the instance that has opened it: each request opens one of its own first.
    pub(super) opens: AtomicBool,
    /// The status of the last answer. 0: there was none.
    pub(super) status: AtomicU16,
    params: ParamHeaders,
}

/// What was agreed on with the server.
pub(super) struct Agreed {
    pub(super) speech: SessionHeaders,
    /// The `params` of `initialize`, to say it again.
    pub(super) greeting: String,
}

/// What came of one message.
pub(super) struct Answer {
    status: StatusCode,
    /// The session that the server gave with it.
    pub(super) session: Option<HeaderValue>,
    said: Said,
}

enum Said {
    /// An answer of JSON-RPC.
    Result(Result<JsonText, ChannelError>),
    /// The status says that it is well.
    Nothing,
    /// Another status, and what stands in the body.
    Refused(Option<ChannelError>, String),
    /// Something else, in words.
    Malformed(String),
}

impl GuestTransport {
    pub(super) fn new(code: Arc<Code>, path: &'static str) -> Self {
        Self {
            code,
            path,
            agreed: OnceLock::new(),
            opens: AtomicBool::new(false),
            status: AtomicU16::new(0),
            params: ParamHeaders::default(),
        }
    }

    fn post(&self, headers: HeaderMap, body: String) -> Post {
        Post { path: self.path, headers, body }
    }

    /// Bytes of an answer.
    fn limit(&self, method: &str) -> usize {
        let given = &self.code.shared.config.limits;
        if method.ends_with("/list") { limits::listed(given) } else { given.output }
    }
}

impl Transport for GuestTransport {
    const ABANDONED: Option<std::time::Duration> = None;

    fn era(&self) -> Era {
        self.agreed.get().map_or(Era::Legacy, |agreed| agreed.speech.era)
    }

    fn exchange<'a>(session: &'a Arc<Session<Self>>, request: Request<'a>) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        let Request { method, params, context, .. } = request;
        Box::pin(async move {
            let speech = session.transport.agreed.get().map_or_else(SessionHeaders::legacy, |agreed| agreed.speech.clone());
            session.exchange(&speech, method, params, context).await.map(|(result, _)| result)
        })
    }

    fn send(session: &Arc<Session<Self>>, message: String) {
        // The instance that has asked is at work, and no other knows of it.
        tracing::debug!(plugin = &*session.server, message, "a message that no instance could take is left out");
    }

    fn ask_aside<'a>(_: &'a Arc<Session<Self>>, _: &'static str, _: String) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn abandon(session: &Arc<Session<Self>>, id: u64) {
        // Its instance is gone with it.
        drop(session.flight.remove(id));
    }

    fn listen<'a>(_: &'a Arc<Session<Self>>, _: &'a Uris) -> BoxFuture<'a, Option<Box<dyn Send>>> {
        Box::pin(std::future::ready(None))
    }

    fn doom(session: &Session<Self>, why: &str) {
        session.closing.close(why);
    }
}

impl GuestSession {
    /// Sends one request in an instance of its own and awaits its answer. Dropping the future ends the instance.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        speech: &SessionHeaders,
        method: &'static str,
        params: &str,
        context: &CallContext,
    ) -> Result<(JsonText, Option<HeaderValue>), ChannelError> {
        let transport = &self.transport;
        let (mut in_flight, _) = self.begin(method, context, None);
        let id = in_flight.id;
        let meta = meta::outgoing(speech.era, context, id);
        let mut headers = speech.headers();
        if speech.era == Era::Modern {
            transport.params.write(&mut headers, method, params);
        }
        if let Some(value) = context.trace_parent.as_deref().and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(TRACE_PARENT, value);
        }
        let post = transport.post(headers, message::request(id, method, params, meta.as_deref()));
        let limit = transport.limit(method);
        let session = Arc::clone(self);
        let is_call = method == "tools/call";
        let ran = if is_call {
            let work = move |code: Arc<Code>, mut store: Store<State>, instance| async move {
                (session.converse(&code, &mut store, instance, id, post, limit).await, store)
            };
            transport.code.run_kept(context.clone(), work).await
        } else {
            let work = move |code: Arc<Code>, mut store: Store<State>, instance| async move {
                session.converse(&code, &mut store, instance, id, post, limit).await
            };
            transport.code.run(context.clone(), work).await
        };
        in_flight.done();
        let (answer, refusals) = match ran {
            Ok(answered) => answered,
            Err(Failure::Call(error)) => return Err(ChannelError::Call(Box::new(error))),
            Err(Failure::Plugin { message, refusals }) if is_call => {
                tracing::warn!(plugin = &*self.server, call = context.call_id, "{message}");
                return Ok((failed(message, refusals), None));
            }
            // A list or a first word that fails is one that the server does not know.
            Err(Failure::Plugin { message, refusals }) if is_of_host(method) => {
                let message = std::iter::once(message).chain(refusals).collect::<Vec<_>>().join("; ");
                return Err(ChannelError::Malformed(message));
            }
            Err(failure) => return Err(ChannelError::Call(Box::new(transport.code.as_error(failure, method, context.call_id)))),
        };
        transport.status.store(answer.status.as_u16(), Relaxed);
        let session = answer.session.clone();
        let result = answer.result(transport.path, method)?;
        if method == "tools/list" {
            transport.params.learn(result.as_str());
        }
        Ok((if is_call { with_refusals(result, refusals) } else { result }, session))
    }

    /// Sends what nobody answers.
    pub(super) async fn tell(self: &Arc<Self>, speech: &SessionHeaders, message: String) -> Result<(), ChannelError> {
        let (post, session) = (self.transport.post(speech.headers(), message), Arc::clone(self));
        let limit = self.transport.limit("");
        let told = self.transport.code.run(CallContext::default(), move |code, mut store, instance| async move {
            session.converse(&code, &mut store, instance, 0, post, limit).await
        });
        match told.await {
            Ok((Answer { said: Said::Refused(Some(error), _), .. }, _)) => Err(error),
            Ok((answer, _)) if answer.status.is_success() => Ok(()),
            Ok((answer, _)) => answer.result(self.transport.path, "a notification").map(drop),
            Err(Failure::Plugin { message, .. }) => Err(ChannelError::Malformed(message)),
            Err(Failure::Call(error)) => Err(ChannelError::Call(Box::new(error))),
        }
    }

    /// One message in an instance, which opens a session of its own before it where that is what the server needs.
    async fn converse(
        self: &Arc<Self>,
        code: &Arc<Code>,
        store: &mut Store<State>,
        instance: Instance,
        id: u64,
        mut post: Post,
        limit: usize,
    ) -> Result<(Answer, Vec<String>), Failure> {
        let guest = code.handler(store, &instance)?;
        if self.transport.opens.load(Relaxed)
            && let Some(agreed) = self.transport.agreed.get()
        {
            let open = self.next_id();
            let greeting = self.transport.post(HeaderMap::new(), message::request(open, "initialize", &agreed.greeting, None));
            let opened = self.sent(code, store, &guest, open, greeting, limit).await?;
            let mut speech = agreed.speech.clone();
            speech.session = opened.session;
            let ready = message::notification("notifications/initialized", "{}");
            self.sent(code, store, &guest, open, self.transport.post(speech.headers(), ready), limit).await?;
            post.headers.remove(SESSION);
            post.headers.extend(speech.session.map(|session| (SESSION, session)));
        }
        let answer = self.sent(code, store, &guest, id, post, limit).await?;
        Ok((answer, store.data().refusals.messages()))
    }

    async fn sent(
        self: &Arc<Self>,
        code: &Arc<Code>,
        store: &mut Store<State>,
        guest: &wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler::Guest,
        id: u64,
        post: Post,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let plugin = &code.shared.id;
        match code.post(store, guest, post, Taking::new(self, id, limit)).await? {
            Ok(answer) => Ok(answer),
            Err(Unanswered::TooLong) => Err(Failure::plugin(code.over(Exceeded::Output(limit)))),
            Err(Unanswered::Missing(what)) => Err(Failure::plugin(format!("plugin {plugin} ended without {what}"))),
            Err(Unanswered::Code(error)) => Err(Failure::plugin(format!("plugin {plugin} answered by the error {error} of wasi:http"))),
        }
    }
}

/// Whether the host asks this for itself, to learn what there is.
fn is_of_host(method: &str) -> bool {
    method.ends_with("/list") || matches!(method, "initialize" | "server/discover" | "ping")
}

/// Takes an answer in.
struct Taking {
    session: Arc<GuestSession>,
    id: u64,
    limit: usize,
    /// Bytes so far.
    taken: usize,
    status: StatusCode,
    opened: Option<HeaderValue>,
    kind: String,
    body: Vec<u8>,
    events: Option<SseDecoder>,
}

impl Taking {
    fn new(session: &Arc<GuestSession>, id: u64, limit: usize) -> Self {
        Self {
            session: Arc::clone(session),
            id,
            limit,
            taken: 0,
            status: StatusCode::OK,
            opened: None,
            kind: String::new(),
            body: Vec::new(),
            events: None,
        }
    }

    fn answer(&mut self, said: Said) -> Answer {
        Answer { status: self.status, session: self.opened.take(), said }
    }

    /// One message of a stream. The answer, if it is that.
    fn event(&mut self, data: &[u8]) -> Option<Answer> {
        match Incoming::parse(data) {
            Some(Incoming::Answer { id, result, .. }) if id.is_none_or(|id| id == self.id) => {
                let result = result.map(|result| JsonText::from_writer(result.to_owned()));
                return Some(self.answer(Said::Result(result)));
            }
            Some(Incoming::Notification { method, params }) => self.session.notified(&method, params, Some(self.id)),
            Some(Incoming::Request { method, .. }) => {
                tracing::warn!(
                    plugin = &*self.session.server,
                    %method,
                    "the server asks its client on a stream, which a component cannot be answered on; MCP of 2026-07-28 has `input_required` for that"
                );
            }
            Some(Incoming::Answer { .. }) | None => {
                tracing::debug!(plugin = &*self.session.server, "an event that is not for this request")
            }
        }
        None
    }
}

impl Reader for Taking {
    type Answer = Answer;

    fn head(&mut self, head: Head) -> Option<Answer> {
        self.status = head.status;
        self.opened = head.headers.get(SESSION).cloned();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        self.kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if head.status.is_success() && self.kind == "text/event-stream" {
            self.events = Some(SseDecoder::new(self.limit));
        }
        None
    }

    fn bytes(&mut self, bytes: &Bytes) -> Result<Option<Answer>, Unanswered> {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken > self.limit {
            return Err(Unanswered::TooLong);
        }
        let Some(events) = &mut self.events else {
            self.body.extend_from_slice(bytes);
            return Ok(None);
        };
        events.push(bytes).map_err(|TooLong| Unanswered::TooLong)?;
        while let Some(data) = self.events.as_mut().and_then(SseDecoder::next) {
            if let Some(answer) = self.event(&data) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn end(mut self) -> Answer {
        let body = std::mem::take(&mut self.body);
        let rpc = match Incoming::parse(&body) {
            Some(Incoming::Answer { result, .. }) => Some(result.map(|result| JsonText::from_writer(result.to_owned()))),
            _ => None,
        };
        let said = match rpc {
            _ if self.events.is_some() => Said::Malformed("a stream that ends without the answer".to_owned()),
            Some(result) if self.status.is_success() => Said::Result(result),
            Some(Err(error)) => Said::Refused(Some(error), String::new()),
            _ if !self.status.is_success() => Said::Refused(None, shown(&body)),
            _ if body.is_empty() => Said::Nothing,
            _ => Said::Malformed(format!("{:?}, which is no answer of JSON-RPC: {}", self.kind, shown(&body))),
        };
        self.answer(said)
    }
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

impl Answer {
    fn result(self, path: &str, method: &str) -> Result<JsonText, ChannelError> {
        let status = self.status;
        match self.said {
            Said::Result(result) => result,
            Said::Nothing => Err(ChannelError::Malformed(format!("it answers {method} (POST {path}) with {status} and nothing else"))),
            Said::Malformed(what) => Err(ChannelError::Malformed(format!("it answers {method} (POST {path}) with {what}"))),
            Said::Refused(Some(error), _) => Err(error),
            Said::Refused(None, body) => {
                let said = if body.is_empty() { String::new() } else { format!(": {body}") };
                let text = format!("it answers {method} (POST {path}) with {status}{said}");
                Err(if status.is_client_error() { ChannelError::Malformed(text) } else { ChannelError::Unreachable(text) })
            }
        }
    }
}

/// The result of a call whose instance failed.
fn failed(message: String, refusals: Vec<String>) -> JsonText {
    let content: Vec<Value> = std::iter::once(message).chain(refusals).map(block).collect();
    JsonText::from_writer(json!({ "content": content, "isError": true }).to_string())
}

/// A failed tool that was refused something most likely failed for that reason: say it where the caller sees it.
fn with_refusals(result: JsonText, refusals: Vec<String>) -> JsonText {
    let is_error = || RawObject::parse(result.as_str()).and_then(|result| result.read("isError")) == Some(true);
    if refusals.is_empty() || !is_error() {
        return result;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(result.as_str()) else { return result };
    if let Some(Value::Array(content)) = value.get_mut("content") {
        content.extend(refusals.into_iter().map(block));
    }
    JsonText::from_writer(value.to_string())
}

fn block(text: String) -> Value {
    json!({ "type": "text", "text": text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_where_a_tool_failed_and_nowhere_else() {
        let told = |result: &str| with_refusals(JsonText::from_writer(result.to_owned()), vec!["no".to_owned()]).into_string();
        let well = r#"{"content":[]}"#;
        assert_eq!(told(well), well);
        assert_eq!(told(r#"{"content":[],"isError":true,"x":1}"#), r#"{"content":[{"type":"text","text":"no"}],"isError":true,"x":1}"#);
        assert_eq!(told("[]"), "[]");
    }
}
