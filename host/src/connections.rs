//! Threads for outgoing connections, apart from those that serve calls.
//!
//! The other end of a connection can send what takes long to read without ever being an answer (`103 Early Hints` without end), and nothing
//! bounds what the HTTP library reads of that in one go. It takes these threads, and not those that serve calls.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tokio::{
    runtime::{Handle, Runtime},
    task::{JoinError, JoinHandle},
};

/// Threads of one kind of connections, and how much more patient they are than those that serve calls.
const THREADS: usize = 2;
const NICE: i32 = 5;

/// A runtime of its own, made for the first connection.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Option<Runtime>>);

impl Threads {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The runtime.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = &*threads {
            return Ok(threads.handle().clone());
        }
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("outgoing")
            .on_thread_start(|| {
                // The calls come first.
                let _ = rustix::process::nice(NICE);
            })
            .enable_all()
            .build()?;
        Ok(threads.insert(made).handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            threads.shutdown_background();
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

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
