//! The imports of `wasi:keyvalue`: the same keys as the import `store`, by the names of others.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTableError};

use self::bindings::wasi::keyvalue::{
    atomics, batch,
    store::{self, Error, KeyResponse},
};
use crate::{
    store::{MAX_KEYS, Space, Store, StoreError, When, Write, Written},
    wasm::{instance::State, permissions::Refusal},
};

/// The Rust side of the WIT.
mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "generated"
    )]
    wasmtime::component::bindgen!({
        path: "../wit/deps/wasi-keyvalue",
        world: "wasi:keyvalue/imports",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            default: async | trappable,
        },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}

/// Names of the one store that a plugin has.
const NAMES: [&str; 2] = ["", "default"];

/// The store in the hands of a guest.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated code gives it out again")]
pub struct Bucket {
    store: Arc<Store>,
    space: Space,
}

/// Puts the interfaces into a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    atomics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    batch::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl State {
    fn bucket(&self, bucket: &Resource<Bucket>) -> Result<Bucket, ResourceTableError> {
        self.table.get(bucket).cloned()
    }
}

impl Bucket {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store.get(&self.space, key).await?.map(|entry| entry.value))
    }

    async fn write(&self, key: String, write: Write) -> Result<Written, Error> {
        Ok(self.store.write(&self.space, key, write).await?)
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.write(key, Write::Set { value, ttl: None, when: When::Always }).await.map(drop)
    }

    async fn delete(&self, key: String) -> Result<(), Error> {
        self.write(key, Write::Delete(When::Always)).await.map(drop)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
    }
}

impl store::Host for State {
    fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        if !NAMES.contains(&identifier.as_str()) {
            return Ok(Err(Error::NoSuchStore));
        }
        match self.open_store() {
            Ok((store, space)) => Ok(Ok(self.table.push(Bucket { store, space })?)),
            Err(why) => {
                // The error has no place for it.
                self.refusals.push(Refusal::store(&self.shared.id, why));
                Ok(Err(Error::AccessDenied))
            }
        }
    }
}

impl store::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.bucket(&bucket)?.get(key).await)
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.set(key, value).await)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.delete(key).await)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.bucket(&bucket)?.get(key).await.map(|value| value.is_some()))
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let Bucket { store, space } = self.bucket(&bucket)?;
        let skipped = cursor.unwrap_or(0);
        let keys = store.keys(&space, String::new(), None, skipped, MAX_KEYS).await;
        Ok(keys.map_err(Error::from).map(|keys| {
            let cursor = (keys.len() == MAX_KEYS).then(|| skipped.saturating_add(keys.len() as u64));
            KeyResponse { keys, cursor }
        }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> wasmtime::Result<Result<u64, Error>> {
        let too_large = || Error::Other(format!("{key:?} would be larger than a number here may be, 2^63"));
        let Ok(by) = i64::try_from(delta) else { return Ok(Err(too_large())) };
        let written = self.bucket(&bucket)?.write(key.clone(), Write::Increment(by)).await;
        Ok(written.and_then(|written| match written {
            Written::Number(number) => u64::try_from(number).map_err(|_| Error::Other(format!("{key:?} is below zero"))),
            _ => Err(too_large()),
        }))
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<(String, Vec<u8>)>>, Error>> {
        let bucket = self.bucket(&bucket)?;
        let get = async |key: String| Ok(bucket.get(key.clone()).await?.map(|value| (key, value)));
        Ok(futures::future::try_join_all(keys.into_iter().map(get)).await)
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> wasmtime::Result<Result<(), Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(futures::future::try_join_all(key_values.into_iter().map(|(key, value)| bucket.set(key, value))).await.map(drop))
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> wasmtime::Result<Result<(), Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(futures::future::try_join_all(keys.into_iter().map(|key| bucket.delete(key))).await.map(drop))
    }
}
