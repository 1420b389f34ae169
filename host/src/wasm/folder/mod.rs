//! The folder of plugins: which files are in it, which version of each serves, and what is wrong with the others.
//!
//! `NAME.wasm` is the plugin NAME, and `NAME.toml` beside it its sidecar. What the folder knows is files and states: turning a file into a provider is the
//! work of a [`Loader`]. One task owns all of it (`watch`): events, or polling where there are none, only make it look at the folder; a look (`scan`) is
//! the truth, so that nothing depends on having seen every event. A file is read when it has been left alone for a while, and a version that does not
//! load leaves the one before it serving.

mod entry;
mod events;
mod load;
mod mounts;
mod names;
mod once;
mod pulled;
mod scan;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::{
    sync::{Notify, mpsc, watch as channel},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use self::scan::read_again;
use self::{entry::Entry, watch::Watch};
pub use self::{
    once::{Once, load_once},
    pulled::{Pulled, PulledFile, PulledPlugin},
};
use crate::provider::{CompiledStatus, Provider, ProviderChange, ProviderId, ProviderStatus, StatusSource};

/// Turns one version of a file into a provider: compile, check, list the tools.
///
/// Called off the request path, several at once, never two at once for one plugin. The future is dropped when a newer version is there or the host ends:
/// whatever runs for it should end then.
pub trait Loader: Send + Sync + 'static {
    /// Loads one version. Must not block the thread.
    fn load(&self, source: Source) -> BoxFuture<'static, Result<Loaded, LoadError>>;

    /// A number that changes with what the configuration says of this plugin: a version that was loaded under another number is loaded again. Must not block.
    fn configuration(&self, id: &ProviderId) -> u64 {
        let _ = id;
        0
    }

    /// So many plugins there are, as far as is known. Said before any of them is loaded, and again with every look. Must not block.
    fn expect(&self, plugins: usize) {
        let _ = plugins;
    }

    /// Nothing is watched any more: whatever goes on for what was loaded, and no call waits for, ends.
    fn end(&self) {}
}

/// One version of a plugin, read whole when nobody was writing to it any more.
#[derive(Clone, Debug)]
pub struct Source {
    /// The plugin's name.
    pub id: ProviderId,
    /// Where the file lies: absolute.
    pub path: PathBuf,
    /// The whole file.
    pub bytes: Bytes,
    /// Of `bytes`.
    pub digest: blake3::Hash,
    /// What stands in the sidecar, if there is one.
    pub sidecar: Option<Sidecar>,
}

/// `NAME.toml` beside `NAME.wasm`.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The whole file.
    pub text: String,
    /// Where it lies: absolute.
    pub path: PathBuf,
}

/// A version that can serve.
#[derive(Clone)]
pub struct Loaded {
    /// What serves.
    pub provider: Arc<dyn Provider>,
    /// What is not wrong but worth knowing.
    pub warnings: Vec<String>,
    /// The interfaces that it imports.
    pub imports: Arc<[String]>,
    /// What it is doing now.
    pub load: Arc<dyn Load>,
    /// Who compiled it, and when.
    pub compiled: Option<CompiledStatus>,
    /// What it says while it serves. None: it never says anything.
    pub news: Option<Arc<dyn PluginUpdates>>,
}

/// What a plugin says by itself while it serves. Called by the watching task, which waits for one thing after the other.
pub trait PluginUpdates: Send + Sync {
    /// Waits for the next thing. Dropped when the plugin is gone, or another version serves.
    fn next(&self) -> BoxFuture<'static, PluginUpdate>;
}

/// What a plugin said.
pub struct PluginUpdate {
    /// It lists something else now, or there is better code for it: the same version, to serve in place of the one that said so.
    pub relisted: Option<Loaded>,
    /// URIs of resources that hold something else now.
    pub updated: Vec<String>,
}

/// How busy a plugin is.
pub trait Load: Send + Sync {
    /// Calls that run now.
    fn in_flight(&self) -> usize;
    /// Calls that wait for their turn.
    fn queued(&self) -> usize;
    /// Whether its code is in memory. None: it is there all the time.
    fn is_loaded(&self) -> Option<bool> {
        None
    }
    /// Why it cannot be called, though it is listed: its code could not be loaded when it was needed.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Why a version cannot serve: a message for people, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// How to watch a folder.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// The folder.
    pub path: PathBuf,
    /// Bytes of the largest file that is read.
    pub max_file: u64,
    /// Files that are read and loaded at once.
    pub jobs: usize,
    /// How long a file must have been left alone before it counts as complete.
    pub settle: Duration,
    /// Look at the folder this often instead of waiting for events. None: events, and polling where there are none.
    pub poll: Option<Duration>,
    /// What is served besides the files of the folder. None: nothing.
    pub pulled: Option<channel::Receiver<Arc<Pulled>>>,
    /// The folder need not be there.
    pub optional: bool,
}

