//! A tool server that exists already: `[server.NAME]` of `toolbay.toml`, or an entry of a desktop client's `mcpServers`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::plugin::{Secret, ToolOverride};

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where it comes from: one of `command`, `image`, `url`, `openapi`.
    pub source: ServerSource,
    /// How many run at once, and when more are started. Programs and images only. Key: `replicas`.
    pub replicas: Replicas,
    /// How long things may take, and how many calls there may be.
    pub limits: ServerLimits,
    /// Under which names its tools are published.
    pub names: NameRules,
    /// The tool that a REST call means which names none. Key: `default_tool`.
    pub default_tool: Option<String>,
}

impl ServerConfig {
    /// A server with nothing set but its source.
    #[must_use]
    pub fn new(source: ServerSource) -> Self {
        Self { source, replicas: Replicas::default(), limits: ServerLimits::default(), names: NameRules::default(), default_tool: None }
    }
}

/// Where a server comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerSource {
    /// A program that speaks MCP on its stdin and stdout.
    Command(CommandSource),
    /// A container image whose entry point does.
    Image(ImageSource),
    /// A remote MCP server, by Streamable HTTP.
    Url(UrlSource),
    /// An HTTP application, described by an OpenAPI document.
    OpenApi(OpenApiSource),
}

/// `command = ["npx", "-y", "some-server"]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CommandSource {
    /// The program and its arguments; never empty. Key: `command` (a list, or a string with `args` beside it).
    pub argv: Vec<String>,
    /// Where it runs. None: where the host does. Key: `cwd`.
    pub cwd: Option<PathBuf>,
    /// Its environment, beside `PATH`, `HOME`, `LANG`, `TMPDIR` and the like, which it has from the host. Key: `env`.
    pub env: BTreeMap<String, Secret>,
}

/// `image = "ghcr.io/acme/server:1"`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSource {
    /// The image. Key: `image`.
    pub image: String,
    /// Arguments of the entry point. Key: `args`.
    pub args: Vec<String>,
    /// In place of the image's own entry point. Key: `entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// The environment. Key: `env`.
    pub env: BTreeMap<String, Secret>,
    /// Bytes of memory, swap included. Key: `memory`.
    pub memory: u64,
    /// Share of CPU cores: 0.5 is half of one. Key: `cpus`.
    pub cpus: f64,
    /// Processes and threads. Key: `pids`.
    pub pids: u32,
    /// `none` (the default), `host`, `bridge`, or a network's name. Key: `network`.
    pub network: String,
    /// Bytes of the writable `/tmp`. Key: `tmpfs`.
    pub tmpfs: u64,
    /// Whether the root file system may be written. Key: `writable`.
    pub writable: bool,
    /// `uid[:gid]` in place of the image's. Key: `user`.
    pub user: Option<String>,
    /// Folders of the host. Key: `dirs`.
    pub dirs: Vec<super::plugin::DirGrant>,
    /// When to pull. Key: `pull`.
    pub pull: Pull,
}

