//! The keys of one issuer: asked for once for all that wait, kept when they cannot be had again.
//!
//! An issuer may give several keys one `kid`, or a new key that of the old one: all that a token can mean are tried, and where none of them
//! has signed it the issuer is asked whether there are others now.

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
use tokio::{sync::Mutex, task::JoinHandle, time::timeout};

use super::{
    Refusal,
    crypto::{Algorithm, PublicKey},
    jwk::{Jwk, Key},
    server::{LARGEST, Metadata},
};
use crate::{authorization_server, config::IssuerConfig};

/// Keys of one issuer that are kept.
const MOST_KEYS: usize = 100;
/// After how long keys are asked for again: a key that its issuer has withdrawn is good for no longer.
const REFRESH: Duration = Duration::from_secs(600);
/// The least time between two questions: whoever sends tokens with keys that nobody has is not to make requests to the issuer.
const GAP: Duration = Duration::from_secs(5);
/// The longest time between two that fail.
const LONGEST_GAP: Duration = Duration::from_secs(60);
/// Past that age nobody has asked for long, and what is known may have been withdrawn since: who comes first waits for the answer.
const STALE: Duration = Duration::from_secs(1200);
/// How long. Known keys outlive an issuer that is away.
const WAIT: Duration = Duration::from_secs(5);
/// Keys that are tried for one token.
const MOST_TRIED: usize = 8;

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

/// Keys by which a token may be signed.
pub(super) struct Found {
    pub(super) keys: Vec<PublicKey>,
    /// Of which list they are.
    pub(super) print: Option<Hash>,
    at: Option<Instant>,
}

impl Held {
    /// The keys that a token may mean. None: there is none, so far.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Result<Found, Refusal>> {
        let named: Vec<&Key> = match id {
            Some(id) => self.keys.iter().filter(|key| key.id.as_deref() == Some(id)).collect(),
            None => self.keys.iter().filter(|key| key.algorithms.contains(&algorithm)).collect(),
        };
        if named.is_empty() {
            return None;
        }
        let fitting = named.into_iter().filter(|key| key.algorithms.contains(&algorithm));
        let keys: Vec<PublicKey> = fitting.take(MOST_TRIED).map(|key| key.key.clone()).collect();
        Some(if keys.is_empty() { Err(Refusal::Algorithm) } else { Ok(Found { keys, print: self.print, at: self.at }) })
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

    /// The keys by which a token may be signed, by what it says.
    pub(super) async fn of(self: &Arc<Self>, config: &IssuerConfig, id: Option<&str>, algorithm: Algorithm) -> Result<Found, Refusal> {
        self.tend(config).await;
        let held = self.held.load_full();
        if let Some(found) = held.find(id, algorithm) {
            return found;
        }
        self.ask(config, held.at).await;
        self.now(id, algorithm)
    }

    /// The same, after none of those that were found has signed the token. None: there are no others.
    pub(super) async fn others(&self, config: &IssuerConfig, id: Option<&str>, algorithm: Algorithm, before: &Found) -> Option<Found> {
        self.ask(config, before.at).await;
        self.now(id, algorithm).ok().filter(|found| found.print != before.print)
    }

    fn now(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Found, Refusal> {
        let held = self.held.load();
        match held.find(id, algorithm) {
            Some(found) => found,
            None if held.print.is_none() => Err(Refusal::NoKeys),
            None => Err(Refusal::Key),
        }
    }

    /// Has keys that are old asked for again, mostly while others go on with them. Whoever shows a token that is known does so too: a key
    /// that was withdrawn would be good for as long as the token otherwise.
    pub(super) async fn tend(self: &Arc<Self>, config: &IssuerConfig) {
        let age = self.held.load().at.map(|at| at.elapsed());
        let Some(age) = age.filter(|age| *age > REFRESH) else { return };
        if let Some(asking) = self.refresh(config)
            && age > STALE
        {
            // It goes on if nobody waits any more.
            let _ = timeout(WAIT, asking).await;
        }
    }

    /// Asks while others go on with the keys that there are. None: somebody does already.
    fn refresh(self: &Arc<Self>, config: &IssuerConfig) -> Option<JoinHandle<()>> {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (keys, config) = (Arc::clone(self), config.clone());
        // Ends by itself, within a few times the time that a request may take.
        Some(tokio::spawn(async move {
            let at = keys.held.load().at;
            keys.ask(&config, at).await;
            keys.refreshing.store(false, Ordering::Release);
        }))
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

#[cfg(test)]
impl Keys {
    /// Has everything happened so much earlier.
    pub(super) async fn pass(&self, time: Duration) {
        let earlier = |at: Option<Instant>| at.map(|at| at.checked_sub(time).unwrap());
        let held = self.held.load_full();
        let keys = held.keys.iter().map(|key| Key { id: key.id.clone(), algorithms: key.algorithms.clone(), key: key.key.clone() });
        self.held.store(Arc::new(Held { keys: keys.collect(), print: held.print, at: earlier(held.at) }));
        let mut asked = self.asking.lock().await;
        asked.last = earlier(asked.last);
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
    let keys: Vec<Key> = keys.into_iter().filter_map(|jwk| Jwk::of(jwk)?.key()).take(MOST_KEYS).collect();
    if keys.is_empty() {
        return Err(format!("{address} lists no key that can verify a token (RSA, P-256, P-384 or Ed25519)"));
    }
    Ok((keys, blake3::hash(&text)))
}
