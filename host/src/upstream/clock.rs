//! The time that a request may take, which stands still while its caller has a question of the server's to answer: that time is not the server's.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::ChannelError;
use crate::provider::{AskError, Asker, CallContext, JsonText, Question};

/// A moment so far away that it is none, but for arithmetic on clocks.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// When so much time is over.
#[must_use]
pub fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(FAR)
}

/// The time of one request.
pub struct Clock<'a> {
    timeout: Duration,
    until: Instant,
    context: Cow<'a, CallContext>,
    /// None: the caller cannot be asked.
    asking: Option<Arc<Asking>>,
}

impl<'a> Clock<'a> {
    /// Begins now.
    #[must_use]
    pub fn start(timeout: Duration, context: &'a CallContext) -> Self {
        let until = deadline(timeout);
        let Some(asker) = &context.asker else { return Self { timeout, until, context: Cow::Borrowed(context), asking: None } };
        let asking = Arc::new(Asking { asker: Arc::clone(asker), thinking: Mutex::default(), changed: Notify::new() });
        let context = CallContext { asker: Some(Arc::clone(&asking) as _), ..context.clone() };
        Self { timeout, until, context: Cow::Owned(context), asking: Some(asking) }
    }

    /// The request's context, whose asker stops the clock.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// When the time is over, as things stand.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until + self.asking.as_ref().map_or(Duration::ZERO, |asking| asking.lock().spent)
    }

    /// Does the request within its time.
    ///
    /// # Errors
    ///
    /// The request's; [`ChannelError::Timeout`], when it was dropped since time was over.
    pub async fn limit<T>(&self, request: impl Future<Output = Result<T, ChannelError>>) -> Result<T, ChannelError> {
        tokio::select! {
            biased;
            result = request => result,
            () = self.over() => Err(ChannelError::Timeout(self.timeout)),
        }
    }

    async fn over(&self) {
        let Some(asking) = &self.asking else { return sleep_until(self.until).await };
        loop {
            let limit = {
                let thinking = asking.lock();
                (thinking.open == 0).then(|| self.until + thinking.spent)
            };
            match limit {
                Some(limit) if limit <= Instant::now() => return,
                Some(limit) => sleep_until(limit).await,
                None => asking.changed.notified().await,
            }
        }
    }
}

/// An asker that stops the clock while it asks.
struct Asking {
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

impl Asking {
    fn lock(&self) -> MutexGuard<'_, Thinking> {
        self.thinking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asker for Asking {
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
struct Open<'a>(&'a Asking);

impl<'a> Open<'a> {
    fn new(asking: &'a Asking) -> Self {
        let mut thinking = asking.lock();
        thinking.open += 1;
        thinking.since.get_or_insert_with(Instant::now);
        drop(thinking);
        Self(asking)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut thinking = self.0.lock();
        thinking.open -= 1;
        if thinking.open == 0 {
            let since = thinking.since.take();
            thinking.spent += since.map(|since| since.elapsed()).unwrap_or_default();
        }
        drop(thinking);
        self.0.changed.notify_one();
    }
}
