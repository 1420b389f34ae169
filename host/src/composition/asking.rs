//! In which order calls that run at once may ask their client: always the same, so that the answers fit when all of it is made again.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

use super::Deadline;
use crate::provider::{AskError, Asker, JsonText, Question};

/// Which call it is: the step, and the item of its list.
pub(crate) type Place = (usize, usize);

/// Whose turn it is to ask: that of the first call that has not ended.
#[derive(Debug)]
pub(crate) struct Turns {
    /// The first item of each step that has not ended. None: the step has.
    open: Mutex<Vec<Option<usize>>>,
    now: watch::Sender<Place>,
}

impl Turns {
    /// Of so many steps.
    pub(crate) fn new(steps: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(vec![Some(0); steps]), now: watch::Sender::new((0, 0)) })
    }

    /// All items of a step before this one have ended. None: all of them.
    pub(crate) fn moved(&self, step: usize, open: Option<usize>) {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = all.get_mut(step) {
            *place = open;
        }
        let first = all.iter().enumerate().find_map(|(step, open)| Some((step, (*open)?))).unwrap_or((all.len(), 0));
        self.now.send_if_modified(|now| std::mem::replace(now, first) != first);
    }

    /// The first step that has not ended.
    pub(crate) fn first(&self) -> usize {
        self.now.borrow().0
    }

    fn is(&self, place: Place) -> bool {
        *self.now.borrow() == place
    }

    /// Waits until it is the turn of this call.
    pub(super) async fn come(&self, place: Place) {
        // The sender is `self`, which is still here.
        let _ = self.now.subscribe().wait_for(|now| *now >= place).await;
    }
}

/// Asks the client of the call that makes the one in hand. Meanwhile the time of that does not run either.
pub(super) struct Passing {
    pub(super) inner: Arc<dyn Asker>,
    pub(super) deadline: Arc<Deadline>,
    pub(super) turns: Arc<Turns>,
    pub(super) place: Place,
    pub(super) early: Arc<AtomicBool>,
}

impl Asker for Passing {
    fn capabilities(&self) -> &str {
        self.inner.capabilities()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        // It does not wait for its turn: it may hold what those before it need.
        if !self.turns.is(self.place) {
            self.early.store(true, Ordering::Release);
            return async { Err(AskError::Suspended) }.boxed();
        }
        async move {
            let _paused = self.deadline.pause();
            self.inner.ask(questions).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_turn_is_that_of_the_first_call_that_has_not_ended() {
        let turns = Turns::new(3);
        assert!(turns.is((0, 0)));
        turns.moved(1, Some(2));
        assert!(turns.is((0, 0)));
        turns.moved(0, None);
        assert!(turns.is((1, 2)));
        let (_, ()) = tokio::join!(turns.come((2, 0)), async { turns.moved(1, None) });
        turns.moved(2, None);
        assert!(turns.is((3, 0)));
    }
}
