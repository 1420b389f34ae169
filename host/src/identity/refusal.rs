//! Why a token is not accepted, in words that its holder can act on.

use std::time::Duration;

/// Why a token is not accepted. None of these repeats anything of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is a JWT, and a broken one.
    #[error("the token is not a JWT that can be read: {0}")]
    Malformed(&'static str),
    /// It is no JWT, and no issuer is asked about others.
    #[error("the token is not a JWT ({0}), and this server accepts no others")]
    Opaque(&'static str),
    /// Its issuer says that it is good for nothing.
    #[error("the token's issuer says that it is not active: it has expired, was revoked, or never was one of its tokens")]
    Inactive,
    /// Its algorithm is none that is accepted, or not that of its key.
    #[error("the token's algorithm is not one that its key is for")]
    Algorithm,
    /// It is a JWT of another kind.
    #[error("the token is not an access token: its header has another typ")]
    Kind,
    /// It is bound to something that is not checked here.
    #[error(
        "the token is bound to a client certificate or in another way that this server does not check: ask for one that is bound by DPoP, or a bearer token"
    )]
    Bound,
    /// It is bound to a key, and came without a proof.
    #[error("the token is bound to a key: send it as Authorization: DPoP, with a proof in the header DPoP")]
    NoProof,
    /// It is bound to no key.
    #[error(
        "the token is not bound to a key, as one that comes with a DPoP proof or is asked for by this server has to be: ask for a bound one"
    )]
    NotBound,
    /// The proof is not accepted.
    #[error("the DPoP proof is not accepted: {0}")]
    Proof(&'static str),
    /// The proof has no nonce of this server, or one that is too old. This is the next.
    #[error("the DPoP proof needs the nonce of the answer's header DPoP-Nonce: make it again with that as its claim nonce")]
    Nonce(String),
    /// No issuer of that name is configured.
    #[error("the token's issuer is not one that this server trusts")]
    Issuer,
    /// Its issuer has no such key.
    #[error("the token is signed by a key that its issuer does not list")]
    Key,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is too old.
    #[error("the token has expired: ask for a new one")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet: compare the clocks")]
    Early,
    /// It is for somebody else.
    #[error("the token is for another audience than this server")]
    Audience,
    /// A claim is missing, or is not what it should be.
    #[error("the token's claim {0:?} is missing or of a wrong type")]
    Claim(String),
    /// It lacks scopes.
    #[error("the token lacks scopes that this server needs: {0}")]
    Scopes(String),
    /// The issuer's keys cannot be had.
    #[error("the keys of the token's issuer cannot be had at the moment; try again")]
    NoKeys,
    /// Nothing can be said of it now.
    #[error("{0}; try again")]
    Unavailable(&'static str, Duration),
}

impl Refusal {
    /// After how long to try again, where nothing is wrong with the token as far as is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        /// Keys are asked for again after so long.
        const KEYS: Duration = Duration::from_secs(5);
        match self {
            Self::NoKeys => Some(KEYS),
            Self::Unavailable(_, after) => Some(*after),
            _ => None,
        }
    }

    /// Whether a proof is what is missing or wrong.
    #[must_use]
    pub fn is_about_proof(&self) -> bool {
        matches!(self, Self::NoProof | Self::NotBound | Self::Proof(_) | Self::Nonce(_))
    }
}
