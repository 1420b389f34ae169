//! One connection from the inside: sending requests, and taking what comes back to whom it is for.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncRead,
    sync::{broadcast, mpsc, oneshot},
    task::AbortHandle,
    time::Instant,
};

use super::{
    flight::{Entry, Flight},
    lines::{Line, Lines, TooLong},
    out::{Out, SendError},
    said::{Said, visible},
};
use crate::{
    bridge::launch::Advice,
    provider::{CallContext, JsonText, LogLevel},
    upstream::{
        Change, ChannelError, Closing, Era, Known, Strays, Turn, Turns,
        message::{self, Incoming},
        meta, no_turn,
        raw::RawObject,
    },
};

/// Lines in a row that are no messages. Some servers print a banner; one that prints nothing else speaks no MCP.
const MAX_GARBAGE: u64 = 1_000;

/// Changes that a slow listener may be behind.
const CHANGES: usize = 64;

/// A request that its caller has left may be answered so much later, before a server whose calls go one at a time is started anew.
const FORSAKEN: Duration = Duration::from_secs(2);

/// Characters of an id that is not ours, in a message.
const SHOWN_ID: usize = 40;

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// One connection.
pub(super) struct Link {
    pub(super) server: Arc<str>,
    pub(super) out: Out,
    pub(super) flight: Flight,
    pub(super) said: Said,
    pub(super) known: Arc<Known>,
    pub(super) changes: broadcast::Sender<Change>,
    /// By the server's ids, as JSON text.
    pub(super) questions: Mutex<HashMap<String, AbortHandle>>,
    era: OnceLock<Era>,
    max_message: usize,
    next_id: AtomicU64,
    turns: Turns,
    /// Whether the server sends log messages, and from which level on.
    logs: AtomicBool,
    level: AtomicU8,
    pub(super) closing: Closing,
    /// It is ending, and why is being found out: what is sent now is lost.
    ending: AtomicBool,
    doom: mpsc::Sender<String>,
    /// Answers that belong to no request.
    pub(super) strays: Strays,
}

/// A request that was sent. Dropped before its answer, it is cancelled.
struct Sent<'a> {
    link: &'a Link,
    id: u64,
    state: SentState,
}

enum SentState {
    /// It may not have got out.
    Queued,
    /// The server has it.
    Out,
    /// It needs no word: it was answered, or ended in another way.
    Over,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let link = self.link;
        match self.state {
            SentState::Queued => drop(link.flight.remove(self.id)),
            SentState::Over => drop(link.flight.leave(self.id)),
            SentState::Out => {
                if link.flight.leave(self.id) {
                    let params = format!("{{\"requestId\":{},\"reason\":\"the caller no longer waits for the answer\"}}", self.id);
                    link.send_now(&message::notification("notifications/cancelled", &params));
                }
            }
        }
    }
}

impl Link {
    /// A connection, and what is told when it has to be ended.
    pub(super) fn new(
        server: Arc<str>,
        out: Out,
        known: Arc<Known>,
        max_message: usize,
        advice: Option<Advice>,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (doom, doomed) = mpsc::channel(1);
        let link = Self {
            said: Said::new(Arc::clone(&server), advice),
            server,
            out,
            flight: Flight::default(),
            known,
            changes: broadcast::channel(CHANGES).0,
            questions: Mutex::default(),
            era: OnceLock::new(),
            max_message,
            next_id: AtomicU64::new(1),
            turns: Turns::default(),
            logs: AtomicBool::new(false),
            level: AtomicU8::new(LogLevel::Emergency as u8),
            closing: Closing::default(),
            ending: AtomicBool::new(false),
            doom,
            strays: Strays::default(),
        };
        (Arc::new(link), doomed)
    }

    /// How the server is spoken to, once that is known.
    pub(super) fn era(&self) -> Era {
        self.era.get().copied().unwrap_or(Era::Legacy)
    }

    pub(super) fn set_era(&self, era: Era) {
        let _ = self.era.set(era);
    }

    /// The server offers log messages: those of the usual levels are asked for, others when a caller wants them.
    pub(super) fn set_logs(&self) {
        self.logs.store(true, Ordering::Relaxed);
        self.lower_level(LogLevel::Info);
    }

