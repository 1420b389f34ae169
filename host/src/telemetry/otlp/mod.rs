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
pub(super) use protobuf::Message;
#[cfg(test)]
pub(super) use protobuf::fields;
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

/// A `KeyValue`. All lengths are known before, so that nothing moves.
pub(super) fn attribute(message: &mut Message, number: u32, key: &str, value: SpanValue<'_>) {
    let of_value = match value {
        SpanValue::Text(text) => Message::size(text.len()),
        SpanValue::Number(number) => 1 + Message::digits(number.cast_unsigned()),
    };
    message.open(number, Message::size(key.len()) + Message::size(of_value));
    message.text(1, key);
    message.open(2, of_value);
    match value {
        SpanValue::Text(text) => message.text(1, text),
        SpanValue::Number(number) => message.number(3, number.cast_unsigned()),
    }
}
