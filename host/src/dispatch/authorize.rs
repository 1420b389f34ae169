//! The first layer: whether a principal may do what it asks for.

use super::Operation;
use crate::provider::{CallError, Principal};

/// The rules on who may do what. There are none yet: whoever was let in may do everything.
#[derive(Debug, Default)]
pub(super) struct Authorize;

impl Authorize {
    /// Decides about one call. Called once for each, before anything is done for it. Must not wait.
    ///
    /// # Errors
    ///
    /// What the caller is told. It must not give away whether there is such a thing as it asked for.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the rules will stand here, and deny calls")]
    pub(super) fn check(&self, _principal: Option<&Principal>, _operation: &Operation<'_>) -> Result<(), CallError> {
        Ok(())
    }
}
