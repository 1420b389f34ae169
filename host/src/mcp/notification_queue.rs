//! What a running call tells its caller before the answer: a bounded queue between the provider and the stream.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    task::Waker,
};

use futures::task::AtomicWaker;
use tokio::sync::Notify;

use crate::{
    json::write_json,
    provider::{JsonText, LogLevel, Notifier},
};

/// Notifications that wait for a client to read them. Past that, progress is replaced by newer progress, and log messages are counted and dropped.
const CAPACITY: usize = 256;

/// Bytes of them, in the same way: one message may be as long as what a plugin can have copied.
const BYTES: usize = 1 << 20;

/// One message before the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notification {
    pub(super) kind: NoteKind,
    /// The `params`, as JSON.
    pub(super) params: Vec<u8>,
}

/// Which message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoteKind {
    Progress,
    Log,
    /// A request of our own, which the client answers in a request of its own.
    Request {
        id: String,
        method: &'static str,
    },
    /// A request of our own is not to be answered any more.
    Withdrawal,
}

impl Notification {
    /// The whole message as JSON.
    pub(super) fn message(&self) -> Vec<u8> {
        let (method, id) = match &self.kind {
            NoteKind::Progress => ("notifications/progress", None),
            NoteKind::Log => ("notifications/message", None),
            NoteKind::Request { id, method } => (*method, Some(id)),
            NoteKind::Withdrawal => ("notifications/cancelled", None),
        };
        let mut message = Vec::with_capacity(self.params.len() + 96);
        message.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
        if let Some(id) = id {
            message.extend_from_slice(b"\"id\":");
            write_json(&mut message, id);
            message.push(b',');
        }
        message.extend_from_slice(b"\"method\":\"");
        message.extend_from_slice(method.as_bytes());
        message.extend_from_slice(b"\",\"params\":");
        message.extend_from_slice(&self.params);
        message.push(b'}');
        message
    }
}

/// The queue of one call.
pub(super) struct NotificationQueue {
    /// The progress token as JSON text. None: no progress was asked for.
    token: Option<Box<str>>,
    level: Option<LogLevel>,
    queue: Mutex<Queue>,
    reader: AtomicWaker,
    /// Tells who waits for the reader's end of it.
    gone: Notify,
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Notification>,
    /// Of all notes together.
    bytes: usize,
    last_progress: Option<f64>,
    dropped: u64,
    /// Nobody reads any more.
    closed: bool,
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.notes.len() < CAPACITY && self.bytes + bytes <= BYTES
    }

    fn push(&mut self, note: Notification) {
        self.bytes += note.params.len();
        self.notes.push_back(note);
    }
}

impl NotificationQueue {
    pub(super) fn new(token: Option<&str>, level: Option<LogLevel>) -> Self {
        Self { token: token.map(Into::into), level, queue: Mutex::default(), reader: AtomicWaker::new(), gone: Notify::new() }
    }

    /// The oldest notification that waits.
    pub(super) fn pop(&self) -> Option<Notification> {
        let mut queue = self.lock();
        if let Some(note) = queue.notes.pop_front() {
            queue.bytes -= note.params.len();
            return Some(note);
        }
        if queue.dropped == 0 {
            return None;
        }
        let count = std::mem::take(&mut queue.dropped);
        Some(log_note(
            LogLevel::Warning,
            Some("toolbay"),
            format!("\"{count} log messages were dropped: they were not read in time\"").as_bytes(),
        ))
    }

    /// Whether nothing waits. Registers who is to be woken when something does.
    pub(super) fn is_empty(&self, reader: &Waker) -> bool {
        self.reader.register(reader);
        let queue = self.lock();
        queue.notes.is_empty() && queue.dropped == 0
    }

    /// A request to the client. Its params are JSON text.
    pub(super) fn request(&self, id: &str, method: &'static str, params: &str) {
        // Never dropped for want of room: who asks waits for the answer, so there are only a few.
        self.lock().push(Notification { kind: NoteKind::Request { id: id.to_owned(), method }, params: params.as_bytes().to_vec() });
        self.reader.wake();
    }

