//! Answers, and the blocks of content that they are made of.

use serde::Serialize;

use crate::{
    exports::toolbay::plugin::tools::CallResult,
    toolbay::plugin::types::{Annotations, BinaryContent, Content, EmbeddedResource, ResourceBody, Role, TextContent},
};

/// An answer of some blocks.
pub fn blocks(content: Vec<Content>) -> CallResult {
    CallResult { content, structured_content: None, is_error: false, meta: None }
}

/// An answer of a piece of text.
pub fn plain(answer: impl Into<String>) -> CallResult {
    blocks(vec![text(answer)])
}

/// A value, with the same in words beside it.
pub fn structured<T: Serialize>(value: &T, words: String) -> Result<CallResult, String> {
    let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
    Ok(CallResult { structured_content: Some(json), ..plain(words) })
}

/// What went wrong.
pub fn failure(why: String) -> CallResult {
    CallResult { is_error: true, ..plain(why) }
}

pub fn text(text: impl Into<String>) -> Content {
    Content::Text(TextContent { text: text.into(), annotations: None, meta: None })
}

pub fn image(data: Vec<u8>, mime_type: &str) -> Content {
    Content::Image(BinaryContent { data, mime_type: mime_type.into(), annotations: for_people(), meta: None })
}

pub fn audio(data: Vec<u8>, mime_type: &str) -> Content {
    Content::Audio(BinaryContent { data, mime_type: mime_type.into(), annotations: for_people(), meta: None })
}

pub fn embedded_text(uri: String, mime_type: &str, body: String) -> Content {
    Content::EmbeddedResource(EmbeddedResource {
        uri,
        mime_type: Some(mime_type.into()),
        body: ResourceBody::Text(body),
        annotations: None,
        meta: None,
    })
}

/// For those who see and hear.
pub fn for_people() -> Option<Annotations> {
    Some(Annotations { audience: vec![Role::User], priority: Some(1.0), last_modified: None })
}
