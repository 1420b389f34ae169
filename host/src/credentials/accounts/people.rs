//! The accounts that callers have connected at one server: their tokens, renewed before they end, and the way to connect one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;
use reqwest::Client;
use ring::digest;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, watch};
use url::Url;

use super::{
    discovery::{self, Found, Registered},
    sealed::Keys,
};
use crate::{
    authorization_server,
    config::{ClientAuthentication, OAuthConfig, Secret, TokenRequest},
    credentials::token_endpoint::TokenEndpoint,
    provider::ProviderId,
    store::{Space, Store, When, Write},
    unix_time,
};

/// Accounts that are kept in memory at once; all are in the store.
const MOST: usize = 10_000;
/// A token that ends so soon is renewed first.
const RENEW: u64 = 30;
/// How long what the store said is believed.
const FRESH: Duration = Duration::from_secs(5);
/// A link is good for at least so long, and at most twice as long.
const LINK: u64 = 900;

/// Where the host lets people in and out of accounts, below its public address.
pub const START_PATH: &str = "/oauth-start";
/// Where the authorization server sends them back to.
pub const CALLBACK_PATH: &str = "/oauth-callback";

/// What all servers with accounts share.
pub(super) struct Shared {
    pub(super) store: Arc<Store>,
    pub(super) space: Space,
    pub(super) keys: Keys,
    /// The public address of this host. None: nobody can be sent back to it.
    pub(super) address: Option<String>,
}

/// The accounts at one server.
pub struct People {
    server: ProviderId,
    url: Url,
    config: OAuthConfig,
    shared: Arc<Shared>,
    client: Client,
    found: OnceCell<Found>,
    registered: OnceCell<Registered>,
    /// By the caller's name.
    held: Mutex<HashMap<Box<str>, Arc<tokio::sync::Mutex<Held>>>>,
    /// Counts the accounts that were connected.
    connected: watch::Sender<u64>,
}

/// What is known of one account, and when the store said so.
#[derive(Default)]
enum Held {
    /// The store was not asked yet.
    #[default]
    Unread,
    None(Instant),
    Account(Account, Instant),
}

impl Held {
    fn of(account: Option<Account>) -> Self {
        let now = Instant::now();
        account.map_or(Self::None(now), |account| Self::Account(account, now))
    }

    /// Whether the store has to be asked: another instance, or an operator, may have changed it.
    fn is_stale(&self) -> bool {
        match self {
            Self::Unread => true,
            Self::None(read) | Self::Account(_, read) => read.elapsed() > FRESH,
        }
    }
}

/// The tokens of one person at one server.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Account {
    access: String,
    pub(super) refresh: Option<String>,
    /// In seconds since 1970.
    pub(super) ends: u64,
}

/// What a link says, signed.
#[derive(Serialize, Deserialize)]
struct Link {
    server: String,
    subject: String,
    ends: u64,
}

/// Where a person is sent, and what they are told before.
pub struct Departure {
    /// Who connects an account.
    pub subject: String,
    /// The server.
    pub server: String,
    /// The page of its authorization server.
    pub url: String,
    /// What the browser keeps until it is back.
    pub browser: String,
}

impl People {
    pub(super) fn new(server: &ProviderId, url: &Url, config: &OAuthConfig, shared: Arc<Shared>) -> Result<Self, String> {
        let client = authorization_server::client()?;
        Ok(Self {
            server: server.clone(),
            url: url.clone(),
            config: config.clone(),
            shared,
            client,
            found: OnceCell::new(),
            registered: OnceCell::new(),
            held: Mutex::default(),
            connected: watch::Sender::new(0),
        })
    }

    pub(super) fn is(&self, url: &Url, config: &OAuthConfig) -> bool {
        self.url == *url && self.config == *config
    }

    /// In whose name the host itself asks for lists.
    #[must_use]
    pub fn lists_as(&self) -> Option<&str> {
        self.config.lists_as.as_deref()
    }

