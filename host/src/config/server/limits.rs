//! What a server may take, and how it is spoken to.

use std::time::Duration;

use super::{
    super::{
        section::section,
        types::{DAY, GIB, HOUR, KIB, MILLISECOND, SECOND, choice, duration, number, size},
    },
    kind::{MCP, PROCESSES},
};

section! {
    /// What a server may take.
    #[derive(Copy, Eq)]
    pub struct ServerLimits {
        /// Time from starting a program or container to the end of its handshake and lists.
        start as "start_timeout": Duration = SECOND * 60, duration(MILLISECOND..=HOUR);
        /// Wall-clock limit of a call, queueing excluded.
        call as "timeout": Duration = SECOND * 60, duration(MILLISECOND..=DAY);
        /// Time from closing stdin to SIGTERM, and from SIGTERM to SIGKILL.
        stop as "stop_timeout": Duration = SECOND * 5, duration(Duration::ZERO..=HOUR) => only(PROCESSES);
        /// Health check: an idle replica that was silent for this long is pinged, and replaced if
        /// it doesn't answer within as long again; `"0s"` disables it.
        ping: Duration = SECOND * 15, duration(Duration::ZERO..=HOUR);
        /// Concurrent calls per replica.
        concurrency: usize = 64, number(1..=100_000);
        /// Calls that may wait for a free slot. The next call gets 503.
        queue: usize = 256, number(0..=1_000_000);
        /// Largest message from the server.
        max_message: usize = 16 << 20, size(KIB..=GIB);
        /// Newest revision of MCP that is spoken with it. `"2025-11-25"` lets a server ask its callers
        /// in the middle of a call, which some can't do by 2026-07-28.
        protocol: Revision = Revision::Modern, choice(REVISIONS) => only(MCP);
    }
}

/// A revision of MCP, as far as it makes a difference to how a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// 2026-07-28: each request stands for itself.
    Modern,
    /// 2025-11-25, or an older one that the server knows: with a session.
    Sessions,
}

const REVISIONS: &[(&str, Revision)] = &[("2026-07-28", Revision::Modern), ("2025-11-25", Revision::Sessions)];
