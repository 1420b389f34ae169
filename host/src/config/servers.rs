//! Reads `[server.NAME]`.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::{
    CommandSource, ImageSource, NameRules, OpenApiSource, Pull, Replicas, Secret, ServerConfig, ServerLimits, ServerSource, UrlSource,
    layer,
    reader::{Item, Table, set},
    secret::{self, Plain},
};
use crate::provider::{ProviderId, ToolName};

/// A day: what runs longer is no tool call.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// Nobody waits longer for a program to start or to end.
const START: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// More processes of one kind do not fit a machine.
const MOST_REPLICAS: u32 = 1000;
/// One message is held in memory whole.
const MESSAGE: RangeInclusive<u64> = 1 << 10..=1 << 30;
/// Below this no engine starts a container.
const MEMORY: RangeInclusive<u64> = 6 << 20..=1 << 42;

/// Keys that only some sources have, and which.
const ONLY: [(&str, &[Kind]); 19] = [
    ("args", &[Kind::Command, Kind::Image]),
    ("cwd", &[Kind::Command]),
    ("env", &[Kind::Command, Kind::Image]),
    ("entrypoint", &[Kind::Image]),
    ("memory", &[Kind::Image]),
    ("cpus", &[Kind::Image]),
    ("pids", &[Kind::Image]),
    ("network", &[Kind::Image]),
    ("tmpfs", &[Kind::Image]),
    ("writable", &[Kind::Image]),
    ("user", &[Kind::Image]),
    ("dirs", &[Kind::Image]),
    ("pull", &[Kind::Image]),
    ("headers", &[Kind::Url, Kind::OpenApi]),
    ("bearer", &[Kind::Url, Kind::OpenApi]),
    ("query", &[Kind::OpenApi]),
    ("credentials", &[Kind::OpenApi]),
    ("follow_references", &[Kind::OpenApi]),
    ("base_url", &[Kind::OpenApi]),
    ("refresh", &[Kind::OpenApi]),
    ("replicas", &[Kind::Command, Kind::Image]),
    ("stop_timeout", &[Kind::Command, Kind::Image]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Command,
    Image,
    Url,
    OpenApi,
}

impl Kind {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Command, "command"), (Self::Image, "image"), (Self::Url, "url"), (Self::OpenApi, "openapi")];

    fn key(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, key)| *key)
    }
}

/// All `[server.NAME]`.
pub(super) fn servers(table: &Table<'_>) -> BTreeMap<String, ServerConfig> {
    let mut servers = BTreeMap::new();
    for item in table.items() {
        if let Err(error) = ProviderId::new(item.key.as_str()) {
            item.source.problem(item.key_offset, error.to_string().replacen("plugin", "server", 1));
        }
        if let Some(server) = item.table().and_then(|keys| server(&item, keys)) {
            servers.insert(item.key, server);
        }
    }
    servers
}

fn server(item: &Item<'_>, table: Table<'_>) -> Option<ServerConfig> {
    let kind = kind(item, &table);
    // All are asked for, whatever the source: a key of another source is known, but out of place.
    let source = match kind {
        Some(Kind::Command) | None => command(&table).map(ServerSource::Command),
        Some(Kind::Image) => image(&table).map(ServerSource::Image),
        Some(Kind::Url) => url(&table).map(ServerSource::Url),
        Some(Kind::OpenApi) => openapi(&table).map(ServerSource::OpenApi),
    };
    for (key, homes) in ONLY {
        let found = table.get(key);
        if let (Some(item), Some(kind)) = (found, kind)
            && !homes.contains(&kind)
        {
            let homes = homes.iter().map(|kind| format!("{:?}", kind.key())).collect::<Vec<_>>().join(" or ");
            item.fail_key(format_args!("belongs to a server with {homes}, and this one has {:?}", kind.key()));
        }
    }
    let server = ServerConfig {
        source: source.unwrap_or_else(|| ServerSource::Command(CommandSource::default())),
        replicas: table.get("replicas").and_then(|item| replicas(&item)).unwrap_or_default(),
        limits: limits(&table),
        names: names(&table, "server"),
        default_tool: table.get("default_tool").and_then(|item| item.parsed(tool_name)),
    };
    table.finish();
    kind.map(|_| server)
}

