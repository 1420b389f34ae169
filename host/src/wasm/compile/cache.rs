//! Compiled code on disk, by the content that it was compiled from and the engine that it was compiled for.
//!
//! Loading such a file runs what is in it. So the folder and every file in it have to be ours alone: owned by this user, writable by nobody else. And a
//! file is loaded only where it is, to the last bit, what was once put there: beside it lies a digest, made with a key that is kept in the folder. A disk
//! that turns one bit over would else make wrong sums of right ones.
//!
//! There may be no cache: the folder is deleted, full, read-only. Then everything is compiled at each start, which is said, and it is tried again with every
//! component.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use wasmtime::{Engine, component::Component};

use crate::{
    system,
    wasm::engine::{Target, compatibility},
};

/// What was not used for so long is deleted when the cache is opened.
const KEEP: Duration = Duration::from_secs(60 * 60 * 24 * 30);

/// Scratch files older than this belong to a process that died.
const KEEP_SCRATCH: Duration = Duration::from_secs(60 * 60 * 24);

/// The file of the key that digests are made with.
const KEY: &str = "key";

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// No folder is configured and none can be guessed.
    #[error("no folder for compiled plugins: neither `cache` in [host] nor XDG_CACHE_HOME nor HOME is set")]
    NoFolder,
    /// A file operation failed.
    #[error("{what} {path}: {source}; compiled plugins are kept there, choose another folder by `cache` in [host]")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// This machine gives out no random numbers.
    #[error("no key can be made for the digests of compiled plugins")]
    NoKey,
    /// Others could put code there.
    #[error(
        "{0} belongs to another user or is writable by others; what is in the cache folder would be run, so it is not used: `chmod go-w` it, or choose another folder by `cache` in [host]"
    )]
    NotOurs(PathBuf),
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    /// None: there is no place for one.
    folder: Option<PathBuf>,
    next: AtomicU64,
    /// The last try to keep something failed.
    broken: AtomicBool,
}