    fn lower_level(&self, level: LogLevel) {
        if self.era() == Era::Legacy
            && self.logs.load(Ordering::Relaxed)
            && self.level.fetch_min(level as u8, Ordering::Relaxed) > level as u8
        {
            let mut params = String::from("{\"level\":");
            crate::upstream::raw::write_json(&mut params, &level);
            params.push('}');
            self.send_and_forget("logging/setLevel", &params);
        }
    }

    /// Sends a request whose answer tells nothing.
    pub(super) fn send_and_forget(&self, method: &str, params: &str) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let meta = meta::outgoing(self.era(), &CallContext::default(), id);
        self.send_now(&message::request(id, method, params, meta.as_deref()));
        id
    }

    /// Sends something that cannot wait for room.
    pub(super) fn send_now(&self, message: &str) {
        if let Err(SendError::Full) = self.out.send_now(message) {
            self.said.line(LogLevel::Warning, "toolbay", "the server does not read its stdin: a message to it was dropped");
        }
    }

    /// Sends a request and awaits its answer, in its turn.
    pub(super) async fn request(
        &self,
        method: &str,
        params: &str,
        context: &CallContext,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<JsonText, ChannelError> {
        // Whether a server lives is asked beside all that it does, and nothing it says is for who asks that.
        let turn = if method == "ping" { None } else { self.turn(timeout, deadline).await? };
        if let Some(level) = context.notifier.as_ref().and_then(|notifier| notifier.log_level()) {
            self.lower_level(level);
        }
        self.exchange(self.era(), method, params, context, turn, deadline).await
    }

    /// Sends a request and awaits its answer, whoever's turn it is.
    pub(super) async fn exchange(
        &self,
        era: Era,
        method: &str,
        params: &str,
        context: &CallContext,
        turn: Option<Turn>,
        deadline: Instant,
    ) -> Result<JsonText, ChannelError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let handshake = self.era.get().is_none();
        let meta = meta::outgoing(era, context, id);
        let text = message::request(id, method, params, meta.as_deref());
        let (waits, answer) = oneshot::channel();
        let entry = Entry {
            waits: Some(waits),
            notifier: context.notifier.clone(),
            asker: context.asker.clone(),
            turn,
            questions: Vec::new(),
            is_ping: method == "ping",
            left: None,
        };
        self.flight.insert(id, entry);
        let mut sent = Sent { link: self, id, state: SentState::Queued };
        // Looked at after the request is among those that are failed when the connection closes: one of both sees the other.
        if let Some(why) = self.closing.why() {
            return Err(ChannelError::Closed(why.to_string()));
        }
        match self.out.send(&text, deadline).await {
            // MCP: `initialize` must not be cancelled.
            Ok(()) => sent.state = if handshake { SentState::Over } else { SentState::Out },
            Err(SendError::Full) => return Err(ChannelError::Closed("the server does not read its stdin".to_owned())),
            Err(SendError::Closed(why)) => {
                self.end();
                return Err(ChannelError::Closed(self.closing.why().map_or(why, |why| why.to_string())));
            }
        }
        // How long that may take is the caller's to limit.
        match answer.await {
            Ok(reply) => {
                sent.state = SentState::Over;
                reply
            }
            Err(_) => Err(ChannelError::Closed("the connection was closed by the host".to_owned())),
        }
    }

    async fn turn(&self, timeout: Duration, deadline: Instant) -> Result<Option<Turn>, ChannelError> {
        if self.era() == Era::Modern {
            return Ok(None);
        }
        if let Some(turn) = self.turns.at_once(&self.known) {
            return Ok(Some(turn));
        }
        let turn = self.turns.take(&self.known);
        tokio::pin!(turn);
        loop {
            if let Ok(turn) = tokio::time::timeout_at(deadline.min(Instant::now() + LOOK), &mut turn).await {
                return Ok(Some(turn));
            }
            if self.flight.is_forsaken(FORSAKEN) {
                self.doom(
                    "the server has not ended a cancelled call, so its next request could belong to that call or to another".to_owned(),
                );
                return Err(ChannelError::Closed("restarting the server: it did not end a cancelled call".to_owned()));
            }
            if Instant::now() >= deadline {
                return Err(no_turn(timeout));
            }
        }
    }

    /// Has the connection ended, for this reason.
    pub(super) fn doom(&self, why: String) {
        let _ = self.doom.try_send(why);
    }

    /// From now on it is ending. What is in flight waits for the reason.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether it is ending, or closed.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed) || self.closing.why().is_some()
    }

    /// Ends all that is in flight. The first reason stays.
    pub(super) fn close(&self, why: &str) {
        self.closing.close(why);
        self.out.close();
        self.flight.fail(&self.closing.why().unwrap_or_else(|| why.into()));
    }

    /// Takes what the server says until its output ends.
    ///
    /// # Errors
    ///
    /// How it ended, where that was not between two messages.
    pub(super) async fn read(self: &Arc<Self>, stdout: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), String> {
        let mut lines = Lines::new(stdout, self.max_message);
        let mut garbage = 0;
        loop {
            match lines.next().await {
                Ok(Some(Line::Whole(line))) => match Incoming::parse(&line) {
                    Some(incoming) => {
                        garbage = 0;
                        self.take(incoming);
                    }
                    None if line.trim_ascii().is_empty() => {}
                    None if self.broken(&line) => {}
                    None => {
                        garbage += 1;
                        let start = String::from_utf8_lossy(line.get(..line.len().min(300)).unwrap_or_default()).into_owned();
                        self.said.line(LogLevel::Warning, "stdout", &format!("not an MCP message: {}", visible(&start)));
                        if garbage >= MAX_GARBAGE {
                            return Err(format!(
                                "it wrote {garbage} lines in a row that are not MCP messages, such as: {}",
                                visible(&start)
                            ));
                        }
                    }
                },
                Ok(Some(Line::TooLong(line))) => self.too_long(&line),
                Ok(Some(Line::Cut(line))) => {
                    let start = String::from_utf8_lossy(line.get(..line.len().min(100)).unwrap_or_default()).into_owned();
                    return Err(format!("its output ended in the middle of a message: {}", visible(&start)));
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(format!("its output cannot be read: {error}")),
            }
        }
    }

    fn take(self: &Arc<Self>, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Answer { id, written, result } => {
                match id.and_then(|id| self.flight.remove(id)) {
                    Some(Entry { waits: Some(waits), turn, .. }) => {
                        if let Ok(result) = &result {
                            self.said.failure(result);
                        }
                        let _ = waits.send(result.map(|result| JsonText::from_writer(result.to_owned())));
                        drop(turn);
                    }
                    // Nobody waits any more.
                    Some(Entry { waits: None, .. }) => {
                        tracing::trace!(server = &*self.server, ?id, "a response to no pending request any more");
                    }
                    None => self.stray(id, written, result.err().as_ref()),
                }
            }
            Incoming::Request { id, method, params } => self.requested(id, &method, params),
            Incoming::Notification { method, params } => self.notified(&method, params),
        }
    }

    /// An answer under an id that no request in flight has.
    fn stray(&self, id: Option<u64>, written: Option<&str>, error: Option<&ChannelError>) {
        if let (None, Some(error)) = (written, error) {
            // JSON-RPC: what it was sent could not be read. Before the greeting it was sent one thing only.
            if self.era.get().is_none() && self.end_only_waiting(error.clone()) {
                return;
            }
            return self.said.line(
                LogLevel::Warning,
                "stdout",
                &visible(&format!("the server answers by an error without an id: {error}")),
            );
        }
        let last = self.next_id.load(Ordering::Relaxed) - 1;
        let shown: String = visible(written.unwrap_or("null")).chars().take(SHOWN_ID).collect();
        let fault = format!(
            "the server answers under the id {shown}, and no request that waits has that id (the last one has {last}): a server has to give each answer the id of its request"
        );
        tracing::debug!(server = &*self.server, "{fault}");
        self.strays.note(&fault);
        // Never sent, so that it is not an answer that was given twice: whoever waits alone is who was meant.
        if id.is_none_or(|id| id == 0 || id > last) {
            self.end_only_waiting(ChannelError::Malformed(fault));
        }
    }

    /// Fails the only request that somebody waits for. False: there is none, or there are several.
    fn end_only_waiting(&self, error: ChannelError) -> bool {
        let Some(Entry { waits: Some(waits), .. }) = self.flight.only_waiting().and_then(|id| self.flight.remove(id)) else { return false };
        let _ = waits.send(Err(error));
        true
    }

    /// Whether a line that is no message was meant as an answer to a request, which then fails at once and not by its deadline.
    fn broken(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        let has = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
        if !line.starts_with(b"{") || !(has(b"\"result\"") || has(b"\"error\"")) {
            return false;
        }
        let Some(Entry { waits: Some(waits), .. }) = id_of(&TooLong::of(line)).and_then(|id| self.flight.remove(id)) else { return false };
        let why = serde_json::from_slice::<serde::de::IgnoredAny>(line).err().map_or_else(String::new, |error| format!(": {error}"));
        let start = String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or_default()).into_owned();
        let text = format!("the server's answer is not valid JSON{why}: {}", visible(&start));
        self.said.line(LogLevel::Warning, "stdout", &text);
        let _ = waits.send(Err(ChannelError::Malformed(text)));
        true
    }

    fn too_long(&self, line: &TooLong) {
        let text = format!(
            "the server sent a message of {} bytes, which is more than {} (`max_message` of [server.{}])",
            line.length, self.max_message, self.server
        );
        self.said.line(LogLevel::Warning, "stdout", &text);
        if let Some(Entry { waits: Some(waits), .. }) = id_of(line).and_then(|id| self.flight.remove(id)) {
            let _ = waits.send(Err(ChannelError::Malformed(text)));
        }
    }

    pub(super) fn forget_question(&self, id: &str) -> Option<AbortHandle> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    fn notified(&self, method: &str, params: Option<&str>) {
        let params = params.and_then(RawObject::parse).unwrap_or_default();
        match method {
            "notifications/progress" => self.progress(&params),
            "notifications/message" => self.logged(&params),
            "notifications/cancelled" => {
                if let Some(question) = params.get("requestId").and_then(|id| self.forget_question(id)) {
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
}

/// The id in a message of which only the ends are known. It stands at the one or the other: in front of the result, or at the very end.
fn id_of(line: &TooLong) -> Option<u64> {
    const KEY: &str = "\"id\":";
    let digits = |text: &str| {
        let end = text.find([',', '}', '\n']).unwrap_or(text.len());
        message::own_id(text.get(..end)?.trim())
    };
    let head = String::from_utf8_lossy(&line.head);
    let before = head.split("\"result\"").next().unwrap_or_default();
    let tail = String::from_utf8_lossy(&line.tail);
    let in_head = before.rfind(KEY).and_then(|at| digits(before.get(at + KEY.len()..)?));
    in_head.or_else(|| tail.rfind(KEY).and_then(|at| digits(tail.get(at + KEY.len()..)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_message_is_found_at_either_end() {
        let line = |head: &str, tail: &str| TooLong { head: head.into(), tail: tail.into(), length: 1 << 30 };
        assert_eq!(id_of(&line(r#"{"jsonrpc":"2.0","id":7,"result":{"id":9"#, r#"xxx"}}"#)), Some(7));
        assert_eq!(id_of(&line(r#"{"jsonrpc":"2.0","id": 7 ,"result":{"id":9"#, r#"xxx"}}"#)), Some(7));
        assert_eq!(id_of(&line(r#"{"result":{"id":9"#, r#"xxx"},"jsonrpc":"2.0","id":7}"#)), Some(7));
        assert_eq!(id_of(&line(r#"{"jsonrpc":"2.0","id": 7.0 ,"result":{"id":9"#, r#"xxx"}}"#)), Some(7));
        assert_eq!(id_of(&line(r#"{"result":{"id":9"#, r#"xxx"},"jsonrpc":"2.0","id":"7"}"#)), Some(7));
        assert_eq!(id_of(&line("xxx", "xxx")), None);
    }
}
