//! The layer before the provider: a person confirms the calls that the operator wants confirmed, whatever the
//! upstream does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;

use super::{
    Operation,
    consent::{Consent, consent, shown},
};
use crate::{
    catalog::{Confirm, Entry},
    provider::{Asker, CallError, CallOutput},
};

/// The name of the question, for callers that come back with the answer.
const KEY: &str = "toolbay-confirm";
/// What the audit calls the rule.
const RULE: &str = "confirm";

/// The rules of this moment. They can change while calls run.
#[derive(Debug, Default)]
pub struct LiveConfirm {
    /// Nearly always: so that a call pays for one look.
    is_empty: NotAny,
    rules: ArcSwap<Confirm>,
}

#[derive(Debug)]
struct NotAny(AtomicBool);

impl Default for NotAny {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl LiveConfirm {
    /// Goes by other rules from now on.
    pub fn put(&self, rules: Confirm) {
        let is_empty = rules.is_empty();
        self.rules.store(Arc::new(rules));
        self.is_empty.0.store(is_empty, Ordering::Release);
    }

    /// The rule by which a call has to be confirmed, if there is one.
    pub(super) fn rule_for(&self, operation: &Operation<'_>) -> Option<String> {
        if self.is_empty.0.load(Ordering::Acquire) {
            return None;
        }
        let Operation::Call { entry, .. } = operation else { return None };
        let rules = self.rules.load();
        rules.rule_for(entry.provider().id().as_str(), entry.own_name(), entry.name(), entry.tool()).map(str::to_owned)
    }
}

/// Asks the person. None: the call may be made. Else the answer of the call, which says why it was not made.
///
/// # Errors
///
/// [`CallError::InputRequired`]: the caller is asked by the result of its call.
pub(super) async fn confirmed(
    rule: &str,
    entry: &Entry,
    arguments: &str,
    asker: Option<&dyn Asker>,
) -> Result<Option<CallOutput>, CallError> {
    let (name, provider) = (entry.name(), entry.provider().id());
    let message = format!("May {name} of {provider} be called with these arguments?\n{}", shown(arguments));
    let Consent::Refused(why) = consent(KEY.to_owned(), &message, asker).await? else { return Ok(None) };
    tracing::info!(outcome = "denied", tool = name, %provider, rule, "a call that has to be confirmed was not made: {why}");
    let text =
        format!("denied: calls of {name} have to be confirmed by a person ({rule:?} in `confirm` of [trust]), and {why}; nothing was done");
    Ok(Some(CallOutput::denied(RULE, text)))
}
