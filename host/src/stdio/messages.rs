//! The messages of one response of HTTP: a stream of events, one body, or an error.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, value::RawValue};

use super::endpoint::Answer;
use crate::upstream::sse_decoder::SseDecoder;

/// Bytes of one message from the other end: larger than any limit of a host's own.
const LARGEST: usize = 256 << 20;
/// Bytes that are read of an error that is no message.
const ERROR_TEXT: usize = 16 << 10;

/// The messages of one response.
pub(super) struct Messages {
    status: StatusCode,
    body: futures::stream::BoxStream<'static, Result<Bytes, String>>,
    /// None: the body is one message.
    events: Option<SseDecoder>,
    ended: bool,
    /// An error without an id is a message too.
    pub(super) as_it_is: bool,
}

impl Messages {
    pub(super) fn of(answer: Answer) -> Self {
        let status = answer.status();
        let is_stream = answer.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        Self { status, body: answer.into_body(), events: is_stream.then(|| SseDecoder::new(LARGEST)), ended: false, as_it_is: false }
    }

    /// The next one. `id` is that of the request, which the answer to it must have.
    pub(super) async fn next(&mut self, id: Option<&str>) -> Option<Result<Vec<u8>, String>> {
        use futures::StreamExt as _;
        let Some(events) = &mut self.events else {
            if std::mem::replace(&mut self.ended, true) {
                return None;
            }
            return self.whole(id).await.transpose();
        };
        loop {
            if let Some(event) = events.next() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            match self.body.next().await {
                Some(Ok(chunk)) if events.push(&chunk).is_ok() => {}
                Some(Ok(_)) => {
                    self.ended = true;
                    return Some(Err(format!("the server sent an event of more than {LARGEST} bytes")));
                }
                Some(Err(why)) => {
                    self.ended = true;
                    return Some(Err(format!("the connection to the server broke: {why}")));
                }
                None => self.ended = true,
            }
        }
    }

    /// The event that the stream goes on from.
    pub(super) fn last_id(&self) -> Option<HeaderValue> {
        self.events.as_ref()?.last_id.as_deref().and_then(|id| HeaderValue::try_from(id).ok())
    }

    /// The body as one message, which an error may have to be made of.
    async fn whole(&mut self, id: Option<&str>) -> Result<Option<Vec<u8>>, String> {
        use futures::StreamExt as _;
        let mut text = Vec::new();
        while let Some(chunk) = self.body.next().await {
            text.extend_from_slice(&chunk.map_err(|why| format!("the connection to the server broke: {why}"))?);
            if text.len() > LARGEST {
                return Err(format!("the server sent a message of more than {LARGEST} bytes"));
            }
        }
        if self.status.is_success() {
            return Ok((!text.trim_ascii().is_empty()).then_some(text));
        }
        let mut error = match serde_json::from_slice::<Value>(&text) {
            Ok(error) if error.get("error").is_some_and(Value::is_object) => error,
            _ => {
                text.truncate(ERROR_TEXT);
                let said = String::from_utf8_lossy(&text);
                return Err(format!("the server answered {}{}{}", self.status, if said.is_empty() { "" } else { ": " }, said.trim()));
            }
        };
        // An error that the transport made knows no id.
        let Some(id) = id else {
            let message = error.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
            return if error.get("id").is_none_or(Value::is_null) && !self.as_it_is {
                Err(format!("the server answered {}: {message}", self.status))
            } else {
                Ok(Some(text))
            };
        };
        if let (Some(members), Ok(id)) = (error.as_object_mut(), serde_json::from_str(id)) {
            members.insert("id".to_owned(), id);
        }
        Ok(Some(error.to_string().into_bytes()))
    }
}

/// The code of an error of JSON-RPC.
pub(super) fn code(message: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(message).ok()?.pointer("/error/code")?.as_i64()
}

/// Whether a message is the answer to the request of this id.
pub(super) fn is_answer(message: &[u8], id: Option<&str>) -> bool {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        method: Option<serde::de::IgnoredAny>,
    }
    let Ok(Head { id: Some(found), method: None }) = serde_json::from_slice::<Head<'_>>(message) else { return false };
    id == Some(found.get())
}
