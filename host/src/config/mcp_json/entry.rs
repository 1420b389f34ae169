//! One entry as a server, as far as it can be one.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, header::AUTHORIZATION};

use super::{
    super::{
        CommandSource, NameRules, Secret, ServerConfig, ServerSource, UpstreamAuth, UrlSource,
        headers::{bearer, header_name, header_value, http_url},
        secret,
    },
    document::{Member, Members},
    env_file, expand,
    file::File,
};
use crate::similar;

/// What becomes of an entry.
pub(super) enum Verdict {
    /// It is switched off.
    Off,
    Served(Box<ServerConfig>),
    /// It cannot be served, in a sentence.
    Refused(String),
}

/// Keys that say what a server is, by what they say. The first of a group that is there counts.
const COMMAND: [&str; 1] = ["command"];
const ENV: [&str; 2] = ["env", "environment"];
const CWD: [&str; 3] = ["cwd", "working_directory", "workingDirectory"];
const URL: [&str; 5] = ["httpUrl", "serverUrl", "url", "baseUrl", "endpoint"];
const KIND: [&str; 3] = ["type", "transport", "transportType"];
const TOKEN: [&str; 2] = ["authorization_token", "bearerToken"];
const ONLY_TOOLS: [&str; 3] = ["includeTools", "enabledTools", "tools"];
const NOT_TOOLS: [&str; 2] = ["excludeTools", "disabledTools"];

/// All that is read.
const KNOWN: [&str; 13] =
    ["command", "args", "env", "environment", "envFile", "cwd", "type", "url", "httpUrl", "serverUrl", "headers", "disabled", "enabled"];

/// What clients note about an entry for themselves.
const PASSED_OVER: [&str; 38] = [
    "alwaysAllow",
    "autoApprove",
    "autoStart",
    "args",
    "conf",
    "default_tools_approval_mode",
    "description",
    "dev",
    "displayName",
    "fromGalleryId",
    "gallery",
    "icon",
    "iconPath",
    "id",
    "initTimeout",
    "installed",
    "isActive",
    "active",
    "logo",
    "long_running",
    "metadata",
    "name",
    "note",
    "provider",
    "registry",
    "remote",
    "restart",
    "settings",
    "source",
    "startup_timeout_ms",
    "start_on_launch",
    "tags",
    "timeout",
    "title",
    "trust",
    "updatedAt",
    "version",
    "watchPaths",
];

/// Ways to authenticate that a client goes through with its user.
const SIGN_IN: [&str; 6] = ["auth", "oauth", "oauthScopes", "authProviderType", "headersHelper", "oauth2"];

/// Rules of a client for what it starts, which are not kept here.
const SANDBOX: [&str; 3] = ["sandbox", "sandboxEnabled", "sandboxed"];

/// Whether a value could be an entry.
pub(super) fn looks_like_one(member: Member<'_, '_>) -> bool {
    let Some(members) = member.members() else { return false };
    let has = |keys: &[&str]| keys.iter().any(|key| members.get(key).is_some());
    // Settings of other things have a "url" too.
    has(&COMMAND)
        || has(&["httpUrl", "serverUrl"])
        || (has(&["url"]) && (has(&KIND) || has(&["headers", "enabled", "disabled", "oauth", "auth"])))
}

/// Reads an entry. What is ignored is noted.
pub(super) fn read(file: &File<'_>, name: &str, member: &Member<'_, '_>, notes: &mut Vec<String>) -> Verdict {
    let Some(members) = member.members() else { return Verdict::Refused("an entry must be an object ({…})".to_owned()) };
    let entry = Entry { file, members, notes };
    match entry.read(name) {
        Ok(Some(server)) => Verdict::Served(Box::new(server)),
        Ok(None) => Verdict::Off,
        Err(why) => Verdict::Refused(why),
    }
}

struct Entry<'f, 'a, 'd, 'n> {
    file: &'f File<'f>,
    members: Members<'a, 'd>,
    notes: &'n mut Vec<String>,
}

