//! The file: what is in it, and reading and writing it within one transaction.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction,
    backends::{FileBackend, InMemoryBackend},
};

use super::{
    place::Place,
    types::{Entry, Space, StoreError, When, Write, Written},
};

/// A plugin, an owner and a key.
type Name<'a> = (&'a str, &'a str, &'a str);
/// The version, when it expires (milliseconds since 1970; 0: never), and the value.
type Kept<'a> = (u64, u64, &'a [u8]);

/// What is kept.
const ENTRIES: TableDefinition<'_, Name<'_>, Kept<'_>> = TableDefinition::new("entries");
/// What expires, by when.
const EXPIRING: TableDefinition<'_, (u64, &str, &str, &str), ()> = TableDefinition::new("expiring");
/// Bytes by plugin; of all together under the empty name.
const USED: TableDefinition<'_, &str, u64> = TableDefinition::new("used");
/// The last version, under the empty name.
const LAST: TableDefinition<'_, &str, u64> = TableDefinition::new("last");

/// All plugins together, where plugins have names.
const ALL: &str = "";

/// What an entry takes beside its key and value.
const OVERHEAD: u64 = 64;

/// What is expired is deleted by this many entries in one transaction.
const SWEEP: usize = 256;

/// Memory for pages of the file.
const CACHE: usize = 16 << 20;

/// So soon a file is tried again that another process has open.
const AGAIN: Duration = Duration::from_millis(5);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of all plugins together, in bytes.
    pub(super) size: u64,
    /// Of one value.
    pub(super) value: u64,
}

/// An open store.
pub(super) struct Engine {
    database: Database,
    limits: Limits,
}

type Result<T> = std::result::Result<T, StoreError>;

impl Engine {
    /// Blocks, and where another process has the file open waits for so long that it closes it.
    pub(super) fn open(place: &Place, limits: Limits, patience: Duration) -> Result<Self> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        let database = match place {
            Place::Memory => builder.create_with_backend(InMemoryBackend::new()).map_err(|error| error.to_string()),
            Place::File(path) => {
                let begun = Instant::now();
                loop {
                    let opened = file(path).map_err(|error| redb::StorageError::Io(error).into()).and_then(FileBackend::new);
                    match opened.and_then(|file| builder.create_with_backend(file)) {
                        Err(redb::DatabaseError::DatabaseAlreadyOpen) if begun.elapsed() < patience => std::thread::sleep(AGAIN),
                        Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                            break Err("another process has it open, and only one can".to_owned());
                        }
                        other => break other.map_err(|error| error.to_string()),
                    }
                }
            }
        };
        let shown = match place {
            Place::Memory => "in memory".to_owned(),
            Place::File(path) => path.display().to_string(),
        };
        let failed =
            |why: String| StoreError::Unavailable(format!("the store {shown} cannot be opened: {why}; `path` in [store] says where it is"));
        let engine = Self { database: database.map_err(&failed)?, limits };
        // Whoever reads first finds the tables.
        engine.write(|_| Ok(())).map_err(|error| failed(error.to_string()))?;
        Ok(engine)
    }

    pub(super) fn get(&self, space: &Space, key: &str) -> Result<Option<Entry>> {
        let read = self.database.begin_read().map_err(broken)?;
        let entries = read.open_table(ENTRIES).map_err(broken)?;
        let found = entries.get((&*space.plugin, &*space.owner, key)).map_err(broken)?;
        let now = now();
        Ok(found.and_then(|found| {
            let (version, expires, value) = found.value();
            lives(expires, now).then(|| Entry { value: value.to_vec(), version })
        }))
    }

    pub(super) fn keys(&self, space: &Space, prefix: &str, after: Option<&str>, skip: u64, limit: usize) -> Result<Vec<String>> {
        let read = self.database.begin_read().map_err(broken)?;
        let entries = read.open_table(ENTRIES).map_err(broken)?;
        let (plugin, owner) = (&*space.plugin, &*space.owner);
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let now = now();
        let mut keys = Vec::new();
        let mut skipped = 0;
        for entry in entries.range((plugin, owner, start)..).map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            let (of, whose, key) = key.value();
            if of != plugin || whose != owner || !key.starts_with(prefix) || keys.len() >= limit {
                break;
            }
            if after == Some(key) || !lives(value.value().1, now) {
                continue;
            }
            if skipped < skip {
                skipped += 1;
                continue;
            }
            keys.push(key.to_owned());
        }
        Ok(keys)
    }

    /// Does some work in one transaction, and syncs it.
    pub(super) fn write<T>(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<T>) -> Result<T> {
        let mut write = self.database.begin_write().map_err(broken)?;
        // In two phases, so that nobody can make a half of it look whole by what they store; and without a look at all of the file after a crash.
        write.set_quick_repair(true);
        let mut tables = Tables::open(&write, self.limits, now())?;
        let done = work(&mut tables);
        let swept = tables.sweep(SWEEP);
        drop(tables);
        // What an error has begun is not kept.
        let done = done?;
        swept?;
        write.commit().map_err(broken)?;
        Ok(done)
    }
}

