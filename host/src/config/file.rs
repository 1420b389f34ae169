//! The shape of `toolbay.toml` and of a sidecar, for the JSON Schema: every key with what it means, its type and its default.
//!
//! The reader asks for keys one by one; tests hold the two together. Defaults come from the types that the host uses.

mod servers;

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema as schema};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    Config, HostConfig, HttpConfig, InferenceConfig, ModelConfig, PluginLimits, StateConfig, TasksConfig, TelemetryConfig,
    units::{format_duration, format_size},
};
use servers::ServerSection;

/// The JSON Schema (2020-12) of `toolbay.toml`, with descriptions and defaults.
#[must_use]
pub fn json_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ToolbayFile>().to_value()
}

/// Where a key belongs, in words, if there is such a key anywhere.
pub(super) fn home_of(key: &str) -> Option<String> {
    static ROOT: LazyLock<Value> = LazyLock::new(json_schema);
    let root = &*ROOT;
    if root.pointer("/properties")?.get(key).is_some() {
        return Some("at the top level of toolbay.toml".to_owned());
    }
    let has = |section: &str| root.pointer(&format!("/$defs/{section}/properties")).is_some_and(|keys| keys.get(key).is_some());
    for (section, home) in [
        ("HttpSection", "in [http]"),
        ("AuthSection", "in [auth]"),
        ("StateSection", "in [state]"),
        ("TasksSection", "in [tasks]"),
        ("HostSection", "in [host]"),
        ("TelemetrySection", "in [telemetry]"),
        ("InferenceSection", "in [inference]"),
        ("ModelSection", "in [model.NAME]"),
        ("PluginSection", "in [plugin.NAME], or at the top level of a sidecar"),
        ("ToolSection", "in [plugin.NAME.tools.TOOL]"),
        ("ServerSection", "in [server.NAME]"),
        ("ReplicasSection", "in replicas of [server.NAME]"),
    ] {
        if has(section) {
            return Some(home.to_owned());
        }
    }
    None
}

/// Whether a value of this key can be shown to anybody. Only keys of our own, and none below which secrets stand.
pub(super) fn is_plain_key(key: &str) -> bool {
    // An argument, or a URL, is as good a place for a secret as a variable.
    let secret = [
        "env",
        "auth",
        "tokens",
        "state",
        "keys",
        "plugin",
        "tools",
        "params",
        "server",
        "headers",
        "bearer",
        "query",
        "credentials",
        "command",
        "args",
        "url",
        "entrypoint",
    ];
    !secret.contains(&key) && home_of(key).is_some()
}

/// Configuration of a Toolbay host.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "toolbay.toml")]
struct ToolbayFile {
    /// Address and port to listen on. Beyond loopback only with tokens in `[auth.tokens]`, or with `--insecure`.
    listen: String,
    /// The folder of plugins; a relative path goes from the folder of this file.
    plugins: String,
    http: HttpSection,
    auth: AuthSection,
    state: StateSection,
    tasks: TasksSection,
    host: HostSection,
    telemetry: TelemetrySection,
    inference: InferenceSection,
    /// Models that plugins may run, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    model: BTreeMap<String, ModelSection>,
    /// Limits and grants by plugin name; `default` is the base of all others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    plugin: BTreeMap<String, PluginSection>,
    /// Tool servers that exist already: programs, container images, remote MCP servers, HTTP applications.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    server: BTreeMap<String, ServerSection>,
    /// A file with the `mcpServers` of a desktop client: its servers are served too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    mcp_json: Option<String>,
}

/// How the endpoint is reached.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HttpSection {
    /// Names, with or without a port, that the `Host` header may have beside loopback and the listening address. `*` allows any.
    allowed_hosts: Vec<String>,
    /// Browser origins that may call beside those on loopback, as `https://app.example.com`. `*` allows any.
    allowed_origins: Vec<String>,
    /// Largest body of a request.
    max_body: Size,
    /// Bytes of the bodies of all requests that are held at once, from reading one to the end of its call; those up to 4KiB are not counted.
    max_bodies: Size,
    /// Connections at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_connections: usize,
    /// Longest time from a connection's first byte to the end of a request's head.
    header_timeout: Period,
    /// Sessions of 2025-11-25 clients at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    max_sessions: usize,
    /// A session that was not used for this long ends.
    session_idle: Period,
    /// How long a client with a session, or with a task, may take to answer what a plugin asks it.
    ask_timeout: Period,
    /// How long calls in flight may take to end after SIGTERM.
    drain: Period,
}

