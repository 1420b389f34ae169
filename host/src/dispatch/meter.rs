//! The third layer: each call has an id and a span, is counted, and leaves one line in the log and one in the audit.
//!
//! What is known of a call is kept once, in what its span of the log is made of: whoever is told of its end reads it there.

use std::{
    pin::Pin,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use pin_project_lite::pin_project;

use super::{
    CallRequest, OperationResult, Outcome,
    audited::{self, DeniedBy, TurnedAway, is_policy},
    known::KnownCall,
    recent::Recent,
    traced::{self, Traced},
};
use crate::{
    provider::CallError,
    telemetry::{
        LazySpan,
        audit::{Arguments, Audit},
        metrics::{Metrics, Reason, Word},
        traces::Traces,
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

/// What is made of one call while it runs, beside what is known of all.
#[derive(Default)]
pub(super) struct Watched {
    /// For its line of the audit: when it began, and what is told of its arguments.
    audited: Option<(SystemTime, Arguments)>,
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
    pub(super) fn traced(&self, request: &mut CallRequest<'_>, begin: (Instant, SystemTime)) -> Option<Traced> {
        traced::begin(self.traces.as_ref()?, request, begin)
    }

    /// Now, by both clocks where somebody asks for the time of day.
    pub(super) fn now(&self) -> (Instant, SystemTime) {
        let is_asked = self.traces.is_some() || self.audit.is_some();
        (Instant::now(), if is_asked { SystemTime::now() } else { SystemTime::UNIX_EPOCH })
    }

    pub(super) fn keep_recent(&self) {
        self.recent.get_or_init(Arc::default);
    }

    pub(super) fn recent(&self) -> Option<&Arc<Recent>> {
        self.recent.get()
    }

    /// What is made of this call before it runs.
    pub(super) fn watched(&self, request: &CallRequest<'_>, traced: Option<Traced>, time: SystemTime) -> Watched {
        Watched { audited: self.audit.as_ref().map(|audit| (time, audited::arguments(audit, request))), traced }
    }

    /// Counts the end of a call. A tool keeps what it is counted by, so that nothing is looked up for its calls.
    fn count(&self, known: &KnownCall, outcome: Outcome, took: Duration) {
        let Some(calls) = self.metrics.calls() else { return };
        match known.entry() {
            Some(entry) => entry.meter(|provider, tool| calls.meter(known.operation, provider, tool)).ended(outcome as usize, took),
            None => calls.meter(known.operation, known.provider().id().as_str(), "").ended(outcome as usize, took),
        }
    }

    /// Counts a call that never became one: what it names is not there.
    pub(super) fn turned_away(&self, what: &TurnedAway<'_>) {
        if let Some(audit) = &self.audit {
            let away = audited::turned_away(what);
            audit.write(&away.facts, Arguments::default(), &away.end());
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
    pub(super) fn observe<F>(&self, span: LazySpan<KnownCall>, watched: Watched, call: F) -> Observed<'_, F>
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
        span: LazySpan<KnownCall>,
    }

    impl<F> PinnedDrop for Observed<'_, F> {
        /// What ends with the call may log, and belongs to it.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = this.span.enter();
            this.call.set(None);
            if let Some(running) = this.running.take() {
                running.cancelled(this.span.maker());
            }
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
            running.finish(this.span.maker(), &result);
        }
        this.call.set(None);
        Poll::Ready(result)
    }
}

/// Counts a call as running until it has ended, or is dropped before: then it was cancelled.
struct Running<'a> {
    all: &'a Meter,
    watched: Watched,
}

impl<'a> Running<'a> {
    fn new(all: &'a Meter, watched: Watched) -> Self {
        all.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { all, watched }
    }

    /// Counts its end, and tells all who watch of it. How long it took, in microseconds.
    fn ended(self, known: &KnownCall, outcome: Outcome, result: Option<&Result<OperationResult, CallError>>) -> u64 {
        let took = known.begin.elapsed();
        let Self { all, watched: Watched { audited, traced } } = self;
        all.count(known, outcome, took);
        if let Some(traced) = traced {
            traced.ended(result, outcome, took);
        }
        if let (Some(audit), Some(audited)) = (&all.audit, audited) {
            audited::end(audit, known, audited, result, outcome, took);
        }
        if let Some(recent) = all.recent.get() {
            recent.ended(known, result, outcome, took);
        }
        all.in_flight.fetch_sub(1, Ordering::Relaxed);
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }

    fn cancelled(self, known: &KnownCall) {
        let micros = self.ended(known, Outcome::Cancelled, None);
        tracing::info!(outcome = Outcome::Cancelled.as_str(), micros, "call cancelled");
    }

    fn finish(self, known: &KnownCall, result: &Result<OperationResult, CallError>) {
        let (all, outcome) = (self.all, Outcome::of(result));
        let micros = self.ended(known, outcome, Some(result));
        match outcome {
            Outcome::Busy if matches!(result, Err(CallError::Uncounted { .. })) => all.metrics.refused(Reason::Shared),
            Outcome::Busy => all.metrics.refused(Reason::Queue),
            Outcome::Denied if denied_by(result).is_some_and(is_policy) => all.metrics.refused(Reason::Policy),
            Outcome::Limited => all.metrics.refused(Reason::RateLimit),
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
