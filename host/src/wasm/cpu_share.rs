//! `cpu` of a plugin: what its calls together may have of the processors.
//!
//! A bucket holds time of a processor. It fills at `cpu` seconds a second, holds one second's worth, and is emptied by what the calls use, which may be
//! more than it holds: a guest is interrupted every few milliseconds only. While it is empty, the plugin's calls wait.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use crate::provider::ProviderId;

/// The least that a call waits, so that it then runs for a while.
const LEAST_WAIT: Duration = Duration::from_millis(5);

/// How often the log says that a plugin waits.
const TOLD: Duration = Duration::from_mins(1);

/// What one plugin may have.
pub(crate) struct CpuShare {
    plugin: ProviderId,
    /// Processors.
    cpu: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    /// Seconds of a processor. Below zero: more was used than there was.
    left: f64,
    /// When it was filled last.
    filled: Instant,
    /// When the log said so last.
    told: Option<Instant>,
}

/// One call that waits for its plugin's share.
#[derive(Default)]
pub(crate) struct Waiting(Option<Pin<Box<Sleep>>>);

impl CpuShare {
    /// Of so many processors.
    pub(crate) fn new(plugin: ProviderId, cpu: f64) -> Self {
        Self { plugin, cpu, bucket: Mutex::new(Bucket { left: cpu, filled: Instant::now(), told: None }) }
    }

    /// Whether a call of the plugin may go on.
    pub(crate) fn poll_ready(&self, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(sleep) = &mut waiting.0 {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                waiting.0 = None;
            }
            let mut bucket = self.filled(Instant::now());
            if bucket.left > 0.0 {
                return Poll::Ready(());
            }
            if bucket.told.is_none_or(|told| told.elapsed() >= TOLD) {
                bucket.told = Some(Instant::now());
                tracing::warn!(plugin = %self.plugin, cpu = self.cpu, "calls wait: the plugin has used its `cpu`; raise it in [plugin.{}] if that is wrong", self.plugin);
            }
            let wait = Duration::try_from_secs_f64(-bucket.left / self.cpu).unwrap_or(Duration::MAX);
            waiting.0 = Some(Box::pin(sleep(wait.max(LEAST_WAIT))));
        }
    }

    /// A call of the plugin has used so much.
    pub(crate) fn used(&self, time: Duration) {
        self.filled(Instant::now()).left -= time.as_secs_f64();
    }

    fn filled(&self, now: Instant) -> MutexGuard<'_, Bucket> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.filled);
        bucket.left = (bucket.left + passed.as_secs_f64() * self.cpu).min(self.cpu);
        bucket.filled = now;
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(cpu: f64) -> CpuShare {
        CpuShare::new(ProviderId::new("p").unwrap(), cpu)
    }

    async fn ready(share: &CpuShare) {
        let mut waiting = Waiting::default();
        std::future::poll_fn(|cx| share.poll_ready(&mut waiting, cx)).await;
    }

    #[test]
    fn the_bucket_holds_one_second_and_fills_as_time_passes() {
        let share = share(0.2);
        let start = share.bucket.lock().unwrap().filled;
        share.used(Duration::from_secs(1));
        let left = |seconds: u64| share.filled(start + Duration::from_secs(seconds)).left;
        // Some microseconds have passed since then.
        assert!((left(2) + 0.4).abs() < 0.01, "{}", left(2));
        assert!(left(3) < 0.0 && left(5) > 0.0);
        assert!((left(60) - 0.2).abs() < 1e-9);
    }

    #[tokio::test]
    async fn calls_wait_until_what_was_used_too_much_is_paid_back() {
        let share = share(2.0);
        ready(&share).await;
        share.used(Duration::from_millis(2200));
        let started = Instant::now();
        ready(&share).await;
        // 0.2 s over, at 2 s a second.
        assert!(started.elapsed() >= Duration::from_millis(90), "{:?}", started.elapsed());
    }
}
