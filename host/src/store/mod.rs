//! What plugins remember: keys and values, each plugin's apart, in a file of this host or in a Redis that hosts share.
//!
//! Both do the same by the same rules, and what was acknowledged is there as far as a disk or that Redis keeps it. What is wrong with a key or a value is said
//! here, for both.

mod embedded;
mod engine;
mod place;
mod redis;
#[cfg(test)]
mod tests;
mod types;
mod writer;

use std::sync::Arc;

use crate::{config::StoreConfig, shared::Link};
use embedded::Embedded;
use engine::Limits;
use place::Place;
use redis::Remote;
pub use types::{Entry, Space, StoreError, When, Write, Written};

/// Bytes of a key.
pub const MAX_KEY: usize = 1024;

/// Keys of one list.
pub const MAX_KEYS: usize = 1000;

/// The store of all plugins.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    limits: Limits,
}

#[derive(Debug)]
enum Backend {
    Embedded(Arc<Embedded>),
    Redis(Remote),
}

impl Store {
    /// By a configuration: in that Redis, if there is one. Opens nothing yet.
    #[must_use]
    pub fn new(config: &StoreConfig, link: Option<Arc<Link>>) -> Arc<Self> {
        let limits = Limits { size: config.size, value: config.value };
        let backend = match link {
            Some(link) => Backend::Redis(Remote::new(link, limits)),
            None => Backend::Embedded(Embedded::at(Place::of(config), limits)),
        };
        Arc::new(Self { backend, limits })
    }

    #[cfg(test)]
    fn at(place: Result<Place, String>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { backend: Backend::Embedded(Embedded::at(place, limits)), limits })
    }

    /// Lets another process of this machine use the same file too from now on, or no longer. Both open it for a moment each then.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn share(&self, is_shared: bool) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.share(is_shared).await,
            Backend::Redis(_) => Ok(()),
        }
    }

    /// A value, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn get(&self, space: &Space, key: String) -> Result<Option<Entry>, StoreError> {
        check_key(&key)?;
        match &self.backend {
            Backend::Embedded(embedded) => embedded.get(space, key).await,
            Backend::Redis(redis) => redis.get(space, &key).await,
        }
    }

    /// Keys that begin so, in order, behind `after`: `limit` at most, and [`MAX_KEYS`] in any case.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn keys(
        &self,
        space: &Space,
        prefix: String,
        after: Option<String>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let limit = limit.min(MAX_KEYS);
        match &self.backend {
            Backend::Embedded(embedded) => embedded.keys(space, prefix, after, skip, limit).await,
            Backend::Redis(redis) => redis.keys(space, &prefix, after.as_deref(), skip, limit).await,
        }
    }

    /// Writes. When this answers, the write is on disk, or Redis has acknowledged it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn write(&self, space: &Space, key: String, write: Write) -> Result<Written, StoreError> {
        check_key(&key)?;
        let (bytes, most) = (write.bytes(), self.limits.value);
        if bytes as u64 > most {
            return Err(StoreError::Invalid(format!("the value of {key:?} has {bytes} bytes; `value` in [store] allows {most}")));
        }
        match &self.backend {
            Backend::Embedded(embedded) => embedded.write(space, key, write).await,
            Backend::Redis(redis) => redis.write(space, &key, &write).await,
        }
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(StoreError::Invalid(format!("a key has 1 to {MAX_KEY} bytes, and this one has {}", key.len())));
    }
    Ok(())
}
