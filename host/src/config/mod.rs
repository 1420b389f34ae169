//! `toolbay.toml`: typed, and checked whole before any port is bound.

mod address;
mod engine;
mod error;
mod file;
mod layer;
mod mcp_json;
pub mod model;
#[cfg(test)]
mod pages;
pub mod plugin;
mod read;
mod reader;
mod secret;
pub mod server;
mod servers;
mod state;
mod syntax;
mod tasks;
#[cfg(test)]
mod tests;
mod units;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use address::parse_listen;
pub use engine::EngineChoice;
pub use error::{ConfigError, Place, Problem};
pub use file::json_schema;
pub use units::{parse_duration, parse_size};

pub use model::{Device, GpuMemory, InferenceConfig, ModelConfig};
pub use plugin::{DirGrant, Grants, HostPattern, PluginConfig, PluginLimits, Secret, ToolOverride};
pub use server::{
    CommandSource, ImageSource, NameRules, OpenApiSource, OutputSchema, PublishRules, Pull, Replicas, ServerConfig, ServerLimits,
    ServerSource, UrlSource,
};
pub use state::StateConfig;
pub use tasks::TasksConfig;

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
    places: Arc<BTreeMap<String, layer::Places>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            plugins: PathBuf::from("plugins"),
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
    /// Reads a `toolbay.toml`. Relative paths in it go from its folder; secrets are read now.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |reason: String| ConfigError::Read { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|error| read(error.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| read(format!("it is not UTF-8 text (byte {} is wrong)", error.utf8_error().valid_up_to() + 1)))?;
        Self::parse(&text, path)
    }

    /// Reads the text of a `toolbay.toml` that is, or could be, at `origin`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        read::parse(text, origin, &|name| std::env::var_os(name))
    }

    /// Adds the servers of a `mcpServers` JSON, as desktop clients have it. Relative paths in it go from its folder.
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

    /// What a plugin may use and reach: the defaults, over them `[plugin.default]`, `[plugin.NAME]`, and the text of its sidecar with the path of that.
    ///
    /// A key that both `[plugin.NAME]` and the sidecar set is an error: the operator's word is not undone in silence by whoever may write to the folder.
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
        configured.cloned().unwrap_or_else(|| layer::default_plugin(self.host.max_memory))
    }
}

/// How the endpoint is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// Names (with or without a port) that `Host` may have, beside loopback and the listening address. `*` allows any. Key: `allowed_hosts`.
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call, beside those on loopback: `https://app.example.com`. `*` allows any. Key: `allowed_origins`.
    pub allowed_origins: Vec<String>,
    /// Bytes of a request's body. Key: `max_body`.
    pub max_body: usize,
    /// Bytes of all bodies that are held at once, small ones not counted. Key: `max_bodies`.
    pub max_bodies: usize,
    /// Connections at once. Key: `max_connections`.
    pub max_connections: usize,
    /// From a connection's first byte to the end of a request's head. Key: `header_timeout`.
    pub header_timeout: Duration,
    /// Sessions of 2025-11-25 clients at once. Key: `max_sessions`.
    pub max_sessions: usize,
    /// A session that was not used for this long ends. Key: `session_idle`.
    pub session_idle: Duration,
    /// How long a client with a session may take to answer a question. Key: `ask_timeout`.
    pub ask_timeout: Duration,
    /// How long calls in flight may take to end after SIGTERM. Key: `drain`.
    pub drain: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body: 4 << 20,
            max_bodies: 256 << 20,
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            max_sessions: 10_000,
            session_idle: Duration::from_secs(30 * 60),
            ask_timeout: Duration::from_secs(5 * 60),
            drain: Duration::from_secs(30),
        }
    }
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthConfig {
    /// Static bearer tokens, `[auth.tokens]`: name → value. The name is the principal in logs and for plugins.
    pub tokens: BTreeMap<String, Secret>,
}

/// What the host itself may use.
#[derive(Clone, Debug, PartialEq)]
pub struct HostConfig {
    /// Instances that live at once, of all plugins together: the size of the pool. Key: `instances`.
    pub instances: u32,
    /// The largest `memory` that a plugin may be given. Key: `max_memory`.
    pub max_memory: usize,
    /// Bytes of a `.wasm` file. Key: `max_file`.
    pub max_file: u64,
    /// CPU time of compiling one component. Key: `compile_time`.
    pub compile_time: Duration,
    /// Memory of compiling one component. Key: `compile_memory`.
    pub compile_memory: u64,
    /// Components that compile at once; 0: as many as there are cores. Key: `compile_jobs`.
    pub compile_jobs: usize,
    /// Where compiled components are kept. None: `${XDG_CACHE_HOME:-~/.cache}/toolbay/compiled`. Key: `cache`.
    pub cache: Option<PathBuf>,
    /// Whether a sidecar may grant anything; if not, it sets limits and descriptions only. Key: `sidecar_grants`.
    pub sidecar_grants: bool,
    /// What runs the images of `[server.NAME]`. Key: `container_engine`.
    pub container_engine: EngineChoice,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            instances: 1000,
            max_memory: 1 << 30,
            max_file: 128 << 20,
            compile_time: Duration::from_secs(300),
            compile_memory: 4 << 30,
            compile_jobs: 0,
            cache: None,
            sidecar_grants: true,
            container_engine: EngineChoice::Auto,
        }
    }
}

/// What is written about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// `text` or `json`. Key: `format`.
    pub format: LogFormat,
    /// A filter as `tracing` has them: `info`, `toolbay=debug,warn`. Key: `log`.
    pub log: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, log: "info".to_owned() }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
