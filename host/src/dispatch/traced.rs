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
    let operation = &request.operation;
    let method = operation.method();
    // In the words of the semantic conventions. Names are those of what is loaded.
    let name: &[&str] = match operation {
        Operation::Call { entry, .. } => &[method, " ", entry.name()],
        Operation::Prompt { entry, .. } => &[method, " ", entry.name()],
        Operation::Read { .. } | Operation::Complete { .. } => &[method],
    };
    let root = traces.begin(request.context.trace_parent.as_deref(), name, |record| {
        record.set("mcp.method.name", method);
        match operation {
            Operation::Call { entry, .. } => {
                record.set("gen_ai.operation.name", "execute_tool");
                record.set("gen_ai.tool.name", entry.name());
            }
            Operation::Read { uri, .. } => record.set("mcp.resource.uri", audited::cut(uri)),
            Operation::Prompt { entry, .. } => record.set("gen_ai.prompt.name", entry.name()),
            Operation::Complete { .. } => {}
        }
        record.set("network.transport", if matches!(request.face, "stdio" | "cli") { "pipe" } else { "tcp" });
        record.set("toolbay.front", request.face);
        record.set("toolbay.provider", operation.provider().id().as_str());
        record.set("toolbay.call.id", itoa::Buffer::new().format(request.context.call_id));
    })?;
    let span = root.span();
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
