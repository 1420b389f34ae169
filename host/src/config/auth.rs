//! `[auth]`: who may call.

use std::collections::BTreeMap;

use super::{
    Secret,
    reader::Table,
    section::{Section, section},
    types::{credential, secrets},
};

/// A token that is shorter can be guessed: half of the 128 bits that a random one should have, as
/// hex digits.
const LEAST_TOKEN: usize = 16;

section! {
    /// Who may call.
    pub struct AuthConfig {
        /// `NAME = { from_env = "VARIABLE" }` or `NAME = { from_file = "path" }`. A caller that
        /// sends the token as `Authorization: Bearer …` is authenticated as NAME, which logs and
        /// plugins see.
        tokens: BTreeMap<String, Secret> = BTreeMap::new(), secrets(token_name, credential(token));
    }
}

/// Reads `[auth]`.
pub(super) fn read(table: Table<'_>, auth: &mut AuthConfig) {
    auth.read(&table);
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for item in table.get("tokens").filter(|item| item.value.is_table()).and_then(|item| item.table()).iter().flat_map(Table::items) {
        let Some(token) = auth.tokens.get(&item.key) else { continue };
        if let Some(other) = names.insert(&token.0, item.key.clone()) {
            item.fail_key(format_args!("has the same token as {other:?}; each name needs its own"));
        }
    }
    table.finish();
}

fn token_name(name: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'));
    if fits { Ok(()) } else { Err("the name of a token must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \"@\"".to_owned()) }
}

fn token(secret: Secret) -> Result<Secret, String> {
    const ALLOWED: &str = "a bearer token has letters, digits and -._~+/ only, with = at the end (make one by: openssl rand -hex 32)";
    let text = &secret.0;
    if text.is_empty() {
        return Err("the token is empty".to_owned());
    }
    if text.contains(char::is_whitespace) {
        return Err(format!("the token has white space in it; {ALLOWED}"));
    }
    // RFC 6750's `b64token`: what the header can carry.
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
    Ok(secret)
}
