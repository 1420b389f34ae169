//! When a call has to be over: later by the time in which it waits for its caller.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The time that a call has left. It does not run while the caller is asked something.
#[derive(Debug)]
pub(crate) struct Deadline {
    time: Mutex<Time>,
    resumed: Notify,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    /// The call is over at this moment.
    Until(Instant),
    /// The call waits, and has this much left when it goes on.
    Left(Duration),
}

impl Deadline {
    /// Begins now.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { time: Mutex::new(Time::Until(Instant::now() + timeout)), resumed: Notify::new() }
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        match self.time() {
            Time::Until(end) => end.saturating_duration_since(Instant::now()),
            Time::Left(left) => left,
        }
    }

    /// Waits until nothing is left.
    pub(crate) async fn over(&self) {
        loop {
            match self.time() {
                Time::Until(end) if end <= Instant::now() => return,
                Time::Until(end) => tokio::time::sleep_until(end.into()).await,
                Time::Left(_) => self.resumed.notified().await,
            }
        }
    }

    /// Stops the time until the answer is dropped.
    pub(crate) fn pause(&self) -> Paused<'_> {
        self.set(Time::Left(self.left()));
        Paused(self)
    }

    fn time(&self) -> Time {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, time: Time) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }
}

/// Time that does not count.
pub(crate) struct Paused<'a>(&'a Deadline);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.set(Time::Until(Instant::now() + self.0.left()));
        self.0.resumed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_that_is_waited_does_not_count() {
        let deadline = Deadline::new(Duration::from_millis(20));
        let paused = deadline.pause();
        let left = deadline.left();
        assert!(tokio::time::timeout(Duration::from_millis(60), deadline.over()).await.is_err(), "it ended while it was paused");
        assert_eq!(deadline.left(), left);
        drop(paused);
        assert!(deadline.left() <= left);
    }

    #[tokio::test]
    async fn it_ends_after_the_rest_of_its_time() {
        let deadline = Deadline::new(Duration::from_millis(40));
        // Whoever waits for the end learns of the pause, and of its end.
        let (over, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), deadline.over()), async {
            let paused = deadline.pause();
            tokio::time::sleep(Duration::from_millis(60)).await;
            assert!(deadline.left() > Duration::ZERO);
            drop(paused);
        });
        over.unwrap();
        assert_eq!(deadline.left(), Duration::ZERO);
    }
}
