//! Callers that call without a pause until they are told to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use tokio::task::JoinHandle;

use crate::{Client, Server, eventually, secs};

/// Such callers.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts so many. `call` makes one call, and answers what went wrong with it.
    pub fn start<F, Fut>(server: &Server, callers: usize, call: F) -> Self
    where
        F: Fn(Arc<Client>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Option<String>> + Send,
    {
        Self::of(|| Client::modern(server), callers, call)
    }

    /// The same with clients that `client` makes.
    pub fn of<F, Fut>(client: impl Fn() -> Client, callers: usize, call: F) -> Self
    where
        F: Fn(Arc<Client>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Option<String>> + Send,
    {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let caller = |_| {
            let (client, stop, answered, call) = (Arc::new(client()), stop.clone(), answered.clone(), call.clone());
            tokio::spawn(async move {
                let mut errors = Vec::new();
                while !stop.load(SeqCst) {
                    errors.extend(call(client.clone()).await);
                    answered.fetch_add(1, SeqCst);
                }
                errors
            })
        };
        let callers = (0..callers).map(caller).collect();
        Self { stop, answered, callers }
    }

    /// Waits until so many more calls were answered.
    pub async fn more(&self, count: u64) {
        let goal = self.answered.load(SeqCst) + count;
        eventually("more answers", secs(60), || async { (self.answered.load(SeqCst) >= goal).then_some(()) }).await;
    }

    /// Calls that were answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(SeqCst)
    }

    /// Stops them: all errors.
    ///
    /// # Panics
    ///
    /// Where a caller has panicked.
    pub async fn end(self) -> Vec<String> {
        self.stop.store(true, SeqCst);
        let mut errors = Vec::new();
        for caller in self.callers {
            errors.extend(caller.await.expect("no caller panics"));
        }
        errors
    }
}
