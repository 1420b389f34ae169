//! From the sources of providers into the catalog: in order, without what is out of date, and with barriers.
//!
//! There is one [`Inlet`] for the folder of plugins and one for each server. They all end in one queue, which [`Feed`] takes into the catalog.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::Catalog;
use crate::provider::{Provider, ProviderChange, ProviderId};

/// Updates on their way to the catalog.
/// More than a few never wait: each holds all that was ready at once.
const QUEUE: usize = 16;

/// What is on its way to the catalog.
pub enum CatalogUpdate {
    /// Changes from one source.
    Changes(Origin, Vec<ProviderChange>),
    /// The names that belong to servers from now on.
    /// A plugin of such a name is not served, and comes back when the server is gone.
    Servers(BTreeSet<String>),
    /// The same of pipelines.
    Pipelines(BTreeSet<String>),
    /// The gate goes by other rules: what is on offer passes it again.
    Rules,
    /// Answered when all that was sent before is in the catalog.
    Barrier(oneshot::Sender<()>),
}

/// Where changes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The folder of plugins.
    Plugins,
    /// One generation of a server: a changed configuration starts the next one beside it.
    /// What an older generation says after a newer one was published is dropped.
    Server(u64),
    /// The pipelines of the configuration. They pass no gate: the operator has written them.
    Pipelines,
}

/// What every provider passes on its way into the catalog.
pub trait Gate: Send + Sync {
    /// The provider as it may be offered.
    fn admit(&self, provider: &Arc<dyn Provider>) -> Arc<dyn Provider>;

    /// The same as it may be listed, which can take a while.
    fn screen(&self, provider: Arc<dyn Provider>) -> BoxFuture<'_, Arc<dyn Provider>> {
        std::future::ready(provider).boxed()
    }

    /// A provider is gone.
    fn gone(&self, id: &ProviderId);
}

/// Lets everything through as it is.
struct Open;

impl Gate for Open {
    fn admit(&self, provider: &Arc<dyn Provider>) -> Arc<dyn Provider> {
        Arc::clone(provider)
    }

    fn gone(&self, _: &ProviderId) {}
}

/// Takes updates into a catalog until it is dropped.
pub struct Feed {
    queue: mpsc::Sender<CatalogUpdate>,
    task: JoinHandle<()>,
}

impl Feed {
    /// Starts with an empty queue.
    #[must_use]
    pub fn start(catalog: Arc<Catalog>) -> Self {
        Self::through(Arc::new(Open), catalog)
    }

    /// The same; all that is offered passes a gate.
    #[must_use]
    pub fn through(gate: Arc<dyn Gate>, catalog: Arc<Catalog>) -> Self {
        let (queue, updates) = mpsc::channel(QUEUE);
        // Ended by `drop`.
        Self { queue, task: tokio::spawn(Merge::new(gate, catalog).run(updates)) }
    }

