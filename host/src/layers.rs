//! Whether imports point downwards only, between folders and inside them: every file of the crate is read,
//! and each path that it names is followed to the file that it leads to.
//!
//! A name that a `mod.rs` re-exports counts as the file that it comes from, so a `mod.rs` that only
//! re-exports is a face and no part of any circle. Tests may use what they like and are not read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Every module at the root of the crate, the lowest first, and what it may import. A module that is not here
/// is an error.
const LAYERS: &[(&str, &[&str])] = &[
    // Helpers that know nothing of the rest.
    ("json", &[]),
    ("tls", &[]),
    ("descriptors", &[]),
    ("system", &[]),
    ("file_events", &[]),
    ("offload", &["system"]),
    ("threads", &["offload", "system"]),
    ("signing", &[]),
    ("similar", &[]),
    ("wildcard", &[]),
    ("unix_time", &[]),
    ("whole_file", &[]),
    ("sigstore", &[]),
    ("schema", &["json", "offload"]),
    // The seam below which tools live, and how the host is to be.
    ("provider", &["json"]),
    ("composition", &["provider"]),
    ("pick", &["json", "similar"]),
    // The operator's policies in Cedar, as texts and decisions.
    ("policies", &["provider"]),
    ("config", &["policies", "provider", "json", "schema", "signing", "sigstore", "similar", "pick", "whole_file"]),
    ("telemetry", &["provider", "config", "tls", "unix_time"]),
    ("authorization_server", &["tls"]),
    // What runs tools. None of `wasm`, `bridge` and `remote` knows of the others.
    ("overrides", &["provider", "config", "json", "similar", "wildcard"]),
    ("inference", &["config"]),
    ("shared", &["config", "tls", "unix_time"]),
    ("identity", &["shared", "authorization_server", "provider", "config", "unix_time"]),
    ("store", &["shared", "config"]),
    // What servers elsewhere are shown of who calls.
    ("credentials", &["authorization_server", "store", "signing", "provider", "config", "tls", "unix_time"]),
    ("upstream", &["provider", "config", "json", "schema"]),
    ("supervisor", &["overrides", "upstream", "provider", "config", "telemetry"]),
    (
        "wasm",
        &[
            "threads",
            "overrides",
            "composition",
            "inference",
            "store",
            // For components that are MCP servers themselves.
            "upstream",
            "provider",
            "config",
            "schema",
            "similar",
            "offload",
            "descriptors",
            "file_events",
            "json",
            "system",
            "telemetry",
            "tls",
        ],
    ),
    ("bridge", &["supervisor", "upstream", "provider", "config", "json", "system", "telemetry"]),
    ("remote", &["threads", "credentials", "supervisor", "upstream", "provider", "config", "schema", "json", "telemetry", "tls"]),
    // Plugins in a registry, as files for `wasm`.
    ("oci", &["wasm", "threads", "provider", "config", "sigstore", "tls", "unix_time", "wildcard"]),
    // What is on offer, who offers it, and running it.
    ("catalog", &["policies", "provider", "telemetry", "wildcard", "whole_file"]),
    // Sentences as vectors, for the catalog's search.
    ("embedding", &["inference", "catalog"]),
    ("trust", &["catalog", "provider", "config", "wildcard"]),
    ("servers", &["bridge", "remote", "credentials", "supervisor", "overrides", "catalog", "provider", "config"]),
    ("pipeline", &["catalog", "composition", "pick", "schema", "offload", "provider", "config", "json"]),
    ("dispatch", &["shared", "catalog", "policies", "provider", "telemetry", "unix_time"]),
    // Other instances of this host.
    ("cluster", &["config", "tls", "unix_time"]),
    // A plugin author's project, which serves nothing.
    ("author", &["wasm", "whole_file"]),
    // The fronts.
    ("mcp", &["cluster", "dispatch", "catalog", "telemetry", "provider", "config", "json", "similar", "threads", "offload"]),
    (
        "http",
        &[
            "mcp",
            "credentials",
            "dispatch",
            "identity",
            "shared",
            "catalog",
            "provider",
            "config",
            "descriptors",
            "json",
            "similar",
            "telemetry",
            "threads",
            "offload",
        ],
    ),
    // Of `upstream` it uses how Streamable HTTP is spoken by a client.
    ("stdio", &["mcp", "upstream", "tls"]),
    // The composition root.
    (
        "app",
        &[
            "unix_time",
            "credentials",
            "http",
            "mcp",
            "dispatch",
            "trust",
            "servers",
            "pipeline",
            "oci",
            "wasm",
            "inference",
            "embedding",
            "store",
            "shared",
            "catalog",
            "provider",
            "config",
            "telemetry",
        ],
    ),
];

