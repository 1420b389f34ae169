//! The first layer: what a principal may do.
//!
//! A name that a request brings is looked up in what its principal may use: [`Authorize::seen`]. So what is
//! denied is not there, in lists, errors and calls alike, and no front can tell one from the other. The
//! operator's log can.

use std::sync::Arc;

use arc_swap::Guard;

use crate::{
    catalog::{Catalog, LivePolicy, Policy, Seen, Why},
    provider::{CallError, Principal},
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
        principal.and_then(Principal::steps).map(|steps| catalog.seen_by(&self.policy.load(), &steps.all))
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
        let step = steps.each.iter().find(|step| is_there(&catalog.seen_by(&policy, &step.roles)))?;
        Some(CallError::NeedsScopes { what: format!("{kind} {name:?}"), scopes: step.scopes.clone() })
    }

    /// Logs a call that failed since its principal may not do that. Whether it did.
    pub(super) fn log_denied(&self, seen: &Seen, principal: Option<&Principal>, error: &CallError) -> bool {
        let (kind, name, why) = match error {
            CallError::UnknownTool(name) => ("tool", name, seen.hides_tool(name)),
            CallError::UnknownPrompt(name) => ("prompt", name, seen.hides_prompt(name)),
            CallError::UnknownResource(uri) => ("resource", uri, seen.hides_resource(uri)),
            _ => return false,
        };
        let is_denied = matches!(why, Some(Why::Denied(_) | Why::NotNamed));
        if let Some(why @ (Why::Denied(_) | Why::NotNamed)) = why {
            let policy = self.policy.load();
            let roles = policy.roles_of(principal);
            tracing::info!(
                outcome = "denied",
                principal = principal.map(Principal::subject),
                roles = %roles,
                "a call of {kind} {name:?} was denied: {why}"
            );
        }
        is_denied
    }
}
