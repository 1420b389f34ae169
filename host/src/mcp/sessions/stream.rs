//! The stream of a session (GET): what the client is told while it asks nothing.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::Response;
use tokio_util::sync::CancellationToken;

use super::{lists::Lists, session::Session, token::Digests};
use crate::{
    json::write_json,
    mcp::sse::{self, KEEP_ALIVE},
};

/// Opens it. It ends with the session, with the front and with its reader.
pub(super) fn open(lists: Arc<Lists>, session: Arc<Session>, closing: CancellationToken) -> Response<Body> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    session.open_stream(number);
    let listener = Listener { lists, session, closing, number, waiting: VecDeque::new() };
    sse::response(Body::from_stream(stream::unfold(listener, |mut listener| async {
        listener.next().await.map(|event| (Ok::<_, Infallible>(event), listener))
    })))
}

/// The lists that a client knew when it saw the event with this id.
pub(super) fn seen(id: &str) -> Option<Digests> {
    let mut parts = id.split('-').map(|part| u32::from_str_radix(part, 16));
    let digests = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    parts.next().is_none().then_some(digests)
}

struct Listener {
    lists: Arc<Lists>,
    session: Arc<Session>,
    closing: CancellationToken,
    number: u64,
    waiting: VecDeque<Bytes>,
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let session = Arc::clone(&self.session);
            let mut nudged = std::pin::pin!(session.nudged());
            // First listen, then look.
            nudged.as_mut().enable();
            if session.has_ended() {
                return None;
            }
            if session.tells(self.number) && self.look() {
                continue;
            }
            tokio::select! {
                () = self.closing.cancelled() => return None,
                () = nudged => {}
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b": listening\n\n")),
            }
        }
    }

    /// Takes what the client has not been told. False: it knows all.
    fn look(&mut self) -> bool {
        let owner = self.session.owner();
        let (now, [tools, prompts, resources]) = self.lists.now(owner);
        let (before, mut updated) = self.session.news(now);
        if !updated.is_empty() {
            // What was allowed when it subscribed may not be any more.
            let seen = self.lists.seen(owner);
            updated.retain(|uri| !seen.is_limited() || seen.resource(uri).is_some());
        }
        let id = format!("{tools:x}-{prompts:x}-{resources:x}");
        for (list, changed) in [
            ("tools", before.tools != now.tools),
            ("prompts", before.prompts != now.prompts),
            ("resources", before.resources != now.resources),
        ] {
            if changed {
                let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
                self.waiting.push_back(sse::event_with_id(&id, message.as_bytes()));
            }
        }
        for uri in updated {
            let mut message = br#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"#.to_vec();
            write_json(&mut message, &uri);
            message.extend_from_slice(b"}}");
            self.waiting.push_back(sse::event_with_id(&id, &message));
        }
        !self.waiting.is_empty()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.session.close_stream(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_which_lists_its_reader_knows() {
        assert_eq!(seen("1-ff-ffffffff"), Some([1, 255, u32::MAX]));
        for other in ["", "0", "1-2", "1-2-3-4", "x-1-2", "1-2-1ffffffff", "-1-2-3"] {
            assert_eq!(seen(other), None, "{other}");
        }
    }
}
