//! What a server says in the middle of calls, on any transport: progress, log messages, changes and
//! questions, each to the one call that it can belong to.

use std::{sync::Arc, time::Duration};

use super::{
    Change, ChannelError, Era, input_required,
    message::{self, INTERNAL_ERROR, METHOD_NOT_FOUND},
    pending::Whose,
    raw::RawObject,
    server_log::visible,
    session::{Session, Transport},
};
use crate::provider::{AskError, Asker, JsonText, LogLevel, Question, QuestionKind};

/// Questions that one call has open at once.
const MAX_QUESTIONS: usize = 16;

/// After so long a call that was given up writes no log messages any more, for all that is likely.
const SILENT: Duration = Duration::from_secs(30);

/// Why a question that could be for several calls is refused.
const UNCLEAR: &str =
    "several calls are in flight, and the request doesn't say for which one it is; from now on calls run one at a time, so retry this call";

impl<T: Transport> Session<T> {
    /// A notification. `of`: the request on whose own stream it came, where the transport has such.
    pub(crate) fn notified(&self, method: &str, params: Option<&str>, of: Option<u64>) {
        let params = params.and_then(RawObject::parse).unwrap_or_default();
        match method {
            "notifications/progress" => self.progress(&params),
            "notifications/message" => self.logged(&params, of),
            "notifications/cancelled" => {
                if let Some(question) = params.get("requestId").and_then(|id| self.questions().remove(id)) {
                    question.abort();
                }
            }
            _ => match Change::told(method, &params) {
                // Nobody may listen.
                Some(change) => drop(self.changes.send(change)),
                None => tracing::trace!(server = &*self.server, method, "an unknown notification"),
            },
        }
    }

    /// Progress names its call by the token that it was sent.
    fn progress(&self, params: &RawObject<'_>) {
        let token = params.get("progressToken").and_then(message::own_id);
        let (Some(token), Some(progress)) = (token, params.read("progress")) else { return };
        if let Some(notifier) = self.flight.notifier(token) {
            notifier.progress(progress, params.read("total"), params.read("message"));
        }
    }

    /// A log message names no call: it goes to the operator, and to the caller on whose stream it came or who is the only one whose it can be.
    fn logged(&self, params: &RawObject<'_>, of: Option<u64>) {
        let level = params.read::<String>("level").and_then(|level| LogLevel::of_name(&level)).unwrap_or(LogLevel::Info);
        let logger: Option<String> = params.read("logger");
        let Some(data) = params.get("data") else { return };
        let text = match params.read::<String>("data") {
            Some(text) => visible(&text),
            None => visible(data),
        };
        self.log.line(level, logger.as_deref().unwrap_or("log"), &text);
        let notifier = match (of.and_then(|id| self.flight.notifier(id)), of) {
            (Some(notifier), _) => Some(notifier),
            (None, Some(_)) => None,
            (None, None) => match self.flight.whose(Some(SILENT)) {
                Whose::Only(_, notifier, _) => notifier,
                Whose::Nobody | Whose::Unclear => None,
            },
        };
        if let Some(notifier) = notifier
            && notifier.log_level().is_some_and(|least| level >= least)
        {
            notifier.log(level, logger, JsonText::from_writer(data.to_owned()));
        }
    }

    /// A request of the server, whose id is JSON text. `of`: the request on whose own stream it came.
    pub(crate) fn requested(self: &Arc<Self>, id: &str, method: &str, params: Option<&str>, of: Option<u64>) {
        let answer = |message: String| T::send(self, message);
        if method == "ping" {
            return answer(message::answer(id, "{}"));
        }
        let question = input_required::question_of_session(method, params).filter(|_| self.transport.era() == Era::Legacy);
        let Some(question) = question else {
            return answer(message::refusal(id, METHOD_NOT_FOUND, &format!("there is no method {method} here")));
        };
        let refuse = |why: &str| answer(message::refusal(id, INTERNAL_ERROR, &format!("{method} cannot be answered: {why}")));
        let whose = match of {
            Some(call) => self.flight.of(call),
            None => self.flight.whose(None),
        };
        match whose {
            Whose::Only(call, _, asker) => {
                // What comes on a call's own stream is for that one, whatever else is being made.
                if of.is_none() {
                    self.known.set_asks();
                }
                match asker {
                    Some(asker) => self.ask(call, id, question, asker),
                    None => refuse("the caller cannot be asked for input"),
                }
            }
            Whose::Nobody => refuse("the request belongs to no call in flight, so there is no client to forward it to"),
            Whose::Unclear => {
                if self.known.set_asks() {
                    tracing::warn!(
                        server = &*self.server,
                        "the server sends {method} without saying for which call: from now on its calls run one at a time"
                    );
                }
                refuse(UNCLEAR);
            }
        }
    }

    fn ask(self: &Arc<Self>, call: u64, id: &str, question: Question, asker: Arc<dyn Asker>) {
        if self.flight.questions(call) >= MAX_QUESTIONS {
            return T::send(self, message::refusal(id, INTERNAL_ERROR, &format!("{MAX_QUESTIONS} requests for input are pending already")));
        }
        let (session, server_id) = (Arc::clone(self), id.to_owned());
        let mut questions = self.questions();
        questions.retain(|_, question| !question.is_finished());
        let task = tokio::spawn(async move {
            let kind = question.kind;
            let outcome = asker.ask(vec![question]).await;
            session.answer(call, &server_id, kind, outcome);
        });
        questions.insert(id.to_owned(), task.abort_handle());
        drop(questions);
        if !self.flight.question(call, task.abort_handle()) {
            T::send(self, message::refusal(id, INTERNAL_ERROR, "the call was cancelled"));
        }
    }

    fn answer(self: &Arc<Self>, call: u64, id: &str, kind: QuestionKind, outcome: Result<Vec<JsonText>, AskError>) {
        let (reply, end) = input_required::reply(id, kind, outcome);
        if let Some(error) = end {
            // The refusal brings the server to its end of the call too: a cancellation would as well, but then many servers send no answer, and it would
            // not be known when this one is done with the call.
            self.flight.tell(call, Err(ChannelError::Ask(error)));
        }
        T::send(self, reply);
    }
}
