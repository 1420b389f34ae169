//! Spans while they run, and what becomes of them.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    context::Parent,
    sink::Sink,
    wire::{Identity, Outline, Record},
};
use crate::{
    provider::{Span, SpanKind, SpanValue},
    telemetry::otlp::Batch,
};

/// Spans that one trace has here at most: a call that sends requests without end is not recorded without end.
const MOST: usize = 256;

/// One trace, as far as it is recorded here.
struct Trace {
    id: [u8; 16],
    /// Whether it was chosen when it began.
    sampled: bool,
    sink: Arc<Sink>,
    /// When it began, by both clocks: one reading of the time of day is enough for all its spans.
    begin: Instant,
    time: u64,
    begun: AtomicUsize,
    ended: Mutex<Fate>,
}

/// What becomes of spans that end.
enum Fate {
    /// It is not known yet whether they are kept.
    Waiting(Batch),
    Kept,
    Dropped,
}

impl Trace {
    /// Nanoseconds since 1970.
    fn time(&self, at: Instant) -> u64 {
        self.time.saturating_add(nanos(at.saturating_duration_since(self.begin)))
    }

    fn end(&self, record: Record) {
        let span = record.end(self.time(Instant::now()));
        let mut fate = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *fate {
            Fate::Waiting(spans) => spans.push(&span),
            // What goes on after the call has ended: the body of an answer, a task.
            Fate::Kept => {
                drop(fate);
                self.sink.queue.put(&Batch::default(), Some(&span));
            }
            Fate::Dropped => {}
        }
    }

    /// Decides about all that has ended, and all that will.
    fn close(&self, last: Record, keep: bool, took: Duration) {
        let fate = if keep { Fate::Kept } else { Fate::Dropped };
        let before = mem::replace(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner), fate);
        if let Fate::Waiting(spans) = before
            && keep
        {
            self.sink.queue.put(&spans, Some(&last.end(self.time.saturating_add(nanos(took)))));
        }
    }
}

/// A span that runs.
struct Live {
    trace: Arc<Trace>,
    record: Mutex<Option<Record>>,
    id: [u8; 8],
    /// Whether it stays within what is recorded of one trace.
    counts: bool,
}

impl Live {
    fn new(trace: Arc<Trace>, parent: Option<&[u8; 8]>, outline: &Outline, at: Instant) -> Self {
        let id = random(|| fastrand::u64(..)).to_ne_bytes();
        let record = Record::begin(&Identity { trace: &trace.id, id: &id, parent }, outline, trace.time(at));
        let counts = trace.begun.fetch_add(1, Relaxed) < MOST;
        Self { trace, record: Mutex::new(Some(record)), id, counts }
    }

    fn with(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(record);
        }
    }

    /// What is recorded of it, once.
    fn take(&self) -> Option<Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(record) = record else { return };
        if self.counts {
            self.trace.end(record);
        } else {
            self.trace.sink.queue.counts.lost(1);
        }
    }
}

impl Span for Live {
    fn child(&self, kind: SpanKind, name: &[&str]) -> Arc<dyn Span> {
        Arc::new(Self::new(Arc::clone(&self.trace), Some(&self.id), &Outline::new(kind, name, &[]), Instant::now()))
    }

    fn set(&self, key: &'static str, value: SpanValue<'_>) {
        self.with(|record| record.set(key, value));
    }

    fn fail(&self, kind: &str) {
        self.with(|record| record.fail(kind));
    }

    fn trace_id(&self) -> [u8; 32] {
        hex(&self.trace.id)
    }

    fn trace_parent(&self) -> Arc<str> {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        for (place, digits) in [(3, &hex::<32>(&self.trace.id)[..]), (36, &hex::<16>(&self.id)[..])] {
            if let Some(field) = text.get_mut(place..place + digits.len()) {
                field.copy_from_slice(digits);
            }
        }
        if self.trace.sampled
            && let Some(flags) = text.last_mut()
        {
            *flags = b'1';
        }
        str::from_utf8(&text).unwrap_or_default().into()
    }
}

/// As hexadecimal digits, two for each byte.
fn hex<const DIGITS: usize>(bytes: &[u8]) -> [u8; DIGITS] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    let mut text = [b'0'; DIGITS];
    for (place, byte) in text.chunks_exact_mut(2).zip(bytes) {
        place.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

/// An id. Zero is none.
fn random<N: Default + PartialEq>(next: impl Fn() -> N) -> N {
    loop {
        let id = next();
        if id != N::default() {
            return id;
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The span of a call here. With its end it is decided whether the trace is kept.
pub struct Root(Arc<Live>);

impl Root {
    /// `begin`: by both clocks; `attributes`: those that are known by then, beside those of the outline.
    pub(super) fn new(
        sink: &Arc<Sink>,
        parent: Option<&Parent>,
        sampled: bool,
        begin: (Instant, SystemTime),
        outline: &Outline,
        attributes: impl FnOnce(&mut Record),
    ) -> Self {
        let trace = Arc::new(Trace {
            id: parent.map_or_else(|| random(|| fastrand::u128(..)).to_ne_bytes(), |parent| parent.trace),
            sampled,
            sink: Arc::clone(sink),
            begin: begin.0,
            time: nanos(begin.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
            begun: AtomicUsize::new(0),
            ended: Mutex::new(Fate::Waiting(Batch::default())),
        });
        let live = Live::new(trace, parent.map(|parent| &parent.span), outline, begin.0);
        live.with(attributes);
        Self(Arc::new(live))
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
            trace.close(record, keep, took);
        }
    }
}
