//! The line of those components whose optimised code nobody waits for: one at a time, the smallest first, and none begins while somebody waits for
//! code of another one.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Threads of the compiler in the background: half of the processors, so that the calls have the other half at least.
pub(super) fn threads() -> usize {
    (std::thread::available_parallelism().map_or(1, std::num::NonZero::get) / 2).max(1)
}

/// The line.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// One is at work.
    is_taken: bool,
    /// By size, then in the order in which they came.
    waiting: BTreeSet<(usize, u64)>,
    came: u64,
    /// How many components somebody waits for.
    urgent: usize,
}

/// The right to be at work, until it is dropped.
pub(super) struct Turn<'a>(&'a Line);

/// Somebody waits for code, until this is dropped.
pub(super) struct Urgent<'a>(&'a Line);

/// A place in the line.
struct Place<'a> {
    line: &'a Line,
    key: (usize, u64),
}

impl Line {
    /// Waits for the turn of a component of this size.
    pub(super) async fn turn(&self, size: usize) -> Turn<'_> {
        let place = {
            let mut state = self.lock();
            state.came += 1;
            let key = (size, state.came);
            state.waiting.insert(key);
            Place { line: self, key }
        };
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            // What moves from here on is noticed below.
            moved.as_mut().enable();
            {
                let mut state = self.lock();
                if !state.is_taken && state.urgent == 0 && state.waiting.first() == Some(&place.key) {
                    state.is_taken = true;
                    break;
                }
            }
            moved.await;
        }
        Turn(self)
    }

    /// Lets none begin until the answer is dropped. What is at work goes on, at its low priority.
    pub(super) fn keep(&self) -> Urgent<'_> {
        self.lock().urgent += 1;
        Urgent(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().is_taken = false;
        self.0.moved.notify_waiters();
    }
}

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.lock().urgent -= 1;
        self.0.moved.notify_waiters();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.lock().waiting.remove(&self.key);
        self.line.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_smallest_is_next_and_one_is_at_work() {
        let line = Line::default();
        let first = line.turn(500).await;
        let (mut large, mut small, mut gone) = (Box::pin(line.turn(30)), Box::pin(line.turn(20)), Box::pin(line.turn(10)));
        for waits in [&mut large, &mut small, &mut gone] {
            assert!(waits.now_or_never().is_none());
        }
        drop(gone);
        drop(first);
        assert!((&mut large).now_or_never().is_none());
        let turn = (&mut small).now_or_never().unwrap();
        assert!((&mut large).now_or_never().is_none());
        drop(turn);
        assert!((&mut large).now_or_never().is_some());
        assert!(line.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn none_begins_while_somebody_waits_for_code() {
        let line = Line::default();
        let urgent = line.keep();
        let mut waits = Box::pin(line.turn(1));
        assert!((&mut waits).now_or_never().is_none());
        drop(urgent);
        assert!((&mut waits).now_or_never().is_some());
    }
}
