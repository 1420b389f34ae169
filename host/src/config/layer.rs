//! Reads one layer of a plugin's configuration over what the layers below it say.

use std::{
    collections::BTreeMap,
    fs,
    ops::RangeInclusive,
    path::{Component, Path},
    time::Duration,
};

use super::{
    DirGrant, PluginConfig, PluginLimits, ToolOverride,
    address::parse_host_pattern,
    error::Place,
    reader::{Item, Table, set},
    secret::{self, Plain},
    servers,
};
use crate::provider::ToolName;

/// One Wasm page: with less memory nothing starts.
const LEAST_MEMORY: u64 = 64 << 10;
/// An answer is one JSON-RPC message, which client and server hold in memory whole.
const OUTPUT: RangeInclusive<u64> = 1..=1 << 30;
/// A day: what runs longer is no tool call.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// As many instances as the pool can have.
const CONCURRENCY: RangeInclusive<u32> = 1..=super::read::MOST_INSTANCES;

/// The keys that one layer has set, and where.
pub(super) type Places = BTreeMap<String, Place>;

/// What a layer may do.
pub(super) struct Rules<'a> {
    /// `host.max_memory`.
    pub(super) max_memory: u64,
    /// None: grants are allowed. Else the sentence that refuses them.
    pub(super) no_grants: Option<&'a str>,
    /// None: tools can be described. Else the sentence that refuses it.
    pub(super) no_tools: Option<&'a str>,
}

/// What a plugin has that nobody configures.
pub(super) fn default_plugin(max_memory: usize) -> PluginConfig {
    let limits = PluginLimits::default();
    PluginConfig { limits: PluginLimits { memory: limits.memory.min(max_memory), ..limits }, ..PluginConfig::default() }
}

/// `config` with the keys of `table` in place of its own.
pub(super) fn read(table: Table<'_>, rules: &Rules<'_>, mut config: PluginConfig) -> (PluginConfig, Places) {
    let mut places = Places::new();
    limits(&table, rules, &mut config.limits, &mut places);

    let mut grant = |key| {
        let item = table.get(key)?;
        if let Some(refusal) = rules.no_grants {
            item.fail_key(refusal);
            return None;
        }
        places.insert(key.to_owned(), item.place());
        Some(item)
    };
    let (http, http_private, env, dirs_item) = (grant("http"), grant("http_private"), grant("env"), grant("dirs"));
    set(&mut config.grants.nn_load, grant("nn_load").and_then(|item| item.size(0..=1 << 40, "")));
    set(&mut config.grants.http, http.and_then(|item| item.parsed_list(|text| parse_host_pattern(text, true))));
    set(&mut config.grants.http_private, http_private.and_then(|item| item.parsed_list(|text| parse_host_pattern(text, false))));
    set(&mut config.grants.dirs, dirs_item.and_then(|item| dirs(&item)));
    if let Some(variables) = env.and_then(|item| item.table()) {
        // Variables are merged one by one, so the table as a whole is no key that two layers could both set.
        places.remove("env");
        for item in variables.items() {
            if let Err(message) = secret::variable_name(&item.key) {
                item.fail_key(message);
            } else if let Some(value) = secret::read(&item, Plain::Allowed) {
                places.insert(format!("env.{}", item.key), item.place());
                config.grants.env.insert(item.key, value);
            }
        }
    }

    if let Some(item) = table.get("default_tool") {
        match rules.no_tools {
            Some(_) => item.fail_key("a tool belongs to one plugin; write it in [plugin.NAME]"),
            None => {
                places.insert("default_tool".to_owned(), item.place());
                let name = item.parsed(|text| ToolName::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string()));
                set(&mut config.default_tool, name.map(Some));
            }
        }
    }
    for key in ["prefix", "rename", "include", "exclude"] {
        places.extend(table.get(key).map(|item| (key.to_owned(), item.place())));
    }
    servers::read_names(&table, &mut config.names);
    if let Some(item) = table.get("tools") {
        match (rules.no_tools, item.table()) {
            (Some(refusal), _) => item.fail_key(refusal),
            (None, Some(found)) => tools(&found, &table.path, &mut config.tools, &mut places, "plugin"),
            (None, None) => {}
        }
    }
    table.finish();
    (config, places)
}

