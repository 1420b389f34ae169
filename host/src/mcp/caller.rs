//! Who makes a request, by which rules, and how to reach them: the same for both ways of a request.
//!
//! Each way reads what a request says of its caller by its own means, from bytes or from rmcp's models. What
//! follows from it is decided here: what the call is told, whether it may become a task, how it asks.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use http::request::Parts;

use super::{
    client_requests::{Asking, Input, NO_SESSION},
    endpoint_state::EndpointState,
    era::Era,
    notification_queue::NotificationQueue,
    request_checks::AnswerOnly,
    sessions::Session,
};
use crate::{
    dispatch::{CallRequest, Hold, Operation},
    provider::{Asker, CallerAddress, CallerHeaders, LogLevel, Principal},
    telemetry::traces::{trace_id, trace_parent},
};

/// Who calls, by what rules, and what they want to be told.
pub(super) struct Caller<'a> {
    pub(super) era: Era,
    /// Of a client before 2026-07-28 that has one.
    pub(super) session: Option<Arc<Session>>,
    principal: Option<Principal>,
    headers: Option<CallerHeaders>,
    address: Option<IpAddr>,
    trace_parent: Option<Arc<str>>,
    meta: Option<Arc<str>>,
    /// The progress token, as JSON text.
    token: Option<Cow<'a, str>>,
    /// The least level of log messages that is wanted.
    level: Option<LogLevel>,
    /// Declared that it can be let go.
    tasks: bool,
    hold: Option<Hold>,
    /// What becomes the stream of its request, where that is made already.
    outbox: Option<Arc<NotificationQueue>>,
}

/// What a request's `_meta` says of its caller.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// All of it, as JSON text.
    pub(super) text: Option<Arc<str>>,
    pub(super) trace_parent: Option<Arc<str>>,
    /// `progressToken`, as JSON text: a string or a whole number.
    pub(super) token: Option<Cow<'a, str>>,
    /// `io.modelcontextprotocol/logLevel`, which only 2026-07-28 has.
    pub(super) log_level: Option<LogLevel>,
    /// `io.modelcontextprotocol/clientCapabilities`, as JSON text.
    pub(super) capabilities: Option<&'a str>,
}

impl<'a> Caller<'a> {
    /// The caller of a request with this head. Without one nothing is known of who calls.
    pub(super) fn new(endpoint: &EndpointState, era: Era, session: Option<Arc<Session>>, parts: Option<&Parts>, said: Said<'a>) -> Self {
        let level = match era {
            Era::Modern => said.log_level,
            Era::Legacy => session.as_ref().map(|session| session.level()),
        };
        // Who takes no stream is sent nothing before the answer.
        let quiet = parts.is_some_and(|parts| parts.extensions.get::<AnswerOnly>().is_some());
        // What is not well-formed is as if it were not there.
        let of_meta = said.trace_parent.filter(|parent| trace_id(parent).is_some());
        let of_head = || trace_parent(&parts?.headers);
        Self {
            era,
            session,
            principal: parts.and_then(|parts| parts.extensions.get()).cloned(),
            headers: parts.and_then(|parts| parts.extensions.get()).cloned(),
            address: parts.and_then(CallerAddress::of),
            trace_parent: of_meta.or_else(|| of_head().map(Arc::from)),
            meta: said.text,
            token: said.token.filter(|_| !quiet),
            level: level.filter(|_| !quiet),
            tasks: era == Era::Modern && said.capabilities.is_some_and(|declared| endpoint.tasks.may_be(declared)),
            hold: parts.and_then(|parts| parts.extensions.get()).cloned(),
            outbox: parts.and_then(|parts| parts.extensions.get()).cloned(),
        }
    }

    /// The same, free of the request.
    pub(super) fn into_owned(self) -> Caller<'static> {
        let Self { era, session, principal, headers, address, trace_parent, meta, token, level, tasks, hold, outbox } = self;
        let token = token.map(|token| Cow::Owned(token.into_owned()));
        Caller { era, session, principal, headers, address, trace_parent, meta, token, level, tasks, hold, outbox }
    }

    /// W3C `traceparent` of its request.
    pub(super) fn trace_parent(&self) -> Option<&str> {
        self.trace_parent.as_deref()
    }

    /// Under which name it was let in.
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Whether it can be let go.
    pub(super) fn knows_tasks(&self) -> bool {
        self.tasks
    }

    /// Where the notifications of its call go, when that may send some and somebody wants them.
    pub(super) fn outbox(&self, endpoint: &EndpointState, operation: &Operation<'_>) -> Option<Arc<NotificationQueue>> {
        let talks = talks(endpoint, operation);
        if let Some(outbox) = &self.outbox {
            return talks.then(|| Arc::clone(outbox));
        }
        let listens = talks && (self.token.is_some() || self.level.is_some());
        listens.then(|| Arc::new(NotificationQueue::new(self.token.as_deref(), self.level)))
    }

    /// Its call, and whether that may become a task. Without `input` there is nothing to ask. `asker` asks
    /// a client with a session; None: it cannot.
    pub(super) fn request<'o>(
        self,
        endpoint: &EndpointState,
        operation: Operation<'o>,
        outbox: Option<&Arc<NotificationQueue>>,
        input: Option<Input>,
        asker: impl FnOnce(&Arc<Session>) -> Option<Arc<dyn Asker>>,
    ) -> (CallRequest<'o>, bool) {
        let talks = talks(endpoint, &operation);
        let asking = match (input, self.era) {
            (Some(input), Era::Modern) if talks || !input.is_empty() => Asking::Returning(input),
            (Some(_), Era::Legacy) if talks => {
                Asking::Waiting(self.session.as_ref().and_then(asker).unwrap_or_else(|| Arc::new(NO_SESSION)))
            }
            _ => Asking::Never,
        };
        let deferrable = self.tasks && matches!(operation, Operation::Call { .. });
        let deferral = operation.notifies().then(|| endpoint.tasks.refusing());
        let request = CallRequest::new(self.principal, operation)
            .with_front(self.era.as_str())
            .with_face(endpoint.face())
            .with_caller_headers(self.headers)
            .with_address(self.address)
            .with_trace_parent(self.trace_parent)
            .with_meta(self.meta)
            .with_notifier(outbox.map(|outbox| Arc::clone(outbox) as _))
            .with_deferral(deferral)
            .with_session(self.session.as_ref().map(|session| Arc::clone(session.id())))
            .with_hold(self.hold);
        (asking.hand_to(request, &endpoint.states), deferrable)
    }
}

/// Whether a call may tell or ask its caller something before its result: of itself, or since a rule of the operator may have
/// a person confirm it.
fn talks(endpoint: &EndpointState, operation: &Operation<'_>) -> bool {
    operation.notifies() || endpoint.dispatcher.may_ask(operation)
}
