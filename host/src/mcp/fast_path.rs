//! The lean path: lists, calls, reads, prompts and completions from the request's bytes to the answer's, in both eras.
//!
//! It takes a request only when it has made every check that rmcp makes for that era and all of them hold. Whatever is unusual or wrong is left to the
//! general way, with the reason, and that says what is wrong; here nothing is refused.

use std::{borrow::Cow, sync::Arc, task::Poll, time::Instant};

use axum::body::Body;
use bytes::Bytes;
use futures::poll;
use http::{Response, request::Parts};
use serde_json::value::RawValue;

use super::{
    answer::{self, Answer},
    caller::{Caller, Said},
    cancel::cancellable,
    client_requests::{Input, SessionAsker},
    disconnect::RunToCompletion,
    endpoint_state::EndpointState,
    envelope::{
        ArgumentParams, CallParams, CompleteParams, ContextParams, Envelope, ListParams, Meta, Params, RawMeta, ReadParams, RefParams,
        TaskParams, is_object, is_plain_id, object,
    },
    era::Era,
    headers::{has_param_headers, has_standard_headers},
    notification_queue::NotificationQueue,
    packed, reply, resolve,
    sessions::{NoSession, Session},
    sse::{self, CallTask},
};
use crate::{
    catalog::{Seen, Snapshot},
    dispatch::{CallRequest, Operation},
    json::is_too_deep,
    provider::{Asker, CallError, Completion, LogLevel, Reference, StartSignal},
};

/// Why a request is left to the general way. Most that are left are quite right, and only rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leave {
    /// It is no text, no object, or nested too deep.
    NoMessage,
    /// It is no JSON, or has members that a plain request has not.
    Envelope,
    /// It is a notification or an answer, or its id is none of the usual ones.
    Id,
    /// The method is not a plain one.
    Method,
    /// The parameters are not those of the method, or more than those.
    Params,
    /// Header and `_meta` do not agree on a revision, or something that it requires is missing.
    Revision,
    /// The headers do not say what the body says.
    Headers,
    /// It names a session that its caller has not.
    Session,
    /// The progress token or the log level is none of the usual ones.
    Meta,
}

/// Answers the request, or leaves it.
pub(super) async fn answer(shared: &Arc<EndpointState>, parts: &Parts, body: &Bytes) -> Result<Response<Body>, Leave> {
    match plan(shared, parts, body)? {
        Plan::Answer(answer) => Ok(answer.into_response()),
        Plan::Packed(response) => Ok(response),
        Plan::Call(call) => Ok(run(shared, parts, call).await),
    }
}

enum Plan<'a> {
    Answer(Answer),
    /// A list, compressed.
    Packed(Response<Body>),
    Call(PlannedCall<'a>),
}

/// A call that may run.
struct PlannedCall<'a> {
    id: &'a str,
    era: Era,
    session: Option<Arc<Session>>,
    request: CallRequest<'a>,
    /// Where the call's notifications go, when it may send some and somebody wants them.
    outbox: Option<Arc<NotificationQueue>>,
    /// It may become a task.
    deferrable: bool,
}

/// Every check.
fn plan<'a>(shared: &EndpointState, parts: &Parts, body: &'a Bytes) -> Result<Plan<'a>, Leave> {
    let text = std::str::from_utf8(body).map_err(|_| Leave::NoMessage)?;
    if !is_object(text) || is_too_deep(body) {
        return Err(Leave::NoMessage);
    }
    let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|_| Leave::Envelope)?;
    if envelope.jsonrpc != "2.0" {
        return Err(Leave::Envelope);
    }
    let id = envelope.id.map(RawValue::get).filter(|id| is_plain_id(id)).ok_or(Leave::Id)?;
    let method = &*envelope.method;
    let params = envelope.params;
    match method {
        "tools/call" => plan_call(shared, parts, id, params.and_then(Params::call).ok_or(Leave::Params)?),
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => plan_list(shared, parts, id, method, params),
        "resources/read" => {
            let ReadParams { uri, state, responses, meta } = params.and_then(Params::read).ok_or(Leave::Params)?;
            let caller = caller(shared, parts, method, Some(&uri), meta)?;
            let input = input(&caller, state, responses)?;
            Ok(plan_work(shared, id, caller, Some(input), |snapshot| resolve::read(uri, snapshot)))
        }
        "prompts/get" => {
            let CallParams { name, arguments, state, responses, meta } = params.and_then(Params::call).ok_or(Leave::Params)?;
            let arguments = match arguments {
                None => None,
                Some(arguments) => Some(object(arguments).ok_or(Leave::Params)?),
            };
            let caller = caller(shared, parts, method, Some(&name), meta)?;
            let input = input(&caller, state, responses)?;
            Ok(plan_work(shared, id, caller, Some(input), |snapshot| resolve::prompt(&name, arguments, snapshot)))
        }
        "completion/complete" => {
            let params: CompleteParams<'a> = params.and_then(Params::complete).ok_or(Leave::Params)?;
            let ArgumentParams { name: argument, value } = object(params.argument).ok_or(Leave::Params)?;
            let reference = match object(params.reference).ok_or(Leave::Params)? {
                RefParams::Prompt { name } => Reference::Prompt(name),
                RefParams::Resource { uri } => Reference::Template(uri),
            };
            let context: ContextParams = match params.context {
                None => ContextParams::default(),
                Some(context) => object(context).ok_or(Leave::Params)?,
            };
            let others = context.arguments.unwrap_or_default().into_iter().collect();
            let caller = caller(shared, parts, method, None, params.meta)?;
            let completion = Completion { reference, argument, value, others };
            Ok(plan_work(shared, id, caller, None, |snapshot| resolve::completion(completion, snapshot)))
        }
        "tasks/get" | "tasks/update" | "tasks/cancel" => {
            plan_task(shared, parts, id, method, params.and_then(Params::task).ok_or(Leave::Params)?)
        }
        _ => Err(Leave::Method),
    }
}

