//! The third layer: each call has an id and a span, is counted, and leaves one line in the log and one in the audit.

use std::{
    pin::Pin,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tracing::Span;

use super::{
    CallRequest, Operation, OperationResult, Outcome,
    audited::{self, Audited, DeniedBy, TurnedAway, is_policy},
    recent::{Recent, Recorded},
    traced::{self, Traced},
};
use crate::{
    catalog::{Entry, PromptEntry, ResourceEntry},
    provider::{CallError, Principal, Provider},
    telemetry::{
        LazySpan, MakeSpan,
        audit::Audit,
        metrics::{CallMeter, Metrics, Reason, Word},
        traces::{Traces, trace_id},
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
    traces: Option<Arc<Traces>>,
    /// The last calls, where somebody looks at them.
    recent: OnceLock<Arc<Recent>>,
}

/// Who is told of the end of one call.
#[derive(Default)]
pub(super) struct Watched {
    meter: Option<Arc<CallMeter>>,
    audited: Option<Audited>,
    /// In a box: without a console, a call carries no room for it.
    recorded: Option<Box<Recorded>>,
    traced: Option<Traced>,
}

impl Meter {
    /// `is_on`: whether there are metrics.
    pub(super) fn new(is_on: bool, audit: Option<Arc<Audit>>, traces: Option<Arc<Traces>>) -> Self {
        let metrics = Arc::new(Metrics::new(WORDS.as_slice(), is_on));
        Self { last_id: AtomicU64::new(0), in_flight: AtomicUsize::new(0), metrics, audit, traces, recent: OnceLock::new() }
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(super) fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.as_ref()
    }

    pub(super) fn traces(&self) -> Option<&Arc<Traces>> {
        self.traces.as_ref()
    }

    /// The span of a call, if it is recorded. All that is done for the call belongs to it from here on.
    pub(super) fn traced(&self, request: &mut CallRequest<'_>) -> Option<Traced> {
        traced::begin(self.traces.as_ref()?, request)
    }

    pub(super) fn keep_recent(&self) {
        self.recent.get_or_init(Arc::default);
    }

    pub(super) fn recent(&self) -> Option<&Arc<Recent>> {
        self.recent.get()
    }

    /// Who is told of the end of this call.
    pub(super) fn watched(&self, request: &CallRequest<'_>, traced: Option<Traced>) -> Watched {
        Watched {
            meter: self.of(&request.operation),
            audited: self.audit.as_ref().map(|audit| Audited::new(audit, request)),
            traced,
            recorded: self.recent.get().map(|recent| Box::new(recent.begin(request))),
        }
    }

    /// What the call is counted by. A tool keeps it, so that nothing is looked up for its calls.
    fn of(&self, operation: &Operation<'_>) -> Option<Arc<CallMeter>> {
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
        if let Some(recent) = self.recent.get() {
            recent.turned_away(what);
        }
        let reason = match what.error {
            _ if what.denied == Some(DeniedBy::Rights) => Reason::Denied,
            _ if what.denied.is_some() => Reason::Policy,
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
    pub(super) fn observe<F>(&self, span: LazySpan, watched: Watched, call: F) -> Observed<'_, F>
    where
        F: Future<Output = Result<OperationResult, CallError>>,
    {
        Observed { call: Some(call), running: Some(Running::new(self, watched)), span }
    }
}

pin_project! {
    /// A call that is observed.
    ///
    /// A future by hand: one that is made of others holds the call once for each, and a request moves it.
    pub(super) struct Observed<'a, F> {
        #[pin]
        call: Option<F>,
        running: Option<Running<'a>>,
        span: LazySpan,
    }

    impl<F> PinnedDrop for Observed<'_, F> {
        /// What ends with the call may log, and belongs to it.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = this.span.enter();
            this.call.set(None);
            drop(this.running.take());
        }
    }
}

impl<F: Future<Output = Result<OperationResult, CallError>>> Future for Observed<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _inside = this.span.enter();
        let Some(call) = this.call.as_mut().as_pin_mut() else { return Poll::Pending };
        let result = ready!(call.poll(context));
        if let Some(running) = this.running.take() {
            running.finish(&result);
        }
        this.call.set(None);
        Poll::Ready(result)
    }
}

/// The span of a call: what is called, on which plugin, by whom.
pub(super) fn span(request: &CallRequest<'_>) -> LazySpan {
    let context = &request.context;
    let subject = match &request.operation {
        Operation::Call { entry, .. } => Subject::Tool(Arc::clone(entry)),
        Operation::Read { entry, uri } => Subject::Resource(Arc::clone(entry), uri.as_ref().into()),
        Operation::Prompt { entry, .. } => Subject::Prompt(Arc::clone(entry)),
        Operation::Complete { provider, completion } => {
            let argument = completion.as_ref().map(|completion| completion.argument.as_str().into());
            Subject::Completion(Arc::clone(provider), argument)
        }
    };
    LazySpan::new(CallSpan {
        id: context.call_id,
        parent: request.parent.as_ref().map(|parent| parent.id()),
        trace_parent: context.trace_parent.clone(),
        subject,
        principal: context.principal.clone(),
        front: request.front,
    })
}

