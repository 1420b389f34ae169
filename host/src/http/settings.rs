//! What of the configuration holds for requests now. It can change while connections are open.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};

use super::{auth::Authenticator, origin::Origins};
use crate::{
    catalog::LivePolicy,
    config::{AuthConfig, HttpConfig},
    credentials::accounts::Accounts,
    provider::Principal,
    shared::Shared,
};

/// `[http]`, and who may come in. A request that has begun goes on by what held when it began.
pub struct HttpSettings {
    current: ArcSwap<Current>,
    /// Anybody may read the metrics.
    open_metrics: AtomicBool,
    policy: Arc<LivePolicy>,
    /// Accounts that callers can connect at servers elsewhere, where there are some.
    accounts: OnceLock<Arc<Accounts>>,
    /// What other hosts are told of, where there are some.
    shared: OnceLock<Arc<Shared>>,
}

/// What holds at one moment.
pub(super) struct Current {
    pub(super) config: HttpConfig,
    pub(super) origins: Origins,
    pub(super) auth: Authenticator,
}

impl Current {
    fn new(config: HttpConfig, auth: Authenticator) -> Self {
        Self { origins: Origins::new(&config.allowed_hosts, &config.allowed_origins), config, auth }
    }
}

impl HttpSettings {
    /// What holds from the start on.
    #[must_use]
    pub fn new(config: HttpConfig, auth: Authenticator) -> Arc<Self> {
        Self::under(config, auth, Arc::default())
    }

    /// The same for callers that may do what a policy says.
    #[must_use]
    pub fn under(config: HttpConfig, auth: Authenticator, policy: Arc<LivePolicy>) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(Current::new(config, auth)),
            open_metrics: AtomicBool::new(false),
            policy,
            accounts: OnceLock::new(),
            shared: OnceLock::new(),
        })
    }

    /// Has people connect accounts here.
    pub fn open_accounts(&self, accounts: Arc<Accounts>) {
        // It is done once.
        let _ = self.accounts.set(accounts);
    }

    /// Tells other hosts what they have to know of callers. To be said before somebody calls.
    pub fn share(&self, shared: Arc<Shared>, auth: &AuthConfig) {
        // It is done once.
        let _ = self.shared.set(shared);
        let config = self.load().config.clone();
        self.renew(config, auth);
    }

    pub(super) fn accounts(&self) -> Option<&Arc<Accounts>> {
        self.accounts.get()
    }

    /// Whether a caller may know of everything there is.
    pub(super) fn sees_everything(&self, principal: Option<&Principal>) -> bool {
        let policy = self.policy.load();
        policy.is_open() || policy.access_of(principal, policy.roles_of(principal)).is_everything()
    }

    /// Whether a caller may do what is about other callers.
    pub(super) fn is_operator(&self, principal: Option<&Principal>) -> bool {
        self.policy.load().is_operator(principal)
    }

    /// Whether some policy depends on where a caller is.
    pub(super) fn asks_for_addresses(&self) -> bool {
        self.policy.load().policies().is_some_and(|policies| policies.reads_address())
    }

    /// Goes by something else from the next request on.
    pub fn put(&self, config: HttpConfig, auth: Authenticator) {
        self.current.store(Arc::new(Current::new(config, auth)));
    }

    /// Whether anybody may read the metrics, from the next request on.
    pub fn open_metrics(&self, open: bool) {
        self.open_metrics.store(open, Relaxed);
    }

    pub(super) fn metrics_are_open(&self) -> bool {
        self.open_metrics.load(Relaxed)
    }

    /// The same by a configuration. Issuers that are in both keep their keys.
    pub fn renew(&self, config: HttpConfig, auth: &AuthConfig) {
        let mut auth = Authenticator::following(auth, &self.load().auth);
        if let Some(shared) = self.shared.get() {
            auth = auth.sharing(shared);
        }
        self.put(config, auth);
    }

    pub(super) fn load(&self) -> Guard<Arc<Current>> {
        self.current.load()
    }

    pub(super) fn header_timeout(&self) -> Duration {
        self.load().config.header_timeout
    }

    /// The same with something changed.
    #[cfg(test)]
    pub(super) fn change(&self, change: impl FnOnce(&mut HttpConfig)) {
        let mut config = self.load().config.clone();
        change(&mut config);
        self.put(config, Authenticator::Open);
    }
}