/// What a client wants of a task. It has to say again that it knows tasks.
fn plan_task<'a>(shared: &EndpointState, parts: &Parts, id: &'a str, method: &str, params: TaskParams<'a>) -> Result<Plan<'a>, Leave> {
    let TaskParams { id: task, responses, meta } = params;
    let caller = caller(shared, parts, method, Some(&task), meta)?;
    if !caller.knows_tasks() || (responses.is_some() != (method == "tasks/update")) {
        return Err(Leave::Params);
    }
    let principal = caller.principal();
    let result = match method {
        "tasks/get" => shared.tasks.get(&task, principal),
        "tasks/update" => shared.tasks.update(&task, principal, responses.map(RawValue::get)),
        _ => shared.tasks.cancel(&task, principal),
    };
    Ok(Plan::Answer(answer::raw(id, caller.era, result, &shared.seen(principal))))
}

fn plan_list<'a>(shared: &EndpointState, parts: &Parts, id: &'a str, method: &str, params: Option<Params<'a>>) -> Result<Plan<'a>, Leave> {
    let ListParams { meta } = params.unwrap_or_default().list().ok_or(Leave::Params)?;
    let era = Era::agreed(&parts.headers, meta.as_ref().map(|meta| &meta.known)).ok_or(Leave::Revision)?;
    match era {
        Era::Modern => has_standard_headers(&parts.headers, method, None).then_some(()).ok_or(Leave::Headers)?,
        Era::Legacy => drop(session(shared, parts)?),
    }
    let snapshot = shared.listed(parts.extensions.get());
    let (member, items) = match method {
        "tools/list" => ("tools", snapshot.list_json()),
        "prompts/list" => ("prompts", snapshot.prompts_json()),
        "resources/list" => ("resources", snapshot.resources_json()),
        _ => ("resourceTemplates", snapshot.templates_json()),
    };
    let is_private = shared.is_private();
    let packed = packed::takes_gzip(&parts.headers).then(|| answer::packed_list(id, era, is_private, member, items, &shared.packed));
    Ok(packed.flatten().map_or_else(|| Plan::Answer(answer::list(id, era, is_private, member, items)), Plan::Packed))
}

fn plan_call<'a>(shared: &EndpointState, parts: &Parts, id: &'a str, params: CallParams<'a>) -> Result<Plan<'a>, Leave> {
    let CallParams { name, arguments, state, responses, meta } = params;
    let arguments = arguments.map_or("{}", |arguments| arguments.get());
    if !is_object(arguments) {
        return Err(Leave::Params);
    }
    let caller = caller(shared, parts, "tools/call", Some(&name), meta)?;
    let input = input(&caller, state, responses)?;
    let snapshot = shared.seen(caller.principal());
    let called = snapshot.called(&name, Cow::Borrowed(arguments));
    if caller.era == Era::Modern
        && called.as_ref().is_ok_and(|called| called.is_named && !has_param_headers(&parts.headers, &called.entry, arguments))
    {
        return Err(Leave::Headers);
    }
    let operation = called.map(Operation::of).map_err(CallError::UnknownTool);
    Ok(plan_operation(shared, id, caller, Some(input), operation, &snapshot))
}

/// What a request brought of its call's earlier rounds, which only 2026-07-28 has.
fn input(caller: &Caller<'_>, state: Option<String>, responses: Option<&RawValue>) -> Result<Input, Leave> {
    if caller.era == Era::Legacy && (state.is_some() || responses.is_some()) {
        return Err(Leave::Params);
    }
    Ok(Input { state, responses: responses.map(|responses| responses.get().to_owned()) })
}

/// What is to be done, or why it cannot be. Without `input` the work has nothing to ask.
fn plan_work<'a>(
    shared: &EndpointState,
    id: &'a str,
    caller: Caller<'a>,
    input: Option<Input>,
    resolve: impl FnOnce(&Snapshot) -> Result<Operation<'a>, CallError>,
) -> Plan<'a> {
    let seen = shared.seen(caller.principal());
    let operation = resolve(&seen);
    plan_operation(shared, id, caller, input, operation, &seen)
}