fn limits(table: &Table<'_>, rules: &Rules<'_>, limits: &mut PluginLimits, places: &mut Places) {
    let mut get = |key| table.get(key).inspect(|item| drop(places.insert(key.to_owned(), item.place())));
    let memory = LEAST_MEMORY..=rules.max_memory;
    set(&mut limits.memory, get("memory").and_then(|item| item.size(memory, ", which is max_memory in [host]")).map(to_usize));
    set(&mut limits.table_elements, get("table_elements").and_then(|item| item.number(1..=10_000_000)).map(count));
    set(&mut limits.timeout, get("timeout").and_then(|item| item.duration(TIMEOUT)));
    set(&mut limits.output, get("output").and_then(|item| item.size(OUTPUT, "")).map(to_usize));
    set(&mut limits.log_rate, get("log_rate").and_then(|item| item.number(0..=1_000_000)));
    set(&mut limits.concurrency, get("concurrency").and_then(|item| item.number(CONCURRENCY)).map(count));
    set(&mut limits.queue, get("queue").and_then(|item| item.number(0..=1_000_000)).map(count));
    set(&mut limits.http_connections, get("http_connections").and_then(|item| item.number(1..=10_000)).map(count));
    set(&mut limits.http_body, get("http_body").and_then(|item| item.size(1..=1 << 40, "")));
    set(&mut limits.http_timeout, get("http_timeout").and_then(|item| item.duration(TIMEOUT)));
    set(&mut limits.nn_memory, get("nn_memory").and_then(|item| item.size(1 << 10..=1 << 40, "")));
    set(&mut limits.nn_time, get("nn_time").and_then(|item| item.duration(TIMEOUT)));
}

pub(super) fn dirs(list: &Item<'_>) -> Option<Vec<DirGrant>> {
    let mut grants: Vec<DirGrant> = Vec::new();
    for item in list.list()? {
        if !item.value.is_table() {
            item.wrong_type("a table ({ host = \"data\", guest = \"/data\" })");
            continue;
        }
        let Some(table) = item.table() else { continue };
        let (host, guest, write) = (table.get("host"), table.get("guest"), table.get("write"));
        table.finish();
        for (key, value) in [("host", &host), ("guest", &guest)] {
            if value.is_none() {
                item.fail(format_args!("has no {key:?}; write {{ host = \"data\", guest = \"/data\" }}"));
            }
        }
        let host = host.and_then(|host| folder(&host));
        let guest = guest.and_then(|guest| guest.parsed(guest_path));
        let write = write.map_or(Some(false), |write| write.boolean());
        if let (Some(host), Some(guest), Some(write)) = (host, guest, write) {
            if grants.iter().any(|other| other.guest == guest) {
                item.fail(format_args!("two folders cannot both be {guest:?} for the plugin"));
            }
            grants.push(DirGrant { host, guest, write });
        }
    }
    Some(grants)
}

/// A folder of the host that is there.
pub(super) fn folder(item: &Item<'_>) -> Option<std::path::PathBuf> {
    let path = item.file_path()?;
    let path = std::path::absolute(&path).unwrap_or(path);
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => return Some(path),
        Ok(_) => item.fail(format_args!("{} is no folder; only folders can be granted", path.display())),
        Err(error) => item.fail(format_args!("cannot use the folder {}: {error}", path.display())),
    }
    None
}

fn guest_path(text: &str) -> Result<String, String> {
    let path = text.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(text);
    if !path.starts_with('/') {
        return Err(format!("{text:?} is not absolute; write the path as the plugin sees it: \"/{text}\""));
    }
    let dotted = path.split('/').any(|part| matches!(part, "." | ".."));
    let plain = Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if dotted || !plain || path.contains("//") || path.contains(['\0', '\\']) {
        return Err(format!("{text:?} is not allowed; a path of the plugin has no \".\", \"..\", \"//\" or \"\\\" in it"));
    }
    Ok(path.to_owned())
}

/// `tools.TOOL`; `who` says what is there to keep: the plugin's or the server's own words.
pub(super) fn tools(table: &Table<'_>, root: &str, overrides: &mut BTreeMap<String, ToolOverride>, places: &mut Places, who: &str) {
    let not_blank = |text: &str| match text.trim() {
        "" => Err(format!("cannot be empty; leave the key out to keep what the {who} says")),
        _ => Ok(text.to_owned()),
    };
    for item in table.items() {
        if let Err(error) = ToolName::new(item.key.as_str()) {
            item.fail_key(error);
            continue;
        }
        let Some(keys) = item.table() else { continue };
        let entry = overrides.entry(item.key.clone()).or_default();
        let mut get = |key| keys.get(key).inspect(|item: &Item<'_>| drop(places.insert(item.path_below(root), item.place())));
        let (title, description, params) = (get("title"), get("description"), keys.get("params"));
        set(&mut entry.title, title.and_then(|title| title.parsed(not_blank)).map(Some));
        set(&mut entry.description, description.and_then(|description| description.parsed(not_blank)).map(Some));
        for param in params.and_then(|params| params.table()).iter().flat_map(|params| params.items().collect::<Vec<_>>()) {
            if let Some(text) = param.parsed(not_blank) {
                places.insert(param.path_below(root), param.place());
                entry.params.insert(param.key, text);
            }
        }
        keys.finish();
    }
}

pub(super) fn to_usize(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

pub(super) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
