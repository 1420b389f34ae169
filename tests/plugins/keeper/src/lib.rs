//! Keeps things, by the contract's own import and by wasi:keyvalue.

use toolbay::plugin::store::{self, Condition, StoreError};
use wasi::{
    config::store as config,
    keyvalue::{atomics, batch, store as keyvalue},
};

wit_bindgen::generate!({ path: "wit", world: "test:keeper/keeper", generate_all });

struct Keeper;

impl Guest for Keeper {
    fn keep_get(key: String) -> Result<Option<String>, String> {
        let found = store::get(&key).map_err(why)?;
        Ok(found.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    }

    fn keep_set(key: String, value: String, ttl_ms: Option<u64>, absent: bool) -> Result<bool, String> {
        let when = if absent { Condition::Absent } else { Condition::Always };
        Ok(store::set(&key, value.as_bytes(), ttl_ms, when).map_err(why)?.is_some())
    }

    fn keep_swap(key: String) -> Result<u32, String> {
        for tried in 1.. {
            let (number, when) = match store::get(&key).map_err(why)? {
                Some(entry) => (String::from_utf8_lossy(&entry.value).parse::<u64>().unwrap_or(0), Condition::Version(entry.version)),
                None => (0, Condition::Absent),
            };
            if store::set(&key, (number + 1).to_string().as_bytes(), None, when).map_err(why)?.is_some() {
                return Ok(tried);
            }
        }
        Err("it never worked".into())
    }

    fn keep_delete(key: String) -> Result<bool, String> {
        store::delete(&key, Condition::Always).map_err(why)
    }

    fn keep_increment(key: String, by: i64) -> Result<i64, String> {
        store::increment(&key, by).map_err(why)
    }

    fn keep_keys(prefix: String) -> Result<Vec<String>, String> {
        store::keys(&prefix, None, 100).map_err(why)
    }

    fn keyvalue(name: String, key: String, value: String) -> Result<String, String> {
        let error = |error: keyvalue::Error| format!("{error:?}");
        let bucket = keyvalue::open(&name).map_err(error)?;
        bucket.set(&key, value.as_bytes()).map_err(error)?;
        let count = atomics::increment(&bucket, "kv-count", 2).map_err(error)?;
        batch::set_many(&bucket, &[("kv-a".into(), b"1".to_vec()), ("kv-b".into(), b"2".to_vec())]).map_err(error)?;
        let many = batch::get_many(&bucket, &["kv-a".into(), "kv-none".into()]).map_err(error)?;
        batch::delete_many(&bucket, &["kv-b".into()]).map_err(error)?;
        let read = bucket.get(&key).map_err(error)?.map(|value| String::from_utf8_lossy(&value).into_owned());
        let there = (bucket.exists(&key).map_err(error)?, bucket.exists("kv-b").map_err(error)?);
        let keys = bucket.list_keys(None).map_err(error)?;
        Ok(format!("{read:?} {count} {} {there:?} {:?} {:?}", many.iter().flatten().count(), keys.keys, keys.cursor))
    }

    fn config_get(name: String) -> Result<Option<String>, String> {
        config::get(&name).map_err(|error| format!("{error:?}"))
    }
}

fn why(error: StoreError) -> String {
    match error {
        StoreError::Denied(why) => format!("denied: {why}"),
        StoreError::Invalid(why) => format!("invalid: {why}"),
        StoreError::Full(why) => format!("full: {why}"),
        StoreError::Unavailable(why) => format!("unavailable: {why}"),
    }
}

export!(Keeper);
