//! What clients of OAuth are told of this server: protected resource metadata (RFC 9728), and where it is.

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;
use url::Url;

use super::{answer, path::MCP_PATH};
use crate::identity::{ALGORITHMS, Issuers};

/// Where the metadata is, before the path of what it is about.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The public address of this server, as its clients are configured with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicUrl {
    origin: String,
    /// Of a server that is not at the root of its origin. Without a slash at its end.
    path: String,
}

/// The document of RFC 9728, 2.
#[derive(Serialize)]
struct Metadata<'a> {
    resource: String,
    authorization_servers: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    dpop_signing_alg_values_supported: &'static [&'static str],
    dpop_bound_access_tokens_required: bool,
    resource_name: &'static str,
}

impl PublicUrl {
    /// None: it is no URL of a server.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok().filter(Url::has_host)?;
        Some(Self { origin: url.origin().ascii_serialization(), path: url.path().trim_end_matches('/').to_owned() })
    }

    /// The endpoint of everything.
    pub(super) fn whole(&self) -> String {
        format!("{}{}{MCP_PATH}", self.origin, self.path)
    }

    /// The MCP endpoint that a request is about by its path: that of one provider, else that of everything.
    pub(super) fn resource(&self, path: &str) -> String {
        format!("{}{}{}", self.origin, self.path, endpoint(path))
    }

    /// What a request is for by its path, without its query.
    pub(super) fn of(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.path)
    }

    /// Where the metadata of that is.
    pub(super) fn metadata_url(&self, path: &str) -> String {
        format!("{}{WELL_KNOWN}{}{}", self.origin, self.path, endpoint(path))
    }

    /// The metadata, if it is what this path asks for. It is there for any provider's name: who has no token learns nothing of providers.
    pub(super) fn metadata(&self, path: &str, issuers: &Issuers) -> Option<Response<Body>> {
        let about = path.strip_prefix(WELL_KNOWN)?;
        let about = about.strip_prefix(self.path.as_str()).unwrap_or(about).trim_end_matches('/');
        let resource = match about {
            "" => self.whole(),
            about if about == endpoint(about) => format!("{}{}{about}", self.origin, self.path),
            _ => return None,
        };
        let metadata = Metadata {
            resource,
            authorization_servers: issuers.identifiers().collect(),
            scopes_supported: issuers.scopes(),
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: ALGORITHMS,
            dpop_bound_access_tokens_required: issuers.require_dpop().0,
            resource_name: "Toolbay",
        };
        Some(answer::json(StatusCode::OK, &metadata))
    }
}

/// The path of the MCP endpoint that a path is about: `/NAME/mcp` below one name, else `/mcp`.
fn endpoint(path: &str) -> String {
    let mut segments = path.trim_matches('/').split('/');
    match (segments.next(), segments.next(), segments.next()) {
        (Some(name), Some("mcp" | "tools" | "call"), None) if is_name(name) => format!("/{name}{MCP_PATH}"),
        _ => MCP_PATH.to_owned(),
    }
}

/// Whether a header can repeat it as it is.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_resource_and_its_metadata() {
        let url = PublicUrl::parse("https://tools.example.com/").unwrap();
        let below = PublicUrl::parse("https://example.com/tools").unwrap();
        for (path, resource) in [
            ("/mcp", "/mcp"),
            ("/mcp/", "/mcp"),
            ("/weather/mcp", "/weather/mcp"),
            ("/weather/call", "/weather/mcp"),
            ("/call", "/mcp"),
            ("/status", "/mcp"),
            ("/a\"b/mcp", "/mcp"),
        ] {
            assert_eq!(url.resource(path), format!("https://tools.example.com{resource}"), "{path}");
            assert_eq!(below.resource(path), format!("https://example.com/tools{resource}"), "{path}");
            assert_eq!(below.metadata_url(path), format!("https://example.com/.well-known/oauth-protected-resource/tools{resource}"));
        }
        let issuers = Issuers::new(&crate::config::AuthConfig::default(), None);
        let is_there = |url: &PublicUrl, path: &str| url.metadata(path, &issuers).is_some();
        for path in ["", "/mcp", "/mcp/", "/weather/mcp"] {
            assert!(is_there(&url, &format!("{WELL_KNOWN}{path}")), "{path}");
            assert!(is_there(&below, &format!("{WELL_KNOWN}{path}")), "{path}");
            assert!(is_there(&below, &format!("{WELL_KNOWN}/tools{path}")), "{path}");
        }
        for path in [
            "/mcp",
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-protected-resource/other",
            "/.well-known/oauth-protected-resource/a/b/mcp",
        ] {
            assert!(!is_there(&url, path), "{path}");
        }
        assert!(PublicUrl::parse("tools.example.com").is_none());
    }
}
