//! Entries of another program's file in the statuses: those that cannot be served with the reason, and
//! what there is to say of the others.

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    config::ImportedServer,
    provider::{ProviderKind, ProviderState, ProviderStatus},
};

/// By the name that they have here.
type Imported = BTreeMap<String, ImportedServer>;

/// Logs what is new of these entries.
pub(super) fn log(before: &Imported, now: &Imported) {
    for (name, entry) in now.iter().filter(|(name, entry)| before.get(*name) != Some(*entry)) {
        if let Some(error) = &entry.error {
            tracing::warn!(server = name, "the entry {:?} at {} is not served: {error}", entry.name, entry.place);
        }
        for note in &entry.notes {
            tracing::warn!(server = name, "{note}");
        }
    }
}

/// Adds them to the statuses of the servers that run.
pub(super) fn add(statuses: &mut Vec<ProviderStatus>, imported: &Imported) {
    for status in statuses.iter_mut() {
        if let Some(entry) = imported.get(&status.name) {
            status.warnings.splice(0..0, entry.notes.iter().cloned());
        }
    }
    let unserved = imported.iter().filter_map(|(name, entry)| Some(unserved(name, entry, entry.error.clone()?)));
    statuses.extend(unserved);
}

fn unserved(name: &str, entry: &ImportedServer, error: String) -> ProviderStatus {
    ProviderStatus {
        error: Some(error),
        warnings: entry.notes.clone(),
        since: SystemTime::UNIX_EPOCH,
        ..ProviderStatus::new(name, ProviderKind::Bridge, ProviderState::Broken, entry.place.to_string())
    }
}
