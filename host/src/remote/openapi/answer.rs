//! What a caller sees of an application's response.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{document::is_json, operation::Operation, send::Response};
use crate::{
    provider::{CallError, CallOutput, Content, JsonText, ProviderId},
    remote::client::retry_after,
};

/// Characters of a body that says what went wrong.
const SHOWN: usize = 4000;

/// The error where the application has too much to do and says when to come again: that is for who calls the tool, and no answer of the tool.
pub(super) fn busy(server: &ProviderId, response: &Response) -> Option<CallError> {
    let retry_after = retry_after(response.status, &response.headers)?;
    Some(CallError::Busy { what: format!("server {server} is busy: the application answers {}", failure(response)), retry_after })
}

/// The result of a call.
pub(super) fn output(server: &ProviderId, operation: &Operation, response: Response) -> CallOutput {
    if !response.status.is_success() {
        return CallOutput::error(failure(&response));
    }
    if response.body.is_empty() {
        return content(vec![Content::text(status(response.status))]);
    }
    let kind = response.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if is_json(kind) {
        return json_output(operation, &response.body);
    }
    let block = |kind: &str| json!({ "type": kind, "data": BASE64_STANDARD.encode(&response.body), "mimeType": bare });
    if bare.starts_with("image/") && bare != "image/svg+xml" {
        return blocks(&block("image"));
    }
    if bare.starts_with("audio/") {
        return blocks(&block("audio"));
    }
    match String::from_utf8(response.body) {
        Ok(text) => content(vec![Content::Text(text)]),
        Err(error) => {
            let bytes = error.into_bytes();
            let mime = if bare.is_empty() { "application/octet-stream" } else { bare.as_str() };
            let uri = format!("urn:toolbay:{server}:{}", operation.tool().name);
            let resource = json!({ "uri": uri, "mimeType": mime, "blob": BASE64_STANDARD.encode(bytes) });
            blocks(&json!({ "type": "resource", "resource": resource }))
        }
    }
}

fn json_output(operation: &Operation, body: &[u8]) -> CallOutput {
    let text = String::from_utf8_lossy(body).into_owned();
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => {
            return CallOutput::error(format!("the application says that this is JSON, and it is not ({error}): {}", short(&text)));
        }
    };
    // A client that was promised a shape and gets another fails in a way that nobody understands.
    if let Err(problems) = operation.check_answer(&value) {
        return CallOutput::error(format!(
            "the answer does not fit what the application's OpenAPI document says of it ({problems}): {}",
            short(&text)
        ));
    }
    let structured = JsonText::from_value(&value).ok();
    CallOutput { content: vec![Content::Text(text)], structured, ..CallOutput::default() }
}

fn failure(response: &Response) -> String {
    let mut said = status(response.status);
    if response.status.is_redirection() {
        let to = response.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        said = format!("{said}: it leads to {}, and only redirects within the application are followed", short(to));
    }
    let body = String::from_utf8_lossy(&response.body);
    match body.trim() {
        "" => said,
        body => format!("{said}: {}", short(body)),
    }
}

fn status(status: StatusCode) -> String {
    status.canonical_reason().map_or_else(|| status.as_str().to_owned(), |reason| format!("{} {reason}", status.as_str()))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

fn blocks(block: &Value) -> CallOutput {
    content(JsonText::from_value(block).ok().map(Content::Block).into_iter().collect())
}

fn content(content: Vec<Content>) -> CallOutput {
    CallOutput { content, ..CallOutput::default() }
}
