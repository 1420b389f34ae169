//! A token, taken apart before anything of it is believed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};
use serde_json::{Map, Number, Value};

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
    #[serde(deserialize_with = "seconds")]
    pub(super) exp: u64,
    #[serde(default, deserialize_with = "some_seconds")]
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

/// Whether a header has a `crit`, whatever that is.
#[derive(Default)]
pub(super) struct Crit(pub(super) bool);

impl<'de> Deserialize<'de> for Crit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
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
            crit: Crit,
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
        if crit.0 {
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
            .ok_or(Refusal::Malformed("its claims are not those of an access token: exp is a number, aud a text or a list of texts"))
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

/// A claim by its path: `realm_access.roles`. Names may have dots themselves (`resource_access.tools.example.com.roles`): whatever leads
/// somewhere is followed, the shortest names first, and a claim that has the whole path for its name goes before all.
pub(super) fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let inside = |at: usize| claim(claims.get(path.get(..at)?)?.as_object()?, path.get(at + 1..)?);
    claims.get(path).or_else(|| path.match_indices('.').find_map(|(at, _)| inside(at)))
}

/// A time: RFC 7519 allows a fraction, which counts for nobody. Before 1970 is as good as 1970.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let whole = number.as_u64().or_else(|| number.as_f64().map(whole));
    whole.ok_or_else(|| D::Error::custom("not a time"))
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Seconds(u64);
    impl<'de> Deserialize<'de> for Seconds {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            seconds(deserializer).map(Self)
        }
    }
    Ok(Option::<Seconds>::deserialize(deserializer)?.map(|Seconds(seconds)| seconds))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` takes what is nearest")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_its_path_whatever_dots_its_names_have() {
        let Value::Object(claims) = json!({
            "roles": ["a"], "a.b": 1, "a": {"b": 2, "c": 3, "d.e": {"f": 4}, "d": {"x": 0}},
            "https://example.com/roles": ["b"],
            "resource_access": {"tools.example.com": {"roles": ["c"]}, "tools": {"roles": ["d"]}},
            "text": "x",
        }) else {
            unreachable!()
        };
        let found = |path: &str| claim(&claims, path).map(ToString::to_string);
        for (path, value) in [
            ("roles", Some(r#"["a"]"#)),
            ("a.b", Some("1")),
            ("a.c", Some("3")),
            ("a.d.e.f", Some("4")),
            ("https://example.com/roles", Some(r#"["b"]"#)),
            ("resource_access.tools.example.com.roles", Some(r#"["c"]"#)),
            ("resource_access.tools.roles", Some(r#"["d"]"#)),
            ("resource_access.tools.example.roles", None),
            ("text.x", None),
            ("a.", None),
            (".a", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(found(path).as_deref(), value, "{path}");
        }
    }

    #[test]
    fn a_time_may_have_a_fraction() {
        let claims = |exp: &str, nbf: &str| {
            let text = format!(r#"{{"iss": "x", "aud": "y", "exp": {exp}, "nbf": {nbf}}}"#);
            serde_json::from_str::<Claims>(&text).ok().map(|claims| (claims.exp, claims.nbf))
        };
        assert_eq!(claims("1790000000.999", "1790000000.5"), Some((1_790_000_000, Some(1_790_000_000))));
        assert_eq!(claims("1.79e9", "0"), Some((1_790_000_000, Some(0))));
        assert_eq!(claims("-1", "-0.5"), Some((0, Some(0))));
        assert_eq!(claims("1e300", "null"), Some((u64::MAX, None)));
        for wrong in ["\"1790000000\"", "null", "true", "[1]", "1e999"] {
            assert_eq!(claims(wrong, "0"), None, "{wrong}");
        }
        assert_eq!(claims("1", "\"0\""), None);
    }
}
