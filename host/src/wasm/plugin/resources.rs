//! The interface `resources`: what is listed, as MCP's objects, and reading.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    Plugin,
    dynamic_tools::protocol_error,
    offers::{Common, offer},
    run::Failure,
    uri,
};
use crate::{
    provider::{CallContext, CallError, JsonText, Offer},
    wasm::{
        content::{annotation, object, put},
        imports::bindings::{exports::toolbay::plugin::resources as wit, toolbay::plugin::types::ResourceBody},
    },
};

/// MCP's `Resource`.
///
/// # Errors
///
/// Why it cannot be published, to follow the word "resource".
pub(super) fn resource(listed: wit::Resource) -> Result<Offer, String> {
    let wit::Resource { uri, name, title, description, mime_type, size, icons, annotations, meta, extra } = listed;
    uri::absolute(&uri).map_err(|why| says(&uri, &why))?;
    let mut value = Common { title, description, icons, meta, extra }.members().map_err(|why| says(&uri, &why))?;
    put(&mut value, "uri", Some(uri.as_str()));
    put(&mut value, "name", Some(name));
    put(&mut value, "mimeType", mime_type);
    put(&mut value, "size", size);
    put(&mut value, "annotations", annotations.map(annotation));
    Ok(offer(uri, value))
}

/// MCP's `ResourceTemplate`.
///
/// # Errors
///
/// Why it cannot be published, to follow the word "template".
pub(super) fn template(listed: wit::Template) -> Result<Offer, String> {
    let wit::Template { uri_template, name, title, description, mime_type, icons, annotations, meta, extra } = listed;
    uri::template(&uri_template).map_err(|why| says(&uri_template, &why))?;
    let mut value = Common { title, description, icons, meta, extra }.members().map_err(|why| says(&uri_template, &why))?;
    put(&mut value, "uriTemplate", Some(uri_template.as_str()));
    put(&mut value, "name", Some(name));
    put(&mut value, "mimeType", mime_type);
    put(&mut value, "annotations", annotations.map(annotation));
    Ok(offer(uri_template, value))
}

fn says(key: &str, why: &str) -> String {
    let key: String = key.chars().take(200).collect();
    format!("{key:?}: {why}")
}

/// About as many bytes as it takes.
fn bytes(read: &wit::Contents) -> usize {
    let body = match &read.body {
        ResourceBody::Text(text) => text.len(),
        ResourceBody::Blob(blob) => blob.len(),
    };
    body + read.meta.as_ref().map_or(0, String::len)
}

/// MCP's `TextResourceContents` or `BlobResourceContents`.
fn contents(read: wit::Contents) -> Result<JsonText, serde_json::Error> {
    let mut value = match read.body {
        ResourceBody::Text(text) => json!({ "uri": read.uri, "text": text }),
        ResourceBody::Blob(blob) => json!({ "uri": read.uri, "blob": STANDARD.encode(blob) }),
    };
    put(&mut value, "mimeType", read.mime_type);
    let meta = read.meta.and_then(|text| {
        object(&text).inspect_err(|why| tracing::warn!(uri = read.uri, "the meta of what was read {why} and is left out")).ok()
    });
    put(&mut value, "_meta", meta);
    JsonText::from_value(&value)
}

impl Plugin {
    /// Lists resources and templates, each in an instance of its own.
    pub(super) async fn list_resources(&self) -> Result<(Vec<wit::Resource>, Vec<wit::Template>), crate::wasm::folder::LoadError> {
        let resources = self.code.list("resources", |code, mut store, instance| async move {
            let interface = code.interfaces.resources.as_ref();
            let guest = code.bound("resources", interface.map(|interface| interface.load(&mut store, &instance)))?;
            guest.call_list_resources(&mut store).await.map_err(|error| code.explain(&store, &error))
        });
        let resources = resources.await?;
        let templates = self.code.list("resource templates", |code, mut store, instance| async move {
            let interface = code.interfaces.resources.as_ref();
            let guest = code.bound("resources", interface.map(|interface| interface.load(&mut store, &instance)))?;
            guest.call_list_templates(&mut store).await.map_err(|error| code.explain(&store, &error))
        });
        Ok((resources, templates.await?))
    }

