//! What a plugin that is loaded on demand says of its lists: by its calls, and by what it lists when it is loaded.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{OnDemand, Version, loaded};
use crate::wasm::{
    folder::{Loaded, PluginUpdate, PluginUpdates},
    imports::notify::Lists,
    plugin::{Plugin, listing::Unheard},
};

/// How often lists are asked for before a plugin that says that they have changed is left as it was, and how long is waited in between: it may just be busy.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// How long is waited for code of which somebody wants the lists.
const PATIENCE: Duration = Duration::from_secs(60);

/// Listens to what the calls of a plugin say.
pub(super) struct Ear(pub(super) Arc<OnDemand>);

impl PluginUpdates for Ear {
    fn next(&self) -> BoxFuture<'static, PluginUpdate> {
        let plugin = self.0.clone();
        Box::pin(async move { plugin.heard().await })
    }
}

impl OnDemand {
    async fn heard(&self) -> PluginUpdate {
        let version = &self.version;
        let Some(bell) = &version.bell else { return std::future::pending().await };
        loop {
            let mut said = Unheard::new(bell, bell.wait(version.id.as_str()).await);
            let lists = said.lists();
            let relisted = if lists.any() { self.look_again(lists).await } else { None };
            let updated = said.take();
            if relisted.is_some() || !updated.is_empty() {
                return PluginUpdate { relisted, updated };
            }
        }
    }

    /// The plugin with these lists as they are now. None, where they are the same, or cannot be made.
    async fn look_again(&self, lists: Lists) -> Option<Loaded> {
        for tries in 1..=TRIES {
            match self.listed(lists).await {
                Ok(relisted) => return relisted,
                Err(error) if tries == TRIES => {
                    tracing::warn!(plugin = %self.version.id, error, "the plugin reports changed lists, but they cannot be read; the previous ones stay");
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    async fn listed(&self, lists: Lists) -> Result<Option<Loaded>, String> {
        let plugin = self.version.load_for_lists().await?;
        let next = plugin.listed(lists).await.map_err(|error| error.to_string())?;
        if !self.described.differences(&next).any() {
            return Ok(None);
        }
        let described = Arc::new(self.described.again(&next));
        let version = self.version.clone();
        // The next start asks again: what it says may be another thing then.
        version.host.forget_description(&version, described.target).await;
        version.described.store(Some(described.clone()));
        version.put(Arc::new(next)).await;
        Ok(Some(loaded(version, described)))
    }
}

impl Version {
    async fn load_for_lists(self: &Arc<Self>) -> Result<Arc<Plugin>, String> {
        if let Some(plugin) = self.loaded.load_full() {
            return Ok(plugin);
        }
        self.load(PATIENCE).await.map_err(|error| error.to_string())
    }
}
