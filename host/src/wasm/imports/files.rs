//! Opening files for a plugin: only files and folders, never for longer than a moment, and not more of them than its share.
//!
//! A named pipe is opened when somebody opens its other end, which may be never, and the thread that waits for that can be neither freed nor ended. So
//! nothing is opened in a way that waits, and what is neither a file nor a folder is closed again and refused.

use std::{
    fs::File,
    io,
    os::unix::fs::FileTypeExt as _,
    sync::{Arc, LazyLock, Weak},
};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
#[cfg(target_os = "linux")]
use rustix::{
    fs::{ResolveFlags, openat2},
    io::Errno,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi::{
    filesystem::{Descriptor, Dir, File as OpenFile, OpenMode},
    p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags},
};

use crate::descriptors;

/// A look at a file that opens nothing.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::empty();

/// Tries while others rename files under way.
#[cfg(target_os = "linux")]
const TRIES: usize = 8;

/// Open files of all plugins together: a part of what the process may open, so that connections find theirs.
static ALL: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(descriptors::limit() / 4)));

/// Files that a plugin has open, over all its calls.
#[derive(Clone, Debug)]
pub(crate) struct OpenFiles(Arc<Semaphore>);

impl OpenFiles {
    /// None yet, and at most so many.
    pub(crate) fn new(most: usize) -> Self {
        // Two plugins cannot take all that there is.
        Self(Arc::new(Semaphore::new(most.min(descriptors::limit() / 16))))
    }
}

/// What one call has open.
#[derive(Debug, Default)]
pub(crate) struct CallFiles(Vec<(Weak<File>, OwnedSemaphorePermit, OwnedSemaphorePermit)>);

impl CallFiles {
    /// Takes a place for one more file. None: there is none left.
    pub(crate) fn place(&mut self, plugin: &OpenFiles) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        // A file is closed when its descriptor and all streams from it are dropped, wherever that happens.
        self.0.retain(|(file, ..)| file.strong_count() > 0);
        let own = Arc::clone(&plugin.0).try_acquire_owned().ok()?;
        Some((own, Arc::clone(&ALL).try_acquire_owned().ok()?))
    }

    /// Whether nothing is open any more.
    pub(crate) fn are_closed(&self) -> bool {
        self.0.iter().all(|(file, ..)| file.strong_count() == 0)
    }

    /// Keeps the place as long as this is open.
    pub(crate) fn keep(&mut self, opened: &Descriptor, (own, one): (OwnedSemaphorePermit, OwnedSemaphorePermit)) {
        let file = match opened {
            Descriptor::File(file) => &file.file,
            Descriptor::Dir(dir) => &dir.dir,
        };
        self.0.push((Arc::downgrade(file), own, one));
    }
}

/// Why nothing was opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// As WASI says it.
    Code(ErrorCode),
    /// It is this, and neither file nor folder.
    Special(&'static str),
    /// The system cannot open like this: what wasmtime-wasi does has to do.
    Unsupported,
}

/// Opens a path below a folder, as `open-at` of WASI does.
pub(crate) async fn open(dir: &Dir, follow: bool, path: String, how: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, Refused> {
    let code = |code| Err(Refused::Code(code));
    let (creates, truncates) = (how.contains(OpenFlags::CREATE), how.contains(OpenFlags::TRUNCATE));
    let synced = DescriptorFlags::FILE_INTEGRITY_SYNC | DescriptorFlags::DATA_INTEGRITY_SYNC | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(synced) {
        return code(ErrorCode::Unsupported);
    }
    let wants_folder = how.contains(OpenFlags::DIRECTORY);
    if wants_folder && (creates || truncates || how.contains(OpenFlags::EXCLUSIVE)) {
        return code(ErrorCode::Invalid);
    }
    let writes = flags.contains(DescriptorFlags::WRITE) || creates || truncates;
    // What is not opened for writing is opened for reading, so that the system opens it at all.
    let reads = flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE);
    let mut mode = OpenMode::empty();
    mode.set(OpenMode::WRITE, writes);
    mode.set(OpenMode::READ, reads);
    let perms = dir.perms;
    if writes && perms.write_not_permitted() {
        return code(ErrorCode::NotPermitted);
    }
    let mut wanted = match (reads, writes) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    wanted.set(OFlags::CREATE, creates);
    wanted.set(OFlags::EXCL, creates && how.contains(OpenFlags::EXCLUSIVE));
    wanted.set(OFlags::TRUNC, truncates);
    wanted.set(OFlags::NOFOLLOW, !follow);
    let folder = Arc::clone(&dir.dir);
    let opened = tokio::task::spawn_blocking(move || open_now(&folder, &path, wanted)).await;
    let (file, is_folder) = opened.map_err(|_| Refused::Code(ErrorCode::Io))??;
    if is_folder {
        Ok(Descriptor::Dir(Dir::new(file, perms, mode, false)))
    } else if wants_folder {
        code(ErrorCode::NotDirectory)
    } else {
        Ok(Descriptor::File(OpenFile::new(file, perms, mode, false)))
    }
}