impl<'a, 'd> Entry<'_, 'a, 'd, '_> {
    fn read(mut self, name: &str) -> Result<Option<ServerConfig>, String> {
        if self.is_off() {
            return Ok(None);
        }
        let kind = self.one_of(&KIND).and_then(|(_, kind)| kind.text()).map(str::to_ascii_lowercase);
        let is_remote = match kind.as_deref() {
            Some("stdio" | "local" | "command") => Some(false),
            Some("http" | "sse" | "remote" | "url" | "streamable-http" | "streamablehttp" | "streamable_http" | "http-stream") => {
                Some(true)
            }
            Some(kind @ ("ws" | "websocket")) => {
                return Err(format!("is of the type {kind:?}, which is not a transport that is supported"));
            }
            _ => None,
        };
        let (command, url) = (self.one_of(&COMMAND), self.one_of(&URL));
        self.note_the_rest();
        let mut server = match (command, url) {
            (Some((_, command)), None) => self.program(command)?,
            (None, Some(url)) => self.remote(url)?,
            (Some(_), Some((key, url))) if is_remote == Some(true) => {
                self.notes.push("\"command\" is ignored, as its type is one of a server elsewhere".to_owned());
                self.remote((key, url))?
            }
            (Some((_, command)), Some((key, _))) => {
                self.notes.push(format!("{key:?} is ignored, as there is a \"command\""));
                self.program(command)?
            }
            (None, None) if self.members.get("source").and_then(|source| source.text()) == Some("extension") => {
                return Err(format!(
                    "{name:?} is an extension of its editor, which alone can run it; write the \"command\" of the server behind it"
                ));
            }
            (None, None) => return Err("has neither \"command\" nor \"url\"".to_owned()),
        };
        server.names = self.names();
        Ok(Some(server))
    }

