//! The deadline of a call, which stands still while the caller has a question to answer: that time is not the server's.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::provider::{AskError, Asker, JsonText, Question};

/// An asker that stops the clock while it asks.
pub(super) struct Clock {
    asker: Arc<dyn Asker>,
    thinking: Mutex<Thinking>,
    /// A question was answered, or given up.
    changed: Notify,
}

#[derive(Default)]
struct Thinking {
    /// Questions that are open.
    open: usize,
    /// Since when there is one.
    since: Option<Instant>,
    /// What earlier ones took.
    spent: Duration,
}

impl Clock {
    pub(super) fn new(asker: Arc<dyn Asker>) -> Arc<Self> {
        Arc::new(Self { asker, thinking: Mutex::default(), changed: Notify::new() })
    }

    fn thinking(&self) -> MutexGuard<'_, Thinking> {
        self.thinking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the time is over.
    pub(super) async fn over(&self, until: Instant) {
        loop {
            let limit = {
                let thinking = self.thinking();
                (thinking.open == 0).then(|| until + thinking.spent)
            };
            match limit {
                Some(limit) if limit <= Instant::now() => return,
                Some(limit) => {
                    sleep_until(limit).await;
                }
                None => self.changed.notified().await,
            }
        }
    }
}

impl Asker for Clock {
    fn capabilities(&self) -> &str {
        self.asker.capabilities()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(async move {
            let _open = Open::new(self);
            self.asker.ask(questions).await
        })
    }
}

/// One question, until dropped.
struct Open<'a>(&'a Clock);

impl<'a> Open<'a> {
    fn new(clock: &'a Clock) -> Self {
        let mut thinking = clock.thinking();
        thinking.open += 1;
        thinking.since.get_or_insert_with(Instant::now);
        drop(thinking);
        Self(clock)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut thinking = self.0.thinking();
        thinking.open -= 1;
        if thinking.open == 0 {
            let since = thinking.since.take();
            thinking.spent += since.map(|since| since.elapsed()).unwrap_or_default();
        }
        drop(thinking);
        self.0.changed.notify_one();
    }
}
