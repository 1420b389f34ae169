//! The side of a process that is to follow another.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    AGAIN, Failure, PATIENCE, folder, no_offer,
    offer::{Offer, Prepared},
    wire::{self, Given, Heard, LATER, OFFER, READY, Role, YOURS},
    wrong,
};

/// The process that serves until this one is ready.
#[derive(Debug)]
pub(in crate::cli) struct Predecessor {
    link: UnixStream,
    heard: Heard,
    given: Given,
}

/// What a process that was to be followed has to do with this one.
#[derive(Debug)]
enum Said {
    /// It is followed by this one.
    Yours,
    /// It is followed by another one, or has ended.
    Other,
}

impl Predecessor {
    /// Takes the sockets that are offered at `path`. None: nobody is there.
    pub(in crate::cli) async fn find(path: &Path) -> Result<Option<Self>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let link = match UnixStream::connect(path).await {
                Ok(link) => link,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
                Err(error) => return Err(wrong(path, &error)),
            };
            if !wire::is_own(&link) {
                return Err(wrong(path, &"it belongs to another user"));
            }
            match timeout_at(deadline, wire::take(&link)).await {
                Err(_) => return Err(wrong(path, &"it does not answer")),
                Ok(Ok(Some(given))) => {
                    tracing::info!(pid = given.pid, "taking over from a running process, which serves until this one is ready");
                    return Ok(Some(Self { link, heard: Heard::default(), given }));
                }
                // It lets go of its sockets just now: it ends, or another one has taken over, whose offer is there in a moment.
                Ok(Ok(None)) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Ok(Err(error)) => return Err(wrong(path, &error)),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(AGAIN).await;
        }
    }

    /// The socket for that, where it is at that address.
    pub(in crate::cli) fn socket(&mut self, role: Role, address: SocketAddr) -> Option<TcpListener> {
        let sockets = &mut self.given.sockets;
        let place = sockets.iter().position(|(other, socket)| {
            *other == role && socket.local_addr().is_ok_and(|at| at == address || (address.port() == 0 && at.ip() == address.ip()))
        })?;
        Some(sockets.swap_remove(place).1)
    }

    /// Returns when it is not the one to be followed any more: then it is another one, or nobody.
    ///
    /// # Errors
    ///
    /// A process that was started after this one has taken over.
    pub(in crate::cli) async fn left(&mut self, path: &Path) -> Result<(), Failure> {
        match self.heard.next(&self.link).await {
            Some(LATER) => Err(later(path)),
            _ => Ok(()),
        }
    }

    /// Says that this one has started up.
    async fn ready(&mut self, path: &Path) -> Result<Said, Failure> {
        // Where it does not hear that, it may have said why before it let go.
        let _ = wire::say(&self.link, READY).await;
        match timeout(2 * PATIENCE, self.heard.next(&self.link)).await {
            Ok(Some(YOURS)) => Ok(Said::Yours),
            Ok(Some(LATER)) => Err(later(path)),
            Ok(_) => Ok(Said::Other),
            Err(_) => {
                tracing::warn!(
                    pid = self.given.pid,
                    "the process before this one does not answer; this one serves beside it until it ends"
                );
                Ok(Said::Yours)
            }
        }
    }
}

/// Has the process before this one end, whichever that is by now, and offers the sockets in its place: this process serves from now on. Also those before it
/// that have not ended yet.
pub(in crate::cli) async fn follow(
    mut before: Option<Predecessor>,
    path: &Path,
    prepared: Prepared,
) -> Result<(Offer, Vec<UnixStream>), Failure> {
    // Of those that have gone without a word.
    let mut ending = Vec::new();
    loop {
        let Some(mut to_follow) = before else {
            // Two that find nobody do not both offer.
            let _turn = turn(path).await?;
            before = Predecessor::find(path).await?;
            if before.is_none() {
                return Ok((prepared.place()?, ending));
            }
            continue;
        };
        match to_follow.ready(path).await? {
            Said::Yours => {
                let offer = prepared.place()?;
                // It has ended by itself where it does not hear that.
                let _ = wire::say(&to_follow.link, OFFER).await;
                ending.append(&mut to_follow.given.before);
                ending.push(to_follow.link);
                return Ok((offer, ending));
            }
            Said::Other => {
                tracing::info!(pid = to_follow.given.pid, "the process before this one has ended, or another one has taken over from it");
                ending.append(&mut to_follow.given.before);
                before = Predecessor::find(path).await?;
            }
        }
    }
}

/// One after the other, as long as the file is kept.
async fn turn(path: &Path) -> Result<File, Failure> {
    let folder = folder(path).to_owned();
    let taken = tokio::task::spawn_blocking(move || {
        let folder = File::open(folder)?;
        flock(&folder, FlockOperation::LockExclusive)?;
        Ok::<_, io::Error>(folder)
    });
    let taken = taken.await.map_err(io::Error::other).and_then(|taken| taken);
    taken.map_err(|error| no_offer(path, &error))
}

fn later(path: &Path) -> Failure {
    let path = path.display();
    Failure::failed(format!(
        "a process that was started after this one has taken over at {path} (`handover` in [http]), so this one ends; nothing is to be done"
    ))
}
