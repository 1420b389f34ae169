//! What of the configuration holds for requests now. It can change while connections are open.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};

use super::{auth::Authenticator, origin::Origins};
use crate::config::HttpConfig;

/// `[http]`, and who may come in. A request that has begun goes on by what held when it began.
pub struct HttpSettings(ArcSwap<Current>);

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
        Arc::new(Self(ArcSwap::from_pointee(Current::new(config, auth))))
    }

    /// Goes by something else from the next request on.
    pub fn put(&self, config: HttpConfig, auth: Authenticator) {
        self.0.store(Arc::new(Current::new(config, auth)));
    }

    pub(super) fn load(&self) -> Guard<Arc<Current>> {
        self.0.load()
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
