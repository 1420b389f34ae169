//! How many replicas may start at once in this process: starting one takes a core, and more of them than there are cores only make each other late.

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Slots for starts.
#[derive(Clone, Debug)]
pub struct Slots {
    slots: Arc<Semaphore>,
    count: usize,
}

impl Slots {
    /// So many.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(count)), count }
    }

    /// Those of this process: as many as it has cores.
    #[must_use]
    pub fn of_process() -> Self {
        static SLOTS: LazyLock<Slots> = LazyLock::new(|| Slots::new(available_parallelism().map_or(1, std::num::NonZero::get)));
        SLOTS.clone()
    }

    /// As many of one server may be starting; more would only wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits for a slot.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }
}
