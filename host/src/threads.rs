//! Threads for what would keep those that serve calls: outgoing connections, and work that takes long.
//!
//! The other end of a connection can send what takes long to read without ever being an answer (`103 Early Hints` without end), and nothing
//! bounds what the HTTP library reads of that in one go. A guest can compute for seconds, and a caller can send megabytes. All of it takes
//! threads of its own kind, at a lower priority, and not those that serve calls.

use std::{
    io,
    panic::resume_unwind,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    runtime::{Handle, Runtime},
    task::{JoinError, JoinHandle},
};
use tracing::Instrument as _;

use crate::{offload, system::yield_to_others};

/// How much more patient these threads are than those that serve calls.
const NICE: i32 = 5;

/// Threads for the connections of one owner.
const OUTGOING: usize = 2;

/// Work that takes long, whoever's it is.
static LONG: Threads = Threads::new("long", || 2 * cores());

/// A runtime of its own, made when it is first needed.
pub(crate) struct Threads {
    name: &'static str,
    count: fn() -> usize,
    runtime: Mutex<Option<Runtime>>,
}

/// The runtime for work that takes long. It has two threads for each core, so that no owner that keeps to [`cores`] of them has all.
///
/// # Errors
///
/// The system gives no more threads.
pub(crate) fn long() -> io::Result<Handle> {
    LONG.handle()
}

/// Does work on so many bytes: where it is, or, where these are many, on the threads for what takes long.
///
/// # Errors
///
/// The work was ended, as the host is.
pub(crate) async fn sized<F>(bytes: usize, work: F) -> Result<F::Output, JoinError>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let threads = if bytes > offload::SMALL { long().ok() } else { None };
    let Some(threads) = threads else { return Ok(work.await) };
    Task::new(threads.spawn(work.in_current_span())).end().await.map_err(|error| match error.try_into_panic() {
        // As if it had been done here.
        Ok(panic) => resume_unwind(panic),
        Err(cancelled) => cancelled,
    })
}

/// How many threads can run at a time.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Threads {
    const fn new(name: &'static str, count: fn() -> usize) -> Self {
        Self { name, count, runtime: Mutex::new(None) }
    }

    /// For one kind of connections.
    pub(crate) const fn outgoing() -> Self {
        Self::new("outgoing", || OUTGOING)
    }

    /// The runtime.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads((self.count)())
            .thread_name(self.name)
            // The calls come first.
            .on_thread_start(|| yield_to_others(NICE))
            .enable_all()
            .build()?;
        Ok(runtime.insert(made).handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends with whoever waits for it.
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Of this task.
    pub(crate) fn new(task: JoinHandle<T>) -> Self {
        Self(task)
    }

    /// What comes of it.
    pub(crate) async fn end(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_large_is_done_beside_the_workers_and_ends_with_who_waits_for_it() {
        let here = std::thread::current().id();
        let at = |bytes| sized(bytes, async { std::thread::current().id() });
        assert_eq!(at(offload::SMALL).await.unwrap(), here);
        assert_ne!(at(offload::SMALL + 1).await.unwrap(), here);
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let mut waits = Box::pin(sized(usize::MAX, async move {
            std::future::pending::<()>().await;
            drop(held);
        }));
        assert!(futures::poll!(&mut waits).is_pending());
        drop(waits);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.unwrap().is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_is_the_same_wherever_it_is() {
        let _ = sized(usize::MAX, async { panic!("on purpose") }).await;
    }
}
