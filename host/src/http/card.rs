//! Being found: the server card of each MCP endpoint, and the catalog of all cards (SEP-2127 and its extension, July 2026).
//!
//! Anybody may read them, from any page, so they say no more than anybody may know: where the endpoint is and how one authenticates. On loopback
//! only pages may that can call this server anyway: no page in the web is to learn what runs on a person's machine.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header, request::Parts, uri::Authority};
use serde_json::{Map, Value, json};

use super::{admission::Admission, answer, origin, path::MCP_PATH};
use crate::{config::HttpConfig, mcp::Front};

const CARD_TYPE: HeaderValue = HeaderValue::from_static("application/mcp-server-card+json");
const CATALOG_TYPE: HeaderValue = HeaderValue::from_static("application/ai-catalog+json");
const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json";
/// "SHOULD": what is said changes with the configuration only.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// Where the catalog is.
const CATALOG: &str = "/.well-known/ai-catalog.json";
/// Where older drafts have the card of the only endpoint.
const EARLIER: [&str; 2] = ["/.well-known/mcp/server-card", "/.well-known/mcp/server-card.json"];
/// Behind the path of an endpoint.
const CARD: &str = "/server-card";

/// Revisions that are served, the newest first.
const REVISIONS: [&str; 5] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// What both documents are made of.
pub(super) struct Cards {
    admission: Arc<Admission>,
    front: Option<Arc<Front>>,
    version: &'static str,
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum About<'a> {
    Catalog,
    /// The card of an endpoint: that of everything, or of the one with this name.
    Card(Option<&'a str>),
}

impl<'a> About<'a> {
    fn of(path: &'a str) -> Option<Self> {
        if path == CATALOG {
            return Some(Self::Catalog);
        }
        if EARLIER.contains(&path) {
            return Some(Self::Card(None));
        }
        let endpoint = path.strip_suffix(CARD)?.strip_suffix(MCP_PATH)?;
        match endpoint.strip_prefix('/') {
            None if endpoint.is_empty() => Some(Self::Card(None)),
            Some(name) if !name.is_empty() && !name.contains('/') => Some(Self::Card(Some(name))),
            _ => None,
        }
    }
}

impl Cards {
    pub(super) fn new(admission: Arc<Admission>, front: Option<Arc<Front>>, version: &'static str) -> Self {
        Self { admission, front, version }
    }

    /// The answer to a browser that asks before a page of any origin reads one. None: this is no such question.
    pub(super) fn preflight(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
        let asks = *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let asked = || authority(uri, headers).is_none_or(|authority| is_loopback(authority.host()));
        let is_local = Place::told(&self.admission).map_or_else(asked, |place| is_loopback(&place.host));
        if !asks || is_local || About::of(uri.path()).is_none() || !self.are_shown() {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let out = response.headers_mut();
        out.extend(open_to_pages());
        out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        Some(response)
    }

    /// The document at a path. None: there is none, or nobody is to find this server.
    pub(super) fn get(&self, head: &Parts) -> Option<Response<Body>> {
        let about = About::of(head.uri.path())?;
        let front = self.front.as_ref().filter(|_| self.are_shown() && matches!(head.method, Method::GET | Method::HEAD))?;
        let place = match Place::of(&self.admission, head) {
            Ok(place) => place,
            Err(refusal) => return Some(*refusal),
        };
        let settings = self.admission.settings().load();
        let document = match about {
            About::Catalog => {
                let names: Vec<String> = front.open_endpoints();
                let entries =
                    [None].into_iter().chain(names.iter().map(|name| Some(name.as_str()))).map(|name| place.entry(&settings.config, name));
                json!({ "specVersion": "1.0", "entries": entries.collect::<Vec<_>>() })
            }
            About::Card(name) => {
                // Who has no token learns nothing of plugins and servers.
                let is_known = |name: &str| {
                    let is_open = settings.auth.is_open() && front.catalog_of(name, None).is_some();
                    is_open || front.open_endpoints().iter().any(|known| known == name)
                };
                name.is_none_or(is_known).then(|| self.card(&place, &settings.config, settings.auth.is_open(), name))?
            }
        };
        let kind = if about == About::Catalog { CATALOG_TYPE } else { CARD_TYPE };
        let mut response = answer::tagged(&head.headers, kind, document.to_string(), CACHE);
        if !is_loopback(&place.host) {
            response.headers_mut().extend(open_to_pages());
        }
        Some(response)
    }

    fn are_shown(&self) -> bool {
        let settings = self.admission.settings().load();
        settings.config.card.unwrap_or(settings.auth.is_open())
    }

    fn card(&self, place: &Place, config: &HttpConfig, is_open: bool, name: Option<&str>) -> Value {
        let mut remote = Map::new();
        remote.insert("type".to_owned(), "streamable-http".into());
        remote.insert("url".to_owned(), place.endpoint(name).into());
        remote.insert("supportedProtocolVersions".to_owned(), json!(REVISIONS));
        if !is_open && !place.has_oauth {
            let token = json!({ "name": "Authorization", "description": "Bearer TOKEN, of the server's operator", "isRequired": true, "isSecret": true });
            remote.insert("headers".to_owned(), json!([token]));
        }
        let title = config.card_title.as_deref().unwrap_or("Toolbay");
        let description = config.card_description.as_deref().unwrap_or("Tools of plugins and servers behind one endpoint");
        json!({
            "$schema": SCHEMA,
            "name": place.name(config, name),
            "version": self.version,
            "title": name.map_or_else(|| title.to_owned(), |name| format!("{title}: {name}")).chars().take(100).collect::<String>(),
            "description": description,
            "remotes": [remote],
        })
    }
}

/// Where this server is, for who asks.
struct Place {
    /// Without a slash at its end.
    base: String,
    host: String,
    has_oauth: bool,
}

impl Place {
    /// The address that the operator gave, or the one that was asked.
    fn of(admission: &Admission, head: &Parts) -> Result<Self, Box<Response<Body>>> {
        let mut headers = head.headers.clone();
        // From which page it is asked does not matter here.
        headers.remove(header::ORIGIN);
        let settings = admission.settings().load();
        settings.origins.check(&head.uri, &headers)?;
        if let Some(place) = Self::told(admission) {
            return Ok(place);
        }
        let authority = authority(&head.uri, &headers).unwrap_or_else(|| Authority::from_static("localhost"));
        let scheme = if settings.config.tls.is_some() { "https" } else { "http" };
        Ok(Self { base: format!("{scheme}://{authority}"), host: authority.host().to_owned(), has_oauth: false })
    }

