//! How one process takes over the listening sockets of another, on one machine: `handover` in `[http]`.
//!
//! The process that serves offers its sockets at a Unix socket. A new one takes them, starts up with nobody waiting for it, and
//! says that it is ready; only then does the old one stop accepting connections, and ends when its calls have. Both have the same
//! sockets meanwhile, with the same queue of connections, so that none is lost. With SO_REUSEPORT each would have a queue of its
//! own, and what waits in the old one's is reset when that closes.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{UnixListener, UnixStream},
    sync::watch,
    time::timeout,
};

use super::Failure;
use crate::http::Shutdown;

/// The number of what is said here. A process that says something else is not followed.
const VERSION: u32 = 1;

/// For all endpoints, the metrics and the console.
const MOST: usize = 3;

/// A process that offers its sockets does so at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest message: some names.
const MESSAGE: usize = 4 << 10;

/// What is said with the sockets.
#[derive(Debug, Serialize, Deserialize)]
struct Offered {
    version: u32,
    pid: u32,
    /// What each is for, in the order in which they come.
    sockets: Vec<Role>,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// `listen`
    All,
    /// `listen` in `[metrics]`
    Metrics,
    /// `listen` in `[console]`
    Console,
}

/// The process that serves until this one is ready.
#[derive(Debug)]
pub(super) struct Predecessor {
    link: UnixStream,
    pid: u32,
    sockets: Vec<(Role, TcpListener)>,
}

impl Predecessor {
    /// Takes the sockets that are offered at `path`. None: nobody is there.
    pub(super) async fn find(path: &Path) -> Result<Option<Self>, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::failed(format!(
                "cannot take over from the process at {} (`handover` in [http]): {error}; stop that process, or start this one without `handover`",
                path.display()
            ))
        };
        let link = match UnixStream::connect(path).await {
            Ok(link) => link,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
            Err(error) => return Err(wrong(&error)),
        };
        if !is_own(&link) {
            return Err(wrong(&"it belongs to another user"));
        }
        match timeout(PATIENCE, receive(&link)).await {
            Err(_) => Err(wrong(&"it does not answer")),
            Ok(Err(error)) => Err(wrong(&error)),
            // It ends, and has let go of its sockets.
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some((Offered { pid, sockets: roles, .. }, sockets)))) => {
                tracing::info!(pid, "taking over from a running process, which serves until this one is ready");
                Ok(Some(Self { link, pid, sockets: roles.into_iter().zip(sockets).collect() }))
            }
        }
    }

    /// The socket for that, where it is at that address.
    pub(super) fn socket(&mut self, role: Role, address: SocketAddr) -> Option<TcpListener> {
        let place = self.sockets.iter().position(|(other, socket)| {
            *other == role && socket.local_addr().is_ok_and(|at| at == address || (address.port() == 0 && at.ip() == address.ip()))
        })?;
        Some(self.sockets.swap_remove(place).1)
    }

    /// Has it end: this process serves from now on.
    pub(super) async fn follow(mut self) -> Ending {
        if let Err(error) = self.link.write_all(b"ready\n").await {
            tracing::info!(pid = self.pid, "the process before this one has ended by itself: {error}");
        }
        Ending(self.link)
    }
}

/// The end of the process before this one, which may still have calls.
pub(super) struct Ending(UnixStream);

impl Ending {
    /// Returns when that process has ended.
    pub(super) async fn ended(mut self) {
        // It says nothing more, so whatever comes is the end.
        let _ = self.0.read(&mut [0]).await;
    }
}

/// Offers sockets to a process that is to follow this one.
pub(super) struct Offer {
    listener: UnixListener,
    path: PathBuf,
    /// The file that this process has made: another may have put its own there.
    inode: u64,
    sockets: Vec<(Role, OwnedFd)>,
}

impl Offer {
    /// At that path, in place of what is there.
    pub(super) fn new(path: &Path, sockets: Vec<(Role, OwnedFd)>) -> Result<Self, Failure> {
        let made = || -> io::Result<Self> {
            if fs::symlink_metadata(path).is_ok_and(|found| !is_socket(&found)) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
            }
            let new = path.with_extension(format!("{}.new", std::process::id()));
            let _ = fs::remove_file(&new);
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
            let inode = fs::metadata(&new)?.ino();
            fs::rename(&new, path)?;
            Ok(Self { listener, path: path.to_owned(), inode, sockets })
        };
        made().map_err(|error| {
            Failure::failed(format!(
                "cannot offer the listening sockets at {} (`handover` in [http]): {error}; its folder has to exist and be writable, and a path has at most 107 bytes",
                path.display()
            ))
        })
    }

    /// Does so until the end, or until somebody has followed: then `others` end too. While another process is there, `is_beside` is
    /// true. What is returned tells that process that this one has not ended yet, for as long as it is kept.
    pub(super) async fn serve(self, shutdown: Shutdown, others: Vec<Shutdown>, is_beside: watch::Sender<bool>) -> Option<Following> {
        tokio::select! {
            () = shutdown.leaving() => None,
            following = self.offer(&shutdown, &is_beside) => {
                others.iter().for_each(Shutdown::drain);
                Some(following)
            }
        }
    }

    /// Returns when somebody has followed.
    async fn offer(&self, shutdown: &Shutdown, is_beside: &watch::Sender<bool>) -> Following {
        loop {
            let link = match self.listener.accept().await {
                Ok((link, _)) => link,
                Err(error) => {
                    tracing::warn!("cannot accept connections at {}: {error}", self.path.display());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            if !is_own(&link) {
                tracing::warn!("a process of another user asked for the listening sockets, and did not get them");
                continue;
            }
            tracing::info!("another process has asked for the listening sockets; it takes over when it is ready");
            is_beside.send_replace(true);
            let handed = self.hand_to(link).await;
            is_beside.send_replace(matches!(handed, Ok(Some(_))));
            match handed {
                Ok(Some(link)) => {
                    tracing::info!("another process has taken over: this one accepts no more connections, and ends when its calls have");
                    shutdown.hand_over();
                    return Following { _link: link };
                }
                Ok(None) => tracing::warn!("a process that was to take over has ended before it was ready: this one goes on"),
                Err(error) => tracing::warn!("the listening sockets could not be given to another process: {error}"),
            }
        }
    }

    /// Gives them to a process, and waits until that is ready. None: it has gone.
    async fn hand_to(&self, mut link: UnixStream) -> io::Result<Option<UnixStream>> {
        let offered = Offered { version: VERSION, pid: std::process::id(), sockets: self.sockets.iter().map(|(role, _)| *role).collect() };
        let mut message = serde_json::to_vec(&offered)?;
        message.push(b'\n');
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        let sent = link
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                control.push(SendAncillaryMessage::ScmRights(&sockets));
                Ok(sendmsg(&link, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?)
            })
            .await?;
        if sent < message.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut said = [0; 6];
        Ok(match link.read_exact(&mut said).await {
            Ok(_) => (&said == b"ready\n").then_some(link),
            Err(_) => None,
        })
    }
}

