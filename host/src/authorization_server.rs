//! Asking authorization servers over HTTP, within bounds: one client, documents, and the metadata of an issuer.

use std::time::Duration;

use futures::StreamExt as _;
use http::{StatusCode, header};
use reqwest::{Client, Response, redirect::Policy};
use serde::de::DeserializeOwned;
use url::Url;

use crate::tls;

/// How long an authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client that asks whom it is told to ask, and nobody else.
pub(crate) fn client() -> Result<Client, String> {
    let builder = || Client::builder().timeout(TIMEOUT).redirect(Policy::none()).user_agent(concat!("toolbay/", env!("CARGO_PKG_VERSION")));
    tls::client(builder, |_| {}).map_err(|error| format!("cannot set up HTTP: {}", tls::cause(&error)))
}

/// A document of at most so many bytes.
pub(crate) async fn get(client: &Client, address: &str, most: usize) -> Result<Vec<u8>, String> {
    let sent = client.get(address).header(header::ACCEPT, "application/json").send().await;
    let response = sent.map_err(|error| unreachable(address, &error))?;
    match response.status() {
        StatusCode::OK => read(response, most).await.map_err(|why| format!("{address} {why}")),
        status => Err(format!("{address} answers {status}")),
    }
}

/// Reads an answer to its end, if it is not too long.
///
/// # Errors
///
/// The end of a sentence that begins with the address.
pub(crate) async fn read(response: Response, most: usize) -> Result<Vec<u8>, String> {
    let (mut body, mut text) = (response.bytes_stream(), Vec::new());
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.map_err(|error| format!("does not answer to the end: {}", tls::cause(&error)))?);
        if text.len() > most {
            return Err(format!("answers with more than {most} bytes"));
        }
    }
    Ok(text)
}

/// Why nothing came from an address.
pub(crate) fn unreachable(address: &str, error: &reqwest::Error) -> String {
    format!("{address} cannot be reached: {}", tls::cause(error))
}

/// The metadata of an issuer (RFC 8414, or OpenID Connect Discovery), and where it was. That it is about this issuer is for the caller to check.
///
/// # Errors
///
/// A sentence with what was tried.
pub(crate) async fn metadata<T: DeserializeOwned>(client: &Client, issuer: &str, most: usize) -> Result<(String, T), String> {
    let url = Url::parse(issuer).map_err(|error| format!("{issuer:?} is not a URL: {error}"))?;
    let (origin, path) = (url.origin().ascii_serialization(), url.path().trim_end_matches('/'));
    let mut errors = Vec::new();
    for address in [
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ] {
        let found = get(client, &address, most).await.and_then(|text| {
            serde_json::from_slice(&text).map_err(|error| format!("{address} is not metadata of an authorization server: {error}"))
        });
        match found {
            Ok(found) => return Ok((address, found)),
            Err(error) => errors.push(error),
        }
    }
    errors.dedup();
    Err(errors.join("; "))
}
