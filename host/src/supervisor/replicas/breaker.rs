//! When the next start may be tried: exponential back-off with full jitter, and a breaker after too many failures in a row.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Policy;

pub(super) struct Breaker {
    policy: Policy,
    /// Starts in a row that failed.
    failed_starts: u32,
    /// Replicas in a row that died young and had answered nothing.
    early_deaths: u32,
    /// No start before this.
    next: Option<Instant>,
    why: Arc<str>,
}

impl Breaker {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, failed_starts: 0, early_deaths: 0, next: None, why: Arc::from("") }
    }

    /// A start failed. `serving`: another replica serves, so the server works and the breaker stays closed.
    pub(super) fn failed(&mut self, why: &str, serving: bool, now: Instant) {
        if self.counts(serving) {
            self.failed_starts += 1;
        }
        self.put_off(why, now);
    }

    /// A replica died. `proved`: it lived for long, or had answered calls. `serving`: another one serves.
    pub(super) fn died(&mut self, why: &str, proved: bool, serving: bool, now: Instant) {
        if proved {
            self.early_deaths = 0;
            self.why = Arc::from(why);
        } else {
            if self.counts(serving) {
                self.early_deaths += 1;
            }
            self.put_off(why, now);
        }
    }

    /// Whether a failure counts: not the one that would open the breaker while a replica serves.
    fn counts(&self, serving: bool) -> bool {
        !serving || self.failures() + 1 < self.policy.breaker_after
    }

    /// A start succeeded.
    pub(super) fn came_up(&mut self) {
        self.failed_starts = 0;
        if self.early_deaths == 0 {
            self.next = None;
        }
    }

    /// A replica proved that the server can live.
    pub(super) fn proved(&mut self) {
        self.early_deaths = 0;
    }

    /// When the next start may be tried; None: now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failed_starts + self.early_deaths
    }

    /// Whether there were so many that a caller should not wait.
    pub(super) fn is_open(&self) -> bool {
        self.failures() >= self.policy.breaker_after
    }

    /// Whether callers are told at once: they would wait for something that has just failed.
    pub(super) fn turns_away(&self) -> bool {
        self.failed_starts > 0 || self.is_open()
    }

    /// The last failure, and how many there were.
    pub(super) fn why(&self) -> Arc<str> {
        match self.failures() {
            0 | 1 => self.why.clone(),
            failures => Arc::from(format!("{} ({failures} failures in a row)", self.why)),
        }
    }

    fn put_off(&mut self, why: &str, now: Instant) {
        self.why = Arc::from(why);
        let policy = &self.policy;
        let failures = self.failures();
        let delay = match failures.checked_sub(policy.breaker_after) {
            // Full jitter: many that died together do not start together.
            None => doubled(policy.backoff, failures.saturating_sub(1), policy.longest_backoff).mul_f64(fastrand::f64()),
            Some(times) => doubled(policy.open, times, policy.longest_open).mul_f64(0.5 + fastrand::f64() / 2.0),
        };
        self.next = Some(now + delay);
    }
}

fn doubled(base: Duration, times: u32, most: Duration) -> Duration {
    base.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(breaker: &Breaker, now: Instant) -> Duration {
        breaker.next(now).map_or(Duration::ZERO, |next| next - now)
    }

    #[test]
    fn delays_grow_within_their_bounds_and_then_the_breaker_opens() {
        let policy = Policy::default();
        let now = Instant::now();
        let mut longest = [Duration::ZERO; 9];
        for _ in 0..200 {
            let mut breaker = Breaker::new(policy);
            for (index, longest) in longest.iter_mut().enumerate() {
                breaker.failed("no such file", false, now);
                let failures = u32::try_from(index).unwrap() + 1;
                let delay = delay(&breaker, now);
                *longest = (*longest).max(delay);
                assert_eq!(breaker.is_open(), failures >= 5);
                assert!(breaker.turns_away());
                if failures < 5 {
                    assert!(delay <= policy.backoff * 2_u32.pow(failures - 1), "{failures}: {delay:?}");
                } else {
                    let open = (policy.open * 2_u32.pow(failures - 5)).min(policy.longest_open);
                    assert!(delay >= open / 2 && delay <= open, "{failures}: {delay:?}");
                }
            }
        }
        assert!(longest[3] > policy.backoff * 4, "full jitter uses the whole span: {longest:?}");
    }

    #[test]
    fn while_a_replica_serves_starts_are_put_off_and_the_breaker_stays_closed() {
        let (policy, now) = (Policy::default(), Instant::now());
        let mut breaker = Breaker::new(policy);
        for n in 0..100 {
            if n % 2 == 0 {
                breaker.failed("too slow", true, now)
            } else {
                breaker.died("killed", false, true, now)
            }
            assert!(!breaker.is_open(), "{n}");
            assert!(delay(&breaker, now) <= policy.longest_backoff);
        }
        breaker.failed("too slow", false, now);
        assert!(breaker.is_open(), "the last one is gone, and the next does not start either");
        breaker.came_up();
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_replica_that_proved_itself_is_replaced_at_once() {
        let now = Instant::now();
        let mut breaker = Breaker::new(Policy::default());
        breaker.died("killed", true, false, now);
        assert_eq!((breaker.next(now), breaker.turns_away(), breaker.failures()), (None, false, 0));
        breaker.died("killed", false, false, now);
        assert!(!breaker.turns_away(), "callers wait for a server that did start");
        assert_eq!(breaker.failures(), 1);
        for _ in 0..4 {
            breaker.came_up();
            breaker.died("killed", false, false, now);
        }
        assert!(breaker.is_open() && breaker.turns_away(), "one that dies as soon as it is up does not come up for ever");
        assert_eq!(&*breaker.why(), "killed (5 failures in a row)");
        breaker.proved();
        breaker.came_up();
        assert_eq!((breaker.next(now), breaker.is_open()), (None, false));
    }
}
