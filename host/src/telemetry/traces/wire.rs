//! Spans as OTLP has them: Protocol Buffers, of the few messages that are sent and read here.
//!
//! Written by hand, since the crates of OpenTelemetry bring features of others that compile most of the host anew. The numbers are those of
//! `opentelemetry/proto/trace/v1/trace.proto` and its neighbours, which never change.

use std::time::{Duration, SystemTime};

use super::record::Record;
use crate::provider::{SpanKind, SpanValue};

/// One `ExportTraceServiceRequest` with these spans. `resource`: what is the same of all.
pub(super) fn request(spans: &[Record], resource: &[(&str, String)]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |message| {
            for (key, value) in resource {
                attribute(message, 1, key, &SpanValue::Text(value.clone()));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.text(1, "toolbay");
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for record in spans {
                scope_spans.message(2, |message| span(message, record));
            }
        });
    });
    request.0
}

fn span(message: &mut Message, record: &Record) {
    let start = record.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    message.bytes(1, &record.trace);
    message.bytes(2, &record.id);
    if let Some(parent) = &record.parent {
        message.bytes(4, parent);
    }
    message.text(5, &record.name);
    message.number(
        6,
        match record.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
    );
    message.fixed(7, nanos(start));
    message.fixed(8, nanos(start + record.took));
    for (key, value) in &record.attributes {
        attribute(message, 9, key, value);
    }
    if let Some(error) = &record.error {
        attribute(message, 9, "error.type", &SpanValue::Text(error.clone()));
        message.message(15, |status| {
            status.text(2, error);
            // STATUS_CODE_ERROR
            status.number(3, 2);
        });
    }
}

/// A `KeyValue`.
fn attribute(message: &mut Message, number: u32, key: &str, value: &SpanValue) {
    message.message(number, |pair| {
        pair.text(1, key);
        pair.message(2, |any| match value {
            SpanValue::Text(text) => any.text(1, text),
            SpanValue::Number(number) => any.number(3, number.cast_unsigned()),
        });
    });
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How many spans a collector has rejected, as its `ExportTraceServiceResponse` says it.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let partial = fields(answer).find_map(|(number, field)| if number == 1 { field.bytes() } else { None });
    let rejected = fields(partial.unwrap_or_default()).find_map(|(number, field)| if number == 1 { field.number() } else { None });
    rejected.and_then(|rejected| usize::try_from(rejected).ok()).unwrap_or_default()
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes().first().map_or(0x80, |low| low | 0x80));
            number >>= 7;
        }
        self.0.push(number.to_le_bytes().first().copied().unwrap_or_default());
    }

    fn key(&mut self, number: u32, wire: u32) {
        self.varint(u64::from(number << 3 | wire));
    }

    fn number(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.varint(value);
    }

    fn fixed(&mut self, number: u32, value: u64) {
        self.key(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, 2);
        self.varint(u64::try_from(bytes.len()).unwrap_or_default());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// The fields of a message with their numbers, up to the first that is none.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = varint(&mut rest)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut rest)?),
            1 => Field::Number(u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Field::Bytes(take(&mut rest, length)?)
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << place;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            trace: *b"0123456789abcdef",
            id: *b"01234567",
            parent: Some(*b"89abcdef"),
            kind: SpanKind::Client,
            name: "tools/call ä".to_owned(),
            start: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
            took: Duration::from_millis(300),
            attributes: vec![("k", SpanValue::Text("v".repeat(200))), ("n", SpanValue::Number(-5)), ("s", SpanValue::Number(404))],
            error: Some("tool_error".to_owned()),
        }
    }

    /// What `opentelemetry-proto` 0.33.1 writes of the same request, as BLAKE3.
    const THEIRS: &str = "c11ccd5e3eef0c161a6235cc63e85d408de526b1410b0442ede1e539e4f5fd49";

    #[test]
    fn a_request_is_what_the_crates_of_opentelemetry_write() {
        let bytes = request(
            &[record(), Record { parent: None, error: None, kind: SpanKind::Server, ..record() }],
            &[("service.name", "x".to_owned())],
        );
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(version, "0.1.0", "the version is in the bytes: make THEIRS anew");
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), THEIRS);
    }

    #[test]
    fn what_a_collector_rejected_is_read() {
        let mut answer = Message::default();
        answer.message(1, |partial| {
            partial.number(1, 300);
            partial.text(2, "too old");
        });
        assert_eq!(rejected(&answer.0), 300);
        assert_eq!((rejected(b""), rejected(b"{}"), rejected(&[0xff; 20])), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_to_its_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            rejected(&bytes);
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }
    }
}