    /// The way into the queue.
    #[must_use]
    pub fn queue(&self) -> &mpsc::Sender<CatalogUpdate> {
        &self.queue
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The way of one source into the queue. Dropping it ends that.
pub struct Inlet {
    barriers: mpsc::Sender<oneshot::Sender<()>>,
    published: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Inlet {
    /// Opens one. The source sends to what is returned beside it.
    #[must_use]
    pub fn open(origin: Origin, queue: mpsc::Sender<CatalogUpdate>) -> (mpsc::Sender<Vec<ProviderChange>>, Self) {
        let (source, changes) = mpsc::channel(QUEUE);
        let (barriers, asked) = mpsc::channel(1);
        let (publish, published) = watch::channel(false);
        // Ended by `drop`.
        let task = tokio::spawn(forward(origin, changes, asked, queue, publish));
        (source, Self { barriers, published, task })
    }

    /// Waits until all that the source has sent up to now is in the catalog. False: it never will be.
    pub async fn barrier(&self) -> bool {
        let (reached, is_reached) = oneshot::channel();
        self.barriers.send(reached).await.is_ok() && is_reached.await.is_ok()
    }

    /// Whether the source has sent a provider.
    #[must_use]
    pub fn is_published(&self) -> bool {
        *self.published.borrow()
    }

    /// Waits until the source has sent a provider. False: it never will.
    pub async fn published(&self) -> bool {
        self.published.clone().wait_for(|published| *published).await.is_ok()
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn id_of(change: &ProviderChange) -> &ProviderId {
    match change {
        ProviderChange::Put(provider) => provider.id(),
        ProviderChange::Remove(id) | ProviderChange::Updated(id, _) => id,
    }
}

async fn forward(
    origin: Origin,
    mut changes: mpsc::Receiver<Vec<ProviderChange>>,
    mut barriers: mpsc::Receiver<oneshot::Sender<()>>,
    queue: mpsc::Sender<CatalogUpdate>,
    published: watch::Sender<bool>,
) {
    loop {
        // What the source has sent goes first: a barrier stands behind it.
        let update = tokio::select! {
            biased;
            Some(changes) = changes.recv() => {
                let puts = changes.iter().any(|change| matches!(change, ProviderChange::Put(_)));
                let sent = queue.send(CatalogUpdate::Changes(origin, changes)).await;
                if puts {
                    published.send_replace(true);
                }
                if sent.is_err() {
                    return;
                }
                continue;
            }
            Some(barrier) = barriers.recv() => CatalogUpdate::Barrier(barrier),
            else => return,
        };
        if queue.send(update).await.is_err() {
            return;
        }
    }
}

/// What a plugin is told whose name a server or a pipeline (`kind`) has.
#[must_use]
pub fn clash(kind: &str, name: &str) -> String {
    format!("there is also a [{kind}.{name}], which is served instead; rename {name}.wasm or the {kind}")
}

/// The state of the feed.
struct Merge {
    gate: Arc<dyn Gate>,
    catalog: Arc<Catalog>,
    /// All plugins, also those whose name a server has.
    plugins: BTreeMap<ProviderId, Arc<dyn Provider>>,
    /// What servers offer, as it came.
    offered: BTreeMap<ProviderId, Arc<dyn Provider>>,
    servers: BTreeSet<String>,
    pipelines: BTreeSet<String>,
    /// The pipelines that can be served, as they came.
    made: BTreeMap<ProviderId, Arc<dyn Provider>>,
    /// The newest generation that was published of each server.
    newest: HashMap<ProviderId, u64>,
}

impl Merge {
    fn new(gate: Arc<dyn Gate>, catalog: Arc<Catalog>) -> Self {
        Self {
            gate,
            catalog,
            plugins: BTreeMap::new(),
            offered: BTreeMap::new(),
            servers: BTreeSet::new(),
            pipelines: BTreeSet::new(),
            made: BTreeMap::new(),
            newest: HashMap::new(),
        }
    }

    async fn run(mut self, mut updates: mpsc::Receiver<CatalogUpdate>) {
        while let Some(update) = updates.recv().await {
            match update {
                CatalogUpdate::Changes(Origin::Plugins, changes) => {
                    let judges = changes.iter().any(|change| self.judges_lists(change));
                    let changes = changes.into_iter().filter(|change| self.of_plugins(change)).collect();
                    self.apply(changes).await;
                    if judges {
                        self.apply_all().await;
                    }
                }
                CatalogUpdate::Changes(Origin::Server(generation), changes) => {
                    let changes = changes.into_iter().filter(|change| self.of_server(generation, change)).collect();
                    self.apply(changes).await;
                }
                CatalogUpdate::Changes(Origin::Pipelines, mut changes) => {
                    changes.retain(|change| self.pipelines.contains(id_of(change).as_str()));
                    for change in &changes {
                        match change {
                            ProviderChange::Put(pipeline) => drop(self.made.insert(pipeline.id().clone(), Arc::clone(pipeline))),
                            ProviderChange::Remove(id) => drop(self.made.remove(id)),
                            ProviderChange::Updated(..) => {}
                        }
                    }
                    self.apply_own(changes).await;
                }
                CatalogUpdate::Servers(names) => {
                    let before = std::mem::replace(&mut self.servers, names.clone());
                    let changes = self.rename("server", &before, &names);
                    self.apply(changes).await;
                }
                CatalogUpdate::Pipelines(names) => {
                    let before = std::mem::replace(&mut self.pipelines, names.clone());
                    let changes = self.rename("pipeline", &before, &names);
                    self.apply(changes).await;
                }
                CatalogUpdate::Rules => self.apply_all().await,
                // Who asked may have gone.
                CatalogUpdate::Barrier(reached) => drop(reached.send(())),
            }
        }
    }

    /// Has everything on offer pass the gate again.
    async fn apply_all(&self) {
        let put = |(_, provider): (_, &Arc<dyn Provider>)| ProviderChange::Put(Arc::clone(provider));
        let plugins = self.plugins.iter().filter(|(id, _)| self.owner(id.as_str()).is_none());
        self.apply(plugins.chain(&self.offered).map(put).collect()).await;
        self.apply_own(self.made.iter().map(put).collect()).await;
    }

    /// Takes changes of what the operator has written into the catalog: nobody has to accept it, but it is shown to those who judge lists.
    async fn apply_own(&self, changes: Vec<ProviderChange>) {
        let screened = changes.into_iter().map(async |change| match change {
            ProviderChange::Put(provider) => ProviderChange::Put(self.gate.screen(provider).await),
            change => change,
        });
        self.catalog.apply(join_all(screened).await);
    }

    /// Whether a plugin that comes or goes judges what others list.
    fn judges_lists(&self, change: &ProviderChange) -> bool {
        let judges = |provider: &Arc<dyn Provider>| provider.guard().is_some_and(|guard| guard.hooks().list);
        match change {
            ProviderChange::Put(provider) => judges(provider) || self.plugins.get(provider.id()).is_some_and(judges),
            ProviderChange::Remove(id) => self.plugins.get(id).is_some_and(judges),
            ProviderChange::Updated(..) => false,
        }
    }

    /// Takes changes into the catalog, each provider as the gate lets it through.
    async fn apply(&self, changes: Vec<ProviderChange>) {
        let admitted = changes.into_iter().map(|change| match change {
            ProviderChange::Put(provider) => ProviderChange::Put(self.gate.admit(&provider)),
            ProviderChange::Remove(id) => {
                self.gate.gone(&id);
                ProviderChange::Remove(id)
            }
            updated @ ProviderChange::Updated(..) => updated,
        });
        self.apply_own(admitted.collect()).await;
    }

    /// What a name belongs to that no plugin can have.
    fn owner(&self, name: &str) -> Option<&'static str> {
        match (self.servers.contains(name), self.pipelines.contains(name)) {
            (true, _) => Some("server"),
            (_, true) => Some("pipeline"),
            _ => None,
        }
    }

    /// Takes in a change of the folder. Whether the catalog is to have it.
    fn of_plugins(&mut self, change: &ProviderChange) -> bool {
        let id = match change {
            ProviderChange::Put(provider) => {
                self.plugins.insert(provider.id().clone(), Arc::clone(provider));
                provider.id()
            }
            ProviderChange::Remove(id) => {
                self.plugins.remove(id);
                id
            }
            ProviderChange::Updated(id, _) => id,
        };
        let owner = self.owner(id.as_str());
        if let (Some(kind), ProviderChange::Put(_)) = (owner, change) {
            tracing::warn!(plugin = %id, "plugin is not served: {}", clash(kind, id.as_str()));
        }
        owner.is_none()
    }

    /// Takes in a change of a server. Whether the catalog is to have it.
    fn of_server(&mut self, generation: u64, change: &ProviderChange) -> bool {
        let id = id_of(change);
        let newest = self.newest.get(id).copied().unwrap_or(0);
        if !self.servers.contains(id.as_str()) || newest > generation {
            return false;
        }
        match change {
            ProviderChange::Put(provider) => {
                self.newest.insert(id.clone(), generation);
                self.offered.insert(id.clone(), Arc::clone(provider));
            }
            ProviderChange::Remove(_) => drop(self.offered.remove(id)),
            ProviderChange::Updated(..) => {}
        }
        true
    }

    /// Takes in the names of the servers, or of the pipelines: what the catalog is to be told of it.
    fn rename(&mut self, kind: &str, before: &BTreeSet<String>, names: &BTreeSet<String>) -> Vec<ProviderChange> {
        let mut changes = Vec::new();
        for name in before.difference(names) {
            let Ok(id) = ProviderId::new(name.as_str()) else { continue };
            if kind == "server" {
                self.newest.remove(&id);
                self.offered.remove(&id);
            } else {
                self.made.remove(&id);
            }
            // It may have become a name of the other kind meanwhile.
            let next = match self.owner(name) {
                None => self.plugins.get(&id),
                Some(_) => self.offered.get(&id),
            };
            changes.push(match next {
                Some(provider) => ProviderChange::Put(Arc::clone(provider)),
                None => ProviderChange::Remove(id),
            });
        }
        for name in names.difference(before) {
            if let Some((id, _)) = self.plugins.get_key_value(name.as_str()) {
                tracing::warn!(plugin = %id, "plugin is not served any more: {}", clash(kind, name));
                changes.push(ProviderChange::Remove(id.clone()));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::put as put_tools;

    fn names(catalog: &Catalog) -> Vec<String> {
        catalog.snapshot().tools().map(|entry| entry.name().to_owned()).collect()
    }

    fn put(id: &str, tool: &str) -> Vec<ProviderChange> {
        vec![put_tools(id, &[tool])]
    }

    async fn servers(feed: &Feed, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        assert!(feed.queue().send(CatalogUpdate::Servers(names)).await.is_ok());
    }

    #[tokio::test]
    async fn a_barrier_is_reached_when_all_before_it_is_in_the_catalog() {
        let catalog = Catalog::new();
        let feed = Feed::start(Arc::clone(&catalog));
        let (source, inlet) = Inlet::open(Origin::Plugins, feed.queue().clone());
        assert!(!inlet.is_published());
        for n in 0..20 {
            source.send(put(&format!("p{n}"), &format!("t{n}"))).await.unwrap();
        }
        assert!(inlet.barrier().await);
        assert_eq!(names(&catalog).len(), 20);
        assert!(inlet.is_published() && inlet.published().await);
        drop(feed);
        // The queue is gone, so it is never reached.
        assert!(!inlet.barrier().await);
    }

    #[tokio::test]
    async fn a_plugin_gives_way_to_a_server_of_its_name_and_comes_back() {
        let catalog = Catalog::new();
        let feed = Feed::start(Arc::clone(&catalog));
        let (plugins, of_plugins) = Inlet::open(Origin::Plugins, feed.queue().clone());
        plugins.send(put("a", "of_plugin")).await.unwrap();
        assert!(of_plugins.barrier().await);
        assert_eq!(names(&catalog), ["of_plugin"]);
        servers(&feed, &["a"]).await;
        let (server, of_server) = Inlet::open(Origin::Server(1), feed.queue().clone());
        server.send(put("a", "of_server")).await.unwrap();
        assert!(of_server.barrier().await);
        assert_eq!(names(&catalog), ["of_server"]);
        // A new version of the plugin changes nothing now, and is the one that comes back.
        plugins.send(put("a", "of_plugin_2")).await.unwrap();
        assert!(of_plugins.barrier().await);
        assert_eq!(names(&catalog), ["of_server"]);
        servers(&feed, &[]).await;
        assert!(of_plugins.barrier().await);
        assert_eq!(names(&catalog), ["of_plugin_2"]);
        // The server is no server any more.
        server.send(put("a", "late")).await.unwrap();
        assert!(of_server.barrier().await);
        assert_eq!(names(&catalog), ["of_plugin_2"]);
    }

    #[tokio::test]
    async fn an_older_generation_of_a_server_is_heard_until_the_next_is_published() {
        let catalog = Catalog::new();
        let feed = Feed::start(Arc::clone(&catalog));
        servers(&feed, &["a"]).await;
        let (old, of_old) = Inlet::open(Origin::Server(1), feed.queue().clone());
        let (new, of_new) = Inlet::open(Origin::Server(2), feed.queue().clone());
        for (source, inlet, tool, shown) in [(&old, &of_old, "x", "x"), (&new, &of_new, "y", "y"), (&old, &of_old, "z", "y")] {
            source.send(put("a", tool)).await.unwrap();
            assert!(inlet.barrier().await);
            assert_eq!(names(&catalog), [shown]);
        }
    }
}