/// Who may come in.
#[derive(Serialize, JsonSchema, Default)]
#[serde(default, deny_unknown_fields)]
struct AuthSection {
    /// Static bearer tokens by name. The name shows up in logs and is the caller's name for plugins.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<String, SecretSource>,
}

/// What signs the state that a 2026-07-28 client carries from a plugin's question to its answer.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct StateSection {
    /// Secrets of at least 32 bytes; the first signs, all are accepted. Without any, a random one signs, which no other copy has and which ends with the process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<SecretSource>,
    /// How long a client may take for its answer.
    ttl: Period,
    /// How many copies of this host clients reach under one address. More than one without keys is warned of.
    #[schemars(range(min = 1, max = 100_000))]
    copies: u32,
}

/// Calls that go on when their request has been answered with a handle (MCP's extension `io.modelcontextprotocol/tasks`), for clients that declare it.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TasksSection {
    /// Whether there are any.
    enabled: bool,
    /// A call that takes longer becomes a task. A plugin can make it one sooner.
    after: Period,
    /// How long a task lives, from its beginning: its call ends by then, and its result can be fetched until then.
    ttl: Period,
    /// Tasks at once, ended ones among them. Past that, clients wait for their calls.
    #[schemars(range(min = 1, max = 1_000_000))]
    max: usize,
    /// Bytes of the results that wait to be fetched, of all tasks together.
    max_results: Size,
    /// Where the other copies behind the same address reach this one: `http://10.0.0.7:8000`, or without a scheme and a port those of this host. Needed
    /// for tasks where `[state] copies` is more than 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EnvSource")]
    advertise: Option<String>,
}

/// What the host itself may use.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HostSection {
    /// Instances that live at once, of all plugins together.
    #[schemars(range(min = 1, max = 20_000))]
    instances: u32,
    /// The largest `memory` that a plugin may be given.
    max_memory: Size,
    /// Largest `.wasm` file.
    max_file: Size,
    /// CPU time of compiling one component.
    compile_time: Period,
    /// Memory of compiling one component.
    compile_memory: Size,
    /// Components that compile at once; 0: as many as there are cores.
    #[schemars(range(max = 1024))]
    compile_jobs: usize,
    /// The folder of compiled components. Unset: `${XDG_CACHE_HOME:-~/.cache}/toolbay/compiled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    cache: Option<String>,
    /// Whether a sidecar `NAME.toml` in the plugin folder may grant hosts, environment and folders. With `false` it can set limits and descriptions only.
    sidecar_grants: bool,
    /// What runs the images of `[server.NAME]`: `auto`, `podman`, `docker`, the path of such a program, or the address of a Docker-compatible API (`unix:///run/podman/podman.sock`).
    container_engine: String,
}

/// What is written about a run.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TelemetrySection {
    /// How a log line looks.
    format: Format,
    /// What is logged: `info`, `toolbay=debug,warn`.
    log: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the schema lists what may be written, not only the default")]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What holds for all models.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InferenceSection {
    /// ONNX Runtime's library, `libonnxruntime.so`. Unset: `ORT_DYLIB_PATH`, then Toolbay's cache, then where package managers put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    library: Option<String>,
    /// Largest tensor that a plugin makes.
    max_tensor: Size,
}

/// A folder of ONNX files, loaded once and shared by all calls.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ModelSection {
    /// The folder of its ONNX files. Must be set.
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    /// Where it runs: `cpu`, or `cuda:N` with the number of a GPU. Where that GPU cannot be used, the host does not start.
    device: String,
    /// Threads that one run uses, on the CPU.
    #[schemars(range(min = 1, max = 1024))]
    threads: usize,
    /// Copies of each graph, which can run at once.
    #[schemars(range(min = 1, max = 64))]
    sessions: usize,
    /// Rows of several calls that run as one; 1: each compute runs alone.
    #[schemars(range(min = 1, max = 4096))]
    max_batch: usize,
    /// How long a compute waits for others that are likely to come.
    batch_window: Period,
    /// What it may take of its GPU's memory: bytes, or a share such as 0.5. Unset: as much as it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GpuMemorySource")]
    gpu_memory: Option<String>,
    /// Its share of the device's time, against the weights of the other models there.
    #[schemars(range(min = 1, max = 1000))]
    weight: u32,
    /// The plugins that may use it. Unset: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plugins: Vec<String>,
}

