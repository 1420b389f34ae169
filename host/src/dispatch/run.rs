//! The last layer: the provider does it.

use std::sync::Arc;

use super::{LiveConfirm, Operation, OperationResult, Rounds, confirm::confirmed};
use crate::provider::{Call, CallContext, CallError, Completions};

/// Runs a call that may be made, with a way to ask its caller where there is one.
pub(super) async fn run(
    operation: &Operation<'_>,
    mut context: CallContext,
    rounds: Option<Arc<dyn Rounds>>,
    confirm: &LiveConfirm,
) -> Result<OperationResult, CallError> {
    if let Some(rounds) = &rounds {
        context.asker = Some(Arc::clone(rounds).open(operation)?);
    }
    match (provide(operation, context, confirm).await, rounds) {
        (Err(CallError::InputRequired), Some(rounds)) => rounds.suspended(operation).map(OperationResult::InputRequired),
        (result, _) => result,
    }
}

async fn provide(operation: &Operation<'_>, context: CallContext, confirm: &LiveConfirm) -> Result<OperationResult, CallError> {
    // In a box: so rare a future is not to make that of every call larger.
    if let Some(rule) = confirm.rule_for(operation)
        && let Some(denied) = Box::pin(confirmed(rule, operation, context.asker.as_deref())).await?
    {
        return Ok(OperationResult::Call(denied));
    }
    match operation {
        Operation::Call { entry, arguments } => {
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
