//! One connection: what it may take its time for, and how it is ended.
//!
//! A connection is watched without a timer for each request. Reads, writes and requests leave their mark in a [`ConnectionState`], which costs a few plain stores;
//! one timer a connection comes by now and then and looks how long the same mark has stood there. What is too slow is therefore ended after one to two
//! times its limit.

use std::{
    convert::Infallible,
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::Body;
use futures::task::AtomicWaker;
use http::{HeaderValue, Request, Response, Version, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};

use super::{
    guarded_body::Room,
    outgoing::Outgoing,
    stream::{self, Stream},
};

/// Bytes of a request's head. Browsers and proxies stop at 8 to 32 KiB; `traceparent`, a token and `Mcp-Param-*` headers take a few.
const MAX_HEAD: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection. RFC 9113 §5.1.2 advises 100 or more.
const MAX_STREAMS: u32 = 256;
/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const H2_PING: Duration = Duration::from_secs(30);
const H2_PONG: Duration = Duration::from_secs(20);

/// For ever, as far as a connection goes; what is longer cannot be added to a clock.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a connection may take its time for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The head of a request.
    pub(super) head: Duration,
    /// The body of a request.
    pub(super) body: Duration,
    /// Nothing, between two requests.
    pub(super) idle: Duration,
    /// To take what we write.
    pub(super) write: Duration,
    /// Without asking for anything, before it makes room for another connection where there is none.
    pub(super) silent: Duration,
}

impl Limits {
    pub(super) fn new(header_timeout: Duration) -> Self {
        Self {
            head: header_timeout.min(LONGEST),
            // 4 MiB, the usual limit of a body, at half a megabit a second.
            body: Duration::from_secs(60),
            // Longer than the pools of clients keep a connection (Go and reqwest: 90 s), so that it is the client who closes and no request is lost to it.
            idle: Duration::from_secs(120),
            write: Duration::from_secs(60),
            silent: Duration::from_secs(1),
        }
    }
}

/// Hyper's settings, the same for all connections.
pub(super) type Builder = auto::Builder<TokioExecutor>;

pub(super) fn builder() -> Builder {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Hyper has limits of its own on the number of headers (100) and the length of a path; a head that fills the buffer is answered 431.
    builder.http1().max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PONG);
    builder
}

/// What connections serve.
pub(super) trait Service: Send + Sync + 'static {
    /// Answers a request. Dropping the future means that the connection, or in HTTP/2 the request, is gone.
    fn respond(&self, request: Request<Incoming>, connection: &Connection) -> impl Future<Output = Response<Body>> + Send;

    /// Calls that run or wait now, also those whose connection is gone.
    fn in_flight(&self) -> usize;

    /// The end begins: says so to whoever asks whether it is ready.
    fn drain(&self);

    /// Ends all open streams. Called once, when the calls in flight are done or their time is over.
    fn close(&self);
}

/// What is known of a connection while it is open.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// When it was accepted.
    pub(super) since: Instant,
    /// One connection too many: it may ask for our health and nothing else.
    pub(super) over_limit: bool,
    /// It is one of those that the limit counts.
    pub(super) counts: AtomicBool,
    /// What long answers of all connections may take until they are read.
    pub(super) answers: Arc<Room>,
    /// The server ends soon: the next answer is the last on its connection.
    pub(super) leaving: Arc<AtomicBool>,
    pub(super) watch: ConnectionState,
}

/// Marks that reads, writes and requests leave. All but `closing` are written and read by the connection's own task, or counted (HTTP/2).
#[derive(Default)]
pub(super) struct ConnectionState {
    /// Grows with every change of the others.
    changes: AtomicU32,
    /// Requests whose answer is not yet there.
    answering: AtomicU32,
    /// Requests whose answer is not yet sent.
    open: AtomicU32,
    /// A request has come.
    used: AtomicBool,
    /// When the last answer was sent, in milliseconds of the connection.
    rests_from: AtomicU64,
    /// HTTP/2: bytes come at any time there, and do not mean that a request begins.
    h2: AtomicBool,
    /// The first bytes of a further request have come.
    begun: AtomicBool,
    /// The other side does not take what we write.
    stuck: AtomicBool,
    closing: AtomicBool,
    /// It is to end at once, since nothing goes on.
    ended: AtomicBool,
    waker: AtomicWaker,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Busy,
    Stuck,
    Idle,
}