/// What puts all of it together, and may know everything.
const TOP: &[&str] = &["cli", "main"];

/// Folders whose files may import each other in circles, and why. In all others that is an error.
const CIRCLES: &[(&str, &str)] = &[
    ("wasm", "the data of a store names the imports that use it"),
    ("remote", "the impl of one connection, and of one document, is in several files"),
    ("supervisor", "replicas and their state"),
    ("servers", "what runs, and one kind of it"),
];

#[test]
fn imports_point_downwards_only() {
    let code = Code::read();
    let mut wrong = Vec::new();
    for (from, to) in code.imports() {
        let (layer, imported) = (code.top(&from), code.top(&to));
        if layer == imported || TOP.contains(&layer) || layer.is_empty() {
            continue;
        }
        match LAYERS.iter().find(|(name, _)| *name == layer) {
            None => wrong.push(format!("{layer} is not in LAYERS: say what it may import")),
            Some((_, may)) if !may.contains(&imported) => wrong.push(format!("{from} imports {to}, which is not below it")),
            Some(_) => {}
        }
    }
    for layer in code.files.keys().map(|file| code.top(file)).filter(|layer| !layer.is_empty() && !TOP.contains(layer)) {
        assert!(LAYERS.iter().any(|(name, _)| *name == layer), "{layer} is not in LAYERS: say what it may import");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn layers_import_only_what_stands_above_them_in_the_table() {
    for (index, (layer, may)) in LAYERS.iter().enumerate() {
        for imported in *may {
            let below = LAYERS.iter().take(index).any(|(name, _)| name == imported);
            assert!(below, "{layer} may import {imported}, which is not below it");
        }
    }
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let code = Code::read();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in code.imports() {
        if code.top(&from) == code.top(&to) {
            graph.entry(from).or_default().insert(to);
        }
    }
    let circles: Vec<_> = circles(&graph);
    let folder = |circle: &BTreeSet<String>| code.top(circle.first().unwrap()).to_owned();
    let wrong: Vec<_> = circles.iter().filter(|circle| !CIRCLES.iter().any(|(name, _)| *name == folder(circle))).collect();
    assert!(wrong.is_empty(), "these files import each other in a circle: {wrong:#?}");
    for (name, _) in CIRCLES {
        assert!(circles.iter().any(|circle| folder(circle) == *name), "{name} has no circles any more: take it out of CIRCLES");
    }
}

/// All files of the crate by their modules' paths: `mcp::client_requests::replay`. The root is "".
struct Code {
    files: BTreeMap<String, File>,
}

#[derive(Default)]
struct File {
    /// Paths that the code names, segment by segment, as they are written.
    paths: Vec<Vec<String>>,
    /// Names that it re-exports, and the paths that they stand for.
    exports: BTreeMap<String, Vec<String>>,
}

impl Code {
    fn read() -> Self {
        let mut code = Self { files: BTreeMap::new() };
        code.folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
        assert!(code.files.len() > 100, "nothing was read");
        code
    }

    fn folder(&mut self, folder: &Path, module: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            // What is only compiled for tests, this file too.
            if matches!(name, "tests" | "layers") {
                continue;
            }
            let inner = if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
            if path.is_dir() {
                self.folder(&path, &inner);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = match name {
                    "mod" => module.to_owned(),
                    "lib" if module.is_empty() => String::new(),
                    _ => inner,
                };
                self.files.insert(module, File::parse(&fs::read_to_string(&path).unwrap()));
            }
        }
    }

    /// The module at the crate's root that a file belongs to.
    fn top<'f>(&self, file: &'f str) -> &'f str {
        file.split("::").next().unwrap_or_default()
    }

    /// From which file to which other.
    fn imports(&self) -> BTreeSet<(String, String)> {
        let mut imports = BTreeSet::new();
        for (module, file) in &self.files {
            for path in &file.paths {
                if let Some(to) = self.resolve(module, path, 0)
                    && to != *module
                    && !to.is_empty()
                {
                    imports.insert((module.clone(), to));
                }
            }
        }
        imports
    }

    /// The file that a path leads to, from a module. None: it leads out of the crate.
    fn resolve(&self, module: &str, path: &[String], depth: usize) -> Option<String> {
        let join = |module: &str, name: &str| if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
        let mut rest = path;
        let mut at = match path.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                String::new()
            }
            "self" => {
                rest = &rest[1..];
                module.to_owned()
            }
            "super" => {
                let mut at = module.to_owned();
                while rest.first().is_some_and(|segment| segment == "super") {
                    at = at.rsplit_once("::").map(|(outer, _)| outer.to_owned()).unwrap_or_default();
                    rest = &rest[1..];
                }
                at
            }
            child if self.files.contains_key(&join(module, child)) => module.to_owned(),
            _ => return None,
        };
        while let Some(next) = rest.first().map(|name| join(&at, name)).filter(|next| self.files.contains_key(next)) {
            at = next;
            rest = &rest[1..];
        }
        let exported = rest.first().and_then(|name| self.files.get(&at)?.exports.get(name)).filter(|_| depth < 8);
        exported.and_then(|path| self.resolve(&at, path, depth + 1)).or(Some(at))
    }
}

