//! Running one call: its context, its span, its outcome in the log. Every way into a tool goes through here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tracing::{Instrument, Span, field::Empty};

use super::era::Era;
use crate::{
    catalog::Entry,
    provider::{Call, CallContext, CallError, CallOutput, Notifier},
};

/// What all calls share.
#[derive(Default)]
pub(super) struct Calls {
    last_id: AtomicU64,
    in_flight: AtomicUsize,
}

/// A call that has passed every check of the protocol.
pub(super) struct Checked<'a> {
    pub(super) entry: &'a Entry,
    /// An object, as JSON text.
    pub(super) arguments: &'a str,
    pub(super) era: Era,
    pub(super) principal: Option<Arc<str>>,
    pub(super) trace_parent: Option<Arc<str>>,
    /// The request's `_meta`, as JSON text.
    pub(super) meta: Option<Arc<str>>,
    pub(super) notifier: Option<Arc<dyn Notifier>>,
}

impl Calls {
    /// Calls that run now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Runs it. Dropping the future ends the call.
    pub(super) async fn run(&self, checked: Checked<'_>) -> Result<CallOutput, CallError> {
        let Checked { entry, arguments, era, principal, trace_parent, meta, notifier } = checked;
        let call_id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let span = tracing::info_span!(
            "call",
            id = call_id,
            tool = entry.name(),
            plugin = entry.provider().id().as_str(),
            principal = principal.as_deref(),
            era = era.as_str(),
            outcome = Empty,
            micros = Empty,
        );
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut running = Running { calls: self, span: span.clone(), start: Instant::now(), outcome: None };
        let context = CallContext { call_id, principal, trace_parent, meta, notifier };
        let result = entry.provider().call(Call { tool: entry.own_name(), arguments, context }).instrument(span).await;
        running.outcome = Some(Outcome::of(&result));
        result
    }
}

/// How a call ended.
enum Outcome {
    Ok,
    ToolError,
    Refused(&'static str, String),
    Failed(&'static str, String),
}

impl Outcome {
    fn of(result: &Result<CallOutput, CallError>) -> Self {
        match result {
            Ok(output) if output.is_error => Self::ToolError,
            Ok(_) => Self::Ok,
            Err(error @ CallError::UnknownTool(_)) => Self::Refused("unknown_tool", error.to_string()),
            Err(error @ (CallError::UnknownResource(_) | CallError::UnknownPrompt(_) | CallError::InvalidParams(_))) => {
                Self::Refused("invalid_params", error.to_string())
            }
            Err(error @ CallError::Protocol { .. }) => Self::Refused("protocol_error", error.to_string()),
            Err(error @ CallError::Busy { .. }) => Self::Failed("busy", error.to_string()),
            Err(error @ CallError::Internal(_)) => Self::Failed("internal", error.to_string()),
        }
    }
}

/// Counts a call as running until it is dropped, which is when it is logged: a call that is dropped before its end was cancelled.
struct Running<'a> {
    calls: &'a Calls,
    span: Span,
    start: Instant,
    outcome: Option<Outcome>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.calls.in_flight.fetch_sub(1, Ordering::Relaxed);
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let outcome = match &self.outcome {
            Some(Outcome::Ok) => "ok",
            Some(Outcome::ToolError) => "tool_error",
            Some(Outcome::Refused(outcome, _) | Outcome::Failed(outcome, _)) => outcome,
            None => "cancelled",
        };
        self.span.record("outcome", outcome).record("micros", micros);
        self.span.in_scope(|| match &self.outcome {
            Some(Outcome::Ok) => tracing::debug!(outcome, micros, "call answered"),
            Some(Outcome::ToolError) => tracing::info!(outcome, micros, "the tool answered with an error"),
            Some(Outcome::Refused(_, message)) => tracing::info!(outcome, micros, "{message}"),
            Some(Outcome::Failed(_, message)) => tracing::warn!(outcome, micros, "{message}"),
            None => tracing::info!(outcome, micros, "call cancelled"),
        });
    }
}
