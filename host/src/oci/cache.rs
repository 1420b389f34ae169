//! What was pulled, on disk by digest, and what each tag named last: what serves while a registry is away.
//!
//! A file under its digest is whole: it is written beside, and moved there when it is what the digest says. It is read again before it is used, so that
//! what a disk or a person has changed is not. Several hosts may share a folder.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    digest::{Hasher, sha256},
    error::RegistryError,
};
use crate::config::OciReference;

/// What is left of a process that died is deleted after so long.
const KEEP_SCRATCH: std::time::Duration = std::time::Duration::from_secs(60 * 60 * 24);

/// The folder.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    next: AtomicU64,
}

/// What a tag named last.
#[derive(Debug, Serialize, Deserialize)]
struct Named {
    reference: String,
    manifest: String,
}

/// A file that goes when this does.
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Cache {
    /// In this folder, or in `${XDG_CACHE_HOME:-~/.cache}/toolbay/registry`. It is made when something is kept.
    ///
    /// # Errors
    ///
    /// No folder is configured, and none can be guessed.
    pub fn open(configured: Option<PathBuf>) -> Result<Self, String> {
        let from = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let guessed = || from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
        let root = configured.or_else(|| Some(guessed()?.join("toolbay").join("registry")));
        let root = root.ok_or(
            "there is no folder for plugins from a registry: neither `registry_cache` in [host] nor XDG_CACHE_HOME nor HOME is set",
        )?;
        let cache = Self { root: std::path::absolute(&root).unwrap_or(root), next: AtomicU64::new(0) };
        cache.sweep();
        Ok(cache)
    }

    /// Where the blob of a digest is, or would be.
    fn blob_path(&self, digest: &str) -> PathBuf {
        self.root.join("blobs").join(digest.replace(':', "/"))
    }

    /// The file of a blob, if it is there and is what its digest says. One that is not is removed. Blocks.
    pub(super) fn blob(&self, digest: &str) -> Option<PathBuf> {
        let path = self.blob_path(digest);
        match digest_of(&path) {
            Ok(found) if found == digest => Some(path),
            Ok(_) => {
                tracing::warn!("{} is not what its name says: it was changed, and is pulled again", path.display());
                let _ = fs::remove_file(&path);
                None
            }
            Err(_) => None,
        }
    }

    /// The content of a small blob. Blocks.
    pub(super) fn read(&self, digest: &str) -> Option<Vec<u8>> {
        fs::read(self.blob_path(digest)).ok().filter(|bytes| sha256(bytes) == digest)
    }

    /// A file to write a blob into, which is not in the way of any other. Blocks.
    pub(super) fn scratch(&self) -> Result<Scratch, String> {
        let folder = self.root.join("tmp");
        make(&folder)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Scratch(folder.join(format!("{}-{number}", std::process::id()))))
    }

    /// Takes in a file that holds what a digest says. Blocks.
    pub(super) fn keep(&self, scratch: &Scratch, digest: &str) -> Result<PathBuf, String> {
        self.put(scratch, &self.blob_path(digest))
    }

    /// Keeps bytes under their digest. Blocks.
    pub(super) fn keep_bytes(&self, bytes: &[u8]) -> Result<PathBuf, String> {
        let digest = sha256(bytes);
        let scratch = self.written(bytes)?;
        self.keep(&scratch, &digest)
    }

    /// The file of a sidecar, in a folder of its own: relative paths in it lead nowhere else. Blocks.
    pub(super) fn sidecar(&self, text: &[u8]) -> Result<PathBuf, String> {
        let scratch = self.written(text)?;
        self.put(&scratch, &self.root.join("sidecars").join(sha256(text).replace(':', "/")).join("sidecar.toml"))
    }

    /// What a tag named last. Blocks.
    pub(super) fn named(&self, reference: &OciReference) -> Option<String> {
        let named: Named = self.note("tags", &reference.to_string())?;
        (named.reference == reference.to_string()).then_some(named.manifest)
    }

    /// Notes what a tag names now. Blocks.
    pub(super) fn name(&self, reference: &OciReference, manifest: &str) -> Result<(), String> {
        let reference = reference.to_string();
        self.set_note("tags", &reference, &Named { reference: reference.clone(), manifest: manifest.to_owned() })
    }

    /// A note of a kind about something. Blocks.
    pub(super) fn note<T: DeserializeOwned>(&self, kind: &str, about: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.note_path(kind, about)).ok()?).ok()
    }

    /// Writes a note. Blocks.
    pub(super) fn set_note(&self, kind: &str, about: &str, note: &impl Serialize) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(note).map_err(|error| error.to_string())?;
        let scratch = self.written(&text)?;
        self.put(&scratch, &self.note_path(kind, about)).map(drop)
    }

    fn note_path(&self, kind: &str, about: &str) -> PathBuf {
        let name = sha256(about.as_bytes());
        self.root.join(kind).join(format!("{}.json", name.trim_start_matches("sha256:")))
    }

    fn written(&self, bytes: &[u8]) -> Result<Scratch, String> {
        let scratch = self.scratch()?;
        fs::write(&scratch.0, bytes).map_err(|error| wrong("write", &scratch.0, &error))?;
        Ok(scratch)
    }

    fn put(&self, scratch: &Scratch, path: &Path) -> Result<PathBuf, String> {
        make(path.parent().unwrap_or(&self.root))?;
        fs::rename(&scratch.0, path).map_err(|error| wrong("write", path, &error))?;
        Ok(path.to_owned())
    }

    /// Deletes what is left of processes that died.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|modified| modified.elapsed().ok());
            if age.is_some_and(|age| age > KEEP_SCRATCH) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Works on the files of the cache off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    cache: &Arc<Cache>,
    work: impl FnOnce(&Cache) -> T + Send + 'static,
) -> Result<T, RegistryError> {
    let cache = Arc::clone(cache);
    tokio::task::spawn_blocking(move || work(&cache))
        .await
        .map_err(|error| RegistryError::new(format_args!("the cache cannot be used: {error}")))
}

