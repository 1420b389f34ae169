//! The time as tokens, logs and statuses have it.

use std::time::SystemTime;

/// Seconds since 1970. A clock before that says 0.
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
