//! A call that goes on when its caller hangs up: before 2026-07-28 a lost connection is no cancellation.
//! One that still waits in a queue is dropped then, since nothing has happened for it and nobody would
//! see its answer. The call's [`StartSignal`] tells the two apart.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{future::BoxFuture, task::AtomicWaker};

use crate::provider::StartSignal;

/// Runs in place; when it is dropped after its start and before its end, the rest runs as a task. What
/// runs is bounded by the provider's own time limit.
pub(super) struct RunToCompletion<T: Send + 'static>(Option<Call<T>>);

impl<T: Send + 'static> RunToCompletion<T> {
    /// `signal` is the one in the call's context.
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static, signal: Arc<StartSignal>) -> Self {
        Self(Some(Call::new(future, signal)))
    }
}

impl<T: Send + 'static> Future for RunToCompletion<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(call) = &mut self.0 else { return Poll::Pending };
        let ended = call.poll(context);
        if ended.is_ready() {
            self.0 = None;
        }
        ended
    }
}

impl<T: Send + 'static> Drop for RunToCompletion<T> {
    fn drop(&mut self) {
        if let (Some(call), Ok(runtime)) = (self.0.take().filter(Call::has_started), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(call.future));
        }
    }
}

/// The same for a call that runs as a task from its beginning: it ends with None when its caller has hung
/// up before its turn came.
pub(super) struct CancelBeforeStart<T> {
    call: Call<Option<T>>,
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

    /// Whether it has; who is told when it does.
    fn is_gone(&self, context: &Context<'_>) -> bool {
        // Register first, then look: who leaves in between wakes.
        self.waker.register(context.waker());
        self.gone.load(Ordering::Acquire)
    }
}

impl<T> CancelBeforeStart<T> {
    /// `signal` is the one in the call's context.
    pub(super) fn new(call: impl Future<Output = Option<T>> + Send + 'static, signal: Arc<StartSignal>, caller: Arc<Caller>) -> Self {
        Self { call: Call::new(call, signal), caller }
    }
}

impl<T> Future for CancelBeforeStart<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if !self.call.has_started() && self.caller.is_gone(context) {
            return Poll::Ready(None);
        }
        let polled = self.call.poll(context);
        // It came to a queue only now.
        if polled.is_pending() && !self.call.has_started() && self.caller.is_gone(context) {
            return Poll::Ready(None);
        }
        polled
    }
}

/// A call, and whether anything was done for it.
struct Call<T> {
    future: BoxFuture<'static, T>,
    signal: Arc<StartSignal>,
    /// Before that nothing can have been done.
    polled: bool,
}

impl<T> Call<T> {
    fn new(future: impl Future<Output = T> + Send + 'static, signal: Arc<StartSignal>) -> Self {
        Self { future: Box::pin(future), signal, polled: false }
    }

    fn has_started(&self) -> bool {
        self.polled && !self.signal.is_queued()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T> {
        self.polled = true;
        self.future.as_mut().poll(context)
    }
}
