//! What a server elsewhere is shown of who asks: headers of the caller, who it is as a signed JWT, and
//! whose access token.
//!
//! `token_endpoint` asks an authorization server for a token, `cell` keeps one and renews it, `exchange`
//! keeps one for each caller, `assertion` makes the JWT, and [`Credentials`] puts them on the requests to
//! one server. The token by which a caller came in is exchanged, and never sent to a server itself.

pub mod accounts;
mod assertion;
mod cell;
mod exchange;
mod token_endpoint;
mod web;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use url::Url;

use crate::{
    config::{Config, IdentityConfig, ServerConfig, TokenRequest, UpstreamAuth},
    provider::{AskError, CallContext, CallerHeaders, JsonText, Principal, ProviderId, Question, QuestionKind},
};
use accounts::{Accounts, People};
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
    people: Option<Arc<People>>,
}

/// Why a call cannot be made in the name of its caller.
#[derive(Debug)]
pub enum NotConnected {
    /// The caller is asked, and the call ends here or did not end well.
    Ask(AskError),
    /// The person has to visit a page.
    Visit {
        /// For the person.
        message: String,
        /// The page.
        url: String,
        /// Names the visit.
        id: String,
    },
    /// A sentence.
    Other(String),
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
    pub fn new(
        server: &ProviderId,
        url: Option<&Url>,
        headers: &HeaderMap,
        auth: &UpstreamAuth,
        accounts: Option<&Accounts>,
    ) -> Result<Self, String> {
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
            people: match (&auth.oauth, url, accounts) {
                (Some(oauth), Some(url), Some(accounts)) => Some(accounts.at(server, url, oauth)?),
                _ => None,
            },
        })
    }

    /// Whether each caller has a token of its own, so that a session with the server is that caller's alone.
    #[must_use]
    pub fn is_per_caller(&self) -> bool {
        self.exchange.is_some() || self.people.is_some()
    }

    /// Whether tokens are got that can be got again.
    #[must_use]
    pub fn renews(&self) -> bool {
        self.own.is_some() || self.exchange.is_some() || self.people.is_some()
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
        if let Some(people) = &self.people
            && let Some(token) = self.of_account(people, caller).await?
        {
            headers.insert(header::AUTHORIZATION, token.clone());
            return Ok(Shown { token: Some(token), is_kept: true });
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

    /// The token of the account that a request is made with. None: it is made with the host's own.
    async fn of_account(&self, people: &People, caller: Option<OnBehalf<'_>>) -> Result<Option<HeaderValue>, String> {
        let server = &self.server;
        let missing = |subject: &str| format!("{subject} has not connected an account at server {server}, or it is not connected any more");
        match caller {
            Some(OnBehalf { principal: Some(principal), .. }) => {
                let subject = principal.subject();
                people.token(subject).await?.ok_or_else(|| missing(subject)).map(Some)
            }
            Some(_) => Err(format!(
                "a call of it is made with the caller's own account (`oauth` of [server.{server}]), and this caller has no name"
            )),
            None => match people.lists_as() {
                Some(subject) => match people.token(subject).await? {
                    Some(token) => Ok(Some(token)),
                    None => Err(format!(
                        "{}, with which the lists are read (`lists_as` of [server.{server}]); GET /oauth-accounts?server={server} with its token says where to connect one",
                        missing(subject)
                    )),
                },
                None => Ok(None),
            },
        }
    }

    /// Sees to it that a caller has an account at the server, where calls need one: else the person is asked to connect one.
    ///
    /// # Errors
    ///
    /// [`NotConnected`].
    pub async fn connect(&self, context: &CallContext, patience: Duration) -> Result<(), NotConnected> {
        let (Some(people), Some(principal)) = (&self.people, &context.principal) else { return Ok(()) };
        let subject = principal.subject();
        if people.token(subject).await.map_err(NotConnected::Other)?.is_some() {
            return Ok(());
        }
        let url = people.link(subject).map_err(NotConnected::Other)?;
        let message = format!("{} needs an account of yours: open the page, and connect it there.", self.server);
        let id = blake3::hash(url.as_bytes()).to_hex().chars().take(32).collect::<String>();
        let visit = || NotConnected::Visit { message: message.clone(), url: url.clone(), id: id.clone() };
        let Some(asker) = &context.asker else { return Err(visit()) };
        let params = json!({ "mode": "url", "message": message, "url": url, "elicitationId": id });
        let params = JsonText::from_value(&params).map_err(|error| NotConnected::Other(error.to_string()))?;
        let question = Question { key: Some(format!("toolbay-connect-{}", self.server)), kind: QuestionKind::Elicitation, params };
        let answers = match asker.ask(vec![question]).await {
            Ok(answers) => answers,
            Err(error @ AskError::Suspended) => return Err(NotConnected::Ask(error)),
            Err(_) => return Err(visit()),
        };
        let answer: Option<Value> = answers.first().and_then(|answer| serde_json::from_str(answer.as_str()).ok());
        if answer.as_ref().and_then(|answer| answer.get("action")).and_then(Value::as_str) != Some("accept") {
            return Err(NotConnected::Other(format!("the person did not connect an account at server {}", self.server)));
        }
        match people.arrived(subject, patience).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(visit()),
            Err(why) => Err(NotConnected::Other(why)),
        }
    }

    /// The server does not accept what it was shown: a token that was had before is got again. True: it is worth another try.
    #[must_use]
    pub async fn refused(&self, caller: Option<OnBehalf<'_>>, shown: &Shown) -> bool {
        let Some(token) = shown.token.as_ref().filter(|_| shown.is_kept) else { return false };
        if let Some(people) = &self.people {
            let subject = match caller {
                Some(caller) => caller.principal.map(Principal::subject),
                None => people.lists_as(),
            };
            if let Some(subject) = subject {
                return people.refused(subject, token).await;
            }
        }
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
        if self.people.is_some() {
            return format!(
                "the account that was connected (`oauth` of [server.{server}]) is not accepted; without `lists_as`, the lists are read with `bearer` or `client_credentials`"
            );
        }
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
