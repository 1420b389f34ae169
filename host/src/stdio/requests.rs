//! The client's requests that are not answered yet.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// All of them. Clones are the same table.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Table>);

#[derive(Default)]
struct Table {
    running: Mutex<HashMap<u64, Running>>,
    idle: Notify,
    next: AtomicU64,
}

/// One of them.
struct Running {
    request: Request,
    task: AbortOnDropHandle<()>,
    /// The client wants no answer any more.
    cancelled: bool,
}

/// What has to be known of a request while it runs.
pub(super) struct Request {
    /// JSON text.
    pub(super) id: String,
    /// Of 2026-07-28, where the end of the connection cancels it.
    pub(super) modern: bool,
    /// Lasts as long as the client does.
    pub(super) listens: bool,
}

impl Requests {
    /// Runs a request beside the others.
    pub(super) fn start(&self, request: Request, run: impl Future<Output = ()> + Send + 'static) {
        let serial = self.0.next.fetch_add(1, Ordering::Relaxed);
        // The task cannot be done before it is in the table: it takes its place out under the same lock.
        let mut running = self.lock();
        let requests = self.clone();
        let task = tokio::spawn(async move {
            // Made here: a runtime that ends drops the task at once, under the lock.
            let _done = Done { requests, serial };
            run.await;
        });
        running.insert(serial, Running { request, task: AbortOnDropHandle::new(task), cancelled: false });
    }

    /// Waits until every request is answered, but those that only listen.
    pub(super) async fn finished(&self) {
        loop {
            let idle = self.0.idle.notified();
            if self.lock().values().all(|running| running.request.listens) {
                return;
            }
            idle.await;
        }
    }

    /// Takes note that the client wants no answer of a request. True: that was all that is to be done.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let mut running = self.lock();
        let Some((&serial, call)) = running.iter_mut().find(|(_, running)| running.request.id == id) else { return false };
        call.cancelled = true;
        if call.request.modern {
            // In 2026-07-28 the end of the connection is the cancellation.
            call.task.abort();
            running.remove(&serial);
            self.0.idle.notify_waiters();
            return true;
        }
        false
    }

    /// Whether nobody wants an answer of this request any more.
    pub(super) fn is_cancelled(&self, id: &str) -> bool {
        self.lock().values().any(|running| running.request.id == id && running.cancelled)
    }

    /// Ends all of them.
    pub(super) fn end(&self) {
        // Each takes its place out of the table when it ends, so the lock is free by then.
        let running = std::mem::take(&mut *self.lock());
        drop(running);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a request out of the table when its task ends, however it does.
struct Done {
    requests: Requests,
    serial: u64,
}

impl Drop for Done {
    fn drop(&mut self) {
        let gone = self.requests.lock().remove(&self.serial);
        if let Some(running) = gone {
            // Ends by itself: this is the task.
            drop(running.task.detach());
        }
        self.requests.0.idle.notify_waiters();
    }
}
