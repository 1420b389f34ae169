//! The store in a file of this host.
//!
//! What was acknowledged is on disk: writes that come together are one transaction, and none of them is answered before that is synced. Reading and writing
//! wait for a disk, so both are done beside the async workers: writes on one thread, in the order in which they came, reads on a few.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    engine::{Engine, Limits},
    place::Place,
    types::{Entry, Space, StoreError, Write, Written},
    writer::{self, Job},
};

/// Reads at once.
const READS: usize = 8;

/// Writes that wait.
const QUEUE: usize = 1024;

/// KiB of values that wait, which more than one write of the largest value fits into.
const QUEUED: usize = 128 << 10;

/// For so long a process waits for another one that has the file open for a moment.
const MOMENT: Duration = Duration::from_secs(20);

/// The store in a file, which is opened by the first who uses it.
pub(super) struct Embedded {
    place: Result<Place, String>,
    limits: Limits,
    open: Mutex<State>,
    reads: Semaphore,
    room: Arc<Semaphore>,
}

/// Whether the file is open.
#[derive(Default)]
struct State {
    /// Whether another process uses it too: then each opens it for what it does, and closes it again.
    is_shared: bool,
    /// How long another process may have it open.
    patience: Duration,
    open: Option<Open>,
}

/// An open file, and the way to its writer.
#[derive(Clone)]
struct Open {
    engine: Arc<Engine>,
    jobs: mpsc::Sender<Job>,
}

impl Embedded {
    /// Opens nothing yet.
    pub(super) fn at(place: Result<Place, String>, limits: Limits) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(QUEUED));
        Arc::new(Self { place, limits, open: Mutex::default(), reads: Semaphore::new(READS), room })
    }

    pub(super) async fn get(self: &Arc<Self>, space: &Space, key: String) -> Result<Option<Entry>, StoreError> {
        let space = space.clone();
        self.read(move |engine| engine.get(&space, &key)).await
    }

    pub(super) async fn keys(
        self: &Arc<Self>,
        space: &Space,
        prefix: String,
        after: Option<String>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let space = space.clone();
        self.read(move |engine| engine.keys(&space, &prefix, after.as_deref(), skip, limit)).await
    }

    /// When this answers, the write is on disk.
    pub(super) async fn write(self: &Arc<Self>, space: &Space, key: String, write: Write) -> Result<Written, StoreError> {
        let kib = u32::try_from(write.bytes() / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| ended())?;
        let jobs = self.opened().await?.jobs;
        let (answer, answered) = oneshot::channel();
        jobs.send(Job { space: space.clone(), key, write, answer, _room: room }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _turn = self.reads.acquire().await.map_err(|_| ended())?;
        let store = Arc::clone(self);
        beside(move || read(&store.opened_now()?.engine)).await
    }

    async fn opened(self: &Arc<Self>) -> Result<Open, StoreError> {
        // Whoever opens it keeps this for as long as that takes.
        if let Ok(state) = self.open.try_lock()
            && let Some(open) = &state.open
        {
            return Ok(open.clone());
        }
        let store = Arc::clone(self);
        beside(move || store.opened_now()).await
    }

    /// Blocks while the file is opened.
    fn opened_now(&self) -> Result<Open, StoreError> {
        let mut state = self.lock();
        if let Some(open) = &state.open {
            return Ok(open.clone());
        }
        let place = self.place.as_ref().map_err(|why| StoreError::Unavailable(why.clone()))?;
        let engine = Arc::new(Engine::open(place, self.limits, state.patience)?);
        let (jobs, queue) = mpsc::channel(QUEUE);
        writer::start(Arc::clone(&engine), queue)?;
        let open = Open { engine, jobs };
        // Closed by whoever has done the last with it, the thread that writes too.
        if !state.is_shared {
            state.open = Some(open.clone());
            state.patience = Duration::ZERO;
        }
        Ok(open)
    }

    /// Lets another process use the file too from now on, or no longer.
    pub(super) async fn share(self: &Arc<Self>, is_shared: bool) -> Result<(), StoreError> {
        // What is in memory is of this process alone.
        if matches!(self.place, Ok(Place::Memory)) {
            return Ok(());
        }
        let store = Arc::clone(self);
        beside(move || {
            let mut state = store.lock();
            state.is_shared = is_shared;
            state.patience = MOMENT;
            // What is being done with it ends first.
            state.open = None;
            Ok(())
        })
        .await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("place", &self.place).finish_non_exhaustive()
    }
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended()))
}

fn ended() -> StoreError {
    StoreError::Unavailable("the store has ended; the host's log says why".to_owned())
}
