//! The plugins of a host: a folder that is watched, or one that was looked at once, and what comes from registries.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use crate::{
    config::Config,
    oci::Pulls,
    provider::{ProviderChange, ProviderStatus, StatusSource as _},
    servers::Run,
    wasm::{
        compile,
        folder::{Folder, FolderError, FolderOptions, Once, load_once},
        plugin::PluginHost,
    },
};

/// How long the start waits for registries: after that, plugins come as they are pulled.
const PULL_WAITS: Duration = Duration::from_secs(10);

/// Where the plugins come from.
pub(super) enum Plugins {
    /// A folder that is watched, and what is pulled.
    Watched {
        folder: Arc<Folder>,
        pulls: Arc<Pulls>,
        /// Whether the folder was there at the start.
        is_there: bool,
    },
    /// What one look at a folder or a file found.
    Once(Vec<ProviderStatus>),
}

/// Whether plugins come from registries.
pub(super) fn are_pulled(config: &Config) -> bool {
    config.plugin.values().any(|plugin| plugin.origin.source.is_some())
}

impl Plugins {
    /// Starts to watch, or looks once. What is found is sent to `changes`. `optional`: the folder need not be there.
    pub(super) async fn start(
        config: &Config,
        run: Run,
        optional: bool,
        host: Arc<PluginHost>,
        changes: mpsc::Sender<Vec<ProviderChange>>,
    ) -> Result<Self, FolderError> {
        let mut options = FolderOptions::new(config.plugins.clone(), config.host.max_file, compile::jobs(&config.host));
        options.optional = optional;
        let loader = Arc::new(host);
        if run == Run::Serve {
            let is_there = config.plugins.is_dir();
            let pulls = Pulls::start(config, PULL_WAITS);
            options.pulled = Some(pulls.pulled());
            let folder = Folder::start(options, loader, changes).await?;
            return Ok(Self::Watched { folder, pulls, is_there });
        }
        // Whoever names a single file wants that, and no other plugin.
        let pulled = if config.plugins.is_file() { Arc::default() } else { Pulls::once(config).await };
        options.pulled = Some(watch::Sender::new(Arc::clone(&pulled)).subscribe());
        let Once { loaded, mut statuses } = load_once(options, loader).await?;
        pulled.tell(&mut statuses);
        let puts = loaded.into_iter().map(|(_, loaded)| ProviderChange::Put(loaded.provider)).collect();
        // Nobody takes changes any more when the host ends.
        let _ = changes.send(puts).await;
        Ok(Self::Once(statuses))
    }

    /// Whether there is a folder of plugins.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Watched { is_there, .. } => *is_there,
            Self::Once(_) => true,
        }
    }

    pub(super) async fn settled(&self) {
        if let Self::Watched { folder, .. } = self {
            folder.settled().await;
        }
    }

    /// The configuration is another one.
    pub(super) fn reconfigured(&self, config: &Config) {
        if let Self::Watched { folder, pulls, .. } = self {
            pulls.apply(config);
            folder.reconfigured();
        }
    }

    pub(super) async fn stop(&self) {
        if let Self::Watched { folder, pulls, .. } = self {
            pulls.stop();
            folder.stop().await;
        }
    }

    pub(super) fn ready(&self) -> bool {
        if let Self::Watched { folder, .. } = self { folder.ready() } else { true }
    }

    pub(super) fn statuses(&self) -> Vec<ProviderStatus> {
        match self {
            Self::Watched { folder, pulls, .. } => {
                let mut statuses = folder.statuses();
                pulls.pulled().borrow().tell(&mut statuses);
                statuses
            }
            Self::Once(statuses) => statuses.clone(),
        }
    }
}
