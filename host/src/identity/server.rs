//! What an authorization server says of itself, as far as it concerns the tokens of callers.

use reqwest::Client;
use serde::Deserialize;

use crate::authorization_server;

/// Bytes of what it answers: its metadata, its keys, or what a token means.
pub(super) const LARGEST: usize = 1 << 20;

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

impl Metadata {
    /// That of an issuer.
    ///
    /// # Errors
    ///
    /// Where it was looked for, and what was there.
    pub(super) async fn of(client: &Client, issuer: &str) -> Result<Self, String> {
        let (address, found): (_, Self) = authorization_server::metadata(client, issuer, LARGEST).await?;
        if found.issuer != issuer {
            return Err(format!(
                "{address} says that the issuer is {:?}; write it so in the configuration, with or without a slash",
                found.issuer
            ));
        }
        Ok(found)
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
