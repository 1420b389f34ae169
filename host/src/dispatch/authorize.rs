//! The first layer: what a principal may do.
//!
//! A name that a request brings is looked up in what its principal may use: [`Authorize::seen`]. So what is
//! denied is not there, in lists, errors and calls alike, and no front can tell one from the other. The
//! operator's log can. What policies decide on each call is asked when it is made: [`Authorize::denied`].

use std::{net::IpAddr, sync::Arc};

use arc_swap::Guard;

use super::{
    Operation, OperationResult, Outcome,
    audited::{DeniedBy, policy_rule},
};
use crate::{
    catalog::{Asked, Catalog, Entry, Lack, LivePolicy, Policy, Seen, Why, denial},
    policies::{Action, Moment},
    provider::{CallError, CallOutput, Principal},
    telemetry::audit::cut,
};

/// The rules on who may do what.
#[derive(Debug, Default)]
pub(super) struct Authorize {
    policy: Arc<LivePolicy>,
}

impl Authorize {
    pub(super) fn new(policy: Arc<LivePolicy>) -> Self {
        Self { policy }
    }

    /// The rules of this moment.
    pub(super) fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// What a principal may use of a catalog.
    pub(super) fn seen(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        catalog.seen(&self.policy.load(), principal)
    }

    /// The same for who was authenticated long ago.
    pub(super) fn seen_now(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        catalog.seen_now(&self.policy.load(), principal)
    }

    /// What a principal is shown in lists: what it may use, and what it could use with scopes that
    /// it may ask for.
    pub(super) fn listed(&self, catalog: &Catalog, principal: Option<&Principal>) -> Option<Seen> {
        principal.and_then(Principal::steps).map(|steps| catalog.seen_by(&self.policy.load(), principal, &steps.all))
    }

    /// What is said in place of an error of something that a principal could use with one more
    /// scope.
    pub(super) fn step(&self, catalog: &Catalog, principal: Option<&Principal>, error: &CallError) -> Option<CallError> {
        // Before anything is made of the name: it can have megabytes, and only that of something that is there is told.
        let steps = principal?.steps()?;
        let policy = self.policy.load();
        let (kind, name, is_there): (_, _, &dyn Fn(&Seen) -> bool) = match error {
            CallError::UnknownTool(name) => ("tool", name, &|seen| seen.resolve(name).is_some()),
            CallError::UnknownPrompt(name) => ("prompt", name, &|seen| seen.prompt(name).is_some()),
            CallError::UnknownResource(uri) => ("resource", uri, &|seen| seen.resource(uri).is_some()),
            _ => return None,
        };
        let step = steps.each.iter().find(|step| is_there(&catalog.seen_by(&policy, principal, &step.roles)))?;
        Some(CallError::NeedsScopes { what: format!("{kind} {name:?}"), scopes: step.scopes.clone() })
    }

    /// Logs a call of something that is not there for its principal, whether it is hidden or nowhere: what is done for one of these is
    /// done for the other, so that the time of an answer does not tell them apart. By what it is hidden, if it is.
    pub(super) fn log_denied(&self, seen: &Seen, principal: Option<&Principal>, error: &CallError) -> Option<DeniedBy> {
        let (kind, name, lack) = match error {
            CallError::UnknownTool(name) => ("tool", name, seen.lacks_tool(name)),
            CallError::UnknownPrompt(name) => ("prompt", name, seen.lacks_prompt(name)),
            CallError::UnknownResource(uri) => ("resource", uri, seen.lacks_resource(uri)),
            _ => return None,
        };
        let (outcome, verdict, why, denied) = match lack? {
            Lack::Hidden(Why::Forbidden(id)) => {
                ("denied", "was denied", Why::Forbidden(id.clone()).to_string(), Some(DeniedBy::Policy(id)))
            }
            Lack::Hidden(why) => ("denied", "was denied", why.to_string(), Some(DeniedBy::Rights)),
            Lack::Nowhere => (Outcome::of_error(error).as_str(), "failed", format!("there is no such {kind}"), None),
        };
        let policy = self.policy.load();
        let roles = policy.roles_of(principal);
        let shown = cut(name);
        tracing::info!(
            outcome,
            principal = principal.map(Principal::subject),
            roles = %roles,
            "a call of {kind} {shown:?} {verdict}: {why}"
        );
        denied
    }

    /// The answer to a call that a policy denies for what it is: its arguments, its address, the time. None: it may be made.
    pub(super) fn denied(
        &self,
        policy: &Policy,
        principal: Option<&Principal>,
        address: Option<IpAddr>,
        operation: &Operation<'_>,
    ) -> Option<Result<OperationResult, CallError>> {
        let policies = policy.policies()?;
        let (action, entry, asked, name): (_, Option<&Entry>, _, &str) = match operation {
            Operation::Call { entry, arguments } => (Action::Call, Some(entry), Asked::Call(arguments), entry.name()),
            Operation::Read { entry, uri } => (Action::Read, None, Asked::Read(entry.own_uri(uri)), uri),
            Operation::Prompt { entry, .. } => (Action::Get, None, Asked::Get(entry.own_name()), entry.name()),
            Operation::Complete { .. } => return None,
        };
        let provider = operation.provider().id();
        if !policies.asks_each(action, provider.as_str()) {
            return None;
        }
        let bound = policy.bound(principal, policy.roles_of(principal))?;
        let denial = denial(&bound, provider.as_str(), entry, asked, Moment::now().from_address(address))?;
        let rule = policy_rule(denial.by.as_deref());
        let shown = cut(name);
        tracing::info!(
            outcome = "denied",
            principal = principal.map(Principal::subject),
            %provider,
            policy = denial.by.as_deref(),
            error = denial.fault,
            "a call of {shown:?} was denied by a policy: {}",
            denial.text
        );
        Some(match operation {
            Operation::Call { .. } => Ok(OperationResult::Call(CallOutput::denied(rule, denial.text))),
            _ => Err(CallError::Denied { by: rule.into(), message: denial.text }),
        })
    }
}
