//! All `[server.NAME]`, of whatever kind: started, asked how they are, and ended together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use futures::future::{BoxFuture, join_all};
use tokio::sync::mpsc;

use crate::{
    bridge::{
        process::Program,
        replicas::Policy,
        server::{Server, Started},
    },
    config::{Config, Replicas, ServerConfig, ServerSource},
    provider::{OfferNames, ProviderChange, ProviderId, ProviderState, ProviderStatus, StatusSource},
    remote::{app::App, mcp::Remote},
};

/// One server, of any kind.
pub trait Member: Send + Sync {
    /// Waits until the first attempt to reach it has ended, well or badly, and what came of it was sent to the catalog.
    fn settled(&self) -> BoxFuture<'_, ()>;
    /// How it is.
    fn status(&self) -> ProviderStatus;
    /// Ends what runs here for it. Nothing of it is left when this returns.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// All that are configured.
pub struct Servers {
    members: BTreeMap<String, Box<dyn Member>>,
    settled: AtomicBool,
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
    /// Starts all of them, none waiting for another. What they offer is sent to `changes`.
    #[must_use]
    pub fn start(config: &Config, run: Run, changes: &mpsc::Sender<Vec<ProviderChange>>) -> Arc<Self> {
        let members = config.server.iter().filter_map(|(name, server)| {
            // Names were checked with the configuration.
            let id = ProviderId::new(name.as_str()).ok()?;
            Some((name.clone(), start(id, server, run, changes.clone())))
        });
        Arc::new(Self { members: members.collect(), settled: AtomicBool::new(false) })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one of them has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Waits for the first attempt of each, but no longer than `within`: one that hangs does not hold up the others.
    pub async fn settled(&self, within: Duration) {
        let all = join_all(self.members.values().map(|member| member.settled()));
        let _ = tokio::time::timeout(within, all).await;
        self.settled.store(true, Relaxed);
    }

    /// Ends all of them at the same time. Nothing of them is left when this returns.
    pub async fn stop(&self) {
        join_all(self.members.values().map(|member| member.stop())).await;
    }
}

impl StatusSource for Servers {
    fn statuses(&self) -> Vec<ProviderStatus> {
        self.members.values().map(|member| member.status()).collect()
    }

    fn ready(&self) -> bool {
        self.members.is_empty() || self.settled.load(Relaxed)
    }
}

/// Starts one server of its kind. A new kind has its line here.
fn start(id: ProviderId, config: &ServerConfig, run: Run, changes: mpsc::Sender<Vec<ProviderChange>>) -> Box<dyn Member> {
    let mut config = config.clone();
    let mut policy = Policy::default();
    if run == Run::Once {
        config.replicas = Replicas { min: 1, max: 1, ..config.replicas };
        // Nobody waits for a second try.
        (policy.backoff, policy.longest_backoff) = (Duration::from_secs(3600), Duration::from_secs(3600));
    }
    match config.source.clone() {
        ServerSource::Command(source) => {
            let reach = Started::new(id.clone(), Box::new(Program::new(source)), config.limits);
            Box::new(Server::start(id, Box::new(reach), &config, policy, changes))
        }
        ServerSource::Image(source) => Box::new(Unknown { id, kind: "bridge", source: source.image, what: "container images" }),
        ServerSource::Url(source) => {
            // There is one connection, whatever is configured, and it is tried again sooner than a program is started again.
            config.replicas = Replicas { min: 1, max: 1, ..config.replicas };
            policy.longest_open = policy.open;
            let reach = Remote::new(id.clone(), source, config.limits);
            Box::new(Server::start(id, Box::new(reach), &config, policy, changes))
        }
        ServerSource::OpenApi(source) => Box::new(App::start(id, source, &config, policy, changes)),
    }
}

impl Member for App {
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

impl Member for Server {
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

/// One of a kind that cannot be started.
struct Unknown {
    id: ProviderId,
    kind: &'static str,
    source: String,
    what: &'static str,
}

impl Member for Unknown {
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn status(&self) -> ProviderStatus {
        ProviderStatus {
            name: self.id.to_string(),
            kind: self.kind,
            state: ProviderState::Broken,
            source: self.source.clone(),
            digest: None,
            tools: Vec::new(),
            offers: OfferNames::default(),
            error: Some(format!("this version of toolbay cannot serve {}", self.what)),
            warnings: Vec::new(),
            imports: Vec::new(),
            in_flight: 0,
            queued: 0,
            replicas: None,
            since: SystemTime::UNIX_EPOCH,
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
