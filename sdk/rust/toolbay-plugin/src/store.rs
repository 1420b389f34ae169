//! Keeping keys and values from one call to the next.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::Ctx;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;

/// Why nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The operator has not granted it. The text has the line that would.
    Denied(String),
    /// The key, the value or the number is not as it has to be.
    Invalid(String),
    /// The plugin, or all together, keep as much as they may.
    Full(String),
    /// The store does not work.
    Unavailable(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Denied(why) | Self::Invalid(why) | Self::Full(why) | Self::Unavailable(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for StoreError {}

/// When a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In any case.
    Always,
    /// Where there is no value.
    Absent,
    /// Where the value is still of this version.
    Version(u64),
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes.
    pub value: Vec<u8>,
    /// Another number for each write.
    pub version: u64,
}

/// Keys and values of the plugin, which stay: see [`Ctx::store`].
#[derive(Clone, Copy)]
pub struct Store<'a>(&'a Ctx<'a>);

impl Ctx<'_> {
    /// What the plugin keeps from one call to the next. The operator grants it: `store = true` in `[plugin.NAME]`. What was written is on disk.
    #[must_use]
    pub fn store(&self) -> Store<'_> {
        Store(self)
    }
}

impl Store<'_> {
    /// A value, read from JSON.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>, StoreError> {
        Ok(self.get_versioned(key)?.map(|(value, _)| value))
    }

    /// The same, with its version, for [`Self::swap`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get_versioned<T: DeserializeOwned>(self, key: &str) -> Result<Option<(T, u64)>, StoreError> {
        let Some(Entry { value, version }) = self.get_bytes(key)? else { return Ok(None) };
        let read = serde_json::from_slice(&value);
        read.map(|value| Some((value, version)))
            .map_err(|error| StoreError::Invalid(format!("the value of {key:?} cannot be read: {error}")))
    }

    /// A value as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get_bytes(self, key: &str) -> Result<Option<Entry>, StoreError> {
        host::store_get(self.0, key)
    }

    /// Sets a value, written as JSON.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set(self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), StoreError> {
        self.set_bytes(key, &json(key, value)?, None, When::Always).map(drop)
    }

    /// The same, for so long.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_for(self, key: &str, value: &(impl Serialize + ?Sized), ttl: Duration) -> Result<(), StoreError> {
        self.set_bytes(key, &json(key, value)?, Some(ttl), When::Always).map(drop)
    }

    /// Sets a value, written as JSON, if it is still of the version that was read; None: if there is none. Whether it was set: if not, somebody else was
    /// quicker, so read it again.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn swap(self, key: &str, version: Option<u64>, value: &(impl Serialize + ?Sized)) -> Result<bool, StoreError> {
        let when = version.map_or(When::Absent, When::Version);
        Ok(self.set_bytes(key, &json(key, value)?, None, when)?.is_some())
    }

    /// Sets a value as it is. Its version; None: the condition does not hold.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_bytes(self, key: &str, value: &[u8], ttl: Option<Duration>, when: When) -> Result<Option<u64>, StoreError> {
        host::store_set(self.0, key, value, ttl, when)
    }

    /// Deletes a value. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delete(self, key: &str) -> Result<bool, StoreError> {
        host::store_delete(self.0, key)
    }

    /// Adds to a number in one step, and answers what it is then.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn increment(self, key: &str, by: i64) -> Result<i64, StoreError> {
        host::store_increment(self.0, key, by)
    }

    /// All keys that begin so, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn keys(self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let part = host::store_keys(self.0, prefix, keys.last().map(String::as_str))?;
            if part.is_empty() {
                return Ok(keys);
            }
            keys.extend(part);
        }
    }
}

fn json(key: &str, value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Invalid(format!("the value of {key:?} cannot be written as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn values_stay_and_are_swapped() {
        let host = Fake::new();
        let ctx = host.ctx();
        let store = ctx.store();
        assert_eq!(store.get::<u32>("n"), Ok(None));
        assert_eq!(store.swap("n", None, &1), Ok(true));
        assert_eq!(store.swap("n", None, &2), Ok(false));
        let (value, version) = store.get_versioned::<u32>("n").unwrap().unwrap();
        assert_eq!(value, 1);
        assert_eq!(store.swap("n", Some(version), &2), Ok(true));
        assert_eq!(store.swap("n", Some(version), &3), Ok(false));
        assert_eq!(store.increment("n", 5), Ok(7));
        store.set_for("t", "x", Duration::from_secs(1)).unwrap();
        assert!(matches!(store.increment("t", 1), Err(StoreError::Invalid(_))));
        assert_eq!(store.keys("").unwrap(), ["n", "t"]);
        assert_eq!((store.delete("n"), store.delete("n")), (Ok(true), Ok(false)));
        assert_eq!(host.stored(), [("t".to_owned(), b"\"x\"".to_vec())]);
        // Another call sees the same.
        assert_eq!(host.ctx().store().get::<String>("t").unwrap().as_deref(), Some("x"));
        let denied = Fake::new().store_fails(StoreError::Denied("no".to_owned()));
        assert!(denied.ctx().store().set("k", &1).is_err() && denied.ctx().store().keys("").is_err());
    }
}
