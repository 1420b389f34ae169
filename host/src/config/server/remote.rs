//! Servers that are reached by HTTP: remote MCP servers, and applications that an OpenAPI document
//! describes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        Secret,
        key::TypeInfo,
        section::section,
        toml_reader::{Item, Table},
        types::{Boolean, DAY, SECOND, Type, credential, duration, optional, secrets, text, text_or_source},
    },
    kind::{OPENAPI, REMOTE},
};

section! {
    /// What is sent with every request.
    pub(super) struct CredentialKeys {
        /// Headers sent with every request: `NAME = "value"`, `NAME = { from_env = "VARIABLE" }` or
        /// `NAME = { from_file = "path" }`.
        headers: BTreeMap<String, Secret> = BTreeMap::new(), secrets(header_name, text_or_source(header_value)) => only(REMOTE);
        /// Sent as `Authorization: Bearer …`: `{ from_env = "VARIABLE" }` or
        /// `{ from_file = "path" }`.
        bearer: Option<Secret> = None, optional(credential(bearer)) => only(REMOTE);
    }
}

/// `url = "https://tools.example.com/mcp"`.
#[derive(Clone, Debug, PartialEq)]
pub struct UrlSource {
    /// http or https. Key: `url`.
    pub url: String,
    /// Sent with every request. Key: `headers`.
    pub headers: BTreeMap<String, Secret>,
    /// Sent as `Authorization: Bearer`. Key: `bearer`.
    pub bearer: Option<Secret>,
}

section! {
    /// How an application is reached.
    pub(super) struct OpenApiKeys {
        /// Base URL of the application.
        base_url: Option<String> = None, optional(text("URL", http_url)) => only(&[OPENAPI]), secret, unset("the document's");
        /// How often to check a document at a URL for changes, by `ETag` if there is
        /// one; `"0s"` never. A file is reread when it changes.
        refresh: Duration = SECOND * 60, duration(Duration::ZERO..=DAY) => only(&[OPENAPI]);
        /// Sent in the query of every request, such as `{ appid = { from_env = "KEY" } }`.
        query: BTreeMap<String, Secret> = BTreeMap::new(), secrets(any_name, text_or_source(Ok)) => only(&[OPENAPI]);
        /// By the name of a security scheme of the document: sent where the scheme says, with the
        /// operations that ask for it. `user:password` for HTTP basic authentication.
        credentials: BTreeMap<String, Secret> = BTreeMap::new(), secrets(any_name, credential(Ok)) => only(&[OPENAPI]);
        /// Read other documents of the same origin that a document at a URL refers to. A document in a
        /// file may always refer to others in its folder.
        follow_references: bool = false, Boolean => only(&[OPENAPI]);
    }
}

/// `openapi = "classifier.json"`, or a URL.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenApiSource {
    /// A file's absolute path, or an http(s) URL. Key: `openapi`.
    pub document: String,
    /// Where the application is, in place of the document's `servers`. Key: `base_url`.
    pub base_url: Option<String>,
    /// How often a document at a URL is asked for again. Zero: never. A file is watched. Key:
    /// `refresh`.
    pub refresh: Duration,
    /// Sent with every request. Key: `headers`.
    pub headers: BTreeMap<String, Secret>,
    /// Sent as `Authorization: Bearer`. Key: `bearer`.
    pub bearer: Option<Secret>,
    /// Sent in the query of every request. Key: `query`.
    pub query: BTreeMap<String, Secret>,
    /// By the name of a security scheme of the document, sent where it says. Key: `credentials`.
    pub credentials: BTreeMap<String, Secret>,
    /// Whether other documents of the same origin are read. Key: `follow_references`.
    pub follow_references: bool,
}

impl OpenApiSource {
    /// Whether there is anything that is meant for the application alone.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.bearer.is_some() || !self.headers.is_empty() || !self.query.is_empty() || !self.credentials.is_empty()
    }
}

impl Default for OpenApiSource {
    fn default() -> Self {
        let OpenApiKeys { base_url, refresh, query, credentials, follow_references } = OpenApiKeys::default();
        let (document, headers) = (String::new(), BTreeMap::new());
        Self { document, base_url, refresh, headers, bearer: None, query, credentials, follow_references }
    }
}

/// What no key alone shows to be wrong.
pub(super) fn check_credentials(table: &Table<'_>, credentials: &CredentialKeys) {
    if let Some(bearer) = table.get("bearer")
        && credentials.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"))
    {
        bearer.fail_key("\"headers\" has \"Authorization\" already; keep one of them");
    }
}

/// A header that may be set: those of the protocol and of the connection are the host's own.
pub(in super::super) fn header_name(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("is not a name of an HTTP header".to_owned());
    }
    let own = ["host", "content-type", "content-length", "accept", "connection", "transfer-encoding", "upgrade"];
    if own.contains(&lower.as_str()) || lower.starts_with("mcp-") {
        return Err("is a header that the host sets itself".to_owned());
    }
    Ok(())
}

/// The name of something of somebody else's.
fn any_name(_: &str) -> Result<(), String> {
    Ok(())
}

fn header_value(value: Secret) -> Result<Secret, String> {
    match http::HeaderValue::from_str(&value.0) {
        Ok(_) => Ok(value),
        Err(_) => Err("holds a character that the value of a header cannot, such as a newline".to_owned()),
    }
}

fn bearer(token: Secret) -> Result<Secret, String> {
    if token.0.is_empty() || !token.0.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token must be visible ASCII without white space".to_owned());
    }
    Ok(token)
}

/// The address of a server.
pub(in super::super) fn http_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("{text:?} is not a URL ({error}); write \"https://host/mcp\""))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        scheme => return Err(format!("{scheme:?} is not spoken here; write an http or https URL")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL holds no password here; write bearer = { from_env = \"VARIABLE\" } or headers".to_owned());
    }
    Ok(text.to_owned())
}

/// An OpenAPI document: a file, or a URL.
pub(super) struct Document;

impl Type<String> for Document {
    fn read(&self, item: &Item<'_>) -> Option<String> {
        if item.text()?.contains("://") {
            return item.parsed(http_url);
        }
        let path = item.file_path()?;
        let path = std::path::absolute(&path).unwrap_or(path);
        if !path.is_file() {
            item.fail(format_args!("there is no file {}; write the path of an OpenAPI document, or its http(s) URL", path.display()));
        }
        Some(path.to_string_lossy().into_owned())
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("path or URL", json!({ "type": "string" }))
    }

    fn write(&self, _: &String) -> Option<Value> {
        None
    }
}
