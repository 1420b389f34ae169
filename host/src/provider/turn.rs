//! Whether a call has begun, or still waits for its turn: then it can be dropped, since nothing has happened for it yet.
//!
//! A provider that lets calls wait says so by [`wait`] and [`begin`]. Whoever polls the call's future sees it through [`Watched`].

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures::future::BoxFuture;

thread_local! {
    /// What the future that is polled now said in this poll. Futures are polled one after the other, so no more than one is meant.
    static SAID: Cell<Said> = const { Cell::new(Said::Nothing) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Waits,
    Begins,
}

/// The call begins now. What it waits for from here on, another call's turn too, is part of its work.
pub fn begin() {
    SAID.set(Said::Begins);
}

/// Waits for the call's turn. The call has to [`begin`] when it got one.
pub async fn wait<F: Future>(turn: F) -> F::Output {
    let mut turn = pin!(turn);
    poll_fn(|context| {
        let polled = turn.as_mut().poll(context);
        if polled.is_pending() && SAID.get() == Said::Nothing {
            SAID.set(Said::Waits);
        }
        polled
    })
    .await
}

/// A call's future, and whether the call has begun. One that never says that it waits has begun when it is first polled.
pub struct Watched<T> {
    call: BoxFuture<'static, T>,
    has_begun: bool,
}

impl<T> Watched<T> {
    /// Watches a call that was not polled yet.
    pub fn new(call: impl Future<Output = T> + Send + 'static) -> Self {
        Self { call: Box::pin(call), has_begun: false }
    }

    /// Whether anything was done for it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }
}

impl<T> Future for Watched<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        SAID.set(Said::Nothing);
        let polled = self.call.as_mut().poll(context);
        self.has_begun |= SAID.get() != Said::Waits;
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures::{
        channel::oneshot,
        future::{FutureExt as _, pending},
    };

    use super::*;

    #[test]
    fn a_call_has_begun_when_its_turn_came_and_not_before() {
        let (give, turn) = oneshot::channel::<()>();
        let mut call = Watched::new(async {
            let _ = wait(turn).await;
            begin();
            // A call within the call waits for a turn of its own.
            wait(pending::<()>()).await;
        });
        for _ in 0..2 {
            assert!((&mut call).now_or_never().is_none() && !call.has_begun());
        }
        give.send(()).unwrap();
        for _ in 0..2 {
            assert!((&mut call).now_or_never().is_none() && call.has_begun());
        }
    }

    #[test]
    fn a_call_that_knows_no_turns_begins_at_once() {
        let mut call = Watched::new(pending::<()>());
        assert!(!call.has_begun());
        assert!((&mut call).now_or_never().is_none() && call.has_begun());
    }
}
