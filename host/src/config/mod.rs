//! `toolbay.toml`: typed, and checked whole before any port is bound.

mod address;
mod auth;
mod differences;
mod dirs;
mod engine;
mod error;
mod host;
mod http;
mod include;
mod key;
mod load;
mod mcp_json;
mod model;
#[cfg(test)]
mod pages;
mod plugin;
mod publish;
mod read;
mod reader;
mod schema;
mod secret;
mod section;
mod server;
mod source;
mod state;
mod syntax;
mod tables;
mod tasks;
mod telemetry;
#[cfg(test)]
mod tests;
mod types;
mod units;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use address::{HostMatch, HostPattern, canonical_host, parse_listen};
pub use auth::AuthConfig;
pub use differences::Difference;
pub use dirs::DirGrant;
pub use engine::EngineChoice;
pub use error::{ConfigError, Place, Problem};
pub use host::HostConfig;
pub use http::HttpConfig;
pub use load::{Files, Loaded, Overrides, load};
pub use model::{Device, GpuMemory, InferenceConfig, ModelConfig};
pub use plugin::{Grants, PluginConfig, PluginLimits};
pub use publish::{NameRules, ToolOverride};
pub use schema::json_schema;
pub use secret::Secret;
pub use server::{CommandSource, ImageSource, OpenApiSource, Pull, Replicas, ServerConfig, ServerLimits, ServerSource, UrlSource};
pub use state::StateConfig;
pub use tasks::TasksConfig;
pub use telemetry::{LogFormat, TelemetryConfig, parse_log_filter};
pub use units::{parse_duration, parse_size};

use tables::RootKeys;

/// Everything that a running host is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen. Key: `listen`.
    pub listen: SocketAddr,
    /// The folder of plugins. Key: `plugins`.
    pub plugins: PathBuf,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[state]`.
    pub state: StateConfig,
    /// `[tasks]`.
    pub tasks: TasksConfig,
    /// `[host]`.
    pub host: HostConfig,
    /// `[telemetry]`.
    pub telemetry: TelemetryConfig,
    /// `[plugin.NAME]`, by NAME. `[plugin.default]` is the base of all others, sidecars too.
    pub plugin: BTreeMap<String, PluginConfig>,
    /// `[server.NAME]`, by NAME.
    pub server: BTreeMap<String, ServerConfig>,
    /// `[inference]`.
    pub inference: InferenceConfig,
    /// `[model.NAME]`, by NAME.
    pub model: BTreeMap<String, ModelConfig>,
    /// The file that this was read from.
    origin: Option<PathBuf>,
    /// Where `[plugin.NAME]` sets which key: a sidecar may not set it again.
    places: Arc<BTreeMap<String, plugin::Places>>,
}

impl Default for Config {
    fn default() -> Self {
        let RootKeys { listen, plugins, .. } = RootKeys::default();
        Self {
            listen,
            plugins,
            http: HttpConfig::default(),
            auth: AuthConfig::default(),
            state: StateConfig::default(),
            tasks: TasksConfig::default(),
            host: HostConfig::default(),
            telemetry: TelemetryConfig::default(),
            plugin: BTreeMap::new(),
            server: BTreeMap::new(),
            inference: InferenceConfig::default(),
            model: BTreeMap::new(),
            origin: None,
            places: Arc::default(),
        }
    }
}

impl Config {
    /// Reads a `toolbay.toml` and what it includes. Relative paths go from the folder of the file
    /// that they stand in; secrets are read now.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(Some(path), &Overrides::default()).config
    }

    /// Reads the text of a `toolbay.toml` that is, or could be, at `origin`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        load::parse(text, origin, &|name| std::env::var_os(name), &mut Files::default())
    }

    /// Adds the servers of a `mcpServers` JSON, as desktop clients have it. Relative paths in it go
    /// from its folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it, and with names that are taken.
    pub fn add_mcp_json(&mut self, path: &Path) -> Result<(), ConfigError> {
        let found = mcp_json::load(path, &|name| std::env::var_os(name))?;
        let place = Place { file: path.to_owned(), line: 1, column: 1 };
        let problem = |message| Problem { place: place.clone(), message, excerpt: None };
        let problems: Vec<_> = mcp_json::merge(self, found, path).into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// The file that this was read from; None for the defaults.
    #[must_use]
    pub fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    /// What a plugin may use and reach: the defaults, over them `[plugin.default]`,
    /// `[plugin.NAME]`, and the text of its sidecar with the path of that.
    ///
    /// A key that both `[plugin.NAME]` and the sidecar set is an error: the operator's word is not
    /// undone in silence by whoever may write to the folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with the sidecar.
    pub fn for_plugin(&self, name: &str, sidecar: Option<(&str, &Path)>) -> Result<PluginConfig, ConfigError> {
        match sidecar {
            None => Ok(self.base_of(name)),
            Some((text, origin)) => read::sidecar(self, name, text, origin, &|name| std::env::var_os(name)),
        }
    }

    fn base_of(&self, name: &str) -> PluginConfig {
        let configured = self.plugin.get(name).or_else(|| self.plugin.get(read::BASE));
        configured.cloned().unwrap_or_else(|| PluginConfig::unconfigured(self.host.max_memory))
    }
}
