//! Where every call is decided and run, whoever it comes from.
//!
//! A front (MCP, REST, the command line) looks up what is meant and makes a [`CallRequest`] of it. One
//! [`Dispatcher`] for the whole host takes it through its layers:
//!
//! 1. `authorize`: may this principal do that?
//! 2. `rate_limit`: does it do that too often?
//! 3. `meter`: the call's id and span, the metrics, the audit, the line in the log. A call that
//!    was denied above is logged here as well: each call leaves one line, however it ended.
//! 4. `run`: the provider.
//!
//! The layers are called one after the other, without boxes or dynamic dispatch: a call pays nothing for
//! those that have nothing to say. What a call may do beyond its arguments (notify and ask its caller,
//! become a task) is handed in through its context as trait objects. So nothing here knows MCP or HTTP.

mod audited;
mod authorize;
mod meter;
mod operation;
mod outcome;
mod rate_limit;
mod request;
mod rounds;
mod run;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;

use crate::{
    provider::CallError,
    telemetry::{audit::Audit, metrics::Metrics},
};

pub use audited::TurnedAway;
use authorize::Authorize;
use meter::Meter;
pub use operation::{InputRequired, Operation, OperationResult};
pub use outcome::Outcome;
use rate_limit::RateLimit;
pub use request::{CallRequest, Hold};
pub use rounds::Rounds;

/// Decides and runs calls. One for the whole host: what it counts and limits is counted for all fronts.
#[derive(Debug)]
pub struct Dispatcher {
    authorize: Authorize,
    rate_limit: RateLimit,
    meter: Meter,
}

impl Dispatcher {
    /// One that nobody has called yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(true, None)
    }

    /// The same; `metrics`: whether its calls are counted; `audit`: where their audit lines go.
    #[must_use]
    pub fn with(metrics: bool, audit: Option<Arc<Audit>>) -> Arc<Self> {
        Arc::new(Self { authorize: Authorize, rate_limit: RateLimit, meter: Meter::new(metrics, audit) })
    }

    /// Where audit lines go, if there are any.
    #[must_use]
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.meter.audit()
    }

    /// What is counted. The fronts count here too.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.meter.metrics()
    }

    /// A front has no request to make of what it was asked for: there is no such tool, resource or prompt, or not yet.
    pub fn turned_away(&self, what: &TurnedAway<'_>) {
        self.meter.turned_away(what);
    }

    /// Calls that run or wait for their turn now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.meter.in_flight()
    }

    /// Runs a call. Dropping the future ends the call.
    ///
    /// # Errors
    ///
    /// Why there is no result: it was denied, or its provider has none.
    pub async fn run(&self, mut request: CallRequest<'_>) -> Result<OperationResult, CallError> {
        request.context.call_id = self.meter.next_id();
        let (principal, operation) = (request.context.principal.as_ref(), &request.operation);
        let admitted = match self.authorize.check(principal, operation) {
            Ok(()) => self.rate_limit.check(principal, operation),
            Err(denied) => Err(denied),
        };
        let span = meter::span(&request);
        let (meter, audited) = (self.meter.of(&request.operation), self.meter.audited(&request));
        let call = async move {
            admitted?;
            run::run(request).await
        };
        self.meter.observe(span, meter, audited, call).await
    }
}
