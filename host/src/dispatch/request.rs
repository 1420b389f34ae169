//! One call as a front asks for it: by whom, what, and what it may do meanwhile.

use std::{any::Any, net::IpAddr, sync::Arc};

use super::{Operation, Rounds, chain::Link};
use crate::{
    provider::{Asker, CallContext, CallerHeaders, Deferral, Notifier, Principal, StartSignal},
    telemetry::traces::trace_id,
};

/// A call that has passed every check of its front's protocol.
pub struct CallRequest<'a> {
    pub(super) operation: Operation<'a>,
    /// In a box: a request is handed on many times, and this is most of it.
    pub(super) context: Box<CallContext>,
    pub(super) rounds: Option<Arc<dyn Rounds>>,
    pub(super) front: &'static str,
    pub(super) face: &'static str,
    pub(super) hold: Option<Hold>,
    /// The call that makes this one. None: a client does.
    pub(super) parent: Option<Arc<Link>>,
}

/// Something that is held until a call has ended, and not looked at: its request's share of a budget.
#[derive(Clone)]
pub struct Hold(#[expect(dead_code, reason = "it is held, and not looked at")] Arc<dyn Any + Send + Sync>);

impl Hold {
    /// Keeps this until the last clone is dropped.
    pub fn new<T: Send + Sync + 'static>(what: T) -> Self {
        Self(Arc::new(what))
    }
}

impl<'a> CallRequest<'a> {
    /// A call that tells and asks its caller nothing. None: callers are not told apart.
    #[must_use]
    pub fn new(principal: Option<Principal>, operation: Operation<'a>) -> Self {
        let context = Box::new(CallContext { principal, ..CallContext::default() });
        Self { operation, context, rounds: None, front: "internal", face: "internal", hold: None, parent: None }
    }

    /// Which front it comes through, by which rules: for the log.
    #[must_use]
    pub fn with_front(self, front: &'static str) -> Self {
        Self { front, ..self }
    }

    /// How its caller came, in a word: for the audit.
    #[must_use]
    pub fn with_face(self, face: &'static str) -> Self {
        Self { face, ..self }
    }

    /// Headers of its request that some server is to be sent.
    #[must_use]
    pub fn with_caller_headers(mut self, headers: Option<CallerHeaders>) -> Self {
        self.context.caller_headers = headers;
        self
    }

    /// Where its caller is. None: nobody asks for it, or it is this machine's own.
    #[must_use]
    pub fn with_address(mut self, address: Option<IpAddr>) -> Self {
        self.context.address = address;
        self
    }

    /// W3C `traceparent` of the request. One that is not well-formed is ignored.
    #[must_use]
    pub fn with_trace_parent(mut self, trace_parent: Option<Arc<str>>) -> Self {
        self.context.caller_trace = trace_parent.filter(|parent| trace_id(parent).is_some());
        self
    }

    /// `_meta` of the request: JSON text of an object.
    #[must_use]
    pub fn with_meta(mut self, meta: Option<Arc<str>>) -> Self {
        self.context.meta = meta;
        self
    }

    /// The caller's session. None: it has none.
    #[must_use]
    pub fn with_session(mut self, session: Option<Arc<str>>) -> Self {
        self.context.conversation = session;
        self
    }

    /// The way to tell the caller something before the result.
    #[must_use]
    pub fn with_notifier(mut self, notifier: Option<Arc<dyn Notifier>>) -> Self {
        self.context.notifier = notifier;
        self
    }

    /// The way to ask a caller that waits for the answer to be asked.
    #[must_use]
    pub fn with_asker(mut self, asker: Arc<dyn Asker>) -> Self {
        self.context.asker = Some(asker);
        self
    }

    /// The way to ask a caller that makes its call again. It gives the call its asker.
    #[must_use]
    pub fn with_rounds(self, rounds: Arc<dyn Rounds>) -> Self {
        Self { rounds: Some(rounds), ..self }
    }

    /// The way to let the caller go while the call runs on.
    #[must_use]
    pub fn with_deferral(mut self, deferral: Option<Arc<dyn Deferral>>) -> Self {
        self.context.deferral = deferral;
        self
    }

    /// Where the call says whether it has started.
    #[must_use]
    pub fn with_start_signal(mut self, signal: Arc<StartSignal>) -> Self {
        self.context.started = Some(signal);
        self
    }

    /// Keeps something until the call has ended.
    #[must_use]
    pub fn with_hold(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    /// The same, free of the request that it came from.
    #[must_use]
    pub fn into_owned(self) -> CallRequest<'static> {
        let Self { operation, context, rounds, front, face, hold, parent } = self;
        CallRequest { operation: operation.into_owned(), context, rounds, front, face, hold, parent }
    }

    /// What is to be done.
    #[must_use]
    pub fn operation(&self) -> &Operation<'a> {
        &self.operation
    }

    /// What is known beside that, as far as it has been handed in.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// The rounds of questions, to be wrapped in others.
    pub fn take_rounds(&mut self) -> Option<Arc<dyn Rounds>> {
        self.rounds.take()
    }
}
