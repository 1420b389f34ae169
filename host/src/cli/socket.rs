//! A listening socket that a service manager opened and passed to us, as systemd does for a `.socket` unit.
//!
//! It stays open while one version of this program follows another: who connects in between waits, and is not
//! refused.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::Failure;

/// Says how it is set up.
const ADVICE: &str = "pass one listening TCP socket: one ListenStream= with an address and a port in the .socket unit, and no Accept=yes";

/// The socket.
#[derive(Debug)]
pub(super) struct Passed {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Passed {
    /// Takes it, where there is one: `LISTEN_FDS` and `LISTEN_PID`, see sd_listen_fds(3).
    pub(super) fn take() -> Result<Option<Self>, Failure> {
        let mut sockets = ListenFd::from_env();
        if sockets.len() > 1 {
            return Err(Failure::usage(format!("LISTEN_FDS passes {} sockets: {ADVICE}", sockets.len())));
        }
        let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot use the socket of LISTEN_FDS: {error}; {ADVICE}"));
        let Some(listener) = sockets.take_tcp_listener(0).map_err(|error| wrong(&error))? else { return Ok(None) };
        let address = listener.local_addr().map_err(|error| wrong(&error))?;
        if listener.take_error().map_err(|error| wrong(&error))?.is_some() || address.port() == 0 {
            return Err(wrong(&"it does not listen"));
        }
        listener.set_nonblocking(true).map_err(|error| wrong(&error))?;
        Ok(Some(Self { listener, address }))
    }

    /// The socket, for the runtime that this is called in.
    pub(super) fn into_listener(self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }
}
