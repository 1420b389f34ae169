//! What several hosts share: the connection to Redis or Valkey, the limits that are counted there, proofs that were shown (DPoP), and what was read in
//! conversations.
//!
//! The connection is kept by a task of its own. While there is none, everybody is told so at once: no call waits for a server that is known to be away.
//! What plugins keep there is in [`store`](crate::store).

mod connect;
mod fault;
mod flow;
mod limits;
mod link;
mod proofs;
mod script;
mod status;

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed};

use crate::config::{OnOutage, SharedConfig};

pub use connect::Server;
pub use fault::Fault;
pub use flow::HasRead;
pub use limits::{Counted, Refused};
pub use link::Link;
pub(crate) use script::Script;
pub use status::{Decision, SharedStatus};

/// What this host shares with others, if anything.
#[derive(Default)]
pub struct Shared {
    link: Option<Arc<Link>>,
    decisions: [AtomicU64; Decision::ALL.len()],
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("link", &self.link).finish_non_exhaustive()
    }
}

impl Shared {
    /// By a configuration. Connects when something is needed of it, in a runtime of Tokio.
    #[must_use]
    pub fn new(config: &SharedConfig) -> Arc<Self> {
        let link = config.redis.as_ref().map(|_| Link::new(config.clone()));
        Arc::new(Self { link, decisions: Default::default() })
    }

    /// Connects now.
    pub fn start(&self) {
        if let Some(link) = &self.link {
            link.start();
        }
    }

    /// Goes by another configuration, as far as that needs no restart.
    pub fn reconfigure(&self, config: &SharedConfig) {
        if let Some(link) = &self.link {
            link.reconfigure(config);
        }
    }

    /// The connection, if there is to be one.
    #[must_use]
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    /// The same, if plugins keep keys and values there.
    #[must_use]
    pub fn store_link(&self) -> Option<Arc<Link>> {
        self.link.clone().filter(|link| link.config().store)
    }

    /// Whether the calls of all hosts are counted together.
    #[must_use]
    pub fn counts_calls(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.config().limits)
    }

    /// Whether calls are refused that cannot be counted, or looked up, together.
    #[must_use]
    pub fn fails_closed(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.config().on_failure == OnOutage::Closed)
    }

    /// Counts how a call was decided.
    pub fn decided(&self, decision: Decision) {
        if let Some(count) = self.decisions.get(decision as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many calls were decided how.
    pub fn decisions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Decision::ALL.iter().zip(&self.decisions).map(|((_, word), count)| (*word, count.load(Relaxed)))
    }
}
