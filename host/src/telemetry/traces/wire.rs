//! Spans as OTLP has them. The numbers are those of `opentelemetry/proto/trace/v1/trace.proto` and its neighbours, which never change.

use crate::{
    provider::{SpanKind, SpanValue},
    telemetry::otlp::{Message, attribute},
};

/// Attributes that one span has at most.
const ATTRIBUTES: usize = 32;

/// Bytes that a span mostly takes.
const USUAL: usize = 384;

/// A span that is recorded: written from its beginning on, so that there is nothing to be made of it when it is sent.
#[derive(Debug)]
pub struct Record {
    message: Message,
    /// Where the time of its end is.
    end: usize,
    attributes: usize,
    /// What kind of failure, where it is one.
    error: Option<Box<str>>,
}

/// Which span.
pub(super) struct Identity<'a> {
    pub(super) trace: &'a [u8; 16],
    pub(super) id: &'a [u8; 8],
    pub(super) parent: Option<&'a [u8; 8]>,
}

/// What is the same of all spans of one sort: written once where there are many.
#[derive(Debug)]
pub struct Outline {
    message: Message,
    /// Where the attributes begin.
    body: usize,
    attributes: usize,
}

impl Outline {
    /// `name`: its parts.
    #[must_use]
    pub fn new(kind: SpanKind, name: &[&str], attributes: &[(&'static str, &str)]) -> Self {
        let mut message = Message::default();
        message.joined(5, name);
        let kind = match kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        };
        message.number(6, kind);
        let body = message.as_bytes().len();
        for (key, value) in attributes {
            attribute(&mut message, 9, key, SpanValue::Text(value));
        }
        Self { message, body, attributes: attributes.len() }
    }
}

impl Record {
    /// `start`: nanoseconds since 1970.
    pub(super) fn begin(identity: &Identity<'_>, outline: &Outline, start: u64) -> Self {
        let (head, body) = outline.message.as_bytes().split_at_checked(outline.body).unwrap_or_default();
        let mut message = Message::with_capacity(USUAL);
        message.bytes(1, identity.trace);
        message.bytes(2, identity.id);
        if let Some(parent) = identity.parent {
            message.bytes(4, parent);
        }
        message.append(head);
        message.fixed(7, start);
        let end = message.fixed_later(8);
        message.append(body);
        Self { message, end, attributes: outline.attributes, error: None }
    }

    /// Sets an attribute.
    pub fn set<'a>(&mut self, key: &'static str, value: impl Into<SpanValue<'a>>) {
        if self.attributes < ATTRIBUTES {
            self.attributes += 1;
            attribute(&mut self.message, 9, key, value.into());
        }
    }

    pub(super) fn fail(&mut self, kind: &str) {
        self.error = Some(kind.into());
    }

    /// It has ended, at this time: the span as it is sent.
    pub(super) fn end(mut self, end: u64) -> Message {
        self.message.set_fixed(self.end, end);
        if let Some(error) = &self.error {
            attribute(&mut self.message, 9, "error.type", SpanValue::Text(error));
            self.message.message(15, |status| {
                status.text(2, error);
                // STATUS_CODE_ERROR
                status.number(3, 2);
            });
        }
        self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::otlp::{Batch, scope};

    fn record(parent: Option<&[u8; 8]>, kind: SpanKind, error: Option<&str>) -> Message {
        let long = "v".repeat(200);
        let outline = Outline::new(kind, &["tools/call", " ", "ä"], &[("k", &long)]);
        let identity = Identity { trace: b"0123456789abcdef", id: b"01234567", parent };
        let start = 1_700_000_000_000_000_005;
        let mut record = Record::begin(&identity, &outline, start);
        record.set("n", SpanValue::Number(-5));
        record.set("s", 404_u16);
        if let Some(error) = error {
            record.fail(error);
        }
        record.end(start + 300_000_000)
    }

    /// What `opentelemetry-proto` 0.33.1 writes of the same request, as BLAKE3.
    const THEIRS: &str = "c11ccd5e3eef0c161a6235cc63e85d408de526b1410b0442ede1e539e4f5fd49";

    #[test]
    fn a_request_is_what_the_crates_of_opentelemetry_write() {
        let mut spans = Batch::default();
        spans.push(&record(Some(b"89abcdef"), SpanKind::Client, Some("tool_error")));
        spans.push(&record(None, SpanKind::Server, None));
        let mut resource = Message::default();
        attribute(&mut resource, 1, "service.name", SpanValue::Text("x"));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(version, "0.1.0", "the version is in the bytes: make THEIRS anew");
        let bytes = spans.request(resource.as_bytes(), &scope());
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), THEIRS);
    }
}