/// Limits and grants of one plugin. What is not set comes from `[plugin.default]`, and else has the default that stands here. A sidecar has the same keys.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PluginSection {
    /// Linear memory of a call, all memories together. At most `host.max_memory`.
    memory: Size,
    /// Elements of tables of a call, all tables together.
    #[schemars(range(min = 1, max = 10_000_000))]
    table_elements: usize,
    /// Wall time of a call, waiting for its turn not counted.
    timeout: Period,
    /// Largest answer, as JSON.
    output: Size,
    /// Log lines a second that are kept; bursts of as many.
    #[schemars(range(max = 1_000_000))]
    log_rate: u32,
    /// Calls that run at once.
    #[schemars(range(min = 1, max = 20_000))]
    concurrency: usize,
    /// Calls that wait for their turn; one more is answered 503.
    #[schemars(range(max = 1_000_000))]
    queue: usize,
    /// Outgoing HTTP requests that a call has open at once.
    #[schemars(range(min = 1, max = 10_000))]
    http_connections: usize,
    /// Largest body of an HTTP response.
    http_body: Size,
    /// From the sending of an HTTP request to the last byte of its answer.
    http_timeout: Period,
    /// Tensors that the host keeps for a call.
    nn_memory: Size,
    /// Time that a call may compute with models, all its computes together.
    nn_time: Period,
    /// Largest graph that the plugin itself may bring to wasi-nn's `load`; 0: none.
    nn_load: Size,
    /// Hosts that outgoing HTTP may reach: `api.example.com`, `*.example.com:8443`, `[2001:db8::1]`. A single `*` is any public host.
    http: Vec<String>,
    /// Hosts that may have loopback, link-local or private addresses: `127.0.0.1:9000`.
    http_private: Vec<String>,
    /// Environment variables: the value, or where it is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, EnvSource>,
    /// Folders that the plugin sees.
    dirs: Vec<DirSection>,
    /// The tool that a call of the REST face means which names none. Not in `[plugin.default]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    default_tool: Option<String>,
    /// Put before the name of each tool and prompt that `rename` does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    prefix: Option<String>,
    /// Another name for a tool or prompt, by the plugin's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rename: BTreeMap<String, String>,
    /// Only these tools and prompts are published, by the plugin's own name; `*` stands for any characters. Empty: all.
    include: Vec<String>,
    /// These tools and prompts are not published, by the plugin's own name; `*` stands for any characters.
    exclude: Vec<String>,
    /// By the plugin's own tool name: what to say of a tool instead of what the plugin says. Not in `[plugin.default]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tools: BTreeMap<String, ToolSection>,
}

/// A folder of the host that a plugin sees.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DirSection {
    /// The folder on the host; a relative path goes from the folder of the file that grants it.
    host: String,
    /// Where the plugin sees it: `/data`.
    #[schemars(regex(pattern = "^/"))]
    guest: String,
    /// Whether the plugin may change it.
    #[serde(default)]
    write: bool,
}

/// What to publish of a tool.
#[derive(Serialize, JsonSchema, Default)]
#[serde(default, deny_unknown_fields)]
struct ToolSection {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    title: Option<String>,
    /// What the model reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    description: Option<String>,
    /// By published parameter name: its description in the input schema.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, String>,
}

struct Size(u64);

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_size(self.0))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema!({
            "description": "Bytes, or a number and a unit: 4096, \"64KiB\", \"1.5GiB\", \"10MB\".",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]{1,9})?\\s*([kKmMgGtT]([iI]?)[bB]|[bB])?\\s*$" }
            ]
        })
    }
}

struct Period(Duration);

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(self.0))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema!({
            "description": "A number and a unit (ms, s, m, h, d): \"250ms\", \"30s\", \"5m\".",
            "type": "string",
            "pattern": "^\\s*[0-9]+(\\.[0-9]{1,9})?\\s*(ms|s|m|h|d)\\s*$"
        })
    }
}

#[derive(Serialize)]
struct SecretSource;

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema!({
            "description": "Where a secret is taken from.",
            "type": "object",
            "properties": {
                "from_env": { "type": "string", "description": "The name of an environment variable of the host." },
                "from_file": { "type": "string", "description": "A file; one newline at its end is left out." }
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1
        })
    }
}

#[derive(Serialize)]
struct GpuMemorySource;