/// The file, and whether it is a folder.
fn open_now(folder: &File, path: &str, wanted: OFlags) -> Result<(File, bool), Refused> {
    // Looked at before it is opened: opening a device can do something already.
    let look = LOOK | (wanted & OFlags::NOFOLLOW);
    match beneath(folder, path, look, Mode::empty()) {
        Ok(file) => {
            refuse_special(&file)?;
        }
        // The real try says what is wrong, and makes what is to be made.
        Err(Refused::Code(_)) => {}
        Err(refused) => return Err(refused),
    }
    let create = if wanted.contains(OFlags::CREATE) { Mode::from_raw_mode(0o666) } else { Mode::empty() };
    // Without waiting, in case that it has become a pipe since.
    let file = beneath(folder, path, wanted | OFlags::NONBLOCK | OFlags::NOCTTY, create)?;
    let is_folder = refuse_special(&file)?;
    if let Ok(flags) = fcntl_getfl(&file) {
        // Means nothing for files on disk, and something on a few network file systems.
        let _ = fcntl_setfl(&file, flags - OFlags::NONBLOCK);
    }
    Ok((file, is_folder))
}

/// No other system holds a path to a folder while it opens it.
#[cfg(not(target_os = "linux"))]
fn beneath(_: &File, _: &str, _: OFlags, _: Mode) -> Result<File, Refused> {
    Err(Refused::Unsupported)
}

#[cfg(target_os = "linux")]
fn beneath(folder: &File, path: &str, flags: OFlags, mode: Mode) -> Result<File, Refused> {
    for _ in 0..TRIES {
        match openat2(folder, path, flags | OFlags::CLOEXEC, mode, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS) {
            Ok(file) => return Ok(file.into()),
            // Something was renamed meanwhile, anywhere on the machine.
            Err(Errno::AGAIN) => {}
            // Some sandboxes forbid the call, and say so by either of these.
            Err(Errno::NOSYS | Errno::PERM) => return Err(Refused::Unsupported),
            // It leads out of the folder.
            Err(Errno::XDEV) => return Err(Refused::Code(ErrorCode::NotPermitted)),
            // A pipe that nobody reads, a socket, a device without a driver.
            Err(Errno::NXIO) => return Err(Refused::Special("a pipe, a socket or a device")),
            Err(error) => return Err(Refused::Code(io::Error::from(error).into())),
        }
    }
    Err(Refused::Unsupported)
}

