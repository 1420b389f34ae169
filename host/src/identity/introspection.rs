//! What an issuer says of tokens that only it can read: RFC 7662.
//!
//! A question is asked once for all that wait for its answer, at most [`LANES`] at once. An issuer
//! that does not answer is left alone for a while. What a token is good for is kept with the tokens
//! that were verified; what is no good is kept here, briefly.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use blake3::Hash;
use http::{HeaderValue, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value};
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, OnceCell},
    time::timeout,
};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::{
    Refusal,
    server::{LARGEST, Metadata},
    token::Claims,
};
use crate::{
    authorization_server,
    config::{IntrospectionConfig, IssuerConfig, Secret},
};

/// How long one answer may take, and waiting for the turn to ask.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Questions at once. Whoever sends tokens that nobody knows is not to flood the issuer.
const LANES: usize = 32;
/// How long a token that is no good is not asked about again: whoever repeats it makes no requests.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Tokens that are known to be no good.
const MOST_REFUSED: usize = 10_000;
/// The longest time that the issuer is left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a caller waits that finds no free lane.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// How one issuer is asked.
pub(super) struct Introspection {
    config: IntrospectionConfig,
    client: OnceCell<Client>,
    endpoint: AsyncMutex<Option<Endpoint>>,
    /// Who asks holds the one of its token.
    lanes: [AsyncMutex<()>; LANES],
    refused: Mutex<HashMap<Hash, (Instant, Refusal)>>,
    pause: Mutex<Pause>,
}

#[derive(Clone)]
struct Endpoint {
    address: String,
    /// Credentials are in the form, not in a header.
    in_form: bool,
}

/// Whether the issuer is left alone.
#[derive(Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
}

/// Why there is no answer.
enum Trouble {
    /// The token is none that the issuer reads.
    Token,
    /// What is asked or who asks is wrong, which the operator mends.
    Setup(String),
    /// The issuer cannot answer at the moment, perhaps for a time that it says.
    Away(String, Option<Duration>),
}

impl Introspection {
    pub(super) fn new(config: IntrospectionConfig) -> Self {
        Self {
            config,
            client: OnceCell::new(),
            endpoint: AsyncMutex::default(),
            lanes: std::array::from_fn(|_| AsyncMutex::default()),
            refused: Mutex::default(),
            pause: Mutex::default(),
        }
    }

    /// How long an answer counts, in seconds.
    pub(super) fn cache(&self) -> u64 {
        self.config.cache.as_secs()
    }

    /// Whether a token is known to be no good.
    pub(super) fn refuses(&self, token: &Hash) -> Result<(), Refusal> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match refused.get(token) {
            Some((until, refusal)) if Instant::now() < *until => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    /// Remembers that a token is no good.
    pub(super) fn refuse(&self, token: Hash, refusal: &Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST_REFUSED {
            let now = Instant::now();
            refused.retain(|_, (until, _)| now < *until);
            if refused.len() >= MOST_REFUSED {
                refused.clear();
            }
        }
        refused.insert(token, (Instant::now() + REFUSED_FOR, refusal.clone()));
    }

    /// Waits until nobody else asks about this token.
    pub(super) async fn turn(&self, token: &Hash) -> Result<MutexGuard<'_, ()>, Refusal> {
        let busy = || Refusal::Unavailable("the token's issuer takes too long to answer", BUSY_FOR);
        let lane = self.lanes.get(usize::from(token.as_bytes()[0]) % LANES).ok_or_else(busy)?;
        timeout(TIMEOUT, lane.lock()).await.map_err(|_| busy())
    }

    /// Asks what a token means. Whoever asks has its turn.
    pub(super) async fn ask(&self, issuer: &IssuerConfig, token: &str) -> Result<Claims, Refusal> {
        self.paused()?;
        // As one task: the time is for discovery too, which only the first question needs.
        let asked = timeout(TIMEOUT, self.answer(issuer, token)).await;
        match asked.unwrap_or_else(|_| Err(Trouble::Away(format!("it did not answer within {} s", TIMEOUT.as_secs()), None))) {
            Ok(answer) => {
                if std::mem::take(&mut *self.pause.lock().unwrap_or_else(PoisonError::into_inner)).failures > 0 {
                    tracing::info!(issuer = issuer.issuer, "an issuer answers about opaque tokens again");
                }
                claims(issuer, answer)
            }
            Err(Trouble::Token) => Err(Refusal::Inactive),
            Err(Trouble::Setup(why)) => {
                tracing::error!(issuer = issuer.issuer, "an issuer cannot be asked about opaque tokens: {why}");
                Err(Refusal::Unavailable(AWAY, LONGEST_PAUSE))
            }
            Err(Trouble::Away(why, wanted)) => {
                let pause = self.failed(wanted);
                tracing::warn!(
                    issuer = issuer.issuer,
                    "an issuer cannot be asked about opaque tokens: {why}; it is asked again in {} s",
                    pause.as_secs()
                );
                *self.endpoint.lock().await = None;
                Err(Refusal::Unavailable(AWAY, pause))
            }
        }
    }

