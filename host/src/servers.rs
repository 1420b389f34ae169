//! All `[server.NAME]`, of whatever kind: started, asked how they are, changed while they run, and ended together.
//!
//! A server whose configuration changes is started anew beside the one that serves. When the new one has published what it offers, it takes the place of
//! the old one, which ends when its calls have. A new one that does not come up leaves the old one serving.

mod application;
mod imported;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use application::Application;

use crate::{
    bridge::{container::Engine, process::Program, stdio_connector::StdioConnector},
    catalog::feed::{CatalogUpdate, Inlet, Origin},
    config::{Config, ImportedServer, Replicas, ServerConfig, ServerSource},
    credentials::accounts::Accounts,
    provider::{ProviderChange, ProviderId, ProviderState, ProviderStatus, StatusSource},
    remote::mcp::Remote,
    supervisor::{
        replicas::{Interests, Policy},
        server::Server,
    },
};

/// How long a server that was replaced or removed is kept at least.
/// A call may have found it in the catalog, and not have reached it yet.
const LINGER: Duration = Duration::from_millis(500);

/// How often a server that is to end is asked whether its calls have ended.
const LOOK: Duration = Duration::from_millis(50);

/// One server, of any kind.
pub trait ManagedServer: Send + Sync {
    /// Waits until the first attempt to reach it has ended, well or badly, and what came of it was sent.
    fn settled(&self) -> BoxFuture<'_, ()>;
    /// How it is.
    fn status(&self) -> ProviderStatus;
    /// Ends what runs here for it. Nothing of it is left when this returns.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// All that are configured.
pub struct Servers {
    running: Mutex<BTreeMap<String, Arc<Running>>>,
    /// Entries of another program's file.
    imported: Mutex<Arc<BTreeMap<String, ImportedServer>>>,
    run: Run,
    engine: Arc<Engine>,
    /// Accounts that callers can have at servers elsewhere.
    accounts: Option<Arc<Accounts>>,
    queue: mpsc::Sender<CatalogUpdate>,
    generations: AtomicU64,
    settled: watch::Sender<bool>,
    /// What replaces servers and ends those that were replaced.
    tasks: TaskTracker,
    /// The host ends: nobody waits for calls any more.
    ending: CancellationToken,
}

/// One server with one configuration.
struct Running {
    config: ServerConfig,
    member: Box<dyn ManagedServer>,
    inlet: Inlet,
    /// The resources that clients subscribed to. They go from one configuration to the next.
    interests: Arc<Interests>,
    /// What serves in its place until it has published something.
    before: Mutex<Option<Arc<Self>>>,
    /// It was replaced or removed.
    retired: CancellationToken,
}

/// How long they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// As long as the host does, with as many replicas as configured.
    Serve,
    /// One replica, started once: to see what it offers, or for one call.
    Once,
}

impl Servers {
    /// Starts all of them, none waiting for another. What they offer is sent to `queue`.
    #[must_use]
    pub async fn start(config: &Config, run: Run, queue: mpsc::Sender<CatalogUpdate>, accounts: Option<Arc<Accounts>>) -> Arc<Self> {
        let servers = Arc::new(Self {
            running: Mutex::default(),
            imported: Mutex::default(),
            run,
            engine: Engine::new(config.host.container_engine.clone()),
            accounts,
            queue,
            generations: AtomicU64::new(0),
            settled: watch::Sender::new(false),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        });
        servers.apply(config).await;
        servers
    }

