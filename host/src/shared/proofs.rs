//! Proofs that were shown to any host: none is accepted twice.

use std::{sync::LazyLock, time::Duration};

use super::{Fault, Link, Script};

/// 1: the key was not there.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) and 1 or 0"));

impl Link {
    /// Whether something is shown to one of the hosts for the first time. It is remembered for so long.
    ///
    /// # Errors
    ///
    /// [`Fault`]: nobody knows.
    pub async fn is_first(&self, id: &[u8; 16], remembered: Duration) -> Result<bool, Fault> {
        // The first calls of a host come before it is connected.
        self.tried().await;
        let key = format!("{}:proof:{:032x}", self.prefix(), u128::from_be_bytes(*id));
        let millis = u64::try_from(remembered.as_millis()).unwrap_or(u64::MAX).max(1);
        self.run::<u8>(&SCRIPT.with_keys([key]).arg(millis)).await.map(|first| first == 1)
    }
}