    /// The client need not answer that request any more.
    pub(super) fn withdraw(&self, id: &str) {
        {
            let mut queue = self.lock();
            let unread = queue.notes.iter().position(|note| matches!(&note.kind, NoteKind::Request { id: waiting, .. } if waiting == id));
            if let Some(note) = unread.and_then(|index| queue.notes.remove(index)) {
                queue.bytes -= note.params.len();
                return;
            }
            let mut params = b"{\"requestId\":".to_vec();
            write_json(&mut params, id);
            params.extend_from_slice(b",\"reason\":\"the call no longer waits for the answer\"}");
            queue.push(Notification { kind: NoteKind::Withdrawal, params });
        }
        self.reader.wake();
    }

    /// Nobody is going to read any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.gone.notify_waiters();
    }

    /// Waits until nobody reads any more.
    pub(super) async fn closed(&self) {
        let gone = self.gone.notified();
        if !self.lock().closed {
            gone.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notifier for NotificationQueue {
    fn wants_progress(&self) -> bool {
        self.token.is_some()
    }

    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        let Some(token) = &self.token else { return };
        if !progress.is_finite() {
            return;
        }
        {
            let mut queue = self.lock();
            // The value MUST increase with each notification (MCP, "Progress").
            if queue.last_progress.is_some_and(|last| progress <= last) {
                return;
            }
            queue.last_progress = Some(progress);
            let mut params = format!("{{\"progressToken\":{token},\"progress\":").into_bytes();
            write_number(&mut params, progress);
            if let Some(total) = total.filter(|total| total.is_finite()) {
                params.extend_from_slice(b",\"total\":");
                write_number(&mut params, total);
            }
            if let Some(text) = text {
                params.extend_from_slice(b",\"message\":");
                write_json(&mut params, &text);
            }
            params.push(b'}');
            if params.len() > BYTES {
                return;
            }
            while !queue.has_room(params.len()) {
                let newest = queue.notes.iter().rposition(|note| note.kind == NoteKind::Progress);
                let oldest = || queue.notes.iter().position(|note| note.kind == NoteKind::Log);
                let Some(replaced) = newest.or_else(oldest).and_then(|index| queue.notes.remove(index)) else { return };
                queue.bytes -= replaced.params.len();
                queue.dropped += u64::from(replaced.kind == NoteKind::Log);
            }
            queue.push(Notification { kind: NoteKind::Progress, params });
        }
        self.reader.wake();
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.level
    }

    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        if self.level.is_none_or(|least| level < least) {
            return;
        }
        {
            let mut queue = self.lock();
            let note = log_note(level, logger.as_deref(), data.as_str().as_bytes());
            if queue.has_room(note.params.len()) {
                queue.push(note);
            } else {
                queue.dropped += 1;
            }
        }
        self.reader.wake();
    }
}

fn log_note(level: LogLevel, logger: Option<&str>, data: &[u8]) -> Notification {
    let mut params = b"{\"level\":".to_vec();
    write_json(&mut params, &level);
    if let Some(logger) = logger {
        params.extend_from_slice(b",\"logger\":");
        write_json(&mut params, logger);
    }
    params.extend_from_slice(b",\"data\":");
    params.extend_from_slice(data);
    params.push(b'}');
    Notification { kind: NoteKind::Log, params }
}

