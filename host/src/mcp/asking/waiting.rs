//! Asking a client with a session: requests on the stream of its call, whose answers come in requests of their own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, try_join_all};
use tokio::sync::oneshot;

use super::{answers, answers::Reply, capabilities};
use crate::{
    mcp::{outbox::Outbox, sessions::Session},
    provider::{AskError, Asker, JsonText, Question},
};

type Answer = Result<JsonText, AskError>;

/// The questions of one session that wait for an answer.
#[derive(Default)]
pub(in crate::mcp) struct Questions {
    last: AtomicU64,
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

    fn open(&self) -> (String, oneshot::Receiver<Answer>) {
        let id = format!("ask-{}", self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(id.clone(), sender);
        (id, receiver)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The asker of one call.
pub(in crate::mcp) struct SessionAsker {
    pub(in crate::mcp) session: Arc<Session>,
    /// What becomes the call's stream.
    pub(in crate::mcp) outbox: Arc<Outbox>,
    /// How long an answer may take.
    pub(in crate::mcp) patience: Duration,
}

impl SessionAsker {
    async fn wait(&self, questions: Vec<Question>) -> Result<Vec<JsonText>, AskError> {
        if let Some(missing) = capabilities::missing(self.capabilities(), &questions) {
            return Err(AskError::MissingCapability(missing));
        }
        let mut asked = Asked { asker: self, ids: Vec::with_capacity(questions.len()) };
        let mut answers = Vec::with_capacity(questions.len());
        for Question { kind, params, .. } in questions {
            let (id, answer) = self.session.questions().open();
            self.outbox.request(&id, kind.method(), params.as_str());
            asked.ids.push(id);
            answers.push(async move {
                let answer = answer.await.unwrap_or_else(|_| Err(AskError::Unanswered("the client's session has ended".to_owned())))?;
                let none = |wrong| AskError::Unanswered(format!("the client's answer to {} {wrong}", kind.method()));
                answers::check(kind, answer.as_str()).map_err(none)?;
                Ok(answer)
            });
        }
        tokio::select! {
            answers = try_join_all(answers) => answers,
            () = self.outbox.closed() => Err(AskError::Unanswered("the client has closed the stream on which it was asked".to_owned())),
            () = tokio::time::sleep(self.patience) => Err(late(self.patience)),
        }
    }
}

/// The error for a client that took too long.
pub(in crate::mcp) fn late(patience: Duration) -> AskError {
    AskError::Unanswered(format!("the client did not answer within {} s; [http] ask_timeout sets the limit", patience.as_secs_f64()))
}

impl Asker for SessionAsker {
    fn capabilities(&self) -> &str {
        self.session.capabilities()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(self.wait(questions))
    }
}

/// Questions that are out. What has no answer when this is dropped is withdrawn.
struct Asked<'a> {
    asker: &'a SessionAsker,
    ids: Vec<String>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            if self.asker.session.questions().lock().remove(id).is_some() {
                self.asker.outbox.withdraw(id);
            }
        }
    }
}
