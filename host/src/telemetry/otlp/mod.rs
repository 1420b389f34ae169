//! OTLP over HTTP, as far as a host needs it to send traces, metrics and audit lines to a collector.
//!
//! Written by hand, since the crates of OpenTelemetry bring features of others that compile most of the host anew.

mod batch;
mod client;
#[cfg(test)]
pub(super) mod collector;
mod delivery;
mod export;
mod protobuf;
mod queue;

use crate::provider::SpanValue;
pub(super) use batch::Batch;
pub(super) use client::{Client, ClientOptions};
pub use delivery::{Delivery, DeliveryStatus};
pub(super) use export::Exporter;
pub(super) use protobuf::{Message, fields};
pub(super) use queue::Queue;

/// Bytes of the `Resource` that is the same of all that this process sends.
pub(super) fn resource(service_name: &str) -> Vec<u8> {
    let instance = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut resource = Message::default();
    for (key, value) in [
        ("service.name", service_name),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &instance),
        ("telemetry.sdk.name", "toolbay"),
        ("telemetry.sdk.language", "rust"),
    ] {
        attribute(&mut resource, 1, key, SpanValue::Text(value));
    }
    resource.into_bytes()
}

/// Bytes of the `InstrumentationScope`.
pub(super) fn scope() -> Vec<u8> {
    let mut scope = Message::default();
    scope.text(1, "toolbay");
    scope.text(2, env!("CARGO_PKG_VERSION"));
    scope.into_bytes()
}

/// A `KeyValue`.
pub(super) fn attribute(message: &mut Message, number: u32, key: &str, value: SpanValue<'_>) {
    message.message(number, |pair| {
        pair.text(1, key);
        pair.message(2, |any| match value {
            SpanValue::Text(text) => any.text(1, text),
            SpanValue::Number(number) => any.number(3, number.cast_unsigned()),
        });
    });
}

/// Of how many items a collector says that it has rejected them: `partial_success` of its answer, whichever signal it is about.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let partial = fields(answer).find_map(|(number, field)| if number == 1 { field.bytes() } else { None });
    let rejected = fields(partial.unwrap_or_default()).find_map(|(number, field)| if number == 1 { field.number() } else { None });
    rejected.and_then(|rejected| usize::try_from(rejected).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_collector_rejected_is_read() {
        let mut answer = Message::default();
        answer.message(1, |partial| {
            partial.number(1, 300);
            partial.text(2, "too old");
        });
        assert_eq!(rejected(&answer.into_bytes()), 300);
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