impl JsonSchema for GpuMemorySource {
    fn schema_name() -> Cow<'static, str> {
        "GpuMemory".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema!({
            "description": "Bytes, or a share of all that the GPU has.",
            "anyOf": [generator.subschema_for::<Size>(), { "type": "number", "exclusiveMinimum": 0, "maximum": 1 }]
        })
    }
}

#[derive(Serialize)]
struct EnvSource;

impl JsonSchema for EnvSource {
    fn schema_name() -> Cow<'static, str> {
        "EnvSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema!({
            "description": "The value itself, or where a secret is taken from.",
            "anyOf": [{ "type": "string" }, generator.subschema_for::<SecretSource>()]
        })
    }
}

impl Default for ToolbayFile {
    fn default() -> Self {
        let Config { listen, plugins, .. } = Config::default();
        Self {
            listen: listen.to_string(),
            plugins: plugins.display().to_string(),
            http: HttpSection::default(),
            auth: AuthSection::default(),
            state: StateSection::default(),
            tasks: TasksSection::default(),
            host: HostSection::default(),
            telemetry: TelemetrySection::default(),
            inference: InferenceSection::default(),
            model: BTreeMap::new(),
            plugin: BTreeMap::new(),
            server: BTreeMap::new(),
            mcp_json: None,
        }
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        let http = HttpConfig::default();
        Self {
            allowed_hosts: http.allowed_hosts,
            allowed_origins: http.allowed_origins,
            max_body: Size(http.max_body as u64),
            max_bodies: Size(http.max_bodies as u64),
            max_connections: http.max_connections,
            header_timeout: Period(http.header_timeout),
            max_sessions: http.max_sessions,
            session_idle: Period(http.session_idle),
            ask_timeout: Period(http.ask_timeout),
            drain: Period(http.drain),
        }
    }
}

impl Default for StateSection {
    fn default() -> Self {
        let state = StateConfig::default();
        Self { keys: Vec::new(), ttl: Period(state.ttl), copies: state.copies }
    }
}

impl Default for TasksSection {
    fn default() -> Self {
        let TasksConfig { enabled, after, ttl, max, max_results, advertise } = TasksConfig::default();
        Self { enabled, after: Period(after), ttl: Period(ttl), max, max_results: Size(max_results as u64), advertise }
    }
}

impl Default for HostSection {
    fn default() -> Self {
        let host = HostConfig::default();
        Self {
            instances: host.instances,
            max_memory: Size(host.max_memory as u64),
            max_file: Size(host.max_file),
            compile_time: Period(host.compile_time),
            compile_memory: Size(host.compile_memory),
            compile_jobs: host.compile_jobs,
            cache: host.cache.map(|path| path.display().to_string()),
            sidecar_grants: host.sidecar_grants,
            container_engine: host.container_engine.to_string(),
        }
    }
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self { format: Format::Text, log: TelemetryConfig::default().log }
    }
}

impl Default for InferenceSection {
    fn default() -> Self {
        let InferenceConfig { library, max_tensor } = InferenceConfig::default();
        Self { library: library.map(|path| path.display().to_string()), max_tensor: Size(max_tensor) }
    }
}

impl Default for ModelSection {
    fn default() -> Self {
        let model = ModelConfig::default();
        Self {
            path: String::new(),
            device: model.device.to_string(),
            threads: model.threads,
            sessions: model.sessions,
            max_batch: model.max_batch,
            batch_window: Period(model.batch_window),
            gpu_memory: None,
            weight: model.weight,
            plugins: model.plugins,
        }
    }
}

impl Default for PluginSection {
    fn default() -> Self {
        let limits = PluginLimits::default();
        Self {
            memory: Size(limits.memory as u64),
            table_elements: limits.table_elements,
            timeout: Period(limits.timeout),
            output: Size(limits.output as u64),
            log_rate: limits.log_rate,
            concurrency: limits.concurrency,
            queue: limits.queue,
            http_connections: limits.http_connections,
            http_body: Size(limits.http_body),
            http_timeout: Period(limits.http_timeout),
            nn_memory: Size(limits.nn_memory),
            nn_time: Period(limits.nn_time),
            nn_load: Size(0),
            http: Vec::new(),
            http_private: Vec::new(),
            env: BTreeMap::new(),
            dirs: Vec::new(),
            default_tool: None,
            prefix: None,
            rename: BTreeMap::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            tools: BTreeMap::new(),
        }
    }
}
