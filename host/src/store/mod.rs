//! What plugins remember: keys and values in one file, each plugin's apart.
//!
//! What was acknowledged is on disk: writes that come together are one transaction, and none of them is answered before that is synced. Reading and writing
//! wait for a disk, so both are done beside the async workers: writes on one thread, in the order in which they came, reads on a few.

mod engine;
mod place;
#[cfg(test)]
mod tests;
mod types;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config::StoreConfig;
use engine::{Engine, Limits};
use place::Place;
pub use types::{Entry, Space, StoreError, When, Write, Written};
use writer::Job;

/// Bytes of a key.
pub const MAX_KEY: usize = 1024;

/// Keys of one list.
pub const MAX_KEYS: usize = 1000;

/// Reads at once.
const READS: usize = 8;

/// Writes that wait.
const QUEUE: usize = 1024;

/// KiB of values that wait, which more than one write of the largest value fits into.
const QUEUED: usize = 128 << 10;

/// The store of all plugins. Its file is opened by the first who uses it.
pub struct Store {
    place: Result<Place, String>,
    limits: Limits,
    open: Mutex<Option<Open>>,
    reads: Semaphore,
    room: Arc<Semaphore>,
}

/// An open file, and the way to its writer.
#[derive(Clone)]
struct Open {
    engine: Arc<Engine>,
    jobs: mpsc::Sender<Job>,
}

impl Store {
    /// By a configuration. Opens nothing yet.
    #[must_use]
    pub fn new(config: &StoreConfig) -> Arc<Self> {
        Self::at(Place::of(config), Limits { size: config.size, value: config.value })
    }

    fn at(place: Result<Place, String>, limits: Limits) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(QUEUED));
        Arc::new(Self { place, limits, open: Mutex::default(), reads: Semaphore::new(READS), room })
    }

    /// A value, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn get(self: &Arc<Self>, space: &Space, key: String) -> Result<Option<Entry>, StoreError> {
        check_key(&key)?;
        let space = space.clone();
        self.read(move |engine| engine.get(&space, &key)).await
    }

    /// Keys that begin so, in order, behind `after`: `limit` at most, and [`MAX_KEYS`] in any case.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn keys(
        self: &Arc<Self>,
        space: &Space,
        prefix: String,
        after: Option<String>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (space, limit) = (space.clone(), limit.min(MAX_KEYS));
        self.read(move |engine| engine.keys(&space, &prefix, after.as_deref(), skip, limit)).await
    }

    /// Writes. When this answers, the write is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn write(self: &Arc<Self>, space: &Space, key: String, write: Write) -> Result<Written, StoreError> {
        check_key(&key)?;
        let bytes = match &write {
            Write::Set { value, .. } => value.len(),
            Write::Delete(_) | Write::Increment(_) => 0,
        };
        if bytes as u64 > self.limits.value {
            let most = self.limits.value;
            return Err(StoreError::Invalid(format!("the value of {key:?} has {bytes} bytes; `value` in [store] allows {most}")));
        }
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
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
        if let Some(open) = &*self.lock() {
            return Ok(open.clone());
        }
        let store = Arc::clone(self);
        beside(move || store.opened_now()).await
    }

    /// Blocks while the file is opened.
    fn opened_now(&self) -> Result<Open, StoreError> {
        let mut open = self.lock();
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        let place = self.place.as_ref().map_err(|why| StoreError::Unavailable(why.clone()))?;
        let engine = Arc::new(Engine::open(place, self.limits)?);
        let (jobs, queue) = mpsc::channel(QUEUE);
        writer::start(Arc::clone(&engine), queue)?;
        Ok(open.insert(Open { engine, jobs }).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("place", &self.place).finish_non_exhaustive()
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(StoreError::Invalid(format!("a key has 1 to {MAX_KEY} bytes, and this one has {}", key.len())));
    }
    Ok(())
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended()))
}

fn ended() -> StoreError {
    StoreError::Unavailable("the store has ended; the host's log says why".to_owned())
}