/// A file that goes when this does.
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Cache {
    /// Opens the configured folder, or `${XDG_CACHE_HOME:-~/.cache}/toolbay/compiled`; makes it where it is missing. Where it cannot be made, what is
    /// compiled is not kept.
    ///
    /// # Errors
    ///
    /// [`CacheError::NotOurs`], where others could put code there.
    pub fn open(configured: Option<PathBuf>) -> Result<Self, CacheError> {
        let cache = Self { folder: configured.or_else(default_folder), next: AtomicU64::new(0), broken: AtomicBool::new(false) };
        match cache.ready() {
            Ok(_) => cache.prune(),
            Err(error @ CacheError::NotOurs(_)) => return Err(error),
            Err(error) => cache.is_broken(&error),
        }
        Ok(cache)
    }

    /// The folder and the key, if both are there and ours.
    pub(super) fn ready(&self) -> Result<(&Path, [u8; 32]), CacheError> {
        let folder = self.folder.as_deref().ok_or(CacheError::NoFolder)?;
        make_ours(folder)?;
        Ok((folder, key(folder)?))
    }

    /// Says once that nothing is kept.
    fn is_broken(&self, error: &CacheError) {
        if !self.broken.swap(true, Ordering::Relaxed) {
            tracing::warn!("compiled plugins cannot be kept, so each is compiled at every start: {error}");
        }
    }

    /// Whether anything was ever compiled for this target.
    pub(crate) fn has_target(&self, target: Target) -> bool {
        let Some(folder) = &self.folder else { return false };
        fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(target.name()))))
        })
    }

    /// The code for a content, if it is there. Code that is not what was put there, or cannot be loaded, is deleted.
    pub(crate) fn load(&self, engine: &Engine, target: Target, digest: blake3::Hash) -> wasmtime::Result<Option<Component>> {
        let Some(path) = self.entry(engine, target, digest) else { return Ok(None) };
        // Without its digest it was put there by an earlier version, or not wholly.
        let (Ok(file), Ok(told)) = (open_ours(&path), open_ours(&digest_file(&path))) else { return Ok(None) };
        let (_, key) = self.ready()?;
        let loaded = self.load_file(engine, &key, &path, file, told);
        if loaded.is_err() {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(digest_file(&path));
        }
        loaded.map(Some)
    }

    #[expect(unsafe_code, reason = "loading compiled code runs it; it was written by us and is unchanged, see the head of this file")]
    fn load_file(
        &self,
        engine: &Engine,
        key: &[u8; 32],
        path: &Path,
        mut file: fs::File,
        mut digest: fs::File,
    ) -> wasmtime::Result<Component> {
        let mut told = [0; blake3::OUT_LEN];
        digest.read_exact(&mut told)?;
        let mut hasher = keyed(key, path);
        hasher.update_reader(&mut file)?;
        if hasher.finalize() != blake3::Hash::from_bytes(told) {
            wasmtime::bail!("its content is not what was written: the disk or somebody has changed it");
        }
        let modified = file.metadata().and_then(|about| about.modified()).ok();
        // SAFETY: the file was just found to be, by a digest with a key that only this user can read, what `store` wrote from the output of the same version
        // of the compiler: the folder's name, which is in the digest, holds the hash of version and settings. It is opened once, and nobody but this user
        // can write to it since.
        let component = unsafe { Component::deserialize_file(engine, system::path_of(&file)) }?;
        mark_used(path, modified);
        Ok(component)
    }

    /// Code that was just compiled by us and is kept in memory alone.
    #[expect(unsafe_code, reason = "loading compiled code runs it; it comes from our own compiler this moment")]
    pub(crate) fn load_bytes(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: this is the output of our own child process, by a pipe, and of the same program.
        unsafe { Component::deserialize(engine, code) }
    }

    /// Keeps code, if it can be kept. A reader sees the whole of it or none.
    pub(crate) fn store(&self, engine: &Engine, target: Target, digest: blake3::Hash, code: &[u8]) -> bool {
        match self.try_store(engine, target, digest, code) {
            Ok(()) => {
                if self.broken.swap(false, Ordering::Relaxed) {
                    tracing::info!("compiled plugins are kept again");
                }
                true
            }
            Err(error) => {
                self.is_broken(&error);
                false
            }
        }
    }

    /// Whether there is code for a content. It may turn out to be damaged when it is loaded.
    pub(crate) fn has(&self, engine: &Engine, target: Target, digest: blake3::Hash) -> bool {
        self.entry(engine, target, digest).is_some_and(|path| path.is_file())
    }

    /// Forgets code that better code has come for. Who runs it goes on.
    pub(crate) fn forget(&self, engine: &Engine, target: Target, digest: blake3::Hash) {
        if let Some(path) = self.entry(engine, target, digest) {
            let _ = fs::remove_file(digest_file(&path));
            let _ = fs::remove_file(path);
        }
    }

    fn try_store(&self, engine: &Engine, target: Target, digest: blake3::Hash, code: &[u8]) -> Result<(), CacheError> {
        let (folder, key) = self.ready()?;
        let path = self.entry(engine, target, digest).ok_or(CacheError::NoFolder)?;
        if let Some(parent) = path.parent() {
            make_ours(parent)?;
        }
        let mut hasher = keyed(&key, &path);
        hasher.update(code);
        let (code, told) = (self.scratch(folder, code)?, self.scratch(folder, hasher.finalize().as_bytes())?);
        let rename = |from: &Scratch, to: PathBuf| {
            fs::rename(&from.0, &to).map_err(|source| CacheError::Io { what: "cannot write", path: to, source })
        };
        // Who reads between the two finds a digest that does not fit, and compiles.
        rename(&told, digest_file(&path))?;
        rename(&code, path)
    }

    /// A file of our own with this content.
    pub(super) fn scratch(&self, folder: &Path, content: &[u8]) -> Result<Scratch, CacheError> {
        let name = format!("tmp-{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed));
        let scratch = Scratch(folder.join(name));
        let write = || new_file(&scratch.0)?.write_all(content);
        match write() {
            Ok(()) => Ok(scratch),
            Err(source) => Err(CacheError::Io { what: "cannot write", path: scratch.0.clone(), source }),
        }
    }

    pub(crate) fn entry(&self, engine: &Engine, target: Target, digest: blake3::Hash) -> Option<PathBuf> {
        let folder = format!("{}-{:016x}", target.name(), compatibility(engine));
        Some(self.folder.as_ref()?.join(folder).join(format!("{}.cwasm", digest.to_hex())))
    }

    fn prune(&self) {
        let Some(entries) = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok()) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                for file in fs::read_dir(&path).into_iter().flatten().flatten() {
                    remove_if_older(&file.path(), KEEP);
                }
            } else if entry.file_name().to_string_lossy().starts_with("tmp-") {
                remove_if_older(&path, KEEP_SCRATCH);
            }
        }
    }
}

