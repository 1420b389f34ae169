//! The answer of a server in a component to one message, read as it comes: JSON, or a stream with
//! the answer at its end.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::{
    exchange::GuestSession,
    guest::{Head, Reader, Unanswered},
};
use crate::{
    provider::JsonText,
    upstream::{
        ChannelError,
        http_headers::SESSION,
        message::Incoming,
        sse_decoder::{SseDecoder, TooLong},
    },
};

/// Characters of a refusal that are shown.
const SHOWN: usize = 300;

/// What came of one message.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The session that the server gave with it.
    pub(super) session: Option<HeaderValue>,
    pub(super) said: Said,
}

pub(super) enum Said {
    /// An answer of JSON-RPC.
    Result(Result<JsonText, ChannelError>),
    /// The status says that it is well.
    Nothing,
    /// Another status, and what stands in the body.
    Refused(Option<ChannelError>, String),
    /// Something else, in words.
    Malformed(String),
}

/// Takes an answer in.
pub(super) struct Taking {
    session: Arc<GuestSession>,
    id: u64,
    limit: usize,
    /// Bytes so far.
    taken: usize,
    status: StatusCode,
    opened: Option<HeaderValue>,
    kind: String,
    body: Vec<u8>,
    events: Option<SseDecoder>,
}

impl Taking {
    pub(super) fn new(session: &Arc<GuestSession>, id: u64, limit: usize) -> Self {
        Self {
            session: Arc::clone(session),
            id,
            limit,
            taken: 0,
            status: StatusCode::OK,
            opened: None,
            kind: String::new(),
            body: Vec::new(),
            events: None,
        }
    }

    fn answer(&mut self, said: Said) -> Answer {
        Answer { status: self.status, session: self.opened.take(), said }
    }

    /// One message of a stream. The answer, if it is that.
    fn event(&mut self, data: &[u8]) -> Option<Answer> {
        match Incoming::parse(data) {
            Some(Incoming::Answer { id, result, .. }) if id.is_none_or(|id| id == self.id) => {
                let result = result.map(|result| JsonText::from_writer(result.to_owned()));
                return Some(self.answer(Said::Result(result)));
            }
            Some(Incoming::Notification { method, params }) => self.session.notified(&method, params, Some(self.id)),
            Some(Incoming::Request { method, .. }) => {
                tracing::warn!(
                    plugin = &*self.session.server,
                    %method,
                    "the server asks its client on a stream, which a component cannot be answered on; MCP of 2026-07-28 has `input_required` for that"
                );
            }
            Some(Incoming::Answer { .. }) | None => {
                tracing::debug!(plugin = &*self.session.server, "an event that is not for this request")
            }
        }
        None
    }
}

impl Reader for Taking {
    type Answer = Answer;

    fn head(&mut self, head: Head) -> Option<Answer> {
        self.status = head.status;
        self.opened = head.headers.get(SESSION).cloned();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        self.kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if head.status.is_success() && self.kind == "text/event-stream" {
            self.events = Some(SseDecoder::new(self.limit));
        }
        None
    }

    fn bytes(&mut self, bytes: &Bytes) -> Result<Option<Answer>, Unanswered> {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken > self.limit {
            return Err(Unanswered::TooLong);
        }
        let Some(events) = &mut self.events else {
            self.body.extend_from_slice(bytes);
            return Ok(None);
        };
        events.push(bytes).map_err(|TooLong| Unanswered::TooLong)?;
        while let Some(data) = self.events.as_mut().and_then(SseDecoder::next) {
            if let Some(answer) = self.event(&data) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn end(mut self) -> Answer {
        let body = std::mem::take(&mut self.body);
        let rpc = match Incoming::parse(&body) {
            Some(Incoming::Answer { result, .. }) => Some(result.map(|result| JsonText::from_writer(result.to_owned()))),
            _ => None,
        };
        let said = match rpc {
            _ if self.events.is_some() => Said::Malformed("a stream that ends without the answer".to_owned()),
            Some(result) if self.status.is_success() => Said::Result(result),
            Some(Err(error)) => Said::Refused(Some(error), String::new()),
            _ if !self.status.is_success() => Said::Refused(None, shown(&body)),
            _ if body.is_empty() => Said::Nothing,
            _ => Said::Malformed(format!("{:?}, which is no answer of JSON-RPC: {}", self.kind, shown(&body))),
        };
        self.answer(said)
    }
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

impl Answer {
    pub(super) fn result(self, path: &str, method: &str) -> Result<JsonText, ChannelError> {
        let status = self.status;
        match self.said {
            Said::Result(result) => result,
            Said::Nothing => Err(ChannelError::Malformed(format!("it answers {method} (POST {path}) with {status} and nothing else"))),
            Said::Malformed(what) => Err(ChannelError::Malformed(format!("it answers {method} (POST {path}) with {what}"))),
            Said::Refused(Some(error), _) => Err(error),
            Said::Refused(None, body) => {
                let said = if body.is_empty() { String::new() } else { format!(": {body}") };
                let text = format!("it answers {method} (POST {path}) with {status}{said}");
                Err(if status.is_client_error() { ChannelError::Malformed(text) } else { ChannelError::Unreachable(text) })
            }
        }
    }
}
