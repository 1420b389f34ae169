//! Limits of callers over all hosts: one script decides on all limits of a call, and counts it against all or none.

use std::{sync::LazyLock, time::Duration};

use super::{Fault, Link, Script};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limits.lua")));

/// One limit that a call is counted against.
#[derive(Clone, Copy, Debug)]
pub enum Counted<'a> {
    /// So often.
    Rate {
        /// What it is counted under.
        key: &'a str,
        /// The time that one call takes.
        each: Duration,
        /// How far ahead of its time the last of a burst may be.
        ahead: Duration,
    },
    /// So many from midnight to midnight, UTC.
    Daily {
        /// What it is counted under.
        key: &'a str,
        /// The most.
        most: u32,
    },
}

/// A call that may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of the limits.
    pub limit: usize,
    /// How long until it may.
    pub wait: Duration,
}

impl Link {
    /// Counts a call against all of these limits, or against none.
    ///
    /// # Errors
    ///
    /// [`Fault`]: nobody knows whether it may be made.
    pub async fn count(&self, limits: &[Counted<'_>]) -> Result<Result<(), Refused>, Fault> {
        // The first calls of a host come before it is connected.
        self.tried().await;
        let prefix = self.prefix();
        let keys = limits.iter().map(|limit| match limit {
            Counted::Rate { key, .. } => format!("{prefix}:rate:{key}"),
            Counted::Daily { key, .. } => format!("{prefix}:day:{key}"),
        });
        let mut call = SCRIPT.with_keys(keys);
        for limit in limits {
            call = match limit {
                Counted::Rate { each, ahead, .. } => call.arg("rate").arg(micros(*each)).arg(micros(*ahead)),
                Counted::Daily { most, .. } => call.arg("day").arg(*most).arg(0),
            };
        }
        let (place, wait): (usize, u64) = self.run(&call).await?;
        Ok(match place.checked_sub(1) {
            None => Ok(()),
            Some(limit) => Err(Refused { limit, wait: Duration::from_micros(wait) }),
        })
    }
}

/// With the fraction: at a million calls a second one takes a microsecond.
fn micros(time: Duration) -> String {
    format!("{:.3}", time.as_nanos() as f64 / 1000.0)
}
