//! The time in which a call's caller has a question to answer, which is not the server's.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use crate::provider::{AskError, Asker, CallContext, JsonText, Question};

/// While a question is open, the deadline is looked at so often.
const LOOK: Duration = Duration::from_millis(250);

/// How long one call's caller has had questions to answer.
#[derive(Default)]
pub struct Thinking(Mutex<State>);

#[derive(Default)]
struct State {
    open: usize,
    since: Option<Instant>,
    before: Duration,
}

impl Thinking {
    /// The context with an asker whose time is taken.
    #[must_use]
    pub fn of(context: &CallContext) -> (CallContext, Arc<Self>) {
        let thinking = Arc::<Self>::default();
        let asker = context.asker.clone().map(|asker| Arc::new(Timed { asker, thinking: Arc::clone(&thinking) }) as Arc<dyn Asker>);
        (CallContext { asker, ..context.clone() }, thinking)
    }

    /// Waits for something until then, and for as much longer as the caller had a question to answer. How long that may take is the asker's to limit. None:
    /// time is up.
    pub async fn timeout_at<F: Future>(&self, deadline: Instant, work: F) -> Option<F::Output> {
        tokio::pin!(work);
        let mut until = deadline;
        loop {
            if let Ok(output) = timeout_at(until, &mut work).await {
                return Some(output);
            }
            let (thinking, is_open) = self.so_far();
            let now = Instant::now();
            until = if is_open { (deadline + thinking).max(now + LOOK) } else { deadline + thinking };
            if until <= now {
                return None;
            }
        }
    }

    /// How long so far, and whether there is a question now.
    fn so_far(&self) -> (Duration, bool) {
        let state = self.lock();
        (state.before + state.since.map_or(Duration::ZERO, |since| since.elapsed()), state.open > 0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Timed {
    asker: Arc<dyn Asker>,
    thinking: Arc<Thinking>,
}

/// A question, until dropped.
struct Open<'a>(&'a Thinking);

impl<'a> Open<'a> {
    fn new(thinking: &'a Thinking) -> Self {
        let mut state = thinking.lock();
        state.open += 1;
        state.since.get_or_insert_with(Instant::now);
        Self(thinking)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open = state.open.saturating_sub(1);
        if state.open == 0
            && let Some(since) = state.since.take()
        {
            state.before += since.elapsed();
        }
    }
}

impl Asker for Timed {
    fn capabilities(&self) -> &str {
        self.asker.capabilities()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(async move {
            let _open = Open::new(&self.thinking);
            self.asker.ask(questions).await
        })
    }
}
