//! Who comes in: static bearer tokens, and the seam that other ways of authentication join.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{answer, resource::PublicUrl};
use crate::{
    config::{AuthConfig, Token},
    identity::{ALGORITHMS, Issuers, Proof, Refusal, Shown},
    mcp::NeedsScopes,
    provider::{Principal, Roles},
    shared::Shared,
};

/// The ways to find out who calls.
#[derive(Debug)]
pub enum Authenticator {
    /// Everybody may come in and nobody has a name. Only for loopback: see [`super::may_listen`].
    Open,
    /// A caller shows a token.
    Bearer(Bearer),
}

/// What tokens are accepted.
#[derive(Debug)]
pub struct Bearer {
    tokens: Tokens,
    issuers: Issuers,
    /// Of this server. It is there where there are issuers.
    url: Option<PublicUrl>,
}

/// The static tokens of `[auth.tokens]`, as hashes.
struct Tokens(Vec<(blake3::Hash, Principal)>);

/// Why somebody was not let in, and how to be. Becomes the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// No token came.
    Missing,
    /// A token came that is none of ours.
    Invalid,
    /// The header came twice, or is no text.
    Malformed,
    /// A token came that looks like one of an issuer, by this scheme, and is not accepted.
    Refused(Refusal, Scheme),
}

/// How a token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750.
    Bearer,
    /// With a proof that its caller has the key that it is bound to: RFC 9449.
    Dpop,
}

/// The header with the proof.
const PROOF: HeaderName = HeaderName::from_static("dpop");
/// The header with what a client has to put into its next proof.
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

impl Authenticator {
    /// Takes the tokens and issuers of a configuration; without any, everybody may come in.
    #[must_use]
    pub fn from_config(config: &AuthConfig) -> Self {
        Self::following(config, &Self::Open)
    }

    /// The same in place of another. Issuers that are in both keep their keys.
    #[must_use]
    pub fn following(config: &AuthConfig, before: &Self) -> Self {
        if config.is_open() {
            return Self::Open;
        }
        let before = match before {
            Self::Open => None,
            Self::Bearer(bearer) => Some(&bearer.issuers),
        };
        let hashed = |(name, token): (&str, &Token)| {
            let roles = Roles::new(token.roles().iter().map(String::as_str));
            (blake3::hash(token.expose().as_bytes()), Principal::with_roles(name, roles))
        };
        Self::Bearer(Bearer {
            tokens: Tokens(config.tokens.iter().map(hashed).collect()),
            issuers: Issuers::new(config, before),
            url: config.resource_url.as_deref().and_then(PublicUrl::parse),
        })
    }

    /// The same with what other hosts are told of.
    #[must_use]
    pub fn sharing(mut self, shared: &Arc<Shared>) -> Self {
        if let Self::Bearer(bearer) = &mut self {
            bearer.issuers.share(Arc::clone(shared));
        }
        self
    }

    /// The public address of this server, where the configuration has one.
    pub(super) fn public_url(&self) -> Option<&PublicUrl> {
        match self {
            Self::Open => None,
            Self::Bearer(bearer) => bearer.url.as_ref(),
        }
    }

    /// Whether callers have to say who they are.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Finds out who calls, from the head of a request. None: nobody in particular, and that is allowed. `vouched`: another instance has handed the request on,
    /// and has seen its proof.
    ///
    /// # Errors
    ///
    /// [`Challenge`] where the caller may not come in.
    pub async fn authenticate(&self, head: &Parts, vouched: bool) -> Result<Option<Principal>, Challenge> {
        match self {
            Self::Open => Ok(None),
            Self::Bearer(known) => {
                let (scheme, token) = shown(&head.headers)?;
                match known.tokens.find(token).filter(|_| scheme == Scheme::Bearer) {
                    Some(principal) => Ok(Some(principal)),
                    // Rarer, and a large future, which would be moved with every request.
                    None => Box::pin(known.find(scheme, token, head, vouched)).await.map(Some),
                }
            }
        }
    }

