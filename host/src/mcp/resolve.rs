//! What a request for a resource, a prompt or a completion means: its names, looked up in the catalog. The same for both ways of a request.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Map, Value};

use super::{rmcp_errors::kind, rpc::allowed};
use crate::{
    catalog::Snapshot,
    dispatch::Operation,
    provider::{CallError, Completion, Reference},
};

/// `resources/read`.
pub(super) fn read<'a>(uri: Cow<'a, str>, snapshot: &Snapshot) -> Result<Operation<'a>, CallError> {
    match snapshot.resource(&uri) {
        Some(entry) => Ok(Operation::Read { entry: Arc::clone(entry), uri }),
        None => Err(CallError::UnknownResource(uri.into_owned())),
    }
}

/// `prompts/get`.
pub(super) fn prompt(name: &str, arguments: Option<Map<String, Value>>, snapshot: &Snapshot) -> Result<Operation<'static>, CallError> {
    let entry = snapshot.prompt(name).ok_or_else(|| CallError::UnknownPrompt(name.to_owned()))?;
    let text = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        other => Err(CallError::InvalidParams(format!("argument {name:?} of a prompt must be a string, not {}", kind(&other)))),
    };
    let arguments = arguments.unwrap_or_default().into_iter().map(text).collect::<Result<_, _>>()?;
    Ok(Operation::Prompt { entry: Arc::clone(entry), arguments })
}

/// `completion/complete`. The prompt comes by its published name; a template by its text, or by a URI that it matches.
pub(super) fn completion(mut completion: Completion, snapshot: &Snapshot) -> Result<Operation<'static>, CallError> {
    let provider = match &mut completion.reference {
        Reference::Prompt(name) => {
            let entry = snapshot.prompt(name).ok_or_else(|| CallError::UnknownPrompt(name.clone()))?;
            entry.own_name().clone_into(name);
            entry.provider()
        }
        Reference::Template(text) => {
            if let Some(listed) = snapshot.listed_resource(text).filter(|_| snapshot.template(text).is_none()) {
                // A resource as it is has no variables, so there is nothing to complete.
                return Ok(Operation::Complete { provider: Arc::clone(listed.provider()), completion: None });
            }
            let Some(entry) = snapshot.template(text).or_else(|| snapshot.resource(text)) else {
                let shown: String = text.chars().take(256).collect();
                let that = allowed(snapshot);
                let message = format!("there is no resource template {shown:?}{that}; resources/templates/list says which there are");
                return Err(CallError::InvalidParams(message));
            };
            let own = if snapshot.template(text).is_some() { entry.own_uri(text) } else { entry.own_uri(entry.uri()) };
            *text = own.to_owned();
            entry.provider()
        }
    };
    Ok(Operation::Complete { provider: Arc::clone(provider), completion: Some(completion) })
}
