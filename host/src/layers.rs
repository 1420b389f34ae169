//! Whether imports point downwards only: each layer's code is read and compared with what it may know of.

use std::{collections::BTreeSet, fs, path::Path};

/// A layer, and the modules of this crate that it may import. What is not here may be imported by anybody: `config`, `telemetry` and small helpers.
const LAYERS: [(&str, &[&str]); 10] = [
    // A front beside `http`. Of `remote` it uses how Streamable HTTP is spoken by a client.
    ("stdio", &["mcp", "remote"]),
    ("provider", &[]),
    ("catalog", &["provider"]),
    ("mcp", &["catalog", "provider"]),
    ("shape", &["provider"]),
    ("upstream", &["provider"]),
    ("supervised", &["provider", "shape", "upstream"]),
    // Beside each other: none of these three knows of the others.
    ("wasm", &["provider", "shape", "inference"]),
    ("bridge", &["provider", "supervised", "upstream"]),
    ("remote", &["provider", "supervised", "upstream"]),
];

/// What everybody may import, beside the layers that are named above.
const ANYBODY: [&str; 5] = ["config", "telemetry", "json", "schema", "tls"];

#[test]
fn imports_point_downwards_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, may) in LAYERS {
        let mut imported = BTreeSet::new();
        read(&source.join(format!("{layer}.rs")), &mut imported);
        read(&source.join(layer), &mut imported);
        assert!(!imported.is_empty() || may.is_empty(), "nothing of {layer} was read");
        for module in imported {
            let allowed = module == layer || may.contains(&&*module) || ANYBODY.contains(&&*module);
            assert!(allowed, "{layer} imports {module}, which is not below it");
        }
    }
}

/// The modules of this crate that the code at a path names. Tests may use what they like.
fn read(path: &Path, imported: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap().path();
            if entry.file_stem().is_some_and(|name| name != "tests") {
                read(&entry, imported);
            }
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for after in code.split("crate::").skip(1) {
            match after.strip_prefix('{') {
                Some(group) => imported.extend(heads(group)),
                None => imported.extend(word(after)),
            }
        }
    }
}

/// The first word of each member of `{a::b, c::{d, e}}`.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (1, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (character == ',' && depth == 1) || depth == 0 {
            found.extend(word(group[start..at].trim_start()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}
