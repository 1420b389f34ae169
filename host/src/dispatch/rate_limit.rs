//! The second layer: whether a principal calls too often.

use super::Operation;
use crate::provider::{CallError, Principal};

/// The limits on calls by principal and by tool. There are none yet; how many calls run at once is limited
/// below, by each provider.
#[derive(Debug, Default)]
pub(super) struct RateLimit;

impl RateLimit {
    /// Counts one call that may be made. Called once for each. Must not wait.
    ///
    /// # Errors
    ///
    /// [`CallError::Busy`], with the time after which there is room again.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the limits will stand here, and deny calls")]
    pub(super) fn check(&self, _principal: Option<&Principal>, _operation: &Operation<'_>) -> Result<(), CallError> {
        Ok(())
    }
}
