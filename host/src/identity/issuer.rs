//! One authorization server: whether a token is its own and still good, and what its claims make of the caller.

use std::{sync::Arc, time::Duration};

use blake3::Hash;
use serde_json::{Map, Value};

use super::{
    Refusal,
    introspection::Introspection,
    keys::{self, Keys},
    nonces::Nonces,
    proof::{Binding, MOST_AGE, Proof},
    replays::{self, Replays},
    token::{Claims, Parts, claim, values},
};
use crate::{
    config::IssuerConfig,
    provider::{CallerToken, Principal, Roles, Step, Steps, steers},
};

/// Bytes of the name of a caller.
const LONGEST_SUBJECT: usize = 256;

/// One authorization server.
pub(super) struct Issuer {
    name: String,
    config: IssuerConfig,
    pub(super) keys: Arc<Keys>,
    introspection: Option<Introspection>,
    /// Proofs that came with its tokens.
    replays: Arc<Replays>,
    /// What gives nonces for proofs. None: they need none.
    nonces: Option<Nonces>,
}

/// By what a token was found to be good.
#[derive(Clone, Copy)]
enum Found {
    /// By these keys of its issuer.
    Keys(Option<Hash>),
    /// By its issuer's own word.
    Asked,
}

/// A token that is good.
pub(super) struct Verified {
    principal: Principal,
    /// For whom it is. None: for this host, as its issuer's configuration has it.
    audience: Option<Vec<String>>,
    /// Scopes that it lacks.
    lacks: Vec<String>,
    /// From then on it is not good any more, in seconds since 1970.
    ends: u64,
    issuer: Arc<Issuer>,
    found: Found,
    /// The thumbprint of the key that its caller has to have.
    bound: Option<Box<str>>,
}

impl Verified {
    /// Whether it need not be verified again.
    pub(super) fn holds(&self, now: u64) -> bool {
        now < self.ends
            && match self.found {
                Found::Keys(keys) => keys == self.issuer.keys.print(),
                Found::Asked => true,
            }
    }

    /// The same, after its issuer's keys were asked for again if that was long ago.
    pub(super) async fn still_holds(&self, now: u64) -> bool {
        if matches!(self.found, Found::Keys(_)) {
            self.issuer.keys.tend(&self.issuer.config).await;
        }
        self.holds(now)
    }

    /// Whose it is.
    pub(super) fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Whether who shows it has the key that it is bound to, if it is bound to one. A proof is good where no other host has seen it within the time.
    pub(super) fn proven(&self, token: &str, proof: Option<&Proof<'_>>, now: u64) -> Result<Option<(replays::Id, Duration)>, Refusal> {
        let config = &self.issuer.config;
        match (&self.bound, proof) {
            (None, None) if !config.require_dpop => Ok(None),
            (None, _) => Err(Refusal::NotBound),
            (Some(_), None) => Err(Refusal::NoProof),
            (Some(thumbprint), Some(proof)) => {
                let nonces = self.issuer.nonces.as_ref();
                let binding = Binding { token, thumbprint, leeway: config.leeway.as_secs(), now, nonces };
                let replays = &self.issuer.replays;
                proof.check(&binding, replays).map(|id| Some((id, replays.period())))
            }
        }
    }

    /// Who has it, if it is for one of those resources.
    pub(super) fn principal_for(&self, resources: &[&str]) -> Result<Principal, Refusal> {
        let same = |audience: &String| resources.contains(&audience.trim_end_matches('/'));
        if self.audience.as_ref().is_some_and(|audience| !audience.iter().any(same)) {
            return Err(Refusal::Audience);
        }
        if !self.lacks.is_empty() {
            return Err(Refusal::Scopes(self.lacks.join(" ")));
        }
        Ok(self.principal.clone())
    }
}