    fn one_of(&self, keys: &[&'static str]) -> Option<(&'static str, Member<'a, 'd>)> {
        keys.iter().find_map(|key| Some((*key, self.members.get(key)?))).filter(|(_, member)| !member.is_null())
    }

    /// Clients switch entries off by several keys.
    fn is_off(&mut self) -> bool {
        let mut off = false;
        for (key, when) in [("disabled", true), ("enabled", false), ("isActive", false), ("active", false)] {
            let Some(member) = self.members.get(key) else { continue };
            match member.boolean() {
                Some(value) => off |= value == when,
                None if member.is_null() => {}
                None => self.notes.push(format!("{key:?} is neither true nor false, and is ignored")),
            }
        }
        off
    }

    fn program(&mut self, command: Member<'a, 'd>) -> Result<ServerConfig, String> {
        let mut argv = Vec::new();
        let mut env = BTreeMap::new();
        if let Some(members) = command.members() {
            // Zed's older form: {"path": …, "args": […], "env": {…}}.
            let path = members.get("path").and_then(|path| path.text()).ok_or("\"command\" has no \"path\"")?;
            argv.push(self.expand("command.path", path)?);
            argv.extend(self.list("command.args", members.get("args"))?);
            env = self.variables("command.env", members.get("env"))?;
        } else if command.items().is_some() {
            argv = self.list("command", Some(command))?;
        } else {
            let text = command.text().ok_or("\"command\" must be text")?;
            argv = self.command_line(text)?;
        }
        argv.extend(self.list("args", self.members.get("args"))?);
        self.for_this_system(&mut argv);
        let program = argv.first_mut().filter(|program| !program.trim().is_empty()).ok_or("\"command\" names no program")?;
        if program.contains('/') {
            *program = self.file.path(program).to_string_lossy().into_owned();
        }
        for (key, file) in self.members.get("envFile").into_iter().flat_map(|file| match file.texts() {
            Some(files) => files.into_iter().map(|file| ("envFile", file)).collect(),
            None => file.text().map(|file| ("envFile", file.to_owned())).into_iter().collect::<Vec<_>>(),
        }) {
            let path = self.file.path(&self.expand(key, &file)?);
            env.extend(env_file::read(&path).map_err(|error| format!("{key:?}: {error}"))?);
        }
        if let Some((key, member)) = self.one_of(&ENV) {
            env.extend(self.variables(key, Some(member))?);
        }
        let cwd = match self.one_of(&CWD) {
            None => self.file.base.workspace.clone().filter(|folder| folder.is_dir()),
            Some((key, cwd)) => {
                let cwd = cwd.text().ok_or_else(|| format!("{key:?} must be text"))?;
                let cwd = self.file.path(&self.expand(key, cwd)?);
                if !cwd.is_dir() {
                    return Err(format!("{key:?}: there is no folder {}", cwd.display()));
                }
                Some(cwd)
            }
        };
        if self.members.get("headers").is_some() {
            self.notes.push("\"headers\" is ignored: a program has none".to_owned());
        }
        self.note_dollars(argv.iter().skip(1).map(String::as_str), "args");
        Ok(ServerConfig::new(ServerSource::Command(CommandSource { argv, cwd, env })))
    }

    /// The program and the arguments of a "command" that has these in it: some clients give it to a shell.
    fn command_line(&mut self, text: &str) -> Result<Vec<String>, String> {
        let whole = self.expand("command", text)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let [first, _, ..] = words.as_slice() else { return Ok(vec![whole]) };
        let exists = |text: &str| self.file.path(text).exists();
        // The path of a program can have a space in it.
        if exists(&whole) || text.contains('\\') || (first.contains('/') && !exists(&self.expand("command", first)?)) {
            return Ok(vec![whole]);
        }
        if text.contains(['"', '\'', '`', '|', '&', ';', '<', '>', '(', '*']) {
            return Err("has a line for a shell as its \"command\", and none reads it; write the program alone, and its arguments as the list \"args\"".to_owned());
        }
        self.notes.push(format!("\"command\" has arguments in it; write {first:?} alone, and the others as \"args\""));
        words.iter().map(|word| self.expand("command", word)).collect()
    }

    /// A command line that was written for Windows.
    fn for_this_system(&mut self, argv: &mut Vec<String>) {
        let lower = |argv: &[String], at: usize| argv.get(at).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
        if matches!(lower(argv, 0).as_str(), "cmd" | "cmd.exe") && lower(argv, 1) == "/c" && argv.len() > 2 {
            argv.drain(..2);
            self.notes.push("\"cmd /c\", which is for Windows, is left out".to_owned());
        }
        let Some(program) = argv.first_mut().filter(|program| !program.contains('/')) else { return };
        let Some((stem, ending)) = program.rsplit_once('.') else { return };
        if matches!(ending.to_ascii_lowercase().as_str(), "cmd" | "exe" | "bat") && !stem.is_empty() {
            self.notes.push(format!("{program:?}, which is for Windows, is started as {stem:?}"));
            *program = stem.to_owned();
        }
    }

    fn remote(&mut self, (key, url): (&'static str, Member<'a, 'd>)) -> Result<ServerConfig, String> {
        let written = url.text().ok_or_else(|| format!("{key:?} must be text"))?;
        let url = self.expand(key, written)?;
        // What a variable holds may be a secret.
        let url = http_url(&url).map_err(|message| {
            let url = &url;
            if url == written {
                format!("{key:?} {message}")
            } else {
                format!("{key:?} {written:?} is not an http or https URL once its variables have their values")
            }
        })?;
        let mut headers = self.headers(self.members.get("headers"))?;
        let nested = self.members.get("requestOptions").or_else(|| self.members.get("requestInit")).and_then(|options| options.members());
        if let Some(nested) = nested.and_then(|options| options.get("headers")) {
            headers.extend(self.headers(Some(nested))?);
        }
        if let Some((key, token)) = self.one_of(&TOKEN)
            && !headers.contains_key(AUTHORIZATION)
        {
            let token = token.text().ok_or_else(|| format!("{key:?} must be text"))?;
            let token = bearer(Secret(self.expand(key, token)?)).map_err(|message| format!("{key:?}: {message}"))?;
            headers.insert(AUTHORIZATION, token);
        }
        for key in ["args", "env", "cwd", "envFile"] {
            if self.members.get(key).is_some_and(|member| !is_empty(member)) {
                self.notes.push(format!("{key:?} is ignored: a server elsewhere has none"));
            }
        }
        Ok(ServerConfig::new(ServerSource::Url(UrlSource { url, headers, auth: UpstreamAuth::default() })))
    }

    /// Which tools are published, where the client has a list of them.
    fn names(&mut self) -> NameRules {
        let mut list = |keys: &[&'static str]| {
            let Some((key, member)) = self.one_of(keys) else { return Vec::new() };
            match member.texts() {
                // The Gemini CLI allows "tool(argument)".
                Some(names) => names
                    .iter()
                    .filter_map(|name| name.split('(').next())
                    .map(str::to_owned)
                    .filter(|name| !name.trim().is_empty())
                    .collect(),
                None => {
                    if key != "tools" {
                        self.notes.push(format!("{key:?} is not a list of names, and is ignored"));
                    }
                    Vec::new()
                }
            }
        };
        let (include, exclude): (Vec<String>, Vec<String>) = (list(&ONLY_TOOLS), list(&NOT_TOOLS));
        let include = if include.iter().any(|name| name == "*") { Vec::new() } else { include };
        NameRules { include, exclude, ..NameRules::default() }
    }

    /// What is not understood is told, since it may be what makes the server work.
    fn note_the_rest(&mut self) {
        let groups: [&[&str]; 8] = [&KNOWN, &PASSED_OVER, &CWD, &URL, &KIND, &TOKEN, &ONLY_TOOLS, &NOT_TOOLS];
        let unknown: Vec<String> =
            self.members.iter().map(|(key, _)| key).filter(|key| !groups.iter().any(|group| group.contains(&key.as_str()))).collect();
        for key in unknown {
            if key.starts_with(['$', '_', '/']) || key.starts_with("x-") || matches!(key.as_str(), "requestOptions" | "requestInit") {
                continue;
            }
            if SIGN_IN.contains(&key.as_str()) {
                self.notes.push(format!("{key:?} is ignored: nobody signs in here; give the server a token by \"headers\""));
            } else if SANDBOX.contains(&key.as_str()) {
                self.notes.push(format!("{key:?} is ignored: a program runs with the rights of toolbay; an image is confined"));
            } else {
                let near = similar::nearest(&key, KNOWN);
                let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                self.notes.push(format!("{key:?} is not known, and is ignored{hint}"));
            }
        }
    }

    /// No shell reads an entry: `$HOME` in it stays as it is, which is not what was meant.
    fn note_dollars<'t>(&mut self, texts: impl Iterator<Item = &'t str>, key: &str) {
        let environment = self.file.environment;
        let named: Vec<&str> = texts.filter_map(|text| Some(expand::bare(text)?.0)).filter(|name| environment(name).is_some()).collect();
        for name in named {
            self.notes.push(format!("{key:?} has ${name}, which no shell expands; write ${{{name}}}"));
        }
    }

    fn expand(&self, key: &str, text: &str) -> Result<String, String> {
        if text.contains('\0') {
            return Err(format!("{key:?} holds a NUL character"));
        }
        self.file.expand(text).map_err(|message| format!("{key:?} {message}"))
    }

    /// A list of words; one word is a list of one.
    fn list(&self, key: &str, member: Option<Member<'a, 'd>>) -> Result<Vec<String>, String> {
        let Some(member) = member.filter(|member| !member.is_null()) else { return Ok(Vec::new()) };
        if let Some(text) = member.scalar() {
            return Ok(vec![self.expand(key, &text)?]);
        }
        let items = member.items().ok_or_else(|| format!("{key:?} must be a list of texts"))?;
        items
            .filter(|item| !item.is_null())
            .map(|item| {
                let text = item.scalar().ok_or_else(|| format!("{key:?} must be a list of texts"))?;
                self.expand(key, &text)
            })
            .collect()
    }

    /// Variables of the environment.
    fn variables(&mut self, key: &str, member: Option<Member<'a, 'd>>) -> Result<BTreeMap<String, Secret>, String> {
        let mut found = BTreeMap::new();
        for (name, value) in pairs(key, member)? {
            let path = format!("{key}.{name}");
            secret::variable_name(&name).map_err(|message| format!("{path:?} {message}"))?;
            found.insert(name, Secret(self.expand(&path, &value)?));
        }
        Ok(found)
    }

    /// Headers that are sent with every request.
    fn headers(&mut self, member: Option<Member<'a, 'd>>) -> Result<HeaderMap, String> {
        let mut found = HeaderMap::new();
        for (name, value) in pairs("headers", member)? {
            let path = format!("headers.{name}");
            match header_name(&name) {
                Ok(header) => {
                    let value = Secret(self.expand(&path, &value)?);
                    found.insert(header, header_value(value).map_err(|message| format!("{path:?} {message}"))?);
                }
                // Many files repeat what a client sends by itself.
                Err(message) if HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                    self.notes.push(format!("{path:?} {message}, and is ignored"));
                }
                Err(message) => return Err(format!("{path:?} {message}")),
            }
        }
        Ok(found)
    }
}

/// Names and their texts: an object, or a list of `NAME=text`.
fn pairs(key: &str, member: Option<Member<'_, '_>>) -> Result<Vec<(String, String)>, String> {
    let Some(member) = member.filter(|member| !member.is_null()) else { return Ok(Vec::new()) };
    if let Some(members) = member.members() {
        let given = members.iter().filter(|(_, value)| !value.is_null());
        let pair = |(name, value): (_, Member<'_, '_>)| match value.scalar() {
            Some(text) => Ok((name, String::from(text))),
            None => Err(format!("{:?} must be text", format!("{key}.{name}"))),
        };
        return given.map(pair).collect();
    }
    let wrong = || format!("{key:?} must be an object of texts");
    let split = |item: Member<'_, '_>| {
        let (name, value) = item.text()?.split_once('=')?;
        Some((name.trim().to_owned(), value.to_owned()))
    };
    member.items().ok_or_else(wrong)?.map(|item| split(item).ok_or_else(wrong)).collect()
}

fn is_empty(member: Member<'_, '_>) -> bool {
    member.is_null()
        || member.text() == Some("")
        || member.items().is_some_and(|mut items| items.next().is_none())
        || member.members().is_some_and(|members| members.iter().next().is_none())
}
