//! The thread that makes the lines and writes them.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Relaxed},
        mpsc::{Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    collector::Collector,
    line::Clock,
    outputs::Outputs,
    queue::{Counts, Message},
    redact::Redactor,
};

/// Bytes that are written at once when many lines wait.
const BATCH: usize = 64 << 10;

/// How long lines are gathered after a batch. Waking this thread for each line would cost a busy host more than the line itself.
const GATHER: Duration = Duration::from_millis(10);

/// The same trouble is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How long the last lines may take to a collector, for who waits for them.
const LAST: Duration = Duration::from_secs(4);

pub(super) struct Worker {
    messages: Receiver<Message>,
    outputs: Outputs,
    collector: Option<Collector>,
    redactor: Option<Redactor>,
    clock: Clock,
    counts: Arc<Counts>,
    /// Dropped lines that were told.
    told: u64,
    last_told: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        messages: Receiver<Message>,
        (outputs, collector): (Outputs, Option<Collector>),
        redactor: Option<Redactor>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { messages, outputs, collector, redactor, clock: Clock::default(), counts, told: 0, last_told: None }
    }

    /// Writes until nobody can send any more and all is written.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut asked: Vec<SyncSender<()>> = Vec::new();
        while let Ok(first) = self.messages.recv() {
            let (mut next, mut lines) = (Some(first), 0);
            while let Some(message) = next {
                match message {
                    Message::Line(record) => {
                        let begin = batch.len();
                        record.write(&mut batch, &mut self.clock, self.redactor.as_ref());
                        if let Some(collector) = &mut self.collector {
                            collector.add(&record, batch.get(begin..).unwrap_or_default().trim_ascii_end());
                        }
                        self.counts.bytes.fetch_sub(record.arguments.len(), AcqRel);
                        lines += 1;
                    }
                    Message::Flush(done) => asked.push(done),
                }
                next = if batch.len() < BATCH { self.messages.try_recv().ok() } else { None };
            }
            let written = if lines > 0 { self.outputs.write(&batch) } else { Ok(()) };
            batch.clear();
            if let Some(collector) = &mut self.collector {
                collector.hand_on();
                if !asked.is_empty() && !collector.flush(LAST) {
                    tracing::error!("the last audit lines could not be sent to the collector within {LAST:?}");
                }
            }
            self.account(lines, written);
            if asked.is_empty() {
                thread::sleep(GATHER);
            } else {
                self.outputs.sync();
            }
            for done in asked.drain(..) {
                // Who asked may have given up.
                let _ = done.try_send(());
            }
        }
        self.outputs.sync();
    }

    fn account(&mut self, lines: u64, written: Result<(), (String, io::Error)>) {
        let why = match written {
            // They go to a collector alone, whose queue says what becomes of them.
            Ok(()) if self.outputs.is_none() => None,
            Ok(()) => {
                self.counts.written.fetch_add(lines, Relaxed);
                None
            }
            Err((what, error)) => {
                self.counts.dropped.fetch_add(lines, Relaxed);
                Some(format!("{what} cannot be written: {error}"))
            }
        };
        let dropped = self.counts.dropped.load(Relaxed);
        if dropped > self.told && self.last_told.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            let why = why.unwrap_or_else(|| "calls come faster than they can be written".to_owned());
            tracing::error!(lines = dropped - self.told, "audit lines were dropped: {why}");
            (self.told, self.last_told) = (dropped, Some(Instant::now()));
        }
    }
}
