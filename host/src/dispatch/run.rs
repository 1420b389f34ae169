//! The last layer: the provider does it.

use super::{CallRequest, LiveConfirm, Operation, OperationResult, confirm::confirmed};
use crate::provider::{Call, CallContext, CallError, Completions};

/// Runs a call that may be made, with a way to ask its caller where there is one.
pub(super) async fn run(request: CallRequest<'_>, confirm: &LiveConfirm) -> Result<OperationResult, CallError> {
    let rule = confirm.rule_for(&request.operation);
    let CallRequest { operation, mut context, rounds, hold: _held, .. } = request;
    let Some(rounds) = rounds else { return provide(&operation, context, rule).await };
    context.asker = Some(rounds.clone().open(&operation)?);
    match provide(&operation, context, rule).await {
        Err(CallError::InputRequired) => rounds.suspended(&operation).map(OperationResult::InputRequired),
        result => result,
    }
}

async fn provide(operation: &Operation<'_>, context: CallContext, rule: Option<String>) -> Result<OperationResult, CallError> {
    if let Some(rule) = rule
        && let Some(denied) = confirmed(&rule, operation, context.asker.as_deref()).await?
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
