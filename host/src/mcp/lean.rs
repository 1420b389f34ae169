//! The lean path: lists, calls, reads, prompts and completions from the request's bytes to the answer's, in both eras.
//!
//! It takes a request only when it has made every check that rmcp makes for that era and all of them hold. Whatever is unusual or wrong is left to the
//! general way, which then says so; here nothing is refused.

use std::{borrow::Cow, sync::Arc};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::future::abortable;
use http::{HeaderMap, Response, header::AsHeaderName, request::Parts};
use rmcp::model::ClientCapabilities;
use serde_json::{Value, value::RawValue};

use super::{
    answer::{self, Answer},
    asking::{Asking, Input, NO_SESSION, SessionAsker},
    detach::Detached,
    endpoint_state::EndpointState,
    envelope::{
        ArgumentParams, CallParams, CompleteParams, ContextParams, Envelope, ListParams, Meta, Params, RawMeta, ReadParams, RefParams,
        TaskParams, id_key, is_object, is_plain_id, object,
    },
    era::{Era, LEGACY, METHOD_NAME, MODERN, NAME_NAME, SESSION_NAME, VERSION_NAME},
    outbox::Outbox,
    reply, resolve,
    sessions::Session,
    sse::{self, CallTask},
};
use crate::{
    catalog::{Entry, Snapshot},
    dispatch::{CallRequest, Hold, Operation},
    json::is_too_deep,
    provider::{CallError, Completion, LogLevel, Principal, Reference, StartSignal},
};

/// Answers the request, or leaves it.
pub(super) async fn answer(shared: &Arc<EndpointState>, parts: &Parts, body: &Bytes) -> Option<Response<Body>> {
    match plan(shared, parts, body)? {
        Plan::Answer(answer) => Some(answer.into_response()),
        Plan::Call(call) => Some(run(shared, call, parts.extensions.get::<Hold>().cloned()).await),
    }
}

#[expect(clippy::large_enum_variant, reason = "it lives on one stack for a moment, and a box would be an allocation for each call")]
enum Plan<'a> {
    Answer(Answer),
    Call(PlannedCall<'a>),
}

/// A call that may run.
struct PlannedCall<'a> {
    id: &'a str,
    operation: Operation<'a>,
    caller: Caller<'a>,
    /// Where the call's notifications go, when it may send some and somebody wants them.
    outbox: Option<Arc<Outbox>>,
    asking: Asking,
    /// It may become a task.
    deferrable: bool,
}

/// Who calls, by what rules, and what they want to be told.
struct Caller<'a> {
    era: Era,
    meta: Option<Arc<str>>,
    trace_parent: Option<Arc<str>>,
    principal: Option<Principal>,
    session: Option<Arc<Session>>,
    /// The progress token, as JSON text.
    token: Option<&'a str>,
    level: Option<LogLevel>,
    /// Declared that it can be let go.
    tasks: bool,
}

