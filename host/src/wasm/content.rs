//! Content of the contract's types as MCP's JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    provider::{Content, JsonText},
    wasm::imports::bindings::toolbay::plugin::types::{self, Annotations, Icon, Role},
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

/// The same the other way: one block of what somebody answered, for a guest. What the contract has no type for is JSON.
pub(crate) fn typed(content: Content) -> types::Content {
    match content {
        Content::Text(text) => types::Content::Text(types::TextContent { text, annotations: None, meta: None }),
        Content::Block(json) => parsed(json.as_str()).unwrap_or_else(|| types::Content::Other(json.as_str().to_owned())),
    }
}

fn parsed(json: &str) -> Option<types::Content> {
    let mut block = object(json).ok()?;
    let annotations = match block.remove("annotations") {
        None => None,
        Some(annotations) => Some(hints(&annotations)?),
    };
    let meta = block.remove("_meta").map(|meta| meta.to_string());
    let kind = text(&mut block, "type")?;
    Some(match kind.as_str() {
        "text" => types::Content::Text(types::TextContent { text: text(&mut block, "text")?, annotations, meta }),
        "image" | "audio" => {
            let data = STANDARD.decode(text(&mut block, "data")?).ok()?;
            let content = types::BinaryContent { data, mime_type: text(&mut block, "mimeType")?, annotations, meta };
            if kind == "image" { types::Content::Image(content) } else { types::Content::Audio(content) }
        }
        "resource_link" if !block.contains_key("icons") => types::Content::ResourceLink(types::ResourceLink {
            uri: text(&mut block, "uri")?,
            name: text(&mut block, "name")?,
            title: text(&mut block, "title"),
            description: text(&mut block, "description"),
            mime_type: text(&mut block, "mimeType"),
            size: block.get("size").and_then(Value::as_u64),
            icons: Vec::new(),
            annotations,
            meta,
        }),
        "resource" => {
            let Some(Value::Object(mut body)) = block.remove("resource") else { return None };
            let contents = match text(&mut body, "text") {
                Some(text) => types::ResourceBody::Text(text),
                None => types::ResourceBody::Blob(STANDARD.decode(text(&mut body, "blob")?).ok()?),
            };
            let (uri, mime_type) = (text(&mut body, "uri")?, text(&mut body, "mimeType"));
            types::Content::EmbeddedResource(types::EmbeddedResource { uri, mime_type, body: contents, annotations, meta })
        }
        _ => return None,
    })
}

/// A member that is a text.
fn text(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    match object.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// MCP's hints as the contract has them.
fn hints(value: &Value) -> Option<Annotations> {
    let role = |role: &Value| match role.as_str() {
        Some("user") => Some(Role::User),
        Some("assistant") => Some(Role::Assistant),
        _ => None,
    };
    let audience = value.get("audience").and_then(Value::as_array).into_iter().flatten().map(role).collect::<Option<_>>()?;
    let last_modified = value.get("lastModified").and_then(Value::as_str).map(str::to_owned);
    Some(Annotations { audience, priority: value.get("priority").and_then(Value::as_f64), last_modified })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn annotated() -> impl Strategy<Value = Option<Annotations>> {
        let role = prop_oneof![Just(Role::User), Just(Role::Assistant)];
        let some = (prop::collection::vec(role, 0..3), prop::option::of(0.0..1.0), prop::option::of("[0-9-]{1,10}"))
            .prop_map(|(audience, priority, last_modified)| Annotations { audience, priority, last_modified });
        prop::option::of(some)
    }

    fn contents() -> impl Strategy<Value = types::Content> {
        let texts = ("\\PC{0,20}", annotated(), prop::option::of(Just("{\"k\":1}".to_owned())));
        let text = texts.prop_map(|(text, annotations, meta)| types::Content::Text(types::TextContent { text, annotations, meta }));
        let bytes = (any::<Vec<u8>>(), "[a-z]{1,5}/[a-z]{1,5}", annotated(), any::<bool>());
        let binary = bytes.prop_map(|(data, mime_type, annotations, is_image)| {
            let content = types::BinaryContent { data, mime_type, annotations, meta: None };
            if is_image { types::Content::Image(content) } else { types::Content::Audio(content) }
        });
        let links = ("[a-z]{1,5}:[a-z]{1,5}", "\\PC{1,9}", prop::option::of("\\PC{1,9}"), prop::option::of(any::<u64>()), annotated());
        let link = links.prop_map(|(uri, name, title, size, annotations)| {
            let (description, mime_type, icons, meta) = (title.clone(), None, Vec::new(), None);
            types::Content::ResourceLink(types::ResourceLink { uri, name, title, description, mime_type, size, icons, annotations, meta })
        });
        let bodies = ("[a-z]{1,5}:[a-z]{1,5}", "\\PC{0,9}", any::<Vec<u8>>(), any::<bool>(), annotated());
        let embedded = bodies.prop_map(|(uri, text, blob, is_text, annotations)| {
            let body = if is_text { types::ResourceBody::Text(text) } else { types::ResourceBody::Blob(blob) };
            types::Content::EmbeddedResource(types::EmbeddedResource { uri, mime_type: None, body, annotations, meta: None })
        });
        prop_oneof![text, binary, link, embedded]
    }

    proptest! {
        #[test]
        fn what_one_plugin_answers_another_gets_as_it_was(content in contents()) {
            let before = format!("{content:?}");
            let after = typed(block(content, "p").unwrap());
            prop_assert_eq!(format!("{after:?}"), before);
        }
    }

    #[test]
    fn what_the_contract_does_not_name_crosses_as_json() {
        for json in [r#"{"type":"new","x":1}"#, r#"{"type":"image","data":"!","mimeType":"image/png"}"#, r#"{"type":"text"}"#] {
            let content = typed(Content::Block(JsonText::parse(json.to_owned()).unwrap()));
            assert!(matches!(content, types::Content::Other(text) if text == json));
        }
    }
}
