//! The document: JSON or YAML, 3.0 or 3.1, taken apart into what is parsed by type and the schemas, which stay as they are.

use http::Method;
use oas3::spec::{MediaType, ObjectOrReference, Parameter, RequestBody, Response, Schema, Server, Spec};
use serde_json::{Map, Value, json};
use url::Url;

use super::Error;
use crate::{config::OpenApiSource, provider::ProviderId};

/// Methods that can be tools. OPTIONS and TRACE are about HTTP itself, and the answer to HEAD is nothing that a caller could use.
const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];

/// A document that was understood.
pub(super) struct Document {
    /// Everything but schemas.
    spec: Spec,
    /// The whole document as it was written, for references into it.
    pub(super) raw: Value,
    /// The schemas of `spec`, by the number that stands in their place.
    lifted: Vec<Value>,
    /// Whether schemas are those of OpenAPI 3.0.
    pub(super) old: bool,
    /// Where it was read.
    pub(super) name: String,
    /// The document's own URL, which addresses in it are relative to.
    url: Option<Url>,
}

/// An operation in the document.
pub(super) struct Found<'a> {
    pub(super) path: &'a str,
    pub(super) method: Method,
    pub(super) operation: &'a oas3::spec::Operation,
    item: &'a oas3::spec::PathItem,
}

impl Document {
    pub(super) fn parse(text: &str, name: &str, url: Option<Url>) -> Result<Self, String> {
        let raw: Value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?
        } else {
            yaml_serde::from_str(text).map_err(|error| format!("it is neither JSON nor YAML: {error}"))?
        };
        let version = match (raw.get("openapi"), raw.get("swagger")) {
            (Some(Value::String(version)), _) => version.clone(),
            // YAML: `openapi: 3.1` is a number.
            (Some(Value::Number(version)), _) => version.to_string(),
            (_, Some(version)) => return Err(format!("it is Swagger {version}, and OpenAPI 3.0 or 3.1 is needed: convert it first")),
            _ => return Err("it has no member \"openapi\" that says its version".to_owned()),
        };
        let old = version.starts_with("3.0");
        if !old && !version.starts_with("3.1") {
            return Err(format!("it is OpenAPI {version}, and only 3.0 and 3.1 are known"));
        }
        let mut shape = raw.clone();
        if let Some(members) = shape.as_object_mut() {
            members.insert("openapi".to_owned(), version.into());
            // What they are good for is not done here, and what is wrong in them should not matter.
            for member in ["webhooks", "tags", "externalDocs", "security", "jsonSchemaDialect"] {
                members.shift_remove(member);
            }
            // Only the title and the version have to be there, and nobody reads them.
            members.insert("info".to_owned(), json!({ "title": "", "version": "" }));
        }
        if let Some(components) = shape.get_mut("components").and_then(Value::as_object_mut) {
            components.retain(|kind, _| matches!(kind.as_str(), "parameters" | "requestBodies" | "responses"));
        }
        let paths = shape.get_mut("paths").and_then(Value::as_object_mut);
        for item in paths.into_iter().flat_map(Map::values_mut) {
            let reference = item.get("$ref").and_then(Value::as_str).map(str::to_owned);
            if let Some(found) = reference.and_then(|reference| raw.pointer(reference.strip_prefix('#')?)) {
                *item = found.clone();
            }
        }
        let mut lifted = Vec::new();
        lift(&mut shape, false, &mut lifted);
        let spec = serde_json::from_value(shape).map_err(|error| error.to_string())?;
        Ok(Self { spec, raw, lifted, old, name: name.to_owned(), url })
    }

    /// Where the application is: configured, or as the document says.
    pub(super) fn base(&self, id: &ProviderId, source: &OpenApiSource) -> Result<Base, Error> {
        let none = |reason: String| Error::NoAddress { document: self.name.clone(), reason, server: id.clone() };
        if let Some(configured) = &source.base_url {
            return Ok(Base { url: http_url(configured).map_err(|reason| none(format!("base_url: {reason}")))?, is_configured: true });
        }
        let url = match (self.spec.servers.first(), &self.url) {
            (Some(server), _) => self.address(server).map_err(none)?,
            // Without `servers`, the application is where its document is.
            (None, Some(url)) => url.join("/").map_err(|error| none(error.to_string()))?,
            (None, None) => return Err(none("it has no \"servers\"".to_owned())),
        };
        Ok(Base { url, is_configured: false })
    }

    /// Whom `headers` and `bearer` are for, where that is not for the document to say: it came from elsewhere, and would have them sent to whomever it names.
    /// A file is the operator's own, and so is `base_url`.
    pub(super) fn credentials_are_for(&self, source: &OpenApiSource) -> Option<url::Origin> {
        let has_some = source.bearer.is_some() || !source.headers.is_empty();
        self.url.as_ref().filter(|_| has_some && source.base_url.is_none()).map(Url::origin)
    }

    /// Where an operation is, which may be elsewhere than the rest.
    pub(super) fn base_of(&self, found: &Found<'_>, base: &Base) -> Result<Url, String> {
        match found.operation.servers.first().or(found.item.servers.first()).filter(|_| !base.is_configured) {
            Some(server) => self.address(server),
            None => Ok(base.url.clone()),
        }
    }

    fn address(&self, server: &Server) -> Result<Url, String> {
        let mut text = server.url.clone();
        for (name, variable) in &server.variables {
            text = text.replace(&format!("{{{name}}}"), &variable.default);
        }
        match (&self.url, Url::parse(&text)) {
            (Some(own), Err(url::ParseError::RelativeUrlWithoutBase)) => own.join(&text).map_err(|error| format!("{text:?}: {error}")),
            _ => http_url(&text),
        }
    }

    pub(super) fn operations(&self) -> Vec<Found<'_>> {
        let items = self.spec.paths.iter().flatten();
        let found = items.flat_map(|(path, item)| {
            item.methods().into_iter().filter(|(method, _)| METHODS.contains(method)).map(|(method, operation)| Found {
                path,
                method,
                operation,
                item,
            })
        });
        found.collect()
    }

    /// The parameters of an operation, those of its path among them where it does not have them itself.
    pub(super) fn parameters(&self, found: &Found<'_>) -> Result<Vec<Parameter>, String> {
        let resolve = |list: &[ObjectOrReference<Parameter>]| {
            list.iter().map(|parameter| parameter.resolve(&self.spec)).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
        };
        let mut parameters = resolve(&found.operation.parameters)?;
        for shared in resolve(&found.item.parameters)? {
            if !parameters.iter().any(|own| own.name == shared.name && own.location == shared.location) {
                parameters.push(shared);
            }
        }
        Ok(parameters)
    }

    pub(super) fn body(&self, found: &Found<'_>) -> Result<Option<RequestBody>, String> {
        found.operation.request_body(&self.spec).map_err(|error| error.to_string())
    }

    /// The schema of the JSON that an operation answers when all went well.
    pub(super) fn answer(&self, found: &Found<'_>) -> Option<&Value> {
        let responses = found.operation.responses.as_ref()?;
        let mut good: Vec<(&String, &ObjectOrReference<Response>)> =
            responses.iter().filter(|(status, _)| status.starts_with('2')).collect();
        good.sort_by_key(|(status, _)| status.as_str());
        // Of two that could be it, each would have to be checked for what it is not.
        let [(_, response)] = good.as_slice() else { return None };
        let response = response.resolve(&self.spec).ok()?;
        let (_, media) = response.content.iter().find(|(kind, _)| is_json(kind))?;
        self.schema_of(media)
    }

    /// The schema of a body or an answer.
    pub(super) fn schema_of(&self, media: &MediaType) -> Option<&Value> {
        self.schema(media.schema.as_ref()?)
    }

    /// The schema that stood in this place.
    pub(super) fn schema(&self, stub: &Schema) -> Option<&Value> {
        let Schema::Object(object) = stub else { return None };
        let ObjectOrReference::Ref { ref_path, .. } = &**object else { return None };
        self.lifted.get(ref_path.strip_prefix(LIFTED)?.parse::<usize>().ok()?)
    }
}

