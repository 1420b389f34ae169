//! `[state]`: what signs the state that a client carries from a question to its answer.

use std::time::Duration;

use serde_json::Value;

use super::{
    Secret,
    key::TypeInfo,
    section::section,
    toml_reader::Item,
    types::{HOUR, MONTH, SECOND, Type, credential, duration, list, number},
};

section! {
    /// Keys that sign the `requestState` that clients of MCP 2026-07-28 carry.
    pub struct StateConfig {
        /// Signing keys: `[{ from_env = "VARIABLE" }, { from_file = "path" }]`, at least 32 bytes
        /// each (`openssl rand -hex 32`). The first signs, all verify. Without keys, each process
        /// uses a random one.
        keys: Vec<Secret> = Vec::new(), Keys;
        /// How long a client may take to answer.
        ttl: Duration = HOUR, duration(SECOND..=MONTH);
        /// Number of Toolbay instances behind one address. Toolbay logs a warning if this is
        /// greater than 1 and no `keys` are configured.
        copies: u32 = 1, number(1..=100_000);
    }
}

impl StateConfig {
    /// Bytes of a key: what HMAC-SHA256 asks for (RFC 2104).
    pub const LEAST_KEY: usize = 32;

    /// What is wrong though nothing is forbidden: copies that do not understand each other.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (self.copies > 1 && self.keys.is_empty()).then(|| {
            format!(
                "[state] copies is {}, and there are no [state] keys: each instance signs with its own random key, so a client cannot answer a request for input through another instance; set keys = [{{ from_env = \"VARIABLE\" }}] to the same secret for all of them (openssl rand -hex 32)",
                self.copies
            )
        })
    }
}

/// The keys, each of them once.
struct Keys;

impl Type<Vec<Secret>> for Keys {
    fn read(&self, item: &Item<'_>) -> Option<Vec<Secret>> {
        let mut keys = Vec::new();
        for item in item.list()? {
            let Some(key) = credential(key).read(&item) else { continue };
            if keys.contains(&key) {
                item.fail("the same key is listed twice");
            }
            keys.push(key);
        }
        Some(keys)
    }

    fn info(&self) -> TypeInfo {
        list("secrets", credential(key)).info()
    }

    fn write(&self, _: &Vec<Secret>) -> Option<Value> {
        None
    }
}

fn key(secret: Secret) -> Result<Secret, String> {
    let (length, least) = (secret.0.len(), StateConfig::LEAST_KEY);
    if length < least {
        return Err(format!("the key is too short: {length} bytes; it needs at least {least} (make one by: openssl rand -hex 32)"));
    }
    Ok(secret)
}
