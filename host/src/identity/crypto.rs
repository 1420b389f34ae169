//! The signature of a JWT (RFC 7518), verified by ring, so that the host has one library of cryptography.

use ring::{
    digest,
    signature::{self as by, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm},
};

/// The names of all algorithms, as clients are told of them.
pub(super) const ALGORITHMS: [&str; 9] = ["ES256", "ES384", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// SHA-256 of something that everybody may know.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// How a token can be signed. Neither `none` nor a secret that both sides know is among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// By its name in a header or a key.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// Those of RSA, which any key of RSA could be for.
    pub(super) const RSA: [Self; 6] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// Of keys of 2048 to 8192 bits.
    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &by::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &by::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &by::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &by::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &by::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &by::RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }

    fn other(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::Es256 => Some(&by::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Some(&by::ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Some(&by::ED25519),
            _ => None,
        }
    }
}

/// A public key, as an issuer lists it.
#[derive(Clone)]
pub(super) enum PublicKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of a curve.
    Point(Vec<u8>),
}

impl PublicKey {
    /// Whether this is the signature of a message. A key of another kind than the algorithm's verifies nothing.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                algorithm.rsa().is_some_and(|parameters| RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok())
            }
            Self::Point(point) => {
                algorithm.other().is_some_and(|algorithm| UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok())
            }
        }
    }
}
