//! A session on stdin and stdout: sending requests as lines, and taking what comes back to whom it is for.

use std::{
    future::ready,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{io::AsyncRead, sync::mpsc};

use super::{
    lines::{Line, Lines, TooLong},
    stderr::Stderr,
    stdin_queue::{SendError, StdinQueue},
};
use crate::{
    bridge::launch::Advice,
    provider::{CallContext, JsonText, LogLevel},
    upstream::{
        ChannelError, Entry, Era, Known, Request, Session, Transport, Uris, cancellation,
        handshake::{Greeting, resource_subscription},
        message::{self, Incoming},
        meta, visible,
    },
};

/// Lines in a row that are no messages. Some servers print a banner; one that prints nothing else speaks no MCP.
const MAX_GARBAGE: u64 = 1_000;

/// Characters of an id that is not ours, in a message.
const SHOWN_ID: usize = 40;

/// The pipes of one server.
pub(super) struct Stdio {
    pub(super) out: StdinQueue,
    pub(super) stderr: Stderr,
    /// None: the handshake is not done.
    greeting: OnceLock<Greeting>,
    max_message: usize,
    /// It is ending, and why is being found out: what is sent now is lost.
    ending: AtomicBool,
    doom: mpsc::Sender<String>,
}

/// One connection.
pub(super) type StdioConnection = Session<Stdio>;

impl Transport for Stdio {
    const ABANDONED: Option<Duration> = Some(Duration::from_secs(2));

    fn era(&self) -> Era {
        self.greeting.get().map_or(Era::Legacy, |greeting| greeting.era)
    }

    fn exchange<'a>(session: &'a Arc<Session<Self>>, request: Request<'a>) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(session.exchange(session.transport.era(), request))
    }

    fn send(session: &Arc<Session<Self>>, message: String) {
        session.send_now(&message);
    }

    fn ask_aside<'a>(session: &'a Arc<Session<Self>>, method: &'static str, params: String) -> BoxFuture<'a, ()> {
        session.send_and_forget(method, &params);
        Box::pin(ready(()))
    }

    fn abandon(session: &Arc<Session<Self>>, id: u64) {
        // It stays in flight until the server has answered.
        session.send_now(&cancellation(id));
    }

    fn listen<'a>(session: &'a Arc<Session<Self>>, uris: &'a Uris) -> BoxFuture<'a, Option<Box<dyn Send>>> {
        let params = session.transport.greeting.get().and_then(|greeting| resource_subscription(&greeting.server, uris));
        let listening = params.map(|params| {
            let id = session.send_and_forget("subscriptions/listen", &params);
            Box::new(Listening { link: Arc::clone(session), id }) as Box<dyn Send>
        });
        Box::pin(ready(listening))
    }

    fn doom(session: &Session<Self>, why: &str) {
        let _ = session.transport.doom.try_send(why.to_owned());
    }
}

/// Updates that the server was asked to tell of, until dropped.
struct Listening {
    link: Arc<StdioConnection>,
    id: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let params = format!("{{\"requestId\":{},\"reason\":\"the subscriptions have changed\"}}", self.id);
        self.link.send_now(&message::notification("notifications/cancelled", &params));
    }
}

impl Session<Stdio> {
    /// A connection, and what is told when it has to be ended.
    pub(super) fn open(
        server: Arc<str>,
        out: StdinQueue,
        known: Arc<Known>,
        max_message: usize,
        advice: Option<Advice>,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (doom, doomed) = mpsc::channel(1);
        let stdio =
            Stdio { out, stderr: Stderr::new(advice), greeting: OnceLock::new(), max_message, ending: AtomicBool::new(false), doom };
        (Self::new(server, known, stdio), doomed)
    }

    /// How the server is spoken to is known from now on.
    pub(super) fn set_greeting(&self, greeting: Greeting) {
        let _ = self.transport.greeting.set(greeting);
    }

    /// Sends a request whose answer tells nothing.
    pub(super) fn send_and_forget(&self, method: &str, params: &str) -> u64 {
        let id = self.next_id();
        let meta = meta::outgoing(self.transport.era(), &CallContext::default(), id);
        self.send_now(&message::request(id, method, params, meta.as_deref()));
        id
    }

