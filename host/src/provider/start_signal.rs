//! Whether a call has started, or still waits in a queue: then it can be dropped, since nothing has happened for it yet.
//!
//! Whoever may have to drop the call makes a [`StartSignal`] and hands it down in the call's context.
//! A provider that queues calls says so by [`queued`] and [`mark_started`]; one that says nothing starts
//! its calls at once.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU8, Ordering},
};

/// Nobody has said anything: there is no queue, or the call has not come to it.
const SILENT: u8 = 0;
/// The call waits in a queue, and nothing was done for it.
const QUEUED: u8 = 1;
/// The call runs. It stays so, whatever it waits for from then on.
const STARTED: u8 = 2;

/// How far one call has come.
#[derive(Debug, Default)]
pub struct StartSignal(AtomicU8);

impl StartSignal {
    /// Whether the call waits in a queue.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.0.load(Ordering::Acquire) == QUEUED
    }

    fn mark_queued(&self) {
        // A call that has started and waits again, for a lock or a call of its own, stays started.
        let _ = self.0.compare_exchange(SILENT, QUEUED, Ordering::AcqRel, Ordering::Acquire);
    }

    fn mark_started(&self) {
        self.0.store(STARTED, Ordering::Release);
    }
}

/// The call leaves the queue and runs. What it waits for from here on is part of its work.
pub fn mark_started(signal: Option<&StartSignal>) {
    if let Some(signal) = signal {
        signal.mark_started();
    }
}

/// Waits in a queue. Whoever waited has to call [`mark_started`] when its turn has come.
pub async fn queued<F: Future>(signal: Option<&StartSignal>, turn: F) -> F::Output {
    let mut turn = pin!(turn);
    poll_fn(|context| {
        let polled = turn.as_mut().poll(context);
        if polled.is_pending()
            && let Some(signal) = signal
        {
            signal.mark_queued();
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use futures::{
        channel::oneshot,
        future::{FutureExt as _, pending},
    };

    use super::*;

    #[test]
    fn a_call_has_started_when_its_turn_came_and_not_before() {
        let signal = StartSignal::default();
        let (give, turn) = oneshot::channel::<()>();
        let mut call = Box::pin(async {
            let _ = queued(Some(&signal), turn).await;
            mark_started(Some(&signal));
            // A call within the call waits for a turn of its own.
            queued(Some(&signal), pending::<()>()).await;
        });
        for _ in 0..2 {
            assert!((&mut call).now_or_never().is_none() && signal.is_queued());
        }
        give.send(()).unwrap();
        for _ in 0..2 {
            assert!((&mut call).now_or_never().is_none() && !signal.is_queued());
        }
    }

    #[test]
    fn a_call_whose_turn_came_at_once_was_never_queued() {
        let signal = StartSignal::default();
        let mut call = Box::pin(async {
            queued(Some(&signal), async {}).await;
            pending::<()>().await;
        });
        assert!((&mut call).now_or_never().is_none() && !signal.is_queued());
    }
}