impl Issuer {
    /// `before`: the same with another configuration. What was proven to that is not accepted
    /// again.
    pub(super) fn new(name: &str, config: IssuerConfig, before: Option<&Self>) -> Self {
        let nonces = config.dpop_nonces.then(|| Nonces::new(&config.nonce_keys));
        let introspection = config.introspection.clone().map(Introspection::new);
        let replays = match before.filter(|before| before.config.leeway == config.leeway) {
            Some(before) => Arc::clone(&before.replays),
            None => Arc::new(Replays::new(Duration::from_secs(MOST_AGE) + config.leeway * 2 + Duration::from_secs(1))),
        };
        Self { name: name.to_owned(), config, keys: Arc::new(Keys::new()), introspection, replays, nonces }
    }

    /// How it is asked about opaque tokens, if it is.
    pub(super) fn introspection(&self) -> Option<&Introspection> {
        self.introspection.as_ref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Verifies a token that says that it is this issuer's.
    pub(super) async fn verify(issuer: &Arc<Self>, token: &str, parts: &Parts<'_>, now: u64) -> Result<Verified, Refusal> {
        let config = &issuer.config;
        let (id, algorithm) = (parts.key.as_deref(), parts.algorithm);
        // Keys are for the algorithm of the token: they were compared when they were looked up.
        let signed_by =
            |keys: &keys::Found| keys.keys.iter().any(|key| key.verifies(algorithm, parts.message.as_bytes(), &parts.signature));
        let mut keys = issuer.keys.of(config, id, algorithm).await?;
        if !signed_by(&keys) {
            // The key may have another under its name by now.
            keys = issuer.keys.others(config, id, algorithm, &keys).await.filter(signed_by).ok_or(Refusal::Signature)?;
        }
        Self::accept(issuer, token, parts.claims()?, Found::Keys(keys.print), now)
    }

    /// Asks the issuer about a token that only it can read.
    pub(super) async fn ask(issuer: &Arc<Self>, introspection: &Introspection, token: &str, now: u64) -> Result<Verified, Refusal> {
        let mut verified = Self::accept(issuer, token, introspection.ask(&issuer.config, token).await?, Found::Asked, now)?;
        // Past its `exp` it is asked for again, whatever the clocks may differ by.
        let ends = verified.ends.saturating_sub(issuer.config.leeway.as_secs());
        verified.ends = ends.min(now.saturating_add(introspection.cache()));
        Ok(verified)
    }

    /// What the claims of a token say that is the issuer's.
    fn accept(issuer: &Arc<Self>, token: &str, claims: Claims, found: Found, now: u64) -> Result<Verified, Refusal> {
        let config = &issuer.config;
        if claims.iss != config.issuer {
            return Err(Refusal::Issuer);
        }
        let (leeway, ends) = (config.leeway.as_secs(), claims.exp.saturating_add(config.leeway.as_secs()));
        if ends <= now {
            return Err(Refusal::Expired);
        }
        if claims.nbf.is_some_and(|begins| begins > now.saturating_add(leeway)) {
            return Err(Refusal::Early);
        }
        let bound = bound(claims.cnf.as_ref())?;
        let scopes: Vec<String> = claims.scope.iter().chain(&claims.scp).flat_map(values).map(str::to_owned).collect();
        let lacks = config.scopes.iter().filter(|needed| !scopes.contains(needed)).cloned().collect();
        let kept = config.keeps_tokens.then(|| CallerToken::new(token, claims.exp));
        let principal = principal(&issuer.name, config, &claims.others, scopes, kept)?;
        let audience = claims.aud.into_list();
        let is_configured = audience.iter().any(|audience| config.audience.contains(audience));
        if !config.audience.is_empty() && !is_configured {
            return Err(Refusal::Audience);
        }
        let audience = config.audience.is_empty().then_some(audience);
        Ok(Verified { principal, audience, lacks, ends, issuer: Arc::clone(issuer), found, bound })
    }
}

/// Who calls, by the claims of a token of this issuer.
fn principal(
    issuer: &str,
    config: &IssuerConfig,
    claims: &Map<String, Value>,
    scopes: Vec<String>,
    kept: Option<CallerToken>,
) -> Result<Principal, Refusal> {
    let subject = claim(claims, &config.subject_claim).and_then(Value::as_str);
    let subject = subject.filter(|subject| (1..=LONGEST_SUBJECT).contains(&subject.len()));
    // One that looks like another's.
    let subject = subject.filter(|subject| subject.trim() == *subject && !subject.chars().any(steers));
    let subject = subject.ok_or_else(|| Refusal::Claim(config.subject_claim.clone()))?;
    let roles = roles(config, claims, &scopes);
    let told = config.claims.iter().filter_map(|path| Some((path.clone(), claim(claims, path)?.clone()))).collect();
    let steps = steps(config, &roles, &scopes);
    Ok(Principal::with_token(&format!("{issuer}:{subject}"), roles, told, kept).with_steps(steps).issued_by(issuer, scopes))
}

/// Who would call with a token of this issuer that has these claims.
///
/// # Errors
///
/// Why nobody would.
pub fn would_be(issuer: &str, config: &IssuerConfig, claims: &Map<String, Value>) -> Result<Principal, Refusal> {
    let scopes = ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).flat_map(values).map(str::to_owned).collect::<Vec<_>>();
    let lacks: Vec<&str> = config.scopes.iter().filter(|needed| !scopes.contains(needed)).map(String::as_str).collect();
    if !lacks.is_empty() {
        return Err(Refusal::Scopes(lacks.join(" ")));
    }
    principal(issuer, config, claims, scopes, None)
}

