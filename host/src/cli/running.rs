//! What `serve` serves: the folder and the servers, on their way into one catalog.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::Failure;
use crate::{
    catalog::Catalog,
    config::Config,
    inference::Registry,
    provider::{ProviderChange, ProviderState, ProviderStatus, StatusSource},
    servers::{Run, Servers},
    wasm::{
        compile::{self, Worker},
        folder::{Folder, FolderError, FolderOptions},
        plugin::PluginHost,
    },
};

/// Changes on their way to the catalog. More than a few never wait: each holds all that was ready at once.
const CHANGES: usize = 16;

/// How long readiness waits for servers. One that takes longer (its package is downloaded first, say) comes later, as a change of the lists.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(10);

/// Everything that has tools, while it runs.
pub(super) struct Running {
    /// None: there is no folder, only servers.
    folder: Option<Arc<Folder>>,
    servers: Arc<Servers>,
    models: Arc<Registry>,
    /// Whether the first look at everything is in the catalog.
    whole: watch::Receiver<bool>,
    /// Marks the end of what was sent before it.
    mark: mpsc::Sender<Vec<ProviderChange>>,
    apply: JoinHandle<()>,
}

impl Running {
    /// Starts everything. `folder_named`: the folder was named on the command line, so that it has to be there.
    pub(super) async fn start(config: &Arc<Config>, folder_named: bool, catalog: Arc<Catalog>) -> Result<Arc<Self>, Failure> {
        let host = PluginHost::new(config.clone(), Worker::own()).map_err(Failure::failed)?;
        let models = host.models().clone();
        let (mark, of_folder) = mpsc::channel(CHANGES);
        let options = FolderOptions::new(config.plugins.clone(), config.host.max_file, compile::jobs(&config.host));
        let folder = match Folder::start(options, Arc::new(host), mark.clone()).await {
            Ok(folder) => Some(folder),
            Err(error @ FolderError::Missing { .. }) if !config.server.is_empty() && !folder_named => {
                tracing::info!("only servers are served: {error}");
                None
            }
            Err(error) => return Err(Failure::usage(error)),
        };
        let (changes, changed) = mpsc::channel(CHANGES);
        let servers = Servers::start(config, Run::Serve, &changes);
        let (whole, is_whole) = watch::channel(false);
        tokio::spawn(pass_on(of_folder, changes, servers.clone()));
        let apply = tokio::spawn(apply(changed, catalog, whole));
        Ok(Arc::new(Self { folder, servers, models, whole: is_whole, mark, apply }))
    }

    /// Waits until the first look at everything is in the catalog. False: it never will be.
    pub(super) async fn settled(&self) -> bool {
        let folder = async {
            if let Some(folder) = &self.folder {
                folder.settled().await;
            }
        };
        tokio::join!(folder, self.servers.settled(FIRST_ATTEMPTS));
        // All that was found is on its way by now: nothing at all behind it tells when the catalog has it.
        let _ = self.mark.send(Vec::new()).await;
        self.whole.clone().wait_for(|whole| *whole).await.is_ok()
    }

    /// Whether there is no folder of plugins.
    pub(super) fn has_no_folder(&self) -> bool {
        self.folder.is_none()
    }

    /// Ends everything.
    pub(super) async fn stop(&self) {
        let folder = async {
            if let Some(folder) = &self.folder {
                folder.stop().await;
            }
        };
        tokio::join!(folder, self.servers.stop());
        self.apply.abort();
    }
}

impl StatusSource for Running {
    fn statuses(&self) -> Vec<ProviderStatus> {
        let mut statuses = self.folder.as_ref().map(|folder| folder.statuses()).unwrap_or_default();
        for status in statuses.iter_mut().filter(|status| self.servers.has(&status.name)) {
            status.state = ProviderState::Broken;
            status.error = Some(clash(&status.name));
        }
        statuses.extend(self.servers.statuses());
        statuses
    }

    fn ready(&self) -> bool {
        *self.whole.borrow() && self.folder.as_ref().is_none_or(|folder| folder.ready())
    }

    fn sections(&self) -> Vec<(&'static str, serde_json::Value)> {
        let models = self.models.statuses();
        if models.is_empty() { Vec::new() } else { vec![("models", serde_json::to_value(models).unwrap_or_default())] }
    }
}

/// What is wrong where a plugin and a server have one name.
pub(super) fn clash(name: &str) -> String {
    format!("there is a [server.{name}] too, which is served; rename {name}.wasm or the server")
}

/// From the folder to the catalog, without the plugins whose names servers have.
async fn pass_on(mut from: mpsc::Receiver<Vec<ProviderChange>>, to: mpsc::Sender<Vec<ProviderChange>>, servers: Arc<Servers>) {
    while let Some(mut changes) = from.recv().await {
        let is_mark = changes.is_empty();
        changes.retain(|change| {
            let id = match change {
                ProviderChange::Put(provider) => provider.id(),
                ProviderChange::Remove(id) | ProviderChange::Updated(id, _) => id,
            };
            let clashes = servers.has(id.as_str());
            if clashes && matches!(change, ProviderChange::Put(_)) {
                tracing::warn!(plugin = %id, "plugin is not served: {}", clash(id.as_str()));
            }
            !clashes
        });
        if (is_mark || !changes.is_empty()) && to.send(changes).await.is_err() {
            return;
        }
    }
}

/// Takes changes into the catalog, and tells of the first mark: an empty list.
pub(super) async fn apply(mut changed: mpsc::Receiver<Vec<ProviderChange>>, catalog: Arc<Catalog>, whole: watch::Sender<bool>) {
    while let Some(changes) = changed.recv().await {
        if changes.is_empty() {
            catalog.settle();
            whole.send_replace(true);
        }
        catalog.apply(changes);
    }
}
