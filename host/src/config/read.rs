//! Reads `toolbay.toml` section by section, and sidecars over it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    Config, ConfigError, PluginConfig, ServerConfig, cluster,
    endpoint::{self, Known},
    flow, guard, http, include, mcp_json, model, pipeline,
    plugin::{BASE, KeyLocations, Layer, LayerRules},
    policy, registry, role, search,
    section::Section,
    server, shared,
    source::{Environment, Source},
    tables::{self, RootKeys},
    taken::Taken,
    toml_reader::Table,
};
use crate::provider::ProviderId;

/// Reads `toolbay.toml` and what it includes.
pub(super) fn config(source: &Source<'_>, origin: &Path) -> Result<Config, ConfigError> {
    let document = source.parse()?;
    let root = Table::new(source, &document, "");
    let mut keys = RootKeys::default();
    keys.plugins = source.folder(0).join(keys.plugins);
    keys.read(&root);
    let mut config = Config { listen: keys.listen, plugins: keys.plugins, origin: Some(origin.to_owned()), ..Config::default() };
    let table = |key| root.get(key).and_then(|item| item.table());
    if let Some(table) = table("http") {
        http::read(table, &mut config.http);
    }
    if let Some(table) = table("role") {
        config.role = role::roles(&table);
    }
    if let Some(table) = table("auth") {
        config.auth.read(&table);
        role::check_names(&table, &config.role);
        if let Some(issuer) = table.get("issuer").filter(|_| !config.auth.issuer.is_empty() && config.auth.resource_url.is_none()) {
            issuer.fail_key("needs `resource_url` in [auth]: the public URL of this server, which tokens are for");
        }
        table.finish();
    }
    if let Some(table) = table("policy") {
        config.policy.read(&table);
        policy::check(&table, &config.policy);
        table.finish();
    }
    section(table("state"), &mut config.state);
    section(table("tasks"), &mut config.tasks);
    if let Some(table) = table("cluster") {
        cluster::read(table, &mut config.cluster);
    }
    section(table("host"), &mut config.host);
    section(table("store"), &mut config.store);
    if let Some(table) = table("shared") {
        shared::read(table, &mut config.shared);
    }
    section(table("telemetry"), &mut config.telemetry);
    section(table("metrics"), &mut config.metrics);
    section(table("audit"), &mut config.audit);
    section(table("traces"), &mut config.traces);
    section(table("trust"), &mut config.trust);
    if let Some(table) = table("console") {
        config.console.read(&table);
        for list in ["view", "operate"] {
            table.get(list).iter().for_each(|list| role::check_list(list, &config.role));
        }
        table.finish();
    }
    section(table("inference"), &mut config.inference);
    if let Some(table) = table("model") {
        config.model = model::models(&table);
    }
    if let Some(table) = table("search") {
        search::read(table, &mut config.search, &config.model);
    }
    if let Some(table) = table("plugin") {
        (config.plugin, config.places) = plugins(&table, config.host.max_memory);
    }
    if let Some(table) = table("registry") {
        config.registry = registry::registries(&table);
    }
    if let Some(table) = table("server") {
        config.server = server::servers(&table);
        for item in table.items().filter(|item| config.plugin.contains_key(&item.key)) {
            item.fail_key(format_args!(
                "there is a [plugin.{0}] too; tools are called by the name of their plugin or server, so rename one of them",
                item.key
            ));
        }
    }
    if let Some(table) = table("server") {
        credentials(&table, &mut config);
    }
    if let (Some(path), Some(item)) = (&keys.mcp_json, root.get("mcp_json")) {
        source.reads(path);
        match mcp_json::load(path, source.environment) {
            Ok(found) => mcp_json::merge(&mut config, found),
            Err(error) => source.problems_of(item.place(), error),
        }
    }
    if let Some(table) = table("pipeline") {
        let taken = Taken::new(config.server.keys(), config.plugin.keys(), std::iter::empty(), &config.plugins);
        config.pipeline = pipeline::pipelines(&table, &taken);
    }
    if let Some(table) = table("guard") {
        config.guard = guard::guards(&table, config.server.keys());
    }
    if let Some(table) = table("flow") {
        config.flow = flow::flows(&table);
    }
    if let Some(table) = table("endpoint") {
        let known = Known {
            roles: &config.role,
            auth: &config.auth,
            taken: Taken::new(config.server.keys(), config.plugin.keys(), config.pipeline.keys(), &config.plugins),
        };
        config.endpoint = endpoint::endpoints(&table, &known);
    }
    for issuer in config.auth.issuer.values_mut().filter(|issuer| issuer.dpop_nonces) {
        issuer.nonce_keys.clone_from(&config.state.keys);
    }
    include::refuse_nested(&root);
    root.finish();
    source.finish(config)
}

