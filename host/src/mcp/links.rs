//! Links in an answer: each leads to what its provider means by it, whoever else has something at that address.

use std::{borrow::Cow, sync::Arc};

use futures::TryFutureExt as _;
use serde_json::Value;

use crate::{
    catalog::{Catalog, Snapshot},
    dispatch::{CallRequest, Dispatcher, Operation, OperationResult},
    provider::{CallError, CallOutput, Content, JsonText, ProviderId},
};

/// Runs a call, and makes the links in its answer such that they can be read here.
///
/// No `async fn`: that would hold the request, and the call that is made of it, once more.
pub(super) fn run<'a>(
    dispatcher: &'a Dispatcher,
    catalog: &'a Catalog,
    request: CallRequest<'a>,
) -> impl Future<Output = Result<OperationResult, CallError>> + Send + 'a {
    let (provider, principal) = (Arc::clone(request.operation().provider()), request.context().principal.clone());
    let asked = asked_for(request.operation());
    dispatcher.run(request).map_ok(move |mut result| {
        if let (OperationResult::Contents(contents), Some((own, asked))) = (&mut result, &asked) {
            contents.iter_mut().for_each(|content| answer_to(content, own, asked));
        }
        if let OperationResult::Call(output) = &mut result
            && output.content.iter().any(|content| matches!(content, Content::Block(_)))
        {
            qualify(output, provider.id(), &dispatcher.seen(catalog, principal.as_ref()));
        }
        result
    })
}

/// The provider's own address of what is read, and the one that the client asked for. None: they are the same.
fn asked_for(operation: &Operation<'_>) -> Option<(String, String)> {
    let Operation::Read { entry, uri } = operation else { return None };
    let own = entry.own_uri(uri);
    (own != &**uri).then(|| (own.to_owned(), uri.to_string()))
}

/// Has what was read say the address that the client asked for: by that the client knows it again.
fn answer_to(content: &mut JsonText, own: &str, asked: &str) {
    let Ok(Value::Object(mut read)) = serde_json::from_str::<Value>(content.as_str()) else { return };
    match read.get_mut("uri") {
        Some(uri) if uri == own => *uri = asked.into(),
        _ => return,
    }
    if let Ok(text) = JsonText::from_value(&read) {
        *content = text;
    }
}

/// Puts the published address of a resource in place of its provider's own, where that is another.
fn qualify(output: &mut CallOutput, provider: &ProviderId, snapshot: &Snapshot) {
    for content in &mut output.content {
        // Most blocks are pictures: these are not parsed.
        let Content::Block(json) = content else { continue };
        if !json.as_str().contains("resource_link") {
            continue;
        }
        let Ok(Value::Object(mut block)) = serde_json::from_str::<Value>(json.as_str()) else { continue };
        let Some(own) = block.get("uri").and_then(Value::as_str).filter(|_| block.get("type").is_some_and(|kind| kind == "resource_link"))
        else {
            continue;
        };
        let Cow::Owned(published) = snapshot.published_uri(provider, own) else { continue };
        // What a client can fetch by itself stays what it is, as does what nobody here can read.
        let is_web = own.starts_with("https://") || own.starts_with("http://");
        let can_be_read = if is_web { snapshot.listed_resource(&published) } else { snapshot.resource(&published) }.is_some();
        if can_be_read {
            block.insert("uri".to_owned(), published.into());
            if let Ok(text) = JsonText::from_value(&block) {
                *json = text;
            }
        }
    }
}
