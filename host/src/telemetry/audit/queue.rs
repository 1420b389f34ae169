//! What waits to be written: one text, to which a call adds its line, and which the thread that writes takes whole.

use std::{
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use super::line::Kept;

/// Lines that may wait, and bytes of them.
const LINES: usize = 16_384;
const BYTES: usize = 16 << 20;

/// Room of a text that is kept for the next one.
const ROOM: usize = 4 << 20;

/// Lines, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) text: Vec<u8>,
    pub(super) count: usize,
    /// Arguments that are not in it yet, and where they belong.
    pub(super) kept: Vec<(usize, Kept)>,
}

impl Lines {
    /// None are in it, and its room is kept.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(ROOM);
        self.kept.clear();
        self.count = 0;
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Bytes of arguments that are kept until they are written.
    pub(super) held: Arc<AtomicUsize>,
}

/// Lines that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    lines: Lines,
    /// Who writes waits for the first line.
    is_idle: bool,
    /// Nobody will add any more.
    is_closed: bool,
    /// Those who want to know when everything up to now is written.
    asked: Vec<SyncSender<()>>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line with its newline, or drops and counts it where there is no room. Never waits for who writes. `kept`: arguments, and `place` where they belong.
    pub(super) fn put(&self, text: &[u8], place: usize, kept: Option<Kept>) {
        let mut state = self.state();
        let lines = &mut state.lines;
        if lines.count >= LINES || lines.text.len() + text.len() > BYTES {
            drop(state);
            self.counts.dropped.fetch_add(1, Relaxed);
            return;
        }
        if let Some(kept) = kept {
            lines.kept.push((lines.text.len() + place, kept));
        }
        lines.text.extend_from_slice(text);
        lines.count += 1;
        // One that gathers lines has enough of them by now.
        let wakes = mem::take(&mut state.is_idle) || state.lines.count == LINES / 2;
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
    }

    /// Waits for lines, and takes them for empty ones. Who is to be told when they are written. None: nobody will add any more.
    pub(super) fn take(&self, lines: &mut Lines) -> Option<Vec<SyncSender<()>>> {
        let mut state = self.state();
        while state.lines.count == 0 && state.asked.is_empty() {
            if state.is_closed {
                return None;
            }
            state.is_idle = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        mem::swap(&mut state.lines, lines);
        Some(mem::take(&mut state.asked))
    }

    /// Lets lines gather, for so long at most.
    pub(super) fn gather(&self, most: Duration) {
        let goes_on = |state: &mut State| state.asked.is_empty() && !state.is_closed && state.lines.count < LINES / 2;
        // Whether the time is over does not matter.
        let _ = self.changed.wait_timeout_while(self.state(), most, goes_on);
    }

    /// Waits until all up to now is written, for so long at most. Blocks. Whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.state().asked.push(done);
        self.changed.notify_one();
        wait.recv_timeout(limit).is_ok()
    }

    /// Nobody will add any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }
}
