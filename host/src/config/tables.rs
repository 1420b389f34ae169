//! All tables of `toolbay.toml` in one list: what the schema, the reference page and the reader's
//! hints are made of.

use std::{net::SocketAddr, path::PathBuf, sync::LazyLock};

use serde_json::{Value, json};

use super::{
    AuditConfig, AuthConfig, ClusterConfig, ConsoleConfig, DirGrant, EndpointConfig, FlowConfig, Grants, GuardConfig, HostConfig,
    HttpConfig, InferenceConfig, IntrospectionConfig, IssuerConfig, LimitConfig, MetricsConfig, ModelConfig, NameRules, PipelineConfig,
    PluginLimits, PluginOrigin, PolicyConfig, RegistryConfig, RoleConfig, SearchConfig, SharedConfig, SignedRule, SignerIdentity,
    StateConfig, StepConfig, StoreConfig, TasksConfig, TelemetryConfig, ToolOverride, TracesConfig, TrustConfig,
    key::{Key, TableInfo, TypeInfo, Vocabulary},
    listen::Listen,
    publish::ToolRules,
    section::{Section, section},
    server,
    toml_reader::Item,
    types::{FilePath, Type, list, optional},
};

section! {
    /// Configuration of a Toolbay host.
    pub(super) struct RootKeys {
        /// Listening address. `localhost` is 127.0.0.1; `0.0.0.0:8000` and `[::]:8000` are all
        /// interfaces; port 0 picks a free port. Beyond loopback it requires `[auth.tokens]` or
        /// `--insecure`.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8000)), Listen => restart;
        /// The plugin folder.
        plugins: PathBuf = PathBuf::from("plugins"), FilePath => restart;
        /// A desktop client's file with `mcpServers`, whose servers are served too.
        mcp_json: Option<PathBuf> = None, optional(FilePath);
        /// Files to include, by path or by a pattern such as `conf.d/*.toml`.
        include: Vec<PathBuf> = Vec::new(), Includes;
    }
}

/// Read before all others, when the files are found: see [`include`](super::include).
struct Includes;

impl Type<Vec<PathBuf>> for Includes {
    fn read(&self, _: &Item<'_>) -> Option<Vec<PathBuf>> {
        None
    }

    fn info(&self) -> TypeInfo {
        Type::<Vec<PathBuf>>::info(&list("paths", FilePath))
    }

    fn write(&self, _: &Vec<PathBuf>) -> Option<Value> {
        Some(json!([]))
    }
}

/// What is known of all keys.
pub(super) fn vocabulary() -> &'static Vocabulary {
    static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary { tables: tables() });
    &VOCABULARY
}

