//! Whether a caller has the key that its token is bound to: DPoP (RFC 9449), checked as section 4.3
//! lists it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    Refusal,
    crypto::{Algorithm, sha256},
    jwk::Jwk,
    nonces::Nonces,
    replays::{self, Replays, Seen},
    token,
};

/// Bytes of a proof: one with a key of RSA, 8192 bits, and its signature has 3,500.
const LONGEST: usize = 8 << 10;
/// Why a proof is refused that came before.
pub(super) const USED: Refusal = Refusal::Proof("it was used before (jti): make one for each request");
/// A machine without random numbers is broken; somebody may mend it.
const NO_NUMBERS: Duration = Duration::from_secs(30);
/// How old a proof may be, beside what the clocks may differ: one is made for each request.
pub(super) const MOST_AGE: u64 = 60;

/// What comes with a token of the scheme DPoP.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The proof itself. None: there is none, or more than one.
    pub text: Option<&'a str>,
    /// The method of the request.
    pub method: &'a str,
    /// The public URL of what is asked for, without a query.
    pub url: &'a str,
    /// Another host has accepted it, and has handed the request on to this one.
    pub vouched: bool,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    jwk: Value,
    #[serde(default)]
    crit: token::Crit,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    /// RFC 7519 allows a fraction.
    iat: f64,
    ath: String,
    /// Others than ours are let pass where none is asked for.
    #[serde(default)]
    nonce: Option<Value>,
}

/// What a proof has to fit.
pub(super) struct Binding<'a> {
    pub(super) token: &'a str,
    /// Of the key that the token is bound to.
    pub(super) thumbprint: &'a str,
    /// How far clocks may be apart, in seconds.
    pub(super) leeway: u64,
    /// Seconds since 1970.
    pub(super) now: u64,
    /// What gives nonces. None: proofs need none.
    pub(super) nonces: Option<&'a Nonces>,
}

impl Proof<'_> {
    /// Checks it, once: it is not accepted again by this host. By what others know it.
    pub(super) fn check(&self, binding: &Binding<'_>, replays: &Replays) -> Result<replays::Id, Refusal> {
        let wrong = |why| Err(Refusal::Proof(why));
        let Some(text) = self.text else { return wrong("the request needs the header DPoP, once") };
        if text.len() > LONGEST {
            return wrong("it is too long");
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return wrong("it is not a JWT, which has three parts");
        };
        let Some(Header { alg, typ, jwk, crit }) = token::json(header) else {
            return wrong("its header is not JSON with alg, typ and jwk");
        };
        if typ != "dpop+jwt" {
            return wrong("its header has another typ than dpop+jwt");
        }
        if crit.0 {
            return wrong("its header has a crit that this server does not understand");
        }
        let Some(algorithm) = Algorithm::of(&alg) else { return wrong("its algorithm is not one that this server accepts") };
        let Some(jwk) = Jwk::of(jwk) else { return wrong("its jwk is not a key") };
        if jwk.is_secret() {
            return wrong("its jwk holds a private key, which has now been sent over the network: make a new one");
        }
        let Some(key) = jwk.key().filter(|key| key.algorithms.contains(&algorithm)) else {
            return wrong("its jwk is not a public key for its algorithm");
        };
        if jwk.thumbprint().as_deref() != Some(binding.thumbprint) {
            return wrong("its key is not the one that the token is bound to");
        }
        let message = text.rsplit_once('.').map_or(text, |(message, _)| message);
        if !token::bytes(signature).is_some_and(|signature| key.key.verifies(algorithm, message.as_bytes(), &signature)) {
            return wrong("its signature is wrong");
        }
        let Some(Claims { jti, htm, htu, iat, ath, nonce }) = token::json(payload) else {
            return wrong("its claims are not those of a proof: jti, htm, htu and ath are texts, iat is a number");
        };
        if htm != self.method {
            return wrong("it is for another method (htm)");
        }
        if !is_same(&htu, self.url) {
            return wrong("it is for another URL (htu): make it for the URL that clients of this server are configured with");
        }
        // Seconds since 1970 are exact as f64 for 285 million years.
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let (now, leeway, most) = (binding.now as f64, binding.leeway as f64, MOST_AGE as f64);
        if !(iat >= now - most - leeway && iat <= now + leeway) {
            return wrong("it was made too long ago or in the future (iat): make one for each request, and compare the clocks");
        }
        if token::bytes(&ath).as_deref() != Some(sha256(binding.token.as_bytes()).as_slice()) {
            return wrong("it is not for this token (ath)");
        }
        if jti.is_empty() {
            return wrong("its jti is empty");
        }
        if let Some(nonces) = binding.nonces
            && !nonce.as_ref().and_then(Value::as_str).is_some_and(|nonce| nonces.accepts(nonce, binding.now))
        {
            let next = nonces.give(binding.now).ok_or(Refusal::Unavailable("this machine gives out no random numbers", NO_NUMBERS))?;
            return Err(Refusal::Nonce(next));
        }
        // Last, so that only who has the key has something remembered.
        let id = replays::id(binding.thumbprint, &jti);
        match replays.see(id) {
            Seen::Never => Ok(id),
            Seen::Before => Err(USED),
            Seen::NoRoom(wait) => Err(Refusal::Unavailable("this server remembers as many DPoP proofs as it can", wait)),
        }
    }
}

/// Whether this is the URL, after what RFC 3986 calls normalization, without query and fragment.
fn is_same(claimed: &str, url: &str) -> bool {
    let bare = |url: &str| {
        let mut url = Url::parse(url).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    bare(claimed).is_some_and(|claimed| Some(claimed) == bare(url))
}
