//! Who comes in: static bearer tokens, and the seam that other ways of authentication join.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::answer;
use crate::{
    config::{AuthConfig, Token},
    provider::{Principal, Roles},
};

/// The ways to find out who calls. OAuth will be one more.
#[derive(Debug)]
pub enum Authenticator {
    /// Everybody may come in and nobody has a name. Only for loopback: see [`super::may_listen`].
    Open,
    /// A caller shows one of these tokens.
    Tokens(Tokens),
}

/// The static tokens of `[auth.tokens]`, as hashes.
pub struct Tokens(Vec<(blake3::Hash, Principal)>);

/// Why somebody was not let in, and how to be. Becomes the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// No token came.
    Missing,
    /// A token came that is none of ours.
    Invalid,
    /// The header came twice, or is no text.
    Malformed,
}

impl Authenticator {
    /// Takes the tokens of a configuration; without any, everybody may come in.
    #[must_use]
    pub fn from_config(config: &AuthConfig) -> Self {
        if config.tokens.is_empty() {
            return Self::Open;
        }
        let hashed = |(name, token): (&str, &Token)| {
            let roles = Roles::new(token.roles().iter().map(String::as_str));
            (blake3::hash(token.expose().as_bytes()), Principal::with_roles(name, roles))
        };
        Self::Tokens(Tokens(config.tokens.iter().map(hashed).collect()))
    }

    /// Whether callers have to say who they are.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Finds out who calls, from the head of a request. None: nobody in particular, and that is allowed.
    ///
    /// # Errors
    ///
    /// [`Challenge`] where the caller may not come in.
    #[expect(clippy::unused_async, reason = "ways to join later ask somebody else")]
    pub async fn authenticate(&self, head: &Parts) -> Result<Option<Principal>, Challenge> {
        match self {
            Self::Open => Ok(None),
            Self::Tokens(tokens) => tokens.find(bearer(&head.headers)?).map(Some).ok_or(Challenge::Invalid),
        }
    }
}

impl Tokens {
    /// Looks at every token, and as long at each, so that the time says nothing on how near a guess was.
    fn find(&self, shown: &str) -> Option<Principal> {
        let shown = blake3::hash(shown.as_bytes());
        let mut found = Choice::from(0);
        let mut place = 0u64;
        for (index, (hash, _)) in (0u64..).zip(&self.0) {
            let same = hash.as_bytes().ct_eq(shown.as_bytes());
            place.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return None;
        }
        self.0.get(usize::try_from(place).ok()?).map(|(_, principal)| principal.clone())
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, principal)| principal.subject())).finish()
    }
}

impl Challenge {
    /// The answer: 401 (400 for a malformed header) with `WWW-Authenticate`, RFC 6750 §3. `rpc`: the
    /// caller speaks JSON-RPC, and reads its errors only.
    #[must_use]
    pub fn response(&self, rpc: bool) -> Response<Body> {
        const HINT: &str =
            "send the header `Authorization: Bearer TOKEN` with one of the tokens from [auth.tokens] of the server's toolbay.toml";
        let (status, challenge, error) = match self {
            Self::Missing => {
                (StatusCode::UNAUTHORIZED, "Bearer realm=\"toolbay\"", "this server requires a bearer token, and the request has none")
            }
            Self::Invalid => (
                StatusCode::UNAUTHORIZED,
                "Bearer realm=\"toolbay\", error=\"invalid_token\"",
                "the bearer token is not one of this server's",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "Bearer realm=\"toolbay\", error=\"invalid_request\"",
                "the Authorization header is repeated or cannot be read",
            ),
        };
        let problem =
            if rpc { answer::rpc_problem(status, &format!("{error}; {HINT}"), HINT) } else { answer::problem(status, error, HINT) };
        answer::with(problem, header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

/// The token of the one `Authorization` header. A token in the query string is not looked at: it would end up in logs and histories.
fn bearer(headers: &HeaderMap) -> Result<&str, Challenge> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let first = all.next().ok_or(Challenge::Missing)?;
    if all.next().is_some() {
        return Err(Challenge::Malformed);
    }
    let text = first.to_str().map_err(|_| Challenge::Malformed)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Challenge::Missing);
    }
    match token.trim_matches(' ') {
        "" => Err(Challenge::Missing),
        token => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn with(tokens: &[(&str, &str)]) -> Authenticator {
        Authenticator::from_config(&AuthConfig { tokens: config::Tokens::parse(tokens.iter().copied()).unwrap(), ..AuthConfig::default() })
    }

    fn ask(auth: &Authenticator, headers: &[&str]) -> Result<Option<Principal>, Challenge> {
        let mut request = http::Request::new(());
        for value in headers {
            request.headers_mut().append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        futures::executor::block_on(auth.authenticate(&request.into_parts().0))
    }

    #[test]
    fn each_token_has_its_name() {
        let auth = with(&[("ann", "aaaaaaaaaaaaaaaa"), ("bob", "bbbbbbbbbbbbbbbb"), ("eve", "eeeeeeeeeeeeeeee==")]);
        for (header, name) in
            [("Bearer aaaaaaaaaaaaaaaa", "ann"), ("bearer bbbbbbbbbbbbbbbb", "bob"), ("BEARER   eeeeeeeeeeeeeeee== ", "eve")]
        {
            assert_eq!(ask(&auth, &[header]), Ok(Some(Principal::new(name))), "{header}");
        }
    }

    #[test]
    fn what_is_no_token_of_ours_is_refused() {
        let auth = with(&[("ann", "aaaaaaaaaaaaaaaa")]);
        for header in
            ["Bearer aaaaaaaaaaaaaaa", "Bearer aaaaaaaaaaaaaaaaa", "Bearer Aaaaaaaaaaaaaaaa", "Bearer aaaaaaaaaaaaaaaa x", "Bearer ann"]
        {
            assert_eq!(ask(&auth, &[header]), Err(Challenge::Invalid), "{header}");
        }
        for headers in [&[][..], &["Basic YTpi"], &["Bearer"], &["Bearer "], &["aaaaaaaaaaaaaaaa"]] {
            assert_eq!(ask(&auth, headers), Err(Challenge::Missing), "{headers:?}");
        }
        assert_eq!(ask(&auth, &["Bearer aaaaaaaaaaaaaaaa", "Bearer aaaaaaaaaaaaaaaa"]), Err(Challenge::Malformed));
        assert_eq!(ask(&auth, &["Bearer \u{e4}aaaaaaaaaaaaaaa"]), Err(Challenge::Malformed));
    }

    #[test]
    fn no_token_is_shown() {
        assert_eq!(format!("{:?}", with(&[("ann", "0123456789abcdef-secret")])), "Tokens([\"ann\"])");
    }

    #[test]
    fn without_tokens_everybody_comes_in_without_a_name() {
        let auth = with(&[]);
        assert!(auth.is_open());
        assert_eq!(ask(&auth, &[]), Ok(None));
        assert_eq!(ask(&auth, &["Bearer whatever"]), Ok(None));
    }
}
