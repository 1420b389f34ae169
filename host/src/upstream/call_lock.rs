//! Whether calls of one connection run beside each other or one at a time: nothing on the wire says whose call a question of an older server belongs to, so
//! that one which asks has its calls made one after the other.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{ChannelError, Known};
use crate::provider::AskError;

/// The turns of one connection.
#[derive(Default)]
pub struct CallLock(Arc<RwLock<()>>);

/// The right to have a call under way, until dropped.
pub enum CallGuard {
    /// Beside others.
    Shared(OwnedRwLockReadGuard<()>),
    /// Alone.
    Alone(OwnedRwLockWriteGuard<()>),
}

impl CallLock {
    /// A turn that can be had without waiting, beside others.
    #[must_use]
    pub fn at_once(&self, known: &Known) -> Option<CallGuard> {
        let guard = Arc::clone(&self.0).try_read_owned().ok().filter(|_| !known.asks())?;
        Some(CallGuard::Shared(guard))
    }

    /// Waits for a turn: alone, where the server asks questions.
    pub async fn take(&self, known: &Known) -> CallGuard {
        if !known.asks() {
            let guard = Arc::clone(&self.0).read_owned().await;
            // It may have asked for the first time while this one waited.
            if !known.asks() {
                return CallGuard::Shared(guard);
            }
        }
        CallGuard::Alone(Arc::clone(&self.0).write_owned().await)
    }
}

/// The error of a call whose turn did not come within this time. It says nothing of the server, which was not asked: it may wait for an answer of another
/// call's caller.
#[must_use]
pub fn no_turn(timeout: Duration) -> ChannelError {
    ChannelError::Ask(AskError::Unanswered(format!(
        "no slot became free within {} s: the server requests input from its callers, so its calls run one at a time, and earlier ones take long; retry later, or run more replicas of this server",
        timeout.as_secs_f64()
    )))
}
