//! What a server says and asks in the middle of calls, each to the one call that it can belong to.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;

use super::{headers::Speech, link::Link};
use crate::{
    provider::{AskError, Asker, JsonText, LogLevel, Notifier, Question},
    upstream::{
        Change, Era,
        message::{self, INTERNAL_ERROR, METHOD_NOT_FOUND},
        raw::RawObject,
        rounds,
    },
};

/// Questions that one request has open at once.
const MAX_QUESTIONS: usize = 16;

/// Requests of a server on one stream that are not answered yet. One that sends more is not answered.
pub(super) const MAX_REQUESTS: usize = 64;

/// Why a question that could be for several calls is refused.
const UNCLEAR: &str = "several calls are in flight, and the request came on a separate stream that doesn't say for which one it is; from now on calls run one at a time, so retry this call";

/// A request that waits for its answer.
pub(super) struct Flying {
    pub(super) notifier: Option<Arc<dyn Notifier>>,
    pub(super) asker: Option<Arc<dyn Asker>>,
    /// Ends it.
    pub(super) end: Option<oneshot::Sender<AskError>>,
    /// Whether what the server says can be for it.
    pub(super) is_call: bool,
}

/// Among those in flight, until dropped.
pub(super) struct Listed<'a> {
    link: &'a Link,
    id: u64,
}

impl<'a> Listed<'a> {
    pub(super) fn new(link: &'a Link, id: u64, flying: Flying) -> Self {
        link.flight().insert(id, flying);
        Self { link, id }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.link.flight().remove(&self.id);
    }
}

impl Link {
    pub(super) fn flight(&self) -> MutexGuard<'_, HashMap<u64, Flying>> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The only call in flight, where it is the only one.
    fn only(&self) -> Result<u64, &'static str> {
        let flight = self.flight();
        let mut calls = flight.iter().filter(|(_, flying)| flying.is_call).map(|(id, _)| *id);
        match (calls.next(), calls.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err("the request belongs to no call in flight, so there is no client to forward it to"),
            (Some(_), Some(_)) => Err(UNCLEAR),
        }
    }

    /// A notification. `notifier`: of the call on whose stream it came, if it was one.
    pub(super) fn notified(&self, method: &str, params: Option<&str>, notifier: Option<&Arc<dyn Notifier>>) {
        let params = params.and_then(RawObject::parse).unwrap_or_default();
        match method {
            "notifications/progress" => self.progress(&params),
            "notifications/message" => self.logged(&params, notifier),
            _ => match Change::told(method, &params) {
                // Nobody may listen.
                Some(change) => drop(self.changes.send(change)),
                None => tracing::trace!(server = %self.http.id, method, "an unknown notification"),
            },
        }
    }

    /// Progress names its call by the token that it was sent, on whatever stream it comes.
    fn progress(&self, params: &RawObject<'_>) {
        let token = params.get("progressToken").and_then(message::own_id);
        let (Some(token), Some(progress)) = (token, params.read("progress")) else { return };
        let notifier = self.flight().get(&token).and_then(|flying| flying.notifier.clone());
        if let Some(notifier) = notifier {
            notifier.progress(progress, params.read("total"), params.read("message"));
        }
    }

    fn logged(&self, params: &RawObject<'_>, notifier: Option<&Arc<dyn Notifier>>) {
        let level = params.read::<String>("level").and_then(|level| LogLevel::of_name(&level)).unwrap_or(LogLevel::Info);
        let logger: Option<String> = params.read("logger");
        let Some(data) = params.get("data") else { return };
        let start: String = data.chars().take(500).collect();
        tracing::debug!(server = %self.http.id, ?level, ?logger, "the server logs {start:?}");
        let notifier = match notifier {
            Some(notifier) => Some(notifier.clone()),
            None => self.only().ok().and_then(|id| self.flight().get(&id)?.notifier.clone()),
        };
        if let Some(notifier) = notifier
            && notifier.log_level().is_some_and(|least| level >= least)
        {
            notifier.log(level, logger, JsonText::from_writer(data.to_owned()));
        }
    }

    /// A request of the server on the stream of a call. What comes of the future is why that call ends, if it does.
    pub(super) fn requested(
        self: Arc<Self>,
        speech: Speech,
        id: &str,
        method: &str,
        params: Option<&str>,
        asker: Option<Arc<dyn Asker>>,
        open: usize,
    ) -> BoxFuture<'static, Option<AskError>> {
        let question = rounds::question_of_session(method, params).filter(|_| speech.era == Era::Legacy);
        let reply = match (question, asker) {
            _ if method == "ping" => message::answer(id, "{}"),
            (None, _) => message::refusal(id, METHOD_NOT_FOUND, &format!("there is no method {method} here")),
            (Some(_), None) => message::refusal(id, INTERNAL_ERROR, "the caller cannot be asked for input"),
            (Some(_), Some(_)) if open >= MAX_QUESTIONS => {
                message::refusal(id, INTERNAL_ERROR, &format!("{MAX_QUESTIONS} requests for input are pending already"))
            }
            (Some(question), Some(asker)) => {
                let id = id.to_owned();
                return self.ask(speech, id, question, asker).boxed();
            }
        };
        async move {
            self.tell_aside(&speech, reply).await;
            None
        }
        .boxed()
    }

    /// A request of the server on a stream that belongs to no call: some servers send all of theirs there.
    pub(super) async fn requested_aside(self: &Arc<Self>, speech: Speech, id: String, method: String, params: Option<String>, open: usize) {
        let question = rounds::question_of_session(&method, params.as_deref()).filter(|_| speech.era == Era::Legacy);
        if question.is_none() {
            self.clone().requested(speech, &id, &method, params.as_deref(), None, open).await;
            return;
        }
        let known = &self.http.known;
        let call = match self.only() {
            Ok(call) => {
                known.set_asks();
                call
            }
            Err(why) => {
                // Where no call is made, it does not ask in the middle of one.
                if why == UNCLEAR && known.set_asks() {
                    tracing::warn!(
                        server = %self.http.id,
                        "the server sends {method} on a separate stream without saying for which call: from now on its calls run one at a time"
                    );
                }
                let text = message::refusal(&id, INTERNAL_ERROR, &format!("{method} cannot be answered: {why}"));
                return self.tell_aside(&speech, text).await;
            }
        };
        let asker = self.flight().get(&call).and_then(|flying| flying.asker.clone());
        if let Some(error) = self.clone().requested(speech, &id, &method, params.as_deref(), asker, open).await {
            let end = self.flight().get_mut(&call).and_then(|flying| flying.end.take());
            if let Some(end) = end {
                let _ = end.send(error);
            }
        }
    }

    async fn ask(self: Arc<Self>, speech: Speech, id: String, question: Question, asker: Arc<dyn Asker>) -> Option<AskError> {
        let kind = question.kind;
        let (reply, end) = rounds::reply(&id, kind, asker.ask(vec![question]).await);
        if end.is_some() {
            // The call ends now. Waiting until the server has this would let its own end of the call come first.
            tokio::spawn(async move { self.tell_aside(&speech, reply).await });
        } else {
            self.tell_aside(&speech, reply).await;
        }
        end
    }
}
