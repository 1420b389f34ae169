//! One message of MCP to the server in a component: a request in an instance, and its answer, as
//! JSON or at the end of a stream, with what the server says before it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use wasmtime::{Store, component::Instance};

use super::{
    super::{Code, run::Failure},
    answer::{Answer, Said, Taking},
    guest::{Post, Unanswered},
};
use crate::{
    provider::{CallContext, JsonText},
    upstream::{
        ChannelError, Era, Request, Session, Transport, Uris,
        http_headers::{ParamHeaders, SESSION, SessionHeaders},
        message, meta,
        raw::RawObject,
    },
    wasm::{
        instance::State,
        limits::{self, Exceeded},
    },
};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// A server in a component.
pub(super) type GuestSession = Session<GuestTransport>;

/// Requests of HTTP to the handler of a component, each in an instance.
pub(super) struct GuestTransport {
    pub(super) code: Arc<Code>,
    /// Where it serves MCP.
    pub(super) path: &'static str,
    pub(super) agreed: OnceLock<Agreed>,
    /// It knows a session only in the instance that has opened it: each request opens one of its
    /// own first.
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
    /// Sends one request in an instance of its own and awaits its answer. Dropping the future ends
    /// the instance.
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
        if let Some(value) = context.trace_parent().and_then(|text| HeaderValue::try_from(&*text).ok()) {
            headers.insert(TRACE_PARENT, value);
        }
        let post = transport.post(headers, message::request(id, method, params, meta.as_deref()));
        let limit = transport.limit(method);
        let session = Arc::clone(self);
        let is_call = method == "tools/call";
        let ran = if is_call {
            let work = move |code: Arc<Code>, mut store: Store<State>, instance| async move {
                let mut cut = false;
                let answered = session.converse(&code, &mut store, instance, id, post, limit, &mut cut).await;
                (answered, (!cut).then_some(store))
            };
            transport.code.run_kept(Box::new(context.clone()), work).await
        } else {
            let listing = is_of_host(method);
            let work = move |code: Arc<Code>, mut store: Store<State>, instance| async move {
                store.data_mut().listing = listing;
                session.converse(&code, &mut store, instance, id, post, limit, &mut false).await
            };
            transport.code.run(Box::new(context.clone()), work).await
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
        let told = self.transport.code.run(Box::default(), move |code, mut store, instance| async move {
            session.converse(&code, &mut store, instance, 0, post, limit, &mut false).await
        });
        match told.await {
            Ok((Answer { said: Said::Refused(Some(error), _), .. }, _)) => Err(error),
            Ok((answer, _)) if answer.status.is_success() => Ok(()),
            Ok((answer, _)) => answer.result(self.transport.path, "a notification").map(drop),
            Err(Failure::Plugin { message, .. }) => Err(ChannelError::Malformed(message)),
            Err(Failure::Call(error)) => Err(ChannelError::Call(Box::new(error))),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an instance is, and what is said to it")]
    /// One message in an instance, which opens a session of its own before it where that is what
    /// the server needs.
    async fn converse(
        self: &Arc<Self>,
        code: &Arc<Code>,
        store: &mut Store<State>,
        instance: Instance,
        id: u64,
        mut post: Post,
        limit: usize,
        cut: &mut bool,
    ) -> Result<(Answer, Vec<String>), Failure> {
        let guest = code.handler(store, &instance)?;
        if self.transport.opens.load(Relaxed)
            && let Some(agreed) = self.transport.agreed.get()
        {
            let open = self.next_id();
            let greeting = self.transport.post(HeaderMap::new(), message::request(open, "initialize", &agreed.greeting, None));
            let opened = self.sent(code, store, &guest, open, greeting, limit, cut).await?;
            let mut speech = agreed.speech.clone();
            speech.session = opened.session;
            let ready = message::notification("notifications/initialized", "{}");
            self.sent(code, store, &guest, open, self.transport.post(speech.headers(), ready), limit, cut).await?;
            post.headers.remove(SESSION);
            post.headers.extend(speech.session.map(|session| (SESSION, session)));
        }
        let answer = self.sent(code, store, &guest, id, post, limit, cut).await?;
        Ok((answer, store.data().refusals.messages()))
    }

    #[expect(clippy::too_many_arguments, reason = "as above")]
    async fn sent(
        self: &Arc<Self>,
        code: &Arc<Code>,
        store: &mut Store<State>,
        guest: &wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler::Guest,
        id: u64,
        post: Post,
        limit: usize,
        cut: &mut bool,
    ) -> Result<Answer, Failure> {
        let plugin = &code.shared.id;
        match code.post(store, guest, post, Taking::new(self, id, limit), cut).await? {
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

/// The result of a call whose instance failed.
fn failed(message: String, refusals: Vec<String>) -> JsonText {
    let content: Vec<Value> = std::iter::once(message).chain(refusals).map(block).collect();
    JsonText::from_writer(json!({ "content": content, "isError": true }).to_string())
}

/// A failed tool that was refused something most likely failed for that reason: say it where the
/// caller sees it.
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
