//! Plugins that are served as if they were in the folder: each is a file elsewhere, which somebody has pulled.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    entry::Entry,
    scan::{Scan, Seen, seen_at, sidecar_of},
};
use crate::provider::{ProviderId, ProviderKind, ProviderState, ProviderStatus};

/// All such plugins.
#[derive(Clone, Debug, Default)]
pub struct Pulled {
    /// By name. A file of the same name in the folder does not count.
    pub plugins: BTreeMap<ProviderId, PulledPlugin>,
    /// Whether each was tried once, or has had its time.
    pub whole: bool,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledPlugin {
    /// Where it comes from, for people.
    pub source: String,
    /// What to serve. None: nothing yet, so what has served under the name goes on.
    pub file: Option<PulledFile>,
    /// It may not serve any more, whatever has served under the name.
    pub withdrawn: bool,
    /// Why there is nothing newer.
    pub trouble: Option<String>,
    /// Whether it was tried.
    pub tried: bool,
}

/// The files of a version. They never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledFile {
    /// The component.
    pub path: PathBuf,
    /// Its sidecar. One in the folder, `NAME.toml`, counts before it.
    pub sidecar: Option<PathBuf>,
}

impl PulledPlugin {
    /// One of which nothing is known but where it comes from.
    #[must_use]
    pub fn named(source: String) -> Self {
        Self { source, file: None, withdrawn: false, trouble: None, tried: false }
    }
}

impl Pulled {
    /// Notes whether each was tried.
    pub fn see_whole(&mut self) {
        self.whole |= self.plugins.values().all(|plugin| plugin.tried);
    }

    /// Says where each comes from and what is wrong with that, and adds those that have no file yet.
    pub fn tell(&self, statuses: &mut Vec<ProviderStatus>) {
        for (id, plugin) in &self.plugins {
            let PulledPlugin { source, file, trouble, .. } = plugin;
            match statuses.iter_mut().find(|status| status.name == id.as_str()) {
                Some(status) => {
                    if file.is_some() {
                        status.source.clone_from(source);
                    }
                    status.warnings.extend(trouble.clone());
                }
                None => {
                    let state = if trouble.is_some() { ProviderState::Broken } else { ProviderState::Loading };
                    let status = ProviderStatus::new(id.as_str(), ProviderKind::Wasm, state, source.as_str());
                    statuses.push(ProviderStatus { error: trouble.clone(), ..status });
                }
            }
        }
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

/// What a look saw of pulled plugins.
#[derive(Default)]
pub(super) struct Over {
    /// By name. None: there is no file, or it has gone, which changes nothing for what serves.
    plugins: BTreeMap<String, Option<Seen>>,
    /// Those that may not serve.
    withdrawn: BTreeSet<String>,
    /// Files of the folder in whose place they are.
    pub(super) shadowed: BTreeSet<PathBuf>,
    /// Whether all of them were tried.
    pub(super) whole: bool,
}

/// Looks at the files of pulled plugins. Blocks.
pub(super) fn look(pulled: &Pulled, folder: &Path, scan: Option<&Scan>, max_file: u64) -> Over {
    let mut over = Over { whole: pulled.whole, ..Over::default() };
    for (id, plugin) in &pulled.plugins {
        let here = scan.and_then(|scan| scan.plugins.get(id.as_str()));
        over.shadowed.extend(here.map(|seen| seen.file.path.clone()));
        let seen = plugin.file.as_ref().and_then(|file| {
            let own = here.and_then(|seen| seen.sidecar.clone()).or_else(|| sidecar_of(folder, id.as_str()));
            let sidecar = own.or_else(|| file.sidecar.as_deref().and_then(sidecar_at));
            Some(Seen { file: seen_at(&file.path, max_file)?, sidecar })
        });
        over.plugins.insert(id.to_string(), seen);
        if plugin.withdrawn {
            over.withdrawn.insert(id.to_string());
        }
    }
    over
}

fn sidecar_at(path: &Path) -> Option<super::scan::FileSeen> {
    seen_at(path, super::scan::MAX_SIDECAR)
}

impl Over {
    /// Where nothing is pulled.
    pub(super) fn nothing() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Puts them in the place of what the folder has under their names.
    pub(super) fn lay(self, scan: &mut Scan, entries: &BTreeMap<String, Entry>) {
        for (stem, seen) in self.plugins {
            let sidecar = format!("{stem}.toml");
            scan.orphans.retain(|path| path.file_name().is_none_or(|name| *name != *sidecar));
            let before = entries.get(&stem).filter(|_| !self.withdrawn.contains(&stem)).map(|entry| entry.seen.clone());
            match seen.or(before) {
                Some(seen) => drop(scan.plugins.insert(stem, seen)),
                None => drop(scan.plugins.remove(&stem)),
            }
        }
    }
}
