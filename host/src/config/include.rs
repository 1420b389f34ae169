//! `include = ["conf.d/*.toml"]`: which files are read as if they stood in `toolbay.toml`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    error::ConfigError,
    files::{Files, read},
    source::Source,
    toml_reader::{Item, Table},
};

/// A file that an editor keeps beside the one that is written (`.web.toml.swp`) is none of the
/// team's.
pub(super) const MATCH: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Adds to `source`, which has one file, those that this one includes.
pub(super) fn add(source: &mut Source<'_>, files: &mut Files) -> Result<(), ConfigError> {
    let document = source.parse()?;
    let Some(items) = Table::new(source, &document, "").get("include").and_then(|item| item.list()) else { return Ok(()) };
    // By what they are, not by how they are called: `./toolbay.toml` matches `./*.toml`.
    let identity = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut known: BTreeSet<_> = files.files.iter().map(|path| identity(path)).collect();
    let mut found = Vec::new();
    for item in items {
        for path in matching(&item, files) {
            if !known.insert(identity(&path)) {
                continue;
            }
            files.files.insert(path.clone());
            match read(&path) {
                Ok(text) => {
                    files.has_text(&path, Some(&text));
                    found.push((text, path));
                }
                Err(error) => item.fail(error),
            }
        }
    }
    for (text, path) in found {
        source.add(text, path);
    }
    Ok(())
}

/// The files of one element of the list, by name.
fn matching(item: &Item<'_>, files: &mut Files) -> Vec<PathBuf> {
    let Some(path) = item.file_path() else { return Vec::new() };
    let is_pattern = |text: &str| text.contains(['*', '?', '[']);
    let written = item.value.as_str().map(Path::new).unwrap_or(Path::new(""));
    if written.parent().and_then(Path::to_str).is_some_and(is_pattern) {
        item.fail(format_args!("{written:?}: only the name of a file can be a pattern, not that of a folder; write \"conf.d/*.toml\""));
        return Vec::new();
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        item.fail(format_args!("{written:?} names no file; write one, or a pattern: \"conf.d/*.toml\""));
        return Vec::new();
    };
    if !is_pattern(name) {
        if path.is_file() {
            return vec![path];
        }
        item.fail(format_args!("there is no file {}; write one, or a pattern: \"conf.d/*.toml\"", path.display()));
        // To be noticed when it comes.
        files.files.insert(path);
        return Vec::new();
    }
    let pattern = match glob::Pattern::new(name) {
        Ok(pattern) => pattern,
        Err(error) => {
            item.fail(format_args!("{written:?} is not a pattern of file names: {error}"));
            return Vec::new();
        }
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    files.folders.insert(folder.to_owned());
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) => {
            item.fail(format_args!("cannot list the folder {}: {error}", folder.display()));
            return Vec::new();
        }
    };
    let mut found: Vec<_> = listed
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pattern.matches_with(name, MATCH))
        .map(|name| path.with_file_name(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

/// Says where an included file includes others: who reads `toolbay.toml` knows all files.
pub(super) fn refuse_nested(root: &Table<'_>) {
    if let Some(item) = root.get("include").filter(|item| !item.is_in_first_file()) {
        item.fail_key("only toolbay.toml itself includes files; write it there");
    }
}
