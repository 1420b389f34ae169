//! What a server elsewhere is shown of who asks: headers of the caller, who it is as a signed JWT, and
//! whose access token.
//!
//! `token_endpoint` asks an authorization server for a token, `cell` keeps one and renews it, `exchange`
//! keeps one for each caller, `assertion` makes the JWT, and [`Credentials`] puts them on the requests to
//! one server. The token by which a caller came in is exchanged, and never sent to a server itself.

mod assertion;
mod cell;
mod exchange;
mod token_endpoint;

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderMap, HeaderName, header};
use serde_json::json;

use crate::{
    config::{Config, IdentityConfig, ServerConfig, TokenRequest, UpstreamAuth},
    provider::{CallContext, CallerHeaders, Principal, ProviderId},
};
pub use cell::Shown;
use cell::TokenCell;
use exchange::Exchange;
use token_endpoint::TokenEndpoint;

/// Puts what one server is shown on the requests to it.
pub struct Credentials {
    server: ProviderId,
    /// Of the configuration; they go with everything.
    headers: HeaderMap,
    forward: Vec<HeaderName>,
    identity: Option<IdentityConfig>,
    own: Option<Own>,
    exchange: Option<Exchange>,
}

/// The host's own token.
struct Own {
    endpoint: TokenEndpoint,
    cell: TokenCell,
}

/// The caller that a request is made for.
#[derive(Clone, Copy, Default)]
pub struct OnBehalf<'a> {
    /// Who it is. None: callers are not told apart.
    pub principal: Option<&'a Principal>,
    /// Headers of its request.
    pub headers: Option<&'a CallerHeaders>,
}

impl<'a> From<&'a CallContext> for OnBehalf<'a> {
    fn from(context: &'a CallContext) -> Self {
        Self { principal: context.principal.as_ref(), headers: context.caller_headers.as_ref() }
    }
}

impl Credentials {
    /// Those of a server, with the headers that go with everything.
    ///
    /// # Errors
    ///
    /// Why no authorization server can be asked.
    pub fn new(server: &ProviderId, headers: &HeaderMap, auth: &UpstreamAuth) -> Result<Self, String> {
        let endpoint = |request: &TokenRequest| TokenEndpoint::new(server, request.clone());
        let own = auth
            .client_credentials
            .as_ref()
            .map(|request| Ok::<_, String>(Own { endpoint: endpoint(request)?, cell: TokenCell::default() }));
        let exchange = auth.token_exchange.as_ref().map(|request| Ok::<_, String>(Exchange::new(endpoint(request)?)));
        Ok(Self {
            server: server.clone(),
            headers: headers.clone(),
            forward: auth.forward.clone(),
            identity: auth.identity.clone(),
            own: own.transpose()?,
            exchange: exchange.transpose()?,
        })
    }

    /// Whether each caller has a token of its own, so that a session with the server is that caller's alone.
    #[must_use]
    pub fn is_per_caller(&self) -> bool {
        self.exchange.is_some()
    }

    /// Whether tokens are got that can be got again.
    #[must_use]
    pub fn renews(&self) -> bool {
        self.own.is_some() || self.exchange.is_some()
    }

    /// Puts all of it on a request. None: the host asks for itself.
    ///
    /// # Errors
    ///
    /// A sentence: the caller has no token to exchange, or there is none to be had.
    pub async fn write(&self, headers: &mut HeaderMap, caller: Option<OnBehalf<'_>>) -> Result<Shown, String> {
        for (name, value) in caller.and_then(|caller| caller.headers).into_iter().flat_map(|all| &**all) {
            if self.forward.contains(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        if let Some(identity) = &self.identity
            && let Some(value) = assertion::header(identity, caller.map(|caller| caller.principal))?
        {
            headers.insert(identity.header.clone(), value);
        }
        // What the operator says wins.
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        let shown = match (caller, &self.exchange, &self.own) {
            (Some(caller), Some(exchange), _) => exchange.token(&self.server, caller.principal).await?,
            (_, _, Some(own)) => own.cell.get(|| own.endpoint.client_credentials()).await?,
            _ => return Ok(Shown::default()),
        };
        if let Some(token) = &shown.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        Ok(shown)
    }

    /// The server does not accept what it was shown: a token that was had before is got again. True: it is worth another try.
    #[must_use]
    pub fn refused(&self, caller: Option<OnBehalf<'_>>, shown: &Shown) -> bool {
        let Some(token) = shown.token.as_ref().filter(|_| shown.is_kept) else { return false };
        match (caller, &self.exchange, &self.own) {
            (Some(caller), Some(exchange), _) => exchange.forget(caller.principal, token),
            (_, _, Some(own)) => own.cell.forget(token),
            _ => false,
        }
    }

    /// What to do where the server accepts nobody.
    #[must_use]
    pub fn advice(&self) -> String {
        let server = &self.server;
        if self.exchange.is_some() {
            return format!(
                "look at `token_exchange` of [server.{server}] (and `client_credentials`, by which the host itself reads the lists)"
            );
        }
        if self.own.is_some() {
            return format!(
                "the token that `client_credentials` of [server.{server}] gets is not accepted; look at its `scopes`, `resource` and `audience`"
            );
        }
        if self.headers.contains_key(header::AUTHORIZATION) {
            return format!("the token that `bearer` (or `headers`) of [server.{server}] gives is not accepted");
        }
        format!("give it a token: [server.{server}] bearer = {{ from_env = \"VARIABLE\" }}")
    }
}

/// Headers of callers' requests that some server is to be sent, each once.
#[must_use]
pub fn forwarded(config: &Config) -> Vec<HeaderName> {
    let names: BTreeSet<&str> = auths(config).flat_map(|auth| &auth.forward).map(HeaderName::as_str).collect();
    names.into_iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect()
}

/// The public keys by which servers verify who calls, as the text of a JWK set. None: there are none.
#[must_use]
pub fn published(config: &Config) -> Option<Arc<str>> {
    let mut keys = Vec::new();
    for key in auths(config).filter_map(|auth| auth.identity.as_ref()).flat_map(|identity| &identity.keys) {
        if !keys.contains(&key.jwk()) {
            keys.push(key.jwk());
        }
    }
    (!keys.is_empty()).then(|| json!({ "keys": keys }).to_string().into())
}

fn auths(config: &Config) -> impl Iterator<Item = &UpstreamAuth> {
    config.server.values().filter_map(ServerConfig::auth)
}
