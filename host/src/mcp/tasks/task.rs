//! One task: how far the call that runs for it has come, what it asks, and what came of it. As MCP's extension `io.modelcontextprotocol/tasks` writes it.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::try_join_all;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    json::write_json,
    mcp::{
        client_requests::{Responses, check_response, keys, late},
        present::TaskInfo,
        result_json,
        rpc::{BUSY, RpcError, error_object},
    },
    provider::{AskError, CallError, JsonText, Principal, Question},
};

/// How often a client should ask. A call that becomes a task takes many seconds, mostly, and a look costs some 20 µs.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Characters of a message that clients show beside a spinner.
const MESSAGE: usize = 1_000;

/// One task.
pub(in crate::mcp) struct Task {
    id: String,
    /// Whose it is: nobody else is told that there is such a task.
    principal: Option<Principal>,
    created: DateTime<Utc>,
    ttl: Duration,
    /// When it is forgotten.
    pub(super) expires: Instant,
    /// Its client wants no more of it.
    pub(super) cancelled: CancellationToken,
    inner: Mutex<Inner>,
}

struct Inner {
    updated: DateTime<Utc>,
    message: Option<String>,
    end: Option<End>,
    /// Questions without an answer, in the order in which they were asked.
    open: Vec<Open>,
    /// The key of every question that was ever asked: none is used twice.
    keys: HashSet<String>,
}

struct Open {
    key: String,
    question: Question,
    answer: oneshot::Sender<JsonText>,
}

/// What came of the call.
pub(super) enum End {
    /// Its result, as JSON.
    Completed(Vec<u8>),
    Failed(RpcError),
    Cancelled,
}

impl End {
    /// Of a task whose result cannot be kept.
    pub(super) fn no_room(message: String) -> Self {
        Self::Failed(RpcError { code: BUSY, message, data: None })
    }

    /// Bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        if let Self::Completed(result) = self { result.capacity() } else { 0 }
    }
}

impl Inner {
    fn status(&self) -> &'static str {
        match &self.end {
            Some(End::Completed(_)) => "completed",
            Some(End::Failed(_)) => "failed",
            Some(End::Cancelled) => "cancelled",
            None if self.open.is_empty() => "working",
            None => "input_required",
        }
    }
}

