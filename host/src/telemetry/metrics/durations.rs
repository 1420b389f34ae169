//! How long something took: a histogram that takes no lock, as hot paths share it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper ends of all buckets but the last, in nanoseconds.
/// From a call of a sandbox that does nothing (20 µs) to minutes; closer together where most calls are, since each is a line on the page for each tool.
const ENDS: [u64; 17] = [
    20_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    25_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
];

/// Times by bucket, and their sum.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; ENDS.len() + 1],
    /// In nanoseconds: enough for 584 years.
    sum: AtomicU64,
}

/// What a histogram shows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) count: u64,
    /// In seconds.
    pub(super) sum: f64,
    /// The upper end of each bucket in seconds, and how many times are in that bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Durations {
    /// Counts one that took so long.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // A bucket holds what is not above its end.
        let index = ENDS.partition_point(|end| *end < nanos);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(nanos, Relaxed);
    }

    /// The upper ends of all buckets but the last, in nanoseconds.
    #[must_use]
    pub fn ends() -> &'static [u64] {
        &ENDS
    }

    /// How many times are in each bucket.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed))
    }

    /// All times together, in nanoseconds.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.load(Relaxed) == 0)
    }

    pub(super) fn shown(&self) -> Shown {
        let ends = ENDS.iter().map(|nanos| *nanos as f64 / 1e9).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(&self.buckets).map(|(end, bucket)| (end, bucket.load(Relaxed))).collect();
        // Of what was read, so that the number is that of the last bucket also while others count.
        let count = buckets.iter().map(|(_, count)| count).sum();
        Shown { count, sum: self.sum.load(Relaxed) as f64 / 1e9, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_it_is_not_above() {
        let durations = Durations::default();
        assert!(durations.is_empty());
        for nanos in [0, 20_000, 20_001, 299_999_999_999, 300_000_000_000, 300_000_000_001] {
            durations.record(Duration::from_nanos(nanos));
        }
        let Shown { count, sum, buckets } = durations.shown();
        let filled: Vec<(f64, u64)> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.00002, 2), (0.00005, 1), (300.0, 2), (f64::INFINITY, 1)]);
        assert_eq!(count, 6);
        assert!((sum - 900.00004).abs() < 1e-6, "{sum}");
    }
}
