//! The plugins that come from registries: each pulled, looked for again, and served from the cache while its registry is away.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    cache::{Cache, blocking},
    error::RegistryError,
    pull::{Artifact, PullSettings, cached, pull},
};
use crate::{
    config::{Config, OciReference, OnChange, PluginConfig, PluginOrigin, PullPlugin, TrustConfig},
    provider::ProviderId,
    wasm::folder::{Pulled, PulledFile, PulledPlugin},
};

/// The first time after which a pull that failed is tried again; then twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The plugins that come from registries.
pub struct Pulls {
    shared: Arc<Shared>,
    tasks: Mutex<BTreeMap<ProviderId, (Wanted, JoinHandle<()>)>>,
}

struct Shared {
    cache: Result<Arc<Cache>, String>,
    pulled: watch::Sender<Arc<Pulled>>,
}

/// What is to be pulled, and how.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    reference: OciReference,
    origin: PluginOrigin,
    settings: PullSettings,
}

/// All that come from registries.
fn wanted(config: &Config) -> BTreeMap<ProviderId, Wanted> {
    let one = |(name, plugin): (&String, &PluginConfig)| {
        let reference = plugin.origin.source.clone()?;
        let reference = pinned(config, name, &reference).unwrap_or(reference);
        let settings = PullSettings::of(config, &reference);
        Some((ProviderId::new(name.as_str()).ok()?, Wanted { reference, origin: plugin.origin.clone(), settings }))
    };
    config.plugin.iter().filter_map(one).collect()
}

/// The version of a tag that was accepted, where nothing else is to be offered anyway: all hosts with that lock file serve the same.
fn pinned(config: &Config, name: &str, reference: &OciReference) -> Option<OciReference> {
    let TrustConfig { locked: Some(lock), changed: OnChange::Hold, .. } = &config.trust else { return None };
    let source = lock.sources.get(name).filter(|_| reference.digest.is_none())?;
    // Another tag in the configuration is another plugin, which somebody has to accept.
    (source.place() == reference.place() && source.tag == reference.tag).then(|| source.clone()).filter(|source| source.digest.is_some())
}

impl Pulls {
    /// Begins to pull all that the configuration names. `patience`: after so long the start waits for none of them any more.
    #[must_use]
    pub fn start(config: &Config, patience: Duration) -> Arc<Self> {
        let pulls = Arc::new(Self { shared: Shared::new(config), tasks: Mutex::default() });
        pulls.apply(config);
        let pulled = pulls.shared.pulled.clone();
        pulls.shared.see_whole();
        // Ends by itself.
        tokio::spawn(async move {
            sleep(patience).await;
            pulled.send_if_modified(|pulled| !std::mem::replace(&mut Arc::make_mut(pulled).whole, true));
        });
        pulls
    }

    /// Pulls all that the configuration names once.
    pub async fn once(config: &Config) -> Arc<Pulled> {
        let shared = Shared::new(config);
        let all = wanted(config);
        join_all(all.iter().map(|(id, wanted)| async {
            shared.name(id, wanted);
            drop(wanted.attempt(id, &shared, &mut None).await);
        }))
        .await;
        shared.see_whole();
        shared.pulled.borrow().clone()
    }

    /// What is there, and what comes.
    #[must_use]
    pub fn pulled(&self) -> watch::Receiver<Arc<Pulled>> {
        self.shared.pulled.subscribe()
    }

    /// Goes by another configuration: what is wanted as before is left alone.
    pub fn apply(&self, config: &Config) {
        let all = wanted(config);
        let mut tasks = self.tasks();
        tasks.retain(|id, (before, task)| {
            let stays = all.get(id) == Some(before);
            if !stays {
                task.abort();
            }
            stays
        });
        self.shared.change(|pulled| pulled.plugins.retain(|id, _| all.contains_key(id)));
        for (id, wanted) in all {
            if tasks.contains_key(&id) {
                continue;
            }
            self.shared.name(&id, &wanted);
            let task = tokio::spawn(wanted.clone().keep(id.clone(), self.shared.clone()));
            tasks.insert(id, (wanted, task));
        }
    }

