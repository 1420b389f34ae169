//! Asking the client in the middle of a call: in place on a session of an older client, by ending the call and making it again for one of 2026-07-28.
//!
//! `capabilities` says whether a client may be asked at all, `waiting` asks on the stream of a call and awaits the answers, `replay` knows the answers of
//! earlier rounds, and `state` is how a client carries those.

mod answers;
mod canonical;
mod capabilities;
mod keys;
mod peer;
mod replay;
mod state;
mod waiting;

use std::sync::Arc;

pub(super) use answers::check_response;
pub(super) use capabilities::{is_declared, missing};
pub(super) use keys::keys;
pub(super) use peer::PeerAsker;
pub(super) use replay::{InputRequired, Replay};
pub(super) use state::{Input, Responses, States, responses};
pub(super) use waiting::{Questions, SessionAsker, late};

use futures::future::BoxFuture;

use super::tasks::Deferred;
use crate::provider::{AskError, Asker, JsonText, Question};

/// How the caller of one call is asked.
pub(super) enum Asking {
    /// Not at all: the call has nothing to ask.
    Never,
    /// The call waits for the answers.
    Waiting(Arc<dyn Asker>),
    /// The call ends, and the caller comes back. With what the caller brought this time.
    Returning(Input),
    /// The same until the caller is let go, and by the task from there on.
    Deferrable(Input, Arc<Deferred>),
}

/// Asks nobody: the caller speaks no MCP.
pub(super) struct PlainCaller;

impl Asker for PlainCaller {
    fn capabilities(&self) -> &str {
        "{}"
    }

    fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        let why = "a caller by plain HTTP cannot be asked: call this tool by MCP, at /mcp";
        Box::pin(async move { Err(AskError::Unanswered(why.to_owned())) })
    }
}

/// Asks nobody: the client has no way to be asked.
pub(super) struct Unasked;

impl Asker for Unasked {
    fn capabilities(&self) -> &str {
        "{}"
    }

    fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        let why =
            "this client cannot be asked: before MCP 2026-07-28 that needs a session (initialize, then Mcp-Session-Id in every request)";
        Box::pin(async move { Err(AskError::Unanswered(why.to_owned())) })
    }
}
