//! A public key as JSON (RFC 7517), of an issuer or of a caller: which algorithms it is for, and
//! its thumbprint (RFC 7638).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::crypto::{Algorithm, PublicKey, sha256};

/// A key that verifies signatures.
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// For which it is: what its owner says, or all that fit it.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: PublicKey,
}

/// What stands in the JSON, as far as it is used.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Of a private key, RSA or not.
    d: Option<Value>,
    /// Of a symmetric one.
    k: Option<Value>,
}

impl Jwk {
    /// None: it is no key.
    pub(super) fn of(jwk: Value) -> Option<Self> {
        serde_json::from_value(jwk).ok()
    }

    /// Whether it holds what only its owner may know.
    pub(super) fn is_secret(&self) -> bool {
        self.d.is_some() || self.k.is_some()
    }

    /// The key. None: it is for something else, or of a kind that is not known.
    pub(super) fn key(&self) -> Option<Key> {
        let verifies = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !verifies {
            return None;
        }
        let bytes = |part: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
        let point = |length: usize| {
            let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
            // Both in full length, RFC 7518, 6.2.1.2; the first byte says that none is left out.
            (x.len() == length && y.len() == length).then(|| PublicKey::Point([vec![4], x, y].concat()))
        };
        let (fitting, key): (&[Algorithm], _) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (&Algorithm::RSA, Some(PublicKey::Rsa { n: bytes(&self.n)?, e: bytes(&self.e)? })),
            ("EC", Some("P-256")) => (&[Algorithm::Es256], point(32)),
            ("EC", Some("P-384")) => (&[Algorithm::Es384], point(48)),
            ("OKP", Some("Ed25519")) => (&[Algorithm::EdDsa], bytes(&self.x).map(PublicKey::Point)),
            // A symmetric key is no key of an issuer, whatever it says.
            _ => return None,
        };
        let algorithms = match self.alg.as_deref() {
            None => fitting.to_vec(),
            Some(named) => fitting.iter().copied().filter(|algorithm| Algorithm::of(named) == Some(*algorithm)).collect(),
        };
        Some(Key { id: self.kid.clone(), algorithms, key: key? }).filter(|key| !key.algorithms.is_empty())
    }

    /// The hash by which a token names it (RFC 7638). None: a part is missing, or is not base64url
    /// as it has to be.
    pub(super) fn thumbprint(&self) -> Option<String> {
        let part = |part: &Option<String>| {
            let part = part.as_deref()?;
            BASE64_URL_SAFE_NO_PAD.decode(part).ok().map(|_| part.to_owned())
        };
        let text = match self.kty.as_str() {
            "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, part(&self.e)?, part(&self.n)?),
            "EC" => {
                let (x, y) = (part(&self.x)?, part(&self.y)?);
                format!(r#"{{"crv":"{}","kty":"EC","x":"{x}","y":"{y}"}}"#, curve(self.crv.as_deref())?)
            }
            "OKP" => format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, curve(self.crv.as_deref())?, part(&self.x)?),
            _ => return None,
        };
        Some(BASE64_URL_SAFE_NO_PAD.encode(sha256(text.as_bytes())))
    }
}

/// A name of a curve that needs no escape in JSON.
fn curve(name: Option<&str>) -> Option<&str> {
    name.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thumbprint_is_that_of_the_standard() {
        // RFC 7638, 3.1.
        let jwk = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        assert_eq!(Jwk::of(jwk).unwrap().thumbprint().as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        // RFC 8037, A.3.
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(Jwk::of(jwk).unwrap().thumbprint().as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
        // RFC 9449, 6.1: the key of the example in 4.1.
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        assert_eq!(Jwk::of(jwk).unwrap().thumbprint().as_deref(), Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
    }
}
