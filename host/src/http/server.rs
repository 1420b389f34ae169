//! The server's life: takes connections until it is asked to end, and then ends in good order.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    connection::{self, Builder, Connection, LONGEST, Limits, Service, Watch},
    shutdown::Shutdown,
};

/// Connections beyond `max_connections` that are told so, and on which health may be asked. Any more are closed without a word.
const SURPLUS: usize = 64;
/// How long to wait when the system has nothing left to accept with; the connections that end meanwhile give something back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The same trouble is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How often the calls in flight are counted at the end.
const COUNT_EVERY: Duration = Duration::from_millis(10);
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
    pub(super) limits: Limits,
    pub(super) max_connections: usize,
    /// How long calls in flight may take to end.
    pub(super) drain: Duration,
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
    let mut server = Server::new(service, &options);
    tokio::select! {
        biased;
        () = shutdown.draining() => {}
        () = server.accept(&listener) => {}
    }
    drop(listener);
    tokio::select! {
        biased;
        () = shutdown.forced() => {
            tracing::warn!(connections = server.open.len(), "ended at once");
        }
        () = server.drain() => {}
    }
    // What is left is dropped here.
    server.connections.shutdown().await;
    Ok(())
}

struct Server<S> {
    service: Arc<S>,
    limits: Limits,
    builder: Arc<Builder>,
    room: Arc<Semaphore>,
    surplus: Arc<Semaphore>,
    max_connections: usize,
    drain: Duration,
    connections: JoinSet<()>,
    open: HashMap<Id, Arc<Connection>>,
    full: Grumble,
    refused: Grumble,
}

impl<S: Service> Server<S> {
    fn new(service: Arc<S>, options: &Options) -> Self {
        let max_connections = options.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            builder: Arc::new(connection::builder()),
            room: Arc::new(Semaphore::new(max_connections)),
            surplus: Arc::new(Semaphore::new(SURPLUS)),
            max_connections,
            drain: options.drain.min(LONGEST),
            service,
            limits: options.limits,
            connections: JoinSet::new(),
            open: HashMap::new(),
            full: Grumble::default(),
            refused: Grumble::default(),
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
        let Some((permit, surplus)) = self.permit() else { return };
        // An answer in two writes would wait for the client's delayed acknowledgement: 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let connection = Arc::new(Connection { peer, surplus, watch: Watch::default() });
        let run = connection::run(stream, connection.clone(), self.service.clone(), self.limits, self.builder.clone());
        let task = self.connections.spawn(async move {
            run.await;
            drop(permit);
        });
        self.open.insert(task.id(), connection);
    }

    /// Room for one more connection, and whether it is one too many. None: there is not even room to say so.
    fn permit(&mut self) -> Option<(OwnedSemaphorePermit, bool)> {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            return Some((permit, false));
        }
        let max = self.max_connections;
        self.full.say(|| tracing::warn!("{max} connections are open: more are refused; max_connections in [http] allows more"));
        Some((self.surplus.clone().try_acquire_owned().ok()?, true))
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection panicked and is closed; the server goes on");
                }
                error.id()
            }
        };
        self.open.remove(&id);
    }

    /// Lets everything end, in its time.
    async fn drain(&mut self) {
        let deadline = Instant::now() + self.drain;
        self.service.drain();
        for connection in self.open.values() {
            connection.watch.close();
        }
        let calls = self.calls();
        tracing::info!(connections = self.open.len(), calls, "ending: calls in flight have {:?}", self.drain);
        while self.calls() > 0 && Instant::now() < deadline {
            let next = (Instant::now() + COUNT_EVERY).min(deadline);
            tokio::select! {
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                () = sleep_until(next) => {}
            }
        }
        let left = self.calls();
        if left > 0 {
            tracing::warn!(calls = left, "the time to end is over; calls in flight are given up: drain in [http] gives them more");
        }
        self.service.close();
        let last = deadline.max(Instant::now() + GOODBYE);
        let last = if left > 0 { Instant::now() + GOODBYE } else { last };
        while let Ok(Some(ended)) = timeout_at(last, self.connections.join_next_with_id()).await {
            self.ended(ended);
        }
        if !self.open.is_empty() {
            tracing::warn!(connections = self.open.len(), "connections that did not end are cut");
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
struct Grumble(Option<Instant>);

impl Grumble {
    fn say(&mut self, what: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            self.0 = Some(Instant::now());
            what();
        }
    }
}
