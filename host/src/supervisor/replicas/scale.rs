//! How many replicas there should be, from the calls that run or wait. The words and the rule are Ray Serve's.

use tokio::time::{Duration, Instant};

use crate::config::Replicas;

pub(super) struct Scaler {
    config: Replicas,
    wanted: u32,
    /// Since when more, or fewer, than `wanted` are called for.
    since: Option<(bool, Instant)>,
}

impl Scaler {
    pub(super) fn new(config: Replicas) -> Self {
        // One starts in any case: nobody knows before what there is to call.
        Self { config, wanted: config.min.max(1), since: None }
    }

    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Whether there is nothing to decide, ever.
    pub(super) fn is_fixed(&self) -> bool {
        self.config.min == self.config.max
    }

    /// Whether nothing changes while no call comes.
    pub(super) fn is_at_rest(&self) -> bool {
        self.wanted == self.config.min && self.since.is_none()
    }

    /// How often to look: often enough for the delays to be kept within a tenth.
    pub(super) fn tick(&self) -> Duration {
        (self.config.upscale_delay.min(self.config.downscale_delay) / 10).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    /// Looks at the calls that ran or waited since the last look, on average, and at those of now.
    pub(super) fn look(&mut self, mean: f64, now_calls: usize, now: Instant) {
        let Replicas { min, max, target_ongoing_requests, upscale_delay, downscale_delay } = self.config;
        if self.is_fixed() {
            return;
        }
        // The range is far below 2^32, and a float that does not fit saturates.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is clamped")]
        let called_for = ((mean / target_ongoing_requests).ceil() as u32).clamp(min, max);
        if self.wanted == 0 && now_calls > 0 {
            // Somebody waits for the first: there is nothing to be patient about.
            (self.wanted, self.since) = (called_for.max(1), None);
            return;
        }
        if called_for == self.wanted {
            self.since = None;
            return;
        }
        let more = called_for > self.wanted;
        let since = match self.since {
            Some((same, since)) if same == more => since,
            _ => self.since.insert((more, now)).1,
        };
        if now.saturating_duration_since(since) >= if more { upscale_delay } else { downscale_delay } {
            (self.wanted, self.since) = (called_for, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaler(min: u32, max: u32) -> Scaler {
        Scaler::new(Replicas {
            min,
            max,
            target_ongoing_requests: 2.0,
            upscale_delay: Duration::from_secs(3),
            downscale_delay: Duration::from_secs(60),
        })
    }

    /// How many are wanted at the end of so many seconds of one load, looked at each half second.
    fn after(scaler: &mut Scaler, now: &mut Instant, load: f64, seconds: f64) -> u32 {
        let end = *now + Duration::from_secs_f64(seconds);
        while *now < end {
            *now += Duration::from_millis(500);
            scaler.look(load, if load > 0.0 { 1 } else { 0 }, *now);
        }
        scaler.wanted()
    }

    #[test]
    fn the_delays_are_kept_in_both_directions() {
        let (mut scaler, mut now) = (scaler(1, 4), Instant::now());
        assert_eq!(after(&mut scaler, &mut now, 5.0, 3.0), 1, "the delay counts from the first look at the load");
        assert_eq!(after(&mut scaler, &mut now, 5.0, 1.0), 3, "ceil(5 / 2)");
        assert_eq!(after(&mut scaler, &mut now, 100.0, 4.0), 4, "never more than max");
        assert_eq!(after(&mut scaler, &mut now, 3.0, 59.0), 4);
        assert_eq!(after(&mut scaler, &mut now, 3.0, 2.0), 2);
        assert_eq!(after(&mut scaler, &mut now, 0.0, 61.0), 1, "never fewer than min");
        assert!(scaler.is_at_rest());
    }

    #[test]
    fn a_load_that_does_not_last_changes_nothing() {
        let (mut scaler, mut now) = (scaler(1, 4), Instant::now());
        for _ in 0..10 {
            assert_eq!(after(&mut scaler, &mut now, 8.0, 2.5), 1);
            assert_eq!(after(&mut scaler, &mut now, 1.0, 0.5), 1);
        }
    }

    #[test]
    fn zero_is_left_at_once_and_reached_after_the_delay() {
        let (mut scaler, mut now) = (scaler(0, 4), Instant::now());
        assert_eq!(scaler.wanted(), 1, "one starts to say what there is");
        assert_eq!(after(&mut scaler, &mut now, 0.0, 59.0), 1);
        assert_eq!(after(&mut scaler, &mut now, 0.0, 2.0), 0);
        scaler.look(0.001, 1, now);
        assert_eq!(scaler.wanted(), 1);
        assert_eq!(after(&mut scaler, &mut now, 0.01, 300.0), 1, "a little load is load");
    }

    #[test]
    fn a_fixed_number_is_fixed() {
        let (mut scaler, mut now) = (scaler(3, 3), Instant::now());
        assert_eq!(after(&mut scaler, &mut now, 100.0, 100.0), 3);
        assert!(scaler.is_fixed() && scaler.is_at_rest());
    }
}