/// Which of the four it is. Says so where it is none or several.
fn kind(item: &Item<'_>, table: &Table<'_>) -> Option<Kind> {
    let given: Vec<(Kind, Item<'_>)> = Kind::ALL.iter().filter_map(|(kind, key)| Some((*kind, table.get(key)?))).collect();
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

fn command(table: &Table<'_>) -> Option<CommandSource> {
    let item = table.get("command");
    let args = table.get("args");
    let cwd = table.get("cwd").and_then(|item| layer::folder(&item));
    let env = table.get("env").map(|item| env(&item)).unwrap_or_default();
    let item = item?;
    let mut argv = if item.value.as_array().is_some() {
        if let Some(args) = &args {
            args.fail_key("\"command\" is a list already: write the arguments into it");
        }
        item.parsed_list(no_nul)?
    } else if item.value.as_str().is_some() {
        let mut argv = vec![item.parsed(no_nul)?];
        argv.extend(args.and_then(|args| args.parsed_list(no_nul)).unwrap_or_default());
        argv
    } else {
        item.wrong_type("a list ([\"program\", \"argument\"]), or text with \"args\" beside it");
        return None;
    };
    let program = argv.first_mut().filter(|program| !program.trim().is_empty());
    let Some(program) = program else {
        item.fail("has no program; write [\"program\", \"argument\"]");
        return None;
    };
    if program.starts_with("~/") {
        item.fail(format_args!("{program:?}: \"~\" is not expanded; write the whole path"));
    } else if program.contains(char::is_whitespace) && item.value.as_str().is_some() && !item.source.folder.join(&*program).exists() {
        let words = program.split_whitespace().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        item.fail(format_args!("no shell splits this into words; write command = [{words}]"));
    } else if program.contains('/') {
        // As every path of the file. A bare name is looked up in PATH.
        let path = item.source.folder.join(&*program);
        *program = std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
    }
    Some(CommandSource { argv, cwd, env })
}

fn image(table: &Table<'_>) -> Option<ImageSource> {
    let mut image = ImageSource::default();
    let name = table.get("image").and_then(|item| {
        item.parsed(|text| match text {
            _ if text.trim().is_empty() => Err("has no image; write \"registry/name:tag\"".to_owned()),
            _ if text.contains(char::is_whitespace) || text.starts_with('-') => {
                Err(format!("{text:?} is no image; write \"registry/name:tag\", and arguments into \"args\""))
            }
            _ => Ok(text.to_owned()),
        })
    });
    let list = |key| table.get(key).and_then(|item: Item<'_>| item.parsed_list(no_nul));
    let size = |key, range| table.get(key).and_then(|item: Item<'_>| item.size(range, ""));
    set(&mut image.args, list("args"));
    image.entrypoint = list("entrypoint");
    image.env = table.get("env").map(|item| env(&item)).unwrap_or_default();
    set(&mut image.memory, size("memory", MEMORY));
    set(&mut image.cpus, table.get("cpus").and_then(|item| item.fraction(0.01, 1024.0)));
    set(&mut image.pids, table.get("pids").and_then(|item| item.number(1..=4_194_304)));
    set(
        &mut image.network,
        table.get("network").and_then(|item| {
            item.parsed(|text| match text {
                _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) => {
                    Ok(text.to_owned())
                }
                _ => Err(format!("{text:?} is no network; write \"none\", \"bridge\", \"host\", or the name of a network of the engine")),
            })
        }),
    );
    set(&mut image.tmpfs, size("tmpfs", 0..=1 << 40));
    set(&mut image.writable, table.get("writable").and_then(|item| item.boolean()));
    image.user = table.get("user").and_then(|item| {
        item.parsed(|text| match text {
            _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')) => {
                Ok(text.to_owned())
            }
            _ => Err(format!("{text:?} is no user; write \"1000\", \"1000:1000\" or a name of the image")),
        })
    });
    set(&mut image.dirs, table.get("dirs").and_then(|item| layer::dirs(&item)));
    let pull = |text: &str| match text {
        "missing" => Ok(Pull::Missing),
        "always" => Ok(Pull::Always),
        "never" => Ok(Pull::Never),
        _ => Err(format!("{text:?} is not allowed; it must be \"missing\", \"always\" or \"never\"")),
    };
    set(&mut image.pull, table.get("pull").and_then(|item| item.parsed(pull)));
    image.image = name?;
    Some(image)
}

fn url(table: &Table<'_>) -> Option<UrlSource> {
    let url = table.get("url").and_then(|item| item.parsed(http_url));
    let (headers, bearer) = credentials(table);
    Some(UrlSource { url: url?, headers, bearer })
}

fn openapi(table: &Table<'_>) -> Option<OpenApiSource> {
    let document = table.get("openapi").and_then(|item| {
        if item.text()?.contains("://") {
            return item.parsed(http_url);
        }
        let path = item.file_path()?;
        let path = std::path::absolute(&path).unwrap_or(path);
        if !path.is_file() {
            item.fail(format_args!("there is no file {}; write the path of an OpenAPI document, or its http(s) URL", path.display()));
        }
        Some(path.to_string_lossy().into_owned())
    });
    let base_url = table.get("base_url").and_then(|item| item.parsed(http_url));
    let refresh = table.get("refresh").and_then(|item| item.duration(Duration::ZERO..=Duration::from_secs(24 * 3600)));
    let (headers, bearer) = credentials(table);
    let refresh = refresh.unwrap_or(OpenApiSource::default().refresh);
    let query = named_secrets(table, "query", Plain::Allowed);
    let credentials = named_secrets(table, "credentials", Plain::Refused);
    let follow_references = table.get("follow_references").and_then(|item| item.boolean()).unwrap_or_default();
    Some(OpenApiSource { document: document?, base_url, refresh, headers, bearer, query, credentials, follow_references })
}

/// Secrets by names of somebody else's.
fn named_secrets(table: &Table<'_>, key: &str, plain: Plain) -> BTreeMap<String, Secret> {
    let items = table.get(key).and_then(|item| item.table());
    let items = items.iter().flat_map(|secrets| secrets.items().collect::<Vec<_>>());
    items.filter_map(|item| secret::read(&item, plain).map(|secret| (item.key, secret))).collect()
}

fn credentials(table: &Table<'_>) -> (BTreeMap<String, Secret>, Option<Secret>) {
    let mut headers = BTreeMap::new();
    for item in table.get("headers").and_then(|item| item.table()).iter().flat_map(|headers| headers.items().collect::<Vec<_>>()) {
        if let Err(message) = header_name(&item.key) {
            item.fail_key(message);
        } else if let Some(value) = secret::read(&item, Plain::Allowed) {
            if http::HeaderValue::from_str(&value.0).is_err() {
                item.fail("holds a character that the value of a header cannot, such as a newline");
            }
            headers.insert(item.key, value);
        }
    }
    let bearer = table.get("bearer").and_then(|item| {
        let secret = secret::read(&item, Plain::Refused)?;
        if secret.0.is_empty() || !secret.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            item.fail("the token must be visible ASCII without white space");
        }
        if headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            item.fail_key("\"headers\" has \"Authorization\" already; keep one of them");
        }
        Some(secret)
    });
    (headers, bearer)
}

