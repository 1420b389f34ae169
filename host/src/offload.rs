//! Beside the async workers: where work runs whose cost somebody else chose, so that nobody's sockets and timers wait for it.
//!
//! Such work (checking a long answer against a plugin's schema, reading megabytes of arguments) cannot be interrupted from outside. It gets a thread of its
//! own, at a lower priority than the calls, and is told when nobody waits for it any more. How many threads one owner has, and all of them together, is
//! bounded: whoever wants more waits for a turn, under the deadline of the call.

use std::{
    cell::RefCell,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::{Semaphore, oneshot};

use crate::system::yield_to_others;

/// Bytes of text whose reading or writing is no burden to a worker: a fraction of a millisecond.
pub(crate) const SMALL: usize = 64 << 10;

/// Threads of one owner, and of all. They have a low priority, so there may be more of them than cores.
const OWN: usize = 2;
const ALL: usize = 16;

/// How much more patient these threads are than those that serve calls.
const NICE: i32 = 5;

/// A validator recurses once for each level and reference, and is not written for small stacks.
const STACK: usize = 8 << 20;

static THREADS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(ALL)));

thread_local! {
    /// On threads of ours: whether the work in hand was given up.
    static GIVEN_UP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// The work was not done: the system gave no thread, or the work panicked.
#[derive(Debug, thiserror::Error)]
#[error("the host could not finish it; its log says more")]
pub(crate) struct Lost;

/// The threads of one owner: a plugin, a server. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Offload(Arc<Semaphore>);

impl Default for Offload {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OWN)))
    }
}

impl Offload {
    /// Does the work on a thread of its own. Dropping the future gives it up: [`is_given_up`] tells the work so.
    ///
    /// # Errors
    ///
    /// [`Lost`].
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
        // The owner's turn first: who waits for it keeps no thread from others.
        let own = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Lost)?;
        let one = Arc::clone(&THREADS).acquire_owned().await.map_err(|_| Lost)?;
        let (send, done) = oneshot::channel();
        let waiting = Waiting(Arc::default());
        let given_up = Arc::clone(&waiting.0);
        let body = move || {
            yield_to_others(NICE);
            GIVEN_UP.with_borrow_mut(|mine| *mine = Some(given_up));
            let done = work();
            drop((own, one));
            // Nobody waits: what was made is dropped here.
            let _ = send.send(done);
        };
        if let Err(error) = thread::Builder::new().name("offload".to_owned()).stack_size(STACK).spawn(body) {
            tracing::error!(%error, "no thread for work beside the calls; where it says a limit, raise `ulimit -u` or the container's pids");
            return Err(Lost);
        }
        done.await.map_err(|_| Lost)
    }
}

/// Somebody waits for the work, until this is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether this thread does work beside the async workers.
pub(crate) fn is_beside() -> bool {
    GIVEN_UP.with_borrow(Option::is_some)
}

/// Whether nobody waits any more for the work that this thread does. Work that is long asks now and then, and ends.
pub(crate) fn is_given_up() -> bool {
    GIVEN_UP.with_borrow(|mine| mine.as_ref().is_some_and(|given_up| given_up.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn until_given_up() {
        while !is_given_up() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_told_so_and_gives_its_thread_back() {
        let offload = Offload::default();
        // One worker runs all of this: work that held it would keep the timers from firing.
        for _ in 0..OWN * 3 {
            let given_up = tokio::time::timeout(Duration::from_millis(20), offload.run(until_given_up)).await;
            assert!(given_up.is_err());
        }
        let beside = tokio::time::timeout(Duration::from_secs(20), offload.run(is_beside)).await.unwrap().unwrap();
        assert!(beside && !is_beside());
    }

    #[tokio::test]
    async fn one_owner_does_not_take_the_threads_of_another() {
        let (greedy, other) = (Offload::default(), Offload::default());
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let many: Vec<_> = (0..ALL * 2)
            .map(|_| {
                let (greedy, wait) = (greedy.clone(), Arc::clone(&wait));
                tokio::spawn(async move { greedy.run(move || drop(wait.lock().map(|wait| wait.recv()))).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), other.run(|| 1)).await.unwrap().unwrap(), 1);
        drop(release);
        for one in many {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_lost_and_nothing_else() {
        let offload = Offload::default();
        for _ in 0..OWN + 1 {
            assert!(offload.run(|| assert!(!is_beside(), "on purpose")).await.is_err());
        }
        assert_eq!(offload.run(|| 2).await.unwrap(), 2);
    }
}
