//! Accounts that callers have at servers elsewhere, connected by OAuth: each person is sent to the server's authorization server once, and is
//! called for with their own token from then on.
//!
//! `discovery` finds out whom to ask, `sealed` signs links and encrypts what is kept, `people` has the accounts at one server, `listed` is for an operator,
//! and [`Accounts`] knows all servers that have some.

mod discovery;
mod listed;
mod people;
mod sealed;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use url::Url;

pub use listed::{AccountStatus, Chosen};
pub use people::{CALLBACK_PATH, Departure, People, START_PATH};

use crate::{
    config::{Config, OAuthConfig},
    provider::ProviderId,
    store::{Space, Store},
};
use people::Shared;
use sealed::Keys;

/// Bytes that all accounts together may take in the store.
const QUOTA: u64 = 64 << 20;

/// The accounts at all servers.
pub struct Accounts {
    shared: Arc<Shared>,
    servers: Mutex<BTreeMap<String, Arc<People>>>,
}

impl Accounts {
    /// None are known yet. What is kept is in `store`, encrypted by the keys of `[state]`.
    ///
    /// # Errors
    ///
    /// The machine gives out no random numbers.
    pub fn new(config: &Config, store: Arc<Store>) -> Result<Arc<Self>, String> {
        // No plugin has such a name.
        let space = Space { plugin: "toolbay:accounts".into(), owner: "".into(), quota: QUOTA };
        let shared = Shared { store, space, keys: Keys::of(&config.state)?, address: config.auth.resource_url.clone() };
        Ok(Arc::new(Self { shared: Arc::new(shared), servers: Mutex::default() }))
    }

    /// Those at a server with this configuration.
    ///
    /// # Errors
    ///
    /// Why there can be none.
    pub fn at(&self, server: &ProviderId, url: &Url, config: &OAuthConfig) -> Result<Arc<People>, String> {
        let mut servers = self.lock();
        if let Some(known) = servers.get(server.as_str()).filter(|known| known.is(url, config)) {
            return Ok(Arc::clone(known));
        }
        let people = Arc::new(People::new(server, url, config, Arc::clone(&self.shared))?);
        servers.insert(server.to_string(), Arc::clone(&people));
        Ok(people)
    }

    /// Those at the server of this name.
    #[must_use]
    pub fn of(&self, server: &str) -> Option<Arc<People>> {
        self.lock().get(server).cloned()
    }

    /// The server that a signed link is about.
    #[must_use]
    pub fn linked(&self, state: &str) -> Option<Arc<People>> {
        self.of(&people::server_of(&self.shared.keys, state)?)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<People>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
