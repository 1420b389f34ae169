//! The keys of one issuer: asked for once for all that wait, kept when they cannot be had again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use blake3::Hash;
use futures::StreamExt as _;
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::{
    Refusal,
    crypto::{Algorithm, PublicKey},
};
use crate::{config::IssuerConfig, tls};

/// How long an authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of its metadata, or of its keys.
const LARGEST: usize = 1 << 20;
/// Keys of one issuer that are looked at.
const MOST_KEYS: usize = 100;
/// After how long keys are asked for again: a key that its issuer has withdrawn is good for no longer.
const REFRESH: Duration = Duration::from_secs(600);
/// The least time between two questions: whoever sends tokens with keys that nobody has is not to make requests to the issuer.
const GAP: Duration = Duration::from_secs(5);
/// The longest time between two that fail.
const LONGEST_GAP: Duration = Duration::from_secs(60);

/// The keys of one issuer.
pub(super) struct Keys {
    held: ArcSwap<Held>,
    asking: Mutex<Asked>,
    /// Somebody asks behind the back of those who are answered.
    refreshing: AtomicBool,
}

/// What the issuer listed last.
#[derive(Default)]
pub(super) struct Held {
    keys: Vec<Key>,
    /// Which keys these are. None: there were none yet.
    print: Option<Hash>,
    at: Option<Instant>,
}

struct Key {
    id: Option<String>,
    /// For which it is: what its issuer says, or all that fit it.
    algorithms: Vec<Algorithm>,
    key: PublicKey,
}

#[derive(Default)]
struct Asked {
    last: Option<Instant>,
    failures: u32,
}

impl Held {
    /// The key of a token. None: there is none, so far.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Result<&Key, Refusal>> {
        match id {
            Some(id) => {
                let mut named = self.keys.iter().filter(|key| key.id.as_deref() == Some(id)).peekable();
                named.peek()?;
                Some(named.find(|key| key.algorithms.contains(&algorithm)).ok_or(Refusal::Algorithm))
            }
            None => {
                let mut fitting = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
                let first = fitting.next()?;
                Some(if fitting.next().is_none() { Ok(first) } else { Err(Refusal::Key) })
            }
        }
    }
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { held: ArcSwap::default(), asking: Mutex::default(), refreshing: AtomicBool::new(false) }
    }

    /// Which keys these are now.
    pub(super) fn print(&self) -> Option<Hash> {
        self.held.load().print
    }

    /// The key by which a token says that it is signed, and which keys there were then.
    pub(super) async fn of(
        self: &Arc<Self>,
        config: &IssuerConfig,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(PublicKey, Option<Hash>), Refusal> {
        let held = self.held.load_full();
        if let Some(found) = held.find(id, algorithm) {
            if held.at.is_none_or(|at| at.elapsed() > REFRESH) {
                self.refresh(config.clone());
            }
            return found.map(|key| (key.key.clone(), held.print));
        }
        self.ask(config, held.at).await;
        let held = self.held.load_full();
        match held.find(id, algorithm) {
            Some(found) => found.map(|key| (key.key.clone(), held.print)),
            None if held.print.is_none() => Err(Refusal::NoKeys),
            None => Err(Refusal::Key),
        }
    }

    /// Asks while others go on with the keys that there are.
    fn refresh(self: &Arc<Self>, config: IssuerConfig) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let keys = Arc::clone(self);
        // Ends by itself, within a few times TIMEOUT.
        tokio::spawn(async move {
            let at = keys.held.load().at;
            keys.ask(&config, at).await;
            keys.refreshing.store(false, Ordering::Release);
        });
    }

    /// Asks the issuer, unless somebody has since `seen`, or it was asked just now.
    async fn ask(&self, config: &IssuerConfig, seen: Option<Instant>) {
        let mut asked = self.asking.lock().await;
        if self.held.load().at != seen {
            return;
        }
        let gap = match asked.failures {
            0 => GAP,
            failures => Duration::from_secs(1 << failures.min(8)).min(LONGEST_GAP),
        };
        if asked.last.is_some_and(|last| last.elapsed() < gap) {
            return;
        }
        let result = fetch_keys(config).await;
        asked.last = Some(Instant::now());
        match result {
            Ok((keys, print)) => {
                asked.failures = 0;
                tracing::info!(issuer = config.issuer, keys = keys.len(), "the keys of an issuer were read");
                self.held.store(Arc::new(Held { keys, print: Some(print), at: Some(Instant::now()) }));
            }
            Err(why) => {
                asked.failures += 1;
                let kept = self.held.load().keys.len();
                tracing::warn!(
                    issuer = config.issuer,
                    kept,
                    "the keys of an issuer cannot be had: {why}; those that are known stay in use"
                );
            }
        }
    }
}