/// What servers elsewhere are shown of who calls, as far as it depends on how callers come in.
fn credentials(servers: &Table<'_>, config: &mut Config) {
    let exchanges = |server: &ServerConfig| server.auth().is_some_and(|auth| auth.token_exchange.is_some());
    let first = servers.items().find(|item| config.server.get(&item.key).is_some_and(exchanges));
    if let Some(item) = &first
        && config.auth.issuer.is_empty()
    {
        item.fail_key("has `token_exchange`, which needs an [auth.issuer.NAME]: only a token of an authorization server can be exchanged");
    }
    let connects = |server: &ServerConfig| server.auth().is_some_and(|auth| auth.oauth.is_some());
    for item in servers.items().filter(|item| config.server.get(&item.key).is_some_and(connects)) {
        if config.auth.resource_url.is_none() || config.auth.is_open() {
            item.fail_key("has `oauth`, by which callers connect accounts: set `resource_url` in [auth], and tokens or an [auth.issuer.NAME], by which they have names");
        }
    }
    for issuer in config.auth.issuer.values_mut() {
        issuer.keeps_tokens = first.is_some();
    }
    for auth in config.server.values_mut().filter_map(ServerConfig::auth_mut) {
        auth.complete(config.auth.resource_url.as_ref());
    }
}

fn section<S: Section>(table: Option<Table<'_>>, section: &mut S) {
    if let Some(table) = table {
        section.read(&table);
        table.finish();
    }
}

type Plugins = (BTreeMap<String, PluginConfig>, Arc<BTreeMap<String, KeyLocations>>);

fn plugins(table: &Table<'_>, max_memory: usize) -> Plugins {
    let (mut configs, mut places) = (BTreeMap::new(), BTreeMap::new());
    let mut base = PluginConfig::unconfigured(max_memory);
    let mut items: Vec<_> = table.items().collect();
    items.sort_by_key(|item| item.key != BASE);
    for item in items {
        if let Err(error) = ProviderId::new(item.key.as_str()) {
            item.source.problem(item.key_offset, error.to_string());
        }
        let Some(keys) = item.table() else { continue };
        let is_base = item.key == BASE;
        let (config, set) = base.clone().over(
            keys,
            &LayerRules { max_memory: max_memory as u64, no_grants: None, layer: if is_base { Layer::Default } else { Layer::Plugin } },
        );
        if is_base {
            base = config.clone();
        } else {
            places.insert(item.key.clone(), set);
        }
        configs.insert(item.key, config);
    }
    (configs, Arc::new(places))
}

impl Config {
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
            Some((text, origin)) => self::sidecar(self, name, text, origin, &|name| std::env::var_os(name)),
        }
    }
}

/// A sidecar over what `toolbay.toml` says of its plugin.
pub(super) fn sidecar(
    config: &Config,
    name: &str,
    text: &str,
    origin: &Path,
    environment: Environment<'_>,
) -> Result<PluginConfig, ConfigError> {
    let source = Source::new(text, origin, environment, tables::vocabulary());
    let document = source.parse()?;
    let root = Table::new(&source, &document, "");
    let quoted = if name.contains('.') { format!("{name:?}") } else { name.to_owned() };
    let refusal =
        format!("a sidecar may grant nothing, as sidecar_grants is false in [host]; move it to [plugin.{quoted}] of toolbay.toml");
    let rules = LayerRules {
        max_memory: config.host.max_memory as u64,
        no_grants: (!config.host.sidecar_grants).then_some(refusal.as_str()),
        layer: Layer::Sidecar,
    };
    let (merged, set_here) = config.base_of(name).over(root, &rules);
    for (key, place) in &set_here {
        if let Some(other) = config.places.get(name).and_then(|set| set.get(key)) {
            source.problem_at(place.clone(), format!("{key:?} is set here and in [plugin.{quoted}] ({other}); keep one of them"));
        }
    }
    source.finish(merged)
}