/// Makes a folder that is this user's alone.
fn make(folder: &Path) -> Result<(), String> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| wrong("make", folder, &error))
}

fn wrong(what: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "cannot {what} {}: {error}; plugins from registries are kept there, choose another folder by `registry_cache` in [host]",
        path.display()
    )
}

fn digest_of(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 64 << 10]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path().join("c"))).unwrap();
        let digest = sha256(b"abc");
        assert_eq!((cache.blob(&digest), cache.read(&digest)), (None, None));
        let path = cache.keep_bytes(b"abc").unwrap();
        assert_eq!((cache.blob(&digest), cache.read(&digest)), (Some(path.clone()), Some(b"abc".to_vec())));
        fs::write(&path, b"abd").unwrap();
        assert_eq!(cache.read(&digest), None);
        assert_eq!(cache.blob(&digest), None);
        assert!(!path.exists(), "it is out of the way of what is pulled again");
    }

    #[test]
    fn what_a_tag_names_is_remembered_and_a_folder_that_is_none_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let reference = OciReference::parse("oci://r.example/a:1").unwrap();
        let other = OciReference::parse("oci://r.example/a:2").unwrap();
        let cache = Cache::open(Some(folder.path().to_owned())).unwrap();
        cache.name(&reference, "sha256:x").unwrap();
        assert_eq!((cache.named(&reference), cache.named(&other)), (Some("sha256:x".to_owned()), None));
        cache.name(&reference, "sha256:y").unwrap();
        assert_eq!(cache.named(&reference).as_deref(), Some("sha256:y"));
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
        fs::write(folder.path().join("file"), "").unwrap();
        let error = Cache::open(Some(folder.path().join("file/x"))).unwrap().keep_bytes(b"x").unwrap_err();
        assert!(error.contains("registry_cache"), "{error}");
    }
}