    /// The answer to who may not come in: 401 (400 for a malformed header, 403 where scopes are missing) with
    /// `WWW-Authenticate`, RFC 6750 §3, RFC 9449 §7.1 and RFC 9728 §5.1; 503 with `Retry-After`
    /// where an issuer is not there. `rpc`: the caller speaks JSON-RPC, and reads its errors only.
    #[must_use]
    pub fn answer(&self, challenge: &Challenge, path: &str, rpc: bool) -> Response<Body> {
        let (status, code, error) = challenge.parts();
        if let Challenge::Refused(refusal, _) = challenge
            && let Some(after) = refusal.retry_after()
        {
            // Nothing is wrong with the token, and another one is of no use.
            let problem = if rpc { answer::rpc_problem(status, &error, LATER) } else { answer::problem(status, &error, LATER) };
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            return answer::with(problem, header::RETRY_AFTER, seconds.max(1).into());
        }
        let dpop = || format!("DPoP algs=\"{}\"", ALGORITHMS.join(" "));
        let mut header = if challenge.is_dpop() { dpop() } else { "Bearer realm=\"toolbay\"".to_owned() };
        if let Some(code) = code {
            header += &format!(", error=\"{code}\"");
        }
        if let Challenge::Refused(refusal, _) = challenge {
            // Of our own words. The name of a claim is the configuration's.
            let text: String = refusal.to_string().chars().filter(|c| c.is_ascii() && !matches!(c, '"' | '\\')).collect();
            header += &format!(", error_description=\"{text}\"");
        }
        let mut hint = TOKEN_HINT;
        if let Self::Bearer(Bearer { issuers, url: Some(url), .. }) = self
            && !issuers.is_empty()
        {
            hint = OAUTH_HINT;
            header += &format!(", resource_metadata=\"{}\"", url.metadata_url(path));
            let scopes = issuers.scopes().join(" ");
            if !scopes.is_empty() {
                header += &format!(", scope=\"{scopes}\"");
            }
        }
        let problem =
            if rpc { answer::rpc_problem(status, &format!("{error}; {hint}"), hint) } else { answer::problem(status, &error, hint) };
        // Scopes and URLs are ASCII: the configuration was checked.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer realm=\"toolbay\""));
        let mut answer = answer::with(problem, header::WWW_AUTHENTICATE, value(header));
        if let Challenge::Refused(Refusal::Nonce(nonce), _) = challenge {
            // Of our own making: base64url.
            answer = answer::with(answer, NONCE, HeaderValue::try_from(nonce.as_str()).unwrap_or(HeaderValue::from_static("")));
        }
        if *challenge == Challenge::Missing && self.issuers().is_some_and(|issuers| issuers.require_dpop().1) {
            // Behind the other, since most clients read the first one only.
            answer.headers_mut().append(header::WWW_AUTHENTICATE, value(dpop()));
        }
        answer
    }

    /// An answer to a request that needs more scopes, with the challenge to come back with them:
    /// RFC 6750 §3.1.
    pub(super) fn needs_scopes(&self, response: Response<Body>, path: &str) -> Response<Body> {
        let (Some(NeedsScopes(scopes)), Some(url)) = (response.extensions().get(), self.public_url()) else { return response };
        let metadata = url.metadata_url(path);
        let challenge =
            format!("Bearer realm=\"toolbay\", error=\"insufficient_scope\", scope=\"{scopes}\", resource_metadata=\"{metadata}\"");
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => answer::with(response, header::WWW_AUTHENTICATE, challenge),
            Err(_) => response,
        }
    }

    fn issuers(&self) -> Option<&Issuers> {
        match self {
            Self::Open => None,
            Self::Bearer(bearer) => Some(&bearer.issuers),
        }
    }

    /// What a client that looks for OAuth asks for, if there is OAuth.
    #[must_use]
    pub fn metadata(&self, path: &str) -> Option<Response<Body>> {
        match self {
            Self::Bearer(Bearer { issuers, url: Some(url), .. }) if !issuers.is_empty() => url.metadata(path, issuers),
            _ => None,
        }
    }
}

const TOKEN_HINT: &str =
    "send the header `Authorization: Bearer TOKEN` with one of the tokens from [auth.tokens] of the server's toolbay.toml";
const OAUTH_HINT: &str = "get an access token from an authorization server that the document at resource_metadata names";
const LATER: &str = "try again after the time in Retry-After, with the same token";

