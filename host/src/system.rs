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

/// Has the system run this thread as soon as it has something to do, for a short while, rather than after who computes at the moment: it has no more of
/// the processor for it. Linux 6.12 and later do; on others it is as it was. Threads and processes that it starts are as others are.
pub(crate) fn run_promptly() {
    // Where it cannot be had, calls wait for what computes beside them: some milliseconds.
    #[cfg(target_os = "linux")]
    let _ = slice::set(slice::SHORT);
}

/// How long a thread has the processor before others have it: the slice of Linux' scheduler. A thread that wakes up goes before those of longer slices.
#[cfg(target_os = "linux")]
mod slice {
    use std::{io, time::Duration};

    /// The shortest that there is.
    pub(super) const SHORT: Duration = Duration::from_micros(100);

    /// # Errors
    ///
    /// The system's own, as where a container's filter of system calls does not let this one through.
    #[expect(unsafe_code, reason = "a system call for which no crate that is used here has a function")]
    pub(super) fn set(slice: Duration) -> io::Result<()> {
        let mut attr = get()?;
        // An operator who has set something else for the whole process knows why.
        if attr.sched_policy != libc::SCHED_OTHER.unsigned_abs() {
            return Ok(());
        }
        attr.sched_flags |= u64::from(libc::SCHED_FLAG_RESET_ON_FORK.unsigned_abs());
        attr.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: `attr` is as large as it says, and is read only.
        answer(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })
    }

    #[expect(unsafe_code, reason = "a system call for which no crate that is used here has a function")]
    pub(super) fn get() -> io::Result<libc::sched_attr> {
        let size = u32::try_from(size_of::<libc::sched_attr>()).map_err(io::Error::other)?;
        let mut attr = libc::sched_attr {
            size,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: as many bytes are written as `attr` has, which all numbers may be.
        answer(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) })?;
        // It may say how much it knows, which is more.
        attr.size = size;
        Ok(attr)
    }

    fn answer(returned: libc::c_long) -> io::Result<()> {
        if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_runs_promptly_keeps_its_priority_and_starts_threads_that_are_as_others() {
        std::thread::spawn(|| {
            yield_to_others(3);
            let before = slice::get().unwrap();
            run_promptly();
            let after = slice::get().unwrap();
            assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
            // Those before Linux 6.12 say nothing of slices.
            let knows = before.sched_runtime > 0;
            assert_eq!(after.sched_runtime, if knows { 100_000 } else { 0 });
            let started = std::thread::spawn(|| slice::get().unwrap()).join().unwrap();
            assert_eq!((started.sched_runtime, started.sched_nice), (before.sched_runtime, before.sched_nice));
        })
        .join()
        .unwrap();
    }
}
