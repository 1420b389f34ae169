//! What a document says as a whole: its version, where the application is, and which operations there are.

use http::Method;
use url::Url;

use super::{
    Error,
    library::{Flaw, Library},
    tree::Node,
};
use crate::{config::OpenApiSource, provider::ProviderId};

/// Members of a path that are operations (OpenAPI 3.2, 4.9.1), and why some can be no tools.
const METHODS: [(&str, Option<&str>); 9] = [
    ("get", None),
    ("put", None),
    ("post", None),
    ("delete", None),
    ("patch", None),
    ("query", None),
    ("head", Some("HEAD has no answer that a caller could use")),
    ("options", Some("OPTIONS is about HTTP itself")),
    ("trace", Some("TRACE is about HTTP itself")),
];

/// Which specification a document follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V30,
    /// OpenAPI 3.1 or later.
    V31,
}

/// A document that was understood.
pub(super) struct Document<'a> {
    pub(super) library: &'a Library,
    pub(super) root: Node<'a>,
    pub(super) version: Version,
    /// Where it was read.
    pub(super) name: String,
    /// The document's own URL, which addresses in it are relative to.
    url: Option<Url>,
}

/// An operation in the document.
pub(super) struct Found<'a> {
    pub(super) path: &'a str,
    pub(super) method: Method,
    pub(super) operation: Node<'a>,
    pub(super) item: Node<'a>,
}

