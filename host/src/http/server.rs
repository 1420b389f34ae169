//! The server's life: takes connections until it is asked to end, and then ends in good order.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::descriptors;

use super::{
    connection::{self, Builder, Connection, ConnectionState, LONGEST, Limits, Service},
    guarded_body::Room,
    shutdown::{Shutdown, Stage},
};

/// Connections beyond `max_connections` that are told so, and on which health may be asked. Of more, the oldest goes: who asks for health asks at once.
const SURPLUS: usize = 64;
/// How long to wait when the system has nothing left to accept with; the connections that end meanwhile give something back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The same trouble is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How often the calls in flight are counted at the end.
const COUNT_EVERY: Duration = Duration::from_millis(10);
/// A connection that is younger and has not asked for anything may be about to: it gets this long at the end.
const FRESH: Duration = Duration::from_millis(250);
/// What streams get to say goodbye after they were closed, even where the time for calls is over.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener does not know where it listens.
    #[error("cannot find out the address that the server listens on: {0}; start it again")]
    Address(#[source] io::Error),
}

/// How a server is to behave.
pub(super) struct Options {
    /// What a new connection may take its time for.
    pub(super) limits: Box<dyn Fn() -> Limits + Send + Sync>,
    pub(super) max_connections: usize,
    /// Bytes of long answers that may wait to be read.
    pub(super) max_answers: usize,
    /// How long the end is announced before it begins, at that stage. Asked for at the end.
    pub(super) lame_duck: Box<dyn Fn(Stage) -> Duration + Send + Sync>,
    /// How long calls in flight may take to end. Asked for at the end.
    pub(super) drain: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Told how many connections are open.
    pub(super) opened: Box<dyn Fn(usize) + Send + Sync>,
    /// How a new connection is encrypted, if it is.
    pub(super) tls: Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>,
}

/// Serves a service until `shutdown` asks for the end.
///
/// # Errors
///
/// [`ServeError`], before the first connection is taken.
pub(super) async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    options: Options,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Address)?;
    tracing::info!(%address, "serving");
    // On the workers: taken by whoever waits for this, each connection would cost two switches between threads.
    let task = AbortOnDropHandle::new(tokio::spawn(run(listener, Server::new(service, options), shutdown)));
    match task.await {
        Ok(()) => Ok(()),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it everything that was served.
            Err(_) => Ok(()),
        },
    }
}

async fn run<S: Service>(listener: TcpListener, mut server: Server<S>, shutdown: Shutdown) {
    tokio::select! {
        biased;
        () = shutdown.leaving() => {}
        () = server.accept(&listener) => {}
    }
    server.leave();
    let stage = shutdown.stage();
    if stage == Stage::HandedOver {
        // Whoever waits in its queue is taken by the other process, which has the same one.
        drop(listener);
        let announced = (server.lame_duck)(stage);
        tracing::info!("connections are closed after their next answer, for {announced:?} at most");
        tokio::select! {
            biased;
            () = shutdown.draining() => {}
            () = sleep(announced.min(LONGEST)) => {}
            () = server.until_unused() => {}
        }
        shutdown.drain();
        server.end(&shutdown).await;
        return;
    }
    let announced = if stage == Stage::LameDuck { (server.lame_duck)(stage) } else { Duration::ZERO };
    if !announced.is_zero() {
        tracing::info!(
            "/readyz answers 503 and connections are closed after their next answer; new connections are accepted for {announced:?} more, as lame_duck in [http] says"
        );
        tokio::select! {
            biased;
            () = shutdown.draining() => {}
            () = sleep(announced.min(LONGEST)) => {}
            () = server.accept(&listener) => {}
        }
    }
    shutdown.drain();
    for (stream, peer) in waiting(listener) {
        server.take(stream, peer);
    }
    server.end(&shutdown).await;
}

/// What the system has accepted and nobody has taken yet, which would be reset with the listener. The system itself is asked: the runtime asks it only when it
/// has heard of a connection, which it may be too busy for.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let mut found = Vec::new();
    let Ok(listener) = listener.into_std() else { return found };
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                    found.push((stream, peer));
                }
            }
            Err(error) if is_connections_own(&error) => {}
            Err(_) => return found,
        }
    }
}

