//! Asking authorization servers over HTTP, within bounds, and what of their answers may be shown.

use std::time::Duration;

use futures::StreamExt as _;
use http::{StatusCode, header};
use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::tls;

/// How long an authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LARGEST: usize = 256 << 10;
/// Characters of what it says that are shown.
pub(super) const SHOWN: usize = 200;

/// A client that goes where it is told, and nowhere else.
pub(super) fn client() -> Result<Client, String> {
    let builder = || Client::builder().timeout(TIMEOUT).redirect(Policy::none()).user_agent(concat!("toolbay/", env!("CARGO_PKG_VERSION")));
    tls::client(builder, |_| {}).map_err(|error| format!("cannot set up HTTP: {}", tls::cause(&error)))
}

/// A document.
pub(super) async fn get(client: &Client, address: &str) -> Result<Vec<u8>, String> {
    let sent = client.get(address).header(header::ACCEPT, "application/json").send().await;
    let response = sent.map_err(|error| format!("{address} cannot be reached: {}", tls::cause(&error)))?;
    match response.status() {
        StatusCode::OK => read(response).await.map_err(|why| format!("{address} {why}")),
        status => Err(format!("{address} answers {status}")),
    }
}

/// Reads an answer to its end.
pub(super) async fn read(response: reqwest::Response) -> Result<Vec<u8>, String> {
    let (mut body, mut text) = (response.bytes_stream(), Vec::new());
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.map_err(|error| format!("does not answer to the end: {}", tls::cause(&error)))?);
        if text.len() > LARGEST {
            return Err(format!("answers with more than {LARGEST} bytes"));
        }
    }
    Ok(text)
}

/// What an answer that says no says of the reason: `: invalid_client (…)`, or nothing.
pub(super) fn refusal(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        error_description: Option<String>,
    }
    let Ok(Refusal { error, error_description }) = serde_json::from_slice(text) else { return String::new() };
    let description = error_description.map(|text| format!(" ({text})")).unwrap_or_default();
    format!(": {error}{description}").chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// The metadata of an issuer (RFC 8414, or OpenID Connect Discovery).
///
/// # Errors
///
/// A sentence with what was tried.
pub(super) async fn metadata<T: DeserializeOwned>(client: &Client, issuer: &str) -> Result<T, String> {
    let url = Url::parse(issuer).map_err(|error| format!("{issuer:?} is not a URL: {error}"))?;
    let (origin, path) = (url.origin().ascii_serialization(), url.path().trim_end_matches('/').to_owned());
    let mut errors = Vec::new();
    for address in [
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ] {
        match get(client, &address).await.and_then(|text| {
            serde_json::from_slice::<T>(&text).map_err(|error| format!("{address} is not metadata of an authorization server: {error}"))
        }) {
            Ok(found) => return Ok(found),
            Err(error) => errors.push(error),
        }
    }
    errors.dedup();
    Err(errors.join("; "))
}