impl Bearer {
    /// Who has a token that is no static one.
    async fn find(&self, scheme: Scheme, token: &str, head: &Parts, vouched: bool) -> Result<Principal, Challenge> {
        let Some(url) = self.url.as_ref().filter(|_| !self.issuers.is_empty()) else { return Err(Challenge::Invalid) };
        let path = head.uri.path();
        let (own, whole) = (url.resource(path), url.whole());
        let asked = (scheme == Scheme::Dpop).then(|| url.of(path));
        let proof = asked.as_ref().map(|url| {
            let mut all = head.headers.get_all(PROOF).iter();
            let text = all.next().filter(|_| all.next().is_none()).and_then(|text| text.to_str().ok());
            Proof { text, method: head.method.as_str(), url, vouched }
        });
        match self.issuers.authenticate(&Shown { token, proof }, &[own.as_str(), whole.as_str()]).await {
            Err(Refusal::Opaque(_)) if !token.contains('.') => Err(Challenge::Invalid),
            result => result.map_err(|refusal| Challenge::Refused(refusal, scheme)),
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
    /// The status, the code of RFC 6750, and a sentence.
    fn parts(&self) -> (StatusCode, Option<&'static str>, String) {
        match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, None, "this server requires a bearer token, and the request has none".to_owned()),
            Self::Invalid => (StatusCode::UNAUTHORIZED, Some("invalid_token"), "the bearer token is not one of this server's".to_owned()),
            Self::Malformed => {
                (StatusCode::BAD_REQUEST, Some("invalid_request"), "the Authorization header is repeated or cannot be read".to_owned())
            }
            Self::Refused(refusal, _) => {
                let (status, code) = match refusal {
                    Refusal::Scopes(_) => (StatusCode::FORBIDDEN, Some("insufficient_scope")),
                    Refusal::Proof(_) => (StatusCode::UNAUTHORIZED, Some("invalid_dpop_proof")),
                    Refusal::Nonce(_) => (StatusCode::UNAUTHORIZED, Some("use_dpop_nonce")),
                    refusal if refusal.retry_after().is_some() => (StatusCode::SERVICE_UNAVAILABLE, None),
                    _ => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
                };
                (status, code, refusal.to_string())
            }
        }
    }

    /// Whether the caller is to come with a proof next time.
    fn is_dpop(&self) -> bool {
        matches!(self, Self::Refused(refusal, scheme) if *scheme == Scheme::Dpop || refusal.is_about_proof())
    }
}

/// The token of the one `Authorization` header. A token in the query string is not looked at: it would end up in logs and histories.
fn shown(headers: &HeaderMap) -> Result<(Scheme, &str), Challenge> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let first = all.next().ok_or(Challenge::Missing)?;
    if all.next().is_some() {
        return Err(Challenge::Malformed);
    }
    let text = first.to_str().map_err(|_| Challenge::Malformed)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        return Err(Challenge::Missing);
    };
    match token.trim_matches(' ') {
        "" => Err(Challenge::Missing),
        token => Ok((scheme, token)),
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
        futures::executor::block_on(auth.authenticate(&request.into_parts().0, false))
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
        assert_eq!(ask(&auth, &["DPoP aaaaaaaaaaaaaaaa"]), Err(Challenge::Invalid), "a static token is bound to no key");
        for headers in [&[][..], &["Basic YTpi"], &["Bearer"], &["DPoP "], &["Bearer "], &["aaaaaaaaaaaaaaaa"]] {
            assert_eq!(ask(&auth, headers), Err(Challenge::Missing), "{headers:?}");
        }
        assert_eq!(ask(&auth, &["Bearer aaaaaaaaaaaaaaaa", "Bearer aaaaaaaaaaaaaaaa"]), Err(Challenge::Malformed));
        assert_eq!(ask(&auth, &["Bearer \u{e4}aaaaaaaaaaaaaaa"]), Err(Challenge::Malformed));
    }

    #[test]
    fn no_token_is_shown() {
        assert_eq!(
            format!("{:?}", with(&[("ann", "0123456789abcdef-secret")])),
            "Bearer(Bearer { tokens: [\"ann\"], issuers: [], url: None })"
        );
    }

    #[test]
    fn without_tokens_everybody_comes_in_without_a_name() {
        let auth = with(&[]);
        assert!(auth.is_open());
        assert_eq!(ask(&auth, &[]), Ok(None));
        assert_eq!(ask(&auth, &["Bearer whatever"]), Ok(None));
    }
}
