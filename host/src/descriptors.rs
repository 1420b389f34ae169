//! How many files, sockets and pipes this process may have open: as many as the system lets it, shared out so that nobody takes those of others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More is of no use, and programs that we start inherit it: some of them are slow where it is large.
const ENOUGH: u64 = 65_536;

/// What a process may have open at least, by any system's default.
const LEAST: u64 = 256;

/// What may be open now.
pub(crate) fn limit() -> usize {
    let current = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    usize::try_from(current.clamp(LEAST, ENOUGH)).unwrap_or(usize::MAX)
}

/// Raises the soft limit as far as the hard one allows. Shells and service managers start programs with a low one (1024), for those that cannot do more.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => tracing::debug!(from = current, to = wanted, "raised the limit of open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files to {wanted}; it stays at {current:?}"),
    }
}