impl FolderOptions {
    /// Longer than a copying program pauses between two writes, and short enough that nobody waits for it.
    pub const SETTLE: Duration = Duration::from_millis(150);

    /// The usual way to watch a folder.
    #[must_use]
    pub fn new(path: PathBuf, max_file: u64, jobs: usize) -> Self {
        Self { path, max_file, jobs, settle: Self::SETTLE, poll: None, pulled: None, optional: false }
    }
}

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing is there.
    #[error("there is no plugins folder {}; create it, or name another one (`--plugins DIR`, or `plugins` in toolbay.toml)", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is not a folder; name the folder that the plugins lie in (`--plugins DIR`, or `plugins` in toolbay.toml)", path.display())]
    NotAFolder {
        /// What was named.
        path: PathBuf,
    },
    /// It is there and cannot be listed.
    #[error("cannot list the plugins folder {}: {error}; let the user that runs toolbay read and enter it", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A single file was named that is no plugin by its name.
    #[error("{} is neither a folder nor a plugin; name a folder, or a file whose name ends in .wasm", path.display())]
    NotAPlugin {
        /// What was named.
        path: PathBuf,
    },
}

impl FolderError {
    fn of(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::NotADirectory => Self::NotAFolder { path },
            _ => Self::Unreadable { path, error },
        }
    }
}

/// A folder that is being watched. Dropping it ends the watching; [`Folder::stop`] waits for the end too.
pub struct Folder {
    shared: Arc<Shared>,
    token: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    _ends: DropGuard,
}

/// What the watching task and those who ask for the states have in common.
struct Shared {
    entries: Mutex<BTreeMap<String, Entry>>,
    ready: channel::Sender<bool>,
    /// The configuration is another one.
    reconfigured: Notify,
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folder {
    /// Starts to watch, and to load what is there. Does not wait for that: see [`Folder::settled`]. What comes to serve, and what does no longer, is sent
    /// to `changes`; the watching ends when nobody receives.
    ///
    /// # Errors
    ///
    /// Where the folder is not there, is no folder, or cannot be listed.
    pub async fn start(
        mut options: FolderOptions,
        loader: Arc<dyn Loader>,
        changes: mpsc::Sender<Vec<ProviderChange>>,
    ) -> Result<Arc<Self>, FolderError> {
        let path = options.path.clone();
        options.path =
            blocking(move || absolute(&path)).await.and_then(|path| path).map_err(|error| FolderError::of(&options.path, error))?;
        let path = options.path.clone();
        let listed = blocking(move || std::fs::read_dir(path).map(drop)).await.and_then(|listed| listed);
        match listed.map_err(|error| FolderError::of(&options.path, error)) {
            Err(error @ FolderError::Missing { .. }) if options.optional => tracing::info!("no folder of plugins is served: {error}"),
            listed => listed?,
        }
        let shared = Arc::new(Shared { entries: Mutex::default(), ready: channel::Sender::new(false), reconfigured: Notify::new() });
        let token = CancellationToken::new();
        let watch = Watch::start(options, loader, changes, Arc::clone(&shared), token.clone()).await;
        let task = Mutex::new(Some(tokio::spawn(watch.run())));
        Ok(Arc::new(Self { shared, _ends: token.clone().drop_guard(), token, task }))
    }

    /// Waits until every file that was there at the start serves or is known to be broken, and what serves was sent. A file that is still being copied
    /// then is waited for a few seconds only.
    pub async fn settled(&self) {
        let mut ready = self.shared.ready.subscribe();
        tokio::select! {
            _ = ready.wait_for(|ready| *ready) => {}
            () = self.token.cancelled() => {}
        }
    }

    /// The configuration is another one: plugins of which it says something else now are loaded again. What serves goes on until then.
    pub fn reconfigured(&self) {
        self.shared.reconfigured.notify_one();
    }

    /// Ends the watching and all loading, and waits for the end. What serves goes on serving.
    pub async fn stop(&self) {
        self.token.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // An error would be a panic of the task, which has ended then.
            let _ = task.await;
        }
    }
}

impl StatusSource for Folder {
    fn statuses(&self) -> Vec<ProviderStatus> {
        self.shared.entries().values().map(Entry::status).collect()
    }

    fn ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    fn until_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.settled())
    }
}

/// An absolute path, links in it kept: a folder behind a link may be switched for another one.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// Runs work on files off the async workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
