//! One authorization server: whether a token is its own and still good, and what its claims make of the caller.

use std::sync::Arc;

use blake3::Hash;
use serde_json::Value;

use super::{
    Refusal,
    keys::Keys,
    token::{Claims, Parts, claim, values},
};
use crate::{
    config::IssuerConfig,
    provider::{CallerToken, Principal, Roles},
};

/// Bytes of the name of a caller.
const LONGEST_SUBJECT: usize = 256;

/// One authorization server.
pub(super) struct Issuer {
    name: String,
    config: IssuerConfig,
    keys: Arc<Keys>,
}

/// A token whose signature and claims are right.
pub(super) struct Verified {
    principal: Principal,
    /// For whom it is. None: for this host, as its issuer's configuration has it.
    audience: Option<Vec<String>>,
    /// Scopes that it lacks.
    lacks: Vec<String>,
    /// From then on it is not good any more, in seconds since 1970.
    ends: u64,
    issuer: Arc<Issuer>,
    /// Which keys the issuer had.
    keys: Option<Hash>,
}

impl Verified {
    /// Whether it need not be verified again.
    pub(super) fn holds(&self, now: u64) -> bool {
        now < self.ends && self.keys == self.issuer.keys.print()
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
    pub(super) fn new(name: &str, config: IssuerConfig) -> Self {
        Self { name: name.to_owned(), config, keys: Arc::new(Keys::new()) }
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
        let (key, keys) = issuer.keys.of(config, parts.key.as_deref(), parts.algorithm).await?;
        // The key is for the algorithm of the token: they were compared when it was looked up.
        if !key.verifies(parts.algorithm, parts.message.as_bytes(), &parts.signature) {
            return Err(Refusal::Signature);
        }
        let claims = parts.claims()?;
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
        if claims.cnf.as_ref().is_some_and(|bound| !bound.is_null()) {
            return Err(Refusal::Bound);
        }
        let scopes: Vec<String> = claims.scope.iter().chain(&claims.scp).flat_map(values).map(str::to_owned).collect();
        let lacks = config.scopes.iter().filter(|needed| !scopes.contains(needed)).cloned().collect();
        let subject = claim(&claims.others, &config.subject_claim).and_then(Value::as_str);
        let subject = subject.filter(|subject| (1..=LONGEST_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control));
        let subject = subject.ok_or_else(|| Refusal::Claim(config.subject_claim.clone()))?;
        let roles = issuer.roles(&claims, &scopes);
        let told = config.claims.iter().filter_map(|path| Some((path.clone(), claim(&claims.others, path)?.clone()))).collect();
        let kept = config.keeps_tokens.then(|| CallerToken::new(token, claims.exp));
        let principal = Principal::with_token(&format!("{}:{subject}", issuer.name), roles, told, kept);
        let audience = claims.aud.into_list();
        let is_configured = audience.iter().any(|audience| config.audience.contains(audience));
        if !config.audience.is_empty() && !is_configured {
            return Err(Refusal::Audience);
        }
        let audience = config.audience.is_empty().then_some(audience);
        Ok(Verified { principal, audience, lacks, ends, issuer: Arc::clone(issuer), keys })
    }

    /// The roles of a caller by its scopes, and by the values of the claim that is configured.
    fn roles(&self, claims: &Claims, scopes: &[String]) -> Roles {
        let config = &self.config;
        let named: Vec<&str> = config.roles_claim.as_deref().and_then(|path| claim(&claims.others, path)).map(values).unwrap_or_default();
        let mut roles: Vec<&str> = config.default_roles.iter().map(String::as_str).collect();
        if config.roles.is_empty() {
            roles.extend(named);
        } else {
            let all = named.into_iter().chain(scopes.iter().map(String::as_str));
            roles.extend(all.filter_map(|value| config.roles.get(value)).flatten().map(String::as_str));
        }
        Roles::new(roles)
    }
}
