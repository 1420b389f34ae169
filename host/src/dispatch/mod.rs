//! Where every call is decided and run, whoever it comes from.
//!
//! A front (MCP, REST, the command line) looks up what is meant and makes a [`CallRequest`] of it. One
//! [`Dispatcher`] for the whole host takes it through its layers:
//!
//! 1. `authorize`: what may this principal do? A front looks names up in [`Dispatcher::seen`] and nowhere else,
//!    so that what is denied is not there.
//! 2. `rate_limit`: does it do that too often?
//! 3. `meter`: the call's id and span, the metrics, the audit, the line in the log. A call that
//!    was denied above is logged here as well: each call leaves one line, however it ended.
//! 4. `run`: `guarded` asks the guards of the tool, `confirm` a person, where the operator has rules on the call; then the
//!    provider does it, and the guards see its answer.
//!
//! The layers are called one after the other, without boxes or dynamic dispatch: a call pays nothing for
//! those that have nothing to say. What a call may do beyond its arguments (notify and ask its caller,
//! become a task) is handed in through its context as trait objects. So nothing here knows MCP or HTTP.
//!
//! A tool that calls others does so by `nested`, which makes a [`CallRequest`] of each: it goes through the
//! same layers, in the name of the same principal.

mod audited;
mod authorize;
mod chain;
mod confirm;
mod consent;
mod conversations;
mod counted;
mod guarded;
mod known;
mod meter;
mod nested;
mod operation;
mod outcome;
mod rate;
mod rate_limit;
mod recent;
mod request;
mod rounds;
mod rule;
mod run;
mod safeguards;
mod screen;
#[cfg(test)]
mod tests;
mod traced;

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
};

use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    catalog::{Catalog, LivePolicy, Seen},
    provider::{CallError, Nesting, Principal},
    shared::Shared,
    telemetry::{LazySpan, audit::Audit, metrics::Metrics, traces::Traces},
};

pub use audited::{DeniedBy, TurnedAway};
use authorize::Authorize;
pub use confirm::LiveConfirm;
use known::KnownCall;
use meter::Meter;
use nested::{Host, Nested};
pub use operation::{InputRequired, Operation, OperationResult};
pub use outcome::Outcome;
use rate_limit::{Admitted, RateLimit};
pub use recent::{Recent, RecentCall};
pub use request::{CallRequest, Hold};
pub use rounds::Rounds;
use run::Checks;
pub use safeguards::LiveSafeguards;
pub use screen::Screen;

/// The operator's rules on single calls.
type Rules = (Arc<LiveConfirm>, Arc<LiveSafeguards>);

