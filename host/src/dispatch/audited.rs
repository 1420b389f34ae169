//! What the audit is told of a call, and of what never became one.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{CallRequest, Operation, OperationResult, Outcome, known::KnownCall};
use crate::{
    provider::{CallError, Principal},
    telemetry::{
        audit::{Arguments, Audit, End, Facts, cut},
        traces::trace_id,
    },
};

/// Something that a front was asked for and has no request to make of.
pub struct TurnedAway<'a> {
    /// Who asked.
    pub principal: Option<&'a Principal>,
    /// By which way.
    pub face: &'static str,
    /// W3C `traceparent` of the request.
    pub trace_parent: Option<&'a str>,
    /// Why there is none, as the principal is told.
    pub error: &'a CallError,
    /// It is there, and the principal may not use it. None: that is not so.
    pub denied: Option<DeniedBy>,
}

/// By what somebody may not use something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeniedBy {
    /// By its roles, or by what its plugin was granted.
    Rights,
    /// By this policy. None: no policy permits it.
    Policy(Option<Arc<str>>),
}

impl DeniedBy {
    /// For the audit.
    fn rule(&self) -> Cow<'static, str> {
        match self {
            Self::Rights => Cow::Borrowed("denied"),
            Self::Policy(id) => Cow::Owned(policy_rule(id.as_deref())),
        }
    }
}

/// What the audit calls a policy.
pub(super) fn policy_rule(id: Option<&str>) -> String {
    id.map_or_else(|| POLICY.to_owned(), |id| format!("{POLICY}.{id}"))
}

/// Whether it is what the audit calls a policy.
pub(super) fn is_policy(rule: &str) -> bool {
    rule.strip_prefix(POLICY).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What the audit calls all policies together.
const POLICY: &str = "policy";

/// What the line of a call is to have of its arguments, which the call takes.
pub(super) fn arguments(audit: &Audit, request: &CallRequest<'_>) -> Arguments {
    match &request.operation {
        Operation::Call { arguments, .. } => audit.arguments(arguments),
        Operation::Prompt { arguments, .. } => {
            let arguments: BTreeMap<_, _> = arguments.iter().map(|(name, value)| (name, value)).collect();
            audit.arguments(&serde_json::to_string(&arguments).unwrap_or_default())
        }
        Operation::Read { .. } | Operation::Complete { .. } => Arguments::default(),
    }
}

/// The call has ended. `result`: None where it was dropped before.
pub(super) fn end(
    audit: &Audit,
    known: &KnownCall,
    (begin, arguments): (SystemTime, Arguments),
    result: Option<&Result<OperationResult, CallError>>,
    outcome: Outcome,
    took: Duration,
) {
    let error = match result {
        Some(Err(error)) => Some(kind(error, outcome)),
        Some(Ok(OperationResult::Call(output))) if output.denied.is_some() => output.denied.as_deref().map(Cow::Borrowed),
        Some(Ok(_)) if outcome == Outcome::ToolError => Some(Cow::Borrowed(outcome.as_str())),
        _ => None,
    };
    let facts = Facts {
        begin,
        event: "call",
        id: Some(known.id),
        parent: known.parent(),
        trace: known.trace(),
        caller: known.caller(),
        peer: None,
        front: known.face,
        operation: Some(known.operation),
        provider: Some(known.provider().id().as_str()),
        name: known.name().map(cut),
    };
    audit.write(&facts, arguments, &End { outcome: outcome.as_str(), error: error.as_deref(), took: Some(took) });
}

/// What never became a call.
pub(super) struct Away<'a> {
    pub(super) facts: Facts<'a>,
    pub(super) outcome: &'static str,
    error: Cow<'static, str>,
}

impl Away<'_> {
    pub(super) fn end(&self) -> End<'_> {
        End { outcome: self.outcome, error: Some(&self.error), took: None }
    }
}

pub(super) fn turned_away<'a>(what: &TurnedAway<'a>) -> Away<'a> {
    let TurnedAway { principal, face, trace_parent, error, denied } = what;
    let (operation, name) = match *error {
        CallError::UnknownTool(name) => (Some("tools/call"), Some(name)),
        CallError::UnknownResource(uri) => (Some("resources/read"), Some(uri)),
        CallError::UnknownPrompt(name) => (Some("prompts/get"), Some(name)),
        _ => (None, None),
    };
    let facts = Facts {
        trace: trace_parent.and_then(trace_id),
        caller: principal.map(Principal::subject),
        front: face,
        operation,
        name: name.map(|name| cut(name)),
        ..Facts::default()
    };
    let outcome = Outcome::of_error(error);
    let (outcome, error) = match denied {
        Some(by) => ("denied", by.rule()),
        None => (outcome.as_str(), kind(error, outcome)),
    };
    Away { facts, outcome, error }
}

/// What kind of error: a code of JSON-RPC, or a word.
pub(super) fn kind(error: &CallError, outcome: Outcome) -> Cow<'static, str> {
    match error {
        CallError::Protocol { code, .. } => Cow::Owned(code.to_string()),
        CallError::Denied { by, .. } => Cow::Owned(by.to_string()),
        _ => Cow::Borrowed(outcome.as_str()),
    }
}
