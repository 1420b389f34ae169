//! Whom to ask for access to a server: its own metadata (RFC 9728), those of its authorization server (RFC 8414), and the registration there (RFC 7591).

use http::{StatusCode, header};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::{
    authorization_server,
    config::{OAuthConfig, server_url},
    credentials::web,
};

/// What is known of a server and its authorization server.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What tokens are for (RFC 8707).
    pub(super) resource: String,
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) registration_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
    /// To ask for, where the configuration names none.
    pub(super) scopes: Vec<String>,
}

#[derive(Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

#[derive(Deserialize)]
struct ServerMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    registration_endpoint: Option<String>,
    #[serde(default)]
    revocation_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
}

/// The client that this host is at an authorization server.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Registered {
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) client_secret: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_method: Option<String>,
}

/// Finds out whom to ask.
///
/// # Errors
///
/// A sentence.
pub(super) async fn discover(client: &Client, server: &Url, config: &OAuthConfig) -> Result<Found, String> {
    let (metadata, asked) = resource(client, server).await?;
    let (resource, issuers, supported) = match metadata {
        Some(ResourceMetadata { resource, authorization_servers, scopes_supported }) => (resource, authorization_servers, scopes_supported),
        // Before there was such metadata, a server was its own authorization server.
        None => (server.to_string(), vec![server.origin().ascii_serialization()], Vec::new()),
    };
    let issuer = match &config.issuer {
        Some(issuer) => issuer.clone(),
        None => issuers.into_iter().next().ok_or_else(|| format!("the metadata of {} names no authorization server", place(server)))?,
    };
    server_url(&issuer).map_err(|error| format!("the authorization server of {}: {error}", place(server)))?;
    let (_, found): (_, ServerMetadata) = authorization_server::metadata(client, &issuer, web::LARGEST).await?;
    if found.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
        return Err(format!("the metadata of {issuer} says that the issuer is {:?}", found.issuer));
    }
    if found.code_challenge_methods_supported.as_ref().is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
        return Err(format!("the authorization server {issuer} does not know PKCE (S256), without which nobody is sent there"));
    }
    let checked = |name: &str, url: String| server_url(&url).map_err(|error| format!("{name} of {issuer}: {error}"));
    let scopes = if asked.is_empty() { supported } else { asked };
    Ok(Found {
        resource,
        authorization_endpoint: checked("authorization_endpoint", found.authorization_endpoint)?,
        token_endpoint: checked("token_endpoint", found.token_endpoint)?,
        registration_endpoint: found.registration_endpoint.map(|url| checked("registration_endpoint", url)).transpose()?,
        revocation_endpoint: found.revocation_endpoint.map(|url| checked("revocation_endpoint", url)).transpose()?,
        scopes: if config.scopes.is_empty() { scopes } else { config.scopes.clone() },
        issuer: found.issuer,
    })
}

/// The metadata of a server, and the scopes that it asks for. None: it has none.
async fn resource(client: &Client, server: &Url) -> Result<(Option<ResourceMetadata>, Vec<String>), String> {
    let failed = |error: reqwest::Error| authorization_server::unreachable(&place(server), &error);
    let response = client.get(server.clone()).header(header::ACCEPT, "text/event-stream").send().await.map_err(failed)?;
    let challenge = response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    drop(response);
    let scopes =
        parameter(&challenge, "scope").map(|scopes| scopes.split_ascii_whitespace().map(str::to_owned).collect()).unwrap_or_default();
    let (origin, path) = (server.origin().ascii_serialization(), server.path().trim_end_matches('/'));
    let named = parameter(&challenge, "resource_metadata").filter(|url| server_url(url).is_ok());
    let well_known = "/.well-known/oauth-protected-resource";
    let places = named.into_iter().chain([format!("{origin}{well_known}{path}"), format!("{origin}{well_known}")]);
    for address in places {
        let Ok(text) = authorization_server::get(client, &address, web::LARGEST).await else { continue };
        let Ok(metadata) = serde_json::from_slice::<ResourceMetadata>(&text) else { continue };
        // RFC 9728, 3.3: metadata of something else is not to be used.
        let is_its = Url::parse(&metadata.resource)
            .is_ok_and(|resource| resource.origin() == server.origin() && server.path().starts_with(resource.path().trim_end_matches('/')));
        if !is_its {
            return Err(format!("{address} is about {}, and not about {}", metadata.resource, place(server)));
        }
        return Ok((Some(metadata), scopes));
    }
    Ok((None, scopes))
}

/// Registers this host as a client.
///
/// # Errors
///
/// A sentence.
pub(super) async fn register(client: &Client, found: &Found, redirect: &str) -> Result<Registered, String> {
    let Some(address) = &found.registration_endpoint else {
        return Err(format!(
            "the authorization server {} registers nobody by itself: register a client there, and write client_id",
            found.issuer
        ));
    };
    let wanted = json!({
        "client_name": "Toolbay", "redirect_uris": [redirect], "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "token_endpoint_auth_method": "none", "scope": found.scopes.join(" "),
    });
    let request = client.post(address).header(header::CONTENT_TYPE, "application/json").header(header::ACCEPT, "application/json");
    let response = request.body(wanted.to_string()).send().await.map_err(|error| authorization_server::unreachable(address, &error))?;
    let status = response.status();
    let text = authorization_server::read(response, web::LARGEST).await.map_err(|why| format!("{address} {why}"))?;
    if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
        return Err(format!("{address} answers {status}{}", web::refusal(&text)));
    }
    serde_json::from_slice(&text).map_err(|_| format!("{address} answers with something that has no client_id"))
}

/// A parameter of `WWW-Authenticate`, whose values may be quoted.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    // The scheme comes first.
    let mut rest = challenge.split_once(' ').map_or("", |(_, rest)| rest);
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_matches([' ', ',']).rsplit([' ', ',']).next().unwrap_or_default();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once([',', ' ']).unwrap_or((after, "")),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = next;
    }
}

fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_and_without_quotes() {
        let challenge = r#"Bearer realm="x, scope=wrong", error=invalid_token, scope="a b", resource_metadata="https://a/b?c=1""#;
        assert_eq!(parameter(challenge, "resource_metadata").as_deref(), Some("https://a/b?c=1"));
        assert_eq!(parameter(challenge, "error").as_deref(), Some("invalid_token"));
        assert_eq!(parameter(challenge, "scope").as_deref(), Some("a b"));
        assert_eq!(parameter("Bearer scope=\"a b\"", "scope").as_deref(), Some("a b"));
        assert_eq!(parameter("Bearer xscope=a", "scope"), None);
        assert_eq!(parameter("", "scope"), None);
    }
}