/// What more scopes would give to a caller with these.
fn steps(config: &IssuerConfig, roles: &Roles, scopes: &[String]) -> Option<Steps> {
    let with = |more: &[String]| Roles::new(roles.iter().chain(more.iter().map(String::as_str)));
    let gives = |scope: &String| config.roles.get(scope).map_or(&[][..], Vec::as_slice);
    let missing: Vec<&String> = config.step_up.iter().filter(|scope| !scopes.contains(scope)).collect();
    // A client asks for what it is told, and is to lose nothing that it has.
    let held = scopes.iter().filter(|scope| config.roles.contains_key(*scope) && !config.scopes.contains(scope));
    let kept: Vec<&str> = config.scopes.iter().chain(held).map(String::as_str).collect();
    let step = |scope: &&String| {
        let more = (!kept.contains(&scope.as_str())).then_some(scope.as_str());
        Step { roles: with(gives(scope)), scopes: kept.iter().copied().chain(more).collect::<Vec<_>>().join(" ") }
    };
    let all = with(&missing.iter().flat_map(|scope| gives(scope)).cloned().collect::<Vec<_>>());
    (!missing.is_empty()).then(|| Steps { each: missing.iter().map(step).collect(), all })
}

/// The roles of a caller by its scopes, and by the values of the claim that is configured.
fn roles(config: &IssuerConfig, claims: &Map<String, Value>, scopes: &[String]) -> Roles {
    let named: Vec<&str> = config.roles_claim.as_deref().and_then(|path| claim(claims, path)).map(values).unwrap_or_default();
    let mut roles: Vec<&str> = config.default_roles.iter().map(String::as_str).collect();
    if config.roles.is_empty() {
        roles.extend(named);
    } else {
        let all = named.into_iter().chain(scopes.iter().map(String::as_str));
        roles.extend(all.filter_map(|value| config.roles.get(value)).flatten().map(String::as_str));
    }
    Roles::new(roles)
}

/// The thumbprint of the key that a token is bound to, by its claim `cnf` (RFC 7800).
fn bound(cnf: Option<&Value>) -> Result<Option<Box<str>>, Refusal> {
    let Some(cnf) = cnf.filter(|cnf| !cnf.is_null()) else { return Ok(None) };
    // Whatever else it is bound to, such as a certificate, would have to be checked too.
    let only = cnf.as_object().filter(|members| members.len() == 1).and_then(|members| members.get("jkt")?.as_str());
    only.map(|thumbprint| Some(thumbprint.into())).ok_or(Refusal::Bound)
}
