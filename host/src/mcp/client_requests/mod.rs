//! Asking the client in the middle of a call: in place on a session of an older client, by ending the call and making it again for one of 2026-07-28.
//!
//! `capabilities` says whether a client may be asked at all, `session_asker` asks on the stream of a call and awaits the answers, `replay` knows the answers of
//! earlier rounds, and `state` is how a client carries those.

mod answers;
mod capabilities;
mod digest;
mod keys;
mod questions;
mod replay;
mod session_asker;
mod state;

use std::sync::Arc;

pub(super) use answers::check_response;
pub(super) use capabilities::{essence, is_declared, missing};
pub(super) use keys::keys;
pub(super) use questions::{Questions, late};
pub(super) use session_asker::SessionAsker;
pub(super) use state::{Input, Responses, States, responses};

use crate::{
    dispatch::CallRequest,
    provider::{Asker, NoClientRequests},
};
use replay::Replay;

/// How the caller of one call is asked.
pub(super) enum Asking {
    /// Not at all: the call has nothing to ask.
    Never,
    /// The call waits for the answers.
    Waiting(Arc<dyn Asker>),
    /// The call ends, and the caller comes back. With what the caller brought this time.
    Returning(Input),
}

/// Asks nobody: the client has no way to be asked.
pub(super) const NO_SESSION: NoClientRequests = NoClientRequests {
    reason: "this client cannot be asked for input: before MCP 2026-07-28 that needs a session (initialize, then Mcp-Session-Id in every request)",
};

impl Asking {
    /// Gives a call the way to ask its caller.
    pub(super) fn hand_to<'a>(self, request: CallRequest<'a>, states: &Arc<States>) -> CallRequest<'a> {
        match self {
            Self::Never => request,
            Self::Waiting(asker) => request.with_asker(asker),
            Self::Returning(input) => {
                let replay = Replay::new(Arc::clone(states), input, &request);
                request.with_rounds(Arc::new(replay))
            }
        }
    }
}
