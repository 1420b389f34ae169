//! One look at the folder, and the reading of one file: all the blocking file work, with nothing remembered.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    Sidecar,
    names::{Role, role},
};

/// Largest sidecar. They are a few lines; this only keeps a mistake from being read whole.
pub(super) const MAX_SIDECAR: u64 = 1 << 20;

/// What tells one state of a file from another without reading it. The change time is in it because `cp -p` and `touch -r` set the other one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    dev: u64,
    ino: u64,
    len: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    fn of(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            len: meta.len(),
            mode: meta.mode(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// When it was last written to, moved or otherwise changed.
    fn newest(&self) -> SystemTime {
        let (seconds, nanos) = self.modified.max(self.changed);
        let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// A file as one look saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSeen {
    /// As it is called in the folder.
    pub(super) path: PathBuf,
    /// Where to open it: links resolved.
    target: PathBuf,
    print: Print,
    /// Why it will not be opened.
    pub(super) refused: Option<String>,
}

/// A plugin as one look saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `NAME.wasm`.
    pub(super) file: FileSeen,
    /// `NAME.toml`.
    pub(super) sidecar: Option<FileSeen>,
}

impl Seen {
    /// For how long neither file has changed, by their own times; nothing where these lie in the future.
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        let newest = self.sidecar.iter().map(|file| file.print.newest()).fold(self.file.print.newest(), SystemTime::max);
        now.duration_since(newest).unwrap_or_default()
    }

    /// Why it cannot be loaded, known without opening it.
    pub(super) fn refused(&self) -> Option<String> {
        self.file.refused.clone().or_else(|| self.sidecar.as_ref().and_then(|sidecar| sidecar.refused.clone()))
    }
}

/// Everything that one look saw.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// By the file's name without `.wasm`.
    pub(super) plugins: BTreeMap<String, Seen>,
    /// Sidecars without a plugin.
    pub(super) orphans: Vec<PathBuf>,
    /// Whether there are links among them, whose targets may change without an event in the folder.
    pub(super) links: bool,
}

/// Looks at the folder. An error is about the folder itself; what is wrong with a file stands beside the file.
pub(super) fn scan(folder: &Path, max_file: u64) -> io::Result<Scan> {
    let root = folder.canonicalize()?;
    let (mut files, mut sidecars) = (Vec::new(), BTreeMap::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        match role(&name.to_string_lossy()) {
            Some(Role::Plugin(stem)) => files.push((stem.to_owned(), entry)),
            Some(Role::Sidecar(stem)) => drop(sidecars.insert(stem.to_owned(), entry)),
            None => {}
        }
    }
    let mut scan = Scan::default();
    for (stem, entry) in files {
        let sidecar = sidecars.remove(&stem).and_then(|sidecar| look(&sidecar.path(), sidecar.metadata(), Some(&root), MAX_SIDECAR));
        let Some(file) = look(&entry.path(), entry.metadata(), Some(&root), max_file) else { continue };
        scan.links |= file.target != file.path || sidecar.as_ref().is_some_and(|sidecar| sidecar.target != sidecar.path);
        scan.plugins.insert(stem, Seen { file, sidecar });
    }
    scan.orphans = sidecars.into_values().map(|entry| entry.path()).collect();
    Ok(scan)
}

/// Looks at a file that is elsewhere. None: it is not there.
pub(super) fn seen_at(path: &Path, max: u64) -> Option<FileSeen> {
    look(path, fs::symlink_metadata(path), None, max)
}

/// Looks at the sidecar that a plugin which is elsewhere has in the folder, if it has one.
pub(super) fn sidecar_of(folder: &Path, stem: &str) -> Option<FileSeen> {
    let path = folder.join(format!("{stem}.toml"));
    let root = folder.canonicalize().ok()?;
    look(&path, fs::symlink_metadata(&path), Some(&root), MAX_SIDECAR)
}

/// Looks at one file that was named by hand, wherever it is, and at its sidecar.
pub(super) fn scan_one(path: &Path, max_file: u64) -> Option<Seen> {
    let file = look(path, fs::symlink_metadata(path), None, max_file)?;
    let sidecar = path.with_extension("toml");
    let counts = sidecar.file_name().is_some_and(|name| role(&name.to_string_lossy()).is_some());
    let sidecar = if counts { look(&sidecar, fs::symlink_metadata(&sidecar), None, MAX_SIDECAR) } else { None };
    Some(Seen { file, sidecar })
}

