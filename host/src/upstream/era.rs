//! Which protocol a server speaks, and what is known of a server over the lives of its connections.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::config::{Revision, ServerLimits};

/// The revision without `initialize`.
pub const MODERN_VERSION: &str = "2026-07-28";

/// The revision that is offered to servers which want `initialize`.
pub const LEGACY_VERSION: &str = "2025-11-25";

/// How Toolbay calls itself to servers: MCP's `Implementation`.
pub const CLIENT_INFO: &str = concat!("{\"name\":\"toolbay\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");

/// How a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25 and older: `initialize`, and requests of the server on the same stream.
    Legacy,
    /// 2026-07-28: each request stands for itself.
    Modern,
}

/// What is learnt of a server and holds for its next connection too: shared by all replicas.
#[derive(Debug, Default)]
pub struct Known {
    era: AtomicU8,
    asks: AtomicBool,
}

impl Known {
    /// Nothing yet but what the operator says of it.
    #[must_use]
    pub fn of(limits: &ServerLimits) -> Self {
        let known = Self::default();
        if limits.protocol == Revision::Sessions {
            known.set_era(Era::Legacy);
        }
        known
    }

    /// How it is to be greeted. None: that has to be found out.
    #[must_use]
    pub fn era(&self) -> Option<Era> {
        match self.era.load(Ordering::Relaxed) {
            1 => Some(Era::Legacy),
            2 => Some(Era::Modern),
            _ => None,
        }
    }

    /// Remembers it.
    pub fn set_era(&self, era: Era) {
        self.era.store(if era == Era::Legacy { 1 } else { 2 }, Ordering::Relaxed);
    }

    /// Whether it was seen to ask its callers something in the middle of a call, so that its calls are made one at a time on each connection: nothing on
    /// the wire says whose call a question belongs to.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.asks.load(Ordering::Acquire)
    }

    /// Remembers that it does. True: that is news.
    pub fn set_asks(&self) -> bool {
        !self.asks.swap(true, Ordering::AcqRel)
    }
}
