//! What an authorization server says of itself, and how it is asked: one client of HTTP, its
//! limits, and discovery.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Client, Response, redirect::Policy};
use serde::Deserialize;
use url::Url;

use crate::tls;

/// How long an authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of what it answers: its metadata, its keys, or what a token means.
const LARGEST: usize = 1 << 20;

/// The metadata of an issuer (RFC 8414, or OpenID Connect Discovery), as far as it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    introspection_endpoint: Option<String>,
    #[serde(default)]
    introspection_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// A client for questions to an authorization server. What is configured is asked, and nobody else.
pub(super) fn client() -> Result<Client, String> {
    let builder = || Client::builder().timeout(TIMEOUT).redirect(Policy::none()).user_agent(concat!("toolbay/", env!("CARGO_PKG_VERSION")));
    tls::client(builder, |_| {}).map_err(|error| format!("cannot set up HTTP: {}", tls::cause(&error)))
}

impl Metadata {
    /// That of an issuer.
    ///
    /// # Errors
    ///
    /// Where it was looked for, and what was there.
    pub(super) async fn of(client: &Client, issuer: &str) -> Result<Self, String> {
        let url = Url::parse(issuer).map_err(|error| error.to_string())?;
        let path = url.path().trim_end_matches('/');
        let origin = url.origin().ascii_serialization();
        let mut errors = Vec::new();
        for address in [
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
            format!("{origin}{path}/.well-known/openid-configuration"),
            format!("{origin}/.well-known/openid-configuration{path}"),
        ] {
            let found = get(client, &address).await.and_then(|text| {
                serde_json::from_slice::<Self>(&text).map_err(|error| format!("{address} is not metadata of an issuer: {error}"))
            });
            match found {
                Ok(found) if found.issuer != issuer => {
                    return Err(format!(
                        "{address} says that the issuer is {:?}; write it so in the configuration, with or without a slash",
                        found.issuer
                    ));
                }
                Ok(found) => return Ok(found),
                Err(error) => errors.push(error),
            }
        }
        errors.dedup();
        Err(errors.join("; "))
    }

    /// Where its keys are.
    pub(super) fn keys(&self) -> Result<String, String> {
        self.address("jwks_uri", self.jwks_uri.as_deref(), "jwks in [auth.issuer.NAME]")
    }

    /// Where it is asked about tokens.
    pub(super) fn introspection(&self) -> Result<String, String> {
        self.address("introspection_endpoint", self.introspection_endpoint.as_deref(), "endpoint in [auth.issuer.NAME.introspection]")
    }

    /// Whether credentials go into the form, since the issuer takes them nowhere else (RFC 8414:
    /// without a list it takes them in the header).
    pub(super) fn takes_credentials_in_the_form(&self) -> bool {
        self.introspection_endpoint_auth_methods_supported.as_ref().is_some_and(|methods| {
            let has = |wanted: &str| methods.iter().any(|method| method == wanted);
            has("client_secret_post") && !has("client_secret_basic")
        })
    }

    fn address(&self, name: &str, address: Option<&str>, key: &str) -> Result<String, String> {
        let issuer = &self.issuer;
        let address = address.ok_or_else(|| format!("the metadata of {issuer} has no {name}: write the URL as {key}"))?;
        crate::config::server_url(address).map_err(|error| format!("{name} in the metadata of {issuer}: {error}"))
    }
}

/// A document at an address.
pub(super) async fn get(client: &Client, address: &str) -> Result<Vec<u8>, String> {
    let sent = client.get(address).header("accept", "application/json").send().await;
    let response = sent.map_err(|error| failed(address, &error))?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("{address} answered {}", response.status()));
    }
    body(response, address).await
}

/// The body of an answer, if it is not too long.
pub(super) async fn body(response: Response, address: &str) -> Result<Vec<u8>, String> {
    let mut body = response.bytes_stream();
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.map_err(|error| failed(address, &error))?);
        if text.len() > LARGEST {
            return Err(format!("{address} answered more than {LARGEST} bytes"));
        }
    }
    Ok(text)
}

/// Why nothing came from an address.
pub(super) fn failed(address: &str, error: &reqwest::Error) -> String {
    format!("{address}: {}", tls::cause(error))
}
