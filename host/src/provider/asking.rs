//! Asking the caller something in the middle of a call: elicitation, sampling, roots; the same for callers that wait on a session and for those that
//! come back with the answers.

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::JsonText;

/// What kind of question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    /// `elicitation/create`: something that the person fills in (form) or visits (URL).
    Elicitation,
    /// `sampling/createMessage`: something that the client's model writes.
    Sampling,
    /// `roots/list`: the folders that the client works in.
    Roots,
}

impl QuestionKind {
    /// MCP's name of the request.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The plugin's name for it, under which a caller that comes back sends the answer. None, or one that the round has already: the front makes one up.
    pub key: Option<String>,
    /// What kind it is.
    pub kind: QuestionKind,
    /// The `params` of MCP's request: JSON text of an object.
    pub params: JsonText,
}

/// Asks the caller of one call. Made by the front for each call that may ask.
///
/// Whether the caller waits on a session or comes back later is not seen here: the provider asks, and where the answer is [`AskError::Suspended`] it ends
/// its work at once and returns [`CallError::InputRequired`](super::CallError::InputRequired). The front then sends the questions, and when the caller is
/// back with the answers it makes the same call again, from its beginning, with an `Asker` that knows them.
pub trait Asker: Send + Sync {
    /// What the caller declared that it can: MCP's `ClientCapabilities`, JSON text of an object.
    fn capabilities(&self) -> &str;

    /// Asks all of it in one round. The answers come in the order of the questions, each MCP's result of that request as JSON text of an object.
    /// Dropping the future gives the questions up.
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AskError {
    /// The caller gets the questions as the result of this call and comes back. End it with `CallError::InputRequired`.
    #[error("the call ends here and is made again with the answers")]
    Suspended,
    /// The caller did not declare what is needed: end the call with `CallError::MissingCapability`, or go on without.
    #[error("the client did not declare the capability that this needs: {}", Value::Object(.0.clone()))]
    MissingCapability(
        /// As a `ClientCapabilities` object: `{"elicitation":{"form":{}}}`.
        Map<String, Value>,
    ),
    /// The call was made again, and this time it asks something else than the recorded answers are for: end it with `CallError::Internal`.
    #[error("{0}")]
    Diverged(String),
    /// The caller answered with an error of JSON-RPC.
    #[error("the client answered with an error: {message}")]
    Refused {
        /// JSON-RPC code.
        code: i32,
        /// What it said.
        message: String,
    },
    /// No answer came: time is up, or the caller is gone.
    #[error("{0}")]
    Unanswered(String),
}

/// Asks nobody, and says why: the caller has no way to be asked.
#[derive(Clone, Copy, Debug)]
pub struct NoClientRequests {
    /// A sentence for whoever asks.
    pub reason: &'static str,
}

impl Asker for NoClientRequests {
    fn capabilities(&self) -> &str {
        "{}"
    }

    fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(async move { Err(AskError::Unanswered(self.reason.to_owned())) })
    }
}
