//! Reads `toolbay.toml`, section by section.

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    AuthConfig, Config, ConfigError, HostConfig, HttpConfig, LogFormat, PluginConfig, TelemetryConfig,
    address::{parse_allowed_host, parse_listen, parse_origin},
    engine::ChoiceError,
    include,
    layer::{self, Places, Rules},
    mcp_json, model,
    reader::{Environment, Item, Source, Table, set},
    secret::{self, Plain},
    servers, state, tasks,
};
use crate::provider::ProviderId;

/// The pool reserves 4 GiB of address space for each; 31,000 fit into a process.
pub(super) const MOST_INSTANCES: u32 = 20_000;
/// What a 32-bit memory can have.
const MAX_MEMORY: RangeInclusive<u64> = 64 << 10..=4 << 30;
/// From the length of an empty request to what fits into memory.
const MAX_BODY: RangeInclusive<u64> = 1 << 10..=1 << 30;
/// More than machines have.
const MAX_BODIES: u64 = 1 << 40;
const MAX_FILE: RangeInclusive<u64> = 1 << 10..=4 << 30;
/// The compiler itself does not start with less.
const COMPILE_MEMORY: RangeInclusive<u64> = 128 << 20..=1 << 40;
/// Shorter than what a person can guess, a token is none.
const LEAST_TOKEN: usize = 16;

/// The section that is the base of all plugins.
pub(super) const BASE: &str = "default";

/// Reads `toolbay.toml` and what it includes.
pub(super) fn config(source: &Source<'_>, origin: &Path) -> Result<Config, ConfigError> {
    let document = source.parse()?;
    let root = Table::new(source, &document, "");
    let mut config = Config::default();
    config.plugins = source.folder(0).join(&config.plugins);
    config.origin = Some(origin.to_owned());
    set(&mut config.listen, root.get("listen").and_then(|item| listen(&item)));
    set(&mut config.plugins, root.get("plugins").and_then(|item| item.file_path()));
    let section = |key| root.get(key).and_then(|item| item.table());
    if let Some(table) = section("http") {
        http(table, &mut config.http);
    }
    if let Some(table) = section("auth") {
        auth(table, &mut config.auth);
    }
    if let Some(table) = section("state") {
        state::read(table, &mut config.state);
    }
    if let Some(table) = section("tasks") {
        tasks::read(table, &mut config.tasks);
    }
    if let Some(table) = section("host") {
        host(table, &mut config.host);
    }
    if let Some(table) = section("telemetry") {
        telemetry(table, &mut config.telemetry);
    }
    if let Some(table) = section("inference") {
        model::inference(table, &mut config.inference);
    }
    if let Some(table) = section("model") {
        config.model = model::models(&table);
    }
    if let Some(table) = section("plugin") {
        (config.plugin, config.places) = plugins(&table, config.host.max_memory);
    }
    if let Some(table) = section("server") {
        config.server = servers::servers(&table);
        for item in table.items().filter(|item| config.plugin.contains_key(&item.key)) {
            item.fail_key(format_args!(
                "there is a [plugin.{0}] too; tools are called by the name of their plugin or server, so rename one of them",
                item.key
            ));
        }
    }
    let mcp_json = root.get("mcp_json").and_then(|item| Some((item.file_path()?, item)));
    if let Some((path, item)) = &mcp_json {
        source.reads(path);
        match mcp_json::load(path, source.environment) {
            Ok(found) => {
                for message in mcp_json::merge(&mut config, found, path) {
                    item.fail(message);
                }
            }
            Err(error) => source.problems_of(item.place(), error),
        }
    }
    include::refuse_nested(&root);
    root.finish();
    source.finish(config)
}

fn listen(item: &Item<'_>) -> Option<std::net::SocketAddr> {
    if item.value.is_integer() {
        item.fail("a port alone is not enough; write \"127.0.0.1:8000\"");
        return None;
    }
    item.parsed(parse_listen)
}

