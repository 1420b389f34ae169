//! Who calls, as a JWT for one server.

use http::{HeaderValue, header};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};

use crate::unix_time;
use crate::{config::IdentityConfig, provider::Principal};

/// What the host calls itself where it has no public address.
const HOST: &str = "toolbay";

/// The header's value. `caller`: None is the host itself, which is its own subject. No value: callers are not told apart.
///
/// # Errors
///
/// A sentence: it cannot be signed.
pub(super) fn header(identity: &IdentityConfig, caller: Option<Option<&Principal>>) -> Result<Option<HeaderValue>, String> {
    let Some(key) = identity.keys.first() else { return Ok(None) };
    let claims = match caller {
        Some(None) => return Ok(None),
        Some(Some(principal)) => claims(identity, principal.subject(), principal.roles().iter().collect(), Some(principal.claims()))?,
        None => claims(identity, issuer(identity), Vec::new(), None)?,
    };
    let token = key.sign(&claims)?;
    let text = if identity.header == header::AUTHORIZATION { format!("Bearer {token}") } else { token };
    let mut value = HeaderValue::try_from(text).map_err(|error| format!("the JWT of `identity` cannot be sent: {error}"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn issuer(identity: &IdentityConfig) -> &str {
    identity.issuer.as_deref().unwrap_or(HOST)
}

fn claims(
    identity: &IdentityConfig,
    subject: &str,
    roles: Vec<&str>,
    more: Option<&Map<String, Value>>,
) -> Result<Map<String, Value>, String> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| "cannot sign: this machine gives out no random numbers".to_owned())?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let now = unix_time::seconds();
    let mut claims = more.cloned().unwrap_or_default();
    let own = [
        ("iss", json!(issuer(identity))),
        ("sub", json!(subject)),
        ("aud", json!(identity.audience)),
        ("iat", json!(now)),
        ("exp", json!(now.saturating_add(identity.lifetime.as_secs().max(1)))),
        ("jti", json!(id)),
        ("roles", json!(roles)),
    ];
    claims.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Ok(claims)
}
