//! Private keys that sign JWTs (RFC 7515), by ring, and their public halves as JWKs (RFC 7517).

use std::fmt;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use ring::{
    digest,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde::Serialize;
use serde_json::{Value, json};

/// A private key, its name and its public half. Two are the same when their names are, which are digests.
pub struct SigningKey {
    pair: Pair,
    algorithm: &'static str,
    id: String,
    jwk: Value,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// Of a PEM text (PKCS #8): P-256 signs by ES256, Ed25519 by EdDSA, RSA by RS256.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong and what to do, and does not show the key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        const MAKE: &str = "make one by: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
        if pem.contains("-----BEGIN EC PRIVATE KEY-----") || pem.contains("-----BEGIN RSA PRIVATE KEY-----") {
            return Err("the private key is not in the form PKCS #8; convert it by: openssl pkcs8 -topk8 -nodes -in old.pem".to_owned());
        }
        if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            return Err("the private key is encrypted; write it without a password by: openssl pkcs8 -topk8 -nodes -in old.pem".to_owned());
        }
        let body = pem.split_once("-----BEGIN PRIVATE KEY-----").and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"));
        let (body, _) = body.ok_or_else(|| format!("there is no -----BEGIN PRIVATE KEY----- in it; {MAKE}"))?;
        let body: String = body.split_whitespace().collect();
        let der = BASE64_STANDARD.decode(body).map_err(|_| format!("what stands between BEGIN and END is not base64; {MAKE}"))?;
        let random = SystemRandom::new();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random) {
            return Self::ecdsa(pair);
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            let x = text(pair.public_key().as_ref());
            let print = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
            return Ok(Self::new(Pair::Ed25519(pair), "EdDSA", json!({ "kty": "OKP", "crv": "Ed25519", "x": x }), &print));
        }
        let pair = RsaKeyPair::from_pkcs8(&der)
            .map_err(|_| format!("it is none of P-256, Ed25519 and RSA with 2048 to 4096 bits, which sign here; {MAKE}"))?;
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (n, e) = (text(&n), text(&e));
        let print = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        Ok(Self::new(Pair::Rsa(Box::new(pair)), "RS256", json!({ "kty": "RSA", "n": n, "e": e }), &print))
    }

    fn ecdsa(pair: EcdsaKeyPair) -> Result<Self, String> {
        // 4, x, y: an uncompressed point.
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else { return Err("its public half cannot be read".to_owned()) };
        let (x, y) = (text(x), text(y));
        let print = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(Self::new(Pair::Ecdsa(pair), "ES256", json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), &print))
    }

    /// `print`: what its thumbprint is of (RFC 7638).
    fn new(pair: Pair, algorithm: &'static str, mut jwk: Value, print: &str) -> Self {
        let id = text(digest::digest(&digest::SHA256, print.as_bytes()).as_ref());
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.extend([("kid", id.as_str()), ("alg", algorithm), ("use", "sig")].map(|(name, value)| (name.to_owned(), value.into())));
        }
        Self { pair, algorithm, id, jwk }
    }

    /// The public half, as it is published.
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// A JWT of these claims.
    ///
    /// # Errors
    ///
    /// A sentence: the machine has no random numbers.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let head = json!({ "alg": self.algorithm, "typ": "JWT", "kid": self.id });
        let claims = serde_json::to_vec(claims).map_err(|error| format!("the claims cannot be written: {error}"))?;
        let message = format!("{}.{}", text(head.to_string().as_bytes()), text(&claims));
        let failed = |_| "cannot sign: this machine gives out no random numbers".to_owned();
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message.as_bytes()).map_err(failed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).map_err(failed)?;
                signature
            }
        };
        Ok(format!("{message}.{}", text(&signature)))
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.id)
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der))
    }

    fn ec() -> String {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        pem(made.unwrap().as_ref())
    }

    fn ed() -> String {
        pem(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref())
    }

    #[test]
    fn what_is_signed_is_verified_by_the_published_half() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
        for (pem, algorithm) in [(&ec(), "ES256"), (&ed(), "EdDSA")] {
            let key = SigningKey::from_pem(pem).unwrap();
            let token = key.sign(&json!({ "sub": "ann" })).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(key.jwk()[name].as_str().unwrap()).unwrap();
            let (how, public): (&dyn VerificationAlgorithm, _) = match algorithm {
                "ES256" => (&ECDSA_P256_SHA256_FIXED, [vec![4], bytes("x"), bytes("y")].concat()),
                _ => (&ED25519, bytes("x")),
            };
            let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
            UnparsedPublicKey::new(how, public).verify(message.as_bytes(), &signature).unwrap();
            assert_eq!((&key.jwk()["alg"], &key.jwk()["use"]), (&json!(algorithm), &json!("sig")));
            assert_eq!(SigningKey::from_pem(pem).unwrap(), key);
        }
    }

    #[test]
    fn what_is_no_key_is_said_without_showing_it() {
        for (pem, says) in [
            ("", "openssl genpkey"),
            ("-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----", "openssl pkcs8"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----", "password"),
            ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "none of P-256"),
            ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", "base64"),
        ] {
            let error = SigningKey::from_pem(pem).unwrap_err();
            assert!(error.contains(says) && !error.contains("c2VjcmV0"), "{error}");
        }
    }
}
