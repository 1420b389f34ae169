//! A tool server that exists already: `[server.NAME]` of `toolbay.toml`, or an entry of a desktop
//! client's `mcpServers`.

mod kind;
mod limits;
mod process;
mod remote;
mod schemas;
mod upstream_auth;

use std::collections::BTreeMap;

use url::Url;

pub use limits::{Revision, ServerLimits};
pub use process::{AcceptedImage, CommandSource, ImageSource, Pull, Replicas};
pub use remote::{DocumentPlace, OpenApiSource, UrlSource};
pub use schemas::{OutputSchema, PublishRules};
pub(super) use upstream_auth::tables as auth_tables;
pub use upstream_auth::{ClientAuthentication, IdentityConfig, OAuthConfig, TokenRequest, UpstreamAuth};

use self::kind::{COMMAND, IMAGE, Kind, OPENAPI, PROCESSES, REMOTE};
use super::{
    NameRules,
    headers::http_url,
    key::Key,
    publish::ToolRules,
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{optional, text},
};
use crate::provider::ProviderId;

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where it comes from: one of `command`, `image`, `url`, `openapi`.
    pub source: ServerSource,
    /// How many run at once, and when more are started. Programs and images only. Key: `replicas`.
    pub replicas: Replicas,
    /// How long things may take, and how many calls there may be.
    pub limits: ServerLimits,
    /// What of its schemas is published.
    pub publish: PublishRules,
    /// Under which names its tools are published.
    pub names: NameRules,
    /// The tool that a REST call means which names none. Key: `default_tool`.
    pub default_tool: Option<String>,
}

