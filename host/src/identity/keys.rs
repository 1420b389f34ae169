//! The keys of one issuer: asked for once for all that wait, kept when they cannot be had again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use blake3::Hash;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Refusal,
    crypto::{Algorithm, PublicKey},
    jwk::{Jwk, Key},
    server::{LARGEST, Metadata},
};
use crate::{authorization_server, config::IssuerConfig};

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
    let client = authorization_server::client()?;
    let address = match &config.jwks {
        Some(address) => address.clone(),
        None => Metadata::of(&client, &config.issuer).await?.keys()?,
    };
    let text = authorization_server::get(&client, &address, LARGEST).await?;
    let Set { keys } = serde_json::from_slice(&text).map_err(|error| format!("{address} is not a set of keys: {error}"))?;
    let keys: Vec<Key> = keys.into_iter().take(MOST_KEYS).filter_map(|jwk| Jwk::of(jwk)?.key()).collect();
    if keys.is_empty() {
        return Err(format!("{address} lists no key that can verify a token (RSA, P-256, P-384 or Ed25519)"));
    }
    Ok((keys, blake3::hash(&text)))
}