impl File {
    fn parse(text: &str) -> Self {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: String = code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
        let mut file = Self::default();
        let mut rest = String::new();
        for statement in code.split_inclusive(';') {
            // `use` begins a line, after a visibility perhaps; what is before it belongs to something else.
            let start = statement.match_indices("use ").map(|(at, _)| at).find(|at| {
                let line = statement[..*at].rsplit('\n').next().unwrap().trim();
                line.is_empty() || (line.starts_with("pub") && !line.contains(' ')) || (line.starts_with("pub(in") && line.ends_with(')'))
            });
            let Some(start) = start else {
                rest.push_str(statement);
                continue;
            };
            let is_public =
                statement[..start].trim_end().ends_with([')', 'b']) && statement[..start].rsplit('\n').next().unwrap().contains("pub");
            rest.push_str(&statement[..start]);
            for path in leaves(statement[start + 4..].trim_end_matches(';'), &[]) {
                if is_public && let Some(name) = path.last() {
                    file.exports.insert(name.clone(), path);
                } else {
                    file.paths.push(path);
                }
            }
        }
        for head in ["crate::", "super::", "self::"] {
            for (at, _) in rest.match_indices(head) {
                let before = rest[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':' | '$')) {
                    continue;
                }
                let path: String = rest[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
                file.paths.push(segments(&path));
            }
        }
        file
    }
}

fn segments(path: &str) -> Vec<String> {
    let path = path.split(" as ").next().unwrap();
    path.split("::").map(str::trim).filter(|segment| !segment.is_empty() && *segment != "*").map(str::to_owned).collect()
}

/// All paths of `a::{b, c::{d, e as f}}`. One that ends in `self` is that of what is before it.
fn leaves(tree: &str, prefix: &[String]) -> Vec<Vec<String>> {
    let path = |end: &str| {
        let mut path = [prefix, &segments(end)].concat();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        path
    };
    let Some((head, group)) = tree.split_once('{') else { return vec![path(tree)] };
    let prefix = path(head);
    let (mut depth, mut start, mut found) = (1, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (character == ',' && depth == 1) || depth == 0 {
            if !group[start..at].trim().is_empty() {
                found.extend(leaves(&group[start..at], &prefix));
            }
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Groups of nodes of which each leads to each other one.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(node) = open.pop() {
            for next in graph.get(node).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|node| (node, reached(node))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (node, reach) in all.iter().filter(|(node, reach)| reach.contains(**node)) {
        if found.iter().all(|circle| !circle.contains(*node)) {
            found.push(reach.iter().filter(|other| all.get(other).is_some_and(|back| back.contains(*node))).cloned().collect());
        }
    }
    found
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let file = File::parse(
        "use std::fmt;\nuse super::{a::B, c::{self, D as E}};\npub(crate) use inner::F;\npub use g::*;\nfn x() { crate::h::y(super::z); }\n\
         // use crate::nothing;\n#[cfg(test)]\nmod tests { use super::never; }\n",
    );
    let paths: BTreeSet<String> = file.paths.iter().map(|path| path.join(" ")).collect();
    let expected = ["std fmt", "super a B", "super c", "super c D", "crate h y", "super z"];
    assert_eq!(paths, expected.map(str::to_owned).into());
    assert_eq!(file.exports["F"], ["inner", "F"]);
}