/// What there is to know of a file without opening it. None: it has gone in the meantime. With a `root`, a link must not lead out of that.
fn look(path: &Path, meta: io::Result<Metadata>, root: Option<&Path>, max: u64) -> Option<FileSeen> {
    let meta = match meta {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(unknown(path, &error)),
    };
    let seen =
        |target: PathBuf, meta: &Metadata, refused| Some(FileSeen { path: path.to_owned(), target, print: Print::of(meta), refused });
    if !meta.is_symlink() {
        return seen(path.to_owned(), &meta, refusal(path, &meta, max));
    }
    // A link has a target unequal to its path even where it cannot be followed: it is looked at again and again.
    let link = fs::read_link(path).unwrap_or_default();
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) => {
            return seen(
                link.clone(),
                &meta,
                Some(format!(
                    "{} is a symbolic link to {}, which cannot be followed ({error}); copy the file itself into the folder",
                    path.display(),
                    link.display()
                )),
            );
        }
    };
    if root.is_some_and(|root| !target.starts_with(root)) {
        let message = format!(
            "{} is a symbolic link that leads out of the plugins folder, to {}; copy the file itself into the folder",
            path.display(),
            target.display()
        );
        return seen(target, &meta, Some(message));
    }
    match fs::metadata(&target) {
        Ok(meta) => {
            let refused = refusal(path, &meta, max);
            seen(target, &meta, refused)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(unknown(path, &error)),
    }
}

fn unknown(path: &Path, error: &io::Error) -> FileSeen {
    let print = Print { dev: 0, ino: 0, len: 0, mode: 0, modified: (0, 0), changed: (0, 0) };
    FileSeen { path: path.to_owned(), target: path.to_owned(), print, refused: Some(unreadable(path, error)) }
}

/// Why a file must not be opened.
fn refusal(path: &Path, meta: &Metadata, max: u64) -> Option<String> {
    let kind = meta.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a named pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Some(format!("{} is {what}, not a file; put a file in its place, or rename it", path.display()));
    }
    if meta.len() <= max {
        return None;
    }
    let (size, sidecar) = (meta.len(), path.extension().is_some_and(|ending| ending == "toml"));
    Some(if sidecar {
        format!("{} is too large: {size} bytes; a sidecar may have {max} bytes", path.display())
    } else {
        format!(
            "{} is too large: {size} bytes, and {max} are allowed; make it smaller, or raise `max_file` in [host] of toolbay.toml",
            path.display()
        )
    })
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let hint = if error.kind() == ErrorKind::PermissionDenied { "; let the user that runs toolbay read it" } else { "" };
    format!("cannot read {}: {error}{hint}", path.display())
}

/// The content of one version.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) sidecar: Option<Sidecar>,
    pub(super) version: Version,
}

/// What tells one version of a plugin from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Of the file.
    pub(super) digest: blake3::Hash,
    /// Of the sidecar.
    pub(super) sidecar: Option<blake3::Hash>,
    /// What the configuration says of it: see [`super::Loader::configuration`].
    pub(super) configuration: u64,
}

/// Why there is no content.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is not the file that was looked at any more: look again.
    Changed,
    /// Cannot be read, or is nothing: a sentence for people.
    Refused(String),
}

/// Reads the files that a look saw, if they are still the same before and after. `configuration`: the number of what the configuration says of the plugin.
pub(super) fn read(seen: &Seen, configuration: u64) -> Result<Content, ReadError> {
    let bytes = read_file(&seen.file)?;
    if bytes.is_empty() {
        return Err(ReadError::Refused(format!("{} is empty; copy it again", seen.file.path.display())));
    }
    let sidecar = match &seen.sidecar {
        None => None,
        Some(file) => {
            let text = String::from_utf8(read_file(file)?)
                .map_err(|error| ReadError::Refused(format!("{} is not UTF-8 text: {error}", file.path.display())))?;
            Some(Sidecar { text, path: file.path.clone() })
        }
    };
    let of_sidecar = sidecar.as_ref().map(|sidecar| blake3::hash(sidecar.text.as_bytes()));
    let version = Version { digest: blake3::hash(&bytes), sidecar: of_sidecar, configuration };
    Ok(Content { bytes: bytes.into(), sidecar, version })
}

/// Reads a file once more that was read before, if it is still the same.
///
/// # Errors
///
/// A sentence that says why not.
pub(crate) fn read_again(path: &Path, max_file: u64, digest: blake3::Hash) -> Result<Bytes, String> {
    let changed = || format!("{} is another file by now, and is being loaded as that", path.display());
    let seen = seen_at(path, max_file).ok_or_else(|| format!("{} is not there any more", path.display()))?;
    match read_file(&seen) {
        Ok(bytes) if blake3::hash(&bytes) == digest => Ok(bytes.into()),
        Ok(_) | Err(ReadError::Changed) => Err(changed()),
        Err(ReadError::Refused(error)) => Err(error),
    }
}

fn read_file(seen: &FileSeen) -> Result<Vec<u8>, ReadError> {
    if let Some(refused) = &seen.refused {
        return Err(ReadError::Refused(refused.clone()));
    }
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle => ReadError::Changed,
        _ if error.raw_os_error() == Some(libc::ELOOP) => ReadError::Changed,
        _ => ReadError::Refused(unreadable(&seen.path, &error)),
    };
    // What was a file a moment ago may be a pipe or a link now: neither wait for a writer nor follow.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&seen.target).map_err(failed)?;
    let same = |file: &File| file.metadata().map(|meta| Print::of(&meta) == seen.print).map_err(failed);
    if !same(&file)? {
        return Err(ReadError::Changed);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(seen.print.len).unwrap_or(0));
    (&file).take(seen.print.len.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != seen.print.len || !same(&file)? {
        return Err(ReadError::Changed);
    }
    Ok(bytes)
}