/// Whether it is a folder, where it is none of those that files are not.
fn refuse_special(file: &File) -> Result<bool, Refused> {
    let kind = file.metadata().map_err(|error| Refused::Code(error.into()))?.file_type();
    let special =
        [(kind.is_fifo(), "a pipe"), (kind.is_socket(), "a socket"), (kind.is_char_device() || kind.is_block_device(), "a device")];
    match special.into_iter().find(|(is, _)| *is) {
        Some((_, what)) => Err(Refused::Special(what)),
        None => Ok(kind.is_dir()),
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::FsPerms;

    use super::*;

    fn lab() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink("pipe", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        let dir = Dir::new(File::open(folder.path()).unwrap(), FsPerms::ReadWrite, OpenMode::READ, false);
        (folder, dir)
    }

    #[tokio::test]
    async fn a_pipe_and_a_socket_are_refused_at_once_in_every_way_of_opening() {
        let (folder, dir) = lab();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        for path in ["pipe", "link", "socket"] {
            for (how, flags) in [
                (OpenFlags::empty(), DescriptorFlags::READ),
                (OpenFlags::empty(), DescriptorFlags::WRITE),
                (OpenFlags::empty(), DescriptorFlags::READ | DescriptorFlags::WRITE),
                (OpenFlags::CREATE, DescriptorFlags::WRITE),
                (OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE),
                (OpenFlags::DIRECTORY, DescriptorFlags::READ),
            ] {
                let opened = open(&dir, true, path.to_owned(), how, flags);
                let opened = tokio::time::timeout(std::time::Duration::from_secs(20), opened).await.unwrap();
                assert!(matches!(opened, Err(Refused::Special(_))), "{path} {how:?} {flags:?}: {:?}", opened.err());
            }
        }
    }

    #[tokio::test]
    async fn a_pipe_that_comes_in_between_is_opened_without_waiting() {
        let (folder, _) = lab();
        let dir = File::open(folder.path()).unwrap();
        let file = beneath(&dir, "pipe", OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        assert!(matches!(refuse_special(&file), Err(Refused::Special("a pipe"))));
        drop(file);
        assert!(matches!(beneath(&dir, "pipe", OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()), Err(Refused::Special(_))));
    }

    #[tokio::test]
    async fn files_and_folders_are_opened_and_nothing_outside() {
        let (_folder, dir) = lab();
        let read = |path: &str, follow| open(&dir, follow, path.to_owned(), OpenFlags::empty(), DescriptorFlags::READ);
        assert!(matches!(read("file", true).await, Ok(Descriptor::File(_))));
        assert!(matches!(read("sub", true).await, Ok(Descriptor::Dir(_))));
        assert!(matches!(read("sub/../file", true).await, Ok(Descriptor::File(_))));
        for outside in ["../x", "/etc/passwd", "out/passwd", "sub/../../x"] {
            assert!(matches!(read(outside, true).await, Err(Refused::Code(ErrorCode::NotPermitted))), "{outside}");
        }
        assert!(matches!(read("link", false).await, Err(Refused::Code(ErrorCode::Loop))));
        assert!(matches!(read("none", true).await, Err(Refused::Code(ErrorCode::NoEntry))));
        assert!(matches!(read("", true).await, Err(Refused::Code(ErrorCode::NoEntry))));
        let new = open(&dir, true, "new".to_owned(), OpenFlags::CREATE | OpenFlags::EXCLUSIVE, DescriptorFlags::WRITE).await;
        assert!(matches!(new, Ok(Descriptor::File(_))));
        let again = open(&dir, true, "new".to_owned(), OpenFlags::CREATE | OpenFlags::EXCLUSIVE, DescriptorFlags::WRITE).await;
        assert!(matches!(again, Err(Refused::Code(ErrorCode::Exist))));
    }

    #[tokio::test]
    async fn places_come_back_when_files_are_closed_and_are_not_taken_from_other_plugins() {
        let (_folder, dir) = lab();
        let (plugin, other) = (OpenFiles::new(256), OpenFiles::new(256));
        let (mut call, mut open_files) = (CallFiles::default(), Vec::new());
        while let Some(place) = call.place(&plugin) {
            let Ok(file) = open(&dir, true, "file".to_owned(), OpenFlags::empty(), DescriptorFlags::READ).await else { panic!() };
            call.keep(&file, place);
            open_files.push(file);
            assert!(open_files.len() <= 256);
        }
        assert!(open_files.len() > 10);
        assert!(CallFiles::default().place(&other).is_some());
        open_files.pop();
        assert!(call.place(&plugin).is_some());
    }
}
