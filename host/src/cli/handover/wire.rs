//! What two processes say to each other while one follows the other, and how sockets get from one to the other.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net,
    },
    sync::Arc,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::{io::Interest, net::UnixStream};

/// The number of what is said here. A process that says something else is not followed.
pub(super) const VERSION: u32 = 2;

/// Sockets: for all endpoints, the metrics and the console.
const SOCKETS: usize = 3;

/// Processes that may still be ending, of which a new one is told.
pub(super) const BEFORE: usize = 16;

/// The longest message: some names.
const MESSAGE: usize = 4 << 10;

/// On Linux without a signal where nobody reads. Elsewhere there is no such flag, and no such signal: the runtime has it ignored.
#[cfg(target_os = "linux")]
const SENDING: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const SENDING: SendFlags = SendFlags::empty();

/// On Linux sockets come closed for what is started meanwhile.
#[cfg(target_os = "linux")]
const RECEIVING: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVING: RecvFlags = RecvFlags::empty();

/// A word has as many bytes as every other.
const WORD: usize = 6;

/// One of what is said after the sockets.
pub(super) type Word = [u8; WORD];

/// The new process has started up.
pub(super) const READY: Word = *b"ready\n";
/// The new process is to offer the sockets.
pub(super) const YOURS: Word = *b"yours\n";
/// One that was started later has taken over.
pub(super) const LATER: Word = *b"later\n";
/// The new process offers the sockets.
pub(super) const OFFER: Word = *b"offer\n";

/// What is said with the sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offered {
    version: u32,
    pub(super) pid: u32,
    /// What each is for, in the order in which they come.
    sockets: Vec<Role>,
    /// So many connections to processes before that one come after them.
    #[serde(default)]
    before: usize,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Role {
    /// `listen`
    All,
    /// `listen` in `[metrics]`
    Metrics,
    /// `listen` in `[console]`
    Console,
}

/// What a process is given that is to follow.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) pid: u32,
    pub(super) sockets: Vec<(Role, TcpListener)>,
    /// Connections to those before the one that gives it.
    pub(super) before: Vec<UnixStream>,
}

/// Whether this user's process is at the other end.
pub(super) fn is_own(link: &UnixStream) -> bool {
    link.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

/// Gives sockets to a process, and connections to processes that are still ending.
pub(super) async fn give(link: &UnixStream, sockets: &[(Role, OwnedFd)], before: &[Arc<UnixStream>]) -> io::Result<()> {
    let roles = sockets.iter().map(|(role, _)| *role).collect();
    let offered = Offered { version: VERSION, pid: std::process::id(), sockets: roles, before: before.len() };
    let mut message = serde_json::to_vec(&offered)?;
    message.push(b'\n');
    let descriptors: Vec<BorrowedFd<'_>> =
        sockets.iter().map(|(_, socket)| socket.as_fd()).chain(before.iter().map(|link| link.as_fd())).collect();
    let sent = link
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS + BEFORE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            Ok(sendmsg(link, &[IoSlice::new(&message)], &mut control, SENDING)?)
        })
        .await?;
    if sent < message.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

/// What is given. None: the process that was to give it has let go of it.
pub(super) async fn take(link: &UnixStream) -> io::Result<Option<Given>> {
    let mut message = vec![0; MESSAGE];
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    let got = link
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS + BEFORE))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(link, &mut [IoSliceMut::new(&mut message)], &mut control, RECEIVING)?;
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = part {
                    descriptors.extend(rights);
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
    let Offered { version, pid, sockets: roles, before } =
        serde_json::from_slice(&message).map_err(|error| other(format!("what it says is not understood here ({error})")))?;
    if version != VERSION {
        return Err(other(format!("it speaks version {version} of this protocol, and this one version {VERSION}")));
    }
    if roles.len() + before != descriptors.len() {
        return Err(other(format!("of {} sockets that it gives, {} came", roles.len() + before, descriptors.len())));
    }
    let links = descriptors.split_off(roles.len());
    let sockets: Vec<TcpListener> = descriptors.into_iter().map(TcpListener::from).collect();
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    let before = links.into_iter().map(|link| {
        let link = net::UnixStream::from(link);
        link.set_nonblocking(true)?;
        UnixStream::from_std(link)
    });
    Ok(Some(Given { pid, sockets: roles.into_iter().zip(sockets).collect(), before: before.collect::<io::Result<_>>()? }))
}

/// Says a word. False: nobody hears it.
pub(super) async fn say(link: &UnixStream, word: Word) -> bool {
    loop {
        if link.writable().await.is_err() {
            return false;
        }
        match link.try_write(&word) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It is the only one that was not read yet, so there is room for all of it.
            sent => return sent.is_ok_and(|sent| sent == WORD),
        }
    }
}

/// What the other one says, of which a part may have come already.
#[derive(Debug, Default)]
pub(super) struct Heard {
    word: Word,
    length: usize,
}

impl Heard {
    /// The next word. None: the other one says nothing more. May be given up and begun again.
    pub(super) async fn next(&mut self, link: &UnixStream) -> Option<Word> {
        while self.length < WORD {
            link.readable().await.ok()?;
            match link.try_read(self.word.get_mut(self.length..)?) {
                Ok(0) => return None,
                Ok(read) => self.length += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        self.length = 0;
        Some(self.word)
    }
}

/// Returns when the other one has ended, or lets go of the connection.
pub(super) async fn ended(link: &UnixStream) {
    let mut heard = Heard::default();
    while heard.next(link).await.is_some() {}
}
