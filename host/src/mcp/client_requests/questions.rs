//! What the client of one session was asked and has not answered.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::answers::Reply;
use crate::{
    mcp::signing::random,
    provider::{AskError, JsonText},
};

type Answer = Result<JsonText, AskError>;

/// The questions of one session that wait for an answer.
#[derive(Default)]
pub(in crate::mcp) struct Questions {
    last: AtomicU64,
    /// Tells them from those of other instances in the same session.
    mark: OnceLock<u32>,
    /// By the text of their id.
    open: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
}

impl Questions {
    /// Takes what a client sent as the answer to the request with this id, a JSON text. False: nobody here has asked that.
    pub(in crate::mcp) fn answer(&self, id: &str, body: &[u8]) -> bool {
        let Ok(id) = serde_json::from_str::<String>(id) else { return false };
        let Some(asker) = self.lock().remove(&id) else { return false };
        let unreadable = |error: serde_json::Error| Err(AskError::Unanswered(format!("the client's answer could not be read: {error}")));
        // Nobody waits any more: the call has ended in between.
        let _ = asker.send(serde_json::from_slice::<Reply<'_>>(body).map_or_else(unreadable, Reply::take));
        true
    }

    /// Takes a question back. False: it was answered.
    pub(super) fn withdraw(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    /// A new question. `name`: makes its id of what tells it from the session's others.
    pub(super) fn open(&self, name: impl FnOnce(String) -> String) -> (String, oneshot::Receiver<Answer>) {
        // Other instances ask in the same session, and their questions may come to the same client at once.
        let id = name(format!("ask-{:x}-{}", self.mark(), self.last.fetch_add(1, Ordering::Relaxed) + 1));
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(id.clone(), sender);
        (id, receiver)
    }

    fn mark(&self) -> u32 {
        *self.mark.get_or_init(|| random::<4>().map_or_else(std::process::id, u32::from_be_bytes))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for a client that took too long.
pub(in crate::mcp) fn late(patience: Duration) -> AskError {
    AskError::Unanswered(format!("the client did not answer within {} s; [http] ask_timeout sets the limit", patience.as_secs_f64()))
}
