//! Who a caller is, by a token of an authorization server: an OAuth 2.1 resource server's part.
//!
//! `token` takes a JWT apart, `keys` has its issuer's keys (`jwk`), `crypto` verifies signatures
//! (by ring, which the host has for TLS; jsonwebtoken would bring another library, and turns on
//! features that compile the engine again). `introspection` asks an issuer about tokens that are no
//! JWTs, `server` is how issuers are reached. `proof` checks that a caller has the key that its
//! token is bound to (DPoP), `replays` that no proof comes twice, also not to another host where they
//! share something, and `nonces` that none was made beforehand. `issuer` puts these together,
//! and [`Issuers`] knows all issuers and the tokens that were found good. Nothing here knows HTTP
//! as a server: a front hands in a token, and says what is answered.

mod crypto;
mod introspection;
mod issuer;
mod jwk;
mod keys;
mod nonces;
mod proof;
mod refusal;
mod replays;
mod server;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use blake3::Hash;

pub use issuer::would_be;
pub use proof::Proof;
pub use refusal::Refusal;

use crate::{
    config::{AuthConfig, IssuerConfig},
    provider::Principal,
    shared::Shared,
    unix_time,
};
use introspection::Introspection;
use issuer::{Issuer, Verified};

/// The algorithms by which tokens and proofs can be signed, by their names.
pub const ALGORITHMS: &[&str] = &crypto::ALGORITHMS;

/// Tokens that are known to be good, at most: some kilobytes for each.
const MOST: usize = 10_000;

/// When to try again where other hosts cannot be asked.
const SOON: Duration = Duration::from_secs(1);

/// What a caller shows of itself.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its token.
    pub token: &'a str,
    /// What came with it. None: its scheme was Bearer, which has no proof.
    pub proof: Option<Proof<'a>>,
}

/// All issuers whose tokens are accepted.
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    /// Tokens that were verified, by their hash, until they expire.
    verified: RwLock<HashMap<Hash, Arc<Verified>>>,
    /// Where other hosts are told of proofs.
    shared: Arc<Shared>,
}

impl Issuers {
    /// Those of a configuration. What is the same as `before` keeps its keys and the tokens that
    /// are known.
    #[must_use]
    pub fn new(config: &AuthConfig, before: Option<&Self>) -> Self {
        let issuer = |(name, config): (&String, &IssuerConfig)| {
            let before = before.and_then(|before| before.all.iter().find(|issuer| issuer.name() == name));
            match before {
                Some(same) if same.config() == config => Arc::clone(same),
                _ => Arc::new(Issuer::new(name, config.clone(), before.map(|before| &**before))),
            }
        };
        let all: Vec<_> = config.issuer.iter().map(issuer).collect();
        let verified = before.map(|before| {
            let known = before.verified.read().unwrap_or_else(PoisonError::into_inner);
            let is_kept = |verified: &Verified| all.iter().any(|issuer| Arc::ptr_eq(issuer, verified.issuer()));
            known.iter().filter(|(_, verified)| is_kept(verified)).map(|(hash, verified)| (*hash, Arc::clone(verified))).collect()
        });
        let shared = before.map(|before| Arc::clone(&before.shared)).unwrap_or_default();
        Self { all, verified: RwLock::new(verified.unwrap_or_default()), shared }
    }

    /// Tells other hosts of proofs from now on, and asks them.
    pub fn share(&mut self, shared: Arc<Shared>) {
        self.shared = shared;
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

    /// Whether tokens of every issuer, or of any, have to be bound to a key (DPoP).
    #[must_use]
    pub fn require_dpop(&self) -> (bool, bool) {
        let mut required = self.all.iter().map(|issuer| issuer.config().require_dpop);
        (!self.is_empty() && required.clone().all(|required| required), required.any(|required| required))
    }

    /// Who has this token. `resources`: the URLs of what is asked for, one of which the token has to be for unless its issuer has a configured audience.
    ///
    /// # Errors
    ///
    /// Why the token is not accepted.
    pub async fn authenticate(&self, shown: &Shown<'_>, resources: &[&str]) -> Result<Principal, Refusal> {
        let verified = self.verified(shown.token).await?;
        let first = verified.proven(shown.token, shown.proof.as_ref(), unix_time::seconds())?;
        let is_vouched = shown.proof.is_some_and(|proof| proof.vouched);
        if let Some((proof, remembered)) = first.filter(|_| !is_vouched) {
            self.is_first(&proof, remembered).await?;
        }
        verified.principal_for(resources)
    }

    /// Whether no other host has seen a proof.
    async fn is_first(&self, proof: &replays::Id, remembered: Duration) -> Result<(), Refusal> {
        let Some(link) = self.shared.link() else { return Ok(()) };
        match link.is_first(proof, remembered).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(proof::USED),
            Err(fault) if self.shared.fails_closed() => {
                // The log and `/status` say more: where Redis is concerns no caller.
                tracing::debug!("a proof is rejected, since nobody knows whether another host has seen it: {fault}");
                Err(Refusal::Unavailable("this server cannot find out at the moment whether the DPoP proof was used before", SOON))
            }
            Err(_) => Ok(()),
        }
    }

    async fn verified(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        let hash = blake3::hash(token.as_bytes());
        if let Some(known) = self.known(&hash)
            && known.still_holds(unix_time::seconds()).await
        {
            return Ok(known);
        }
        let parts = match token::Parts::of(token) {
            Ok(parts) => parts,
            Err(opaque @ Refusal::Opaque(_)) => {
                let mut asked = self.all.iter().filter_map(|issuer| Some((issuer, issuer.introspection()?)));
                return match asked.next() {
                    Some((issuer, introspection)) if token::is_token(token) => self.ask(issuer, introspection, token, hash).await,
                    Some(_) => Err(Refusal::Malformed("a token has letters, digits and -._~+/ only, with = at its end")),
                    None => Err(opaque),
                };
            }
            Err(refusal) => return Err(refusal),
        };
        let issuer = self.all.iter().find(|issuer| issuer.config().issuer == parts.issuer).ok_or(Refusal::Issuer)?;
        let verified = Arc::new(Issuer::verify(issuer, token, &parts, unix_time::seconds()).await?);
        self.keep(hash, &verified);
        Ok(verified)
    }

    /// A token whose issuer is asked what it means: once for all that wait.
    async fn ask(&self, issuer: &Arc<Issuer>, introspection: &Introspection, token: &str, hash: Hash) -> Result<Arc<Verified>, Refusal> {
        introspection.refuses(&hash)?;
        let _turn = introspection.turn(&hash).await?;
        if let Some(known) = self.known(&hash) {
            return Ok(known);
        }
        introspection.refuses(&hash)?;
        match Issuer::ask(issuer, introspection, token, unix_time::seconds()).await {
            Ok(verified) => {
                let verified = Arc::new(verified);
                if verified.holds(unix_time::seconds()) {
                    self.keep(hash, &verified);
                }
                Ok(verified)
            }
            Err(refusal) => {
                if refusal.retry_after().is_none() {
                    introspection.refuse(hash, &refusal);
                }
                Err(refusal)
            }
        }
    }

    /// A token that is known to be good.
    fn known(&self, hash: &Hash) -> Option<Arc<Verified>> {
        let known = self.verified.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        known.filter(|known| known.holds(unix_time::seconds()))
    }

    fn keep(&self, hash: Hash, verified: &Arc<Verified>) {
        let mut all = self.verified.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            let now = unix_time::seconds();
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