fn http(table: Table<'_>, http: &mut HttpConfig) {
    let number =
        |key, most| table.get(key).and_then(|item: Item<'_>| item.number(1..=most)).and_then(|number| usize::try_from(number).ok());
    let duration = |key, range| table.get(key).and_then(|item: Item<'_>| item.duration(range));
    let hour = Duration::from_secs(3600);
    set(&mut http.allowed_hosts, table.get("allowed_hosts").and_then(|item| item.parsed_list(parse_allowed_host)));
    set(&mut http.allowed_origins, table.get("allowed_origins").and_then(|item| item.parsed_list(parse_origin)));
    let max_body = table.get("max_body").and_then(|item| item.size(MAX_BODY, ""));
    set(&mut http.max_body, max_body.and_then(|size| usize::try_from(size).ok()));
    // A single body always fits.
    http.max_bodies = http.max_bodies.max(http.max_body);
    let least = http.max_body as u64;
    let max_bodies = table.get("max_bodies").and_then(|item| item.size(least..=MAX_BODIES, "; one body of max_body has to fit"));
    set(&mut http.max_bodies, max_bodies.and_then(|size| usize::try_from(size).ok()));
    set(&mut http.max_connections, number("max_connections", 1_000_000));
    set(&mut http.header_timeout, duration("header_timeout", Duration::from_millis(1)..=hour));
    set(&mut http.max_sessions, number("max_sessions", 10_000_000));
    set(&mut http.session_idle, duration("session_idle", Duration::from_secs(1)..=hour * 24 * 30));
    set(&mut http.ask_timeout, duration("ask_timeout", Duration::from_secs(1)..=hour * 24));
    set(&mut http.drain, duration("drain", Duration::ZERO..=hour));
    table.finish();
}

fn auth(table: Table<'_>, auth: &mut AuthConfig) {
    // By value, to find two names with one token.
    let mut names: HashMap<String, String> = HashMap::new();
    for item in table.get("tokens").and_then(|item| item.table()).iter().flat_map(|tokens| tokens.items().collect::<Vec<_>>()) {
        if !token_name(&item.key) {
            item.fail_key("the name of a token must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \"@\"");
            continue;
        }
        let Some(secret) = secret::read(&item, Plain::Refused) else { continue };
        if let Err(message) = token(&secret.0) {
            item.fail(message);
        } else if let Some(other) = names.insert(secret.0.clone(), item.key.clone()) {
            item.fail_key(format_args!("has the same token as {other:?}; each name needs its own"));
        }
        auth.tokens.insert(item.key, secret);
    }
    table.finish();
}

fn token_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'))
}

fn token(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the token is empty".to_owned());
    }
    if text.contains(char::is_whitespace) {
        return Err("the token has white space in it, which a bearer token cannot".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has a character in it that is not visible ASCII, which a bearer token cannot".to_owned());
    }
    if text.len() < LEAST_TOKEN {
        return Err(format!(
            "the token is too short: {} characters; it needs at least {LEAST_TOKEN} (make one by: openssl rand -hex 32)",
            text.len()
        ));
    }
    Ok(())
}

fn host(table: Table<'_>, host: &mut HostConfig) {
    let size = |key, range| table.get(key).and_then(|item: Item<'_>| item.size(range, ""));
    set(&mut host.instances, table.get("instances").and_then(|item| item.number(1..=MOST_INSTANCES)));
    set(&mut host.max_memory, size("max_memory", MAX_MEMORY).and_then(|size| usize::try_from(size).ok()));
    set(&mut host.max_file, size("max_file", MAX_FILE));
    let compile_time = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    set(&mut host.compile_time, table.get("compile_time").and_then(|item| item.duration(compile_time)));
    set(&mut host.compile_memory, size("compile_memory", COMPILE_MEMORY));
    let jobs = table.get("compile_jobs").and_then(|item| item.number(0..=1024));
    set(&mut host.compile_jobs, jobs.and_then(|jobs| usize::try_from(jobs).ok()));
    set(&mut host.cache, table.get("cache").and_then(|item| item.file_path()).map(Some));
    set(&mut host.sidecar_grants, table.get("sidecar_grants").and_then(|item| item.boolean()));
    let engine = |text: &str| text.parse().map_err(|error: ChoiceError| error.to_string());
    set(&mut host.container_engine, table.get("container_engine").and_then(|item| item.parsed(engine)));
    table.finish();
}

fn telemetry(table: Table<'_>, telemetry: &mut TelemetryConfig) {
    let format = |text: &str| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is not allowed; it must be \"text\" or \"json\"")),
    };
    set(&mut telemetry.format, table.get("format").and_then(|item| item.parsed(format)));
    set(&mut telemetry.log, table.get("log").and_then(|item| item.parsed(log_filter)));
    table.finish();
}