impl Task {
    pub(super) fn new(id: String, principal: Option<Principal>, ttl: Duration) -> Self {
        let created = Utc::now();
        let inner = Inner { updated: created, message: None, end: None, open: Vec::new(), keys: HashSet::new() };
        Self { id, principal, created, ttl, expires: Instant::now() + ttl, cancelled: CancellationToken::new(), inner: Mutex::new(inner) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_of(&self, principal: Option<&Principal>) -> bool {
        self.principal.as_ref() == principal
    }

    /// What an operator sees of it.
    pub(super) fn info(&self) -> TaskInfo {
        let inner = self.lock();
        TaskInfo {
            caller: self.principal.as_ref().map(|principal| principal.subject().to_owned()),
            status: inner.status(),
            message: inner.message.clone(),
            created: self.created.timestamp_millis(),
            updated: inner.updated.timestamp_millis(),
            expires: self.expires.saturating_duration_since(Instant::now()).as_secs(),
            bytes: inner.end.as_ref().map_or(0, End::size),
        }
    }

    /// Says how far the call has come.
    pub(super) fn say(&self, message: &str) {
        let mut inner = self.lock();
        if inner.end.is_none() {
            inner.message = Some(message.chars().take(MESSAGE).collect());
            inner.updated = Utc::now();
        }
    }

    /// The first end is the end. False: there was one.
    pub(super) fn end(&self, end: End) -> bool {
        let mut inner = self.lock();
        if inner.end.is_some() {
            return false;
        }
        inner.message = if let End::Failed(error) = &end { Some(error.message.chars().take(MESSAGE).collect()) } else { None };
        inner.end = Some(end);
        inner.open.clear();
        inner.updated = Utc::now();
        true
    }

    /// Bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        self.lock().end.as_ref().map_or(0, End::size)
    }

    /// Asks the client, and waits so long for the answers. Dropping the future gives the questions up.
    pub(super) async fn ask(&self, questions: Vec<Question>, patience: Duration) -> Result<Vec<JsonText>, AskError> {
        let ended = || AskError::Unanswered("the task has ended".to_owned());
        let mut answers = Vec::with_capacity(questions.len());
        let _asked = {
            let mut inner = self.lock();
            if inner.end.is_some() {
                return Err(ended());
            }
            let keys = keys(&questions, &mut inner.keys);
            for (key, question) in keys.iter().cloned().zip(questions) {
                let (answer, receiver) = oneshot::channel();
                inner.open.push(Open { key, question, answer });
                answers.push(async { receiver.await.map_err(|_| ended()) });
            }
            inner.updated = Utc::now();
            Asked { task: self, keys }
        };
        // While it waits it keeps its place among its plugin's calls, so that does not go on for as long as the task may live.
        timeout(patience, try_join_all(answers)).await.unwrap_or_else(|_| Err(late(patience)))
    }

    /// Takes answers of the client. Those to questions that are not open are left.
    ///
    /// # Errors
    ///
    /// An answer that cannot be one. None is taken then.
    pub(super) fn answer(&self, mut responses: Responses) -> Result<(), CallError> {
        let mut inner = self.lock();
        for Open { key, question, .. } in &inner.open {
            if let Some(response) = responses.get(key) {
                check_response(key, question.kind, response.get()).map_err(CallError::InvalidParams)?;
            }
        }
        let (answered, open) = std::mem::take(&mut inner.open).into_iter().partition(|open: &Open| responses.contains_key(&open.key));
        inner.open = open;
        for Open { key, answer, .. } in answered {
            if let Some(response) = responses.remove(&key) {
                // Nobody waits any more: the call has ended in between.
                let _ = answer.send(JsonText::from_writer(String::from(Box::<str>::from(response))));
            }
        }
        inner.updated = Utc::now();
        Ok(())
    }

    /// Appends MCP's `CreateTaskResult`, without its braces.
    pub(in crate::mcp) fn write_created(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(b"\"resultType\":\"task\"");
        // What it asks and what came of it is not said here, so neither is that it asks or has ended.
        self.write(to, "working", &self.lock());
    }

    /// MCP's `GetTaskResult`: an object.
    pub(super) fn detailed(&self) -> Vec<u8> {
        let inner = self.lock();
        let mut to = Vec::with_capacity(512 + self.id.len() + inner.end.as_ref().map_or(0, End::size));
        to.extend_from_slice(b"{\"resultType\":\"complete\"");
        self.write(&mut to, inner.status(), &inner);
        match &inner.end {
            Some(End::Completed(result)) => {
                to.extend_from_slice(b",\"result\":");
                to.extend_from_slice(result);
            }
            Some(End::Failed(error)) => {
                to.extend_from_slice(b",\"error\":");
                error_object(&mut to, error);
            }
            None if !inner.open.is_empty() => {
                to.extend_from_slice(b",\"inputRequests\":");
                result_json::questions(&mut to, inner.open.iter().map(|open| (open.key.as_str(), &open.question)));
            }
            Some(End::Cancelled) | None => {}
        }
        to.push(b'}');
        to
    }

    /// Appends the members that every form of it has.
    fn write(&self, to: &mut Vec<u8>, status: &str, inner: &Inner) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        to.extend_from_slice(b",\"taskId\":");
        write_json(to, &self.id);
        to.extend_from_slice(b",\"status\":");
        write_json(to, status);
        if let Some(message) = &inner.message {
            to.extend_from_slice(b",\"statusMessage\":");
            write_json(to, message);
        }
        for (name, time) in [("createdAt", self.created), ("lastUpdatedAt", inner.updated)] {
            to.extend_from_slice(format!(",\"{name}\":\"{}\"", time.to_rfc3339_opts(SecondsFormat::Millis, true)).as_bytes());
        }
        to.extend_from_slice(format!(",\"ttlMs\":{},\"pollIntervalMs\":{}", millis(self.ttl), millis(POLL_INTERVAL)).as_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Questions that are out. What has no answer when this is dropped is withdrawn.
struct Asked<'a> {
    task: &'a Task,
    keys: Vec<String>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut inner = self.task.lock();
        let before = inner.open.len();
        inner.open.retain(|open| !self.keys.contains(&open.key));
        if inner.open.len() != before {
            inner.updated = Utc::now();
        }
    }
}