/// Whole numbers without a fraction, as people write them.
fn write_number(to: &mut Vec<u8>, number: f64) {
    /// 2^53: up to here every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        to.extend_from_slice(format!("{number:.0}").as_bytes());
    } else {
        write_json(to, &number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn all(outbox: &NotificationQueue) -> Vec<Value> {
        std::iter::from_fn(|| outbox.pop()).map(|note| serde_json::from_slice(&note.message()).unwrap()).collect()
    }

    #[test]
    fn progress_only_grows() {
        let outbox = NotificationQueue::new(Some("\"t\""), None);
        for progress in [0.0, 0.0, 50.0, 20.0, f64::NAN, f64::INFINITY, 50.5] {
            outbox.progress(progress, Some(100.0), Some("x\n\"".into()));
        }
        outbox.log(LogLevel::Error, None, JsonText::from_value("no level was asked for").unwrap());
        let seen: Vec<_> = all(&outbox).into_iter().map(|note| note["params"].clone()).collect();
        let note = |progress: Value| json!({"progressToken": "t", "progress": progress, "total": 100, "message": "x\n\""});
        assert_eq!(seen, [note(json!(0)), note(json!(50)), note(json!(50.5))]);
    }

    #[test]
    fn a_flood_is_bounded_keeps_the_newest_progress_and_says_what_was_dropped() {
        let outbox = NotificationQueue::new(Some("7"), Some(LogLevel::Info));
        for n in 0..1000 {
            outbox.log(LogLevel::Info, Some("l".into()), JsonText::from_value(&n).unwrap());
            outbox.log(LogLevel::Debug, None, JsonText::from_value(&n).unwrap());
            outbox.progress(f64::from(n), None, None);
        }
        let seen = all(&outbox);
        assert!(seen.len() <= CAPACITY + 1, "{}", seen.len());
        let progress: Vec<_> = seen.iter().filter(|note| note["method"] == "notifications/progress").collect();
        assert_eq!(progress.last().unwrap()["params"], json!({"progressToken": 7, "progress": 999}));
        assert!(seen.last().unwrap()["params"]["data"].as_str().unwrap().contains("dropped"), "{:?}", seen.last());
    }

    #[test]
    fn a_question_is_never_dropped_and_withdrawn_only_where_it_was_read() {
        let outbox = NotificationQueue::new(Some("7"), Some(LogLevel::Info));
        outbox.request("ask-1", "roots/list", "{}");
        for n in 0..1000 {
            outbox.log(LogLevel::Info, None, JsonText::from_value(&n).unwrap());
            outbox.progress(f64::from(n), None, None);
        }
        outbox.request("ask-2", "elicitation/create", r#"{"message":"?"}"#);
        outbox.withdraw("ask-2");
        let seen = all(&outbox);
        assert_eq!(seen[0], json!({"jsonrpc": "2.0", "id": "ask-1", "method": "roots/list", "params": {}}));
        assert!(!seen.iter().any(|message| message["id"] == "ask-2" || message["method"] == "notifications/cancelled"));
        outbox.withdraw("ask-1");
        let last = all(&outbox);
        assert_eq!(
            (last.len(), &last[0]["method"], &last[0]["params"]["requestId"]),
            (1, &json!("notifications/cancelled"), &json!("ask-1"))
        );
    }

    #[tokio::test]
    async fn who_waits_learns_that_nobody_reads_any_more() {
        let outbox = std::sync::Arc::new(NotificationQueue::new(None, None));
        let waiting = tokio::spawn({
            let outbox = std::sync::Arc::clone(&outbox);
            async move { outbox.closed().await }
        });
        tokio::task::yield_now().await;
        outbox.close();
        waiting.await.unwrap();
        outbox.closed().await;
    }

    #[test]
    fn long_messages_are_bounded_in_bytes() {
        let outbox = NotificationQueue::new(Some("7"), Some(LogLevel::Info));
        let long = "x".repeat(BYTES / 4);
        for n in 0..100 {
            outbox.progress(f64::from(n), None, Some(long.clone()));
            outbox.log(LogLevel::Info, None, JsonText::from_value(&long).unwrap());
        }
        outbox.progress(100.0, None, Some("x".repeat(2 * BYTES)));
        outbox.progress(101.0, None, None);
        let seen = all(&outbox);
        assert!(seen.iter().map(|note| note.to_string().len()).sum::<usize>() <= BYTES + 1000);
        assert!(seen.iter().any(|note| note["params"]["progress"] == 101));
        assert!(seen.last().unwrap()["params"]["data"].as_str().unwrap().contains("dropped"));
    }
}
