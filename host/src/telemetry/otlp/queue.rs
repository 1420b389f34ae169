//! The way of spans and log records to the thread that sends them: they are gathered in batches, and one batch wakes that thread twice at most.

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

use super::{batch::Batch, protobuf::Message};

/// Items of one request, and bytes of it, some.
const BATCH: usize = 2048;
const BATCH_BYTES: usize = 1 << 20;
/// How long items are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// What became of items.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    pub(crate) fn lost(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn exported(&self, count: usize) {
        self.exported.fetch_add(count as u64, Relaxed);
    }

    /// Those that were sent and taken, and those that were dropped.
    pub(crate) fn get(&self) -> (u64, u64) {
        (self.exported.load(Relaxed), self.dropped.load(Relaxed))
    }
}

/// What the thread that sends is to do.
pub(super) enum Work {
    /// Send these. `is_last`: somebody waits for it.
    Send { batch: Batch, is_last: bool },
    /// Tell that all that came before is sent.
    Tell(SyncSender<()>),
}

/// Items that are not sent yet.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Items that may wait, and of one request.
    most: usize,
    batch: usize,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    filling: Batch,
    /// When the first of those came.
    since: Option<Instant>,
    full: VecDeque<Waiting>,
    /// Items in all of these, and in what is being sent.
    items: usize,
    /// Who waits for the end of all.
    asked: usize,
    closed: bool,
    /// Room that was used already.
    spare: Option<Batch>,
}

#[derive(Debug)]
enum Waiting {
    Batch(Batch),
    Asked(SyncSender<()>),
}

impl State {
    /// What has been gathered is sent as it is.
    fn seal(&mut self) {
        if self.filling.count() > 0 {
            let room = self.spare.take().unwrap_or_else(|| Batch::with_capacity(self.filling.bytes()));
            self.full.push_back(Waiting::Batch(mem::replace(&mut self.filling, room)));
        }
        self.since = None;
    }
}

impl Queue {
    /// `most`: items that may wait.
    pub(crate) fn new(most: usize) -> Self {
        let batch = BATCH.min(most / 4).max(1);
        Self { state: Mutex::default(), changed: Condvar::new(), most, batch, counts: Counts::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts items into it, or drops and counts them where it is full. Never waits for who sends.
    pub(crate) fn put(&self, items: &Batch, last: Option<&Message>) {
        let count = items.count() + usize::from(last.is_some());
        let mut state = self.state();
        if state.items + count > self.most {
            drop(state);
            self.counts.lost(count);
            return;
        }
        state.items += count;
        let mut wakes = state.since.is_none() && state.full.is_empty();
        if state.since.is_none() {
            state.since = Some(Instant::now());
        }
        state.filling.append(items);
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
                Some(Waiting::Batch(batch)) => {
                    let is_last = state.closed || state.asked > 0;
                    return Some(Work::Send { batch, is_last });
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

    /// Waits so long, or until somebody waits for the end. Whether somebody does.
    pub(super) fn pause(&self, wait: Duration) -> bool {
        let goes_on = |state: &mut State| state.asked == 0 && !state.closed;
        let (state, _) = self.changed.wait_timeout_while(self.state(), wait, goes_on).unwrap_or_else(PoisonError::into_inner);
        state.asked > 0 || state.closed
    }

    /// These are sent or dropped, and their place is free.
    pub(super) fn done(&self, mut batch: Batch) {
        let mut state = self.state();
        state.items = state.items.saturating_sub(batch.count());
        if batch.bytes() <= 2 * BATCH_BYTES {
            batch.clear();
            state.spare = Some(batch);
        }
    }

    /// Waits until all up to now is sent, for so long at most. Blocks. Whether it is.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
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
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.seal();
        state.closed = true;
        drop(state);
        self.changed.notify_one();
    }
}
