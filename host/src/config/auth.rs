//! `[auth]`: who may call.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{
    issuer::{IssuerConfig, Issuers},
    key::TypeInfo,
    role::role_name,
    secret,
    section::section,
    toml_reader::{Item, Table},
    trusted_url::server_url,
    types::{Type, list, optional, text},
};

/// A token that is shorter can be guessed: half of the 128 bits that a random one should have, as hex digits.
const LEAST_TOKEN: usize = 16;

section! {
    /// Who may call.
    pub struct AuthConfig {
        /// `NAME = { from_env = "VARIABLE" }` or `NAME = { from_file = "path" }`. A caller that
        /// sends the token as `Authorization: Bearer …` is authenticated as NAME, which logs and
        /// plugins see.
        ///
        /// Beside the source, `roles = ["ROLE"]` says which `[role.ROLE]` NAME has.
        tokens: Tokens = Tokens::default(), TokenTable;
        /// The roles of callers that have none of their own, also of those without a token where no
        /// tokens are configured. Where there is a `[role.NAME]`, a caller without any role may use
        /// nothing.
        default_roles: Vec<String> = Vec::new(), list("names", text("name", role_name));
        /// The public URL of this server, without `/mcp`: what its clients are configured with, and
        /// what access tokens are for. Needed with `[auth.issuer.NAME]`.
        resource_url: Option<String> = None, optional(text("URL", server_url));
        /// `[auth.issuer.NAME]`: authorization servers whose access tokens are accepted beside
        /// `tokens`.
        issuer: BTreeMap<String, IssuerConfig> = BTreeMap::new(), Issuers;
    }
}

impl AuthConfig {
    /// Whether callers need not say who they are.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.issuer.is_empty()
    }
}

/// A bearer token that a header can carry (RFC 6750's `b64token`) and that cannot be guessed, and the roles of who has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    roles: Vec<String>,
}

impl Token {
    /// A token of at least 16 characters: letters, digits and `-._~+/`, with `=` at the end.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong, and does not show it.
    pub fn parse(text: &str) -> Result<Self, String> {
        const ALLOWED: &str = "a bearer token has letters, digits and -._~+/ only, with = at the end (make one by: openssl rand -hex 32)";
        if text.is_empty() {
            return Err("the token is empty".to_owned());
        }
        if text.contains(char::is_whitespace) {
            return Err(format!("the token has white space in it; {ALLOWED}"));
        }
        let body = text.trim_end_matches('=');
        if body.is_empty() || !body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)) {
            return Err(format!("the token has a character in it that is not allowed; {ALLOWED}"));
        }
        if text.len() < LEAST_TOKEN {
            return Err(format!(
                "the token is too short: {} characters; it needs at least {LEAST_TOKEN} (make one by: openssl rand -hex 32)",
                text.len()
            ));
        }
        Ok(Self { secret: text.to_owned(), roles: Vec::new() })
    }

    /// The token itself, which nobody may see.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// The roles of who has it.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.roles.as_slice() {
            [] => f.write_str("[secret]"),
            roles => write!(f, "[secret] of {roles:?}"),
        }
    }
}

/// Tokens by the names of those who have them. No two names have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<String, Token>);

impl Tokens {
    /// Adds one.
    ///
    /// # Errors
    ///
    /// The name that has the same token already.
    pub fn insert(&mut self, name: String, token: Token) -> Result<(), String> {
        match self.0.iter().find(|(other, known)| known.secret == token.secret && **other != name) {
            Some((other, _)) => Err(other.clone()),
            None => {
                self.0.insert(name, token);
                Ok(())
            }
        }
    }

    /// Tokens by name, as they stand there.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, by its name.
    pub fn parse<'a>(tokens: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut parsed = Self::default();
        for (name, token) in tokens {
            let token = Token::parse(token).map_err(|message| format!("{name}: {message}"))?;
            parsed.insert(name.to_owned(), token).map_err(|other| format!("{name} has the same token as {other}"))?;
        }
        Ok(parsed)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.0.iter().map(|(name, token)| (name.as_str(), token))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `[auth.tokens]`.
struct TokenTable;

impl Type<Tokens> for TokenTable {
    fn read(&self, item: &Item<'_>) -> Option<Tokens> {
        let mut tokens = Tokens::default();
        for item in item.table().iter().flat_map(Table::items) {
            if let Err(message) = token_name(&item.key) {
                item.fail_key(message);
            } else if let Some(token) = token(&item)
                && let Err(other) = tokens.insert(item.key.clone(), token)
            {
                item.fail_key(format_args!("has the same token as {other:?}; each name needs its own"));
            }
        }
        Some(tokens)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("table of secrets", json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/TokenSource" } })).secret()
    }

    fn write(&self, _: &Tokens) -> Option<Value> {
        None
    }
}

/// One token: where it is taken from, and its roles.
fn token(item: &Item<'_>) -> Option<Token> {
    let (secret, roles) = secret::read_with(item, "roles")?;
    let token = Token::parse(&secret.0).map_err(|message| item.fail(message)).ok()?;
    let roles = match roles {
        Some(roles) => list("names", text("name", role_name)).read(&roles)?,
        None => Vec::new(),
    };
    Some(Token { roles, ..token })
}

fn token_name(name: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'));
    if fits { Ok(()) } else { Err("the name of a token must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \"@\"".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_a_header_carries_and_nobody_guesses() {
        for right in ["0123456789abcdef", "abcdefghijklmnop==", "-._~+/-._~+/-._~", "eyJhbGciOi.JIUzI1NiJ9.abc"] {
            assert_eq!(Token::parse(right).map(|token| token.expose().to_owned()).as_deref(), Ok(right));
        }
        let words = [
            "",
            "two words that are long",
            "a-token-with-a-line-end\n",
            "================",
            "a=b-0123456789abcdef",
            "ünicode-0123456789",
            "$0123456789abcdef",
        ];
        for wrong in words {
            let message = Token::parse(wrong).unwrap_err();
            assert!(wrong.is_empty() || !message.contains(wrong), "{message}");
        }
        assert!(Token::parse("short").unwrap_err().contains("too short: 5 characters"));
        assert_eq!(format!("{:?}", Token::parse("0123456789abcdef-secret")), "Ok([secret])");
    }

    #[test]
    fn no_two_names_have_one_token() {
        let token = |text: &str| Token::parse(text).unwrap();
        let mut tokens = Tokens::default();
        assert_eq!(tokens.insert("ann".to_owned(), token("0123456789abcdef-1")), Ok(()));
        assert_eq!(tokens.insert("bob".to_owned(), token("0123456789abcdef-1")), Err("ann".to_owned()));
        assert_eq!(tokens.insert("bob".to_owned(), token("0123456789abcdef-2")), Ok(()));
        assert_eq!(tokens.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["ann", "bob"]);
    }
}
