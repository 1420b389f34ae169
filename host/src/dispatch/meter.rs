//! The third layer: each call has an id and a span, is counted, and leaves one line in the log and one in the audit.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{Instrument, Span};

use super::{
    CallRequest, Operation, OperationResult, Outcome,
    audited::{self, Audited, TurnedAway},
    trace::trace_id,
};
use crate::{
    provider::CallError,
    telemetry::{
        audit::Audit,
        metrics::{CallMeter, Metrics, Reason, Word},
    },
};

/// How calls end, for the metrics. Those that operators are woken by are shown from the beginning.
static WORDS: LazyLock<Vec<Word>> = LazyLock::new(|| {
    let always = [Outcome::Ok, Outcome::ToolError, Outcome::Busy, Outcome::Internal, Outcome::Cancelled];
    Outcome::ALL.iter().map(|outcome| Word { word: outcome.as_str(), always: always.contains(outcome) }).collect()
});

/// What is counted of all calls.
#[derive(Debug)]
pub(super) struct Meter {
    last_id: AtomicU64,
    in_flight: AtomicUsize,
    metrics: Arc<Metrics>,
    audit: Option<Arc<Audit>>,
}

impl Meter {
    /// `is_on`: whether there are metrics.
    pub(super) fn new(is_on: bool, audit: Option<Arc<Audit>>) -> Self {
        let metrics = Arc::new(Metrics::new(WORDS.as_slice(), is_on));
        Self { last_id: AtomicU64::new(0), in_flight: AtomicUsize::new(0), metrics, audit }
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(super) fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.as_ref()
    }

    /// The audit line of a call, if there is to be one.
    pub(super) fn audited(&self, request: &CallRequest<'_>) -> Option<Audited> {
        self.audit.as_ref().map(|audit| Audited::new(audit, request))
    }

    /// What the call is counted by. A tool keeps it, so that nothing is looked up for its calls.
    pub(super) fn of(&self, operation: &Operation<'_>) -> Option<Arc<CallMeter>> {
        let calls = self.metrics.calls()?;
        Some(match operation {
            Operation::Call { entry, .. } => Arc::clone(entry.meter(|provider, tool| calls.meter(operation.method(), provider, tool))),
            other => calls.meter(other.method(), other.provider().id().as_str(), ""),
        })
    }

    /// Counts a call that never became one: what it names is not there.
    pub(super) fn turned_away(&self, what: &TurnedAway<'_>) {
        if let Some(audit) = &self.audit {
            audit.write(audited::turned_away(what));
        }
        let reason = match what.error {
            _ if what.denied => Reason::Denied,
            CallError::UnknownTool(_) => Reason::UnknownTool,
            CallError::UnknownResource(_) => Reason::UnknownResource,
            CallError::UnknownPrompt(_) => Reason::UnknownPrompt,
            CallError::Busy { .. } => Reason::Unavailable,
            _ => return,
        };
        self.metrics.refused(reason);
    }

    /// The id of the next call, for the log.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Calls that run now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Runs a call inside of its span. Its end is logged and counted there too, however it ends.
    pub(super) async fn observe(
        &self,
        span: Span,
        meter: Option<Arc<CallMeter>>,
        audited: Option<Audited>,
        call: impl Future<Output = Result<OperationResult, CallError>>,
    ) -> Result<OperationResult, CallError> {
        async {
            let mut running = Running::new(self, meter, audited);
            let result = call.await;
            running.finish(&result);
            result
        }
        .instrument(span)
        .await
    }
}

/// The span of a call: what is called, on which plugin, by whom.
pub(super) fn span(request: &CallRequest<'_>) -> Span {
    let context = &request.context;
    macro_rules! span {
        ($what:ident, $name:expr, $provider:expr) => {
            tracing::info_span!(
                "call",
                id = context.call_id,
                parent = request.parent.as_ref().map(|parent| parent.id()),
                trace = context.trace_parent.as_deref().and_then(trace_id),
                $what = $name,
                plugin = $provider.id().as_str(),
                principal = context.principal.as_ref().map(|principal| principal.subject()),
                era = request.front,
            )
        };
    }
    match &request.operation {
        Operation::Call { entry, .. } => span!(tool, entry.name(), entry.provider()),
        Operation::Read { entry, uri } => span!(resource, &**uri, entry.provider()),
        Operation::Prompt { entry, .. } => span!(prompt, entry.name(), entry.provider()),
        Operation::Complete { provider, completion } => {
            span!(completion, completion.as_ref().map(|completion| completion.argument.as_str()), provider)
        }
    }
}

/// Counts a call as running until it is dropped. One that is dropped before it has finished was cancelled.
struct Running<'a> {
    all: &'a Meter,
    meter: Option<Arc<CallMeter>>,
    audited: Option<Audited>,
    start: Instant,
    finished: bool,
}

impl<'a> Running<'a> {
    fn new(all: &'a Meter, meter: Option<Arc<CallMeter>>, audited: Option<Audited>) -> Self {
        all.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { all, meter, audited, start: Instant::now(), finished: false }
    }

    /// Counts its end and tells the audit of it. How long it took, in microseconds.
    fn ended(&mut self, outcome: Outcome, result: Option<&Result<OperationResult, CallError>>) -> u64 {
        let took: Duration = self.start.elapsed();
        if let Some(meter) = &self.meter {
            meter.ended(outcome as usize, took);
        }
        if let Some(audited) = self.audited.take() {
            audited.ended(result, outcome, took);
        }
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }

    fn finish(&mut self, result: &Result<OperationResult, CallError>) {
        self.finished = true;
        let outcome = Outcome::of(result);
        let micros = self.ended(outcome, Some(result));
        match outcome {
            Outcome::Busy => self.all.metrics.refused(Reason::Queue),
            Outcome::Limited => self.all.metrics.refused(Reason::RateLimit),
            _ => {}
        }
        let word = outcome.as_str();
        match (outcome, result) {
            (Outcome::Busy | Outcome::Internal, Err(error)) => tracing::warn!(outcome = word, micros, "{error}"),
            (_, Err(error)) => tracing::info!(outcome = word, micros, "{error}"),
            (Outcome::InputRequired, Ok(_)) => {
                tracing::debug!(outcome = word, micros, "the call ended with a request for input, and is made again with the answer");
            }
            (Outcome::ToolError, Ok(_)) => tracing::info!(outcome = word, micros, "the tool answered with an error"),
            (_, Ok(_)) => tracing::debug!(outcome = word, micros, "call answered"),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.all.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            let micros = self.ended(Outcome::Cancelled, None);
            tracing::info!(outcome = Outcome::Cancelled.as_str(), micros, "call cancelled");
        }
    }
}