    /// Ends all pulling.
    pub fn stop(&self) {
        self.tasks().values().for_each(|(_, task)| task.abort());
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<ProviderId, (Wanted, JoinHandle<()>)>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pulls {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn new(config: &Config) -> Arc<Self> {
        let cache = Cache::open(config.host.registry_cache.clone()).map(Arc::new);
        Arc::new(Self { cache, pulled: watch::Sender::new(Arc::default()) })
    }

    fn change(&self, change: impl FnOnce(&mut Pulled)) {
        self.pulled.send_modify(|pulled| change(Arc::make_mut(pulled)));
    }

    /// Notes that there is such a plugin, if not what it is yet. What served under its name goes on until then.
    fn name(&self, id: &ProviderId, wanted: &Wanted) {
        self.change(|pulled| {
            let named = || PulledPlugin::named(wanted.reference.to_string());
            pulled.plugins.entry(id.clone()).or_insert_with(named).tried = false;
        });
    }

    /// Notes how an attempt has ended.
    fn ended(&self, id: &ProviderId, change: impl FnOnce(&mut PulledPlugin)) {
        self.change(|pulled| {
            if let Some(plugin) = pulled.plugins.get_mut(id) {
                change(plugin);
                plugin.tried = true;
            }
            pulled.see_whole();
        });
    }

    fn see_whole(&self) {
        self.change(Pulled::see_whole);
    }
}

impl Wanted {
    /// Pulls it, again and again.
    async fn keep(self, id: ProviderId, shared: Arc<Shared>) {
        let mut retry = FIRST_RETRY;
        // What failed last, so that it is told once.
        let mut told = None;
        loop {
            let wait = match self.attempt(&id, &shared, &mut told).await {
                Ok(From::Cache) => return,
                Ok(From::Registry) if self.reference.digest.is_some() || self.origin.pull == PullPlugin::Missing => return,
                Ok(From::Registry) => {
                    retry = FIRST_RETRY;
                    self.origin.interval
                }
                Err(_) => {
                    let wait = retry;
                    retry = (retry * 2).min(LAST_RETRY);
                    wait
                }
            };
            // Not all hosts of a fleet at the same moment.
            sleep(wait.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }

    /// One attempt, and what comes of it.
    async fn attempt(&self, id: &ProviderId, shared: &Shared, told: &mut Option<String>) -> Result<From, RegistryError> {
        let done = match &shared.cache {
            Ok(cache) => self.get(cache).await,
            Err(why) => Err(RegistryError::new(why)),
        };
        let source = self.reference.to_string();
        match done {
            Ok((artifact, from)) => {
                if told.take().is_some() {
                    tracing::info!(plugin = %id, source, "pulled again, after it could not be");
                }
                shared.ended(id, |plugin| self.land(id, plugin, &artifact));
                Ok(from)
            }
            Err(error) => {
                let reason = error.to_string();
                let is_news = told.as_ref() != Some(&reason);
                let kept = match &shared.cache {
                    Ok(cache) => self.in_cache(cache).await.ok().flatten(),
                    Err(_) => None,
                };
                // What has to be signed and cannot be shown to be serves no longer, as the rule may be new.
                let is_withdrawn = kept.is_none() && !self.settings.signed.is_empty();
                let has_file = shared.pulled.borrow().plugins.get(id).is_some_and(|plugin| plugin.file.is_some());
                if is_news {
                    let serves = match kept.is_some() || (has_file && !is_withdrawn) {
                        true => "the version that was pulled before keeps serving",
                        false => "it is not served",
                    };
                    tracing::warn!(plugin = %id, source, "cannot pull the plugin, and {serves}; it is tried again: {reason}");
                }
                *told = Some(reason.clone());
                shared.ended(id, |plugin| {
                    if let Some(artifact) = &kept {
                        self.land(id, plugin, artifact);
                    } else if is_withdrawn {
                        *plugin = PulledPlugin { withdrawn: true, ..PulledPlugin::named(source.clone()) };
                    }
                    plugin.trouble = Some(format!("cannot pull {source}: {reason}"));
                });
                Err(error)
            }
        }
    }

    /// From the cache where that is as good as from the registry, or else from there.
    async fn get(&self, cache: &Arc<Cache>) -> Result<(Artifact, From), RegistryError> {
        if (self.reference.digest.is_some() || self.origin.pull == PullPlugin::Missing)
            && let Ok(Some(artifact)) = self.in_cache(cache).await
        {
            return Ok((artifact, From::Cache));
        }
        pull(&self.reference, &self.settings, cache).await.map(|artifact| (artifact, From::Registry))
    }

    async fn in_cache(&self, cache: &Arc<Cache>) -> Result<Option<Artifact>, RegistryError> {
        let wanted = self.clone();
        blocking(cache, move |cache| cached(&wanted.reference, &wanted.settings, cache)).await?
    }

    /// Gives a version to the folder, which takes it as it takes a changed file.
    fn land(&self, id: &ProviderId, plugin: &mut PulledPlugin, artifact: &Artifact) {
        let Artifact { digest, component, sidecar } = artifact;
        let file = PulledFile { path: component.clone(), sidecar: sidecar.clone().filter(|_| self.origin.sidecar) };
        let source = self.reference.at(digest).to_string();
        if plugin.file.as_ref() != Some(&file) {
            tracing::info!(plugin = %id, source, "plugin pulled");
            if sidecar.is_some() && !self.origin.sidecar {
                tracing::info!(
                    plugin = %id,
                    "its sidecar in the registry does not count; `toolbay inspect` shows it, and sidecar = true in [plugin.{id}] makes it count"
                );
            }
        }
        *plugin = PulledPlugin { file: Some(file), tried: true, ..PulledPlugin::named(source) };
    }
}

/// Where a version is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Cache,
    Registry,
}
