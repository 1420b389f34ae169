//! What a plugin may use and reach: `[plugin.NAME]` of `toolbay.toml`, or a sidecar `NAME.toml`
//! beside `NAME.wasm`.
//!
//! A field that is not set has its default. Everything is denied that is not granted.

use std::{collections::BTreeMap, time::Duration};

use super::{
    DirGrant, HostPattern, NameRules, PluginOrigin, Secret, ToolOverride,
    dirs::Dirs,
    error::Place,
    host::{MOST_INSTANCES, MOST_MEMORY},
    publish::ToolRules,
    role::pattern,
    secret::variable_name,
    section::{Section, section},
    store::{Grant, SCOPES, StoreGrant, StoreScope},
    toml_reader::{Item, Table},
    types::{
        DAY, GIB, KIB, MIB, MILLISECOND, SECOND, TIB, choice, duration, fraction, list, number, optional, secrets, size, text,
        text_or_source,
    },
};

/// Limits and grants of one plugin.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PluginConfig {
    /// Where it comes from.
    pub origin: PluginOrigin,
    /// What a call may use.
    pub limits: PluginLimits,
    /// What a call may reach.
    pub grants: Grants,
    /// Under which names its tools and prompts are published. The `tools` in it are empty: they
    /// stand below.
    pub names: NameRules,
    /// By the plugin's own tool name: what to say of it instead of what the plugin says.
    pub tools: BTreeMap<String, ToolOverride>,
    /// The tool that a REST call means which names none. Key: `default_tool`.
    pub default_tool: Option<String>,
}

section! {
    /// What one call, or all calls of a plugin together, may use.
    pub struct PluginLimits {
        /// Linear memory of a call, all memories together. At most `max_memory` of `[host]`, which
        /// is also the default if it is smaller.
        memory: usize = 128 << 20, size(64 * KIB..=MOST_MEMORY);
        /// Table elements of a call, all tables together.
        table_elements: usize = 100_000, number(1..=10_000_000);
        /// Wall-clock limit of a call, queueing excluded.
        timeout: Duration = SECOND * 60, duration(MILLISECOND..=DAY);
        /// Largest result, as JSON.
        output: usize = 8 << 20, size(1..=GIB);
        /// How many calls an instance serves, one after another; 1: each call has a fresh one. For
        /// interpreters, whose start takes longer than most calls. What a call leaves in the
        /// instance's memory, the next one finds; whose calls that are is `reuse_across`.
        reuse: u32 = 1, number(1..=1_000_000);
        /// Log lines per second that are kept, with bursts of as many. A line longer than 256 bytes
        /// counts as several.
        log_rate: u32 = 100, number(0..=1_000_000);
        /// Concurrent calls.
        concurrency: usize = 64, number(1..=MOST_INSTANCES);
        /// Processors that all calls of the plugin together may use, on average over a second: `0.2`, or
        /// `4`. Beyond that they wait, and their `timeout` goes on.
        cpu: Option<f64> = None, optional(fraction(0.01..=1024.0)) => unset("no limit");
        /// Calls that may wait for a free slot. The next call gets 503.
        queue: usize = 256, number(0..=1_000_000);
        /// Files and folders that all calls of the plugin may have open together.
        open_files: usize = 256, number(1..=1_000_000);
        /// Concurrent outgoing HTTP requests of a call.
        http_connections: usize = 16, number(1..=10_000);
        /// Largest body of an HTTP response.
        http_body: u64 = 32 * MIB, size(1..=TIB);
        /// Time from sending an HTTP request to the last byte of its response.
        http_timeout: Duration = SECOND * 30, duration(MILLISECOND..=DAY);
        /// Tensors that the host keeps for a call.
        nn_memory: u64 = 256 * MIB, size(KIB..=TIB);
        /// Compute time of a call with models, all its computes together.
        nn_time: Duration = SECOND * 60, duration(MILLISECOND..=DAY);
    }
}

