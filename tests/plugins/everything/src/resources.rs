//! The interface `resources`: text, bytes, and a template that answers for any id.

use serde_json::json;

use crate::{
    Everything,
    content::PNG,
    exports::toolbay::plugin::resources::{Contents, Error, Guest, Resource, ResourceBody, Template},
};

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";

/// Address, name, description, type.
const RESOURCES: [(&str, &str, &str, &str); 3] = [
    (TEXT, "static-text", "Text that is always the same", "text/plain"),
    (BINARY, "static-binary", "A picture that is always the same", "image/png"),
    (WATCHED, "watched-resource", "Text that a client can be told of when it changes", "text/plain"),
];

/// The addresses of the template lie between these two; what is in the middle is the id.
const BEFORE: &str = "test://template/";
const AFTER: &str = "/data";

impl Guest for Everything {
    fn list_resources() -> Result<Vec<Resource>, Error> {
        let resource = |(uri, name, description, mime_type): (&str, &str, &str, &str)| Resource {
            uri: uri.into(),
            name: name.into(),
            title: None,
            description: Some(description.into()),
            mime_type: Some(mime_type.into()),
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
            extra: None,
        };
        Ok(RESOURCES.into_iter().map(resource).collect())
    }

    fn list_templates() -> Result<Vec<Template>, Error> {
        Ok(vec![Template {
            uri_template: format!("{BEFORE}{{id}}{AFTER}"),
            name: "template".into(),
            title: None,
            description: Some("Data of any id".into()),
            mime_type: Some("application/json".into()),
            icons: Vec::new(),
            annotations: None,
            meta: None,
            extra: None,
        }])
    }

    fn read_resource(uri: String) -> Result<Option<Vec<Contents>>, Error> {
        let (mime_type, body) = match uri.as_str() {
            TEXT => ("text/plain", ResourceBody::Text("This is the content of the static text resource.".into())),
            BINARY => ("image/png", ResourceBody::Blob(PNG.into())),
            WATCHED => ("text/plain", ResourceBody::Text("This is the content of the watched resource.".into())),
            other => match id_in(other) {
                Some(id) => {
                    let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
                    ("application/json", ResourceBody::Text(data.to_string()))
                }
                // Not an error of ours: there is none, and the host tells the client so.
                None => return Ok(None),
            },
        };
        Ok(Some(vec![Contents { uri, mime_type: Some(mime_type.into()), body, meta: None }]))
    }
}

/// The id in an address of the template. A variable of a template takes no `/`.
fn id_in(uri: &str) -> Option<&str> {
    let id = uri.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}