    /// Sends something that cannot wait for room.
    pub(super) fn send_now(&self, message: &str) {
        if let Err(SendError::Full) = self.transport.out.send_now(message) {
            self.log.line(LogLevel::Warning, "toolbay", "the server does not read its stdin: a message to it was dropped");
        }
    }

    /// Sends a request and awaits its answer. `era` says by which rules it is made up.
    pub(super) async fn exchange(self: &Arc<Self>, era: Era, request: Request<'_>) -> Result<JsonText, ChannelError> {
        let Request { method, params, context, turn, until } = request;
        let handshake = self.transport.greeting.get().is_none();
        let (mut in_flight, answer) = self.begin(method, context, turn);
        let meta = meta::outgoing(era, context, in_flight.id);
        let text = message::request(in_flight.id, method, params, meta.as_deref());
        // Looked at after the request is among those that are failed when the connection closes: one of both sees the other.
        if let Some(why) = self.closing.why() {
            return Err(ChannelError::Closed(why.to_string()));
        }
        match self.transport.out.send(&text, until).await {
            // MCP: `initialize` must not be cancelled, and an older server knows nothing of cancelling before that.
            Ok(()) => in_flight.sent(!handshake),
            Err(SendError::Full) => return Err(ChannelError::Closed("the server does not read its stdin".to_owned())),
            Err(SendError::Closed(why)) => {
                self.end();
                return Err(ChannelError::Closed(self.closing.why().map_or(why, |why| why.to_string())));
            }
        }
        // How long that may take is the caller's to limit.
        match answer.await {
            Ok(reply) => {
                in_flight.over();
                reply
            }
            Err(_) => Err(ChannelError::Closed("the connection was closed by the host".to_owned())),
        }
    }

    /// From now on it is ending. What is in flight waits for the reason.
    pub(super) fn end(&self) {
        self.transport.ending.store(true, Ordering::Relaxed);
    }

    /// Whether it is ending, or closed.
    pub(super) fn is_ending(&self) -> bool {
        self.transport.ending.load(Ordering::Relaxed) || self.closing.why().is_some()
    }

    /// Ends all that is in flight. The first reason stays.
    pub(super) fn close(&self, why: &str) {
        self.closing.close(why);
        self.transport.out.close();
        self.flight.fail(&self.closing.why().unwrap_or_else(|| why.into()));
    }

    /// Takes what the server says until its output ends.
    ///
    /// # Errors
    ///
    /// How it ended, where that was not between two messages.
    pub(super) async fn read(self: &Arc<Self>, stdout: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), String> {
        let mut lines = Lines::new(stdout, self.transport.max_message);
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
                        self.log.line(LogLevel::Warning, "stdout", &format!("not an MCP message: {}", visible(&start)));
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
                            self.transport.stderr.failure(&self.server, result);
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
            Incoming::Request { id, method, params } => self.requested(id, &method, params, None),
            Incoming::Notification { method, params } => self.notified(&method, params, None),
        }
    }

    /// An answer under an id that no request in flight has.
    fn stray(&self, id: Option<u64>, written: Option<&str>, error: Option<&ChannelError>) {
        if let (None, Some(error)) = (written, error) {
            // JSON-RPC: what it was sent could not be read. Before the handshake is done it was sent one thing only.
            if self.transport.greeting.get().is_none() && self.end_only_waiting(error.clone()) {
                return;
            }
            let text = format!("the server answers by an error without an id: {error}");
            return self.log.line(LogLevel::Warning, "stdout", &visible(&text));
        }
        let last = self.last_id();
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
        self.log.line(LogLevel::Warning, "stdout", &text);
        let _ = waits.send(Err(ChannelError::Malformed(text)));
        true
    }

    fn too_long(&self, line: &TooLong) {
        let text = format!(
            "the server sent a message of {} bytes, which is more than {} (`max_message` of [server.{}])",
            line.length, self.transport.max_message, self.server
        );
        self.log.line(LogLevel::Warning, "stdout", &text);
        if let Some(Entry { waits: Some(waits), .. }) = id_of(line).and_then(|id| self.flight.remove(id)) {
            let _ = waits.send(Err(ChannelError::Malformed(text)));
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
