//! Content of the contract's types as MCP's JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    provider::{Content, JsonText},
    wasm::host::bindings::toolbay::plugin::types::{self, Annotations, Icon, Role},
};

/// One block of content for the way up. What is no content is left out, with a word in the log about `whose` it was.
pub(crate) fn block(block: types::Content, whose: &str) -> Option<Content> {
    let value = match block {
        types::Content::Text(types::TextContent { text, annotations: None, meta: None }) => return Some(Content::Text(text)),
        types::Content::Text(content) => with(json!({ "type": "text", "text": content.text }), content.annotations, content.meta),
        types::Content::Image(content) => binary("image", content),
        types::Content::Audio(content) => binary("audio", content),
        types::Content::ResourceLink(link) => {
            let mut value = json!({ "type": "resource_link", "uri": link.uri, "name": link.name });
            put(&mut value, "title", link.title);
            put(&mut value, "description", link.description);
            put(&mut value, "mimeType", link.mime_type);
            put(&mut value, "size", link.size);
            put(&mut value, "icons", (!link.icons.is_empty()).then(|| Value::from_iter(link.icons.into_iter().map(icon))));
            with(value, link.annotations, link.meta)
        }
        types::Content::EmbeddedResource(resource) => {
            let mut body = match resource.body {
                types::ResourceBody::Text(text) => json!({ "uri": resource.uri, "text": text }),
                types::ResourceBody::Blob(blob) => json!({ "uri": resource.uri, "blob": STANDARD.encode(blob) }),
            };
            put(&mut body, "mimeType", resource.mime_type);
            with(json!({ "type": "resource", "resource": body }), resource.annotations, resource.meta)
        }
        types::Content::Other(text) => {
            return match object(&text).and_then(|block| if block.contains_key("type") { Ok(()) } else { Err("has no \"type\"".to_owned()) })
            {
                Ok(()) => JsonText::parse(text).ok().map(Content::Block),
                Err(why) => {
                    tracing::warn!(whose, "a content block of the plugin {why} and is left out");
                    None
                }
            };
        }
    };
    JsonText::from_value(&value).ok().map(Content::Block)
}

/// About as many bytes as a block of content takes.
pub(crate) fn bytes(block: &types::Content) -> usize {
    match block {
        types::Content::Text(content) => content.text.len(),
        types::Content::Image(content) | types::Content::Audio(content) => content.data.len(),
        types::Content::ResourceLink(link) => {
            let icons: usize = link.icons.iter().map(|icon| icon.src.len()).sum();
            link.uri.len() + link.name.len() + link.description.as_ref().map_or(0, String::len) + icons
        }
        types::Content::EmbeddedResource(resource) => match &resource.body {
            types::ResourceBody::Text(text) => text.len(),
            types::ResourceBody::Blob(blob) => blob.len(),
        },
        types::Content::Other(text) => text.len(),
    }
}

/// JSON text that has to be an object. Err: what it is instead.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

/// Sets a member that is there.
pub(crate) fn put(value: &mut Value, key: &str, member: Option<impl Into<Value>>) {
    if let (Some(object), Some(member)) = (value.as_object_mut(), member) {
        object.insert(key.to_owned(), member.into());
    }
}

/// MCP's icon.
pub(crate) fn icon(icon: Icon) -> Value {
    let mut value = json!({ "src": icon.src });
    put(&mut value, "mimeType", icon.mime_type);
    put(&mut value, "sizes", (!icon.sizes.is_empty()).then_some(icon.sizes));
    put(&mut value, "theme", icon.theme);
    value
}

fn with(mut value: Value, annotations: Option<Annotations>, meta: Option<String>) -> Value {
    put(&mut value, "annotations", annotations.map(annotation));
    put(&mut value, "_meta", meta.and_then(|text| object(&text).ok()).map(Value::Object));
    value
}

fn binary(kind: &str, content: types::BinaryContent) -> Value {
    let value = json!({ "type": kind, "data": STANDARD.encode(content.data), "mimeType": content.mime_type });
    with(value, content.annotations, content.meta)
}

/// MCP's hints.
pub(crate) fn annotation(annotations: Annotations) -> Value {
    let mut value = json!({});
    let role = |role: Role| match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    put(&mut value, "audience", (!annotations.audience.is_empty()).then(|| Value::from_iter(annotations.audience.into_iter().map(role))));
    // JSON has no word for what is no number.
    put(&mut value, "priority", annotations.priority.filter(|priority| priority.is_finite()));
    put(&mut value, "lastModified", annotations.last_modified);
    value
}
