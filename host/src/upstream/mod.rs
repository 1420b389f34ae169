//! Other MCP servers, seen from the client's side: what a connection to one is, and how what it offers becomes a provider. How the connection is made
//! (`bridge`: a program or a container; `remote`: HTTP) is not known here.

mod call_lock;
mod clock;
mod closing;
pub mod convert;
mod era;
pub mod fit;
#[cfg(test)]
mod generated;
pub mod handshake;
pub(crate) mod http_headers;
mod inbox;
pub mod input_required;
pub mod listing;
pub mod message;
pub mod meta;
pub(crate) mod pending;
mod provider;
mod server_log;
pub(crate) mod session;
pub(crate) mod sse_decoder;
mod strays;
pub(crate) mod subscriber;

use std::{any::Any, borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::provider::{AskError, CallContext, CallError, JsonText, StartSignal, Subscription};

pub(crate) use crate::json::raw;
pub use call_lock::{CallGuard, CallLock, no_turn};
pub use clock::{Clock, deadline};
pub use closing::Closing;
pub use era::{CLIENT_INFO, Era, Known, LEGACY_VERSION, MODERN_VERSION};
pub(crate) use pending::Entry;
pub use provider::UpstreamProvider;
pub(crate) use server_log::{LINE, ServerLog, visible};
pub(crate) use session::{Request, Session, Transport, cancellation, is_call};
pub use strays::Strays;
pub(crate) use subscriber::all_updated;

/// One connection to an MCP server, past its handshake. Any number of requests may be under way at once.
pub trait Channel: Send + Sync {
    /// Sends a request and waits for its answer: the `result`, raw, with every member that the server wrote.
    ///
    /// `params` are the members of the request's `params` beside `_meta`, as JSON text of an object; `_meta` is the channel's business: trace context and
    /// vendor keys of the call's own `_meta` are handed on, what belongs to one hop is made anew. Progress and log messages go to the call's notifier,
    /// questions to its asker, and to those of no other call. Dropping the future cancels the request at the server.
    fn request<'a>(
        &'a self,
        method: &'static str,
        params: &'a str,
        context: &'a CallContext,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<JsonText, ChannelError>>;

    /// What the server said of itself in its handshake: JSON text of the `result` of `initialize` or `server/discover`.
    fn server(&self) -> &JsonText;

    /// What the server tells of changes, from now on.
    fn changes(&self) -> broadcast::Receiver<Change>;

    /// Updates of these resources are wanted from now on, and of no others. A server that does not offer that is not told. Must not block.
    fn subscribe(&self, uris: Uris) {
        let _ = uris;
    }

    /// Whether it is known that what is sent now is lost, though not yet why: [`Self::closed`] will say that soon.
    fn is_ending(&self) -> bool {
        false
    }

    /// Waits until the connection is of no more use, and says why.
    fn closed(&self) -> BoxFuture<'_, String>;
}

/// Addresses of resources.
pub type Uris = Arc<BTreeSet<String>>;

/// What a server tells without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `notifications/tools/list_changed`
    Tools,
    /// `notifications/prompts/list_changed`
    Prompts,
    /// `notifications/resources/list_changed`
    Resources,
    /// `notifications/resources/updated`, with the URI.
    Updated(String),
}

impl Change {
    /// The change that a notification of a server tells of. None: it tells of none.
    pub(crate) fn told(method: &str, params: &raw::RawObject<'_>) -> Option<Self> {
        match method {
            "notifications/tools/list_changed" => Some(Self::Tools),
            "notifications/prompts/list_changed" => Some(Self::Prompts),
            "notifications/resources/list_changed" => Some(Self::Resources),
            "notifications/resources/updated" => params.read("uri").map(Self::Updated),
            _ => None,
        }
    }
}

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// The server answered by an error of JSON-RPC.
    #[error("{message} ({code})")]
    Rpc {
        /// JSON-RPC code.
        code: i32,
        /// One sentence.
        message: String,
        /// More about it.
        data: Option<Value>,
    },
    /// The connection ended before the answer; the text says why.
    #[error("{0}")]
    Closed(String),
    /// The server is elsewhere and was not reached, or turned the request away before MCP came into it; the text says who, and why.
    #[error("{0}")]
    Unreachable(String),
    /// The server has too much to do, and said when to come again.
    #[error("{what}")]
    Busy {
        /// Who says so, in whose words.
        what: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// No answer in time. The server was told that nobody waits any more.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The host did not make the request, or not to its end, and says why in the words of a call.
    #[error(transparent)]
    Call(Box<CallError>),
    /// The server asked the caller something, and that did not end well.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What came is not what MCP allows.
    #[error("{0}")]
    Malformed(String),
}

impl ChannelError {
    /// What kind of error, in a word or by its code: for traces.
    #[must_use]
    pub fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Rpc { code, .. } => Cow::Owned(code.to_string()),
            Self::Closed(_) => Cow::Borrowed("closed"),
            Self::Unreachable(_) => Cow::Borrowed("unreachable"),
            Self::Busy { .. } => Cow::Borrowed("busy"),
            Self::Timeout(_) => Cow::Borrowed("timeout"),
            Self::Call(_) => Cow::Borrowed("host"),
            Self::Ask(_) => Cow::Borrowed("ask"),
            Self::Malformed(_) => Cow::Borrowed("malformed"),
        }
    }
}

/// Chooses the connection for a call: the only one, or one of several replicas.
pub trait Pick: Send + Sync {
    /// A connection and the right to use it for one call; waits for its turn, in bounds, and tells `signal` of it.
    ///
    /// # Errors
    ///
    /// [`CallError::Busy`] when the queue is full; [`CallError::Internal`] or [`CallError::Protocol`] when there is no server just now, with the reason
    /// and what is being done about it.
    fn pick<'a>(&'a self, signal: Option<&'a StartSignal>) -> BoxFuture<'a, Result<Lease, CallError>>;

    /// [`Provider::subscribe`](crate::provider::Provider::subscribe), for all connections that there are and will be.
    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        let _ = uri;
        None
    }
}

/// The right to make one call.
pub struct Lease {
    /// By which connection.
    pub channel: Arc<dyn Channel>,
    /// Which replica that is, by its number. None: there are none.
    pub replica: Option<u64>,
    /// Gives the right back when dropped.
    pub guard: Box<dyn Any + Send>,
}
