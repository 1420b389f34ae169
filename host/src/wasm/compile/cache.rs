//! Compiled code on disk, by the content that it was compiled from and the engine that it was compiled for.
//!
//! Loading such a file runs what is in it, so the folder has to be ours alone: owned by this user, writable by nobody else.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use wasmtime::{Engine, component::Component};

use crate::wasm::engine::{EngineKind, compatibility};

/// What was not used for so long is deleted when the cache is opened.
const KEEP: Duration = Duration::from_secs(60 * 60 * 24 * 30);

/// Scratch files older than this belong to a process that died.
const KEEP_SCRATCH: Duration = Duration::from_secs(60 * 60 * 24);

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
    /// Others could put code there.
    #[error(
        "the cache folder {0} belongs to another user or is writable by others; what is in it would be run, so it is not used: `chmod go-w` it, or choose another by `cache` in [host]"
    )]
    NotOurs(PathBuf),
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    next: AtomicU64,
}

/// A file that goes when this does.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Cache {
    /// Opens the configured folder, or `${XDG_CACHE_HOME:-~/.cache}/toolbay/compiled`; makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`CacheError`].
    pub fn open(configured: Option<PathBuf>) -> Result<Self, CacheError> {
        let folder = match configured {
            Some(folder) => folder,
            None => default_folder().ok_or(CacheError::NoFolder)?,
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|source| CacheError::Io {
            what: "cannot make",
            path: folder.clone(),
            source,
        })?;
        let about = fs::metadata(&folder).map_err(|source| CacheError::Io { what: "cannot look at", path: folder.clone(), source })?;
        if about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
            return Err(CacheError::NotOurs(folder));
        }
        let cache = Self { folder, next: AtomicU64::new(0) };
        cache.prune();
        Ok(cache)
    }

    /// Whether anything was ever compiled for an engine of this kind.
    pub(crate) fn has_engine(&self, kind: EngineKind) -> bool {
        fs::read_dir(&self.folder).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(kind.name()))))
        })
    }

    /// The code for a content, if it is there. Code that cannot be loaded is deleted.
    #[expect(unsafe_code, reason = "loading compiled code runs it; nobody but us can have written it, see `open`")]
    pub(crate) fn load(&self, engine: &Engine, kind: EngineKind, digest: blake3::Hash) -> wasmtime::Result<Option<Component>> {
        let path = self.entry(engine, kind, digest);
        let Some(about) = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file) else { return Ok(None) };
        // SAFETY: the file lies in a folder that only this user can write to, and was written there by `store` from the output of the same version of the
        // compiler: the folder's name holds the hash of version and settings.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => {
                mark_used(&path, about.modified().ok());
                Ok(Some(component))
            }
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Keeps code. A reader sees the whole file or none.
    pub(crate) fn store(&self, engine: &Engine, kind: EngineKind, digest: blake3::Hash, code: &[u8]) -> Result<(), CacheError> {
        let path = self.entry(engine, kind, digest);
        let scratch = self.scratch(code)?;
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|source| CacheError::Io {
                what: "cannot make",
                path: parent.to_owned(),
                source,
            })?;
        }
        fs::rename(scratch.path(), &path).map_err(|source| CacheError::Io { what: "cannot write", path, source })
    }

    /// A file of our own with this content.
    pub(crate) fn scratch(&self, content: &[u8]) -> Result<Scratch, CacheError> {
        let name = format!("tmp-{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed));
        let scratch = Scratch(self.folder.join(name));
        let write = || fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(scratch.path())?.write_all(content);
        match write() {
            Ok(()) => Ok(scratch),
            Err(source) => Err(CacheError::Io { what: "cannot write", path: scratch.path().to_owned(), source }),
        }
    }

    pub(crate) fn entry(&self, engine: &Engine, kind: EngineKind, digest: blake3::Hash) -> PathBuf {
        self.folder.join(format!("{}-{:016x}", kind.name(), compatibility(engine))).join(format!("{}.cwasm", digest.to_hex()))
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
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

fn default_folder() -> Option<PathBuf> {
    let from = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("toolbay").join("compiled"))
}

/// Moves the file's time on, so that pruning spares it; once a day is enough.
fn mark_used(path: &Path, modified: Option<SystemTime>) {
    let fresh = modified.is_some_and(|time| time.elapsed().is_ok_and(|age| age < Duration::from_secs(60 * 60 * 24)));
    if !fresh && let Ok(file) = fs::File::options().write(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
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
