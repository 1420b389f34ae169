//! What the bytes of a connection go through: the socket as it is, or TLS on it.

use std::{
    fmt::Display,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// One of the two.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The stream once both ends have agreed on how it is encrypted. None: they did not, or not in this time, or the connection has to go, which `ended` tells.
pub(super) async fn agreed(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    peer: &impl Display,
    ended: impl Future<Output = ()>,
    time: Duration,
) -> Option<Stream> {
    let agreed = tokio::select! {
        biased;
        agreed = timeout(time, TlsAcceptor::from(config).accept(stream)) => agreed,
        () = ended => return None,
    };
    match agreed {
        Ok(Ok(stream)) => return Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => tracing::debug!(peer = %peer, %error, "a connection failed to agree on TLS"),
        Err(_) => tracing::debug!(peer = %peer, "closing a connection that was too slow to agree on TLS"),
    }
    None
}

/// Does the same with either.
macro_rules! either {
    ($stream:expr, $io:ident => $what:expr) => {
        match $stream {
            Stream::Plain($io) => $what,
            Stream::Tls($io) => $what,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut *self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        either!(&mut *self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, io => io.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, io => Pin::new(io).poll_shutdown(cx))
    }
}