/// A process that has followed this one, which waits for its end.
pub(super) struct Following {
    _link: UnixStream,
}

impl Drop for Offer {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_socket(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.file_type().is_socket()
}

/// Whether this user's process is at the other end.
fn is_own(link: &UnixStream) -> bool {
    link.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

/// What is offered. None: the process that offered has gone.
async fn receive(link: &UnixStream) -> io::Result<Option<(Offered, Vec<TcpListener>)>> {
    let mut message = vec![0; MESSAGE];
    let mut sockets = Vec::new();
    let got = link
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(link, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                    sockets.extend(descriptors.map(TcpListener::from));
                }
            }
            Ok(received.bytes)
        })
        .await?;
    if got == 0 {
        return Ok(None);
    }
    message.truncate(got);
    let other = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let offered: Offered =
        serde_json::from_slice(&message).map_err(|error| other(format!("what it says is not understood here ({error})")))?;
    if offered.version != VERSION || offered.sockets.len() != sockets.len() {
        return Err(other(format!("it speaks version {} of this protocol, and this one version {VERSION}", offered.version)));
    }
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    Ok(Some((offered, sockets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(socket: &TcpListener) -> OwnedFd {
        socket.as_fd().try_clone_to_owned().unwrap()
    }

    #[tokio::test]
    async fn sockets_are_taken_by_role_and_address_and_the_first_goes_on_where_nobody_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.sock");
        assert!(Predecessor::find(&path).await.unwrap().is_none());
        let [all, metrics] = ["127.0.0.1:0"; 2].map(|address| TcpListener::bind(address).unwrap());
        let (at, metrics_at) = (all.local_addr().unwrap(), metrics.local_addr().unwrap());
        let offer = Offer::new(&path, vec![(Role::All, again(&all)), (Role::Metrics, again(&metrics))]).unwrap();
        let (shutdown, other) = (Shutdown::new(), Shutdown::new());
        let is_beside = watch::Sender::new(false);
        let mut beside = is_beside.subscribe();
        let serving = tokio::spawn(offer.serve(shutdown.clone(), vec![other.clone()], is_beside.clone()));

        // One that ends before it is ready.
        drop(Predecessor::find(&path).await.unwrap().expect("somebody is there"));
        let mut taken = Predecessor::find(&path).await.unwrap().expect("it goes on");
        beside.wait_for(|is| *is).await.unwrap();
        assert_eq!(shutdown.stage(), crate::http::shutdown::Stage::Running);
        assert!(taken.socket(Role::Console, at).is_none() && taken.socket(Role::All, metrics_at).is_none());
        let any = SocketAddr::new(at.ip(), 0);
        assert_eq!(taken.socket(Role::All, any).unwrap().local_addr().unwrap(), at);
        assert!(taken.socket(Role::All, any).is_none(), "each is taken once");
        assert_eq!(taken.socket(Role::Metrics, metrics_at).unwrap().local_addr().unwrap(), metrics_at);
        // The new one's path is there before the old one has gone.
        let new = Offer::new(&path, vec![(Role::All, again(&all))]).unwrap();
        let mut ended = std::pin::pin!(taken.follow().await.ended());
        let following = serving.await.unwrap().expect("somebody has followed");
        assert!(*beside.borrow(), "both run");
        assert!(futures::poll!(&mut ended).is_pending(), "it has not ended");
        drop(following);
        ended.await;
        shutdown.leaving().await;
        other.draining().await;
        assert!(path.exists(), "the old one leaves the new one's socket alone");
        drop(new);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_offer_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        let listener = UnixListener::bind(&path).unwrap();
        let says = tokio::spawn(async move {
            for text in ["hello\n", r#"{"version":2,"pid":1,"sockets":[]}"#, r#"{"version":1,"pid":1,"sockets":["all"]}"#, ""] {
                let (mut link, _) = listener.accept().await.unwrap();
                link.write_all(text.as_bytes()).await.unwrap();
            }
        });
        for wanted in ["not understood", "version 2", "version 1"] {
            let error = Predecessor::find(&path).await.unwrap_err().message;
            assert!(error.contains(wanted) && error.contains("handover"), "{error}");
        }
        assert!(Predecessor::find(&path).await.unwrap().is_none(), "one that has gone");
        says.await.unwrap();
        assert!(Predecessor::find(&path).await.unwrap().is_none(), "a socket that nobody listens at");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(Offer::new(&path, Vec::new()).err().unwrap().message.contains("no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
