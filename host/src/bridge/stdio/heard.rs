//! What a server says in the middle of calls: progress, log messages and questions, each to the one call that it can belong to.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{flight::Whose, link::Link, said::visible};
use crate::{
    provider::{AskError, Asker, JsonText, LogLevel, Question, QuestionKind},
    upstream::{
        ChannelError, Era,
        message::{self, INTERNAL_ERROR, METHOD_NOT_FOUND},
        raw::RawObject,
        rounds,
    },
};

/// Questions that one connection has open at once.
const MAX_QUESTIONS: usize = 16;

/// After so long a call that was given up writes no log messages any more, for all that is likely.
const SILENT: Duration = Duration::from_secs(30);

impl Link {
    /// Progress names its call by the token that it was sent.
    pub(super) fn progress(&self, params: &RawObject<'_>) {
        let token = params.get("progressToken").and_then(message::own_id);
        let (Some(token), Some(progress)) = (token, params.read("progress")) else { return };
        if let Some(notifier) = self.flight.notifier(token) {
            notifier.progress(progress, params.read("total"), params.read("message"));
        }
    }

    /// A log message names no call: it goes to the operator, and to the caller if there is only one whose it can be.
    pub(super) fn logged(&self, params: &RawObject<'_>) {
        let level = params.read::<String>("level").and_then(|level| LogLevel::of_name(&level)).unwrap_or(LogLevel::Info);
        let logger: Option<String> = params.read("logger");
        let Some(data) = params.get("data") else { return };
        let text = match params.read::<String>("data") {
            Some(text) => visible(&text),
            None => visible(data),
        };
        self.said.line(level, logger.as_deref().unwrap_or("log"), &text);
        if let Whose::Only(_, Some(notifier), _) = self.flight.whose(Some(SILENT))
            && notifier.log_level().is_some_and(|least| level >= least)
        {
            notifier.log(level, logger, JsonText::from_writer(data.to_owned()));
        }
    }

    /// A request of the server.
    pub(super) fn requested(self: &Arc<Self>, id: &str, method: &str, params: Option<&str>) {
        if method == "ping" {
            return self.send_now(&message::answer(id, "{}"));
        }
        let question = rounds::question_of_session(method, params).filter(|_| self.era() == Era::Legacy);
        let Some(question) = question else {
            return self.send_now(&message::refusal(id, METHOD_NOT_FOUND, &format!("there is no method {method} here")));
        };
        let refuse = |why: &str| self.send_now(&message::refusal(id, INTERNAL_ERROR, &format!("{method} cannot be answered: {why}")));
        match self.flight.whose(None) {
            Whose::Only(call, _, Some(asker)) => {
                self.known.set_asks();
                self.ask(call, id, question, asker);
            }
            Whose::Only(_, _, None) => {
                self.known.set_asks();
                refuse("the caller cannot be asked for input");
            }
            Whose::Nobody => refuse("the request belongs to no call in flight, so there is no client to forward it to"),
            Whose::Unclear => {
                if self.known.set_asks() {
                    tracing::warn!(
                        server = &*self.server,
                        "the server sends {method} without saying for which call: from now on its calls run one at a time"
                    );
                }
                refuse(
                    "several calls are in flight, and the request doesn't say for which one it is; from now on calls run one at a time, so retry this call",
                );
            }
        }
    }

    fn ask(self: &Arc<Self>, call: u64, id: &str, question: Question, asker: Arc<dyn Asker>) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        questions.retain(|_, question| !question.is_finished());
        if questions.len() >= MAX_QUESTIONS {
            drop(questions);
            return self.send_now(&message::refusal(
                id,
                INTERNAL_ERROR,
                &format!("{MAX_QUESTIONS} requests for input are pending already"),
            ));
        }
        let link = Arc::clone(self);
        let server_id = id.to_owned();
        let task = tokio::spawn(async move {
            let kind = question.kind;
            let outcome = asker.ask(vec![question]).await;
            link.answer(call, &server_id, kind, outcome);
        });
        questions.insert(id.to_owned(), task.abort_handle());
        drop(questions);
        if !self.flight.question(call, task.abort_handle()) {
            self.send_now(&message::refusal(id, INTERNAL_ERROR, "the call was cancelled"));
        }
    }

    fn answer(&self, call: u64, id: &str, kind: QuestionKind, outcome: Result<Vec<JsonText>, AskError>) {
        let (reply, end) = rounds::reply(id, kind, outcome);
        if let Some(error) = end {
            // The refusal brings the server to its end of the call too: a cancellation would as well, but then many servers send no answer, and it would
            // not be known when this one is done with the call.
            self.flight.tell(call, Err(ChannelError::Ask(error)));
        }
        self.send_now(&reply);
    }
}