/// The same, looked up in what its caller sees.
fn plan_operation<'a>(
    shared: &EndpointState,
    id: &'a str,
    caller: Caller<'a>,
    input: Option<Input>,
    operation: Result<Operation<'a>, CallError>,
    seen: &Seen,
) -> Plan<'a> {
    match operation {
        Ok(operation) => {
            let outbox = caller.outbox(shared, &operation);
            let (era, session) = (caller.era, caller.session.clone());
            let asker = |session: &Arc<Session>| {
                let (session, outbox) = (Arc::clone(session), Arc::clone(outbox.as_ref()?));
                let fleet = Arc::clone(&shared.fleet);
                Some(Arc::new(SessionAsker { session, fleet, outbox, patience: shared.ask_timeout() }) as Arc<dyn Asker>)
            };
            let (request, deferrable) = caller.request(shared, operation, outbox.as_ref(), input, asker);
            Plan::Call(PlannedCall { id, era, session, request, outbox, deferrable })
        }
        Err(error) => {
            let error = shared.not_there(seen, caller.principal(), caller.trace_parent(), error);
            Plan::Answer(answer::failure(id, caller.era, error, seen))
        }
    }
}

/// Who makes this request. `name` is what `Mcp-Name` has to say, for methods that have one.
fn caller<'a>(
    shared: &EndpointState,
    parts: &Parts,
    method: &str,
    name: Option<&str>,
    meta: Option<RawMeta<'a>>,
) -> Result<Caller<'a>, Leave> {
    let era = Era::agreed(&parts.headers, meta.as_ref().map(|meta| &meta.known)).ok_or(Leave::Revision)?;
    let session = match era {
        Era::Modern => has_standard_headers(&parts.headers, method, name).then_some(None).ok_or(Leave::Headers)?,
        Era::Legacy => session(shared, parts)?,
    };
    let said = meta.map_or_else(|| Ok(Said::default()), said)?;
    Ok(Caller::new(shared, era, session, Some(parts), said))
}

fn said(meta: RawMeta<'_>) -> Result<Said<'_>, Leave> {
    let Meta { capabilities, log_level, progress_token, traceparent, .. } = meta.known;
    let token = progress_token.map(RawValue::get);
    if token.is_some_and(|token| !is_plain_id(token)) {
        return Err(Leave::Meta);
    }
    Ok(Said {
        text: Some(Arc::from(meta.text)),
        trace_parent: traceparent.as_deref().map(Arc::from),
        token: token.map(Cow::Borrowed),
        log_level: log_level.as_deref().map(|level| LogLevel::of_name(level).ok_or(Leave::Meta)).transpose()?,
        capabilities: capabilities.map(RawValue::get),
    })
}

/// The request's session, where it has one.
fn session(shared: &EndpointState, parts: &Parts) -> Result<Option<Arc<Session>>, Leave> {
    shared.sessions.named(parts).map_err(|why| match why {
        NoSession::Ambiguous => Leave::Headers,
        NoSession::Unknown => Leave::Session,
    })
}

/// Runs the call in the way of its era.
async fn run(shared: &Arc<EndpointState>, parts: &Parts, call: PlannedCall<'_>) -> Response<Body> {
    let PlannedCall { id, era, session, request, outbox, deferrable } = call;
    let principal = request.context().principal.clone();
    if era == Era::Modern && outbox.is_none() {
        // The connection's end drops this future, and with it the call, unless that is a task by then.
        let result = shared.run(request, deferrable).await;
        return reply::outcome(id, era, shared.is_private(), result, || shared.seen(principal.as_ref())).await.into_response();
    }
    // From here on the call outlives the request, or may.
    let signal = Arc::<StartSignal>::default();
    let request = request.with_start_signal(Arc::clone(&signal)).into_owned();
    let begun = Instant::now();
    let mut running = {
        let (shared, id) = (Arc::clone(shared), id.to_owned());
        // Boxed first: what is put around it is small then.
        Box::pin(async move {
            let result = shared.run(request, deferrable).await;
            reply::outcome(&id, era, shared.is_private(), result, || shared.seen(principal.as_ref())).await
        })
    };
    // Most calls are answered at once: nobody can cancel one of these or hang up on it, so nothing is made ready for that.
    if outbox.is_none()
        && let Poll::Ready(answer) = poll!(running.as_mut())
    {
        return answer.into_response();
    }
    let cancellation = session.as_ref().and_then(|session| shared.fleet.cancellation(session, parts, id));
    let running = cancellable(running, session, cancellation, id, begun);
    match outbox {
        Some(outbox) => Box::pin(sse::respond(CallTask::spawn(id.to_owned(), outbox, era == Era::Modern, running, signal))).await,
        None => RunToCompletion::new(running, signal).await.map_or_else(sse::nothing, Answer::into_response),
    }
}
