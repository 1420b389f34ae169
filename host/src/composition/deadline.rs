//! When a call has to be over: later by the time in which it waits for its caller.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
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
    /// The call waits for so many answers at once, and has this much left when it goes on.
    Left(Duration, u32),
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
            Time::Left(left, _) => left,
        }
    }

    /// Waits until nothing is left.
    pub(crate) async fn over(&self) {
        loop {
            match self.time() {
                Time::Until(end) if end <= Instant::now() => return,
                Time::Until(end) => tokio::time::sleep_until(end.into()).await,
                Time::Left(..) => self.resumed.notified().await,
            }
        }
    }

    /// Stops the time until the answer is dropped, and all others are.
    pub(crate) fn pause(&self) -> Paused<'_> {
        let mut time = self.lock();
        *time = match *time {
            Time::Until(end) => Time::Left(end.saturating_duration_since(Instant::now()), 1),
            Time::Left(left, pauses) => Time::Left(left, pauses + 1),
        };
        Paused(self)
    }

    fn time(&self) -> Time {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time that does not count.
pub(crate) struct Paused<'a>(&'a Deadline);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let mut time = self.0.lock();
        *time = match *time {
            Time::Left(left, pauses @ 2..) => Time::Left(left, pauses - 1),
            Time::Left(left, _) => Time::Until(Instant::now() + left),
            until @ Time::Until(_) => until,
        };
        drop(time);
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

    #[test]
    fn time_goes_on_when_the_last_of_several_answers_has_come() {
        let deadline = Deadline::new(Duration::from_secs(60));
        let (first, second) = (deadline.pause(), deadline.pause());
        let left = deadline.left();
        drop(first);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(deadline.left(), left);
        drop(second);
        assert!(matches!(deadline.time(), Time::Until(_)));
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