    /// The token of a caller, as it is sent. None: no account is connected, or it is not good any more.
    ///
    /// # Errors
    ///
    /// A sentence: it cannot be found out.
    pub async fn token(&self, subject: &str) -> Result<Option<HeaderValue>, String> {
        let place = self.place(subject);
        let mut held = place.lock().await;
        self.refresh(subject, &mut held).await?;
        let Held::Account(account, _) = &*held else { return Ok(None) };
        if account.ends > unix_time::seconds().saturating_add(RENEW) {
            return bearer(&account.access).map(Some);
        }
        let Some(refresh) = account.refresh.clone() else {
            if account.ends > unix_time::seconds() {
                return bearer(&account.access).map(Some);
            }
            self.forget(subject, &mut held).await?;
            return Ok(None);
        };
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        match self.ask(&form).await {
            Ok(mut renewed) => {
                renewed.refresh = renewed.refresh.or(Some(refresh));
                self.write(subject, &renewed).await?;
                let token = bearer(&renewed.access)?;
                *held = Held::of(Some(renewed));
                Ok(Some(token))
            }
            // It was revoked, or has ended.
            Err(why) if why.contains("invalid_grant") => {
                tracing::info!(server = %self.server, subject, "the account of a caller at a server is not connected any more: {why}");
                self.forget(subject, &mut held).await?;
                Ok(None)
            }
            Err(_) if account.ends > unix_time::seconds() => bearer(&account.access).map(Some),
            Err(why) => Err(why),
        }
    }

    /// The server does not accept this token: it is renewed the next time. False: there is nothing to renew it by.
    pub async fn refused(&self, subject: &str, token: &HeaderValue) -> bool {
        let place = self.place(subject);
        let mut held = place.lock().await;
        let Held::Account(account, _) = &mut *held else { return false };
        if bearer(&account.access).is_ok_and(|own| own == token) {
            account.ends = 0;
        }
        account.refresh.is_some()
    }

    /// Where a caller connects an account: an address of this host, the same for a while.
    ///
    /// # Errors
    ///
    /// A sentence: nobody can be sent back here.
    pub fn link(&self, subject: &str) -> Result<String, String> {
        let ends = (unix_time::seconds() / LINK + 2) * LINK;
        let link = Link { server: self.server.to_string(), subject: subject.to_owned(), ends };
        Ok(format!("{}{START_PATH}?state={}", self.address()?, self.shared.keys.sign(&link)?))
    }

    fn address(&self) -> Result<&str, String> {
        let missing = || "the host has no public address: set `resource_url` in [auth]".to_owned();
        self.shared.address.as_deref().map(|address| address.trim_end_matches('/')).ok_or_else(missing)
    }

    fn redirect(&self) -> Result<String, String> {
        Ok(format!("{}{CALLBACK_PATH}", self.address()?))
    }