/// Where the application is.
pub(super) struct Base {
    url: Url,
    /// The operator said so, and what the document says does not count.
    is_configured: bool,
}

/// Whether a media type is JSON.
pub(super) fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json") || kind == "text/json"
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?}: {error}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(format!("{text:?} is not an http or https address"))
    }
}

/// Stands in the place of a schema, with its number behind it.
const LIFTED: &str = "#/components/schemas/lifted-";

/// Members whose keys are names that somebody chose, so that no key of theirs means anything.
const NAMED: [&str; 7] = ["paths", "parameters", "requestBodies", "responses", "headers", "content", "variables"];

/// Takes the schemas out, which the parser's types would lose parts of, and the examples, which may look like anything. `named`: the keys are names.
fn lift(value: &mut Value, named: bool, lifted: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            if !named {
                let dropped = ["example", "examples", "callbacks", "links", "security"];
                members.retain(|name, _| !dropped.contains(&name.as_str()) && !name.starts_with("x-"));
            }
            for (name, member) in members {
                if !named && name == "schema" && (member.is_object() || member.is_boolean()) {
                    let stub = json!({ "$ref": format!("{LIFTED}{}", lifted.len()) });
                    lifted.push(std::mem::replace(member, stub));
                } else {
                    lift(member, !named && member.is_object() && NAMED.contains(&name.as_str()), lifted);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lift(item, false, lifted)),
        _ => {}
    }
}
