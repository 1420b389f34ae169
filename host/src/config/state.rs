//! `[state]`: what signs the state that a client carries from a question to its answer.

use std::time::Duration;

use super::{
    Secret,
    reader::{Table, set},
    secret::{self, Plain},
};

/// `[state]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StateConfig {
    /// Keys for signatures, each of [`Self::LEAST_KEY`] bytes or more: the first signs, all are accepted. None: a random one signs, which ends with the
    /// process. Key: `keys`.
    pub keys: Vec<Secret>,
    /// How long a client may take for its answer. Key: `ttl`.
    pub ttl: Duration,
    /// How many copies of this host clients reach under one address. Key: `copies`.
    pub copies: u32,
}

impl StateConfig {
    /// Bytes of a key: what HMAC-SHA256 asks for (RFC 2104).
    pub const LEAST_KEY: usize = 32;

    /// What is wrong though nothing is forbidden: copies that do not understand each other.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (self.copies > 1 && self.keys.is_empty()).then(|| {
            format!(
                "[state] copies is {}, and there are no [state] keys: each copy signs with a random key of its own, so that a question asked by one cannot be \
                 answered through another; set keys = [{{ from_env = \"VARIABLE\" }}] to the same secret for all of them (openssl rand -hex 32)",
                self.copies
            )
        })
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { keys: Vec::new(), ttl: Duration::from_secs(3600), copies: 1 }
    }
}

pub(super) fn read(table: Table<'_>, state: &mut StateConfig) {
    for item in table.get("keys").and_then(|item| item.list()).unwrap_or_default() {
        let Some(key) = secret::read(&item, Plain::Refused) else { continue };
        if key.0.len() < StateConfig::LEAST_KEY {
            item.fail(format_args!(
                "the key is too short: {} bytes; it needs at least {} (make one by: openssl rand -hex 32)",
                key.0.len(),
                StateConfig::LEAST_KEY
            ));
        } else if state.keys.contains(&key) {
            item.fail("the same key stands here twice");
        }
        state.keys.push(key);
    }
    set(&mut state.ttl, table.get("ttl").and_then(|item| item.duration(Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600))));
    set(&mut state.copies, table.get("copies").and_then(|item| item.number(1..=100_000)));
    table.finish();
}
