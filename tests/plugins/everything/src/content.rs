//! Blocks of content, and what they are made of. Tools and prompts answer with the same ones.

use crate::toolbay::plugin::types::{BinaryContent, Content, EmbeddedResource, Error, ResourceBody, TextContent};

/// One red pixel.
pub const PNG: &[u8] = include_bytes!("pixel.png");

/// No sound, and not much of it.
pub const WAV: &[u8] = include_bytes!("silence.wav");

/// JSON-RPC: invalid parameters.
const INVALID_PARAMS: i32 = -32602;

pub fn text(text: impl Into<String>) -> Content {
    Content::Text(TextContent { text: text.into(), annotations: None, meta: None })
}

/// The bytes go out as they are: the host encodes them.
pub fn image() -> Content {
    Content::Image(BinaryContent { data: PNG.into(), mime_type: "image/png".into(), annotations: None, meta: None })
}

pub fn audio() -> Content {
    Content::Audio(BinaryContent { data: WAV.into(), mime_type: "audio/wav".into(), annotations: None, meta: None })
}

/// A resource, contents and all.
pub fn resource(uri: impl Into<String>, mime_type: &str, body: &str) -> Content {
    Content::EmbeddedResource(EmbeddedResource {
        uri: uri.into(),
        mime_type: Some(mime_type.into()),
        body: ResourceBody::Text(body.into()),
        annotations: None,
        meta: None,
    })
}

/// An error of the protocol: what was asked for cannot be.
pub fn invalid(message: String) -> Error {
    Error { code: INVALID_PARAMS, message, data: None }
}
