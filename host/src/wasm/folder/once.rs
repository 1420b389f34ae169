//! One look at a folder or a file, without watching: for commands that end.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    FolderError, FolderOptions, Loaded, Loader, absolute, blocking,
    entry::{Entry, Moment, Stage},
    load::{Job, Outcome, load},
    names::{Role, role},
    pulled,
    scan::{Scan, scan, scan_one},
};
use crate::provider::{ProviderId, ProviderStatus};

/// How often a file that is written to while it is read is read again.
const TRIES: usize = 20;

/// What one look found.
#[derive(Default)]
pub struct Once {
    /// What can serve, by name.
    pub loaded: Vec<(ProviderId, Loaded)>,
    /// All that is there, by name.
    pub statuses: Vec<ProviderStatus>,
}

/// Loads everything in the folder, or the one file that `options.path` names, once.
///
/// # Errors
///
/// Where the folder is not there or cannot be listed, or the file is no plugin by its name. What is wrong with a plugin stands in its status.
pub async fn load_once(options: FolderOptions, loader: Arc<dyn Loader>) -> Result<Once, FolderError> {
    let (path, max_file) = (options.path.clone(), options.max_file);
    let pulled = options.pulled.as_ref().map(|pulled| Arc::clone(&pulled.borrow()));
    let optional = options.optional;
    let looking = blocking(move || {
        let mut found = match find(&path, max_file) {
            Err(FolderError::Missing { .. }) if optional => Scan::default(),
            found => found?,
        };
        if let Some(pulled) = pulled {
            let over = pulled::look(&pulled, &path, Some(&found), max_file);
            for path in &over.shadowed {
                tracing::warn!("{} is not loaded, as `source` says where the plugin comes from", path.display());
            }
            over.lay(&mut found, &BTreeMap::new());
        }
        Ok(found)
    });
    let found = looking.await.map_err(|error| FolderError::of(&options.path, error))??;
    let turns = Arc::new(Semaphore::new(options.jobs.clamp(1, Semaphore::MAX_PERMITS)));
    let moment = Moment::now();
    let pause = options.settle.max(Duration::from_millis(10));
    for orphan in found.orphans {
        tracing::warn!("{} configures nothing: there is no plugin of that name beside it", orphan.display());
    }
    let mut loads = JoinSet::new();
    for (index, (stem, seen)) in found.plugins.into_iter().enumerate() {
        let mut entry = Entry::new(&stem, seen, moment);
        let (loader, turns, folder) = (Arc::clone(&loader), Arc::clone(&turns), options.path.clone());
        loads.spawn(async move {
            for _ in 0..TRIES {
                let Some(id) = entry.id.clone() else { break };
                if let Some(refused) = entry.seen.refused() {
                    entry.broken(refused);
                    break;
                }
                let (working, lane) = (Arc::new(AtomicBool::new(false)), Arc::clone(&entry.lane));
                let job = Job { id, seen: entry.seen.clone(), configuration: 0, current: None, working, lane };
                entry.stage = Stage::Loading;
                match load(job, Arc::clone(&loader), Arc::clone(&turns)).await {
                    Outcome::Loaded(serving, _) => {
                        entry.serves(Some(serving));
                        break;
                    }
                    Outcome::Failed(error) => {
                        entry.broken(error);
                        break;
                    }
                    Outcome::Same | Outcome::Changed => {}
                }
                tokio::time::sleep(pause).await;
                let (folder, stem) = (folder.clone(), stem.clone());
                let again = blocking(move || find(&folder, max_file).map(|mut found| found.plugins.remove(&stem))).await;
                let Ok(Ok(Some(seen))) = again else {
                    entry.broken(format!("{} was removed while it was loaded", entry.seen.file.path.display()));
                    break;
                };
                entry.seen = seen;
            }
            if entry.id.is_some() && matches!(entry.stage, Stage::Loading) {
                entry.broken(format!("{} changes all the time; try again when nobody writes to it", entry.seen.file.path.display()));
            }
            (index, entry)
        });
    }
    let mut entries = Vec::new();
    while let Some(ended) = loads.join_next().await {
        entries.extend(ended.ok());
    }
    entries.sort_by_key(|(index, _)| *index);
    let mut once = Once::default();
    for (_, entry) in entries {
        once.statuses.push(entry.status());
        if let (Some(id), Some(serving)) = (entry.id, entry.serving) {
            once.loaded.push((id, serving.loaded));
        }
    }
    Ok(once)
}

/// What is at the path. Blocks.
fn find(path: &Path, max_file: u64) -> Result<Scan, FolderError> {
    let failed = |error| FolderError::of(path, error);
    let path = absolute(path).map_err(failed)?;
    if std::fs::metadata(&path).map_err(failed)?.is_dir() {
        return scan(&path, max_file).map_err(failed);
    }
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let Some(Role::Plugin(stem)) = role(&name) else { return Err(FolderError::NotAPlugin { path }) };
    let mut found = Scan::default();
    if let Some(seen) = scan_one(&path, max_file) {
        found.plugins.insert(stem.to_owned(), seen);
    }
    Ok(found)
}
