//! The plugins of a host: a folder that is watched, or one that was looked at once.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    config::Config,
    provider::{ProviderChange, ProviderStatus, StatusSource as _},
    servers::Run,
    wasm::{
        compile,
        folder::{Folder, FolderError, FolderOptions, Once, load_once},
        plugin::PluginHost,
    },
};

/// Where the plugins come from.
pub(super) enum Plugins {
    /// There is no folder, only servers.
    None,
    /// A folder that is watched.
    Watched(Arc<Folder>),
    /// What one look at a folder or a file found.
    Once(Vec<ProviderStatus>),
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
        let options = FolderOptions::new(config.plugins.clone(), config.host.max_file, compile::jobs(&config.host));
        let loader = Arc::new(host);
        let started = match run {
            Run::Serve => Folder::start(options, loader, changes).await.map(Self::Watched),
            Run::Once => match load_once(options, loader).await {
                Ok(Once { loaded, statuses }) => {
                    let puts = loaded.into_iter().map(|(_, loaded)| ProviderChange::Put(loaded.provider)).collect();
                    // Nobody takes changes any more when the host ends.
                    let _ = changes.send(puts).await;
                    Ok(Self::Once(statuses))
                }
                Err(error) => Err(error),
            },
        };
        match started {
            Err(error @ FolderError::Missing { .. }) if optional => {
                tracing::info!("only servers are served: {error}");
                Ok(Self::None)
            }
            started => started,
        }
    }

    pub(super) async fn settled(&self) {
        if let Self::Watched(folder) = self {
            folder.settled().await;
        }
    }

    /// The configuration is another one.
    pub(super) fn reconfigured(&self) {
        if let Self::Watched(folder) = self {
            folder.reconfigured();
        }
    }

    pub(super) async fn stop(&self) {
        if let Self::Watched(folder) = self {
            folder.stop().await;
        }
    }

    pub(super) fn ready(&self) -> bool {
        if let Self::Watched(folder) = self { folder.ready() } else { true }
    }

    pub(super) fn statuses(&self) -> Vec<ProviderStatus> {
        match self {
            Self::None => Vec::new(),
            Self::Watched(folder) => folder.statuses(),
            Self::Once(statuses) => statuses.clone(),
        }
    }
}
