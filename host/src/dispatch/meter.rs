//! The third layer: each call has an id and a span, is counted while it runs, and leaves one line in the log.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Instant,
};

use tracing::{Instrument, Span};

use super::{CallRequest, Operation, OperationResult, Outcome};
use crate::provider::CallError;

/// What is counted of all calls.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last_id: AtomicU64,
    in_flight: AtomicUsize,
}

impl Meter {
    /// The id of the next call, for the log.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Calls that run now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Runs a call inside of its span. Its end is logged there too, however it ends.
    pub(super) async fn observe(
        &self,
        span: Span,
        call: impl Future<Output = Result<OperationResult, CallError>>,
    ) -> Result<OperationResult, CallError> {
        async {
            let mut running = Running::new(self);
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
    meter: &'a Meter,
    start: Instant,
    finished: bool,
}

impl<'a> Running<'a> {
    fn new(meter: &'a Meter) -> Self {
        meter.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { meter, start: Instant::now(), finished: false }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn finish(&mut self, result: &Result<OperationResult, CallError>) {
        self.finished = true;
        let (outcome, micros) = (Outcome::of(result), self.micros());
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
        self.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            tracing::info!(outcome = Outcome::Cancelled.as_str(), micros = self.micros(), "call cancelled");
        }
    }
}