/// The tables in one transaction.
pub(super) struct Tables<'t> {
    entries: Table<'t, Name<'static>, Kept<'static>>,
    expiring: Table<'t, (u64, &'static str, &'static str, &'static str), ()>,
    used: Table<'t, &'static str, u64>,
    last: Table<'t, &'static str, u64>,
    limits: Limits,
    now: u64,
}

/// What there is at a key.
struct Found {
    version: u64,
    expires: u64,
    value: Vec<u8>,
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction, limits: Limits, now: u64) -> Result<Self> {
        Ok(Self {
            entries: write.open_table(ENTRIES).map_err(broken)?,
            expiring: write.open_table(EXPIRING).map_err(broken)?,
            used: write.open_table(USED).map_err(broken)?,
            last: write.open_table(LAST).map_err(broken)?,
            limits,
            now,
        })
    }

    /// One write. What it is refused for has changed nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]: the transaction is broken. Others are about this write alone.
    pub(super) fn apply(&mut self, space: &Space, key: &str, write: &Write) -> Result<Written> {
        let found = self.find(space, key)?;
        match write {
            Write::Set { value, ttl, when } => {
                if !holds(*when, found.as_ref()) {
                    return Ok(Written::Set(None));
                }
                // A time of no length has passed: 0 is for what never expires.
                let expires = ttl.map_or(0, |ttl| self.now.saturating_add(millis(&ttl)).max(1));
                self.set(space, key, found.as_ref(), value, expires).map(|version| Written::Set(Some(version)))
            }
            Write::Delete(when) => {
                let deletes = found.is_some() && holds(*when, found.as_ref());
                if deletes {
                    self.remove(&space.plugin, &space.owner, key)?;
                }
                Ok(Written::Deleted(deletes))
            }
            Write::Increment(by) => {
                let number = match &found {
                    None => 0,
                    Some(found) => {
                        let text = std::str::from_utf8(&found.value).ok();
                        text.and_then(|text| text.parse::<i64>().ok())
                            .ok_or_else(|| StoreError::Invalid(format!("{key:?} holds no number")))?
                    }
                };
                let next = number
                    .checked_add(*by)
                    .ok_or_else(|| StoreError::Invalid(format!("{number} and {by} of {key:?} are too large together")))?;
                let expires = found.as_ref().map_or(0, |found| found.expires);
                self.set(space, key, found.as_ref(), next.to_string().as_bytes(), expires)?;
                Ok(Written::Number(next))
            }
        }
    }

    fn find(&self, space: &Space, key: &str) -> Result<Option<Found>> {
        let found = self.entries.get((&*space.plugin, &*space.owner, key)).map_err(broken)?;
        Ok(found.and_then(|found| {
            let (version, expires, value) = found.value();
            lives(expires, self.now).then(|| Found { version, expires, value: value.to_vec() })
        }))
    }

    fn set(&mut self, space: &Space, key: &str, found: Option<&Found>, value: &[u8], expires: u64) -> Result<u64> {
        let (new, old) = (size(key, value.len()), found.map_or(0, |found| size(key, found.value.len())));
        self.make_room(space, old, new)?;
        // What has expired is in the way, too.
        self.remove(&space.plugin, &space.owner, key)?;
        let version = self.number(ALL, true)? + 1;
        self.last.insert(ALL, version).map_err(broken)?;
        self.entries.insert((&*space.plugin, &*space.owner, key), (version, expires, value)).map_err(broken)?;
        if expires > 0 {
            self.expiring.insert((expires, &*space.plugin, &*space.owner, key), ()).map_err(broken)?;
        }
        self.count(&space.plugin, new, 0)?;
        Ok(version)
    }

    /// Refuses what would be too much.
    fn make_room(&mut self, space: &Space, old: u64, new: u64) -> Result<()> {
        if new <= old {
            return Ok(());
        }
        for is_last in [false, true] {
            let after = |used: u64| used.saturating_sub(old).saturating_add(new);
            let (own, all) = (after(self.number(&space.plugin, false)?), after(self.number(ALL, false)?));
            if own <= space.quota && all <= self.limits.size {
                break;
            }
            if is_last {
                return Err(if own > space.quota {
                    StoreError::too_much_of(space, own)
                } else {
                    StoreError::too_much(self.limits.size, all)
                });
            }
            while self.sweep(SWEEP)? {}
        }
        Ok(())
    }

    fn remove(&mut self, plugin: &str, owner: &str, key: &str) -> Result<()> {
        let removed = self.entries.remove((plugin, owner, key)).map_err(broken)?;
        let Some((expires, length)) = removed.map(|removed| (removed.value().1, removed.value().2.len())) else { return Ok(()) };
        if expires > 0 {
            self.expiring.remove((expires, plugin, owner, key)).map_err(broken)?;
        }
        self.count(plugin, 0, size(key, length))
    }

    /// Deletes some of what has expired. Whether there may be more.
    fn sweep(&mut self, most: usize) -> Result<bool> {
        let mut expired = Vec::new();
        for entry in self.expiring.range(..(self.now.saturating_add(1), "", "", "")).map_err(broken)?.take(most) {
            let (key, ()) = entry.map(|(key, value)| (key, value.value())).map_err(broken)?;
            let (_, plugin, owner, key) = key.value();
            expired.push((plugin.to_owned(), owner.to_owned(), key.to_owned()));
        }
        for (plugin, owner, key) in &expired {
            self.remove(plugin, owner, key)?;
        }
        Ok(expired.len() == most)
    }

    fn count(&mut self, plugin: &str, more: u64, less: u64) -> Result<()> {
        for name in [plugin, ALL] {
            let used = self.number(name, false)?.saturating_add(more).saturating_sub(less);
            self.used.insert(name, used).map_err(broken)?;
        }
        Ok(())
    }

    fn number(&self, name: &str, is_last: bool) -> Result<u64> {
        let table = if is_last { &self.last } else { &self.used };
        Ok(table.get(name).map_err(broken)?.map_or(0, |number| number.value()))
    }
}

fn holds(when: When, found: Option<&Found>) -> bool {
    match when {
        When::Always => true,
        When::Absent => found.is_none(),
        When::Version(version) => found.is_some_and(|found| found.version == version),
    }
}

/// What an entry counts for.
fn size(key: &str, value: usize) -> u64 {
    OVERHEAD + key.len() as u64 + value as u64
}

fn lives(expires: u64, now: u64) -> bool {
    expires == 0 || expires > now
}

fn now() -> u64 {
    millis(&SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: &Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The file, readable by its owner alone, and the folders above it.
fn file(path: &Path) -> std::io::Result<fs::File> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn broken(error: impl Into<redb::Error>) -> StoreError {
    let error: redb::Error = error.into();
    StoreError::Unavailable(format!("the store does not work: {error}"))
}