/// Every check.
fn plan<'a>(shared: &EndpointState, parts: &Parts, body: &'a Bytes) -> Option<Plan<'a>> {
    let text = std::str::from_utf8(body).ok()?;
    if !is_object(text) || is_too_deep(body) {
        return None;
    }
    let envelope: Envelope<'a> = serde_json::from_str(text).ok()?;
    let id = envelope.id?.get();
    if envelope.jsonrpc != "2.0" || !is_plain_id(id) {
        return None;
    }
    let method = &*envelope.method;
    match method {
        "tools/call" => plan_call(shared, parts, id, envelope.params?.call()?),
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => {
            plan_list(shared, parts, id, method, envelope.params)
        }
        "resources/read" => {
            let ReadParams { uri, state, responses, meta } = envelope.params?.read()?;
            let caller = caller(shared, parts, method, Some(&uri), meta)?;
            let input = input(&caller, state, responses)?;
            Some(plan_work(shared, id, caller, Some(input), |snapshot| resolve::read(uri, snapshot)))
        }
        "prompts/get" => {
            let CallParams { name, arguments, state, responses, meta } = envelope.params?.call()?;
            let arguments = match arguments {
                None => None,
                Some(arguments) => Some(object(arguments)?),
            };
            let caller = caller(shared, parts, method, Some(&name), meta)?;
            let input = input(&caller, state, responses)?;
            Some(plan_work(shared, id, caller, Some(input), |snapshot| resolve::prompt(&name, arguments, snapshot)))
        }
        "completion/complete" => {
            let params: CompleteParams<'a> = envelope.params?.complete()?;
            let ArgumentParams { name: argument, value } = object(params.argument)?;
            let reference = match object(params.reference)? {
                RefParams::Prompt { name } => Reference::Prompt(name),
                RefParams::Resource { uri } => Reference::Template(uri),
            };
            let context: ContextParams = match params.context {
                None => ContextParams::default(),
                Some(context) => object(context)?,
            };
            let others = context.arguments.unwrap_or_default().into_iter().collect();
            let caller = caller(shared, parts, method, None, params.meta)?;
            let completion = Completion { reference, argument, value, others };
            Some(plan_work(shared, id, caller, None, |snapshot| resolve::completion(completion, snapshot)))
        }
        "tasks/get" | "tasks/update" | "tasks/cancel" => plan_task(shared, parts, id, method, envelope.params?.task()?),
        _ => None,
    }
}

/// What a client wants of a task. It has to say again that it knows tasks.
fn plan_task<'a>(shared: &EndpointState, parts: &Parts, id: &'a str, method: &str, params: TaskParams<'a>) -> Option<Plan<'a>> {
    let TaskParams { id: task, responses, meta } = params;
    let caller = caller(shared, parts, method, Some(&task), meta)?;
    if !caller.tasks || (responses.is_some() != (method == "tasks/update")) {
        return None;
    }
    let principal = caller.principal.as_ref();
    let result = match method {
        "tasks/get" => shared.tasks.get(&task, principal),
        "tasks/update" => shared.tasks.update(&task, principal, responses.map(RawValue::get)),
        _ => shared.tasks.cancel(&task, principal),
    };
    Some(Plan::Answer(answer::raw(id, caller.era, result, &shared.catalog.snapshot())))
}

fn plan_list<'a>(shared: &EndpointState, parts: &Parts, id: &'a str, method: &str, params: Option<Params<'a>>) -> Option<Plan<'a>> {
    let ListParams { meta } = params.unwrap_or_default().list()?;
    let era = era(&parts.headers, meta.as_ref().map(|meta| &meta.known))?;
    match era {
        Era::Modern => has_standard_headers(&parts.headers, method, None).then_some(())?,
        Era::Legacy => drop(session(shared, parts)?),
    }
    let snapshot = shared.catalog.snapshot();
    let (member, items) = match method {
        "tools/list" => ("tools", snapshot.list_json()),
        "prompts/list" => ("prompts", snapshot.prompts_json()),
        "resources/list" => ("resources", snapshot.resources_json()),
        _ => ("resourceTemplates", snapshot.templates_json()),
    };
    Some(Plan::Answer(answer::list(id, era, shared.is_private(), member, items)))
}

fn plan_call<'a>(shared: &EndpointState, parts: &Parts, id: &'a str, params: CallParams<'a>) -> Option<Plan<'a>> {
    let CallParams { name, arguments, state, responses, meta } = params;
    let arguments = arguments.map_or("{}", |arguments| arguments.get());
    if !is_object(arguments) {
        return None;
    }
    let caller = caller(shared, parts, "tools/call", Some(&name), meta)?;
    let input = input(&caller, state, responses)?;
    let snapshot = shared.catalog.snapshot();
    let entry = snapshot.resolve(&name);
    if caller.era == Era::Modern && entry.is_some_and(|entry| !has_param_headers(&parts.headers, entry, arguments)) {
        return None;
    }
    Some(plan_work(shared, id, caller, Some(input), |_| match entry {
        Some(entry) => Ok(Operation::Call { entry: Arc::clone(entry), arguments: Cow::Borrowed(arguments) }),
        None => Err(CallError::UnknownTool(name.clone().into_owned())),
    }))
}

