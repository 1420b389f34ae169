//! What Linux has and other systems have not, or have under another name: in one place, so that nothing else asks what it runs on.
//!
//! macOS is where authors sit: a plugin is built, tested and served there. What only Linux can do for an operator is left out there, and [`limits`] says so.

use std::{fs::File, path::PathBuf};

/// This very program, as it was when it started: on Linux an upgrade that replaces the file does not change it.
pub(crate) fn own_program() -> PathBuf {
    const LINUX: &str = "/proc/self/exe";
    if cfg!(target_os = "linux") { LINUX.into() } else { std::env::current_exe().unwrap_or_else(|_| LINUX.into()) }
}

/// A path that leads to an open file, whatever became of its name.
pub(crate) fn path_of(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    PathBuf::from(folder).join(file.as_raw_fd().to_string())
}

/// Lets others go before this thread. Elsewhere than on Linux, it would be all of this process.
pub(crate) fn yield_to_others(nice: i32) {
    if cfg!(target_os = "linux") {
        // At the same priority it would still be right, only less kind.
        let _ = rustix::process::nice(nice);
    }
}

/// Has the system kill this process when the one that started it ends.
///
/// # Errors
///
/// The system's own. None where it has no such thing.
pub(crate) fn end_with_parent() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// What this system cannot do, in sentences for whoever runs the host. Empty on Linux.
pub(crate) fn limits() -> &'static [&'static str] {
    if cfg!(target_os = "linux") {
        return &[];
    }
    &[
        "pages of plugins that were not written are not found, so that a fresh instance costs more",
        "programs of [server.NAME] end with the host if it ends by itself; if it is killed, those that leave their process group stay",
        "files in granted folders are opened without the kernel's own check of where a path leads",
        "long work has no lower priority than calls, and /metrics does not say what this process uses",
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_file_is_found_by_its_descriptor_when_its_name_is_gone() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"here").unwrap();
        let open = File::open(file.path()).unwrap();
        drop(file);
        let mut text = String::new();
        File::open(path_of(&open)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "here");
        assert!(own_program().canonicalize().unwrap().is_file());
    }
}