/// An operation, or why there is none: with what it would be called.
pub(super) type Entry<'a> = Result<Found<'a>, (String, Flaw<'a>)>;

impl<'a> Document<'a> {
    pub(super) fn new(library: &'a Library, name: &str, url: Option<Url>) -> Result<Self, String> {
        let root = library.root().ok_or("it was not read")?;
        let version = match (root.get("openapi"), root.get("swagger")) {
            (Some(version), _) | (None, Some(version)) => version.said(),
            (None, None) => None,
        };
        let Some(version) = version else { return Err("it has no member \"openapi\" that says its version".to_owned()) };
        let version = match version.trim() {
            version if version.starts_with("3.0") || version == "3" => Version::V30,
            // Of later ones all is taken that is known of 3.2; nothing was taken away so far.
            version if version.starts_with("3.") => Version::V31,
            version if version.starts_with('2') => Version::V2,
            version => return Err(format!("it is OpenAPI {version}, and only 2.0 and 3.x are known")),
        };
        Ok(Self { library, root, version, name: name.to_owned(), url })
    }

    /// Where the application is: configured, or as the document says.
    pub(super) fn base(&self, id: &ProviderId, source: &OpenApiSource) -> Result<Base, Error> {
        let none = |reason: String| Error::NoAddress { document: self.name.clone(), reason, server: id.clone() };
        if let Some(configured) = &source.base_url {
            return Ok(Base { url: configured.clone(), is_configured: true });
        }
        let url = match self.version {
            Version::V2 => self.host().map_err(none)?,
            _ => match (self.server(self.root), &self.url) {
                (Some(server), _) => server.map_err(none)?,
                // Without `servers`, the application is where its document is.
                (None, Some(url)) => url.join("/").map_err(|error| none(error.to_string()))?,
                (None, None) => return Err(none("it has no \"servers\"".to_owned())),
            },
        };
        Ok(Base { url, is_configured: false })
    }

    /// Whom secrets are for, where that is not for the document to say: it came from elsewhere, and would have them sent to whomever it names.
    /// A file is the operator's own, and so is `base_url`.
    pub(super) fn credentials_are_for(&self, source: &OpenApiSource) -> Option<url::Origin> {
        let has_some = source.has_secrets();
        self.url.as_ref().filter(|_| has_some && source.base_url.is_none()).map(Url::origin)
    }

    /// Where an operation is, which may be elsewhere than the rest.
    pub(super) fn base_of(&self, found: &Found<'_>, base: &Result<Base, Error>) -> Result<Url, String> {
        let is_configured = base.as_ref().is_ok_and(|base| base.is_configured);
        let own = [found.operation, found.item].into_iter().find_map(|node| self.server(node));
        match (own.filter(|_| !is_configured), base) {
            (Some(own), _) => own,
            (None, Ok(base)) => Ok(base.url.clone()),
            (None, Err(error)) => Err(error.to_string()),
        }
    }

    /// The first of the `servers` of the document, of a path or of an operation that can be used. None: there are none.
    fn server(&self, node: Node<'_>) -> Option<Result<Url, String>> {
        let mut first = None;
        for server in node.get("servers").iter().flat_map(|servers| servers.items()) {
            match self.address(server) {
                Ok(url) => return Some(Ok(url)),
                Err(why) => drop(first.get_or_insert(Err(why))),
            }
        }
        first
    }

    fn address(&self, server: Node<'_>) -> Result<Url, String> {
        let mut text = server.get("url").and_then(Node::said).ok_or_else(|| "a server without \"url\"".to_owned())?;
        for (name, variable) in server.get("variables").iter().flat_map(|variables| variables.members()) {
            let values = variable.get("default").into_iter().chain(variable.get("enum").into_iter().flat_map(Node::items));
            if let Some(value) = values.into_iter().find_map(Node::said) {
                text = text.replace(&format!("{{{name}}}"), &value);
            }
        }
        if let Some((_, variable)) = text.split_once('{') {
            let name = variable.split('}').next().unwrap_or_default();
            return Err(format!("{text:?} has {{{name}}}, and nothing says what that is"));
        }
        self.url_of(text.trim())
    }

    fn url_of(&self, text: &str) -> Result<Url, String> {
        match (&self.url, Url::parse(text)) {
            (Some(own), Err(url::ParseError::RelativeUrlWithoutBase)) => own.join(text).map_err(|error| format!("{text:?}: {error}")),
            _ => http_url(text),
        }
    }

    /// Where Swagger 2.0 says that the application is.
    fn host(&self) -> Result<Url, String> {
        let path = self.root.get_text("basePath").unwrap_or("/");
        let Some(host) = self.root.get_text("host") else {
            return match &self.url {
                Some(url) => url.join(path).map_err(|error| error.to_string()),
                None => Err("it has no \"host\"".to_owned()),
            };
        };
        let schemes: Vec<&str> = self.root.get("schemes").iter().flat_map(|schemes| schemes.items()).filter_map(Node::text).collect();
        let own = self.url.as_ref().map(Url::scheme);
        let scheme = match own {
            Some(own) if schemes.is_empty() || schemes.contains(&own) => own,
            _ if schemes.contains(&"https") || schemes.is_empty() => "https",
            _ => "http",
        };
        http_url(&format!("{scheme}://{}/{}", host.trim_end_matches('/'), path.trim_start_matches('/')))
    }

    /// All operations, in the document's order.
    pub(super) fn operations(&self) -> Vec<Entry<'a>> {
        let mut found = Vec::new();
        let Some(paths) = self.root.get("paths") else { return found };
        if !paths.is_map() {
            found.push(Err(("paths".to_owned(), Flaw::new(paths, "it is not an object"))));
        }
        for (path, item) in paths.members().filter(|(path, _)| !path.starts_with("x-")) {
            self.of_path(path, item, &mut found);
        }
        found
    }

    fn of_path(&self, path: &'a str, written: Node<'a>, found: &mut Vec<Entry<'a>>) {
        let item = match self.library.followed(written) {
            Ok(item) if item.is_map() => item,
            Ok(item) => {
                let what = if item.is_null() { "it is null" } else { "it is not an object" };
                return found.push(Err((path.to_owned(), Flaw::new(item, format!("{what}, and operations by their methods are needed")))));
            }
            Err(flaw) => return found.push(Err((path.to_owned(), flaw))),
        };
        // What stands beside a reference counts too.
        let all = if written.id() == item.id() { vec![item] } else { vec![item, written] };
        for (name, operation) in all.iter().flat_map(|item| item.members()) {
            if let Some((_, withheld)) = METHODS.iter().find(|(method, _)| *method == name.to_ascii_lowercase()) {
                found.push(self.of_method(path, &name.to_ascii_uppercase(), operation, item, *withheld));
            } else if name == "additionalOperations" {
                found.extend(operation.members().map(|(method, operation)| self.of_method(path, method, operation, item, None)));
            }
        }
    }

    fn of_method(&self, path: &'a str, name: &str, written: Node<'a>, item: Node<'a>, withheld: Option<&str>) -> Entry<'a> {
        let flaw = |node: Node<'a>, why: &str| (format!("{name} {path}"), Flaw::new(node, why));
        if let Some(why) = withheld {
            return Err(flaw(written, why));
        }
        let operation = self.library.followed(written).map_err(|flaw| (format!("{name} {path}"), flaw))?;
        if !operation.is_map() {
            return Err(flaw(operation, "it is not an object"));
        }
        let method = Method::from_bytes(name.as_bytes()).map_err(|_| flaw(operation, "its method is none"))?;
        if method == Method::CONNECT {
            return Err(flaw(operation, "CONNECT is about HTTP itself"));
        }
        Ok(Found { path, method, operation, item })
    }

    /// The media types that an operation of Swagger 2.0 takes or gives.
    pub(super) fn media_types(&self, found: &Found<'a>, member: &str) -> Vec<&'a str> {
        let own = found.operation.get(member).filter(|own| own.len() > 0).or(self.root.get(member));
        own.into_iter().flat_map(Node::items).filter_map(Node::text).collect()
    }

    /// The good answers of an operation.
    pub(super) fn answers(&self, found: &Found<'a>) -> Vec<Node<'a>> {
        let responses = found.operation.get("responses");
        let good = responses.into_iter().flat_map(Node::members).filter(|(status, _)| status.starts_with('2'));
        good.filter_map(|(_, response)| self.library.followed(response).ok()).collect()
    }

    /// The schemas of the JSON that an operation answers when all went well. None: it may also be something else.
    pub(super) fn answer(&self, found: &Found<'a>) -> Vec<Node<'a>> {
        let mut schemas = Vec::new();
        for response in self.answers(found) {
            if self.version == Version::V2 {
                let kinds = self.media_types(found, "produces");
                let json = kinds.is_empty() || kinds.iter().any(|kind| is_json(kind) || kind.contains('*'));
                schemas.extend(response.get("schema").filter(|_| json));
                continue;
            }
            let content = response.get("content").into_iter().flat_map(Node::members);
            let json = content.filter(|(kind, _)| is_json(kind) || bare(kind) == "*/*");
            schemas.extend(json.filter_map(|(_, media)| self.library.followed(media).ok()?.get("schema")).next());
        }
        schemas
    }
}

/// Where the application is.
pub(super) struct Base {
    url: Url,
    /// The operator said so, and what the document says does not count.
    is_configured: bool,
}

/// A media type without its parameters.
pub(super) fn bare(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a media type is JSON.
pub(super) fn is_json(kind: &str) -> bool {
    let kind = bare(kind);
    kind == "application/json" || kind.ends_with("+json") || kind == "text/json"
}

/// Whether a media type is one piece of JSON after the other.
pub(super) fn is_json_lines(kind: &str) -> bool {
    let kind = bare(kind);
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    matches!(kind, "x-ndjson" | "ndjson" | "jsonl" | "x-jsonl" | "jsonlines" | "x-jsonlines" | "json-seq" | "stream+json" | "x-json-stream")
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?}: {error}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(format!("{text:?} is not an http or https address"))
    }
}