impl Connection {
    /// Since when nothing has gone on: it began then, or the last answer was sent. Only where no request is open.
    pub(super) fn rests_from(&self) -> Instant {
        self.since + Duration::from_millis(self.watch.rests_from.load(Relaxed))
    }
}

impl ConnectionState {
    /// Asks the connection to end: at once where it is idle, else after the answers it owes.
    pub(super) fn close(&self) {
        self.closing.store(true, std::sync::atomic::Ordering::Release);
        self.waker.wake();
    }

    /// Ends the connection at once if nothing goes on by then, else as [`Self::close`].
    pub(super) fn end(&self) {
        self.ended.store(true, std::sync::atomic::Ordering::Release);
        self.close();
    }

    /// Requests whose answer is not yet sent.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Whether it speaks HTTP/2, as far as is known.
    pub(super) fn is_h2(&self) -> bool {
        self.h2.load(Relaxed)
    }

    /// Whether a request has come.
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    /// Requests whose answer is not yet there.
    pub(super) fn answering(&self) -> u32 {
        self.answering.load(Relaxed)
    }

    /// Ready when the connection has to go, where nothing was asked on it yet.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        let ends = self.is_closing() || self.ended.load(std::sync::atomic::Ordering::Acquire);
        if ends { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(std::sync::atomic::Ordering::Acquire)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    fn bytes_came(&self) {
        if self.open.load(Relaxed) == 0 && self.used.load(Relaxed) && !self.h2.load(Relaxed) && !self.begun.load(Relaxed) {
            self.begun.store(true, Relaxed);
            self.changed();
        }
    }

    fn written(&self, pending: bool) {
        if self.stuck.load(Relaxed) != pending {
            self.stuck.store(pending, Relaxed);
            self.changed();
        }
    }

    fn phase(&self) -> Phase {
        if self.stuck.load(Relaxed) {
            Phase::Stuck
        } else if self.open.load(Relaxed) > 0 {
            Phase::Busy
        } else if self.begun.load(Relaxed) || !self.used.load(Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }
}

/// A request whose answer is not yet sent.
struct Open(Arc<Connection>);

impl Open {
    fn new(connection: &Arc<Connection>, version: Version) -> Self {
        let watch = &connection.watch;
        watch.open.fetch_add(1, Relaxed);
        watch.used.store(true, Relaxed);
        watch.begun.store(false, Relaxed);
        if version == Version::HTTP_2 {
            watch.h2.store(true, Relaxed);
        }
        watch.changed();
        Self(connection.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.watch.rests_from.store(self.0.since.elapsed().as_millis().try_into().unwrap_or(u64::MAX), Relaxed);
        self.0.watch.open.fetch_sub(1, Relaxed);
        self.0.watch.changed();
    }
}

/// A request whose answer is not yet there.
struct Answering<'a>(&'a ConnectionState);

impl<'a> Answering<'a> {
    fn new(watch: &'a ConnectionState) -> Self {
        watch.answering.fetch_add(1, Relaxed);
        Self(watch)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Relaxed);
    }
}

/// Serves a connection to its end.
pub(super) async fn run<S: Service>(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    connection: Arc<Connection>,
    service: Arc<S>,
    limits: Limits,
    builder: Arc<Builder>,
) {
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(config) => {
            let ended = poll_fn(|cx| connection.watch.poll_end(cx));
            match Box::pin(stream::agreed(stream, config, &connection.peer, ended, limits.head)).await {
                Some(stream) => stream,
                None => return,
            }
        }
    };
    let io = TokioIo::new(Watched { stream, connection: connection.clone(), turn: Turn::default() });
    let service = service_fn(|request: Request<Incoming>| {
        let version = request.version();
        let (open, service) = (Open::new(&connection, version), Arc::clone(&service));
        async move {
            let answering = Answering::new(&open.0.watch);
            let response = service.respond(request, &open.0).await;
            drop(answering);
            let mut response = response;
            if open.0.leaving.load(Relaxed) {
                if version == Version::HTTP_2 {
                    // What came before it is answered, and what comes after it goes to another connection.
                    open.0.watch.close();
                } else {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
            }
            let room = Arc::clone(&open.0.answers);
            Ok::<_, Infallible>(response.map(|body| Outgoing::new(body, &room, version, limits.write, open)))
        }
    });
    let mut http = pin!(builder.serve_connection(io, service));
    let mut patience = IdleTracker { changes: 0, since: Instant::now() };
    let mut timer = pin!(sleep(limits.head));
    let mut closing = false;
    let watch = &connection.watch;
    poll_fn(|cx| {
        watch.waker.register(cx.waker());
        loop {
            if !closing && watch.is_closing() {
                closing = true;
                http.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(result) = http.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(peer = %connection.peer, error, "a connection failed");
                }
                return Poll::Ready(());
            }
            if closing || !watch.is_closing() {
                break;
            }
        }
        if watch.ended.load(std::sync::atomic::Ordering::Acquire) && watch.open() == 0 {
            return Poll::Ready(());
        }
        while timer.as_mut().poll(cx).is_ready() {
            match patience.look(watch, limits) {
                Ok(wait) => timer.as_mut().reset((Instant::now() + wait).into()),
                Err(Phase::Idle) if !closing => {
                    watch.close();
                    timer.as_mut().reset((Instant::now() + limits.head).into());
                }
                Err(phase) => {
                    tracing::debug!(peer = %connection.peer, ?phase, "closing a connection that was too slow");
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    })
    .await;
}

/// How long the same has been going on.
struct IdleTracker {
    changes: u32,
    since: Instant,
}

impl IdleTracker {
    /// When to look again, or what has lasted for too long.
    fn look(&mut self, watch: &ConnectionState, limits: Limits) -> Result<Duration, Phase> {
        let changes = watch.changes.load(Relaxed);
        if changes != self.changes {
            *self = Self { changes, since: Instant::now() };
        }
        let phase = watch.phase();
        let limit = match phase {
            Phase::Head => limits.head,
            Phase::Stuck => limits.write,
            Phase::Idle => limits.idle,
            Phase::Busy => return Ok(limits.head),
        };
        let left = limit.saturating_sub(self.since.elapsed());
        // Before the limit of what goes on now something stricter may have begun.
        if left.is_zero() { Err(phase) } else { Ok(left.min(limits.head)) }
    }
}

/// The socket, leaving marks.
struct Watched {
    stream: Stream,
    connection: Arc<Connection>,
    turn: Turn,
}

/// How much a connection may write before others have their turn.
///
/// The system takes megabytes in one call where a client is near, and the thread that writes them serves nobody meanwhile.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    /// Bytes of one turn: a fraction of a millisecond.
    const MOST: usize = 256 << 10;

    /// How much may be written now, or that others come first.
    fn left(&mut self, cx: &Context<'_>) -> Poll<usize> {
        match Self::MOST.checked_sub(self.0).filter(|left| *left > 0) {
            Some(left) => Poll::Ready(left),
            None => {
                self.0 = 0;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn took(&mut self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(count)) => self.0 += count,
            // Its client is slower than we are: others have their turn by that.
            _ => self.0 = 0,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.watch.bytes_came();
            // Another request: short answers never add up to a turn.
            self.turn.0 = 0;
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let left = ready!(self.turn.left(cx));
        let result = Pin::new(&mut self.stream).poll_write(cx, buf.get(..left).unwrap_or(buf));
        self.turn.took(&result);
        self.connection.watch.written(result.is_pending());
        result
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut left = ready!(self.turn.left(cx));
        let fits = |buf: &&IoSlice<'_>| {
            let fits = buf.len() <= left;
            left = left.saturating_sub(buf.len());
            fits
        };
        let whole = bufs.iter().take_while(fits).count();
        if whole == 0 {
            // Of the first, what fits.
            return self.poll_write(cx, bufs.first().map_or(&[], |buf| buf));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs.get(..whole).unwrap_or(bufs));
        self.turn.took(&result);
        self.connection.watch.written(result.is_pending());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    #[test]
    fn who_has_written_much_lets_others_come_first_once() {
        let cx = Context::from_waker(noop_waker_ref());
        let mut turn = Turn::default();
        assert_eq!(turn.left(&cx), Poll::Ready(Turn::MOST));
        turn.took(&Poll::Ready(Ok(1000)));
        assert_eq!(turn.left(&cx), Poll::Ready(Turn::MOST - 1000));
        turn.took(&Poll::Ready(Ok(Turn::MOST - 1000)));
        assert_eq!(turn.left(&cx), Poll::Pending);
        assert_eq!(turn.left(&cx), Poll::Ready(Turn::MOST));
        turn.took(&Poll::Ready(Ok(1000)));
        turn.took(&Poll::Pending);
        assert_eq!(turn.left(&cx), Poll::Ready(Turn::MOST));
    }
}