/// A folder that nobody else can write to, made where it is missing.
pub(super) fn make_ours(folder: &Path) -> Result<(), CacheError> {
    let failed = |what, source| CacheError::Io { what, path: folder.to_owned(), source };
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| failed("cannot make", source))?;
    }
    let about = fs::metadata(folder).map_err(|source| failed("cannot look at", source))?;
    if is_ours(&about) { Ok(()) } else { Err(CacheError::NotOurs(folder.to_owned())) }
}

fn is_ours(about: &fs::Metadata) -> bool {
    about.uid() == rustix::process::geteuid().as_raw() && about.mode() & 0o022 == 0
}

/// A file that nobody else can write to, and that is no link.
pub(super) fn open_ours(path: &Path) -> io::Result<fs::File> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = fs::File::options().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if about.is_file() && is_ours(&about) {
        return Ok(file);
    }
    tracing::warn!(file = %path.display(), "a compiled plugin that belongs to another user, or that others can write to, is not used");
    Err(io::ErrorKind::PermissionDenied.into())
}

fn new_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The key of this folder, made where it is missing. With another key, what was kept is compiled again.
fn key(folder: &Path) -> Result<[u8; 32], CacheError> {
    let path = folder.join(KEY);
    let failed = |what, source| CacheError::Io { what, path: path.clone(), source };
    let read = || {
        let mut key = [0; 32];
        open_ours(&path)?.read_exact(&mut key)?;
        Ok::<_, io::Error>(key)
    };
    if let Ok(key) = read() {
        return Ok(key);
    }
    let mut key = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut key).map_err(|_| CacheError::NoKey)?;
    let _ = fs::remove_file(&path);
    match new_file(&path).and_then(|mut file| file.write_all(&key)) {
        Ok(()) => Ok(key),
        // Another process was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read().map_err(|source| failed("cannot read", source)),
        Err(source) => Err(failed("cannot write", source)),
    }
}

/// A digest that depends on the key and on the place.
pub(super) fn keyed(key: &[u8; 32], path: &Path) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in path.iter().rev().take(2) {
        hasher.update(part.as_encoded_bytes()).update(b"/");
    }
    hasher
}

/// Where the digest of a file of code lies.
fn digest_file(path: &Path) -> PathBuf {
    path.with_extension("digest")
}

fn default_folder() -> Option<PathBuf> {
    let from = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("toolbay").join("compiled"))
}

/// Moves the file's time on, so that pruning spares it; once a day is enough.
pub(super) fn mark_used(path: &Path, modified: Option<SystemTime>) {
    let fresh = modified.is_some_and(|time| time.elapsed().is_ok_and(|age| age < Duration::from_secs(60 * 60 * 24)));
    for path in [path.to_owned(), digest_file(path)] {
        if !fresh && let Ok(file) = fs::File::options().write(true).open(path) {
            let _ = file.set_modified(SystemTime::now());
        }
    }
}

fn remove_if_older(path: &Path, age: Duration) {
    let old = fs::metadata(path).and_then(|about| about.modified()).is_ok_and(|time| time.elapsed().is_ok_and(|past| past > age));
    if old {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Cache::open(Some(folder.path().to_owned())).unwrap_err();
        assert!(error.to_string().contains("writable by others"), "{error}");
    }

    #[test]
    fn what_was_not_used_for_a_month_goes() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("plain-0");
        fs::create_dir(&engine).unwrap();
        for (name, days) in [("old.cwasm", 31), ("new.cwasm", 29)] {
            let file = fs::File::create(engine.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60 * 60 * 24 * days)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Cache::open(Some(folder.path().to_owned())).unwrap();
        assert!(!engine.join("old.cwasm").exists());
        assert!(engine.join("new.cwasm").exists());
    }
}
