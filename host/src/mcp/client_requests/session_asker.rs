//! Asking a client with a session: requests on the stream of its call, whose answers come in requests of their own.

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, try_join_all};

use super::{answers, capabilities, questions::late};
use crate::{
    mcp::{
        fleet::Fleet,
        notification_queue::NotificationQueue,
        sessions::{Session, Sessions},
    },
    provider::{AskError, Asker, JsonText, Question},
};

/// The asker of one call.
pub(in crate::mcp) struct SessionAsker {
    pub(in crate::mcp) session: Arc<Session>,
    /// Names the questions, so that their answers come here.
    pub(in crate::mcp) fleet: Arc<Fleet>,
    /// What becomes the call's stream.
    pub(in crate::mcp) outbox: Arc<NotificationQueue>,
    /// How long an answer may take.
    pub(in crate::mcp) patience: Duration,
}

impl SessionAsker {
    async fn wait(&self, questions: Vec<Question>) -> Result<Vec<JsonText>, AskError> {
        if let Some(missing) = capabilities::missing(self.capabilities(), &questions) {
            return Err(AskError::MissingCapability(missing));
        }
        // Its answer would come in a request that does not find this session.
        if !Sessions::keeps(&self.session) {
            return Err(AskError::Unanswered(
                "there are more sessions than max_sessions in [http] allows, or this caller has half of them, so the client's answer would not be found".to_owned(),
            ));
        }
        let mut asked = Asked { asker: self, ids: Vec::with_capacity(questions.len()) };
        let mut answers = Vec::with_capacity(questions.len());
        for Question { kind, params, .. } in questions {
            let (id, answer) = self.session.questions().open(|number| self.fleet.question(number));
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
            if self.asker.session.questions().withdraw(id) {
                self.asker.outbox.withdraw(id);
            }
        }
    }
}
