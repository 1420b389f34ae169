//! `toolbay.toml`: typed, and checked whole before any port is bound.

pub mod plugin;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

pub use plugin::{DirGrant, Grants, HostPattern, PluginConfig, PluginLimits, Secret, ToolOverride};

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
    /// `[host]`.
    pub host: HostConfig,
    /// `[telemetry]`.
    pub telemetry: TelemetryConfig,
    /// `[plugin.NAME]`, by NAME. `[plugin.default]` is the base of all others, sidecars too.
    pub plugin: BTreeMap<String, PluginConfig>,
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
    /// Connections at once. Key: `max_connections`.
    pub max_connections: usize,
    /// From a connection's first byte to the end of a request's head. Key: `header_timeout`.
    pub header_timeout: Duration,
    /// Sessions of 2025-11-25 clients at once. Key: `max_sessions`.
    pub max_sessions: usize,
    /// A session that was not used for this long ends. Key: `session_idle`.
    pub session_idle: Duration,
    /// How long calls in flight may take to end after SIGTERM. Key: `drain`.
    pub drain: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body: 4 << 20,
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            max_sessions: 10_000,
            session_idle: Duration::from_secs(30 * 60),
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
