//! What is known of a call while it runs: its span of the log is made of it, and all that is told of its end.

use std::{sync::Arc, time::Instant};

use tracing::Span;

use super::{CallRequest, Operation};
use crate::{
    catalog::{Entry, PromptEntry, ResourceEntry},
    provider::{Principal, Provider},
    telemetry::{MakeSpan, traces::trace_digits},
};

/// A call: what is called, on which plugin, by whom.
pub(super) struct KnownCall {
    pub(super) id: u64,
    pub(super) begin: Instant,
    /// What is done: `tools/call`.
    pub(super) operation: &'static str,
    pub(super) principal: Option<Principal>,
    /// By which rules its front speaks, for the log, and by which way it came.
    front: &'static str,
    pub(super) face: &'static str,
    parent: Option<u64>,
    /// The digits of the W3C trace id.
    trace: Option<[u8; 32]>,
    subject: Subject,
}

/// What is called.
enum Subject {
    Tool(Arc<Entry>),
    Resource(Arc<ResourceEntry>, Box<str>),
    Prompt(Arc<PromptEntry>),
    Completion(Arc<dyn Provider>, Option<Box<str>>),
}

impl KnownCall {
    pub(super) fn of(request: &CallRequest<'_>, begin: Instant) -> Self {
        let (context, operation) = (&request.context, &request.operation);
        let subject = match operation {
            Operation::Call { entry, .. } => Subject::Tool(Arc::clone(entry)),
            Operation::Read { entry, uri } => Subject::Resource(Arc::clone(entry), uri.as_ref().into()),
            Operation::Prompt { entry, .. } => Subject::Prompt(Arc::clone(entry)),
            Operation::Complete { provider, completion } => {
                let argument = completion.as_ref().map(|completion| completion.argument.as_str().into());
                Subject::Completion(Arc::clone(provider), argument)
            }
        };
        let of_caller = || context.caller_trace.as_deref().and_then(trace_digits);
        Self {
            id: context.call_id,
            begin,
            operation: operation.method(),
            principal: context.principal.clone(),
            front: request.front,
            face: request.face,
            parent: request.parent.as_ref().map(|parent| parent.id()),
            trace: context.span.as_ref().map(|span| span.trace_id()).or_else(of_caller),
            subject,
        }
    }

    /// The tool, if it is one.
    pub(super) fn entry(&self) -> Option<&Arc<Entry>> {
        if let Subject::Tool(entry) = &self.subject { Some(entry) } else { None }
    }

    /// Who does it.
    pub(super) fn provider(&self) -> &Arc<dyn Provider> {
        match &self.subject {
            Subject::Tool(entry) => entry.provider(),
            Subject::Resource(entry, _) => entry.provider(),
            Subject::Prompt(entry) => entry.provider(),
            Subject::Completion(provider, _) => provider,
        }
    }

    /// The provider's own name of the tool or prompt, the address of the resource, or the name of the argument.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.subject {
            Subject::Tool(entry) => Some(entry.own_name()),
            Subject::Resource(_, uri) => Some(uri),
            Subject::Prompt(entry) => Some(entry.own_name()),
            Subject::Completion(_, argument) => argument.as_deref(),
        }
    }

    /// Who calls.
    pub(super) fn caller(&self) -> Option<&str> {
        self.principal.as_ref().map(Principal::subject)
    }

    /// The id of the call that made it.
    pub(super) fn parent(&self) -> Option<u64> {
        self.parent
    }

    /// The W3C trace id.
    pub(super) fn trace(&self) -> Option<&str> {
        self.trace.as_ref().and_then(|digits| str::from_utf8(digits).ok())
    }
}

impl MakeSpan for KnownCall {
    fn make(&self) -> Span {
        macro_rules! span {
            ($what:ident, $name:expr) => {
                tracing::info_span!(
                    "call",
                    id = self.id,
                    parent = self.parent,
                    trace = self.trace(),
                    $what = $name,
                    plugin = self.provider().id().as_str(),
                    principal = self.caller(),
                    era = self.front,
                )
            };
        }
        match &self.subject {
            Subject::Tool(entry) => span!(tool, entry.name()),
            Subject::Resource(_, uri) => span!(resource, &**uri),
            Subject::Prompt(entry) => span!(prompt, entry.name()),
            Subject::Completion(_, argument) => span!(completion, argument.as_deref()),
        }
    }
}
