//! The store in a Redis that hosts share: each read and each write is one script, which nothing comes between.
//!
//! All keys begin with the prefix and `{store}`, so that they are in one slot. For each plugin and owner there are the values (a hash), what is known of them
//! (a hash: version and expiry) and their keys in order (a sorted set). What expires stands in one sorted set for all, and is swept by whoever writes next, so
//! that quotas stay right: Redis itself expires none of it.

use std::sync::{Arc, LazyLock};

use super::{
    engine::Limits,
    types::{Entry, Space, StoreError, When, Write, Written},
};
use crate::shared::{Fault, Link, Script};

/// What the scripts have in common: the names of keys, the clock and what has expired.
macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!($file))))
    };
}

static GET: LazyLock<Script> = script!("lua/get.lua");
static KEYS: LazyLock<Script> = script!("lua/keys.lua");
static WRITE: LazyLock<Script> = script!("lua/write.lua");

/// Milliseconds of a time to live, at most: Lua counts no further exactly, and it is three hundred thousand years.
const MAX_TTL: u64 = 1 << 53;

/// The store in Redis.
#[derive(Debug)]
pub(super) struct Remote {
    link: Arc<Link>,
    /// What all its keys begin with.
    root: String,
    limits: Limits,
}

impl Remote {
    pub(super) fn new(link: Arc<Link>, limits: Limits) -> Self {
        let root = format!("{}:{{store}}:", link.prefix());
        Self { link, root, limits }
    }

    pub(super) async fn get(&self, space: &Space, key: &str) -> Result<Option<Entry>, StoreError> {
        self.connected().await?;
        let call = GET.with_keys(self.keys_of(space)).arg(key);
        let (version, value): (u64, Vec<u8>) = self.link.run(&call).await.map_err(|fault| unread(&fault))?;
        Ok((version > 0).then_some(Entry { value, version }))
    }

    pub(super) async fn keys(
        &self,
        space: &Space,
        prefix: &str,
        after: Option<&str>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.connected().await?;
        let start = match after.filter(|after| *after >= prefix) {
            Some(after) => format!("({after}"),
            None => format!("[{prefix}"),
        };
        // No text has this byte.
        let end = [b"(", prefix.as_bytes(), b"\xff"].concat();
        let call = KEYS.with_keys(self.keys_of(space)).arg(start).arg(end).arg(skip).arg(limit);
        self.link.run(&call).await.map_err(|fault| unread(&fault))
    }

    pub(super) async fn write(&self, space: &Space, key: &str, write: &Write) -> Result<Written, StoreError> {
        self.connected().await?;
        let none: &[u8] = b"";
        let (word, value, ttl, by, when) = match write {
            Write::Set { value, ttl, when } => {
                let ttl = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(MAX_TTL).to_string());
                ("set", value.as_slice(), ttl.unwrap_or_default(), 0, *when)
            }
            Write::Delete(when) => ("delete", none, String::new(), 0, *when),
            Write::Increment(by) => ("increment", none, String::new(), *by, When::Always),
        };
        let when = match when {
            When::Always => "always".to_owned(),
            When::Absent => "absent".to_owned(),
            When::Version(version) => version.to_string(),
        };
        let call = WRITE.with_keys(self.keys_of(space));
        let call = call.arg(key).arg(word).arg(value).arg(ttl).arg(by).arg(when).arg(space.quota).arg(self.limits.size);
        let (said, number): (String, String) = self.link.run(&call).await.map_err(|fault| unwritten(&fault))?;
        answer(space, key, write, self.limits.size, &said, &number)
    }

    /// Waits for a moment where there is no connection: nothing has been sent yet.
    async fn connected(&self) -> Result<(), StoreError> {
        self.link.connected().await.map_err(|fault| unread(&fault))
    }

    fn keys_of(&self, space: &Space) -> [String; 6] {
        let Space { plugin, owner, .. } = space;
        let of = |kind: &str| format!("{}{kind}:{plugin}:{owner}", self.root);
        let one = |name: &str| format!("{}{name}", self.root);
        [of("v"), of("m"), of("k"), one("expiring"), one("used"), one("last")]
    }
}

/// What a script says of a write.
fn answer(space: &Space, key: &str, write: &Write, size: u64, said: &str, number: &str) -> Result<Written, StoreError> {
    let odd = || StoreError::Unavailable(format!("Redis answered {said:?} {number:?} to a write"));
    match said {
        "set" => number.parse().map(|version| Written::Set(Some(version))).map_err(|_| odd()),
        "unmet" => Ok(Written::Set(None)),
        "deleted" => Ok(Written::Deleted(number == "1")),
        "number" => number.parse().map(Written::Number).map_err(|_| odd()),
        "no number" => Err(StoreError::Invalid(format!("{key:?} holds no number"))),
        "overflow" => {
            let by = if let Write::Increment(by) = write { *by } else { 0 };
            Err(StoreError::Invalid(format!("{number} and {by} of {key:?} are too large together")))
        }
        "full" => Err(StoreError::too_much_of(space, number)),
        "full all" => Err(StoreError::too_much(size, number)),
        _ => Err(odd()),
    }
}

fn unread(fault: &Fault) -> StoreError {
    StoreError::Unavailable(format!("the store does not work: {fault}"))
}

fn unwritten(fault: &Fault) -> StoreError {
    let uncertain = if fault.is_uncertain { "; whether the write was done is not known" } else { "" };
    StoreError::Unavailable(format!("the store does not work: {fault}{uncertain}"))
}
