//! Servers that are reached by HTTP: remote MCP servers, and applications that an OpenAPI document
//! describes.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};
use url::Url;

use super::{
    super::{
        Secret,
        headers::{Headers, bearer, http_url},
        key::TypeInfo,
        section::section,
        toml_reader::{Item, Table},
        types::{Boolean, DAY, SECOND, Type, credential, duration, optional, secrets, text, text_or_source},
    },
    UpstreamAuth,
    kind::{OPENAPI, REMOTE},
};

section! {
    /// What is sent with every request.
    pub(super) struct CredentialKeys {
        /// Headers sent with every request: `NAME = "value"`, `NAME = { from_env = "VARIABLE" }` or
        /// `NAME = { from_file = "path" }`.
        headers: HeaderMap = HeaderMap::new(), Headers => only(REMOTE);
        /// Sent as `Authorization: Bearer …`: `{ from_env = "VARIABLE" }` or
        /// `{ from_file = "path" }`.
        bearer: Option<HeaderValue> = None, optional(credential(bearer)) => only(REMOTE);
    }
}

impl CredentialKeys {
    /// All that is sent with every request.
    pub(super) fn headers(self) -> HeaderMap {
        let mut headers = self.headers;
        headers.extend(self.bearer.map(|token| (AUTHORIZATION, token)));
        headers
    }
}

/// `url = "https://tools.example.com/mcp"`.
#[derive(Clone, Debug, PartialEq)]
pub struct UrlSource {
    /// http or https. Key: `url`.
    pub url: Url,
    /// Sent with every request. Keys: `headers`, `bearer`.
    pub headers: HeaderMap,
    /// What it is shown of who calls.
    pub auth: UpstreamAuth,
}

section! {
    /// How an application is reached.
    pub(super) struct OpenApiKeys {
        /// Base URL of the application.
        base_url: Option<Url> = None, optional(text("URL", http_url)) => only(&[OPENAPI]), secret, unset("the document's");
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

/// Where an OpenAPI document is.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentPlace {
    /// An absolute path.
    File(PathBuf),
    /// http or https.
    Url(Url),
}

impl fmt::Display for DocumentPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// `openapi = "classifier.json"`, or a URL.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenApiSource {
    /// Where the document is. Key: `openapi`.
    pub document: DocumentPlace,
    /// Where the application is, in place of the document's `servers`. Key: `base_url`.
    pub base_url: Option<Url>,
    /// How often a document at a URL is asked for again. Zero: never. A file is watched. Key:
    /// `refresh`.
    pub refresh: Duration,
    /// Sent with every request. Keys: `headers`, `bearer`.
    pub headers: HeaderMap,
    /// What it is shown of who calls.
    pub auth: UpstreamAuth,
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
        !self.headers.is_empty() || !self.auth.is_empty() || !self.query.is_empty() || !self.credentials.is_empty()
    }
}

impl OpenApiSource {
    /// An application that this document describes, with the defaults for the rest.
    #[must_use]
    pub fn new(document: DocumentPlace) -> Self {
        let OpenApiKeys { base_url, refresh, query, credentials, follow_references } = OpenApiKeys::default();
        Self {
            document,
            base_url,
            refresh,
            headers: HeaderMap::new(),
            auth: UpstreamAuth::default(),
            query,
            credentials,
            follow_references,
        }
    }
}

/// What no key alone shows to be wrong.
pub(super) fn check_credentials(table: &Table<'_>, credentials: &CredentialKeys) {
    if let Some(bearer) = table.get("bearer")
        && credentials.headers.contains_key(AUTHORIZATION)
    {
        bearer.fail_key("\"headers\" has \"Authorization\" already; keep one of them");
    }
}

/// The name of something of somebody else's.
fn any_name(_: &str) -> Result<(), String> {
    Ok(())
}

/// An OpenAPI document: a file, or a URL.
pub(super) struct Document;

impl Type<DocumentPlace> for Document {
    fn read(&self, item: &Item<'_>) -> Option<DocumentPlace> {
        if item.text()?.contains("://") {
            return item.parsed(http_url).map(DocumentPlace::Url);
        }
        let path = item.file_path()?;
        let path = std::path::absolute(&path).unwrap_or(path);
        if !path.is_file() {
            item.fail(format_args!("there is no file {}; write the path of an OpenAPI document, or its http(s) URL", path.display()));
        }
        Some(DocumentPlace::File(path))
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("path or URL", json!({ "type": "string" }))
    }

    fn write(&self, _: &DocumentPlace) -> Option<Value> {
        None
    }
}