    /// Starts, replaces and ends servers, so that those of the configuration run and no others. A server whose configuration is the same is not touched.
    /// Entries of another program's file that cannot be served are among the statuses, with the reason.
    pub async fn apply(self: &Arc<Self>, config: &Config) {
        let wanted = &config.server;
        imported::log(&self.imported(), &config.imported);
        *self.lock_imported() = Arc::new(config.imported.clone());
        // First of all the names: what a server offers is published under them only.
        let names: BTreeSet<String> = wanted.keys().cloned().collect();
        if self.queue.send(CatalogUpdate::Servers(names)).await.is_err() || self.ending.is_cancelled() {
            return;
        }
        let mut running = self.lock();
        let gone: Vec<(String, Arc<Running>)> = running.extract_if(.., |name, _| !wanted.contains_key(name)).collect();
        for (name, server) in gone {
            tracing::info!(server = name, "server removed");
            let before = server.take_before();
            self.retire(server);
            before.into_iter().for_each(|before| self.retire(before));
        }
        for (name, config) in wanted {
            let current = running.get(name);
            if current.is_some_and(|current| current.config == *config) {
                continue;
            }
            // Names were checked with the configuration.
            let Ok(id) = ProviderId::new(name.as_str()) else { continue };
            let interests = current.map(|current| current.interests.clone()).unwrap_or_default();
            let next = self.start_one(id, config, interests);
            if let Some(current) = running.insert(name.clone(), Arc::clone(&next)) {
                tracing::info!(server = name, "the configuration of the server has changed: it is started anew");
                self.replace(current, next);
            }
        }
    }

    /// Starts a server anew beside the one that serves, as if its configuration had changed. False: there is none of that name.
    pub fn restart(self: &Arc<Self>, name: &str) -> bool {
        let mut running = self.lock();
        let Some(current) = running.get(name).filter(|_| !self.ending.is_cancelled()) else { return false };
        let Ok(id) = ProviderId::new(name) else { return false };
        let next = self.start_one(id, &current.config, current.interests.clone());
        if let Some(current) = running.insert(name.to_owned(), Arc::clone(&next)) {
            tracing::info!(server = name, "server restarted by an operator");
            self.replace(current, next);
        }
        true
    }

    fn start_one(&self, id: ProviderId, config: &ServerConfig, interests: Arc<Interests>) -> Arc<Running> {
        let generation = self.generations.fetch_add(1, Relaxed) + 1;
        let (changes, inlet) = Inlet::open(Origin::Server(generation), self.queue.clone());
        let member = start(id, config, &self.engine, self.accounts.as_deref(), self.run, interests.clone(), changes);
        Arc::new(Running { config: config.clone(), member, inlet, interests, before: Mutex::default(), retired: CancellationToken::new() })
    }

    /// Puts a server in the place of another one, as soon as it has something to offer.
    fn replace(self: &Arc<Self>, current: Arc<Running>, next: Arc<Running>) {
        // One that has nothing to offer yet is of no use; what it was to replace goes on.
        let before = if current.inlet.is_published() {
            if let Some(before) = current.take_before() {
                self.retire(before);
            }
            Some(current)
        } else {
            let before = current.take_before();
            self.retire(current);
            before
        };
        *next.lock_before() = before;
        let servers = Arc::clone(self);
        self.tasks.spawn(async move {
            let published = async { next.inlet.published().await && next.inlet.barrier().await };
            tokio::select! {
                _ = published => {}
                // It has itself been replaced or removed, and whoever did that has seen to the one before.
                () = next.retired.cancelled() => return,
                () = servers.ending.cancelled() => return,
            }
            if let Some(before) = next.take_before() {
                servers.retire(before);
            }
        });
    }