/// A header that may be set: those of the protocol and of the connection are the host's own.
pub(super) fn header_name(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("is no name of an HTTP header".to_owned());
    }
    let own = ["host", "content-type", "content-length", "accept", "connection", "transfer-encoding", "upgrade"];
    if own.contains(&lower.as_str()) || lower.starts_with("mcp-") {
        return Err("is a header that the host sets itself".to_owned());
    }
    Ok(())
}

pub(super) fn http_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("{text:?} is no URL ({error}); write \"https://host/mcp\""))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        scheme => return Err(format!("{scheme:?} is not spoken here; write an http or https URL")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL holds no password here; write bearer = { from_env = \"VARIABLE\" } or headers".to_owned());
    }
    Ok(text.to_owned())
}

fn env(item: &Item<'_>) -> BTreeMap<String, Secret> {
    let mut env = BTreeMap::new();
    for item in item.table().iter().flat_map(|variables| variables.items().collect::<Vec<_>>()) {
        if let Err(message) = secret::variable_name(&item.key) {
            item.fail_key(message);
        } else if let Some(value) = secret::read(&item, Plain::Allowed) {
            env.insert(item.key, value);
        }
    }
    env
}

fn replicas(item: &Item<'_>) -> Option<Replicas> {
    let whole = Replicas::default();
    if item.value.is_integer() {
        if item.value.as_integer().is_some_and(|number| number.as_str() == "0") {
            item.fail("0 would never run; write { min = 0, max = 1 } to run it only while it is called");
            return None;
        }
        let count = item.number(1..=MOST_REPLICAS)?;
        return Some(Replicas { min: count, max: count, ..whole });
    }
    if !item.value.is_table() {
        item.wrong_type("a number, or a table ({ min = 1, max = 4 })");
        return None;
    }
    let table = item.table()?;
    let number = |key, least| table.get(key).and_then(|item: Item<'_>| item.number(least..=MOST_REPLICAS));
    let delay = |key| table.get(key).and_then(|item: Item<'_>| item.duration(Duration::ZERO..=Duration::from_secs(24 * 3600)));
    let (min, max) = (number("min", 0), number("max", 1));
    let replicas = Replicas {
        min: min.unwrap_or_else(|| max.map_or(whole.min, |max| max.min(whole.min))),
        max: max.unwrap_or_else(|| min.map_or(whole.max, |min| min.max(whole.max))),
        target_ongoing_requests: table
            .get("target_ongoing_requests")
            .and_then(|item| item.fraction(0.01, 10_000.0))
            .unwrap_or(whole.target_ongoing_requests),
        upscale_delay: delay("upscale_delay").unwrap_or(whole.upscale_delay),
        downscale_delay: delay("downscale_delay").unwrap_or(whole.downscale_delay),
    };
    table.finish();
    if replicas.min > replicas.max {
        item.fail(format_args!("min ({}) is more than max ({})", replicas.min, replicas.max));
    }
    Some(replicas)
}

fn limits(table: &Table<'_>) -> ServerLimits {
    let mut limits = ServerLimits::default();
    let duration = |key, range| table.get(key).and_then(|item: Item<'_>| item.duration(range));
    set(&mut limits.start, duration("start_timeout", START));
    set(&mut limits.call, duration("timeout", TIMEOUT));
    set(&mut limits.stop, duration("stop_timeout", Duration::ZERO..=Duration::from_secs(3600)));
    set(&mut limits.ping, duration("ping", Duration::ZERO..=Duration::from_secs(3600)));
    set(&mut limits.concurrency, table.get("concurrency").and_then(|item| item.number(1..=100_000)).map(layer::count));
    set(&mut limits.queue, table.get("queue").and_then(|item| item.number(0..=1_000_000)).map(layer::count));
    set(&mut limits.max_message, table.get("max_message").and_then(|item| item.size(MESSAGE, "")).map(layer::to_usize));
    limits
}

/// `prefix`, `rename`, `include`, `exclude` and `tools`.
fn names(table: &Table<'_>, who: &str) -> NameRules {
    let mut rules = NameRules::default();
    read_names(table, &mut rules);
    if let Some(tools) = table.get("tools").and_then(|item| item.table()) {
        layer::tools(&tools, &table.path, &mut rules.tools, &mut layer::Places::new(), who);
    }
    rules
}

/// `prefix`, `rename`, `include` and `exclude`, which a plugin has too.
pub(super) fn read_names(table: &Table<'_>, rules: &mut NameRules) {
    set(&mut rules.prefix, table.get("prefix").and_then(|item| item.parsed(tool_name)).map(Some));
    if let Some(renames) = table.get("rename").and_then(|item| item.table()) {
        for item in renames.items() {
            let Some(name) = item.parsed(tool_name) else { continue };
            if let Some((other, _)) = rules.rename.iter().find(|(own, published)| **published == name && **own != item.key) {
                item.fail(format_args!("{other:?} is renamed to {name:?} already; two cannot have one name"));
            }
            rules.rename.insert(item.key, name);
        }
    }
    set(&mut rules.include, table.get("include").and_then(|item| item.parsed_list(pattern)));
    set(&mut rules.exclude, table.get("exclude").and_then(|item| item.parsed_list(pattern)));
}

fn tool_name(text: &str) -> Result<String, String> {
    ToolName::new(text).map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
}

fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name cannot be empty; \"*\" is any".to_owned()) } else { Ok(text.to_owned()) }
}

fn no_nul(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("an argument cannot hold a NUL character".to_owned()) } else { Ok(text.to_owned()) }
}
