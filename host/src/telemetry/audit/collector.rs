//! Audit lines for an OpenTelemetry collector: each is a record of a log, sent by a thread of its own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::line::Record;
use crate::{
    config::AuditConfig,
    provider::SpanValue,
    telemetry::otlp::{Batch, ClientOptions, Delivery, Exporter, Message, Queue, attribute},
};

/// Lines that may wait to be sent. Further ones are dropped and counted.
const QUEUE: usize = 16_384;

/// `SEVERITY_NUMBER_INFO` and `SEVERITY_NUMBER_WARN`.
const INFO: u64 = 9;
const WARN: u64 = 13;

/// The way to a collector.
#[derive(Debug)]
pub(super) struct Collector {
    queue: Arc<Queue>,
    /// Those of the batch that is being written.
    batch: Batch,
}

impl Collector {
    /// None: nobody wants them there.
    pub(super) fn start(config: &AuditConfig, delivery: &Arc<Delivery>) -> Result<Option<Self>, String> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let queue = Arc::new(Queue::new(QUEUE));
        let options = ClientOptions { signal: "logs", what: "audit lines", endpoint, headers: &config.headers, gzip: false, delivery };
        let exporter = Exporter::new(&options, "audit lines", &config.service_name, Arc::clone(&queue))?;
        // It ends when this is gone and all is sent.
        exporter.start("toolbay-audit-otlp").map_err(|error| format!("no thread: {error}"))?;
        Ok(Some(Self { queue, batch: Batch::default() }))
    }

    /// Takes one line. `text`: its JSON.
    pub(super) fn add(&mut self, record: &Record, text: &[u8]) {
        self.batch.push(&message(record, text));
    }

    /// Hands on what was added. Never waits.
    pub(super) fn hand_on(&mut self) {
        self.queue.put(&self.batch, None);
        self.batch.clear();
    }

    /// What counts the lines that the collector took, and those that were dropped.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Waits until all up to now is sent, for so long at most. Blocks. Whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A `LogRecord`. Its numbers are those of `opentelemetry/proto/logs/v1/logs.proto`.
fn message(record: &Record, text: &[u8]) -> Message {
    let nanos = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    };
    let is_good = matches!(record.outcome, "ok" | "input_required");
    let mut message = Message::with_capacity(text.len() + 256);
    message.fixed(1, nanos(record.begin));
    message.number(2, if is_good { INFO } else { WARN });
    message.text(3, if is_good { "INFO" } else { "WARN" });
    message.message(5, |body| body.bytes(1, text));
    let is_tool = record.operation == Some("tools/call");
    let attributes = [
        ("toolbay.audit.event", Some(record.event)),
        ("toolbay.outcome", Some(record.outcome)),
        ("user.id", record.caller.as_deref()),
        ("client.address", record.peer.as_deref()),
        ("mcp.method.name", record.operation),
        ("toolbay.provider", record.provider.as_deref()),
        ("gen_ai.tool.name", record.name.as_deref().filter(|_| is_tool)),
        ("error.type", record.error.as_deref()),
    ];
    for (key, value) in attributes {
        if let Some(value) = value {
            attribute(&mut message, 6, key, SpanValue::Text(value));
        }
    }
    if let Some(trace) = record.trace.as_ref().and_then(bytes) {
        message.bytes(9, &trace);
    }
    message.fixed(11, nanos(SystemTime::now()));
    message.text(12, "toolbay.audit");
    message
}

/// The bytes of a trace id.
fn bytes(digits: &[u8; 32]) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    Some(number.to_be_bytes())
}
