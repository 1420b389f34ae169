//! All `[pipeline.NAME]`: each one tool that is made of calls of others.
//!
//! A pipeline is a provider like any, and its steps are calls like any: `dispatch` runs them for whoever called the pipeline. What is here is only which
//! calls are made, and with what. A pipeline is offered while everything that it calls is there and fits: that is looked at whenever the catalog changes.

mod answer;
mod plan;
mod provider;
mod run;
#[cfg(test)]
mod tests;
mod tools;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::SystemTime,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    catalog::{
        Catalog,
        feed::{CatalogUpdate, Origin},
    },
    config::{Config, PipelineConfig},
    provider::{Provider as _, ProviderChange, ProviderId, ProviderKind, ProviderState, ProviderStatus},
};
use provider::PipelineProvider;

/// All pipelines of a configuration.
pub struct Pipelines {
    state: tokio::sync::Mutex<State>,
    shown: Mutex<BTreeMap<String, Shown>>,
    catalog: Arc<Catalog>,
    queue: mpsc::Sender<CatalogUpdate>,
    watch: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    configs: BTreeMap<String, PipelineConfig>,
    published: BTreeMap<String, Arc<PipelineProvider>>,
    /// All else has been looked at once, so that what is not there is missing.
    is_settled: bool,
}

/// What an operator sees of one.
struct Shown {
    provider: Option<Arc<PipelineProvider>>,
    source: String,
    state: ProviderState,
    error: Option<String>,
    warnings: Vec<String>,
    since: SystemTime,
}

impl Pipelines {
    /// Follows a catalog, and offers in it what the configuration says.
    pub async fn start(config: &Config, catalog: Arc<Catalog>, queue: mpsc::Sender<CatalogUpdate>) -> Arc<Self> {
        let pipelines = Arc::new(Self { state: Default::default(), shown: Mutex::default(), catalog, queue, watch: Mutex::default() });
        pipelines.apply(config).await;
        let watching = tokio::spawn(watch(Arc::downgrade(&pipelines)));
        *lock(&pipelines.watch) = Some(watching);
        pipelines
    }

    /// Goes by another configuration.
    pub async fn apply(&self, config: &Config) {
        let mut state = self.state.lock().await;
        state.configs = config.pipeline.clone();
        // First of all the names: what a pipeline offers is published under them only.
        let names = state.configs.keys().cloned().collect();
        // The queue ends with the host.
        let _ = self.queue.send(CatalogUpdate::Pipelines(names)).await;
        self.publish(&mut state).await;
    }

    /// Everything else has been looked at once. What follows from it is in the catalog when this returns.
    pub async fn settle(&self) {
        let mut state = self.state.lock().await;
        state.is_settled = true;
        self.publish(&mut state).await;
        let (reached, is_reached) = oneshot::channel();
        if self.queue.send(CatalogUpdate::Barrier(reached)).await.is_ok() {
            let _ = is_reached.await;
        }
    }

    /// Offers what can be offered now, and no more.
    async fn publish(&self, state: &mut State) {
        let resolved = {
            let snapshot = self.catalog.snapshot();
            tools::resolve(&state.configs, &snapshot)
        };
        let mut changes = Vec::new();
        let mut next = BTreeMap::new();
        for (name, config) in &state.configs {
            // Names were checked with the configuration.
            let Ok(id) = ProviderId::new(name.as_str()) else { continue };
            let before = state.published.remove(name);
            let found = resolved.get(name).cloned().unwrap_or_else(|| Err(Vec::new()));
            let mut warnings = Vec::new();
            let made = found.and_then(|(tool, said)| {
                warnings = said;
                match before.clone().filter(|before| before.is(config, &tool)) {
                    Some(same) => Ok(same),
                    None => PipelineProvider::new(id.clone(), config, tool).map(Arc::new).map_err(|why| vec![why]),
                }
            });
            let error = match made {
                Ok(provider) => {
                    if !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &provider)) {
                        changes.push(ProviderChange::Put(provider.clone()));
                    }
                    next.insert(name.clone(), provider);
                    None
                }
                Err(problems) => {
                    changes.extend(before.map(|_| ProviderChange::Remove(id)));
                    Some(problems.join("; "))
                }
            };
            self.show(name, config, next.get(name), error, warnings, state.is_settled);
        }
        let gone = std::mem::replace(&mut state.published, next);
        changes.extend(gone.into_keys().filter_map(|name| ProviderId::new(name).ok()).map(ProviderChange::Remove));
        lock(&self.shown).retain(|name, _| state.configs.contains_key(name));
        if !changes.is_empty() {
            let _ = self.queue.send(CatalogUpdate::Changes(Origin::Pipelines, changes)).await;
        }
    }

    /// Tells the operator how one stands, where that is news.
    fn show(
        &self,
        name: &str,
        config: &PipelineConfig,
        provider: Option<&Arc<PipelineProvider>>,
        error: Option<String>,
        warnings: Vec<String>,
        is_settled: bool,
    ) {
        let (state, error) = match error {
            None => (ProviderState::Serving, None),
            Some(_) if !is_settled => (ProviderState::Loading, None),
            error => (ProviderState::Broken, error),
        };
        let mut all = lock(&self.shown);
        let before = all.get(name);
        if before.map(|before| (before.state, &before.error)) != Some((state, &error)) {
            match &error {
                Some(error) => tracing::warn!(pipeline = name, "the pipeline is not offered: {error}"),
                None if state == ProviderState::Serving => tracing::info!(pipeline = name, "the pipeline is offered"),
                None => {}
            }
        }
        let since = before.filter(|before| before.state == state).map_or_else(SystemTime::now, |before| before.since);
        let shown = Shown { provider: provider.cloned(), source: config.spot.to_string(), state, error, warnings, since };
        all.insert(name.to_owned(), shown);
    }

    /// Whether one of them has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        lock(&self.shown).contains_key(name)
    }

    /// How they stand.
    #[must_use]
    pub fn statuses(&self) -> Vec<ProviderStatus> {
        let status = |(name, shown): (&String, &Shown)| ProviderStatus {
            tools: shown.provider.iter().flat_map(|provider| provider.tools()).map(|tool| tool.name.to_string()).collect(),
            error: shown.error.clone(),
            warnings: shown.warnings.clone(),
            in_flight: shown.provider.as_ref().map_or(0, |provider| provider.in_flight()),
            since: shown.since,
            ..ProviderStatus::new(name.as_str(), ProviderKind::Pipeline, shown.state, shown.source.as_str())
        };
        lock(&self.shown).iter().map(status).collect()
    }

    /// Follows the catalog no more.
    pub fn stop(&self) {
        if let Some(watch) = lock(&self.watch).take() {
            watch.abort();
        }
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks again whenever something else is on offer.
async fn watch(pipelines: Weak<Pipelines>) {
    let Some(mut changes) = pipelines.upgrade().map(|pipelines| pipelines.catalog.changes()) else { return };
    // What came before this has been seen by nobody.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let Some(pipelines) = pipelines.upgrade() else { return };
        let mut state = pipelines.state.lock().await;
        if !state.configs.is_empty() {
            pipelines.publish(&mut state).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
