//! Guests that keep a worker for long at a time: never all workers at once.
//!
//! A guest is interrupted every few milliseconds, but not within one instruction: filling 120 MiB of memory is one, and takes a tenth of a second. Which
//! plugins do such things is seen from how long their calls keep a worker. From then on, for a while, their calls take turns on all workers but one, so that
//! the calls of others find a worker that is free.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

use super::clock::Clock;

/// Ticks of the clock, 5 ms each, after which a guest has kept a worker for long: an interruption would have come after one.
const LONG: u64 = 4;

/// Ticks for which a plugin whose guest did so is not trusted: 10 s.
const WATCHED: u64 = 2000;

/// What is known of a plugin.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    fn is_slow(&self, now: u64) -> bool {
        now < self.0.load(Ordering::Relaxed)
    }

    fn note(&self, before: u64, now: u64) {
        if now.saturating_sub(before) >= LONG {
            self.0.store(now + WATCHED, Ordering::Relaxed);
        }
    }
}

/// The turns of slow guests: one fewer than there are workers.
pub(crate) fn lanes() -> Arc<Semaphore> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Semaphore::new(workers.saturating_sub(1).max(1)))
}

/// The work of a guest, which waits for a turn where its plugin is slow.
pub(crate) struct Paced<'a, F> {
    work: F,
    pace: &'a Pace,
    clock: &'a Clock,
    lanes: PollSemaphore,
}

impl<'a, F> Paced<'a, F> {
    pub(crate) fn new(work: F, pace: &'a Pace, clock: &'a Clock, lanes: &Arc<Semaphore>) -> Self {
        Self { work, pace, clock, lanes: PollSemaphore::new(Arc::clone(lanes)) }
    }
}

impl<F: Future + Unpin> Future for Paced<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let before = self.clock.ticks();
        // Held for as long as the worker is, and not while the guest waits for something.
        let _turn = if self.pace.is_slow(before) { ready!(self.lanes.poll_acquire(cx)) } else { None };
        let before = self.clock.ticks();
        let polled = Pin::new(&mut self.work).poll(cx);
        self.pace.note(before, self.clock.ticks());
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use wasmtime::Engine;

    use super::*;

    fn clock() -> Clock {
        Clock::start(&Engine::default()).unwrap()
    }

    #[tokio::test]
    async fn who_kept_a_worker_waits_for_a_turn_and_gives_it_back_while_it_waits() {
        let (clock, pace, lanes) = (clock(), Pace::default(), Arc::new(Semaphore::new(1)));
        let _beat = clock.beat();
        let long = || {
            let begun = clock.ticks();
            while clock.ticks() < begun + LONG {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Paced::new(pin!(async { long() }), &pace, &clock, &lanes).await;
        assert!(pace.is_slow(clock.ticks()));
        let taken = Arc::clone(&lanes).acquire_owned().await.unwrap();
        let mut waits = Paced::new(Box::pin(tokio::time::sleep(Duration::from_millis(1))), &pace, &clock, &lanes);
        assert!(futures::poll!(&mut waits).is_pending());
        drop(taken);
        // It waits for its timer now, and keeps no turn for that.
        assert!(futures::poll!(&mut waits).is_pending());
        assert_eq!(lanes.available_permits(), 1);
        waits.await;
    }

    #[tokio::test]
    async fn who_is_quick_takes_no_turn() {
        let (clock, pace) = (clock(), Pace::default());
        let none = Arc::new(Semaphore::new(0));
        assert_eq!(Paced::new(pin!(async { 1 }), &pace, &clock, &none).await, 1);
    }
}
