//! The connection to Redis: made, watched over and made again by a task of its own.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, Guard};
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisResult, TlsCertificates, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{Fault, Script, SharedStatus};
use crate::{
    config::{OnOutage, SharedConfig},
    tls,
};

/// How long until a server that is away is tried again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(3);

/// How often a connection that is not complained of is looked at.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The least time between two looks.
const PING_PAUSE: Duration = Duration::from_millis(50);

/// What a connection has to be able to do: what all scripts do.
const PROBE: &str = "return redis.call('SET', KEYS[1], '1', 'PX', 10000)";

/// What answers at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `redis 7.0.15`.
    pub name: String,
    /// What may go wrong there.
    pub warnings: Vec<String>,
}

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
        let state = State { now: Err(Fault::not_yet(&config)), since: now(), is_tried: false };
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

    /// Does something with the connection. Fails at once where there is none.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) async fn command<T>(&self, work: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>) -> Result<T, Fault> {
        let Connection { connection, number, .. } = self.connection()?;
        match work(connection).await {
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
        self.state.send_replace(State { now: Ok(connection), since: now(), is_tried: true });
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
                state.since = now();
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
            (true, OnOutage::Open) => "; meanwhile each host counts calls by itself",
            (true, OnOutage::Closed) => "; meanwhile calls that `rate` or `daily` limits are refused",
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
                    (state.now, state.since) = (Err(fault.clone()), now());
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

/// A connection that works, and what answers there.
async fn connect(config: &SharedConfig) -> Result<(MultiplexedConnection, Server), Fault> {
    tls::install();
    let limit = config.connect_timeout;
    let connecting = async {
        let client =
            client(config).map_err(|error| Fault::of(&error, config))?.ok_or_else(|| Fault::unusable(config, "`redis` is not set"))?;
        let options = AsyncConnectionConfig::new().set_response_timeout(Some(config.timeout)).set_connection_timeout(Some(limit));
        let failed = |error: redis::RedisError| Fault::of(&error, config);
        let mut connection = client.get_multiplexed_async_connection_with_config(&options).await.map_err(failed)?;
        cmd("PING").query_async::<()>(&mut connection).await.map_err(failed)?;
        let server = server(&mut connection, config).await;
        probe(&connection, config).await.map_err(failed)?;
        Ok((connection, server))
    };
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(Fault::no_connection_within(config, limit)))
}

async fn probe(connection: &MultiplexedConnection, config: &SharedConfig) -> RedisResult<()> {
    let script = Script::new(PROBE);
    script.with_keys([format!("{}:probe", config.prefix)]).run_on::<()>(connection.clone()).await
}

fn client(config: &SharedConfig) -> RedisResult<Option<Client>> {
    let Some(url) = &config.redis else { return Ok(None) };
    let mut info = url.url().clone().into_connection_info()?;
    let mut settings = info.redis_settings().clone().set_lib_name("toolbay", env!("CARGO_PKG_VERSION"));
    if let Some(password) = &config.password {
        settings = settings.set_password(&password.0);
    }
    info = info.set_redis_settings(settings);
    match &config.tls_ca {
        None => Client::open(info),
        Some(ca) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca.bytes().to_vec()) }),
    }
    .map(Some)
}

/// What the server says of itself. One that does not say it is as good.
async fn server(connection: &mut MultiplexedConnection, config: &SharedConfig) -> Server {
    let info: String = cmd("INFO").query_async(connection).await.unwrap_or_default();
    let value = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let name = match (value("valkey_version"), value("redis_version")) {
        (Some(version), _) => format!("valkey {version}"),
        (None, Some(version)) => format!("redis {version}"),
        (None, None) => "unknown".to_owned(),
    };
    let mut warnings = Vec::new();
    let place = config.redis.as_ref().map(ToString::to_string).unwrap_or_default();
    let limited = value("maxmemory").is_some_and(|bytes| bytes != "0");
    if let Some(policy) = value("maxmemory_policy").filter(|policy| limited && policy.starts_with("allkeys") && config.store) {
        warnings.push(format!(
            "Redis at {place} throws away what plugins keep when its memory is full (maxmemory-policy {policy}); set maxmemory-policy noeviction there"
        ));
    }
    if config.store && value("aof_enabled") == Some("0") {
        warnings.push(format!(
            "Redis at {place} has no append-only file: when it crashes, what plugins have kept last is lost; set appendonly yes there"
        ));
    }
    Server { name, warnings }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