struct Server<S> {
    service: Arc<S>,
    limits: Box<dyn Fn() -> Limits + Send + Sync>,
    builder: Arc<Builder>,
    max_connections: usize,
    lame_duck: Box<dyn Fn(Stage) -> Duration + Send + Sync>,
    drain: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Whether the end has been announced.
    leaving: Arc<AtomicBool>,
    opened: Box<dyn Fn(usize) + Send + Sync>,
    tls: Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>,
    connections: JoinSet<()>,
    open: HashMap<Id, Arc<Connection>>,
    /// How many of them count: not those beyond the limit, and not those that were told to go.
    counted: usize,
    /// Those beyond the limit, the oldest first.
    over_limit: VecDeque<(Id, AbortHandle)>,
    /// What long answers may take until they are read.
    answers: Arc<Room>,
    full: ThrottledLog,
    refused: ThrottledLog,
}

impl<S: Service> Server<S> {
    fn new(service: Arc<S>, options: Options) -> Self {
        // Half of what this process may have open: the rest is for those who answer them.
        let max_connections = options.max_connections.min(descriptors::limit() / 2).max(1);
        if max_connections < options.max_connections {
            tracing::warn!(
                "the system allows {} open files: {max_connections} connections are taken, and not {} as max_connections in [http] says; raise `ulimit -n`",
                descriptors::limit(),
                options.max_connections
            );
        }
        Self {
            builder: Arc::new(connection::builder()),
            max_connections,
            lame_duck: options.lame_duck,
            drain: options.drain,
            leaving: Arc::default(),
            opened: options.opened,
            tls: options.tls,
            service,
            limits: options.limits,
            connections: JoinSet::new(),
            open: HashMap::new(),
            counted: 0,
            answers: Room::new(options.max_answers),
            over_limit: VecDeque::new(),
            full: ThrottledLog::default(),
            refused: ThrottledLog::default(),
        }
    }

