//! Why a token is not accepted, in words that its holder can act on.

/// Why a token is not accepted. None of these repeats anything of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no JWT.
    #[error("the token is not a JWT that can be read: {0}")]
    Malformed(&'static str),
    /// Its algorithm is none that is accepted, or not that of its key.
    #[error("the token's algorithm is not one that its key is for")]
    Algorithm,
    /// It is a JWT of another kind.
    #[error("the token is not an access token: its header has another typ")]
    Kind,
    /// It is bound to a key that the caller has to prove to have.
    #[error("the token is bound to a key (DPoP or mTLS), which this server does not check: ask for a bearer token")]
    Bound,
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
}