    /// Reads a resource.
    pub(super) async fn read(&self, uri: &str, context: Box<CallContext>) -> Result<Vec<JsonText>, CallError> {
        if self.code.interfaces.resources.is_none() {
            return Err(CallError::UnknownResource(uri.to_owned()));
        }
        let call_id = context.call_id;
        let asked = uri.to_owned();
        let read = self.code.run(context, move |code, mut store, instance| async move {
            let interface = code.interfaces.resources.as_ref();
            let guest = code.bound("resources", interface.map(|interface| interface.load(&mut store, &instance)))?;
            let read = guest.call_read_resource(&mut store, &asked).await.map_err(|error| code.explain(&store, &error))?;
            let read = read
                .map_err(|error| Failure::Call(protocol_error(error, &store.data().refusals.messages())))?
                .ok_or_else(|| Failure::Call(CallError::UnknownResource(asked)))?;
            let not_json =
                |error| Failure::Call(CallError::Internal(format!("what plugin {} read cannot be sent: {error}", code.shared.id)));
            let bytes = read.iter().map(bytes).sum();
            let read = code.sized(bytes, move || read.into_iter().map(contents).collect::<Result<Vec<_>, _>>());
            let read = read.await?.map_err(not_json)?;
            code.within_output(read.iter().map(|contents| contents.as_str().len()).sum())?;
            Ok(read)
        });
        read.await.map_err(|failure| self.code.as_error(failure, uri, call_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::imports::bindings::toolbay::plugin::types::{Annotations, Icon, Role};
    use serde_json::Value;

    fn note() -> wit::Resource {
        wit::Resource {
            uri: "note:///1".to_owned(),
            name: "one".to_owned(),
            title: None,
            description: None,
            mime_type: None,
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
            extra: None,
        }
    }

    #[test]
    fn every_field_of_a_resource_is_published_under_its_name_in_mcp() {
        let icon = Icon { src: "https://a.example/i.svg".to_owned(), mime_type: None, sizes: Vec::new(), theme: None };
        let full = wit::Resource {
            title: Some("One".to_owned()),
            description: Some("The first.".to_owned()),
            mime_type: Some("text/plain".to_owned()),
            size: Some(7),
            icons: vec![icon],
            annotations: Some(Annotations { audience: vec![Role::User], priority: Some(0.5), last_modified: None }),
            meta: Some(r#"{"m":1}"#.to_owned()),
            extra: Some(r#"{"x":2,"uri":"note:///other"}"#.to_owned()),
            ..note()
        };
        let offer = resource(full).unwrap();
        assert_eq!(offer.key, "note:///1");
        assert_eq!(
            Value::Object(offer.json),
            json!({
                "uri": "note:///1", "name": "one", "title": "One", "description": "The first.", "mimeType": "text/plain", "size": 7,
                "icons": [{ "src": "https://a.example/i.svg" }], "annotations": { "audience": ["user"], "priority": 0.5 }, "_meta": { "m": 1 }, "x": 2,
            })
        );
        assert_eq!(Value::Object(resource(note()).unwrap().json), json!({ "uri": "note:///1", "name": "one" }));
    }

    #[test]
    fn what_cannot_be_published_says_which_and_why() {
        let error = resource(wit::Resource { uri: "notes/1".to_owned(), ..note() }).unwrap_err();
        assert!(error.starts_with("\"notes/1\": it is not an absolute URI"), "{error}");
        let error = resource(wit::Resource { extra: Some("1".to_owned()), ..note() }).unwrap_err();
        assert_eq!(error, "\"note:///1\": its extra is not a JSON object");
    }

    #[test]
    fn text_and_bytes_are_read_as_mcp_has_them() {
        let read = |body, meta: Option<&str>| {
            let mime_type = Some("a/b".to_owned());
            contents(wit::Contents { uri: "note:///1".to_owned(), mime_type, body, meta: meta.map(str::to_owned) }).unwrap()
        };
        let value = |text: &JsonText| serde_json::from_str::<Value>(text.as_str()).unwrap();
        let text = read(ResourceBody::Text("hé".to_owned()), Some(r#"{"m":1}"#));
        assert_eq!(value(&text), json!({ "uri": "note:///1", "mimeType": "a/b", "text": "hé", "_meta": { "m": 1 } }));
        let blob = read(ResourceBody::Blob(vec![0, 255]), Some("[]"));
        assert_eq!(
            value(&blob),
            json!({ "uri": "note:///1", "mimeType": "a/b", "blob": "AP8=" }),
            "a meta that is not an object is left out"
        );
    }
}
