//! What one call has used of tensor memory and of compute time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// The account of one call. Memory comes back when tensors are dropped; time does not.
#[derive(Debug)]
pub struct Account {
    plugin: Arc<str>,
    memory_limit: u64,
    memory: AtomicU64,
    tensor_limit: u64,
    time_limit: Duration,
    /// In microseconds.
    time: AtomicU64,
    /// The place that it has an answer of, and has asked nothing since. 0: none.
    place: AtomicUsize,
}

/// Memory that is booked, until dropped.
#[derive(Debug)]
pub(super) struct Held {
    account: Arc<Account>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.memory.fetch_sub(self.bytes, Relaxed);
    }
}

impl Account {
    /// A fresh account of a call of `plugin`. `tensor_limit` is for one tensor that the plugin makes.
    #[must_use]
    pub fn new(plugin: impl Into<Arc<str>>, memory_limit: u64, tensor_limit: u64, time_limit: Duration) -> Arc<Self> {
        let (memory, time) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { plugin: plugin.into(), memory_limit, memory, tensor_limit, time_limit, time, place: AtomicUsize::new(0) })
    }

    /// Whose it is.
    #[must_use]
    pub fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }

    /// Bytes of tensors that are held now.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// Books the memory of a tensor.
    ///
    /// # Errors
    ///
    /// A sentence, where that is over the limit.
    pub(super) fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, String> {
        let plugin = &self.plugin;
        let booked = self.memory.fetch_update(Relaxed, Relaxed, |held| held.checked_add(bytes).filter(|sum| *sum <= self.memory_limit));
        match booked {
            Ok(_) => Ok(Held { account: self.clone(), bytes }),
            Err(held) => Err(format!(
                "a tensor of {bytes} bytes beside {held} bytes that are held is over the limit of {} bytes for tensors of a call; drop tensors that are not needed, or raise `nn_memory` in [plugin.{plugin}] of toolbay.toml",
                self.memory_limit
            )),
        }
    }

    /// Whether a tensor that the plugin brings may be of this size.
    pub(super) fn admit(&self, bytes: u64) -> Result<(), String> {
        if bytes <= self.tensor_limit {
            return Ok(());
        }
        let limit = self.tensor_limit;
        Err(format!(
            "a tensor of {bytes} bytes is over the limit of {limit} bytes for one; raise `max_tensor` in [inference] of toolbay.toml"
        ))
    }

    /// The time that is left.
    pub(super) fn time_left(&self) -> Duration {
        self.time_limit.saturating_sub(Duration::from_micros(self.time.load(Relaxed)))
    }

    pub(super) fn spend(&self, time: Duration) {
        self.time.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The call has an answer from this place, and looks at it; it is likely to come back. 0: it has asked again, there or elsewhere.
    pub(super) fn is_now_at(&self, place: usize) {
        self.place.store(place, Relaxed);
    }

    pub(super) fn is_at(&self, place: usize) -> bool {
        self.place.load(Relaxed) == place
    }

    /// What is said when there is none left.
    pub(super) fn out_of_time(&self) -> String {
        let (plugin, limit) = (&self.plugin, self.time_limit);
        format!("the call has computed for its limit of {limit:?}; raise `nn_time` in [plugin.{plugin}] of toolbay.toml")
    }
}
