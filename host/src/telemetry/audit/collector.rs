//! Audit lines for an OpenTelemetry collector: each is a record of a log, sent by a thread of its own.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::DateTime;
use serde::Deserialize;

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

    /// Takes one line: its JSON.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.batch.push(&message(line));
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

/// What attributes are made of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    event: Cow<'a, str>,
    trace: Option<String>,
    caller: Option<String>,
    peer: Option<String>,
    operation: Option<String>,
    provider: Option<String>,
    name: Option<String>,
    outcome: Cow<'a, str>,
    error: Option<String>,
}

/// A `LogRecord`. Its numbers are those of `opentelemetry/proto/logs/v1/logs.proto`.
fn message(text: &[u8]) -> Message {
    let line: Line<'_> = serde_json::from_slice(text).unwrap_or_default();
    let begin = DateTime::parse_from_rfc3339(&line.time).ok().and_then(|time| time.timestamp_nanos_opt());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let is_good = matches!(&*line.outcome, "ok" | "input_required");
    let mut message = Message::with_capacity(text.len() + 256);
    message.fixed(1, begin.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default());
    message.number(2, if is_good { INFO } else { WARN });
    message.text(3, if is_good { "INFO" } else { "WARN" });
    message.message(5, |body| body.bytes(1, text));
    let is_tool = line.operation.as_deref() == Some("tools/call");
    let attributes = [
        ("toolbay.audit.event", Some(&*line.event)),
        ("toolbay.outcome", Some(&*line.outcome)),
        ("user.id", line.caller.as_deref()),
        ("client.address", line.peer.as_deref()),
        ("mcp.method.name", line.operation.as_deref()),
        ("toolbay.provider", line.provider.as_deref()),
        ("gen_ai.tool.name", line.name.as_deref().filter(|_| is_tool)),
        ("error.type", line.error.as_deref()),
    ];
    for (key, value) in attributes {
        if let Some(value) = value {
            attribute(&mut message, 6, key, SpanValue::Text(value));
        }
    }
    if let Some(trace) = line.trace.as_deref().and_then(|digits| u128::from_str_radix(digits, 16).ok()) {
        message.bytes(9, &trace.to_be_bytes());
    }
    message.fixed(11, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    message.text(12, "toolbay.audit");
    message
}
