//! Letting the caller of a call go while the call runs on: it is given a handle, and asks later what came of it.

use serde_json::{Map, Value};

/// Lets the caller of one call go. Made by the front for each call that may want that.
///
/// Nothing changes for the provider but how it reaches its caller: progress is shown with the handle, questions are answered by it, and log messages go to
/// nobody but the operator.
pub trait Deferral: Send + Sync {
    /// Lets the caller go, if it is not gone yet.
    ///
    /// # Errors
    ///
    /// Why it has to wait for the answer.
    fn defer(&self) -> Result<(), NotDeferred>;
}

/// Why a caller was not let go.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotDeferred {
    /// It did not declare that it can ask later.
    #[error("the client did not declare the capability that this needs: {}", Value::Object(.0.clone()))]
    Undeclared(
        /// What it would have to declare, as a `ClientCapabilities` object.
        Map<String, Value>,
    ),
    /// The host does not do it, or not now. A sentence.
    #[error("{0}")]
    Unavailable(String),
}
