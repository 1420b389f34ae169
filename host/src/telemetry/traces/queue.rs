//! The way of spans to the thread that sends them: they are gathered in batches, and one batch wakes that thread twice at most.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use super::wire::{Ended, Spans};

/// Spans of one request, and bytes of it, some.
const BATCH: usize = 2048;
const BATCH_BYTES: usize = 1 << 20;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    pub(super) fn lost(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn exported(&self, count: usize) {
        self.exported.fetch_add(count as u64, Relaxed);
    }

    /// Those that were sent and taken, and those that were dropped.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.exported.load(Relaxed), self.dropped.load(Relaxed))
    }
}

/// What the thread that sends is to do.
pub(super) enum Work {
    /// Send these. `is_last`: somebody waits for it.
    Send { spans: Spans, is_last: bool },
    /// Tell that all that came before is sent.
    Tell(SyncSender<()>),
}

/// Spans that have ended and are not sent yet.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Spans that may wait, and of one request.
    most: usize,
    batch: usize,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    filling: Spans,
    /// When the first of those came.
    since: Option<Instant>,
    full: VecDeque<Waiting>,
    /// Spans in all of these, and in what is being sent.
    spans: usize,
    /// Who waits for the end of all.
    asked: usize,
    closed: bool,
    /// Room that was used already.
    spare: Option<Spans>,
}

#[derive(Debug)]
enum Waiting {
    Spans(Spans),
    Asked(SyncSender<()>),
}

impl State {
    /// What has been gathered is sent as it is.
    fn seal(&mut self) {
        if self.filling.count() > 0 {
            let room = self.spare.take().unwrap_or_else(|| Spans::with_capacity(self.filling.bytes()));
            self.full.push_back(Waiting::Spans(mem::replace(&mut self.filling, room)));
        }
        self.since = None;
    }
}

impl Queue {
    /// `most`: spans that may wait.
    pub(super) fn new(most: usize) -> Self {
        let batch = BATCH.min(most / 4).max(1);
        Self { state: Mutex::default(), changed: Condvar::new(), most, batch, counts: Counts::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts spans into it, or drops and counts them where it is full. Never waits for who sends.
    pub(super) fn put(&self, spans: &Spans, last: Option<&Ended>) {
        let count = spans.count() + usize::from(last.is_some());
        let mut state = self.state();
        if state.spans + count > self.most {
            drop(state);
            self.counts.lost(count);
            return;
        }
        state.spans += count;
        let mut wakes = state.since.is_none() && state.full.is_empty();
        if state.since.is_none() {
            state.since = Some(Instant::now());
        }
        state.filling.append(spans);
        if let Some(last) = last {
            state.filling.push(last);
        }
        if state.filling.count() >= self.batch || state.filling.bytes() >= BATCH_BYTES {
            state.seal();
            wakes = true;
        }
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
    }

    /// Waits for something to do. None: nobody can put anything more into it, and all is done.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            match state.full.pop_front() {
                Some(Waiting::Spans(spans)) => {
                    let is_last = state.closed || state.asked > 0;
                    return Some(Work::Send { spans, is_last });
                }
                Some(Waiting::Asked(done)) => {
                    state.asked = state.asked.saturating_sub(1);
                    return Some(Work::Tell(done));
                }
                None if state.closed => return None,
                None => {}
            }
            let Some(since) = state.since else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let rest = GATHER.saturating_sub(since.elapsed());
            if rest.is_zero() {
                state.seal();
            } else {
                state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// These are sent or dropped, and their place is free.
    pub(super) fn done(&self, mut spans: Spans) {
        let mut state = self.state();
        state.spans = state.spans.saturating_sub(spans.count());
        if spans.bytes() <= 2 * BATCH_BYTES {
            spans.clear();
            state.spare = Some(spans);
        }
    }

    /// Waits until all up to now is sent, for so long at most. Blocks. Whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        let mut state = self.state();
        state.seal();
        state.full.push_back(Waiting::Asked(done));
        state.asked += 1;
        drop(state);
        self.changed.notify_one();
        wait.recv_timeout(limit).is_ok()
    }

    /// Nobody will put anything more into it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.seal();
        state.closed = true;
        drop(state);
        self.changed.notify_one();
    }
}
