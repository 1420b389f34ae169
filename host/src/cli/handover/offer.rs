//! The side of a process that may be followed.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{
    Failure, NO_SOCKET, PATIENCE,
    beside::{Another, Beside},
    no_offer,
    wire::{self, BEFORE, Heard, LATER, OFFER, READY, Role, YOURS},
};
use crate::http::Shutdown;

/// What this process has prepared so far.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What is going to be offered as soon as this process serves.
pub(in crate::cli) struct Prepared {
    listener: UnixListener,
    /// Where it is until then.
    new: New,
    path: PathBuf,
    sockets: Vec<(Role, OwnedFd)>,
}

/// A file that is gone with this, unless it got another name.
struct New(PathBuf);

/// Offers sockets to a process that is to follow this one.
pub(in crate::cli) struct Offer {
    listener: UnixListener,
    path: PathBuf,
    /// The file that this process has made: another may have put its own there.
    inode: u64,
    sockets: Vec<(Role, OwnedFd)>,
}

/// A process that has asked for the sockets.
struct Candidate {
    /// The later it has asked, the higher.
    number: u64,
    link: Arc<UnixStream>,
    heard: Heard,
    another: Another,
}

/// A process that has followed this one, which waits for its end.
pub(in crate::cli) struct Following {
    _link: Arc<UnixStream>,
    _another: Another,
}

impl Offer {
    /// Prepares to offer them at that path.
    pub(in crate::cli) fn prepare(path: &Path, sockets: Vec<(Role, OwnedFd)>) -> Result<Prepared, Failure> {
        let made = || -> io::Result<Prepared> {
            if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, NO_SOCKET));
            }
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let new = New(path.with_extension(format!("{}-{number}.new", std::process::id())));
            let _ = fs::remove_file(&new.0);
            let listener = UnixListener::bind(&new.0)?;
            fs::set_permissions(&new.0, fs::Permissions::from_mode(0o600))?;
            Ok(Prepared { listener, new, path: path.to_owned(), sockets })
        };
        made().map_err(|error| no_offer(path, &error))
    }

    /// Does so until the end, or until somebody has followed: then `others` end too. What is returned tells that process that this one has not ended yet, for
    /// as long as it is kept.
    pub(in crate::cli) async fn serve(self, shutdown: Shutdown, others: Vec<Shutdown>, beside: Beside) -> Option<Following> {
        tokio::select! {
            () = shutdown.leaving() => None,
            following = self.offer(&beside) => {
                // It offers them by now. Who is still in the queue here finds it there.
                drop(self);
                tracing::info!("another process has taken over: this one accepts no more connections, and ends when its calls have");
                shutdown.hand_over();
                others.iter().for_each(Shutdown::drain);
                Some(following)
            }
        }
    }

    /// Returns when somebody has followed.
    async fn offer(&self, beside: &Beside) -> Following {
        let mut starting = FuturesUnordered::new();
        let mut links: Vec<(u64, Arc<UnixStream>)> = Vec::new();
        let mut number = 0;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((link, _)) if !wire::is_own(&link) => {
                        tracing::warn!("a process of another user asked for the listening sockets, and did not get them");
                    }
                    Ok((link, _)) => {
                        tracing::info!("another process has asked for the listening sockets; it takes over when it is ready");
                        number += 1;
                        let link = Arc::new(link);
                        links.push((number, Arc::clone(&link)));
                        let candidate = Candidate { number, link, heard: Heard::default(), another: beside.enter() };
                        starting.push(self.start(candidate, beside.before()));
                    }
                    Err(error) => {
                        tracing::warn!("cannot accept connections at {}: {error}", self.path.display());
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                Some((number, started)) = starting.next() => {
                    links.retain(|(other, _)| *other != number);
                    let Some(candidate) = started else { continue };
                    let Some(following) = candidate.confirm().await else { continue };
                    for (_, earlier) in links.iter().filter(|(other, _)| *other < number) {
                        let _ = wire::say(earlier, LATER).await;
                    }
                    return following;
                }
            }
        }
    }

    /// Gives the sockets to a process, and waits until that is ready. None: it has gone.
    async fn start(&self, mut candidate: Candidate, before: Vec<Arc<UnixStream>>) -> (u64, Option<Candidate>) {
        let number = candidate.number;
        // A process that is followed again and again, quicker than its calls end.
        let last = before.get(before.len().saturating_sub(BEFORE)..).unwrap_or_default();
        if let Err(error) = wire::give(&candidate.link, &self.sockets, last).await {
            tracing::warn!("the listening sockets could not be given to another process: {error}");
            return (number, None);
        }
        if candidate.heard.next(&candidate.link).await == Some(READY) {
            return (number, Some(candidate));
        }
        tracing::warn!("a process that was to take over has ended before it was ready: this one goes on");
        (number, None)
    }
}

impl Candidate {
    /// Has it offer the sockets from now on. None: it has gone.
    async fn confirm(self) -> Option<Following> {
        let Self { link, mut heard, another, .. } = self;
        let offers = async { wire::say(&link, YOURS).await && heard.next(&link).await == Some(OFFER) };
        if timeout(PATIENCE, offers).await.unwrap_or(false) {
            return Some(Following { _link: link, _another: another });
        }
        tracing::warn!("a process that was to take over has ended before it did: this one goes on");
        None
    }
}

impl Prepared {
    /// In place of what is there.
    pub(super) fn place(self) -> Result<Offer, Failure> {
        let placed = || -> io::Result<u64> {
            let inode = fs::metadata(&self.new.0)?.ino();
            fs::rename(&self.new.0, &self.path)?;
            Ok(inode)
        };
        let inode = placed().map_err(|error| no_offer(&self.path, &error))?;
        let Self { listener, path, sockets, .. } = self;
        Ok(Offer { listener, path, inode, sockets })
    }
}

impl Drop for New {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