fn tables() -> Vec<TableInfo> {
    let plugin = vec![
        ("source", PluginOrigin::keys()),
        ("limits", PluginLimits::keys()),
        ("grants", Grants::keys()),
        ("names", NameRules::keys()),
        ("tools", ToolRules::keys()),
    ];
    let mut below = vec![
        of::<HttpConfig>("http", "in [http]", "HttpSection"),
        of::<AuthConfig>("auth", "in [auth]", "AuthSection"),
        of::<PolicyConfig>("policy", "in [policy]", "PolicySection"),
        of::<StateConfig>("state", "in [state]", "StateSection"),
        of::<TasksConfig>("tasks", "in [tasks]", "TasksSection"),
        of::<ClusterConfig>("cluster", "in [cluster]", "ClusterSection"),
        of::<HostConfig>("host", "in [host]", "HostSection"),
        of::<StoreConfig>("store", "in [store]", "StoreSection"),
        of::<TelemetryConfig>("telemetry", "in [telemetry]", "TelemetrySection"),
        of::<MetricsConfig>("metrics", "in [metrics]", "MetricsSection"),
        of::<AuditConfig>("audit", "in [audit]", "AuditSection"),
        of::<TracesConfig>("traces", "in [traces]", "TracesSection"),
        of::<TrustConfig>("trust", "in [trust]", "TrustSection"),
        of::<SignedRule>("trust.signed", "in signed of [trust]", "SignedSection"),
        of::<SignerIdentity>("trust.signed.identities", "in identities of signed of [trust]", "SignerSection"),
        of::<ConsoleConfig>("console", "in [console]", "ConsoleSection"),
        of::<InferenceConfig>("inference", "in [inference]", "InferenceSection"),
        of::<ModelConfig>("model.NAME", "in [model.NAME]", "ModelSection"),
        of::<SearchConfig>("search", "in [search]", "SearchSection"),
        TableInfo {
            header: "plugin.NAME",
            home: "in [plugin.NAME], or at the top level of a sidecar",
            title: "PluginSection",
            about: "Limits and grants of one plugin. Unset keys come from `[plugin.default]`, or else have the default given here. A sidecar has the same keys."
                .to_owned(),
            groups: plugin,
        },
        of::<DirGrant>("plugin.NAME.dirs", "in dirs of [plugin.NAME]", "DirSection"),
        of::<ToolOverride>("plugin.NAME.tools.TOOL", "in [plugin.NAME.tools.TOOL]", "ToolSection"),
        of::<RegistryConfig>("registry.NAME", "in [registry.NAME]", "RegistrySection"),
        TableInfo {
            header: "server.NAME",
            home: "in [server.NAME]",
            title: "ServerSection",
            about: "An existing tool server. It has exactly one of `command`, `image`, `url` and `openapi`.".to_owned(),
            groups: server::groups(),
        },
        TableInfo {
            header: "server.NAME.replicas",
            home: "in replicas of [server.NAME]",
            title: "ReplicasSection",
            about: "How many replicas run, and when more are started.".to_owned(),
            groups: vec![("", server::replica_keys())],
        },
        of::<PipelineConfig>("pipeline.NAME", "in [pipeline.NAME]", "PipelineSection"),
        of::<StepConfig>("pipeline.NAME.steps", "in [[pipeline.NAME.steps]]", "StepSection"),
        // Last: a key that plugins have too is looked for there first.
        of::<SharedConfig>("shared", "in [shared]", "SharedSection"),
        of::<IssuerConfig>("auth.issuer.NAME", "in [auth.issuer.NAME]", "IssuerSection"),
        of::<IntrospectionConfig>("auth.issuer.NAME.introspection", "in introspection of [auth.issuer.NAME]", "IntrospectionSection"),
        of::<RoleConfig>("role.NAME", "in [role.NAME]", "RoleSection"),
        of::<GuardConfig>("guard.NAME", "in [guard.NAME]", "GuardSection"),
        of::<FlowConfig>("flow.NAME", "in [flow.NAME]", "FlowSection"),
        of::<EndpointConfig>("endpoint.NAME", "in [endpoint.NAME]", "EndpointSection"),
        of::<LimitConfig>("role.NAME.limits.PATTERN", "in limits of [role.NAME]", "LimitSection"),
    ];
    let at = below.iter().position(|table| table.header == "pipeline.NAME").unwrap_or(below.len());
    let of_servers = server::auth_tables().map(|(header, home, title, about, keys)| {
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        TableInfo { header, home, title, about, groups: vec![("", keys)] }
    });
    below.splice(at..at, of_servers);
    let mut root = of::<RootKeys>("", "at the top level of toolbay.toml", "toolbay.toml");
    let mut sections = Vec::new();
    for table in &below {
        sections.extend(as_key(table, &below));
    }
    root.groups.push(("sections", sections));
    [vec![root], below].concat()
}

fn of<S: Section>(header: &'static str, home: &'static str, title: &'static str) -> TableInfo {
    let about = S::ABOUT.split_whitespace().collect::<Vec<_>>().join(" ");
    TableInfo { header, home, title, about, groups: vec![("", S::keys())] }
}

/// The key of the top level that a table is the value of, if it is one.
fn as_key(table: &TableInfo, all: &[TableInfo]) -> Option<Key> {
    let (name, rest) = table.header.split_once('.').unwrap_or((table.header, ""));
    let schema = json!({ "$ref": format!("#/$defs/{}", table.title) });
    let of = match rest {
        "" => TypeInfo::new("table", schema),
        "NAME" => TypeInfo::new("tables", json!({ "type": "object", "additionalProperties": schema })),
        _ => return None,
    };
    // Its own key in a line of a file shows all that is below it.
    let below = |other: &&TableInfo| other.header == name || other.header.starts_with(&format!("{name}."));
    let secret = all.iter().filter(below).flat_map(TableInfo::keys).any(|key| key.secret);
    let key = Key::new(name, "", of, None);
    Some(Key { doc: table.about.clone(), secret, ..key })
}
