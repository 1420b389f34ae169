//! The span of a call: the root of all that is done for it here, or, where another call makes it, below that one.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{CallRequest, Operation, OperationResult, Outcome, audited};
use crate::{
    provider::{CallError, Span, SpanKind},
    telemetry::{
        audit::cut,
        traces::{Outline, Root, Traces},
    },
};

/// The span of a call that is recorded.
pub(super) enum Traced {
    Root(Root),
    /// Of a call that another makes: that one decides what becomes of it.
    Below(Arc<dyn Span>),
}

/// Begins the span of a call, if it is recorded. All that is done for the call belongs to it from here on.
pub(super) fn begin(traces: &Traces, request: &mut CallRequest<'_>, begin: (Instant, SystemTime)) -> Option<Traced> {
    let operation = &request.operation;
    let transport = if matches!(request.face, "stdio" | "cli") { "pipe" } else { "tcp" };
    let mut id = itoa::Buffer::new();
    let (id, front) = (id.format(request.context.call_id), request.face);
    if request.parent.is_some() {
        let span = request.context.span.take()?.child(SpanKind::Internal, name(operation).as_slice());
        attributes(operation).into_iter().for_each(|(key, value)| span.set(key, value.into()));
        span.set("toolbay.front", front.into());
        span.set("toolbay.call.id", id.into());
        request.context.span = Some(Arc::clone(&span));
        return Some(Traced::Below(span));
    }
    let chosen = traces.choose(request.context.caller_trace.as_deref())?;
    let made;
    let outline = match operation {
        Operation::Call { entry, .. } => entry.outline(|| outline(operation)),
        _ => {
            made = outline(operation);
            &made
        }
    };
    let root = chosen.begin(begin, outline, |record| {
        record.set("network.transport", transport);
        record.set("toolbay.front", front);
        record.set("toolbay.call.id", id);
    });
    request.context.span = Some(root.span());
    Some(Traced::Root(root))
}

/// What is the same of all calls of one tool.
fn outline(operation: &Operation<'_>) -> Outline {
    Outline::new(SpanKind::Server, name(operation).as_slice(), &attributes(operation))
}

/// In the words of the semantic conventions. Names are those of what is loaded.
fn name<'a>(operation: &'a Operation<'_>) -> Vec<&'a str> {
    let method = operation.method();
    match operation {
        Operation::Call { entry, .. } => vec![method, " ", entry.name()],
        Operation::Prompt { entry, .. } => vec![method, " ", entry.name()],
        Operation::Read { .. } | Operation::Complete { .. } => vec![method],
    }
}

fn attributes<'a>(operation: &'a Operation<'_>) -> Vec<(&'static str, &'a str)> {
    let mut attributes = vec![("mcp.method.name", operation.method())];
    match operation {
        Operation::Call { entry, .. } => {
            attributes.extend([("gen_ai.operation.name", "execute_tool"), ("gen_ai.tool.name", entry.name())]);
        }
        Operation::Read { uri, .. } => attributes.push(("mcp.resource.uri", cut(uri))),
        Operation::Prompt { entry, .. } => attributes.push(("gen_ai.prompt.name", entry.name())),
        Operation::Complete { .. } => {}
    }
    attributes.push(("toolbay.provider", operation.provider().id().as_str()));
    attributes
}

impl Traced {
    /// The call has ended. `result`: None where it was dropped before.
    pub(super) fn ended(self, result: Option<&Result<OperationResult, CallError>>, outcome: Outcome, took: Duration) {
        let is_error = !matches!(outcome, Outcome::Ok | Outcome::InputRequired | Outcome::Cancelled);
        let failure = match result {
            Some(Err(error)) => Some(audited::kind(error, outcome)),
            _ if outcome == Outcome::Ok || outcome == Outcome::InputRequired => None,
            _ => Some(outcome.as_str().into()),
        };
        match self {
            Self::Root(root) => root.end(failure.as_deref(), is_error, took),
            Self::Below(span) => match failure.as_deref() {
                Some(kind) if is_error => span.fail(kind),
                Some(kind) => span.set("error.type", kind.into()),
                None => {}
            },
        }
    }
}
