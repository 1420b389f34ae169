//! Asking a caller that does not wait: it gets the questions as the result of its call, and makes the call
//! again with the answers.

use std::sync::Arc;

use super::{InputRequired, Operation};
use crate::provider::{Asker, CallError};

/// The rounds of questions and answers of one call. Made by a front whose callers come back.
///
/// [`open`](Self::open) is called once, before the provider; [`suspended`](Self::suspended) at most once,
/// when the provider has ended its work with [`CallError::InputRequired`].
pub trait Rounds: Send + Sync {
    /// The asker for this run of the call. It knows the answers of earlier rounds.
    ///
    /// # Errors
    ///
    /// What is wrong with what the caller brought.
    fn open(self: Arc<Self>, operation: &Operation<'_>) -> Result<Arc<dyn Asker>, CallError>;

    /// What the caller is asked.
    ///
    /// # Errors
    ///
    /// Why it cannot be asked.
    fn suspended(&self, operation: &Operation<'_>) -> Result<InputRequired, CallError>;
}
