//! The connection to Redis: made, watched over and made again by a task of its own.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    Fault, SharedStatus,
    connect::{Server, connect, probe},
    script::Call,
};
use crate::config::{OnOutage, SharedConfig};
use crate::unix_time;

/// How long until a server that is away is tried again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(3);

/// How often a connection that is not complained of is looked at.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The least time between two looks.
const PING_PAUSE: Duration = Duration::from_millis(50);

/// The connection to Redis, as it stands.
pub struct Link {
    inner: Arc<Inner>,
    /// Begins with the first who asks for something: a host that answers one call may need nothing of it.
    keeper: OnceLock<AbortHandle>,
}

struct Inner {
    config: ArcSwap<SharedConfig>,
    changed: Notify,
    state: watch::Sender<State>,
    /// A command failed: look at the connection now.
    complaint: Notify,
    answered: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone)]
struct State {
    /// The connection, or why there is none.
    now: Result<Connection, Fault>,
    /// Since when, in seconds since 1970.
    since: u64,
    /// Whether it was tried to connect.
    is_tried: bool,
}

#[derive(Clone)]
struct Connection {
    connection: MultiplexedConnection,
    server: Arc<Server>,
    /// Of all connections of this link.
    number: u64,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("redis", &self.config().redis).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl Link {
    /// Does nothing yet.
    pub(super) fn new(config: SharedConfig) -> Arc<Self> {
        let state = State { now: Err(Fault::not_yet(&config)), since: unix_time::seconds(), is_tried: false };
        let inner = Arc::new(Inner {
            config: ArcSwap::from_pointee(config),
            changed: Notify::new(),
            state: watch::Sender::new(state),
            complaint: Notify::new(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        Arc::new(Self { inner, keeper: OnceLock::new() })
    }

    /// Begins to connect, if nobody has yet.
    pub(super) fn start(&self) {
        // Ended when the link is dropped.
        self.keeper.get_or_init(|| tokio::spawn(self.inner.clone().keep()).abort_handle());
    }

    pub(super) fn config(&self) -> Guard<Arc<SharedConfig>> {
        self.inner.config.load()
    }

    pub(super) fn reconfigure(&self, config: &SharedConfig) {
        if **self.config() != *config {
            self.inner.config.store(Arc::new(config.clone()));
            self.inner.changed.notify_one();
        }
    }

    /// What all keys begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.config().prefix.clone()
    }

    /// How the connection stands.
    #[must_use]
    pub fn status(&self) -> SharedStatus {
        let (state, config) = (self.inner.state.borrow().clone(), self.config());
        let server = state.now.as_ref().ok().map(|connection| connection.server.clone());
        SharedStatus {
            state: if server.is_some() { "connected" } else { "away" },
            redis: config.redis.as_ref().map(ToString::to_string).unwrap_or_default(),
            since: state.since,
            error: state.now.err().map(|fault| fault.to_string()),
            warnings: server.as_ref().map(|server| server.warnings.clone()).unwrap_or_default(),
            server: server.map(|server| server.name.clone()),
            limits: config.limits,
            store: config.store,
            on_failure: if config.on_failure == OnOutage::Closed { "closed" } else { "open" },
            answered: self.inner.answered.load(Relaxed),
            failed: self.inner.failed.load(Relaxed),
        }
    }

    fn is_up(&self) -> bool {
        self.inner.state.borrow().now.is_ok()
    }

    /// Waits for a connection, as long as an answer may take.
    ///
    /// # Errors
    ///
    /// [`Fault`]: there is none.
    pub async fn connected(&self) -> Result<(), Fault> {
        if !self.is_up() {
            self.wait_for(|state| state.now.is_ok()).await;
        }
        self.connection().map(drop)
    }

    /// Waits until it was tried to connect once, as long as an answer may take.
    pub(super) async fn tried(&self) {
        if !self.inner.state.borrow().is_tried {
            self.wait_for(|state| state.is_tried).await;
        }
    }

    /// Waits for it, as long as an answer may take.
    async fn wait_for(&self, wanted: impl FnMut(&State) -> bool) {
        self.start();
        let (mut state, wait) = (self.inner.state.subscribe(), self.config().timeout);
        // Too late, or not at all: whoever waits looks at the state then.
        let _ = timeout(wait, state.wait_for(wanted)).await;
    }

    /// Runs a script. Fails at once where there is no connection.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(crate) async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, Fault> {
        let Connection { connection, number, .. } = self.connection()?;
        match call.run(connection).await {
            Ok(done) => {
                self.inner.answered.fetch_add(1, Relaxed);
                Ok(done)
            }
            Err(error) => {
                self.inner.failed.fetch_add(1, Relaxed);
                let fault = Fault::of(&error, &self.config());
                self.inner.failed_on(number, &fault);
                Err(fault)
            }
        }
    }

    fn connection(&self) -> Result<Connection, Fault> {
        self.inner.state.borrow().now.clone()
    }

    /// Connects once, for somebody who wants to know whether it works.
    ///
    /// # Errors
    ///
    /// [`Fault`]: what is wrong, and what to do.
    pub async fn probe(config: &SharedConfig) -> Result<Server, Fault> {
        connect(config).await.map(|(_, server)| server)
    }
}

impl Inner {
    /// Keeps a connection, for as long as this is not aborted.
    async fn keep(self: Arc<Self>) {
        let (mut retry, mut number) = (FIRST_RETRY, 0);
        loop {
            let config = self.config.load_full();
            match connect(&config).await {
                Ok((connection, server)) => {
                    (retry, number) = (FIRST_RETRY, number + 1);
                    self.is_connected(Connection { connection: connection.clone(), server: Arc::new(server), number }, &config);
                    match self.watch_over(connection, &config).await {
                        None => continue,
                        Some(fault) => self.is_away(fault, &config),
                    }
                }
                Err(fault) => self.is_away(fault, &config),
            }
            // Not all hosts at once.
            let wait = retry.mul_f64(0.5 + fastrand::f64() / 2.0);
            retry = (retry * 2).min(LAST_RETRY);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Looks at a connection again and again. Ends with why it is of no use any more; None: another one is wanted at once.
    async fn watch_over(&self, mut connection: MultiplexedConnection, config: &SharedConfig) -> Option<Fault> {
        loop {
            let complained = tokio::select! {
                () = sleep(PING_EVERY) => false,
                () = self.complaint.notified() => true,
                () = self.changed.notified() => return None,
            };
            if self.state.borrow().now.is_err() {
                // A command has found it lost: whatever a look says, nobody uses it any more.
                sleep(PING_PAUSE).await;
                return None;
            }
            let looked = if complained { probe(&connection, config).await } else { cmd("PING").query_async::<()>(&mut connection).await };
            if let Err(error) = looked {
                return Some(Fault::of(&error, config));
            }
            // Faults of single commands, as of a key that somebody else has made, are no reason to look all the time.
            sleep(PING_PAUSE).await;
        }
    }

    fn is_connected(&self, connection: Connection, config: &SharedConfig) {
        let (server, number) = (connection.server.clone(), connection.number);
        self.state.send_replace(State { now: Ok(connection), since: unix_time::seconds(), is_tried: true });
        let (redis, server_name) = (config.redis.as_ref().map(ToString::to_string).unwrap_or_default(), &server.name);
        tracing::info!(redis, server = server_name, "connected to Redis");
        if number == 1 {
            for warning in &server.warnings {
                tracing::warn!("{warning}");
            }
        }
    }

    /// Says it once, and again where it is for another reason.
    fn is_away(&self, fault: Fault, config: &SharedConfig) {
        let mut is_news = false;
        self.state.send_if_modified(|state| {
            let was_up = state.now.is_ok();
            is_news = state.now.as_ref().err() != Some(&fault);
            if was_up {
                state.since = unix_time::seconds();
            }
            if is_news {
                state.now = Err(fault.clone());
            }
            state.is_tried = true;
            is_news
        });
        if is_news {
            self.log(&fault, config);
        }
    }

    fn log(&self, fault: &Fault, config: &SharedConfig) {
        let meanwhile = match (config.limits, config.on_failure) {
            (false, _) => "",
            (true, OnOutage::Open) => "; meanwhile each instance counts calls by itself",
            (true, OnOutage::Closed) => "; meanwhile calls that `rate` or `daily` limits are denied",
        };
        tracing::warn!("{fault}{meanwhile}");
    }

    /// A command has failed on one of the connections.
    fn failed_on(&self, number: u64, fault: &Fault) {
        if fault.is_lost {
            // Who comes next need not wait to find the same.
            let is_this = self.state.send_if_modified(|state| {
                let is_this = state.now.as_ref().is_ok_and(|connection| connection.number == number);
                if is_this {
                    (state.now, state.since) = (Err(fault.clone()), unix_time::seconds());
                }
                is_this
            });
            if is_this {
                self.log(fault, &self.config.load());
            }
        }
        self.complaint.notify_one();
    }
}
