//! Security schemes: what the operator has for the application, and where each operation wants it.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, header};

use super::{
    document::{Document, Found, Version},
    parameter::Place,
    tree::Node,
};
use crate::config::{OpenApiSource, Secret};

/// What is sent with every call of an operation, and is no argument of it.
#[derive(Clone, Default)]
pub(super) struct Applied {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) query: Vec<(String, Secret)>,
    pub(super) cookies: Vec<(String, Secret)>,
    /// Headers of the configuration, in lower case.
    configured: BTreeSet<String>,
}

impl Applied {
    /// Whether a parameter is sent anyhow.
    pub(super) fn has(&self, place: Place, name: &str) -> bool {
        match place {
            Place::Query => self.query.iter().any(|(own, _)| own == name),
            Place::Cookie => self.cookies.iter().any(|(own, _)| own == name),
            Place::Header => {
                self.configured.contains(&name.to_ascii_lowercase())
                    || self.headers.iter().any(|(own, _)| own.as_str().eq_ignore_ascii_case(name))
            }
            _ => false,
        }
    }
}

/// The schemes of a document.
pub(super) struct Security<'a> {
    schemes: Option<Node<'a>>,
    everywhere: Option<Node<'a>>,
    always: Applied,
}

impl<'a> Security<'a> {
    pub(super) fn new(document: &Document<'a>, source: &OpenApiSource) -> Self {
        let root = document.root;
        let schemes = match document.version {
            Version::V2 => root.get("securityDefinitions"),
            _ => root.get("components").and_then(|components| components.get("securitySchemes")),
        };
        let configured: BTreeSet<String> = source.headers.keys().map(ToString::to_string).collect();
        let query = source.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { schemes, everywhere: root.get("security"), always: Applied { query, configured, ..Applied::default() } }
    }

    /// Names of `credentials` that the document does not know, each with what it does know.
    pub(super) fn unknown(&self, source: &OpenApiSource) -> Vec<String> {
        let known: Vec<&str> = self.schemes.into_iter().flat_map(Node::members).map(|(name, _)| name).collect();
        let unknown = source.credentials.keys().filter(|name| !known.contains(&name.as_str()));
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        unknown.map(|name| format!("`credentials` names the security scheme {name:?}, which the document does not have; {known}")).collect()
    }

    /// What an operation is sent with.
    pub(super) fn of(&self, document: &Document<'a>, found: &Found<'a>, source: &OpenApiSource) -> Result<Applied, String> {
        let mut applied = self.always.clone();
        let wanted = found.operation.get("security").or(self.everywhere);
        // Of several ways the first that the operator has all for.
        let ways = wanted.into_iter().flat_map(Node::items);
        let way = ways.filter(|way| way.len() > 0).find(|way| way.members().all(|(name, _)| source.credentials.contains_key(name)));
        for (name, _) in way.into_iter().flat_map(Node::members) {
            let scheme = self.schemes.and_then(|schemes| schemes.get(name));
            let scheme = scheme.and_then(|scheme| document.library.followed(scheme).ok());
            if let (Some(scheme), Some(secret)) = (scheme, source.credentials.get(name)) {
                apply(name, scheme, secret, &mut applied)?;
            }
        }
        Ok(applied)
    }

    /// Whether some operation wants what the operator has nothing for; if so, what to do.
    pub(super) fn wanted(&self, found: &Found<'a>, source: &OpenApiSource) -> Option<String> {
        if source.has_secrets() {
            return None;
        }
        let ways: Vec<Node<'a>> = found.operation.get("security").or(self.everywhere).into_iter().flat_map(Node::items).collect();
        if ways.iter().any(|way| way.len() == 0) {
            return None;
        }
        let (name, _) = ways.first()?.members().next()?;
        let scheme = self.schemes?.get(name)?;
        let kind = match (scheme.get_text("type")?, scheme.get_text("in"), scheme.get_text("name")) {
            ("apiKey", Some(place), Some(key)) => format!("the {place} {key:?}"),
            (kind, ..) => scheme.get_text("scheme").unwrap_or(kind).to_owned(),
        };
        Some(format!(
            "it asks for the security scheme {name:?} ({kind}), for which nothing is configured: add credentials = {{ {name} = … }}"
        ))
    }
}

/// Puts a secret where its scheme wants it.
fn apply(name: &str, scheme: Node<'_>, secret: &Secret, applied: &mut Applied) -> Result<(), String> {
    let value = |text: String| {
        let mut value =
            HeaderValue::try_from(text).map_err(|_| format!("the credential {name:?} has characters that a header cannot have"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let kind = scheme.get_text("type").unwrap_or_default();
    let is_basic = kind == "basic" || scheme.get_text("scheme").is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"));
    match (kind, scheme.get_text("in"), scheme.get_text("name")) {
        ("apiKey", Some("query"), Some(key)) => applied.query.push((key.to_owned(), secret.clone())),
        ("apiKey", Some("cookie"), Some(key)) => applied.cookies.push((key.to_owned(), secret.clone())),
        ("apiKey", _, Some(key)) => {
            let key =
                HeaderName::try_from(key).map_err(|_| format!("the security scheme {name:?} wants a header {key:?}, which is none"))?;
            applied.headers.push((key, value(secret.0.clone())?));
        }
        // `user:password`, as curl takes it.
        ("http" | "basic", ..) if is_basic => {
            applied.headers.push((header::AUTHORIZATION, value(format!("Basic {}", BASE64_STANDARD.encode(&secret.0)))?));
        }
        ("http" | "oauth2" | "openIdConnect", ..) => {
            applied.headers.push((header::AUTHORIZATION, value(format!("Bearer {}", secret.0))?));
        }
        _ => return Err(format!("the security scheme {name:?} is of the type {kind:?}, for which nothing can be sent")),
    }
    Ok(())
}