/// Decides and runs calls. One for the whole host: what it counts and limits is counted for all fronts.
pub struct Dispatcher {
    authorize: Authorize,
    rate_limit: RateLimit,
    confirm: Arc<LiveConfirm>,
    safeguards: Arc<LiveSafeguards>,
    meter: Arc<Meter>,
    /// What tools that call others find them in. None: they find none.
    catalog: Option<Arc<Catalog>>,
    this: Weak<Self>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// One that nobody has called yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(true, None, None)
    }

    /// The same; `metrics`: whether its calls are counted; `audit`: where their audit lines go; `traces`: where their spans go.
    #[must_use]
    pub fn with(metrics: bool, audit: Option<Arc<Audit>>, traces: Option<Arc<Traces>>) -> Arc<Self> {
        let meter = Arc::new(Meter::new(metrics, audit, traces));
        Self::make(Authorize::default(), Rules::default(), meter, None, Arc::default())
    }

    /// The same, whose tools can call each other: those of `catalog`. `shared`: where the calls of a caller are counted together with other hosts.
    #[must_use]
    pub fn over(
        catalog: Arc<Catalog>,
        metrics: bool,
        audit: Option<Arc<Audit>>,
        traces: Option<Arc<Traces>>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let meter = Arc::new(Meter::new(metrics, audit, traces));
        Self::make(Authorize::default(), Rules::default(), meter, Some(catalog), shared)
    }

    fn make(authorize: Authorize, rules: Rules, meter: Arc<Meter>, catalog: Option<Arc<Catalog>>, shared: Arc<Shared>) -> Arc<Self> {
        let (confirm, safeguards) = rules;
        let rate_limit = RateLimit::new(shared);
        Arc::new_cyclic(|this| Self { authorize, rate_limit, confirm, safeguards, meter, catalog, this: this.clone() })
    }

    /// Where audit lines go, if there are any.
    #[must_use]
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.meter.audit()
    }

    /// Where spans go, if calls are traced.
    #[must_use]
    pub fn traces(&self) -> Option<&Arc<Traces>> {
        self.meter.traces()
    }

    /// Keeps the last calls from now on, for somebody to look at.
    pub fn keep_recent(&self) {
        self.meter.keep_recent();
    }

    /// The last calls, if they are kept.
    #[must_use]
    pub fn recent(&self) -> Option<&Arc<Recent>> {
        self.meter.recent()
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

    /// One for other callers, who may do what a policy says. Their calls are counted with those of this.
    #[must_use]
    pub fn under(&self, policy: Arc<LivePolicy>) -> Arc<Self> {
        let rules = (Arc::clone(&self.confirm), Arc::clone(&self.safeguards));
        let shared = Arc::clone(self.rate_limit.shared());
        Self::make(Authorize::new(policy), rules, Arc::clone(&self.meter), self.catalog.clone(), shared)
    }

    /// Whether a rule of the operator may have a person asked before a call, so that there has to be a way to ask.
    #[must_use]
    pub fn may_ask(&self, operation: &Operation<'_>) -> bool {
        self.confirm.rule_for(operation).is_some() || self.safeguards.marks(operation).is_some()
    }

    /// The guards and flows. The same for all fronts.
    #[must_use]
    pub fn safeguards(&self) -> &Arc<LiveSafeguards> {
        &self.safeguards
    }

    /// Which calls a person has to confirm. The same for all fronts.
    #[must_use]
    pub fn confirm(&self) -> &Arc<LiveConfirm> {
        &self.confirm
    }

    /// What a principal may use of a catalog: all that a front may show it, and look up for it.
    #[must_use]
    pub fn seen(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        self.authorize.seen(catalog, principal)
    }

    /// The same for who was authenticated long ago, such as the owner of a session: by the roles of now.
    #[must_use]
    pub fn seen_now(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        self.authorize.seen_now(catalog, principal)
    }

    /// What a principal is shown in lists: also what it could use with scopes that it may ask for.
    #[must_use]
    pub fn listed(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        self.authorize.listed(catalog, principal).unwrap_or_else(|| self.seen(catalog, principal))
    }

    /// The same for who was authenticated long ago.
    #[must_use]
    pub fn listed_now(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        self.authorize.listed(catalog, principal).unwrap_or_else(|| self.seen_now(catalog, principal))
    }

    /// What is said in place of an error of something that a principal could use with one more
    /// scope. None: nothing else.
    #[must_use]
    pub fn step(&self, catalog: &Catalog, principal: Option<&Principal>, error: &CallError) -> Option<CallError> {
        self.authorize.step(catalog, principal, error)
    }

    /// Whether a principal has one of these roles.
    #[must_use]
    pub fn has_one_of(&self, principal: Option<&Principal>, roles: &BTreeSet<String>) -> bool {
        self.authorize.policy().roles_of(principal).iter().any(|role| roles.contains(role))
    }

    /// Says in the log where something is not there for a principal that may not use it, and by what that is
    /// so. The principal is told the same as where there is no such thing.
    pub fn log_denied(&self, seen: &Seen, principal: Option<&Principal>, error: &CallError) -> Option<DeniedBy> {
        self.authorize.log_denied(seen, principal, error)
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
    pub fn run<'a>(&'a self, mut request: CallRequest<'a>) -> impl Future<Output = Result<OperationResult, CallError>> + Send + 'a {
        let begin = self.meter.now();
        request.context.call_id = self.meter.next_id();
        let traced = self.meter.traced(&mut request, begin);
        if request.operation.provider().calls().is_some() {
            request.context.nesting = self.nesting(&request);
        }
        let (principal, operation) = (request.context.principal.as_ref(), &request.operation);
        let policy = self.authorize.policy();
        let denied = self.authorize.denied(&policy, principal, request.context.address, operation).map(Box::new);
        let admitted = match &denied {
            // It counts against no limit.
            Some(_) => Ok(Admitted::default()),
            None => self.rate_limit.check(&policy, principal, operation, request.parent.is_some()),
        };
        drop(policy);
        let span = LazySpan::new(KnownCall::of(&request, begin.0));
        let watched = self.meter.watched(&request, traced, begin.1);
        let CallRequest { operation, context, rounds, hold, .. } = request;
        // Its parts by themselves: what a future is handed whole it holds twice. And in a box, since what is put around it is moved with it.
        let call = Box::pin(async move {
            if let Some(denied) = denied {
                return *denied;
            }
            // Counts as running until it has ended.
            let mut admitted = admitted?;
            if let Some(pending) = admitted.pending.take() {
                // In a box: calls that no other host has a word in carry no room for it.
                pending.decide().await?;
            }
            let _held = hold;
            run::run(&operation, context, rounds, self.checks()).await
        });
        self.meter.observe(span, watched, call)
    }

    fn checks(&self) -> Checks<'_> {
        let (confirm, safeguards, catalog) = (&*self.confirm, &*self.safeguards, self.catalog.as_deref());
        let (metrics, shared) = (self.meter.metrics(), &**self.rate_limit.shared());
        Checks { authorize: &self.authorize, confirm, safeguards, catalog, metrics, shared }
    }

    /// The way for a call to call others.
    fn nesting(&self, request: &CallRequest<'_>) -> Option<Arc<Nesting>> {
        let above = request.context.nesting.as_deref().cloned().unwrap_or_default();
        let host = self.this.upgrade().filter(|_| self.catalog.is_some());
        let calls = host.map(|host| Arc::new(Nested::new(host, request)) as _);
        Some(Arc::new(Nesting { calls, ..above }))
    }
}

impl Host for Dispatcher {
    fn seen(&self, principal: Option<&Principal>) -> Option<Seen> {
        self.catalog.as_ref().map(|catalog| self.authorize.seen(catalog, principal))
    }

    fn count(&self, parent: &str, provider: &str) {
        self.metrics().nested(parent, provider);
    }

    fn not_there(&self, seen: &Seen, what: &TurnedAway<'_>) {
        let denied = what.denied.clone().or_else(|| self.log_denied(seen, what.principal, what.error));
        self.turned_away(&TurnedAway { denied, ..*what });
    }

    fn run_nested(self: Arc<Self>, request: CallRequest<'static>) -> BoxFuture<'static, Result<OperationResult, CallError>> {
        async move { Self::run(&self, request).await }.boxed()
    }
}
