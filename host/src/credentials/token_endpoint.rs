//! Asking an authorization server for a token: client credentials (RFC 6749, 4.4) and token exchange (RFC 8693).

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, header};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::form_urlencoded;

use super::web;
use crate::{
    authorization_server,
    config::{ClientAuthentication, TokenRequest, server_url},
    provider::{ProviderId, shown},
    tls,
};

/// How long a token is good whose authorization server does not say it.
const UNSAID: Duration = Duration::from_secs(300);
/// No token is kept longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The token endpoint of one authorization server, for one client.
pub(super) struct TokenEndpoint {
    server: ProviderId,
    request: TokenRequest,
    client: Client,
    /// Where it is, once it is known.
    address: OnceCell<String>,
}

/// A token, as it is sent.
pub(super) struct Granted {
    /// `Bearer …`.
    pub(super) token: HeaderValue,
    pub(super) lifetime: Duration,
    /// By which another one is had.
    pub(super) refresh: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    /// Seconds. Some servers write them as a text.
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Answer {
    /// How long the token is good.
    fn lifetime(&self) -> Duration {
        let said = match &self.expires_in {
            Some(Value::Number(seconds)) => seconds.as_f64(),
            Some(Value::String(seconds)) => seconds.trim().parse().ok(),
            _ => None,
        };
        let said = said.filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
        said.map_or(UNSAID, |seconds| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
    }
}

impl TokenEndpoint {
    pub(super) fn new(server: &ProviderId, request: TokenRequest) -> Result<Self, String> {
        let client = authorization_server::client()?;
        let address = OnceCell::new_with(request.token_url.clone());
        Ok(Self { server: server.clone(), request, client, address })
    }

    /// The host's own token.
    pub(super) async fn client_credentials(&self) -> Result<Granted, String> {
        self.token("client_credentials", &[("grant_type", "client_credentials")]).await
    }

    /// A token for the server, in exchange for a caller's.
    pub(super) async fn exchange(&self, token: &str) -> Result<Granted, String> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        self.token("token_exchange", &form).await
    }

    /// Sends a form whose answer says nothing (RFC 7009).
    pub(super) async fn post(&self, form: &[(&str, &str)]) -> Result<(), String> {
        let address = self.request.token_url.as_deref().unwrap_or_default();
        let sent = self.request(address, form)?.send().await;
        let response = sent.map_err(|error| authorization_server::unreachable(address, &error))?;
        if response.status().is_success() { Ok(()) } else { Err(format!("{address} answers {}", response.status())) }
    }

    /// A token by this form. `key`: of the configuration, for messages.
    pub(super) async fn token(&self, key: &str, form: &[(&str, &str)]) -> Result<Granted, String> {
        let failed = |why: String| format!("cannot get a token ({key} of [server.{}]): {why}", self.server);
        let address = self.address.get_or_try_init(|| self.discover()).await.map_err(failed)?;
        self.ask(address, form).await.map_err(|why| failed(format!("{address} {why}")))
    }

    /// The request, by which the client also says who it is.
    fn request(&self, address: &str, form: &[(&str, &str)]) -> Result<reqwest::RequestBuilder, String> {
        let TokenRequest { client_id, client_secret, authentication, scopes, resource, audience, .. } = &self.request;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        if !scopes.is_empty() {
            body.append_pair("scope", &scopes.join(" "));
        }
        for (name, value) in [("resource", resource), ("audience", audience)] {
            if let Some(value) = value {
                body.append_pair(name, value);
            }
        }
        let mut request = self.client.post(address).header(header::ACCEPT, "application/json");
        match (client_secret, authentication) {
            (Some(secret), ClientAuthentication::Basic) => {
                // RFC 6749, 2.3.1: both are encoded as in a form first.
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = BASE64_STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(&secret.0)));
                let mut value = HeaderValue::try_from(format!("Basic {pair}")).map_err(|error| error.to_string())?;
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
            (Some(secret), ClientAuthentication::Post) => {
                body.append_pair("client_id", client_id).append_pair("client_secret", &secret.0);
            }
            (None, _) => {
                body.append_pair("client_id", client_id);
            }
        }
        Ok(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.finish()))
    }

    async fn ask(&self, address: &str, form: &[(&str, &str)]) -> Result<Granted, String> {
        let response = self.request(address, form)?.send().await.map_err(|error| format!("cannot be reached: {}", tls::cause(&error)))?;
        let status = response.status();
        let text = authorization_server::read(response, web::LARGEST).await?;
        if !status.is_success() {
            return Err(format!("answers {status}{}", web::refusal(&text)));
        }
        // What is wrong with it is not shown: there may be a token in it.
        let answer: Option<Answer> = serde_json::from_slice(&text).ok();
        // Some servers say with 200 that they refuse.
        let answer = answer
            .filter(|answer| !answer.access_token.is_empty())
            .ok_or_else(|| format!("answers with something that has no access_token{}", web::refusal(&text)))?;
        if let Some(kind) = answer.token_type.as_deref().filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            let kind = shown(kind, web::SHOWN);
            return Err(format!("gives a token of the type {kind:?}; only Bearer can be sent"));
        }
        let mut token = HeaderValue::try_from(format!("Bearer {}", answer.access_token))
            .map_err(|_| "gives a token that no header can carry".to_owned())?;
        token.set_sensitive(true);
        Ok(Granted { token, lifetime: answer.lifetime(), refresh: answer.refresh_token })
    }

    /// The token endpoint by the metadata of the issuer.
    async fn discover(&self) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            token_endpoint: String,
        }
        let issuer = self.request.issuer.as_deref().unwrap_or_default();
        let (_, found): (_, Metadata) = authorization_server::metadata(&self.client, issuer, web::LARGEST).await?;
        if found.issuer != issuer {
            return Err(format!(
                "the metadata of {issuer} says that the issuer is {:?}; write it so in the configuration, with or without a slash",
                found.issuer
            ));
        }
        server_url(&found.token_endpoint).map_err(|error| format!("token_endpoint of {issuer}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_as_long_as_its_server_says_in_whatever_form() {
        let lifetime = |expires_in: &str| {
            let text = format!(r#"{{"access_token": "x", "expires_in": {expires_in}}}"#);
            serde_json::from_str::<Answer>(&text).unwrap().lifetime()
        };
        for said in ["60", "60.0", "\"60\"", "\" 60 \""] {
            assert_eq!(lifetime(said), Duration::from_secs(60), "{said}");
        }
        for unsaid in ["null", "\"soon\"", "\"\"", "-1", "\"-1\"", "\"NaN\"", "\"inf\"", "true", "[60]", "{}"] {
            assert_eq!(lifetime(unsaid), UNSAID, "{unsaid}");
        }
        assert_eq!(lifetime("1e300"), LONGEST);
        assert_eq!(lifetime("\"1e300\""), LONGEST);
    }
}
