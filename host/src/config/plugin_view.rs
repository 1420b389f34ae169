//! All that is configured about one plugin, to tell whether it is another.

use std::collections::BTreeSet;

use super::{Config, PluginConfig};

/// All that is configured about one plugin outside of its sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginView {
    base: PluginConfig,
    /// What a sidecar may not set again.
    keys: BTreeSet<String>,
    sidecar_grants: bool,
    /// The models that it may use.
    models: BTreeSet<String>,
}

impl Config {
    /// All that is configured about a plugin outside of its sidecar. While it is the same, the
    /// plugin is.
    #[must_use]
    pub fn plugin_view(&self, name: &str) -> PluginView {
        let uses = |plugins: &[String]| plugins.iter().any(|plugin| plugin == name);
        PluginView {
            base: self.base_of(name),
            keys: self.places.get(name).map(|places| places.keys().cloned().collect()).unwrap_or_default(),
            sidecar_grants: self.host.sidecar_grants,
            models: self.model.iter().filter(|(_, model)| uses(&model.plugins)).map(|(name, _)| name.clone()).collect(),
        }
    }
}