impl ServerConfig {
    /// What it is shown of who calls. None: it is no server elsewhere.
    #[must_use]
    pub fn auth(&self) -> Option<&UpstreamAuth> {
        match &self.source {
            ServerSource::Url(source) => Some(&source.auth),
            ServerSource::OpenApi(source) => Some(&source.auth),
            ServerSource::Command(_) | ServerSource::Image(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn auth_mut(&mut self) -> Option<&mut UpstreamAuth> {
        match &mut self.source {
            ServerSource::Url(source) => Some(&mut source.auth),
            ServerSource::OpenApi(source) => Some(&mut source.auth),
            ServerSource::Command(_) | ServerSource::Image(_) => None,
        }
    }

    /// A server with nothing set but its source.
    #[must_use]
    pub fn new(source: ServerSource) -> Self {
        Self {
            source,
            replicas: Replicas::default(),
            limits: ServerLimits::default(),
            publish: PublishRules::default(),
            names: NameRules::default(),
            default_tool: None,
        }
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

section! {
    /// Where a server comes from. It has exactly one of these keys.
    struct SourceKeys {
        /// A program that speaks MCP on stdin and stdout, with its arguments; or its name as text,
        /// with `args`. Not run by a shell. With a `/` it is relative to this file's folder, else
        /// looked up in `PATH`.
        command: Option<Vec<String>> = None, optional(process::Command) => secret;
        /// A container image whose entry point speaks MCP on stdin and stdout.
        image: Option<String> = None, optional(text("text", process::image_name));
        /// A remote MCP server (Streamable HTTP).
        url: Option<Url> = None, optional(text("URL", http_url)) => secret;
        /// An HTTP application, by its OpenAPI document.
        openapi: Option<DocumentPlace> = None, optional(remote::Document) => secret;
    }
}

/// All keys of `[server.NAME]`, by what they are about.
pub(super) fn groups() -> Vec<(&'static str, Vec<Key>)> {
    vec![
        ("kind", SourceKeys::keys()),
        ("process", process::LaunchKeys::keys()),
        ("program", process::ProgramKeys::keys()),
        ("image", ImageSource::keys()),
        ("remote", remote::CredentialKeys::keys()),
        ("callers", UpstreamAuth::keys()),
        ("openapi", remote::OpenApiKeys::keys()),
        ("limits", ServerLimits::keys()),
        ("schemas", PublishRules::keys()),
        ("names", NameRules::keys()),
        ("tools", ToolRules::keys()),
    ]
}

/// All keys of `replicas = { … }`.
pub(super) fn replica_keys() -> Vec<Key> {
    Replicas::keys()
}

/// Reads all `[server.NAME]`.
pub(super) fn servers(table: &Table<'_>) -> BTreeMap<String, ServerConfig> {
    let keys: Vec<_> = groups().into_iter().flat_map(|(_, keys)| keys).collect();
    let mut servers = BTreeMap::new();
    for item in table.items() {
        if let Err(error) = ProviderId::new(item.key.as_str()) {
            item.source.problem(item.key_offset, error.to_string().replacen("plugin", "server", 1));
        }
        if let Some(server) = item.table().and_then(|table| server(&item, table, &keys)) {
            servers.insert(item.key, server);
        }
    }
    servers
}

fn server(item: &Item<'_>, table: Table<'_>, keys: &[Key]) -> Option<ServerConfig> {
    let kind = kind(item, &table);
    let is = |kinds: &[&str]| kind.is_none_or(|kind| kinds.contains(&kind.key()));
    // All are asked for, whatever the kind: a key of another kind is known, but out of place.
    for key in keys.iter().filter(|key| !key.only.is_empty()) {
        if let (Some(item), Some(kind)) = (table.get(key.name), kind)
            && !key.only.contains(&kind.key())
        {
            let homes = key.only.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
            item.fail_key(format_args!("belongs to a server with {homes}, and this one has {:?}", kind.key()));
        }
    }
    let mut source = SourceKeys::default();
    source.read(&table);
    let (mut launch, mut program, mut image) = (process::LaunchKeys::default(), process::ProgramKeys::default(), ImageSource::default());
    let (mut credentials, mut openapi) = (remote::CredentialKeys::default(), remote::OpenApiKeys::default());
    let (mut auth, mut sent) = (UpstreamAuth::default(), http::HeaderMap::new());
    let (mut limits, mut publish) = (ServerLimits::default(), PublishRules::default());
    let (mut names, mut tools) = (NameRules::default(), ToolRules::default());
    if is(PROCESSES) {
        launch.read(&table);
    }
    if is(&[COMMAND]) {
        program.read(&table);
        if let (Some(args), Some(_)) = (table.get("args"), table.get(COMMAND).filter(|command| command.value.as_array().is_some())) {
            args.fail_key("\"command\" is a list already: write the arguments into it");
        }
    }
    if is(&[IMAGE]) {
        image.read(&table);
    }
    if is(REMOTE) {
        credentials.read(&table);
        remote::check_credentials(&table, &credentials);
        auth.read(&table);
        sent = credentials.headers();
        upstream_auth::check(&table, &auth, &sent);
    }
    if is(&[OPENAPI]) {
        openapi.read(&table);
    }
    limits.read(&table);
    publish.read(&table);
    names.read(&table);
    tools.read(&table);
    table.finish();
    names.tools = tools.tools;
    let replicas = launch.replicas;
    let source = match kind? {
        Kind::Command => ServerSource::Command(CommandSource {
            argv: [source.command.unwrap_or_default(), launch.args].concat(),
            cwd: program.cwd,
            env: launch.env,
        }),
        Kind::Image => {
            ServerSource::Image(ImageSource { image: source.image.unwrap_or_default(), args: launch.args, env: launch.env, ..image })
        }
        Kind::Url => ServerSource::Url(UrlSource { url: source.url?, headers: sent, auth }),
        Kind::OpenApi => ServerSource::OpenApi(OpenApiSource {
            document: source.openapi?,
            base_url: openapi.base_url,
            refresh: openapi.refresh,
            headers: sent,
            auth,
            query: openapi.query,
            credentials: openapi.credentials,
            follow_references: openapi.follow_references,
        }),
    };
    Some(ServerConfig { source, replicas, limits, publish, names, default_tool: tools.default_tool })
}

/// Which of the four it is. Says so where it is none or several.
fn kind(item: &Item<'_>, table: &Table<'_>) -> Option<Kind> {
    let given: Vec<(Kind, Item<'_>)> = Kind::ALL.iter().filter_map(|kind| Some((*kind, table.get(kind.key())?))).collect();
    match given.as_slice() {
        [] => item.fail_key(
            "has no source; write one of command = [\"program\", \"argument\"], image = \"registry/name:tag\", url = \"https://host/mcp\", openapi = \"file or URL\"",
        ),
        [(kind, _)] => return Some(*kind),
        [(first, _), rest @ ..] => {
            for (_, other) in rest {
                other.fail_key(format_args!("there is {:?} already; a server has one of them", first.key()));
            }
        }
    }
    None
}