/// What a request brought of its call's earlier rounds, which only 2026-07-28 has.
fn input(caller: &Caller<'_>, state: Option<String>, responses: Option<&RawValue>) -> Option<Input> {
    if caller.era == Era::Legacy && (state.is_some() || responses.is_some()) {
        return None;
    }
    Some(Input { state, responses: responses.map(|responses| responses.get().to_owned()) })
}

/// What is to be done, or why it cannot be. Without `input` the work has nothing to ask.
fn plan_work<'a>(
    shared: &EndpointState,
    id: &'a str,
    caller: Caller<'a>,
    input: Option<Input>,
    resolve: impl FnOnce(&Snapshot) -> Result<Operation<'a>, CallError>,
) -> Plan<'a> {
    let snapshot = shared.catalog.snapshot();
    match resolve(&snapshot) {
        Ok(operation) => {
            let listens = operation.notifies() && (caller.token.is_some() || caller.level.is_some());
            let outbox = listens.then(|| Arc::new(Outbox::new(caller.token, caller.level)));
            let asking = match (input, caller.era) {
                (Some(input), Era::Modern) if operation.notifies() || !input.is_empty() => Asking::Returning(input),
                (Some(_), Era::Legacy) if operation.notifies() => match (&caller.session, &outbox) {
                    (Some(session), Some(outbox)) => Asking::Waiting(Arc::new(SessionAsker {
                        session: Arc::clone(session),
                        outbox: Arc::clone(outbox),
                        patience: shared.ask_timeout(),
                    })),
                    _ => Asking::Waiting(Arc::new(NO_SESSION)),
                },
                _ => Asking::Never,
            };
            let deferrable = caller.tasks && matches!(operation, Operation::Call { .. });
            Plan::Call(PlannedCall { id, operation, caller, outbox, asking, deferrable })
        }
        Err(error) => Plan::Answer(reply::outcome(id, caller.era, shared.is_private(), Err(error), &snapshot)),
    }
}

/// Who makes this request. `name` is what `Mcp-Name` has to say, for methods that have one.
fn caller<'a>(shared: &EndpointState, parts: &Parts, method: &str, name: Option<&str>, meta: Option<RawMeta<'a>>) -> Option<Caller<'a>> {
    let era = era(&parts.headers, meta.as_ref().map(|meta| &meta.known))?;
    let (text, meta) = meta.map_or_else(|| (None, Meta::default()), |meta| (Some(meta.text), meta.known));
    let (session, level) = match era {
        Era::Modern => {
            if !has_standard_headers(&parts.headers, method, name) {
                return None;
            }
            (None, meta.log_level.as_deref().map(LogLevel::of_name).map_or(Some(None), |level| level.map(Some))?)
        }
        Era::Legacy => {
            let session = session(shared, parts)?;
            let level = session.as_ref().map(|session| session.level());
            (session, level)
        }
    };
    let token = meta.progress_token.map(RawValue::get);
    if token.is_some_and(|token| !is_plain_id(token)) {
        return None;
    }
    let tasks = era == Era::Modern && meta.capabilities.is_some_and(|declared| shared.tasks.may_be(declared.get()));
    Some(Caller {
        era,
        trace_parent: meta.traceparent.as_deref().or_else(|| parts.headers.get("traceparent")?.to_str().ok()).map(Arc::from),
        meta: text.map(Arc::from),
        principal: parts.extensions.get().cloned(),
        session,
        token,
        level,
        tasks,
    })
}