/// What the span of a call is made of.
struct CallSpan {
    id: u64,
    parent: Option<u64>,
    trace_parent: Option<Arc<str>>,
    subject: Subject,
    principal: Option<Principal>,
    front: &'static str,
}

/// What is called.
enum Subject {
    Tool(Arc<Entry>),
    Resource(Arc<ResourceEntry>, Box<str>),
    Prompt(Arc<PromptEntry>),
    Completion(Arc<dyn Provider>, Option<Box<str>>),
}

impl MakeSpan for CallSpan {
    fn make(&self) -> Span {
        macro_rules! span {
            ($what:ident, $name:expr, $provider:expr) => {
                tracing::info_span!(
                    "call",
                    id = self.id,
                    parent = self.parent,
                    trace = self.trace_parent.as_deref().and_then(trace_id),
                    $what = $name,
                    plugin = $provider.id().as_str(),
                    principal = self.principal.as_ref().map(|principal| principal.subject()),
                    era = self.front,
                )
            };
        }
        match &self.subject {
            Subject::Tool(entry) => span!(tool, entry.name(), entry.provider()),
            Subject::Resource(entry, uri) => span!(resource, &**uri, entry.provider()),
            Subject::Prompt(entry) => span!(prompt, entry.name(), entry.provider()),
            Subject::Completion(provider, argument) => span!(completion, argument.as_deref(), provider),
        }
    }
}

/// Counts a call as running until it is dropped. One that is dropped before it has finished was cancelled.
struct Running<'a> {
    all: &'a Meter,
    watched: Watched,
    start: Instant,
    finished: bool,
}

impl<'a> Running<'a> {
    fn new(all: &'a Meter, watched: Watched) -> Self {
        all.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { all, watched, start: Instant::now(), finished: false }
    }

    /// Counts its end and tells the audit of it. How long it took, in microseconds.
    fn ended(&mut self, outcome: Outcome, result: Option<&Result<OperationResult, CallError>>) -> u64 {
        let took: Duration = self.start.elapsed();
        let Watched { meter, audited, recorded, traced } = std::mem::take(&mut self.watched);
        if let Some(meter) = meter {
            meter.ended(outcome as usize, took);
        }
        if let Some(traced) = traced {
            traced.ended(result, outcome, took);
        }
        if let Some(audited) = audited {
            audited.ended(result, outcome, took);
        }
        if let Some(recorded) = recorded {
            recorded.ended(result, outcome, self.start, took);
        }
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }

    fn finish(mut self, result: &Result<OperationResult, CallError>) {
        self.finished = true;
        let outcome = Outcome::of(result);
        let micros = self.ended(outcome, Some(result));
        match outcome {
            Outcome::Busy if matches!(result, Err(CallError::Uncounted { .. })) => self.all.metrics.refused(Reason::Shared),
            Outcome::Busy => self.all.metrics.refused(Reason::Queue),
            Outcome::Denied if denied_by(result).is_some_and(is_policy) => self.all.metrics.refused(Reason::Policy),
            Outcome::Limited => self.all.metrics.refused(Reason::RateLimit),
            _ => {}
        }
        let word = outcome.as_str();
        match (outcome, result) {
            (Outcome::InputRequired, Ok(_)) => {
                tracing::debug!(outcome = word, micros, "the call ended with a request for input, and is made again with the answer");
            }
            // Who denied it has said so.
            (Outcome::Denied, Ok(_) | Err(CallError::Denied { .. })) => tracing::debug!(outcome = word, micros, "call denied"),
            (Outcome::ToolError, Ok(_)) => tracing::info!(outcome = word, micros, "the tool answered with an error"),
            (Outcome::Busy | Outcome::Internal, Err(error)) => tracing::warn!(outcome = word, micros, "{error}"),
            (_, Err(error)) => tracing::info!(outcome = word, micros, "{error}"),
            (_, Ok(_)) => tracing::debug!(outcome = word, micros, "call answered"),
        }
    }
}

/// The rule of the operator that denied a call, if one did.
fn denied_by(result: &Result<OperationResult, CallError>) -> Option<&str> {
    match result {
        Ok(OperationResult::Call(output)) => output.denied.as_deref(),
        Err(CallError::Denied { by, .. }) => Some(by),
        _ => None,
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