    /// Ends a server when its calls have ended.
    fn retire(self: &Arc<Self>, server: Arc<Running>) {
        server.retired.cancel();
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            let calls = async {
                let deadline = Instant::now() + server.config.limits.call;
                sleep(LINGER).await;
                while Instant::now() < deadline {
                    let ProviderStatus { in_flight, queued, .. } = server.member.status();
                    if in_flight + queued == 0 {
                        return;
                    }
                    sleep(LOOK).await;
                }
            };
            tokio::select! {
                () = calls => {}
                () = ending.cancelled() => {}
            }
            server.member.stop().await;
        });
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether one of them has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// Waits for the first attempt of each, but no longer than `within`: one that hangs does not hold up the others. What came of it is in the catalog then.
    pub async fn settled(&self, within: Duration) {
        let running = self.all();
        let each = running.iter().map(|server| async move {
            server.member.settled().await;
            server.inlet.barrier().await;
        });
        let _ = tokio::time::timeout(within, join_all(each)).await;
        self.settled.send_replace(true);
    }

    /// Ends all of them at the same time. Nothing of them is left when this returns.
    pub async fn stop(&self) {
        self.ending.cancel();
        let running = std::mem::take(&mut *self.lock());
        let before: Vec<_> = running.values().filter_map(|server| server.take_before()).collect();
        join_all(running.values().chain(&before).map(|server| server.member.stop())).await;
        self.tasks.close();
        self.tasks.wait().await;
        self.engine.close().await;
    }

    fn lock_imported(&self) -> MutexGuard<'_, Arc<BTreeMap<String, ImportedServer>>> {
        self.imported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn imported(&self) -> Arc<BTreeMap<String, ImportedServer>> {
        Arc::clone(&self.lock_imported())
    }

    fn all(&self) -> Vec<Arc<Running>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn lock_before(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_before(&self) -> Option<Arc<Self>> {
        self.lock_before().take()
    }

    /// How it is. Where it does not serve yet, and the one before does, that is told too.
    fn status(&self) -> ProviderStatus {
        let mut status = self.member.status();
        let before = self.lock_before().clone();
        if let Some(before) = before.filter(|_| !self.inlet.is_published()) {
            let before = before.member.status();
            status.state = ProviderState::ServingPrevious;
            (status.tools, status.offers, status.warnings) = (before.tools, before.offers, before.warnings);
            status.in_flight += before.in_flight;
            status.queued += before.queued;
        }
        status
    }
}

impl StatusSource for Servers {
    fn statuses(&self) -> Vec<ProviderStatus> {
        let mut statuses: Vec<ProviderStatus> = self.all().iter().map(|server| server.status()).collect();
        imported::add(&mut statuses, &self.imported());
        statuses
    }

    fn ready(&self) -> bool {
        *self.settled.borrow() || self.is_empty()
    }

    fn until_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if !self.ready() {
                // The sender is `self`, which is still here.
                let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
            }
        })
    }
}

/// Starts one server of its kind. A new kind has its line here.
fn start(
    id: ProviderId,
    config: &ServerConfig,
    engine: &Arc<Engine>,
    accounts: Option<&Accounts>,
    run: Run,
    interests: Arc<Interests>,
    changes: mpsc::Sender<Vec<ProviderChange>>,
) -> Box<dyn ManagedServer> {
    let mut config = config.clone();
    let mut policy = Policy::default();
    if run == Run::Once {
        config.replicas = Replicas { min: 1, max: 1, ..config.replicas };
        // Nobody waits for a second try.
        (policy.backoff, policy.longest_backoff) = (Duration::from_secs(3600), Duration::from_secs(3600));
    }
    match &config.source {
        ServerSource::Command(source) => {
            let reach = StdioConnector::new(id.clone(), Box::new(Program::new(source.clone())), config.limits);
            Box::new(Server::start(id, Box::new(reach), &config, policy, interests, changes))
        }
        ServerSource::Image(source) => {
            let image = engine.image(id.as_str(), source.clone());
            let reach = StdioConnector::new(id.clone(), Box::new(image), config.limits);
            Box::new(Server::start(id, Box::new(reach), &config, policy, interests, changes))
        }
        ServerSource::Url(source) => {
            // There is one connection, and it is tried again sooner than a program is started again.
            policy.longest_open = policy.open;
            let reach = Remote::with_accounts(id.clone(), source, config.limits, accounts);
            let config = ServerConfig { replicas: Replicas { min: 1, max: 1, ..config.replicas }, ..config.clone() };
            Box::new(Server::start(id, Box::new(reach), &config, policy, interests, changes))
        }
        ServerSource::OpenApi(source) => Box::new(Application::start(id, source, &config, run, changes)),
    }
}

impl ManagedServer for Server {
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::settled(self))
    }

    fn status(&self) -> ProviderStatus {
        Self::status(self)
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::stop(self))
    }
}