section! {
    /// What a plugin may reach.
    pub struct Grants {
        /// Hosts with public addresses that outgoing HTTP may reach: `api.example.com`,
        /// `*.example.com:8443`, `[2001:db8::1]`. `"*"` matches any public host.
        http: Vec<HostPattern> = Vec::new(), list("hosts", text("host", |text| HostPattern::parse(text, true)));
        /// Hosts that may have loopback, link-local or private addresses. `"*"` is not allowed:
        /// name each host.
        http_private: Vec<HostPattern> = Vec::new(), list("hosts", text("host", |text| HostPattern::parse(text, false)));
        /// Environment variables: `NAME = "value"`, `NAME = { from_env = "VARIABLE" }` or
        /// `NAME = { from_file = "path" }`.
        env: BTreeMap<String, Secret> = BTreeMap::new(), secrets(variable_name, text_or_source(Ok));
        /// Folders to mount.
        dirs: Vec<DirGrant> = Vec::new(), Dirs;
        /// Tools that the plugin may call, of plugins and servers alike, among those that the caller
        /// of its own tool may use: `image_*`, `files__read`, `calc__*`. `*` stands for any
        /// characters.
        calls: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Whether the plugin may keep keys and values in the store: `true` for as much as `quota` in
        /// `[store]` says, or a size.
        store: StoreGrant = StoreGrant::None, Grant;
        /// `"plugin"`: all calls see the same keys. `"caller"`: each caller has keys of its own.
        store_scope: StoreScope = StoreScope::Plugin, choice(SCOPES);
        /// Whose calls an instance serves where `reuse` is over 1. `"principal"`: those of one caller;
        /// callers that nobody tells apart, without authentication, have fresh ones. `"all"`: those of
        /// all callers, whose data then meets in one instance.
        reuse_across: ReuseAcross = ReuseAcross::Principal, choice(ACROSS);
        /// Largest graph that the plugin itself may pass to wasi-nn's `load`; 0 denies it.
        nn_load: u64 = 0, size(0..=TIB);
    }
}

/// Whose calls one instance serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReuseAcross {
    /// Those of one caller.
    Principal,
    /// Those of all.
    All,
}

const ACROSS: &[(&str, ReuseAcross)] = &[("principal", ReuseAcross::Principal), ("all", ReuseAcross::All)];

/// The section that is the base of all plugins.
pub(super) const BASE: &str = "default";

/// The keys that one layer has set, and where.
pub(super) type KeyLocations = BTreeMap<String, Place>;

/// What a layer may do.
pub(super) struct LayerRules<'a> {
    /// `host.max_memory`.
    pub(super) max_memory: u64,
    /// None: grants are allowed. Else the sentence that refuses them.
    pub(super) no_grants: Option<&'a str>,
    /// Which one it is.
    pub(super) layer: Layer,
}

/// Where keys of a plugin stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// `[plugin.default]`, which is about no plugin: it knows no tools.
    Default,
    /// `[plugin.NAME]`.
    Plugin,
    /// A sidecar.
    Sidecar,
}

impl PluginConfig {
    /// What a plugin has that nobody configures.
    pub(super) fn unconfigured(max_memory: usize) -> Self {
        let limits = PluginLimits::default();
        Self { limits: PluginLimits { memory: limits.memory.min(max_memory), ..limits }, ..Self::default() }
    }

    /// The same with the keys of a layer in place of its own, and where these stand.
    pub(super) fn over(mut self, table: Table<'_>, rules: &LayerRules<'_>) -> (Self, KeyLocations) {
        let mut places = KeyLocations::new();
        for item in table.items() {
            note_places(&item, &table.path, &mut places);
        }
        let home = "belongs to one plugin; write it in [plugin.NAME] of toolbay.toml";
        match rules.layer {
            Layer::Plugin => self.origin.read(&table),
            Layer::Default => {
                self.origin.read(&table);
                table.get("source").iter().for_each(|item| item.fail_key(home));
            }
            Layer::Sidecar => PluginOrigin::keys().iter().filter_map(|key| table.get(key.name)).for_each(|item| item.fail_key(home)),
        }
        table.bound("memory", rules.max_memory, ", which is max_memory in [host]");
        self.limits.read(&table);
        match rules.no_grants {
            None => self.grants.read(&table),
            Some(refusal) => Grants::keys().iter().filter_map(|key| table.get(key.name)).for_each(|item| item.fail_key(refusal)),
        }
        self.names.read(&table);
        let mut tools = ToolRules { default_tool: self.default_tool.take(), tools: std::mem::take(&mut self.tools) };
        if rules.layer == Layer::Default {
            for (key, home) in [("default_tool", "[plugin.NAME]"), ("tools", "[plugin.NAME.tools.TOOL]")] {
                if let Some(item) = table.get(key) {
                    item.fail_key(format_args!("a tool belongs to one plugin; write it in {home}"));
                }
            }
        } else {
            tools.read(&table);
        }
        (self.default_tool, self.tools) = (tools.default_tool, tools.tools);
        table.finish();
        (self, places)
    }
}

/// Where a key stands. Tables that layers merge name by name are no key that two layers could both
/// set: what is in them is.
fn note_places(item: &Item<'_>, root: &str, places: &mut KeyLocations) {
    let path = item.path_below(root);
    let merged = path == "env" || path == "tools" || path.starts_with("tools.") && (item.value.is_table());
    match item.value.as_table().filter(|_| merged).and_then(|_| item.table()) {
        Some(table) => table.items().for_each(|item| note_places(&item, root, places)),
        None => drop(places.insert(path, item.place())),
    }
}