impl Default for ImageSource {
    fn default() -> Self {
        Self {
            image: String::new(),
            args: Vec::new(),
            entrypoint: None,
            env: BTreeMap::new(),
            memory: 512 << 20,
            cpus: 1.0,
            pids: 256,
            network: "none".to_owned(),
            tmpfs: 64 << 20,
            writable: false,
            user: None,
            dirs: Vec::new(),
            pull: Pull::Missing,
        }
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pull {
    /// When it is not there.
    #[default]
    Missing,
    /// At every start of the host.
    Always,
    /// Never.
    Never,
}

/// `url = "https://tools.example.com/mcp"`.
#[derive(Clone, Debug, PartialEq)]
pub struct UrlSource {
    /// http or https. Key: `url`.
    pub url: String,
    /// Sent with every request. Key: `headers`.
    pub headers: BTreeMap<String, Secret>,
    /// Sent as `Authorization: Bearer`. Key: `bearer`.
    pub bearer: Option<Secret>,
}

/// `openapi = "classifier.json"`, or a URL.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenApiSource {
    /// A file's absolute path, or an http(s) URL. Key: `openapi`.
    pub document: String,
    /// Where the application is, in place of the document's `servers`. Key: `base_url`.
    pub base_url: Option<String>,
    /// How often a document at a URL is asked for again. Zero: never. A file is watched. Key: `refresh`.
    pub refresh: Duration,
    /// Sent with every request. Key: `headers`.
    pub headers: BTreeMap<String, Secret>,
    /// Sent as `Authorization: Bearer`. Key: `bearer`.
    pub bearer: Option<Secret>,
    /// Sent in the query of every request. Key: `query`.
    pub query: BTreeMap<String, Secret>,
    /// By the name of a security scheme of the document: sent with the operations that ask for it, where the scheme says. Key: `credentials`.
    pub credentials: BTreeMap<String, Secret>,
    /// Whether other documents of the same origin are read that a document at a URL refers to. Key: `follow_references`.
    pub follow_references: bool,
}

impl OpenApiSource {
    /// Whether there is anything that is meant for the application alone.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.bearer.is_some() || !self.headers.is_empty() || !self.query.is_empty() || !self.credentials.is_empty()
    }
}

impl Default for OpenApiSource {
    fn default() -> Self {
        Self {
            document: String::new(),
            base_url: None,
            refresh: Duration::from_secs(60),
            headers: BTreeMap::new(),
            bearer: None,
            query: BTreeMap::new(),
            credentials: BTreeMap::new(),
            follow_references: false,
        }
    }
}

/// How many replicas there are. `replicas = 3` is `{ min = 3, max = 3 }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replicas {
    /// As few as this; 0: none while idle. Key: `min`.
    pub min: u32,
    /// As many as this; at least 1 and at least `min`. Key: `max`.
    pub max: u32,
    /// Calls in flight on one replica that are aimed at. Key: `target_ongoing_requests`.
    pub target_ongoing_requests: f64,
    /// How long more are needed before one is started. Key: `upscale_delay`.
    pub upscale_delay: Duration,
    /// How long fewer would do before one is stopped. Key: `downscale_delay`.
    pub downscale_delay: Duration,
}

impl Default for Replicas {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1,
            target_ongoing_requests: 2.0,
            upscale_delay: Duration::from_secs(3),
            downscale_delay: Duration::from_secs(60),
        }
    }
}

/// What a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// From the start of a program to the end of its handshake and lists. Key: `start_timeout`.
    pub start: Duration,
    /// One call. Key: `timeout`.
    pub call: Duration,
    /// From the end of a program's input to its end, before it is killed. Key: `stop_timeout`.
    pub stop: Duration,
    /// Calls that run at once on one replica. Key: `concurrency`.
    pub concurrency: usize,
    /// Calls that wait for their turn; one more is answered 503. Key: `queue`.
    pub queue: usize,
    /// Bytes of one message from the server. Key: `max_message`.
    pub max_message: usize,
    /// A replica that said nothing for so long while it had nothing to do is pinged, and one that does not answer within as long again is replaced. Zero:
    /// none is. Key: `ping`.
    pub ping: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            call: Duration::from_secs(60),
            stop: Duration::from_secs(5),
            concurrency: 64,
            queue: 256,
            max_message: 16 << 20,
            ping: Duration::from_secs(15),
        }
    }
}

/// Under which names, and which of them, a provider's tools (and prompts) are published.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NameRules {
    /// Put before every name that `rename` does not name. Key: `prefix`.
    pub prefix: Option<String>,
    /// The server's own name → the published one. Key: `rename`.
    pub rename: BTreeMap<String, String>,
    /// Only these, by the server's own name, `*` for any characters. Empty: all. Key: `include`.
    pub include: Vec<String>,
    /// Not these, by the server's own name. Key: `exclude`.
    pub exclude: Vec<String>,
    /// By the server's own name: what to say of it instead of what the server says. Table: `[server.NAME.tools.TOOL]`.
    pub tools: BTreeMap<String, ToolOverride>,
}
