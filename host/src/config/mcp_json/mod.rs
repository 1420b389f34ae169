//! Reads the files in which other programs keep their MCP servers: `mcpServers` of desktop clients,
//! `servers` of VS Code, `context_servers` of Zed, `mcp` of opencode.
//!
//! The file is another program's. `document` reads its text, which may be JSON with comments;
//! `entry` makes a server of one entry, `expand` fills in variables, `inputs` asks for what only a
//! person knows. An entry that cannot be served is named with the reason, and the others are served.

mod document;
mod entry;
mod env_file;
mod expand;
mod file;
mod inputs;
mod names;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::Path};

use super::{Config, ConfigError, Problem, ServerConfig, imported::ImportedServer, source::Environment};
use document::{Document, HINT, Member, Members};
use entry::Verdict;
use file::{File, base};
use inputs::Inputs;

/// A file of servers is written by hand.
const MAX_FILE: u64 = 4 << 20;

/// Members of the root that hold servers, by name.
const SECTIONS: [&str; 5] = ["mcpServers", "servers", "context_servers", "amp.mcpServers", "mcp.servers"];

/// All entries of a file that are not switched off, in its order.
pub(super) type Found = Vec<Entry>;

/// One of them.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name that it has here.
    pub(super) id: String,
    pub(super) told: ImportedServer,
    /// None: `told` says why there is none.
    pub(super) server: Option<ServerConfig>,
}

/// Reads the file.
pub(super) fn load(path: &Path, environment: Environment<'_>) -> Result<Found, ConfigError> {
    let wrong = |reason: String| ConfigError::Read { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(wrong(format!("it has {size} bytes; at most {MAX_FILE} are read")));
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = document::decode(&bytes).map_err(wrong)?;
    parse(&text, path, environment, &inputs::terminal)
}

/// Puts the servers beside those of `toolbay.toml`, whose word goes first.
pub(super) fn merge(config: &mut Config, found: Found) {
    for Entry { id, mut told, server } in found {
        if config.server.contains_key(&id) {
            let note = format!("the entry {:?} at {} is passed over: there is a server of this name already", told.name, told.place);
            config.imported.entry(id).or_insert_with(|| ImportedServer { error: None, notes: Vec::new(), ..told }).notes.push(note);
            continue;
        }
        let taken = |id: &str| config.server.contains_key(id) || config.plugin.contains_key(id) || config.imported.contains_key(id);
        let id = if taken(&id) {
            let other = names::unlike(&id, &told.name, taken);
            told.notes.push(format!("it is called {other:?} here, as {id:?} is taken"));
            other
        } else {
            id
        };
        if let Some(server) = server {
            config.server.insert(id.clone(), server);
        }
        config.imported.insert(id, told);
    }
}

fn parse(text: &str, path: &Path, environment: Environment<'_>, ask: inputs::Ask<'_>) -> Result<Found, ConfigError> {
    let text = document::sound(text);
    let document = Document::parse(&text, path)?;
    let root = document.root();
    let sections = sections(&root);
    if sections.is_empty() {
        let message = format!("has no \"mcpServers\"; {HINT}");
        return Err(ConfigError::Invalid { problems: vec![Problem { place: document.place(0), message, excerpt: None }] });
    }
    let file = File { base: base(path), is_gemini: is_gemini(&root, path), environment, inputs: Inputs::new(&root, ask) };
    let off = excluded(&root);
    let mut found = Found::new();
    let mut taken = BTreeSet::new();
    for (name, member) in sections.iter().flat_map(|section| section.entries()) {
        if off.contains(&name) {
            continue;
        }
        let place = document.place(member.offset());
        let mut told = ImportedServer { name: name.clone(), place, error: None, notes: Vec::new() };
        let server = match entry::read(&file, &name, &member, &mut told.notes) {
            Verdict::Off => continue,
            Verdict::Served(server) => Some(*server),
            Verdict::Refused(why) => {
                told.error = Some(why);
                None
            }
        };
        let mut id = names::safe(&name);
        if !taken.insert(id.clone()) {
            let other = names::unlike(&id, &name, |name| taken.contains(name));
            told.notes.push(format!("it is called {other:?} here, as another entry is {id:?}"));
            taken.insert(other.clone());
            id = other;
        } else if names::says_nothing(&name, &id) {
            told.notes.push(format!("it is called {id:?} here: a name has letters and digits of ASCII"));
        }
        found.push(Entry { id, told, server });
    }
    Ok(found)
}

/// The objects (or lists) that hold servers.
fn sections<'a, 'd>(root: &Members<'a, 'd>) -> Vec<Member<'a, 'd>> {
    let mut sections: Vec<_> = SECTIONS.iter().filter_map(|name| root.get(name)).collect();
    if let Some(mcp) = root.get("mcp") {
        match mcp.members() {
            // VS Code keeps its own in a section of its settings, opencode has the servers in it directly.
            Some(members) if members.get("servers").is_some() => sections.extend(members.get("servers")),
            Some(members) if members.iter().any(|(_, entry)| entry::looks_like_one(entry)) => sections.push(mcp),
            _ => {}
        }
    }
    let is_bare = sections.is_empty() && root.iter().any(|(_, entry)| entry::looks_like_one(entry));
    if is_bare {
        sections.push(root.as_member());
    }
    sections
}

/// Servers that the Gemini CLI is told to leave out.
fn excluded(root: &Members<'_, '_>) -> Vec<String> {
    let excluded = root.get("mcp").and_then(|mcp| mcp.members()?.get("excluded"));
    excluded.and_then(|list| list.texts()).unwrap_or_default()
}

fn is_gemini(root: &Members<'_, '_>, path: &Path) -> bool {
    const ITS_OWN: [&str; 6] = ["selectedAuthType", "contextFileName", "coreTools", "security", "autoAccept", "mcpServerCommand"];
    let in_its_folder = path.components().any(|part| matches!(part.as_os_str().to_str(), Some(".gemini" | "gemini-cli")));
    let servers = root.get("mcpServers").and_then(|servers| servers.members());
    let has_its_keys = servers.is_some_and(|servers| {
        servers
            .iter()
            .filter_map(|(_, entry)| entry.members())
            .any(|entry| entry.get("httpUrl").is_some() || entry.get("includeTools").is_some())
    });
    in_its_folder || has_its_keys || ITS_OWN.iter().any(|key| root.get(key).is_some())
}