/// Runs the call in the way of its era. `hold` is what its request takes of the room for bodies.
async fn run(shared: &Arc<EndpointState>, call: PlannedCall<'_>, hold: Option<Hold>) -> Response<Body> {
    let PlannedCall { id, operation, caller, outbox, asking, deferrable } = call;
    let Caller { era, meta, trace_parent, principal, session, .. } = caller;
    let deferral = operation.notifies().then(|| shared.tasks.refusing());
    let request = CallRequest::new(principal, operation)
        .with_front(era.as_str())
        .with_trace_parent(trace_parent)
        .with_meta(meta)
        .with_notifier(outbox.clone().map(|outbox| outbox as _))
        .with_deferral(deferral)
        .with_hold(hold);
    let request = asking.hand_to(request, &shared.states);
    if era == Era::Modern && outbox.is_none() {
        // The connection's end drops this future, and with it the call, unless that is a task by then.
        let result = shared.run(request, deferrable).await;
        return reply::outcome(id, era, shared.is_private(), result, &shared.catalog.snapshot()).into_response();
    }
    // From here on the call outlives the request, or may.
    let signal = Arc::<StartSignal>::default();
    let request = request.with_start_signal(Arc::clone(&signal)).into_owned();
    let key = session.as_ref().and_then(|_| id_key(id));
    let running = {
        let (shared, id) = (Arc::clone(shared), id.to_owned());
        async move {
            let result = shared.run(request, deferrable).await;
            reply::outcome(&id, era, shared.is_private(), result, &shared.catalog.snapshot())
        }
    };
    let (running, abort) = abortable(running);
    let registered = session.zip(key).map(|(session, key)| session.register(key, abort));
    let running = async move {
        let _registered = registered;
        running.await.ok()
    };
    match outbox {
        Some(outbox) => sse::respond(CallTask::spawn(id.to_owned(), outbox, era == Era::Modern, running, signal)).await,
        None => Detached::new(running, signal).await.map_or_else(sse::nothing, Answer::into_response),
    }
}

/// The era, when headers and `_meta` agree on it and nothing that it requires is missing.
fn era(headers: &HeaderMap, meta: Option<&Meta<'_>>) -> Option<Era> {
    let header = single(headers, &VERSION_NAME).ok()?;
    match (meta.and_then(|meta| meta.version.as_deref()), header) {
        (None, None) => Some(Era::Legacy),
        (None, Some(version)) if LEGACY.contains(&version) => Some(Era::Legacy),
        (Some(MODERN), Some(MODERN)) if meta.is_some_and(has_capabilities) => Some(Era::Modern),
        _ => None,
    }
}

fn has_capabilities(meta: &Meta<'_>) -> bool {
    let Some(capabilities) = meta.capabilities.map(|capabilities| capabilities.get()) else { return false };
    capabilities == "{}" || (is_object(capabilities) && serde_json::from_str::<ClientCapabilities>(capabilities).is_ok())
}

/// The request's session; the inner None is a request without one.
#[allow(clippy::option_option, reason = "the outer None leaves the request to the general way, as everywhere here")]
fn session(shared: &EndpointState, parts: &Parts) -> Option<Option<Arc<Session>>> {
    match single(&parts.headers, &SESSION_NAME).ok()? {
        None => Some(None),
        Some(id) => shared.sessions.find(id, parts.extensions.get::<Principal>()).map(Some),
    }
}

/// `Mcp-Method` and `Mcp-Name` say what the body says.
fn has_standard_headers(headers: &HeaderMap, method: &str, name: Option<&str>) -> bool {
    single(headers, &METHOD_NAME).is_ok_and(|value| value == Some(method))
        && name.is_none_or(|name| single(headers, &NAME_NAME).is_ok_and(|value| value.is_some_and(|value| is_encoded(value, name))))
}

/// `Mcp-Param-*` say what the arguments say. Nearly no tool has any.
fn has_param_headers(headers: &HeaderMap, entry: &Entry, arguments: &str) -> bool {
    if entry.param_headers().is_empty() {
        return true;
    }
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else { return false };
    entry.param_headers().iter().all(|param| {
        let value = param.path.iter().try_fold(&arguments, |value, name| value.get(name));
        let expected = match value {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        match (single(headers, param.header.as_str()), expected) {
            (Ok(None), None) => true,
            (Ok(Some(value)), Some(expected)) => is_encoded(value, &expected),
            _ => false,
        }
    })
}

/// Whether a header's value stands for this text, as it is or as `=?base64?…?=`.
fn is_encoded(value: &str, text: &str) -> bool {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).is_ok_and(|bytes| bytes == text.as_bytes()),
        None => value == text,
    }
}

/// The header's only value. Err: several, or one that is no text.
fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(());
    }
    value.to_str().map(Some).map_err(drop)
}
