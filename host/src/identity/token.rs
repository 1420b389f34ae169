//! A token, taken apart before anything of it is believed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Refusal, crypto::Algorithm};

/// Bytes of a token: those of real issuers have a few hundred, with many groups some thousand.
const LONGEST: usize = 16 << 10;

/// What has to be known before a signature can be verified.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<String>,
    /// As the token says it: it is believed when the signature is that issuer's.
    pub(super) issuer: String,
    /// What is signed.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
    /// Base64url of the claims.
    payload: &'a str,
}

/// The claims that are looked at, of a token whose signature is right, or of which its issuer says
/// so much.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) exp: u64,
    #[serde(default)]
    pub(super) nbf: Option<u64>,
    pub(super) aud: Audience,
    #[serde(default)]
    pub(super) scope: Option<Value>,
    #[serde(default)]
    pub(super) scp: Option<Value>,
    #[serde(default)]
    pub(super) cnf: Option<Value>,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

/// One, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Several(several) => several,
        }
    }
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            #[serde(default)]
            typ: Option<String>,
            #[serde(default)]
            kid: Option<String>,
            #[serde(default)]
            crit: Option<Value>,
        }
        #[derive(Deserialize)]
        struct Payload {
            iss: String,
        }
        if token.len() > LONGEST {
            return Err(Refusal::Malformed("it is too long"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::Opaque("it has not three parts"));
        };
        let Header { alg, typ, kid, crit } = json(header).ok_or(Refusal::Opaque("its header is not JSON with an alg"))?;
        if crit.is_some() {
            return Err(Refusal::Malformed("its header has a crit that nobody here understands"));
        }
        let algorithm = Algorithm::of(&alg).ok_or(Refusal::Algorithm)?;
        // RFC 9068 has `at+jwt`; many issuers write `JWT`, or nothing.
        let kind = typ.as_deref().map(str::to_ascii_lowercase);
        if !matches!(kind.as_deref(), None | Some("at+jwt" | "application/at+jwt" | "jwt")) {
            return Err(Refusal::Kind);
        }
        let Payload { iss } = json(payload).ok_or(Refusal::Malformed("its payload is not JSON with an iss"))?;
        let message = token.rsplit_once('.').map_or(token, |(message, _)| message);
        Ok(Self {
            algorithm,
            key: kid,
            issuer: iss,
            message,
            signature: bytes(signature).ok_or(Refusal::Malformed("its signature is not base64url"))?,
            payload,
        })
    }

    /// What the token says. To be asked for when the signature is known to be right.
    pub(super) fn claims(&self) -> Result<Claims, Refusal> {
        json(self.payload)
            .ok_or(Refusal::Malformed("its claims are not those of an access token: exp is a whole number, aud a text or a list of texts"))
    }
}

/// A part that is JSON.
pub(super) fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&bytes(part)?).ok()
}

/// What a part is made of.
pub(super) fn bytes(part: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(part).ok()
}

/// Whether a token could be one at all: RFC 6750, 2.1.
pub(super) fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// The values of a claim: a text with spaces between them, or a list of texts.
pub(super) fn values(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => text.split_ascii_whitespace().collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A claim by its path: `realm_access.roles`. A claim whose own name has dots goes first.
pub(super) fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let mut steps = path.split('.');
        let first = claims.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    })
}
