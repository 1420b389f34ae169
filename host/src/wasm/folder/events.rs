//! What the kernel says has changed: hints that make the folder be looked at, never a truth of their own.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::Notify;

use super::names::{Role, role};
use crate::file_events::is_missing;

/// What happened to a plugin's files last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Written, made, removed, changed in any way.
    Written,
    /// The plugin itself was moved here under its name: whoever does that had it complete before.
    Renamed,
}

/// What has happened since somebody last asked.
#[derive(Default)]
pub(super) struct Hints {
    inner: Mutex<Inner>,
    /// Something has happened.
    pub(super) notify: Notify,
}

#[derive(Default)]
struct Inner {
    files: HashMap<String, Hint>,
    lost: bool,
}

impl Hints {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was hinted at, by plugin, and forgets it.
    pub(super) fn take(&self) -> HashMap<String, Hint> {
        std::mem::take(&mut self.lock().files)
    }

    /// Runs on the watcher's thread.
    fn event(&self, folder: &Path, event: &Event) {
        let hint = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::Written,
            // Our own reading is such an event.
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Hint::Renamed,
            // Said again, after the two halves.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
            _ => Hint::Written,
        };
        // An overflow of the kernel's queue has no path, and leads to a look at everything.
        let mut ours = event.need_rescan();
        let mut inner = self.lock();
        for path in &event.paths {
            if path == folder {
                inner.lost |= matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
                ours = true;
                continue;
            }
            let Some(name) = path.file_name() else { continue };
            match role(&name.to_string_lossy()) {
                Some(Role::Plugin(stem)) => drop(inner.files.insert(stem.to_owned(), hint)),
                // A sidecar that was moved here says nothing of whether the plugin is complete.
                Some(Role::Sidecar(stem)) => drop(inner.files.insert(stem.to_owned(), Hint::Written)),
                None => continue,
            }
            ours = true;
        }
        drop(inner);
        if ours {
            self.notify.notify_one();
        }
    }
}

/// What tells one folder from another at the same path. The time of birth is in it since inode numbers are given out again.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
    born: Option<SystemTime>,
}

impl Identity {
    fn of(folder: &Path) -> Option<Self> {
        let meta = std::fs::metadata(folder).ok()?;
        Some(Self { dev: meta.dev(), ino: meta.ino(), born: meta.created().ok() })
    }
}

/// The kernel's watch on the folder. Dropping it ends it.
pub(super) struct Events {
    folder: PathBuf,
    hints: Arc<Hints>,
    watching: Mutex<Watching>,
}

struct Watching {
    watcher: RecommendedWatcher,
    on: Option<Identity>,
}

impl Events {
    /// Starts watching. Blocks for a moment.
    pub(super) fn start(folder: &Path, hints: &Arc<Hints>) -> notify::Result<Self> {
        let (path, handler) = (folder.to_owned(), Arc::clone(hints));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => handler.event(&path, &event),
            Err(error) => {
                tracing::debug!(%error, "an event of the plugins folder was lost");
                handler.notify.notify_one();
            }
        })?;
        let events = Self { folder: folder.to_owned(), hints: Arc::clone(hints), watching: Mutex::new(Watching { watcher, on: None }) };
        events.ensure()?;
        Ok(events)
    }

    /// Whether the watch is on the folder that stands at the path now. Blocks for a moment.
    pub(super) fn intact(&self) -> bool {
        let watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        !self.hints.lock().lost && watching.on.is_some() && watching.on == Identity::of(&self.folder)
    }

    /// Puts the watch on the folder that stands at the path now, if there is one. A look at everything has to follow. Blocks for a moment.
    ///
    /// # Errors
    ///
    /// Where events cannot be had, though there is a folder.
    pub(super) fn ensure(&self) -> notify::Result<()> {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Identity::of(&self.folder);
        let lost = std::mem::take(&mut self.hints.lock().lost);
        if !lost && now.is_some() && watching.on == now {
            return Ok(());
        }
        if watching.on.take().is_some() {
            // An error means that the watch ended with the folder.
            let _ = watching.watcher.unwatch(&self.folder);
        }
        if now.is_none() {
            return Ok(());
        }
        match watching.watcher.watch(&self.folder, RecursiveMode::NonRecursive) {
            Ok(()) => watching.on = now,
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    async fn hint(hints: &Hints, plugin: &str) -> Hint {
        let waiting = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(hint) = hints.take().get(plugin) {
                    return *hint;
                }
                hints.notify.notified().await;
            }
        });
        waiting.await.unwrap_or_else(|_| panic!("no event for {plugin}"))
    }

    #[tokio::test]
    async fn events_go_on_in_a_folder_that_was_made_again() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        let hints = Arc::new(Hints::default());
        let events = Events::start(&folder, &hints).unwrap();
        for round in 0..10 {
            assert!(events.intact());
            fs::write(folder.join(format!("a{round}.wasm")), "x").unwrap();
            assert_eq!(hint(&hints, &format!("a{round}")).await, Hint::Written);
            fs::rename(folder.join(format!("a{round}.wasm")), folder.join(format!("b{round}.wasm"))).unwrap();
            assert_eq!(hint(&hints, &format!("b{round}")).await, Hint::Renamed);
            if round % 2 == 0 {
                fs::remove_dir_all(&folder).unwrap();
            } else {
                fs::rename(&folder, temporary.path().join(round.to_string())).unwrap();
            }
            assert!(!events.intact());
            events.ensure().unwrap();
            fs::create_dir(&folder).unwrap();
            assert!(!events.intact());
            events.ensure().unwrap();
            // What was said of the folder before may come late: it only makes for one more look.
            for _ in 0..10 {
                events.ensure().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn reading_is_no_event() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.wasm"), "x").unwrap();
        let hints = Arc::new(Hints::default());
        let _events = Events::start(folder.path(), &hints).unwrap();
        assert_eq!(fs::read(folder.path().join("a.wasm")).unwrap(), b"x");
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        fs::write(folder.path().join("b.wasm"), "x").unwrap();
        hints.notify.notified().await;
        assert_eq!(hints.take(), HashMap::from([("b".to_owned(), Hint::Written)]));
    }
}
