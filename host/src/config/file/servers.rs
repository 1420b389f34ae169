//! The shape of `[server.NAME]`, for the JSON Schema.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema};
use serde::{Serialize, Serializer};

use super::{
    super::{ImageSource, OpenApiSource, Replicas, ServerLimits},
    DirSection, EnvSource, Period, SecretSource, Size, ToolSection,
};

/// A tool server that exists already. It has exactly one of `command`, `image`, `url` and `openapi`.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerSection {
    /// A program that speaks MCP on its stdin and stdout: a list with its arguments, or its name, with `args` beside it. No shell reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Words>,
    /// A container image whose entry point speaks MCP on its stdin and stdout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    image: Option<String>,
    /// A remote MCP server, by Streamable HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    url: Option<String>,
    /// An HTTP application, by its OpenAPI document: a file, or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    openapi: Option<String>,
    /// Arguments of the program, or of the image's entry point.
    args: Vec<String>,
    /// Programs only: the folder to run in. Unset: where Toolbay runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    cwd: Option<String>,
    /// Programs and images: environment variables, the value or where it is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, EnvSource>,
    /// Images only: in place of the image's own entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    entrypoint: Option<Vec<String>>,
    /// Images only: memory, swap included.
    memory: Size,
    /// Images only: share of CPU cores; 0.5 is half of one.
    #[schemars(range(min = 0.01, max = 1024.0))]
    cpus: f64,
    /// Images only: processes and threads.
    #[schemars(range(min = 1, max = 4_194_304))]
    pids: u32,
    /// Images only: `none`, `bridge`, `host`, or the name of a network of the engine.
    network: String,
    /// Images only: the writable `/tmp`, which is in memory.
    tmpfs: Size,
    /// Images only: whether the root file system may be written.
    writable: bool,
    /// Images only: the user, or `user:group`, in place of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    user: Option<String>,
    /// Images only: folders of the host that the container sees.
    dirs: Vec<DirSection>,
    /// Images only: when to pull the image.
    pull: PullWhen,
    /// URLs and OpenAPI: sent with every request, the value or where it is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, EnvSource>,
    /// URLs and OpenAPI: sent as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer: Option<SecretSource>,
    /// OpenAPI only: sent in the query of every request, the value or where it is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query: BTreeMap<String, EnvSource>,
    /// OpenAPI only: by the name of a security scheme of the document, sent with the operations that ask for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    credentials: BTreeMap<String, SecretSource>,
    /// OpenAPI only: whether other documents of the same origin are read that a document at a URL refers to.
    follow_references: bool,
    /// OpenAPI only: where the application is, in place of what the document says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    base_url: Option<String>,
    /// OpenAPI only: how often a document at a URL is asked for again. `0s`: never. A file is read again when it changes.
    refresh: Period,
    /// Programs and images: how many run at once.
    replicas: ReplicaCount,
    /// From the start of a program or container to the end of its handshake and lists.
    start_timeout: Period,
    /// Wall time of a call, waiting for its turn not counted.
    timeout: Period,
    /// Programs and images: from the end of the input to SIGTERM, and from that to SIGKILL.
    stop_timeout: Period,
    /// A replica that said nothing for so long while it had nothing to do is pinged, and replaced if it does not answer within as long again. `0s`: never.
    ping: Period,
    /// Calls that run at once, on one replica.
    #[schemars(range(min = 1, max = 100_000))]
    concurrency: usize,
    /// Calls that wait for their turn; one more is answered 503.
    #[schemars(range(max = 1_000_000))]
    queue: usize,
    /// Largest message from the server.
    max_message: Size,
    /// Put before the name of each tool and prompt that `rename` does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    prefix: Option<String>,
    /// Another name for a tool or prompt, by the server's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rename: BTreeMap<String, String>,
    /// Only these tools and prompts are published, by the server's own name; `*` stands for any characters. Empty: all.
    include: Vec<String>,
    /// These tools and prompts are not published, by the server's own name; `*` stands for any characters.
    exclude: Vec<String>,
    /// The tool that a call of the REST face means which names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    default_tool: Option<String>,
    /// By the server's own tool name: what to say of a tool instead of what the server says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tools: BTreeMap<String, ToolSection>,
}

/// How many replicas run, and when more are started.
#[derive(Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ReplicasSection {
    /// As few as this. 0: none while nobody calls, and the first call starts one.
    #[schemars(range(max = 1000))]
    min: u32,
    /// As many as this.
    #[schemars(range(min = 1, max = 1000))]
    max: u32,
    /// Calls that run or wait, for each replica, that are aimed at.
    #[schemars(range(min = 0.01, max = 10_000.0))]
    target_ongoing_requests: f64,
    /// How long more replicas must have been needed before they are started.
    upscale_delay: Period,
    /// How long fewer replicas must have been enough before the others are stopped.
    downscale_delay: Period,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the schema lists what may be written, not only the default")]
enum PullWhen {
    /// When it is not there.
    Missing,
    /// At every start of the host.
    Always,
    /// Never.
    Never,
}

#[derive(Serialize)]
struct Words;

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema!({ "anyOf": [{ "type": "array", "items": { "type": "string" }, "minItems": 1 }, { "type": "string", "minLength": 1 }] })
    }
}

struct ReplicaCount(u32);

impl Serialize for ReplicaCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl JsonSchema for ReplicaCount {
    fn schema_name() -> Cow<'static, str> {
        "Replicas".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema!({
            "description": "A number of replicas, or between which two numbers they are and when they become more.",
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 1000 }, generator.subschema_for::<ReplicasSection>()]
        })
    }
}

impl Default for ServerSection {
    fn default() -> Self {
        let (image, limits) = (ImageSource::default(), ServerLimits::default());
        Self {
            command: None,
            image: None,
            url: None,
            openapi: None,
            args: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            entrypoint: None,
            memory: Size(image.memory),
            cpus: image.cpus,
            pids: image.pids,
            network: image.network,
            tmpfs: Size(image.tmpfs),
            writable: image.writable,
            user: None,
            dirs: Vec::new(),
            pull: PullWhen::Missing,
            headers: BTreeMap::new(),
            bearer: None,
            query: BTreeMap::new(),
            credentials: BTreeMap::new(),
            follow_references: false,
            base_url: None,
            refresh: Period(OpenApiSource::default().refresh),
            replicas: ReplicaCount(Replicas::default().min),
            start_timeout: Period(limits.start),
            timeout: Period(limits.call),
            stop_timeout: Period(limits.stop),
            ping: Period(limits.ping),
            concurrency: limits.concurrency,
            queue: limits.queue,
            max_message: Size(limits.max_message as u64),
            prefix: None,
            rename: BTreeMap::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            default_tool: None,
            tools: BTreeMap::new(),
        }
    }
}

impl Default for ReplicasSection {
    fn default() -> Self {
        let replicas = Replicas::default();
        Self {
            min: replicas.min,
            max: replicas.max,
            target_ongoing_requests: replicas.target_ongoing_requests,
            upscale_delay: Period(replicas.upscale_delay),
            downscale_delay: Period(replicas.downscale_delay),
        }
    }
}
