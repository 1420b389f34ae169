//! The last layer: the provider does it, between the operator's safeguards.

use std::{borrow::Cow, sync::Arc};

use super::{
    LiveConfirm, LiveSafeguards, Operation, OperationResult, Rounds,
    authorize::Authorize,
    confirm::confirmed,
    guarded::{Around, Checked, Guarded},
};
use crate::{
    catalog::{Catalog, Entry, Marks},
    provider::{Call, CallContext, CallError, CallOutput, Completions},
    shared::Shared,
    telemetry::metrics::Metrics,
};

/// What decides on calls at the last moment.
pub(super) struct Checks<'a> {
    pub(super) authorize: &'a Authorize,
    pub(super) confirm: &'a LiveConfirm,
    pub(super) safeguards: &'a LiveSafeguards,
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) metrics: &'a Metrics,
    /// Where other hosts are told what conversations have read.
    pub(super) shared: &'a Shared,
}

/// Runs a call that may be made, with a way to ask its caller where there is one.
pub(super) async fn run(
    operation: &Operation<'_>,
    mut context: Box<CallContext>,
    rounds: Option<Arc<dyn Rounds>>,
    checks: Checks<'_>,
) -> Result<OperationResult, CallError> {
    if let Some(rounds) = &rounds {
        context.asker = Some(Arc::clone(rounds).open(operation)?);
    }
    match (provide(operation, context, checks).await, rounds) {
        (Err(CallError::InputRequired), Some(rounds)) => rounds.suspended(operation).map(OperationResult::InputRequired),
        (result, _) => result,
    }
}

async fn provide(operation: &Operation<'_>, context: Box<CallContext>, checks: Checks<'_>) -> Result<OperationResult, CallError> {
    match operation {
        Operation::Call { entry, arguments } => {
            let (rule, marks) = (checks.confirm.rule_for(operation), checks.safeguards.marks(operation));
            if rule.is_some() || marks.is_some() {
                // In a box: so rare a future is not to make that of every call larger.
                return Box::pin(checked(entry, arguments, context, rule, marks, checks)).await.map(OperationResult::Call);
            }
            entry.provider().call(Call { tool: entry.own_name(), arguments, context }).await.map(OperationResult::Call)
        }
        Operation::Read { entry, uri } => entry.provider().read_resource(entry.own_uri(uri), context).await.map(OperationResult::Contents),
        Operation::Prompt { entry, arguments } => {
            entry.provider().get_prompt(entry.own_name(), arguments.clone(), context).await.map(OperationResult::Prompt)
        }
        Operation::Complete { provider, completion } => match completion {
            Some(completion) if provider.offers().completes => {
                provider.complete(completion.clone(), context).await.map(OperationResult::Completions)
            }
            _ => Ok(OperationResult::Completions(Completions::default())),
        },
    }
}

/// A call on which the operator has rules: guards, then what a person has to confirm, and guards again.
async fn checked(
    entry: &Arc<Entry>,
    arguments: &str,
    context: Box<CallContext>,
    rule: Option<String>,
    marks: Option<Arc<Marks>>,
    checks: Checks<'_>,
) -> Result<CallOutput, CallError> {
    let Checks { authorize, catalog, metrics, safeguards, shared, .. } = checks;
    let guarded = marks.map(|marks| {
        let roles = match marks.guards.is_empty() {
            true => Vec::new(),
            false => authorize.policy().roles_of(context.principal.as_ref()).iter().map(str::to_owned).collect(),
        };
        let around = Around { catalog, metrics, conversations: safeguards.conversations(), shared, roles };
        Guarded::new(around, marks, entry, &context)
    });
    let arguments = match &guarded {
        None => Cow::Borrowed(arguments),
        Some(guarded) => match guarded.before(arguments).await? {
            Checked::Go(arguments) => arguments,
            Checked::Stop(output) => return Ok(output),
        },
    };
    if let Some(rule) = rule
        && let Some(denied) = confirmed(&rule, entry, &arguments, context.asker.as_deref()).await?
    {
        return Ok(denied);
    }
    if let Some(guarded) = &guarded
        && let Some(denied) = guarded.flow(&arguments).await?
    {
        return Ok(denied);
    }
    let result = entry.provider().call(Call { tool: entry.own_name(), arguments: &arguments, context }).await;
    match &guarded {
        None => result,
        Some(guarded) => guarded.after(&arguments, result).await,
    }
}
