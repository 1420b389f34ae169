//! All accounts that are kept, for an operator: of one server, of one caller, or all of them.

use serde::Serialize;

use super::{
    Accounts,
    people::{self, Account},
};
use crate::{
    store::{MAX_KEYS, When, Write},
    unix_time,
};

/// Which accounts are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen<'a> {
    /// Those at this server. None: at any.
    pub server: Option<&'a str>,
    /// Those of this caller. None: of anybody.
    pub subject: Option<&'a str>,
}

impl Chosen<'_> {
    fn is(&self, server: &str, subject: &str) -> bool {
        self.server.is_none_or(|wanted| wanted == server) && self.subject.is_none_or(|wanted| wanted == subject)
    }
}

/// How an account stands. Nothing of its tokens is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountStatus {
    /// The server.
    pub server: String,
    /// Whose it is.
    pub subject: String,
    /// `connected`; `expired`: its person is asked again; `unreadable`: it was encrypted by a key that is not among `keys` of `[state]` any more.
    pub state: &'static str,
    /// When its access token ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
    /// Whether the token is renewed by then.
    pub renews: bool,
    /// Whether the server is still configured.
    pub configured: bool,
}

impl Accounts {
    /// Those that are kept.
    ///
    /// # Errors
    ///
    /// A sentence: the store does not work.
    pub async fn list(&self, chosen: Chosen<'_>) -> Result<Vec<AccountStatus>, String> {
        let (store, space, prefix) = (&self.shared.store, &self.shared.space, people::KEPT.to_owned());
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let keys = store.keys(space, prefix.clone(), after.take(), 0, MAX_KEYS).await.map_err(|error| error.to_string())?;
            let is_last = keys.len() < MAX_KEYS;
            after = keys.last().cloned();
            for key in keys {
                let Some((server, subject)) = key.strip_prefix(people::KEPT).and_then(|key| key.split_once('/')) else { continue };
                if !chosen.is(server, subject) {
                    continue;
                }
                // It may have been revoked meanwhile.
                let Some(entry) = store.get(space, key.clone()).await.map_err(|error| error.to_string())? else { continue };
                let account: Option<Account> = self.shared.keys.open(&key, &entry.value);
                found.push(self.status(server, subject, account.as_ref()));
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    fn status(&self, server: &str, subject: &str, account: Option<&Account>) -> AccountStatus {
        let renews = account.is_some_and(|account| account.refresh.is_some());
        let state = match account {
            None => "unreadable",
            Some(account) if renews || account.ends > unix_time::seconds() => "connected",
            Some(_) => "expired",
        };
        let ends = account.map(|account| account.ends);
        AccountStatus { server: server.to_owned(), subject: subject.to_owned(), state, ends, renews, configured: self.of(server).is_some() }
    }

    /// Disconnects accounts: forgets them here, and revokes their tokens at the authorization servers of those that are configured. Those that were.
    ///
    /// # Errors
    ///
    /// A sentence: the store does not work. Some may be disconnected then.
    pub async fn revoke(&self, chosen: Chosen<'_>) -> Result<Vec<AccountStatus>, String> {
        let found = self.list(chosen).await?;
        for account in &found {
            let there = match self.of(&account.server) {
                Some(people) => people.revoke(&account.subject).await?,
                None => false,
            };
            if !there {
                // Nobody can read it, or nobody is left to be told.
                let (key, delete) = (people::key(&account.server, &account.subject), Write::Delete(When::Always));
                self.shared.store.write(&self.shared.space, key, delete).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(found)
    }
}
