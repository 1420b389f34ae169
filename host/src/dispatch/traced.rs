//! The span of a call: the root of all that is done for it here.

use std::{sync::Arc, time::Duration};

use super::{CallRequest, Operation, OperationResult, Outcome, audited};
use crate::{
    provider::CallError,
    telemetry::traces::{Root, Traces},
};

/// The span of a call that is recorded.
pub(super) struct Traced(Root);

/// Begins the span of a call, if it is recorded. All that is done for the call belongs to it from here on.
pub(super) fn begin(traces: &Arc<Traces>, request: &mut CallRequest<'_>) -> Option<Traced> {
    let root = traces.begin(request.context.trace_parent.as_deref(), || name(&request.operation))?;
    let span = root.span();
    let operation = &request.operation;
    span.set("mcp.method.name", operation.method().into());
    match operation {
        Operation::Call { entry, .. } => {
            span.set("gen_ai.operation.name", "execute_tool".into());
            span.set("gen_ai.tool.name", entry.name().into());
        }
        Operation::Read { uri, .. } => span.set("mcp.resource.uri", audited::cut(uri).into()),
        Operation::Prompt { entry, .. } => span.set("gen_ai.prompt.name", entry.name().into()),
        Operation::Complete { .. } => {}
    }
    span.set("network.transport", if matches!(request.face, "stdio" | "cli") { "pipe" } else { "tcp" }.into());
    span.set("toolbay.front", request.face.into());
    span.set("toolbay.provider", operation.provider().id().as_str().into());
    span.set("toolbay.call.id", request.context.call_id.to_string().as_str().into());
    request.context.trace_parent = Some(span.trace_parent());
    request.context.span = Some(span);
    Some(Traced(root))
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
        self.0.end(failure.as_deref(), is_error, took);
    }
}

/// What is called, in the words of the semantic conventions. Names are those of what is loaded.
fn name(operation: &Operation<'_>) -> String {
    let method = operation.method();
    match operation {
        Operation::Call { entry, .. } => format!("{method} {}", entry.name()),
        Operation::Prompt { entry, .. } => format!("{method} {}", entry.name()),
        Operation::Read { .. } | Operation::Complete { .. } => method.to_owned(),
    }
}