    /// Whether the issuer is left alone now.
    fn paused(&self) -> Result<(), Refusal> {
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pause.until.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Err(Refusal::Unavailable(AWAY, left)),
            None => Ok(()),
        }
    }

    /// Begins a pause, a longer one after each failure. Questions that were asked together fail
    /// once.
    fn failed(&self, wanted: Option<Duration>) -> Duration {
        let (mut pause, now) = (self.pause.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if let Some(left) = pause.until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero()) {
            return left;
        }
        let length = wanted.unwrap_or_else(|| Duration::from_secs(1 << pause.failures.min(8))).clamp(Duration::from_secs(1), LONGEST_PAUSE);
        *pause = Pause { failures: pause.failures.saturating_add(1), until: Some(now + length) };
        length
    }

    async fn answer(&self, issuer: &IssuerConfig, token: &str) -> Result<Map<String, Value>, Trouble> {
        let client = self.client.get_or_try_init(|| async { authorization_server::client() }).await.map_err(Trouble::Setup)?;
        let endpoint = self.endpoint(client, issuer).await?;
        let request = self.request(client, &endpoint, token)?;
        let address = endpoint.address;
        let response = request.send().await.map_err(|error| Trouble::Away(authorization_server::unreachable(&address, &error), None))?;
        if response.status() != StatusCode::OK {
            return Err(trouble(response, &address).await);
        }
        let read = authorization_server::read(response, LARGEST).await;
        let text = read.map_err(|why| Trouble::Away(format!("{address} {why}"), None))?;
        let answer: Option<Map<String, Value>> = serde_json::from_slice(&text).ok();
        match answer.as_ref().and_then(|answer| answer.get("active")) {
            Some(Value::Bool(true)) => Ok(answer.unwrap_or_default()),
            Some(Value::Bool(false)) => Err(Trouble::Token),
            _ => Err(Trouble::Setup(format!("{address} answered something else than JSON with \"active\" (RFC 7662)"))),
        }
    }

    fn request(&self, client: &Client, endpoint: &Endpoint, token: &str) -> Result<RequestBuilder, Trouble> {
        let (id, Secret(secret)) = (&self.config.client_id, &self.config.client_secret);
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        let mut request = client.post(&endpoint.address).header(header::ACCEPT, "application/json");
        if endpoint.in_form {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        } else {
            // RFC 6749, 2.3.1: each is encoded as in a form first.
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let credentials = BASE64_STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            let header = HeaderValue::try_from(format!("Basic {credentials}"));
            let mut header = header.map_err(|error| Trouble::Setup(format!("client_id and client_secret make no header: {error}")))?;
            header.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, header);
        }
        Ok(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish()))
    }

    /// Where to ask: as it is configured, or by the metadata of the issuer, which is read once and
    /// again when the issuer was away.
    async fn endpoint(&self, client: &Client, issuer: &IssuerConfig) -> Result<Endpoint, Trouble> {
        if let Some(address) = &self.config.endpoint {
            return Ok(Endpoint { address: address.clone(), in_form: false });
        }
        let mut known = self.endpoint.lock().await;
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let metadata = Metadata::of(client, &issuer.issuer).await.map_err(|why| Trouble::Away(why, None))?;
        let address = metadata.introspection().map_err(Trouble::Setup)?;
        Ok(known.insert(Endpoint { address, in_form: metadata.takes_credentials_in_the_form() }).clone())
    }
}

/// What a caller is told that cannot do anything about it.
const AWAY: &str = "the token's issuer cannot be asked about the token at the moment";

/// What an answer other than 200 means. What only the token can have caused is no reason to leave
/// the issuer alone: anybody can send a token.
async fn trouble(response: Response, address: &str) -> Trouble {
    let status = response.status();
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            let text = authorization_server::read(response, LARGEST).await.unwrap_or_default();
            let error: Option<Value> = serde_json::from_slice(&text).ok();
            match error.as_ref().and_then(|error| error.get("error")?.as_str()) {
                Some("invalid_client" | "unauthorized_client") => unauthorized(address, status),
                _ => Trouble::Token,
            }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => unauthorized(address, status),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Trouble::Away(format!("{address} answered {status}"), after.map(Duration::from_secs))
        }
        _ => Trouble::Setup(format!("{address} answered {status}: check endpoint in [auth.issuer.NAME.introspection]")),
    }
}

fn unauthorized(address: &str, status: StatusCode) -> Trouble {
    Trouble::Setup(format!("{address} answered {status}: check client_id and client_secret in [auth.issuer.NAME.introspection]"))
}

/// The claims of a token that is active, as those of a JWT. What a JWT needs, this needs too, but
/// for what the issuer has checked itself.
fn claims(issuer: &IssuerConfig, mut answer: Map<String, Value>) -> Result<Claims, Refusal> {
    // A refresh token is active too. RFC 7662 has the types of RFC 6749, 5.1 here; who leaves it
    // out has an audience all the same.
    let kind = answer.get("token_type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !["bearer", "dpop"].iter().any(|known| known.eq_ignore_ascii_case(kind))) {
        return Err(Refusal::Kind);
    }
    if answer.get("aud").is_none_or(Value::is_null) {
        return Err(Refusal::Claim("aud".to_owned()));
    }
    // What is null is not there.
    answer.retain(|_, value| !value.is_null());
    answer.entry("iss").or_insert_with(|| issuer.issuer.as_str().into());
    answer.entry("exp").or_insert_with(|| u64::MAX.into());
    // RFC 9068 has the client as the subject of a token without a person; here the issuer leaves it
    // to us.
    if let Some(client) = answer.get("client_id").cloned() {
        answer.entry("sub").or_insert(client);
    }
    serde_json::from_value(Value::Object(answer))
        .map_err(|_| Refusal::Malformed("what its issuer says of it is not of the types of RFC 7662"))
}
