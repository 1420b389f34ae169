//! A call that goes on when its caller hangs up: before 2026-07-28 a lost connection is no cancellation. One that still waits for its turn is dropped then,
//! since nothing has happened for it and nobody would see its answer.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;

use crate::provider::turn::Watched;

/// Runs in place; when it is dropped after its beginning and before its end, the rest runs as a task. What runs is bounded by the provider's own time limit.
pub(super) struct Detached<T: Send + 'static>(Option<Watched<T>>);

impl<T: Send + 'static> Detached<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Watched::new(future)))
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let ended = Pin::new(future).poll(context);
        if ended.is_ready() {
            self.0 = None;
        }
        ended
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        if let (Some(future), Ok(runtime)) = (self.0.take().filter(Watched::has_begun), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(future));
        }
    }
}

/// The same for a call that runs as a task from its beginning: it ends with None when its caller has hung up before its turn came.
pub(super) struct Abandonable<T> {
    call: Watched<Option<T>>,
    caller: Arc<Caller>,
}

/// Whether the caller of a task is still there.
#[derive(Default)]
pub(super) struct Caller {
    gone: AtomicBool,
    waker: AtomicWaker,
}

impl Caller {
    /// The caller has hung up.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl<T> Abandonable<T> {
    pub(super) fn new(call: impl Future<Output = Option<T>> + Send + 'static, caller: Arc<Caller>) -> Self {
        Self { call: Watched::new(call), caller }
    }
}

impl<T> Future for Abandonable<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if !self.call.has_begun() {
            // Register first, then look: who leaves in between wakes.
            self.caller.waker.register(context.waker());
            if self.caller.gone.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
        }
        Pin::new(&mut self.call).poll(context)
    }
}