fn log_filter(text: &str) -> Result<String, String> {
    let hint = "write a level (error, warn, info, debug, trace, off), or levels by part: \"toolbay=debug,warn\"";
    if text.trim().is_empty() {
        return Err(format!("a filter cannot be empty; {hint}"));
    }
    // A lone word is the name of a part for the parser, so that a misspelt level would be taken in silence.
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let misspelt = text.split(',').map(str::trim).find(|part| {
        let word = part.chars().all(|c| c.is_ascii_alphanumeric());
        word && !levels.contains(&part.to_ascii_lowercase().as_str()) && !part.bytes().all(|b| (b'0'..=b'5').contains(&b))
    });
    if let Some(word) = misspelt {
        return Err(format!("{word:?} is no level; {hint}"));
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is no filter ({error}); {hint}")),
    }
}

type Plugins = (BTreeMap<String, PluginConfig>, Arc<BTreeMap<String, Places>>);

fn plugins(table: &Table<'_>, max_memory: usize) -> Plugins {
    let (mut configs, mut places) = (BTreeMap::new(), BTreeMap::new());
    let mut base = layer::default_plugin(max_memory);
    let mut items: Vec<_> = table.items().collect();
    items.sort_by_key(|item| item.key != BASE);
    for item in items {
        if let Err(error) = ProviderId::new(item.key.as_str()) {
            item.source.problem(item.key_offset, error.to_string());
        }
        let Some(keys) = item.table() else { continue };
        let is_base = item.key == BASE;
        let rules = Rules {
            max_memory: max_memory as u64,
            no_grants: None,
            no_tools: is_base.then_some("a tool belongs to one plugin; write it in [plugin.NAME.tools.TOOL]"),
        };
        let (config, set) = layer::read(keys, &rules, base.clone());
        if is_base {
            base = config.clone();
        } else {
            places.insert(item.key.clone(), set);
        }
        configs.insert(item.key, config);
    }
    (configs, Arc::new(places))
}

/// A sidecar over what `toolbay.toml` says of its plugin.
pub(super) fn sidecar(
    config: &Config,
    name: &str,
    text: &str,
    origin: &Path,
    environment: Environment<'_>,
) -> Result<PluginConfig, ConfigError> {
    let source = Source::new(text, origin, environment);
    let document = source.parse()?;
    let root = Table::new(&source, &document, "");
    let quoted = if name.contains('.') { format!("{name:?}") } else { name.to_owned() };
    let refusal =
        format!("a sidecar may grant nothing, as sidecar_grants is false in [host]; move it to [plugin.{quoted}] of toolbay.toml");
    let rules = Rules {
        max_memory: config.host.max_memory as u64,
        no_grants: (!config.host.sidecar_grants).then_some(refusal.as_str()),
        no_tools: None,
    };
    let (merged, set_here) = layer::read(root, &rules, config.base_of(name));
    for (key, place) in &set_here {
        if let Some(other) = config.places.get(name).and_then(|set| set.get(key)) {
            source.problem_at(place.clone(), format!("{key:?} is set here and in [plugin.{quoted}] ({other}); keep one of them"));
        }
    }
    source.finish(merged)
}
