//! How a registry is told who asks: it names a scheme in its 401, and is answered with a password or with a token that another server gives for one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use url::Url;

use super::{
    body::bounded,
    credentials::{Login, Who},
};
use crate::tls::cause;

/// Largest answer with a token.
const MAX_TOKEN: usize = 256 << 10;

/// What is wanted of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Pull,
    Push,
}

/// What is known of how to ask one repository.
pub(super) struct Authorizer {
    http: reqwest::Client,
    login: Login,
    repository: String,
    /// Whether the registry is asked without TLS: then a token may be asked for without, too.
    is_plain: bool,
    /// What the last answer to a challenge was, and for which scope.
    known: Mutex<Option<(Scope, HeaderValue)>>,
}

/// What a registry wants to know.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Authorizer {
    pub(super) fn new(http: reqwest::Client, login: Login, repository: String, is_plain: bool) -> Self {
        Self { http, login, repository, is_plain, known: Mutex::default() }
    }

    /// What is asked for.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// Where the credentials are from, for messages.
    pub(super) fn from(&self) -> &str {
        &self.login.from
    }

    /// What a request of this scope says of who asks.
    pub(super) fn headers(&self, scope: Scope) -> HeaderMap {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut headers = HeaderMap::new();
        // Who may push may pull.
        if let Some((_, value)) = known.as_ref().filter(|(of, _)| *of == scope || *of == Scope::Push) {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        headers
    }

    /// Takes in a 401. Whether there is something new to be said, so that it is worth asking again.
    ///
    /// # Errors
    ///
    /// Why no answer to it can be had.
    pub(super) async fn answer(&self, headers: &HeaderMap, scope: Scope) -> Result<bool, String> {
        let mut challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| challenge(value.to_str().ok()?));
        let value = match (challenges.next_back(), &self.login.who) {
            (Some(_), Who::Token(token)) => format!("Bearer {}", token.0),
            (Some(Challenge::Basic), Who::User(user, password)) => basic(user, &password.0),
            (Some(Challenge::Bearer { realm, service }), who) => format!("Bearer {}", self.token(&realm, service, who, scope).await?),
            (Some(Challenge::Basic), Who::Anybody) | (None, _) => return Ok(false),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| "the token has characters that a header cannot have".to_owned())?;
        value.set_sensitive(true);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.as_ref().is_none_or(|(of, before)| *of != scope || *before != value);
        *known = Some((scope, value));
        Ok(is_new)
    }

    /// A token from where the registry says.
    async fn token(&self, realm: &str, service: Option<String>, who: &Who, scope: Scope) -> Result<String, String> {
        let mut url = Url::parse(realm).map_err(|_| format!("the registry sends for a token to {realm:?}, which is no address"))?;
        let is_safe = url.scheme() == "https" || (self.is_plain && url.scheme() == "http");
        if !is_safe {
            return Err(format!("the registry sends for a token to {realm:?}, and credentials are sent over HTTPS only"));
        }
        let actions = if scope == Scope::Push { "pull,push" } else { "pull" };
        url.query_pairs_mut()
            .extend_pairs(service.iter().map(|service| ("service", service)))
            .append_pair("scope", &format!("repository:{}:{actions}", self.repository));
        let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let mut request = self.http.get(url);
        if let Who::User(user, password) = who {
            request = request.header(header::AUTHORIZATION, basic(user, &password.0));
        }
        let answer = request.send().await.map_err(|error| format!("{place}, which gives tokens, cannot be reached: {}", cause(&error)))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("{place}, which gives tokens, answers {status}; it was asked with {}", self.login.from));
        }
        let body = bounded(answer, MAX_TOKEN).await.map_err(|why| format!("the token of {place}: {why}"))?;
        let token = serde_json::from_slice::<Token>(&body).ok().and_then(|token| token.token.or(token.access_token));
        token.ok_or_else(|| format!("{place} gives tokens, and there is none in its answer"))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What a `WWW-Authenticate` asks for. None: nothing that is known here.
fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim_start().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    Some(Challenge::Bearer { realm: parameters.remove("realm")?, service: parameters.remove("service") })
}

/// `a="b, c", d=e` by lower case names.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|character| character.is_whitespace() || *character == ',').is_some() {}
        let mut name = String::new();
        while let Some(character) = rest.next_if(|character| !matches!(character, '=' | ',')) {
            name.push(character);
        }
        if rest.next_if_eq(&'=').is_none() {
            if rest.peek().is_none() {
                return found;
            }
            continue;
        }
        let mut value = String::new();
        if rest.next_if_eq(&'"').is_some() {
            while let Some(character) = rest.next() {
                match character {
                    '"' => break,
                    '\\' => value.extend(rest.next()),
                    character => value.push(character),
                }
            }
        } else {
            while let Some(character) = rest.next_if(|character| *character != ',') {
                value.push(character);
            }
        }
        found.entry(name.trim().to_ascii_lowercase()).or_insert_with(|| value.trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_in_all_their_forms() {
        let bearer =
            |realm: &str, service: Option<&str>| Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) });
        for (text, wanted) in [
            ("Basic realm=\"Registry\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            ("Bearer realm=\"https://a/token\",service=\"a\",scope=\"repository:x:pull,push\"", bearer("https://a/token", Some("a"))),
            ("bearer  Realm = https://a/t , service=\"a \\\"b\\\", c\"", bearer("https://a/t", Some("a \"b\", c"))),
            ("Bearer realm=\"https://a/token", bearer("https://a/token", None)),
            ("Bearer service=\"a\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(challenge(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_to_its_end(text in any::<String>(), parts in "[a-z=,\"\\\\ ]{0,40}") {
            let _ = (challenge(&text), challenge(&format!("Bearer {parts}")));
        }
    }
}
