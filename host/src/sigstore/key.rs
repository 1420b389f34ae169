//! A public key that signs: of a certificate, a log or a timestamping authority.

use ring::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
    },
};

use super::der::{BIT_STRING, OID, Reader, SEQUENCE};

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const EDWARDS: &[u8] = &[0x2b, 0x65, 0x70];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// What kind of key it is, and so which signatures it can have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    kind: Kind,
    /// As it is written in certificates (`SubjectPublicKeyInfo`).
    pub(super) info: Vec<u8>,
    /// The point, or the modulus and the exponent.
    bytes: Vec<u8>,
}

impl Key {
    /// Reads a `SubjectPublicKeyInfo`.
    pub(super) fn read(info: &[u8]) -> Result<Self, String> {
        let parts = || {
            let mut reader = Reader::only(info, SEQUENCE)?;
            let mut algorithm = reader.inside(SEQUENCE)?;
            let (kind, curve) = (algorithm.expect(OID)?, algorithm.optional(OID));
            let bits = reader.expect(BIT_STRING)?;
            // No bits of the last byte are unused.
            let (unused, bytes) = bits.split_first()?;
            (*unused == 0 && reader.is_empty()).then_some((kind, curve, bytes))
        };
        let (kind, curve, bytes) = parts().ok_or("it is not a public key")?;
        let kind = match (kind, curve) {
            (EC, Some(P256)) => Kind::P256,
            (EC, Some(P384)) => Kind::P384,
            (EDWARDS, None) => Kind::Ed25519,
            (RSA, None) => Kind::Rsa,
            _ => return Err("it is a key of a kind that is not supported (supported: ECDSA on P-256 and P-384, Ed25519, RSA)".to_owned()),
        };
        Ok(Self { kind, info: info.to_owned(), bytes: bytes.to_owned() })
    }

    /// Whether this key has signed a message.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let ways: &[&'static dyn VerificationAlgorithm] = match self.kind {
            Kind::P256 => &[&ECDSA_P256_SHA256_ASN1, &ECDSA_P256_SHA384_ASN1],
            Kind::P384 => &[&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1],
            Kind::Ed25519 => &[&ED25519],
            Kind::Rsa => &[&RSA_PKCS1_2048_8192_SHA256, &RSA_PKCS1_2048_8192_SHA384, &RSA_PKCS1_2048_8192_SHA512],
        };
        ways.iter().any(|way| UnparsedPublicKey::new(*way, &self.bytes).verify(message, signature).is_ok())
    }

    /// The SHA-256 of the key, by which Rekor of the first version and CT logs are called.
    pub(super) fn id(&self) -> Vec<u8> {
        hash(&digest::SHA256, &[&self.info])
    }

    /// The four bytes by which a checkpoint's signature names its key (C2SP signed-note).
    pub(super) fn hint(&self, name: &str) -> Vec<u8> {
        let mut hint = match self.kind {
            Kind::P256 | Kind::P384 => self.id(),
            Kind::Ed25519 => hash(&digest::SHA256, &[name.as_bytes(), &[b'\n', 1], &self.bytes]),
            Kind::Rsa => hash(&digest::SHA256, &[name.as_bytes(), &[b'\n', 0xff], b"PKIX-RSA-PKCS#1v1.5", &self.info]),
        };
        hint.truncate(4);
        hint
    }
}

/// The digest of these bytes, one after the other.
pub(super) fn hash(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_owned()
}

/// The algorithm that logs and bundles call so.
pub(super) fn algorithm(name: &str) -> Option<&'static digest::Algorithm> {
    match name {
        "sha256" | "SHA2_256" => Some(&digest::SHA256),
        "sha384" | "SHA2_384" => Some(&digest::SHA384),
        "sha512" | "SHA2_512" => Some(&digest::SHA512),
        _ => None,
    }
}
