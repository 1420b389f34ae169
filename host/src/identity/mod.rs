//! Who a caller is, by a token of an authorization server: an OAuth 2.1 resource server's part.
//!
//! `token` takes a JWT apart, `keys` has its issuer's keys, `crypto` verifies signatures (by ring, which the
//! host has for TLS; jsonwebtoken would bring another library, and turns on features that compile the engine again), `issuer` puts these together, and [`Issuers`] knows all issuers and the tokens that were
//! verified. Nothing here knows HTTP as a server: a front hands in a token, and says what is answered.

mod crypto;
mod issuer;
mod keys;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use blake3::Hash;

pub use refusal::Refusal;

use crate::{
    config::{AuthConfig, IssuerConfig},
    provider::Principal,
};
use issuer::{Issuer, Verified};

/// Tokens that are known to be good, at most: some kilobytes for each.
const MOST: usize = 10_000;

/// All issuers whose tokens are accepted.
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    /// Tokens that were verified, by their hash, until they expire.
    verified: RwLock<HashMap<Hash, Arc<Verified>>>,
}

impl Issuers {
    /// Those of a configuration. What is the same as `before` keeps its keys.
    #[must_use]
    pub fn new(config: &AuthConfig, before: Option<&Self>) -> Self {
        let known = |name: &str, config: &IssuerConfig| {
            before?.all.iter().find(|issuer| issuer.name() == name && issuer.config() == config).cloned()
        };
        let issuer =
            |(name, config): (&String, &IssuerConfig)| known(name, config).unwrap_or_else(|| Arc::new(Issuer::new(name, config.clone())));
        Self { all: config.issuer.iter().map(issuer).collect(), verified: RwLock::default() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The identifiers of all, as clients are told of them.
    pub fn identifiers(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|issuer| issuer.config().issuer.as_str())
    }

    /// All scopes that tokens need, by any of them.
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        let mut scopes: Vec<&str> = self.all.iter().flat_map(|issuer| &issuer.config().scopes).map(String::as_str).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// Who has this token. `resources`: the URLs of what is asked for, one of which the token has to be for unless its issuer has a configured audience.
    ///
    /// # Errors
    ///
    /// Why the token is not accepted.
    pub async fn authenticate(&self, token: &str, resources: &[&str]) -> Result<Principal, Refusal> {
        let hash = blake3::hash(token.as_bytes());
        let known = self.verified.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        if let Some(known) = known.filter(|known| known.holds(now())) {
            return known.principal_for(resources);
        }
        let parts = token::Parts::of(token)?;
        let issuer = self.all.iter().find(|issuer| issuer.config().issuer == parts.issuer).ok_or(Refusal::Issuer)?;
        let verified = Arc::new(Issuer::verify(issuer, token, &parts, now()).await?);
        self.keep(hash, &verified);
        verified.principal_for(resources)
    }

    fn keep(&self, hash: Hash, verified: &Arc<Verified>) {
        let mut all = self.verified.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            let now = now();
            all.retain(|_, verified| verified.holds(now));
            if all.len() >= MOST {
                all.clear();
            }
        }
        all.insert(hash, Arc::clone(verified));
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.identifiers()).finish()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