    /// Takes connections, for ever.
    async fn accept(&mut self, listener: &TcpListener) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) if is_connections_own(&error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
                    Err(error) => {
                        self.refused.say(|| tracing::error!(
                            %error,
                            "cannot accept connections; where it says too many open files, raise `ulimit -n` or lower max_connections in [http]"
                        ));
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let over_limit = self.counted >= self.max_connections && !self.end_an_idle_one();
        if over_limit {
            let max = self.max_connections;
            self.full.say(|| {
                tracing::warn!(
                    "connection limit reached: {max} connections are busy and more are rejected; raise max_connections in [http]"
                )
            });
            if self.over_limit.len() >= SURPLUS && !self.end_the_oldest_surplus() {
                return;
            }
        }
        // An answer in two writes would wait for the client's delayed acknowledgement: 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let connection = Arc::new(Connection {
            peer,
            since: std::time::Instant::now(),
            over_limit,
            counts: AtomicBool::new(!over_limit),
            answers: self.answers.clone(),
            leaving: self.leaving.clone(),
            watch: ConnectionState::default(),
        });
        let run = connection::run(stream, (self.tls)(), connection.clone(), self.service.clone(), (self.limits)(), self.builder.clone());
        let task = self.connections.spawn(run);
        if over_limit {
            self.over_limit.push_back((task.id(), task.clone()));
        } else {
            self.counted += 1;
        }
        self.open.insert(task.id(), connection);
        (self.opened)(self.open.len());
    }

    /// Makes room by ending a connection on which nothing goes on: first one that never asked for anything, else the one whose last answer is longest ago.
    /// False: all are busy, or were a moment ago, so that their next request may be on its way. Whoever is there keeps its place: else who only
    /// connects could drive out all who call, however often they do.
    fn end_an_idle_one(&mut self) -> bool {
        let enough = (self.limits)().silent;
        let idle = self.open.values().filter(|connection| connection.counts.load(Relaxed) && connection.watch.open() == 0);
        let silent = idle.filter(|connection| connection.rests_from().elapsed() >= enough);
        let Some(goes) = silent.min_by_key(|connection| (connection.watch.was_used(), connection.rests_from())) else { return false };
        tracing::debug!(peer = %goes.peer, "an idle connection makes room for another");
        goes.counts.store(false, Relaxed);
        self.counted -= 1;
        goes.watch.end();
        true
    }

    fn end_the_oldest_surplus(&mut self) -> bool {
        let answers = |id: &Id| self.open.get(id).is_some_and(|connection| connection.watch.answering() > 0);
        let Some(at) = self.over_limit.iter().position(|(id, _)| !answers(id)) else { return false };
        if let Some((_, task)) = self.over_limit.remove(at) {
            task.abort();
        }
        true
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection handler panicked; the connection is closed");
                }
                error.id()
            }
        };
        if self.open.remove(&id).is_some_and(|connection| connection.counts.load(Relaxed)) {
            self.counted -= 1;
        }
        self.over_limit.retain(|(other, _)| *other != id);
        (self.opened)(self.open.len());
    }

    /// Says that the end is near: to probes, and on each connection by its next answer.
    fn leave(&mut self) {
        self.service.drain();
        self.leaving.store(true, Relaxed);
        for connection in self.open.values().filter(|connection| connection.watch.is_h2()) {
            connection.watch.close();
        }
    }

    /// Asks connections to end after what they owe. False: some may be about to ask for something.
    fn close_connections(&self, fresh_too: bool) -> bool {
        let is_fresh = |connection: &Connection| !connection.watch.was_used() && connection.since.elapsed() < FRESH;
        let mut all = true;
        for connection in self.open.values() {
            if fresh_too || !is_fresh(connection) {
                connection.watch.close();
            } else {
                all = false;
            }
        }
        all
    }

    /// Returns when no connection is left.
    async fn until_unused(&mut self) {
        while let Some(ended) = self.connections.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Lets everything end, unless that has to be at once.
    async fn end(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.forced() => {
                tracing::warn!(connections = self.open.len(), "ended at once");
            }
            () = self.drain() => {}
        }
        // What is left is dropped here.
        self.connections.shutdown().await;
    }

    /// Lets everything end, in its time.
    async fn drain(&mut self) {
        let drain = (self.drain)().min(LONGEST);
        let deadline = Instant::now() + drain;
        let fresh = (Instant::now() + FRESH).min(deadline);
        let mut all_asked = self.close_connections(false);
        let calls = self.calls();
        tracing::info!(connections = self.open.len(), calls, "ending: calls in flight have {drain:?}");
        while (self.calls() > 0 || !all_asked) && Instant::now() < deadline {
            if !all_asked {
                all_asked = self.close_connections(Instant::now() >= fresh);
            }
            let next = (Instant::now() + COUNT_EVERY).min(deadline);
            tokio::select! {
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                () = sleep_until(next) => {}
            }
        }
        let left = self.calls();
        if left > 0 {
            tracing::warn!(calls = left, "shutdown timeout: cancelling calls in flight; drain in [http] sets how long they may take");
        }
        self.close_connections(true);
        self.service.close();
        let last = deadline.max(Instant::now() + GOODBYE);
        let last = if left > 0 { Instant::now() + GOODBYE } else { last };
        while let Ok(Some(ended)) = timeout_at(last, self.connections.join_next_with_id()).await {
            self.ended(ended);
        }
        if !self.open.is_empty() {
            tracing::warn!(connections = self.open.len(), "closing connections that did not end");
        }
    }

    /// Calls in flight: those that the endpoint counts, and those that are still on their way to or from it.
    fn calls(&self) -> usize {
        let here: usize = self.open.values().map(|connection| connection.watch.answering() as usize).sum();
        here.max(self.service.in_flight())
    }
}

/// Errors of `accept` that concern one connection and not us.
fn is_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says the same thing only now and then.
#[derive(Default)]
struct ThrottledLog(Option<Instant>);

impl ThrottledLog {
    fn say(&mut self, what: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            self.0 = Some(Instant::now());
            what();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_the_runtime_has_not_heard_of_is_taken_before_the_listener_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // It has asked the system, and waits to hear from it.
        assert!(futures::poll!(std::pin::pin!(listener.accept())).is_pending());
        // Connected by the system, while this thread does nothing else.
        let clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        let mut peers: Vec<_> = waiting(listener).into_iter().map(|(_, peer)| peer).collect();
        let mut expected = clients.each_ref().map(|client| client.local_addr().unwrap());
        peers.sort();
        expected.sort();
        assert_eq!(peers, expected);
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}
