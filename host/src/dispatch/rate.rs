//! How often something may happen: the generic cell rate algorithm (GCRA), on one number.
//!
//! It is what the crate `governor` does for one key. That crate turns on features of others that the engine is
//! built on, for what is a dozen lines here.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// So many in a time, some of them at once.
#[derive(Debug)]
pub(super) struct Rate {
    started: Instant,
    /// The time that one takes, in nanoseconds.
    each: u64,
    /// How far ahead of its time the last of a burst may be.
    ahead: u64,
    /// When the next one is due, in nanoseconds since the start. What is past counts as now.
    due: AtomicU64,
}

impl Rate {
    /// `calls` in `per`, and at most `burst` at once after a pause.
    pub(super) fn new(calls: u32, per: Duration, burst: u32) -> Self {
        let each = nanos(per / calls.max(1)).max(1);
        let ahead = each.saturating_mul(u64::from(burst.max(1) - 1));
        Self { started: Instant::now(), each, ahead, due: AtomicU64::new(0) }
    }

    /// Counts one. Else: how long until the next.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.take_at(nanos(self.started.elapsed()))
    }

    /// Whether one could be counted now. Else: how long until the next.
    pub(super) fn look(&self) -> Result<(), Duration> {
        let now = nanos(self.started.elapsed());
        let ahead = self.due.load(Ordering::Acquire).saturating_sub(now);
        if ahead <= self.ahead { Ok(()) } else { Err(Duration::from_nanos(ahead - self.ahead)) }
    }

    /// Counts one that was let in by somebody else.
    pub(super) fn count(&self) {
        let now = nanos(self.started.elapsed());
        let next = |due: u64| Some(due.max(now).saturating_add(self.each));
        let _always = self.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// The time that one takes, and how far ahead of its time the last of a burst may be.
    pub(super) fn pace(&self) -> (Duration, Duration) {
        (Duration::from_nanos(self.each), Duration::from_nanos(self.ahead))
    }

    fn take_at(&self, now: u64) -> Result<(), Duration> {
        let next = |due: u64| {
            let due = due.max(now);
            (due - now <= self.ahead).then(|| due.saturating_add(self.each))
        };
        match self.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(_) => Ok(()),
            Err(due) => Err(Duration::from_nanos(due.saturating_sub(now).saturating_sub(self.ahead))),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_and_then_one_after_the_other() {
        let rate = Rate::new(10, Duration::from_secs(1), 3);
        assert!((0..3).all(|_| rate.take_at(0).is_ok()));
        assert_eq!(rate.take_at(0), Err(Duration::from_millis(100)));
        assert_eq!(rate.take_at(SECOND / 20), Err(Duration::from_millis(50)));
        assert_eq!(rate.take_at(SECOND / 10), Ok(()));
        assert!(rate.take_at(SECOND / 10).is_err());
        // A pause gives a burst again, and no more than one.
        assert_eq!((0..9).filter(|_| rate.take_at(100 * SECOND).is_ok()).count(), 3);
    }

    #[test]
    fn a_look_counts_nothing_and_what_others_let_in_counts() {
        let rate = Rate::new(1, Duration::from_secs(3600), 2);
        assert!((0..9).all(|_| rate.look().is_ok()));
        rate.count();
        assert!(rate.look().is_ok());
        rate.count();
        assert!(rate.look().is_err_and(|wait| wait <= Duration::from_secs(3600)) && rate.take().is_err());
        assert_eq!(rate.pace(), (Duration::from_secs(3600), Duration::from_secs(3600)));
    }

    #[test]
    fn many_threads_together_get_no_more() {
        let rate = Rate::new(1, Duration::from_secs(3600), 100);
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..50).filter(|_| rate.take().is_ok()).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
    }

    proptest! {
        #[test]
        fn in_no_time_come_more_than_the_rate_and_one_burst(calls in 1..50u32, burst in 1..20u32, mut times in prop::collection::vec(0..5 * SECOND, 1..200)) {
            let rate = Rate::new(calls, Duration::from_secs(1), burst);
            times.sort_unstable();
            let taken: Vec<u64> = times.into_iter().filter(|time| rate.take_at(*time).is_ok()).collect();
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken.iter().skip(index).enumerate() {
                    let most = (to - from) as f64 / SECOND as f64 * f64::from(calls) + f64::from(burst) + 1e-6;
                    prop_assert!((count + 1) as f64 <= most, "{} in {}", count + 1, to - from);
                }
            }
        }

        #[test]
        fn whoever_waits_as_long_as_is_said_is_let_in(calls in 1..50u32, burst in 1..20u32, times in prop::collection::vec(0..SECOND, 1..100)) {
            let rate = Rate::new(calls, Duration::from_secs(1), burst);
            let mut now = 0;
            for pause in times {
                now += pause / 20;
                if let Err(wait) = rate.take_at(now) {
                    now += nanos(wait);
                    prop_assert!(rate.take_at(now).is_ok());
                }
            }
        }
    }
}