async fn fetch_keys(config: &IssuerConfig) -> Result<(Vec<Key>, Hash), String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let builder = || {
        // What is configured is asked, and nobody else.
        Client::builder().timeout(TIMEOUT).redirect(Policy::none()).user_agent(concat!("toolbay/", env!("CARGO_PKG_VERSION")))
    };
    let client = tls::client(builder, |_| {}).map_err(|error| format!("cannot set up HTTP: {}", tls::cause(&error)))?;
    let address = match &config.jwks {
        Some(address) => address.clone(),
        None => keys_address(&client, &config.issuer).await?,
    };
    let text = get(&client, &address).await?;
    let Set { keys } = serde_json::from_slice(&text).map_err(|error| format!("{address} is not a set of keys: {error}"))?;
    let keys: Vec<Key> = keys.into_iter().take(MOST_KEYS).filter_map(key).collect();
    if keys.is_empty() {
        return Err(format!("{address} lists no key that can verify a token (RSA, P-256, P-384 or Ed25519)"));
    }
    Ok((keys, blake3::hash(&text)))
}

/// Where the keys are, by the metadata of the issuer (RFC 8414, or OpenID Connect Discovery).
async fn keys_address(client: &Client, issuer: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
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
            serde_json::from_slice::<Metadata>(&text).map_err(|error| format!("{address} is not metadata of an issuer: {error}"))
        });
        match found {
            Ok(found) if found.issuer != issuer => {
                return Err(format!(
                    "{address} says that the issuer is {:?}; write it so in the configuration, with or without a slash",
                    found.issuer
                ));
            }
            Ok(found) => {
                return crate::config::server_url(&found.jwks_uri).map_err(|error| format!("jwks_uri in {address}: {error}"));
            }
            Err(error) => errors.push(error),
        }
    }
    errors.dedup();
    Err(errors.join("; "))
}

async fn get(client: &Client, address: &str) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| format!("{address}: {}", tls::cause(&error));
    let response = client.get(address).header("accept", "application/json").send().await.map_err(failed)?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("{address} answered {}", response.status()));
    }
    let mut body = response.bytes_stream();
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.map_err(failed)?);
        if text.len() > LARGEST {
            return Err(format!("{address} answered more than {LARGEST} bytes"));
        }
    }
    Ok(text)
}

/// One key of a set (RFC 7517). None: it is for something else, or of a kind that is not known.
fn key(jwk: Value) -> Option<Key> {
    #[derive(Deserialize)]
    struct Jwk {
        kty: String,
        kid: Option<String>,
        alg: Option<String>,
        #[serde(rename = "use")]
        usage: Option<String>,
        key_ops: Option<Vec<String>>,
        crv: Option<String>,
        n: Option<String>,
        e: Option<String>,
        x: Option<String>,
        y: Option<String>,
    }
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies {
        return None;
    }
    let bytes = |part: Option<String>| BASE64_URL_SAFE_NO_PAD.decode(part?).ok();
    let point = |length: usize| {
        let (x, y) = (bytes(jwk.x.clone())?, bytes(jwk.y.clone())?);
        // Both in full length, RFC 7518, 6.2.1.2; the first byte says that none is left out.
        (x.len() == length && y.len() == length).then(|| PublicKey::Point([vec![4], x, y].concat()))
    };
    let (fitting, key): (&[Algorithm], _) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (&Algorithm::RSA, Some(PublicKey::Rsa { n: bytes(jwk.n)?, e: bytes(jwk.e)? })),
        ("EC", Some("P-256")) => (&[Algorithm::Es256], point(32)),
        ("EC", Some("P-384")) => (&[Algorithm::Es384], point(48)),
        ("OKP", Some("Ed25519")) => (&[Algorithm::EdDsa], bytes(jwk.x).map(PublicKey::Point)),
        // A symmetric key is no key of an issuer, whatever it says.
        _ => return None,
    };
    let algorithms = match jwk.alg.as_deref() {
        None => fitting.to_vec(),
        Some(named) => fitting.iter().copied().filter(|algorithm| Algorithm::of(named) == Some(*algorithm)).collect(),
    };
    Some(Key { id: jwk.kid, algorithms, key: key? }).filter(|key| !key.algorithms.is_empty())
}
