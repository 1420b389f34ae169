//! All `[server.NAME]`, of whatever kind: started, asked how they are, and ended together.

mod application;
mod imported;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use tokio::sync::mpsc;

use application::Application;

use crate::{
    bridge::{container::Engine, process::Program, started::Started},
    config::{Config, Replicas, ServerConfig, ServerSource},
    provider::{ProviderChange, ProviderId, ProviderStatus, StatusSource},
    remote::mcp::Remote,
    supervised::{replicas::Policy, server::Server},
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
        let engine = Engine::new(config.host.container_engine.clone());
        let members = config.server.iter().filter_map(|(name, server)| {
            // Names were checked with the configuration.
            let id = ProviderId::new(name.as_str()).ok()?;
            let member = start(id, server, &engine, run, changes.clone());
            let notes = config.imported.get(name).map(|imported| imported.notes.clone()).unwrap_or_default();
            Some((name.clone(), imported::with_notes(member, name, notes)))
        });
        let mut members: BTreeMap<_, _> = members.collect();
        for (name, imported) in &config.imported {
            if let Some(unserved) = imported::Unserved::of(name, imported) {
                members.entry(name.clone()).or_insert_with(|| Box::new(unserved));
            }
        }
        Arc::new(Self { members, settled: AtomicBool::new(false) })
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
fn start(
    id: ProviderId,
    config: &ServerConfig,
    engine: &Arc<Engine>,
    run: Run,
    changes: mpsc::Sender<Vec<ProviderChange>>,
) -> Box<dyn Member> {
    let mut config = config.clone();
    let mut policy = Policy::default();
    if run == Run::Once {
        config.replicas = Replicas { min: 1, max: 1, ..config.replicas };
        // Nobody waits for a second try.
        (policy.backoff, policy.longest_backoff) = (Duration::from_secs(3600), Duration::from_secs(3600));
    }
    match &config.source {
        ServerSource::Command(source) => {
            let reach = Started::new(id.clone(), Box::new(Program::new(source.clone())), config.limits);
            Box::new(Server::start(id, Box::new(reach), &config, policy, changes))
        }
        ServerSource::Image(source) => {
            let image = engine.image(id.as_str(), source.clone());
            let reach = Started::new(id.clone(), Box::new(image), config.limits);
            Box::new(Server::start(id, Box::new(reach), &config, policy, changes))
        }
        ServerSource::Url(source) => {
            // There is one connection, and it is tried again sooner than a program is started again.
            policy.longest_open = policy.open;
            let reach = Remote::new(id.clone(), source, config.limits);
            let config = ServerConfig { replicas: Replicas { min: 1, max: 1, ..config.replicas }, ..config.clone() };
            Box::new(Server::start(id, Box::new(reach), &config, policy, changes))
        }
        ServerSource::OpenApi(source) => Box::new(Application::start(id, source, &config, run, changes)),
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