    /// What a link of [`Self::link`] leads to.
    ///
    /// # Errors
    ///
    /// A sentence for the person.
    pub async fn depart(&self, state: &str) -> Result<Departure, String> {
        let link = self.verified(state)?;
        let (found, client) = (self.found().await?, self.registered().await?);
        let missing = || "the link was not made here".to_owned();
        let verifier = self.shared.keys.secret_of(state, "pkce").ok_or_else(missing)?;
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        let mut url = Url::parse(&found.authorization_endpoint).map_err(|error| error.to_string())?;
        let redirect = self.redirect()?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client.client_id.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("state", state),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", found.resource.as_str()),
        ]);
        if !found.scopes.is_empty() {
            url.query_pairs_mut().append_pair("scope", &found.scopes.join(" "));
        }
        let browser = self.shared.keys.secret_of(state, "browser").ok_or_else(missing)?;
        Ok(Departure { subject: link.subject, server: link.server, url: url.into(), browser })
    }

    /// Takes who comes back from the authorization server: with `code`, in the browser that was sent there.
    ///
    /// # Errors
    ///
    /// A sentence for the person.
    pub async fn arrive(&self, state: &str, code: &str, issuer: Option<&str>, browser: Option<&str>) -> Result<(), String> {
        let link = self.verified(state)?;
        let found = self.found().await?;
        // RFC 9207: an answer of another server is none.
        if issuer.is_some_and(|issuer| issuer != found.issuer) {
            return Err("the answer comes from another authorization server than the one that was asked".to_owned());
        }
        if browser.is_none() || browser != self.shared.keys.secret_of(state, "browser").as_deref() {
            return Err("this is not the browser in which the link was opened; open the link again, and stay in one browser".to_owned());
        }
        let missing = || "the link was not made here".to_owned();
        let verifier = self.shared.keys.secret_of(state, "pkce").ok_or_else(missing)?;
        let redirect = self.redirect()?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        let account = self.ask(&form).await?;
        let place = self.place(&link.subject);
        let mut held = place.lock().await;
        self.write(&link.subject, &account).await?;
        *held = Held::of(Some(account));
        drop(held);
        tracing::info!(server = %self.server, subject = link.subject, "a caller has connected an account at a server");
        self.connected.send_modify(|number| *number += 1);
        Ok(())
    }

    /// Waits until a caller has an account, for so long. False: it has none by then.
    pub async fn arrived(&self, subject: &str, within: Duration) -> Result<bool, String> {
        let mut connected = self.connected.subscribe();
        let until = tokio::time::Instant::now() + within;
        loop {
            connected.borrow_and_update();
            if self.token(subject).await?.is_some() {
                return Ok(true);
            }
            // Another instance may be where the person comes back to.
            let look = until.min(tokio::time::Instant::now() + FRESH + Duration::from_millis(100));
            if tokio::time::timeout_at(look, connected.changed()).await.is_err() && look == until {
                return Ok(false);
            }
        }
    }

    /// Disconnects a caller's account, here and at the authorization server. False: there was none.
    ///
    /// # Errors
    ///
    /// A sentence: the store does not work.
    pub async fn revoke(&self, subject: &str) -> Result<bool, String> {
        let place = self.place(subject);
        let mut held = place.lock().await;
        // What was renewed elsewhere since is what has to be revoked.
        *held = Held::of(self.read(subject).await?);
        let Held::Account(account, _) = std::mem::take(&mut *held) else { return Ok(false) };
        self.forget(subject, &mut held).await?;
        tracing::info!(server = %self.server, subject, "the account of a caller at a server was disconnected");
        let (kind, token) = match &account.refresh {
            Some(refresh) => ("refresh_token", refresh),
            None => ("access_token", &account.access),
        };
        // It is forgotten here in any case.
        if let Err(why) = self.revoke_there(token, kind).await {
            tracing::warn!(server = %self.server, subject, "a token was forgotten here, and could not be revoked: {why}");
        }
        Ok(true)
    }

    async fn revoke_there(&self, token: &str, kind: &str) -> Result<(), String> {
        let Some(address) = self.found().await?.revocation_endpoint.clone() else { return Ok(()) };
        self.endpoint(&address).await?.post(&[("token", token), ("token_type_hint", kind)]).await
    }

    /// Whether a caller has connected an account.
    ///
    /// # Errors
    ///
    /// A sentence: the store does not work.
    pub async fn is_connected(&self, subject: &str) -> Result<bool, String> {
        let place = self.place(subject);
        let mut held = place.lock().await;
        self.refresh(subject, &mut held).await?;
        Ok(matches!(*held, Held::Account(..)))
    }

    /// Asks the store, where that was long ago.
    async fn refresh(&self, subject: &str, held: &mut Held) -> Result<(), String> {
        if !held.is_stale() {
            return Ok(());
        }
        match self.read(subject).await {
            Ok(read) => *held = Held::of(read),
            // What is known goes on while the store is away.
            Err(why) if matches!(held, Held::Account(..)) => {
                tracing::debug!(server = %self.server, subject, "the store does not say whether an account is still connected: {why}");
            }
            Err(why) => return Err(why),
        }
        Ok(())
    }

    fn verified(&self, state: &str) -> Result<Link, String> {
        let link: Link = self.shared.keys.verify(state).ok_or("the link was not made here, or was changed")?;
        if link.server != self.server.as_str() {
            return Err("the link is for another server".to_owned());
        }
        if link.ends <= unix_time::seconds() {
            return Err("the link is too old; call the tool again for a new one".to_owned());
        }
        Ok(link)
    }

    async fn found(&self) -> Result<&Found, String> {
        let why = |why: String| format!("cannot find out where accounts of [server.{}] are connected: {why}", self.server);
        self.found.get_or_try_init(|| discovery::discover(&self.client, &self.url, &self.config)).await.map_err(why)
    }

    /// The client that this host is: configured, registered before, or registered now.
    async fn registered(&self) -> Result<&Registered, String> {
        self.registered
            .get_or_try_init(|| async {
                if let Some(client_id) = self.config.client_id.clone() {
                    let client_secret = self.config.client_secret.as_ref().map(|secret| secret.0.clone());
                    return Ok(Registered { client_id, client_secret, token_endpoint_auth_method: None });
                }
                let (found, redirect) = (self.found().await?, self.redirect()?);
                let digest = blake3::hash(format!("{}\n{redirect}\n{}", found.issuer, found.scopes.join(" ")).as_bytes()).to_hex();
                let key = format!("client/{}/{digest}", self.server);
                let kept = self.shared.store.get(&self.shared.space, key.clone()).await.map_err(|error| error.to_string())?;
                if let Some(known) = kept.and_then(|entry| self.shared.keys.open(&key, &entry.value)) {
                    return Ok(known);
                }
                let registered = discovery::register(&self.client, found, &redirect).await?;
                self.put(key, &registered).await?;
                Ok(registered)
            })
            .await
            .map_err(|why: String| format!("cannot register at the authorization server of [server.{}]: {why}", self.server))
    }

    async fn endpoint(&self, address: &str) -> Result<TokenEndpoint, String> {
        let client = self.registered().await?;
        let by_post = client.token_endpoint_auth_method.as_deref() == Some("client_secret_post");
        let request = TokenRequest {
            token_url: Some(address.to_owned()),
            client_id: client.client_id.clone(),
            client_secret: client.client_secret.clone().map(Secret),
            authentication: if by_post { ClientAuthentication::Post } else { ClientAuthentication::Basic },
            ..TokenRequest::default()
        };
        TokenEndpoint::new(&self.server, request)
    }

    async fn ask(&self, form: &[(&str, &str)]) -> Result<Account, String> {
        let found = self.found().await?;
        let mut form = form.to_vec();
        form.push(("resource", &found.resource));
        let granted = self.endpoint(&found.token_endpoint).await?.token("oauth", &form).await?;
        let access = granted.token.to_str().ok().and_then(|token| token.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
        Ok(Account { access, refresh: granted.refresh, ends: unix_time::seconds().saturating_add(granted.lifetime.as_secs()) })
    }

    async fn read(&self, subject: &str) -> Result<Option<Account>, String> {
        let key = self.key(subject);
        let entry = self.shared.store.get(&self.shared.space, key.clone()).await.map_err(|error| error.to_string())?;
        // What was encrypted by a key that is gone is gone too.
        Ok(entry.and_then(|entry| self.shared.keys.open(&key, &entry.value)))
    }

    async fn write(&self, subject: &str, account: &Account) -> Result<(), String> {
        self.put(self.key(subject), account).await
    }

    async fn put<T: Serialize>(&self, key: String, value: &T) -> Result<(), String> {
        let value = self.shared.keys.seal(&key, value)?;
        let write = Write::Set { value, ttl: None, when: When::Always };
        self.shared.store.write(&self.shared.space, key, write).await.map(drop).map_err(|error| error.to_string())
    }

    async fn forget(&self, subject: &str, held: &mut Held) -> Result<(), String> {
        *held = Held::None(Instant::now());
        let delete = Write::Delete(When::Always);
        self.shared.store.write(&self.shared.space, self.key(subject), delete).await.map(drop).map_err(|error| error.to_string())
    }

    fn key(&self, subject: &str) -> String {
        key(self.server.as_str(), subject)
    }

    fn place(&self, subject: &str) -> Arc<tokio::sync::Mutex<Held>> {
        let mut held = self.lock();
        if let Some(place) = held.get(subject) {
            return Arc::clone(place);
        }
        if held.len() >= MOST {
            // Those in use are held by whoever uses them, and the store has all.
            held.retain(|_, place| Arc::strong_count(place) > 1);
        }
        Arc::clone(held.entry(subject.into()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<tokio::sync::Mutex<Held>>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What accounts are kept under begins so.
pub(super) const KEPT: &str = "account/";

/// What an account is kept under.
pub(super) fn key(server: &str, subject: &str) -> String {
    format!("{KEPT}{server}/{subject}")
}

/// As it is sent.
fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the token cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The server of a link, before anything of it is believed.
pub(super) fn server_of(keys: &Keys, state: &str) -> Option<String> {
    keys.verify::<Link>(state).map(|link| link.server)
}
