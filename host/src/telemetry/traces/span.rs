//! Spans while they run, and what is left of them.

use std::{
    fmt::Write as _,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{context::Parent, queue::Sink, record::Record};
use crate::provider::{Span, SpanKind, SpanValue};

/// Spans that one trace has here at most: a call that sends requests without end is not recorded without end.
const MOST: usize = 256;
/// Attributes that one span has at most.
const ATTRIBUTES: usize = 32;

/// One trace, as far as it is recorded here.
struct Trace {
    id: [u8; 16],
    /// Whether it was chosen when it began.
    sampled: bool,
    sink: Arc<Sink>,
    begun: AtomicUsize,
    ended: Mutex<Ended>,
}

/// What becomes of spans that end.
enum Ended {
    /// It is not known yet whether they are kept.
    Waiting(Vec<Record>),
    Kept,
    Dropped,
}

impl Trace {
    fn end(&self, record: Record) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *ended {
            Ended::Waiting(records) => records.push(record),
            // What goes on after the call has ended: the body of an answer, a task.
            Ended::Kept => {
                drop(ended);
                self.sink.send(vec![record]);
            }
            Ended::Dropped => {}
        }
    }

    /// Decides about all that has ended, and all that will.
    fn close(&self, last: Record, keep: bool) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *ended, if keep { Ended::Kept } else { Ended::Dropped });
        drop(ended);
        if let Ended::Waiting(mut records) = before
            && keep
        {
            records.push(last);
            self.sink.send(records);
        }
    }
}

/// A span that runs.
struct Live {
    trace: Arc<Trace>,
    begin: Instant,
    record: Mutex<Option<Record>>,
    id: [u8; 8],
    /// Whether it stays within what is recorded of one trace.
    counts: bool,
}

impl Live {
    fn new(trace: &Arc<Trace>, parent: Option<[u8; 8]>, kind: SpanKind, name: String) -> Self {
        let id = random();
        let record = Record {
            trace: trace.id,
            id,
            parent,
            kind,
            name,
            start: SystemTime::now(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            error: None,
        };
        let counts = trace.begun.fetch_add(1, Relaxed) < MOST;
        Self { trace: Arc::clone(trace), begin: Instant::now(), record: Mutex::new(Some(record)), id, counts }
    }

    fn with(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(record);
        }
    }

    /// What is left of it, once.
    fn take(&self) -> Option<Record> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Record { took: self.begin.elapsed(), ..record })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Some(record) = self.take() else { return };
        if self.counts {
            self.trace.end(record);
        } else {
            self.trace.sink.lost(1);
        }
    }
}

impl Span for Live {
    fn child(&self, kind: SpanKind, name: String) -> Arc<dyn Span> {
        Arc::new(Self::new(&self.trace, Some(self.id), kind, name))
    }

    fn set(&self, key: &'static str, value: SpanValue) {
        self.with(|record| {
            if record.attributes.len() < ATTRIBUTES {
                record.attributes.push((key, value));
            }
        });
    }

    fn fail(&self, kind: &str) {
        self.with(|record| record.error = Some(kind.to_owned()));
    }

    fn trace_parent(&self) -> Arc<str> {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        hex(&mut text, &self.trace.id);
        text.push('-');
        hex(&mut text, &self.id);
        text.push_str(if self.trace.sampled { "-01" } else { "-00" });
        text.into()
    }
}

fn hex(to: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(to, "{byte:02x}");
    }
}

/// An id. All zeros are none.
fn random<const N: usize>() -> [u8; N] {
    loop {
        let mut id = [0; N];
        fastrand::Rng::new().fill(&mut id);
        if id.iter().any(|byte| *byte != 0) {
            return id;
        }
    }
}

/// The span of a call here. With its end it is decided whether the trace is kept.
pub struct Root(Arc<Live>);

impl Root {
    pub(super) fn new(sink: &Arc<Sink>, parent: Option<Parent>, sampled: bool, kind: SpanKind, name: String) -> Self {
        let trace = Arc::new(Trace {
            id: parent.map_or_else(random, |parent| parent.trace),
            sampled,
            sink: Arc::clone(sink),
            begun: AtomicUsize::new(0),
            ended: Mutex::new(Ended::Waiting(Vec::new())),
        });
        Self(Arc::new(Live::new(&trace, parent.map(|parent| parent.span), kind, name)))
    }

    /// As those see it who do something for the call.
    #[must_use]
    pub fn span(&self) -> Arc<dyn Span> {
        Arc::clone(&self.0) as _
    }

    /// The call has ended. `failure`: a word for how, where it failed; `is_error`: whether that makes the span one of an error.
    pub fn end(self, failure: Option<&str>, is_error: bool, took: Duration) {
        match failure {
            Some(kind) if is_error => self.0.fail(kind),
            Some(kind) => self.0.set("error.type", kind.into()),
            None => {}
        }
        let trace = &self.0.trace;
        let keep = trace.sampled || trace.sink.keeps(is_error, took);
        if let Some(record) = self.0.take() {
            trace.close(record, keep);
        }
    }
}
