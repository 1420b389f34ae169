//! The thread that writes the lines.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    collector::Collector,
    line::Members,
    outputs::{Lost, Outputs},
    queue::{Lines, Queue},
    redact::Redactor,
};

/// How long lines are gathered after others were written. Waking this thread for each line would cost a busy host more than the line itself.
const GATHER: Duration = Duration::from_millis(10);

/// The same trouble is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How long the last lines may take to a collector, for who waits for them.
const LAST: Duration = Duration::from_secs(4);

pub(super) struct Worker {
    queue: Arc<Queue>,
    outputs: Outputs,
    collector: Option<Collector>,
    redactor: Option<Redactor>,
    /// Dropped lines that were told.
    told: u64,
    last_told: Option<Instant>,
}

impl Worker {
    pub(super) fn new(queue: Arc<Queue>, (outputs, collector): (Outputs, Option<Collector>), redactor: Option<Redactor>) -> Self {
        Self { queue, outputs, collector, redactor, told: 0, last_told: None }
    }

    /// Writes until nobody can add any more and all is written.
    pub(super) fn run(mut self) {
        let mut lines = Lines::default();
        while let Some(asked) = self.queue.take(&mut lines) {
            let text = whole(&lines, self.redactor.as_ref());
            let written = self.outputs.write(&text, lines.count);
            if let Some(collector) = &mut self.collector {
                text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| collector.add(line));
                collector.hand_on();
                if !asked.is_empty() && !collector.flush(LAST) {
                    tracing::error!("the last audit lines could not be sent to the collector within {LAST:?}");
                }
            }
            self.account(lines.count, written);
            lines.clear();
            if asked.is_empty() {
                self.queue.gather(GATHER);
            } else {
                self.outputs.sync();
            }
            for done in asked {
                // Who asked may have given up.
                let _ = done.try_send(());
            }
        }
        self.outputs.sync();
    }

    fn account(&mut self, lines: usize, written: Result<(), Lost>) {
        let counts = &self.queue.counts;
        let (lost, why) = match written {
            Ok(()) => (0, None),
            Err(Lost { lines, what, error }) => (lines, Some(format!("{what} cannot be written: {error}"))),
        };
        // Those that go to a collector alone are in a queue that says what becomes of them.
        if !self.outputs.is_none() {
            counts.written.fetch_add((lines - lost) as u64, Relaxed);
            counts.dropped.fetch_add(lost as u64, Relaxed);
        }
        let dropped = counts.dropped.load(Relaxed);
        if dropped > self.told && self.last_told.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            let why = why.unwrap_or_else(|| "calls come faster than they can be written".to_owned());
            tracing::error!(lines = dropped - self.told, "audit lines were dropped: {why}");
            (self.told, self.last_told) = (dropped, Some(Instant::now()));
        }
    }
}

/// The lines with the arguments that belong in them, without secrets.
fn whole<'a>(lines: &'a Lines, redactor: Option<&Redactor>) -> Cow<'a, [u8]> {
    let Some(redactor) = redactor.filter(|_| !lines.kept.is_empty()) else { return Cow::Borrowed(&lines.text) };
    let held: usize = lines.kept.iter().map(|(_, kept)| kept.text.len() + 32).sum();
    let (mut text, mut from) = (Vec::with_capacity(lines.text.len() + held), 0);
    for (place, kept) in &lines.kept {
        text.extend_from_slice(lines.text.get(from..*place).unwrap_or_default());
        from = *place;
        if let Some(arguments) = redactor.arguments(&kept.text) {
            Members(&mut text).raw("arguments", arguments.to_string().as_bytes());
        }
    }
    text.extend_from_slice(lines.text.get(from..).unwrap_or_default());
    Cow::Owned(text)
}
