//! Reads the `mcpServers` JSON of desktop clients.
//!
//! The file is another program's. Keys of its that mean nothing to a host are passed over; any other that is not known here is an error, since it may be
//! what makes the server work.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, value::RawValue};

use super::{
    CommandSource, Config, ConfigError, Problem, Secret, ServerConfig, ServerSource, UrlSource,
    error::place,
    secret,
    server::{header_name, http_url},
    source::Environment,
};
use crate::{provider::ProviderId, similar};

/// A file of servers is written by hand.
const MAX_FILE: u64 = 4 << 20;

/// What an entry may have.
const KNOWN: [&str; 8] = ["command", "args", "env", "cwd", "type", "url", "headers", "disabled"];

/// What clients note about an entry for themselves.
const PASSED_OVER: [&str; 16] = [
    "alwaysAllow",
    "autoApprove",
    "description",
    "dev",
    "gallery",
    "icon",
    "name",
    "note",
    "registry",
    "restart",
    "startup_timeout_ms",
    "timeout",
    "tools",
    "transport",
    "trust",
    "version",
];

pub(super) type Found = BTreeMap<String, ServerConfig>;

/// Reads the file.
pub(super) fn load(path: &Path, environment: Environment<'_>) -> Result<Found, ConfigError> {
    let wrong = |reason: String| ConfigError::Read { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(wrong(format!("it has {size} bytes; at most {MAX_FILE} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    parse(&text, path, environment)
}

/// Puts the servers beside those of `toolbay.toml`, and says which names are taken.
pub(super) fn merge(config: &mut Config, found: Found, path: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, server) in found {
        let taken = [("server", config.server.contains_key(&name)), ("plugin", config.plugin.contains_key(&name))];
        match taken.iter().find(|(_, taken)| *taken) {
            Some((section, _)) => {
                problems.push(format!("the server {name:?} of {} is also in [{section}.{name}]; rename one of them", path.display()));
            }
            None => drop(config.server.insert(name, server)),
        }
    }
    problems
}

pub(super) fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Found, ConfigError> {
    let mut file = File { text, path, folder: path.parent().map(Path::to_owned).unwrap_or_default(), environment, problems: Vec::new() };
    let found = file.read().unwrap_or_default();
    if file.problems.is_empty() {
        return Ok(found);
    }
    file.problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    Err(ConfigError::Invalid { problems: file.problems })
}

/// An object of the file, member by member, each still as it stands there.
type Members<'a> = BTreeMap<String, &'a RawValue>;

struct File<'a> {
    text: &'a str,
    path: &'a Path,
    folder: PathBuf,
    environment: Environment<'a>,
    problems: Vec<Problem>,
}

impl<'a> File<'a> {
    fn read(&mut self) -> Option<Found> {
        let whole: Members<'a> = match serde_json::from_str(self.text) {
            Ok(whole) => whole,
            Err(error) => {
                let start: usize = self.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
                // serde_json's own words can show a value, which may be a secret.
                let why = if error.is_data() { "it is no JSON object" } else { "this is not JSON" };
                self.problem(start + error.column().saturating_sub(1), format!("{why}; write {{\"mcpServers\": {{…}}}}"));
                return None;
            }
        };
        let servers = whole.get("mcpServers").or_else(|| whole.get("servers"));
        let Some(servers) = servers else {
            self.problem(0, "has no \"mcpServers\"; write {\"mcpServers\": {\"name\": {\"command\": \"…\"}}}".to_owned());
            return None;
        };
        let mut found = Found::new();
        // By the host's name of it.
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (name, entry) in self.object(servers, "\"mcpServers\"")? {
            let at = self.offset(entry);
            let Some(id) = id(&name) else {
                self.problem(at, format!("server {name:?}: a name needs a letter or a digit at its start, and at most 64 characters"));
                continue;
            };
            let server = self.server(&name, entry);
            if let Some(other) = names.insert(id.clone(), name.clone()) {
                self.problem(at, format!("server {name:?}: it and {other:?} would both be called {id:?} here; rename one of them"));
            }
            if let Some(server) = server {
                found.insert(id, server);
            }
        }
        Some(found)
    }

    fn server(&mut self, name: &str, entry: &'a RawValue) -> Option<ServerConfig> {
        let members = self.object(entry, &format!("server {name:?}"))?;
        for (key, value) in &members {
            if !KNOWN.contains(&key.as_str()) && !PASSED_OVER.contains(&key.as_str()) {
                let hint = match similar::nearest(key, KNOWN.iter().copied()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("known keys are {}", KNOWN.join(", ")),
                };
                self.fail(name, key, value, &format!("is not known; {hint}"));
            }
        }
        let kind = self.text(name, "type", &members)?;
        let (command, url) = (self.text(name, "command", &members)?, self.text(name, "url", &members)?);
        if let Some(off) = members.get("disabled") {
            match off.get() {
                "true" => return None,
                "false" => {}
                _ => self.fail(name, "disabled", off, "must be true or false"),
            }
        }
        let args = self.texts(name, &members)?;
        let env = self.secrets(name, "env", &members)?;
        let headers = self.secrets(name, "headers", &members)?;
        let cwd = self.text(name, "cwd", &members)?;
        let wrong_for = |file: &mut Self, keys: &[&str], kind: &str| {
            for key in keys {
                if let Some(value) = members.get(*key) {
                    file.fail(name, key, value, &format!("does not belong to a server with {kind:?}"));
                }
            }
        };
        match (command, url) {
            (Some(_), Some(_)) => {
                self.problem(self.offset(entry), format!("server {name:?}: has both \"command\" and \"url\"; keep one"));
                None
            }
            (None, None) => {
                self.problem(self.offset(entry), format!("server {name:?}: has neither \"command\" nor \"url\""));
                None
            }
            (Some(command), None) => {
                wrong_for(self, &["headers"], "command");
                if let (Some(kind), Some(value)) = (kind.filter(|kind| kind != "stdio"), members.get("type")) {
                    self.fail(name, "type", value, &format!("is {kind:?}, but a server with \"command\" is \"stdio\""));
                }
                let mut argv = vec![command];
                argv.extend(args);
                let program = argv.first_mut().filter(|program| !program.trim().is_empty());
                match (program, members.get("command")) {
                    (Some(program), _) if program.contains('/') => {
                        let path = self.folder.join(&*program);
                        *program = std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
                    }
                    (None, Some(value)) => self.fail(name, "command", value, "names no program"),
                    _ => {}
                }
                let cwd = cwd.map(|cwd| self.folder.join(cwd));
                if let (Some(cwd), Some(value)) = (cwd.as_ref().filter(|cwd| !cwd.is_dir()), members.get("cwd")) {
                    self.fail(name, "cwd", value, &format!("there is no folder {}", cwd.display()));
                }
                Some(ServerConfig::new(ServerSource::Command(CommandSource { argv, cwd, env })))
            }
            (None, Some(url)) => {
                wrong_for(self, &["args", "env", "cwd"], "url");
                if let (Some(kind), Some(value)) = (kind, members.get("type")) {
                    match kind.as_str() {
                        "http" | "streamable-http" | "streamableHttp" | "streamable_http" => {}
                        "sse" => self.fail(
                            name,
                            "type",
                            value,
                            "is \"sse\", the transport of 2024 that MCP has given up; ask the server's maker for its Streamable HTTP address and write \"http\"",
                        ),
                        _ => self.fail(name, "type", value, &format!("is {kind:?}; a server with \"url\" is \"http\"")),
                    }
                }
                if let (Err(message), Some(value)) = (http_url(&url), members.get("url")) {
                    self.fail(name, "url", value, &message);
                }
                for header in headers.keys() {
                    if let (Err(message), Some(value)) = (header_name(header), members.get("headers")) {
                        self.fail(name, &format!("headers.{header}"), value, &message);
                    }
                }
                Some(ServerConfig::new(ServerSource::Url(UrlSource { url, headers, bearer: None })))
            }
        }
    }

    /// A text, expanded. The outer None: it is wrong, and that was noted.
    #[expect(clippy::option_option, reason = "a key that is not there is no problem")]
    fn text(&mut self, server: &str, key: &str, members: &Members<'a>) -> Option<Option<String>> {
        let Some(raw) = members.get(key) else { return Some(None) };
        match serde_json::from_str::<Value>(raw.get()) {
            Ok(Value::String(text)) => self.expanded(server, key, raw, &text).map(Some),
            Ok(Value::Null) => Some(None),
            _ => {
                self.fail(server, key, raw, "must be text");
                None
            }
        }
    }

    fn texts(&mut self, server: &str, members: &Members<'a>) -> Option<Vec<String>> {
        let Some(raw) = members.get("args") else { return Some(Vec::new()) };
        let Ok(texts) = serde_json::from_str::<Vec<String>>(raw.get()) else {
            self.fail(server, "args", raw, "must be a list of texts");
            return None;
        };
        texts.iter().map(|text| self.expanded(server, "args", raw, text)).collect()
    }

    fn secrets(&mut self, server: &str, key: &str, members: &Members<'a>) -> Option<BTreeMap<String, Secret>> {
        let Some(raw) = members.get(key) else { return Some(BTreeMap::new()) };
        let mut secrets = BTreeMap::new();
        for (name, value) in self.object(raw, &format!("server {server:?}: {key:?}"))? {
            let path = format!("{key}.{name}");
            // Numbers and booleans are written bare by many.
            let text = match serde_json::from_str::<Value>(value.get()) {
                Ok(Value::String(text)) => text,
                Ok(bare @ (Value::Number(_) | Value::Bool(_))) => bare.to_string(),
                _ => {
                    self.fail(server, &path, value, "must be text");
                    continue;
                }
            };
            if let Err(message) = secret::variable_name(&name) {
                self.fail(server, &path, value, &message);
            }
            if text.contains('\0') {
                self.fail(server, &path, value, "holds a NUL character, which an environment variable cannot");
            }
            if let Some(text) = self.expanded(server, &path, value, &text) {
                secrets.insert(name, Secret(text));
            }
        }
        Some(secrets)
    }

    /// `${VAR}`, `${VAR:-default}`, `${env:VAR}` and `${userHome}`, as clients have them.
    fn expanded(&mut self, server: &str, key: &str, raw: &'a RawValue, text: &str) -> Option<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                self.fail(server, key, raw, "has \"${\" without its \"}\"");
                return None;
            };
            match self.variable(name) {
                Ok(value) => expanded.push_str(&value),
                Err(message) => {
                    self.fail(server, key, raw, &message);
                    return None;
                }
            }
            rest = behind;
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        let name = match name.split_once(':') {
            Some(("env", name)) => name,
            Some(("input", input)) => {
                return Err(format!(
                    "asks for the input {input:?}, and nobody can be asked; write ${{VARIABLE}} and set that where toolbay is started"
                ));
            }
            Some(_) => return Err(format!("has ${{{name}}}, which means nothing here; write ${{VARIABLE}}")),
            None if name == "userHome" => "HOME",
            None if matches!(name, "workspaceFolder" | "workspaceRoot" | "workspaceFolderBasename") => {
                return Err(format!("has ${{{name}}}, and a host has no workspace; write the path"));
            }
            None if name == "pathSeparator" || name == "/" => return Ok(std::path::MAIN_SEPARATOR.to_string()),
            None => name,
        };
        secret::variable_name(name)?;
        match ((self.environment)(name), default) {
            (Some(value), _) => value.into_string().map_err(|_| format!("the environment variable {name:?} is not UTF-8 text")),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => {
                Err(format!("the environment variable {name:?} is not set; set it where toolbay is started, or write ${{{name}:-default}}"))
            }
        }
    }

    fn object(&mut self, raw: &'a RawValue, what: &str) -> Option<Members<'a>> {
        let members = serde_json::from_str(raw.get()).ok();
        if members.is_none() {
            self.problem(self.offset(raw), format!("{what} must be an object ({{…}})"));
        }
        members
    }

    fn fail(&mut self, server: &str, key: &str, raw: &RawValue, message: &str) {
        self.problem(self.offset(raw), format!("server {server:?}: {key:?} {message}"));
    }

    /// Where a piece of the text stands in it.
    fn offset(&self, raw: &RawValue) -> usize {
        (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len())
    }

    fn problem(&mut self, offset: usize, message: String) {
        self.problems.push(Problem { place: place(self.path, self.text, offset), message, excerpt: None });
    }
}

/// A name as a provider can have it: `Brave Search` is `brave-search`.
fn id(name: &str) -> Option<String> {
    let mut id = String::with_capacity(name.len());
    for c in name.trim().to_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        // Two of them part a provider's name from a tool's.
        if !(c == '_' && id.ends_with('_')) {
            id.push(c);
        }
    }
    let id = id.trim_matches('-').to_owned();
    ProviderId::new(id.as_str()).is_ok().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsString, path::Path};

    fn environment(name: &str) -> Option<OsString> {
        match name {
            "TOKEN" => Some("s3cr3t".into()),
            "HOME" => Some("/home/me".into()),
            _ => None,
        }
    }

    fn read(text: &str) -> Result<Found, String> {
        parse(text, Path::new("mcp.json"), &environment).map_err(|error| {
            let shown = error.to_string();
            assert!(!shown.contains("s3cr3t"), "a secret is shown: {shown}");
            shown
        })
    }

    #[test]
    fn the_file_of_a_desktop_client_is_understood() {
        let found = read(
            r#"{ "inputs": [], "mcpServers": {
                "Brave Search": { "command": "npx", "args": ["-y", "brave", "${userHome}/x"], "env": { "KEY": "${TOKEN}", "N": 5 }, "cwd": "/", "timeout": 60 },
                "git": { "type": "stdio", "command": "./git.sh", "env": { "A": "${env:TOKEN}", "B": "${NOT_SET:-b}", "C": "$TOKEN" }, "autoApprove": ["x"] },
                "off": { "command": "x", "disabled": true },
                "far": { "type": "http", "url": "https://example.com/mcp", "headers": { "Authorization": "Bearer ${TOKEN}" } }
            } }"#,
        )
        .unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["brave-search", "far", "git"]);
        let secret = |text: &str| Secret(text.to_owned());
        let ServerSource::Command(brave) = &found["brave-search"].source else { panic!() };
        assert_eq!(brave.argv, ["npx", "-y", "brave", "/home/me/x"]);
        assert_eq!((&brave.env["KEY"], &brave.env["N"], brave.cwd.as_deref()), (&secret("s3cr3t"), &secret("5"), Some(Path::new("/"))));
        let ServerSource::Command(git) = &found["git"].source else { panic!() };
        assert_eq!([&git.env["A"], &git.env["B"], &git.env["C"]], [&secret("s3cr3t"), &secret("b"), &secret("$TOKEN")]);
        assert_eq!(Path::new(&git.argv[0]), std::env::current_dir().unwrap().join("git.sh"));
        let ServerSource::Url(far) = &found["far"].source else { panic!() };
        assert_eq!((far.url.as_str(), &far.headers["Authorization"]), ("https://example.com/mcp", &secret("Bearer s3cr3t")));
    }

    #[test]
    fn each_mistake_is_told_with_file_server_and_key() {
        let server = |text: &str| format!("{{\"mcpServers\": {{\n\"s\": {text}}} }}");
        for (text, message) in [
            ("{".to_owned(), "mcp.json:1:1: this is not JSON; write {\"mcpServers\": {…}}"),
            ("{}".to_owned(), "mcp.json:1:1: has no \"mcpServers\"; write {\"mcpServers\": {\"name\": {\"command\": \"…\"}}}"),
            ("{\"mcpServers\": 1}".to_owned(), "mcp.json:1:16: \"mcpServers\" must be an object ({…})"),
            (
                "{\"mcpServers\": {\"ä\": {}}}".to_owned(),
                "mcp.json:1:22: server \"ä\": a name needs a letter or a digit at its start, and at most 64 characters",
            ),
            (
                "{\"mcpServers\": {\"A b\": {\"command\": \"x\"}, \"a-b\": {\"command\": \"x\"}}}".to_owned(),
                "mcp.json:1:49: server \"a-b\": it and \"A b\" would both be called \"a-b\" here; rename one of them",
            ),
            (server("{}"), "mcp.json:2:6: server \"s\": has neither \"command\" nor \"url\""),
            (
                server("{\"command\": \"x\", \"url\": \"http://x/\"}"),
                "mcp.json:2:6: server \"s\": has both \"command\" and \"url\"; keep one",
            ),
            (
                server("{\"comand\": \"x\", \"url\": \"http://x/\"}"),
                "mcp.json:2:17: server \"s\": \"comand\" is not known; did you mean \"command\"?",
            ),
            (server("{\"command\": 5}"), "mcp.json:2:18: server \"s\": \"command\" must be text"),
            (server("{\"command\": \"\"}"), "mcp.json:2:18: server \"s\": \"command\" names no program"),
            (server("{\"command\": \"x\", \"args\": \"y\"}"), "mcp.json:2:31: server \"s\": \"args\" must be a list of texts"),
            (server("{\"command\": \"x\", \"cwd\": \"/not/there\"}"), "mcp.json:2:30: server \"s\": \"cwd\" there is no folder /not/there"),
            (server("{\"command\": \"x\", \"disabled\": \"no\"}"), "mcp.json:2:35: server \"s\": \"disabled\" must be true or false"),
            (
                server("{\"command\": \"x\", \"headers\": {}}"),
                "mcp.json:2:34: server \"s\": \"headers\" does not belong to a server with \"command\"",
            ),
            (
                server("{\"command\": \"x\", \"env\": {\"K\": \"${NOT_SET}\"}}"),
                "mcp.json:2:36: server \"s\": \"env.K\" the environment variable \"NOT_SET\" is not set; set it where toolbay is started, or write ${NOT_SET:-default}",
            ),
            (
                server("{\"command\": \"x\", \"env\": {\"K\": \"s3cr3t ${TOKEN\"}}"),
                "mcp.json:2:36: server \"s\": \"env.K\" has \"${\" without its \"}\"",
            ),
            (
                server("{\"command\": \"${workspaceFolder}/x\"}"),
                "mcp.json:2:18: server \"s\": \"command\" has ${workspaceFolder}, and a host has no workspace; write the path",
            ),
            (
                server("{\"command\": \"x\", \"env\": {\"K\": \"${input:key}\"}}"),
                "mcp.json:2:36: server \"s\": \"env.K\" asks for the input \"key\", and nobody can be asked; write ${VARIABLE} and set that where toolbay is started",
            ),
            (
                server("{\"type\": \"sse\", \"url\": \"http://x/sse\"}"),
                "mcp.json:2:15: server \"s\": \"type\" is \"sse\", the transport of 2024 that MCP has given up; ask the server's maker for its Streamable HTTP address and write \"http\"",
            ),
            (
                server("{\"url\": \"ftp://x/\"}"),
                "mcp.json:2:14: server \"s\": \"url\" \"ftp\" is not spoken here; write an http or https URL",
            ),
            (
                server("{\"url\": \"http://x/\", \"headers\": {\"Mcp-Method\": \"x\"}}"),
                "mcp.json:2:38: server \"s\": \"headers.Mcp-Method\" is a header that the host sets itself",
            ),
        ] {
            assert_eq!(read(&text).unwrap_err(), message, "{text}");
        }
    }
}
