//! `[policy]`: policies in Cedar, and the files that they stand in.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ConfigError, Files,
    error::{Problem, place},
    files::read,
    include::MATCH,
    section::section,
    toml_reader::Table,
    types::{FilePath, choice, list, texts},
};
use crate::policies::{Declared, Fault, Kind, Policies, PolicyFile};

/// What holds for what no policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDefault {
    /// It may not be used.
    Deny,
    /// It may be used.
    Permit,
}

section! {
    /// Policies in Cedar on who may use what: what roles can't say. Both must allow: the caller's
    /// roles, where there are roles, and the policies.
    #[derive(Eq)]
    pub struct PolicyConfig {
        /// Files of policies, by path or by a pattern such as `policies/*.cedar`. They are read again when they
        /// change; while one of them is wrong, nothing changes.
        files: Vec<PathBuf> = Vec::new(), list("paths", FilePath);
        /// What holds for what no policy permits or forbids: `"deny"`, as in Cedar, or `"permit"`,
        /// with which policies only forbid.
        default: PolicyDefault = PolicyDefault::Deny, choice(DEFAULTS);
        /// Claims that policies read as `principal.claims.NAME`, and their types: `String`, `Long`,
        /// `Bool`, `decimal`, `Set<T>` or `{ name: T }`. They have to stand in `claims` of
        /// `[auth.issuer.NAME]` too.
        claims: BTreeMap<String, String> = BTreeMap::new(), texts("table of types", kind);
        /// Arguments of tools that policies read as `context.arguments.NAME`, and their types, as in
        /// `claims`. A call is denied if a policy reads an argument that has another type.
        arguments: BTreeMap<String, String> = BTreeMap::new(), texts("table of types", kind);
        /// What the files say. None: there are none.
        loaded: Option<Arc<Policies>> = None;
    }
}

const DEFAULTS: &[(&str, PolicyDefault)] = &[("deny", PolicyDefault::Deny), ("permit", PolicyDefault::Permit)];

fn kind(text: &str) -> Result<String, String> {
    Kind::parse(text).map(|_| text.to_owned())
}

/// Says where a table has no files, and so no use.
pub(super) fn check(table: &Table<'_>, config: &PolicyConfig) {
    let of_files = [
        ("default", config.default != PolicyDefault::Deny),
        ("claims", !config.claims.is_empty()),
        ("arguments", !config.arguments.is_empty()),
    ];
    if config.files.is_empty()
        && let Some(item) = of_files.into_iter().filter(|(_, is_set)| *is_set).find_map(|(key, _)| table.get(key))
    {
        item.fail_key("needs `files` in [policy]: without a file of policies there is nothing to decide");
    }
}

impl PolicyConfig {
    /// What policies may read, by this configuration.
    #[must_use]
    pub fn declared(&self) -> Declared {
        let kinds = |texts: &BTreeMap<String, String>| {
            // Each was checked when it was read.
            texts.iter().filter_map(|(name, text)| Some((name.clone(), Kind::parse(text).ok()?))).collect()
        };
        Declared { claims: kinds(&self.claims), arguments: kinds(&self.arguments) }
    }

    /// Reads the files.
    pub(super) fn load(&mut self, files: &mut Files) -> Result<(), ConfigError> {
        let mut found = Vec::new();
        for written in &self.files {
            for path in matching(written, files)? {
                files.files.insert(path.clone());
                let text = read(&path)?;
                files.has_text(&path, Some(&text));
                found.push(PolicyFile { path, text });
            }
        }
        if self.files.is_empty() {
            return Ok(());
        }
        let loaded = Policies::parse(&found, self.declared(), self.default == PolicyDefault::Permit);
        self.loaded = Some(Arc::new(loaded.map_err(|faults| problems(&found, faults))?));
        Ok(())
    }

    /// What the operator should know of the policies, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Some(loaded) = &self.loaded else { return Vec::new() };
        let none = loaded.is_empty().then(|| "there is no policy in the files of [policy]".to_owned());
        none.into_iter().chain(loaded.warnings().iter().map(|warning| format!("policy: {warning}"))).collect()
    }
}

/// The files that an element of `files` means, by name.
fn matching(written: &Path, files: &mut Files) -> Result<Vec<PathBuf>, ConfigError> {
    let wrong = |reason: String| ConfigError::Read { path: written.to_owned(), reason };
    let name = written.file_name().and_then(|name| name.to_str()).filter(|name| name.contains(['*', '?', '[']));
    let (Some(name), Some(folder)) = (name, written.parent()) else {
        // To be noticed when it comes.
        files.files.insert(written.to_owned());
        return Ok(vec![written.to_owned()]);
    };
    let pattern = glob::Pattern::new(name).map_err(|error| wrong(format!("it is no pattern of file names: {error}")))?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    files.folders.insert(folder.to_owned());
    let listed = fs::read_dir(folder).map_err(|error| wrong(format!("cannot list the folder {}: {error}", folder.display())))?;
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<_> = names
        .filter(|name| pattern.matches_with(name, MATCH))
        .map(|name| written.with_file_name(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    Ok(found)
}

fn problems(files: &[PolicyFile], faults: Vec<Fault>) -> ConfigError {
    let problem = |Fault { path, offset, message }: Fault| {
        let text = files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
        let place = place(&path, text, offset);
        let line = text.lines().nth(place.line - 1).unwrap_or_default();
        let excerpt = (!line.trim().is_empty()).then(|| format!("    {line}\n    {}^", " ".repeat(place.column - 1)));
        Problem { place, message, excerpt }
    };
    let mut problems: Vec<Problem> = faults.into_iter().map(problem).collect();
    problems.sort_by(|a, b| (&a.place.file, a.place.line, a.place.column).cmp(&(&b.place.file, b.place.line, b.place.column)));
    ConfigError::Invalid { problems }
}
