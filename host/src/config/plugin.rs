//! What a plugin may use and reach: `[plugin.NAME]` of `toolbay.toml`, or a sidecar `NAME.toml` beside `NAME.wasm`.
//!
//! A field that is not set has its default. Everything is denied that is not granted.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Limits and grants of one plugin.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PluginConfig {
    /// What a call may use.
    pub limits: PluginLimits,
    /// What a call may reach.
    pub grants: Grants,
    /// Under which names its tools and prompts are published. The `tools` in it are empty: they stand below.
    pub names: super::NameRules,
    /// By the plugin's own tool name: what to say of it instead of what the plugin says.
    pub tools: BTreeMap<String, ToolOverride>,
    /// The tool that a REST call means which names none. Key: `default_tool`.
    pub default_tool: Option<String>,
}

/// What one call, or all calls of a plugin together, may use.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginLimits {
    /// Bytes of linear memory, all memories of an instance together. Key: `memory`.
    pub memory: usize,
    /// Elements of tables, all tables of an instance together. Key: `table_elements`.
    pub table_elements: usize,
    /// Wall time of one call, waiting for its turn not counted. Key: `timeout`.
    pub timeout: Duration,
    /// Bytes of an answer, as JSON. Key: `output`.
    pub output: usize,
    /// Log lines a second that are kept; bursts of as many. Key: `log_rate`.
    pub log_rate: u32,
    /// Calls that run at once. Key: `concurrency`.
    pub concurrency: usize,
    /// Calls that wait for their turn; one more is answered 503. Key: `queue`.
    pub queue: usize,
    /// Outgoing HTTP requests that one call has open at once. Key: `http_connections`.
    pub http_connections: usize,
    /// Bytes of one HTTP response's body. Key: `http_body`.
    pub http_body: u64,
    /// From the sending of an HTTP request to the last byte of its answer. Key: `http_timeout`.
    pub http_timeout: Duration,
    /// Bytes of tensors that the host keeps for one call. Key: `nn_memory`.
    pub nn_memory: u64,
    /// Time that one call may compute with models, all its computes together. Key: `nn_time`.
    pub nn_time: Duration,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            table_elements: 100_000,
            timeout: Duration::from_secs(60),
            output: 8 << 20,
            log_rate: 100,
            concurrency: 64,
            queue: 256,
            http_connections: 16,
            http_body: 32 << 20,
            http_timeout: Duration::from_secs(30),
            nn_memory: 256 << 20,
            nn_time: Duration::from_secs(60),
        }
    }
}

/// What a plugin may reach.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Grants {
    /// Hosts for outgoing HTTP. Key: `http`.
    pub http: Vec<HostPattern>,
    /// Hosts for outgoing HTTP that may be loopback, link-local or private addresses. Key: `http_private`.
    pub http_private: Vec<HostPattern>,
    /// Environment variables, read when the configuration is: values are secrets, `Debug` does not show them. Key: `env`.
    pub env: BTreeMap<String, Secret>,
    /// Folders. Key: `dirs`.
    pub dirs: Vec<DirGrant>,
    /// Bytes of a graph that the plugin itself brings to wasi-nn's `load`; 0: it may bring none. Key: `nn_load`.
    pub nn_load: u64,
}

/// A host, or all names under one, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// `api.example.com`, `10.1.2.3`, `::1`; lower case. With `any_subdomain`, the part after `*.`.
    pub host: String,
    /// `*.example.com`: any name below it, and not itself.
    pub any_subdomain: bool,
    /// None: the scheme's own (80 for http, 443 for https).
    pub port: Option<u16>,
}

/// A folder of the host that a plugin sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// On the host; absolute, or made so from the folder of the file that grants it.
    pub host: PathBuf,
    /// As the plugin sees it: `/data`.
    pub guest: String,
    /// Whether it may be changed.
    pub write: bool,
}

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// What to publish of a tool in place of what the plugin says.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ToolOverride {
    /// A name for people.
    pub title: Option<String>,
    /// What the model reads.
    pub description: Option<String>,
    /// By the published parameter name: its description in the input schema.
    pub params: BTreeMap<String, String>,
}