    /// The address that the operator gave.
    fn told(admission: &Admission) -> Option<Self> {
        let settings = admission.settings().load();
        let (url, has_oauth) = match settings.auth.public_url() {
            Some(url) => (url.whole(), true),
            None => (settings.config.card_url.clone()?, false),
        };
        let base = url.strip_suffix(MCP_PATH).unwrap_or(&url).to_owned();
        let host = url::Url::parse(&base).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        Some(Self { base, host, has_oauth })
    }

    fn endpoint(&self, name: Option<&str>) -> String {
        match name {
            None => format!("{}{MCP_PATH}", self.base),
            Some(name) => format!("{}/{name}{MCP_PATH}", self.base),
        }
    }

    /// The name of a card: the host's backwards, and the server's.
    fn name(&self, config: &HttpConfig, endpoint: Option<&str>) -> String {
        let name = config.card_name.clone().unwrap_or_else(|| format!("{}/toolbay", reversed(&self.host)));
        endpoint.map_or_else(|| name.clone(), |endpoint| format!("{name}-{endpoint}"))
    }

    /// An entry of the catalog.
    fn entry(&self, config: &HttpConfig, endpoint: Option<&str>) -> Value {
        let name = self.name(config, endpoint);
        let own = name.rsplit_once('/').map_or(name.as_str(), |(_, own)| own);
        json!({
            "identifier": format!("urn:air:{}:mcp:{own}", if is_name(&self.host) { self.host.as_str() } else { "localhost" }),
            "type": "application/mcp-server-card+json",
            "url": format!("{}{CARD}", self.endpoint(endpoint)),
        })
    }
}

/// The name by which this server was asked for.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(Authority::as_str));
    asked?.parse().ok()
}

/// Whether it is a name of this machine, those included that the check of `Host` does not trust.
fn is_loopback(host: &str) -> bool {
    origin::is_loopback(host.trim_start_matches('[').trim_end_matches(']')) || host.ends_with(".localhost")
}

fn is_name(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_err()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        && !host.is_empty()
}

/// `com.example.tools`. An address of digits has no such form.
fn reversed(host: &str) -> String {
    if is_name(host) { host.rsplit('.').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".") } else { "localhost".to_owned() }
}

/// "MUST": a page of any origin may read it.
fn open_to_pages() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type, If-None-Match")),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_a_card_behind_its_path() {
        for (path, about) in [
            ("/mcp/server-card", Some(About::Card(None))),
            ("/.well-known/mcp/server-card.json", Some(About::Card(None))),
            ("/weather/mcp/server-card", Some(About::Card(Some("weather")))),
            ("/.well-known/ai-catalog.json", Some(About::Catalog)),
            ("/server-card", None),
            ("//mcp/server-card", None),
            ("/a/b/mcp/server-card", None),
            ("/mcp/server-card/", None),
            ("/mcp", None),
        ] {
            assert_eq!(About::of(path), about, "{path}");
        }
    }

    #[test]
    fn a_persons_own_machine_is_known_by_all_its_names() {
        assert!(["localhost", "LocalHost", "a.localhost", "127.0.0.1", "127.1.2.3", "[::1]", "::1"].iter().all(|host| is_loopback(host)));
        assert!(["tools.example.com", "10.0.0.1", "[::2]", "localhost.example.com", ""].iter().all(|host| !is_loopback(host)));
    }

    #[test]
    fn names_are_those_of_hosts_backwards() {
        let names = ["tools.example.com", "localhost", "127.0.0.1", "[::1]", "", "a..b.", "h\u{f6}st"];
        assert_eq!(names.map(reversed), ["com.example.tools", "localhost", "localhost", "localhost", "localhost", "b.a", "localhost"]);
    }
}
