//! How one process takes over the listening sockets of another, on one machine: `handover` in `[http]`.
//!
//! The process that serves offers its sockets at a Unix socket. A new one takes them, starts up with nobody waiting for it, and
//! says that it is ready; only then does the old one stop accepting connections, and ends when its calls have. Both have the same
//! sockets meanwhile, with the same queue of connections, so that none is lost. With SO_REUSEPORT each would have a queue of its
//! own, and what waits in the old one's is reset when that closes.
//!
//! Several new ones may start up at once, and older ones may still be ending. The first that is ready takes over. Of the others, those that were started after
//! it take over from it in turn, and those that were started before it give up. Each process knows all that run beside it: from its successors, which are
//! connected to it, and from the connections of those before it, which go from hand to hand.
//!
//! What is said, each once and in this order, where `new` is the process that is to follow:
//!
//! | by  | words     | meaning |
//! |-----|-----------|---------|
//! | old | [`Offered`](wire::Offered) | its sockets, and connections to those before it |
//! | new | `ready\n` | it has started up |
//! | old | `yours\n` | it is the first, and is to offer the sockets from now on; or |
//! | old | `later\n` | one that was started after it was the first: it is not needed; or the end: another one was the first |
//! | new | `offer\n` | it does: the old one lets go of its own |

mod beside;
mod offer;
mod predecessor;
#[cfg(test)]
mod tests;
mod wire;

use std::{fs, os::unix::fs::FileTypeExt as _, path::Path, time::Duration};

pub(super) use beside::Beside;
pub(super) use offer::Offer;
pub(super) use predecessor::{Predecessor, follow};
pub(super) use wire::Role;

use super::Failure;

/// A process that offers its sockets says so at once, and so does everybody else that has something to say.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a file at the path is left alone.
const NO_SOCKET: &str = "there is a file that is no socket";

/// How soon it is looked again who offers sockets, while one process takes over from another.
const AGAIN: Duration = Duration::from_millis(20);

/// What keeps a process from offering its sockets at that path. Nothing is written.
pub(super) fn trouble(path: &Path) -> Option<String> {
    let why = match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => NO_SOCKET.to_owned(),
        _ => match fs::metadata(folder(path)) {
            Ok(found) if found.is_dir() => return None,
            Ok(_) => format!("{} is no folder", folder(path).display()),
            Err(error) => format!("{}: {error}", folder(path).display()),
        },
    };
    Some(no_offer(path, &why).message)
}

/// Where the path is.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What is wrong at that path, and what to do.
fn wrong(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "cannot take over from the process at {} (`handover` in [http]): {why}; stop that process, or start this one without `handover`",
        path.display()
    ))
}

/// Why no sockets can be offered at that path, and what to do.
fn no_offer(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "cannot offer the listening sockets at {} (`handover` in [http]): {why}; its folder has to exist and be writable, and a path has at most 107 bytes",
        path.display()
    ))
}
