//! The import `store`: keys and values of the plugin, in the [`Store`] of the host.

use std::{sync::Arc, time::Duration};

use super::bindings::toolbay::plugin::store::{Condition, Entry, Host, StoreError as Problem};
use crate::{
    config::StoreScope,
    store::{Space, Store, StoreError, When, Write, Written},
    wasm::instance::State,
};

/// Whose keys a call sees, and where they are; or why it may not.
pub(super) type Opened = Result<(Arc<Store>, Space), String>;

/// What a call works on, or an answer that says why not.
macro_rules! opened {
    ($state:expr) => {
        match $state.open_store() {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(Problem::Denied(why))),
        }
    };
}
impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Entry>, Problem>> {
        let (store, space) = opened!(self);
        let found = store.get(&space, key).await;
        Ok(found.map(|found| found.map(|entry| Entry { value: entry.value, version: entry.version })).map_err(Into::into))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
        when: Condition,
    ) -> wasmtime::Result<Result<Option<u64>, Problem>> {
        let (store, space) = opened!(self);
        let write = Write::Set { value, ttl: ttl_ms.map(Duration::from_millis), when: when.into() };
        Ok(store.write(&space, key, write).await.map_err(Into::into).and_then(|written| match written {
            Written::Set(version) => Ok(version),
            _ => Err(other_kind()),
        }))
    }

    async fn delete(&mut self, key: String, when: Condition) -> wasmtime::Result<Result<bool, Problem>> {
        let (store, space) = opened!(self);
        Ok(store.write(&space, key, Write::Delete(when.into())).await.map_err(Into::into).and_then(|written| match written {
            Written::Deleted(deleted) => Ok(deleted),
            _ => Err(other_kind()),
        }))
    }

    async fn increment(&mut self, key: String, by: i64) -> wasmtime::Result<Result<i64, Problem>> {
        let (store, space) = opened!(self);
        Ok(store.write(&space, key, Write::Increment(by)).await.map_err(Into::into).and_then(|written| match written {
            Written::Number(number) => Ok(number),
            _ => Err(other_kind()),
        }))
    }

    async fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> wasmtime::Result<Result<Vec<String>, Problem>> {
        let (store, space) = opened!(self);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(store.keys(&space, prefix, after, 0, limit).await.map_err(Into::into))
    }
}

impl State {
    /// Whose keys this call sees.
    pub(super) fn open_store(&self) -> Opened {
        self.reaches();
        let (shared, plugin) = (&self.shared, &self.shared.id);
        let Some(quota) = shared.store_quota else {
            return Err(format!(
                "plugin {plugin} may not keep anything in the store; to grant it, put  store = true  into [plugin.{plugin}] of toolbay.toml"
            ));
        };
        let owner = match shared.config.grants.store_scope {
            StoreScope::Plugin => String::new(),
            StoreScope::Caller if self.listing => {
                return Err("lists are the same for every caller, and each caller of this plugin has keys of its own".to_owned());
            }
            // No name is empty with this before it.
            StoreScope::Caller => self.call.principal.as_ref().map(|principal| format!("={}", principal.subject())).unwrap_or_default(),
        };
        Ok((Arc::clone(&shared.store), Space { plugin: plugin.as_str().into(), owner: owner.into(), quota }))
    }
}

impl From<Condition> for When {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Always => Self::Always,
            Condition::Absent => Self::Absent,
            Condition::Version(version) => Self::Version(version),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(why) => Self::Invalid(why),
            StoreError::Full(why) => Self::Full(why),
            StoreError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

fn other_kind() -> Problem {
    Problem::Unavailable("the store answered something else than was asked".to_owned())
}
