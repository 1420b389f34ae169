//! Servers in containers: an image with its arguments, started again and again by a container engine, with nothing that was not granted.
//!
//! Every container carries labels that say which server it is and which process owns it; see `owner`.

mod advice;
mod api;
mod cli;
mod engine;
mod image;
mod owner;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Mutex, OnceCell},
};
use tokio_util::task::TaskTracker;

pub use engine::EngineError;

use super::launch::{Launch, LaunchError, Launched, Running};
use crate::{
    config::{EngineChoice, ImageSource, Pull},
    provider::ImageStatus,
};
use image::Resolved;

/// Open files of a container: what servers need, and not what would let one exhaust the host.
const OPEN_FILES: u64 = 4096;

/// Processes of the container's user, all containers and the host's own together: the kernel counts by user. Each container by itself is limited by `pids`;
/// this one is said because engines raise it where nothing is said, which a host that may not raise limits refuses.
const PROCESSES: u64 = 4096;

/// How long a container that was killed may take to be gone. The engine reaps it and unmounts its file system; measured: 0.2 to 0.4 s.
const GONE: Duration = Duration::from_secs(30);

/// How long the end of the host waits for removals that are under way.
const LAST: Duration = Duration::from_secs(10);

/// What an engine is asked for. Each method is one request to it.
trait Backend: Send + Sync {
    /// What the name of an image stands for now. None: no such image is there.
    fn resolve<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<Resolved>, String>>;
    /// Brings the image. Progress goes to the log.
    fn pull<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// Makes a container and starts it, its pipes attached from the first byte on.
    fn start<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, Result<Pipes, String>>;
    /// Waits for its end.
    fn wait<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()>;
    /// How it ended.
    fn ended<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Ended>>;
    /// Sends it a signal: `SIGTERM`.
    fn signal<'a>(&'a self, name: &'a str, signal: &'a str) -> BoxFuture<'a, ()>;
    /// Kills it, if it runs, and leaves nothing of it. One that is not there is no error.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// All containers that carry [`owner::LABEL`]: name and that label.
    fn list(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, String>>;
}

/// A container as it is asked for.
struct Spec {
    name: String,
    labels: BTreeMap<String, String>,
    /// By its name, or by its id.
    image: String,
    source: Arc<ImageSource>,
}

/// What a started container is reached by.
struct Pipes {
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    stdout: Box<dyn AsyncRead + Send + Unpin>,
    stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// What has to live as long as the container: the engine's client program.
    client: Option<tokio::process::Child>,
}

/// How a container ended.
struct Ended {
    code: i64,
    out_of_memory: bool,
}

/// The pull of one image, for all who wait for it.
type Pulling = Shared<BoxFuture<'static, Result<(), String>>>;

/// A container engine that was found, and the containers that this process owns there.
pub struct Containers {
    backend: Arc<dyn Backend>,
    /// Which engine, in words.
    engine: String,
    owner: String,
    last: AtomicU64,
    pulls: Mutex<BTreeMap<String, Pulling>>,
    /// Containers that could not be removed, as the engine did not answer: they are removed when it does again.
    left: Mutex<BTreeSet<String>>,
    /// Removals that nobody waits for, as whoever had the container is gone.
    removing: TaskTracker,
}

impl Containers {
    /// Finds the engine and removes what a process that was killed left there.
    ///
    /// # Errors
    ///
    /// [`EngineError`] with everything that was tried.
    pub async fn open(choice: &EngineChoice) -> Result<Arc<Self>, EngineError> {
        let (backend, engine) = engine::find(choice).await?;
        let containers = Arc::new(Self {
            backend,
            engine,
            owner: owner::own(),
            last: AtomicU64::new(0),
            pulls: Mutex::default(),
            left: Mutex::default(),
            removing: TaskTracker::new(),
        });
        containers.reap().await;
        Ok(containers)
    }

    /// Which engine it is, in words: `podman 4.3.1 at /run/podman/podman.sock`.
    #[must_use]
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Removes containers whose process was killed before it could do so itself.
    async fn reap(&self) {
        let found = match self.backend.list().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(engine = self.engine, "cannot look for containers of an earlier run: {error}");
                return;
            }
        };
        for (name, label) in found {
            if owner::is_orphan(&label) {
                tracing::info!(container = name, "removing a container whose host process is gone");
                self.remove(&name).await;
            }
        }
    }

    /// Leaves nothing of a container; where that fails now, later.
    async fn remove(&self, name: &str) {
        if let Err(error) = self.backend.remove(name).await {
            tracing::warn!(container = name, engine = self.engine, "the container could not be removed; retrying later: {error}");
            self.left.lock().await.insert(name.to_owned());
        }
    }

    /// Removes what could not be removed before.
    async fn sweep(&self) {
        let left = std::mem::take(&mut *self.left.lock().await);
        for name in left {
            self.remove(&name).await;
        }
    }

    /// Waits for the removals that are under way, and tries those again that failed.
    async fn close(&self) {
        self.removing.close();
        self.removing.wait().await;
        self.sweep().await;
    }

    /// Sees to it that the image is there, and says which it is. All who need the same one wait for one pull; it goes on when nobody waits any more.
    async fn fetch(&self, image: &str, pull: Pull) -> Result<Resolved, LaunchError> {
        let fail = |error: String| LaunchError(format!("image {image} ({}): {error}", self.engine));
        let known = self.pulls.lock().await.get(image).cloned();
        let is_coming = known.as_ref().is_some_and(|pull| pull.peek().is_none());
        let is_due = known.is_none() && pull == Pull::Always;
        // One that was pulled may have been removed since.
        if !is_coming
            && !is_due
            && let Some(there) = self.backend.resolve(image).await.map_err(fail)?
        {
            return Ok(there);
        }
        if pull == Pull::Never {
            return Err(fail("it is not there, and pull = \"never\": load or build it, or set pull = \"missing\"".to_owned()));
        }
        let pulling = {
            let mut pulls = self.pulls.lock().await;
            // What has ended by now, and did not bring what is needed, is of no use.
            let coming = pulls.get(image).filter(|pull| pull.peek().is_none()).cloned();
            coming.unwrap_or_else(|| {
                let pull = self.start_pull(image);
                pulls.insert(image.to_owned(), pull.clone());
                pull
            })
        };
        let result = pulling.clone().await;
        if result.is_err() {
            // The next start tries again. What somebody else has begun meanwhile goes on.
            let mut pulls = self.pulls.lock().await;
            if pulls.get(image).is_some_and(|pull| pull.ptr_eq(&pulling)) {
                pulls.remove(image);
            }
        }
        result.map_err(fail)?;
        let there = self.backend.resolve(image).await.map_err(fail)?;
        there.ok_or_else(|| fail("it was pulled, and the engine does not have it".to_owned()))
    }

    fn start_pull(&self, image: &str) -> Pulling {
        let (backend, image) = (Arc::clone(&self.backend), image.to_owned());
        let task = tokio::spawn(async move {
            tracing::info!(image, "pulling the image");
            let result = backend.pull(&image).await;
            if result.is_ok() {
                tracing::info!(image, "the image is there");
            }
            result
        });
        task.map(|joined| joined.unwrap_or_else(|error| Err(error.to_string()))).boxed().shared()
    }
}

/// The engine of this process, found when the first image needs it.
pub struct Engine {
    choice: EngineChoice,
    found: OnceCell<Arc<Containers>>,
}

impl Engine {
    /// Waits until the containers are removed whose servers have ended, for a while.
    pub async fn close(&self) {
        if let Some(containers) = self.found.get()
            && tokio::time::timeout(LAST, containers.close()).await.is_err()
        {
            tracing::warn!(
                engine = containers.engine,
                "containers are still being removed after {LAST:?}; the next start removes what is left"
            );
        }
    }

    /// Nothing is looked for yet.
    #[must_use]
    pub fn new(choice: EngineChoice) -> Arc<Self> {
        Arc::new(Self { choice, found: OnceCell::new() })
    }

    /// Containers of one server.
    #[must_use]
    pub fn image(self: &Arc<Self>, server: &str, source: ImageSource) -> Image {
        Image { engine: Arc::clone(self), server: server.to_owned(), source: Arc::new(source), last: StdMutex::default() }
    }

    /// One that was not found may be there at the next try.
    async fn containers(&self) -> Result<&Arc<Containers>, LaunchError> {
        self.found.get_or_try_init(|| Containers::open(&self.choice)).await.map_err(|error| LaunchError(error.to_string()))
    }
}

/// The image of one server, of which containers are started.
pub struct Image {
    engine: Arc<Engine>,
    server: String,
    source: Arc<ImageSource>,
    /// What was started last.
    last: StdMutex<Option<ImageStatus>>,
}

impl Image {
    async fn fetch(&self) -> Result<(&Arc<Containers>, Resolved), LaunchError> {
        let containers = self.engine.containers().await?;
        let there = containers.fetch(&self.source.image, self.source.pull).await?;
        Ok((containers, there))
    }

    async fn start(&self) -> Result<Launched, LaunchError> {
        let (containers, there) = self.fetch().await?;
        let now = there.status(&self.source.image);
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(now.clone());
        let mut image = self.source.image.clone();
        if let Some(accepted) = &self.source.accepted {
            match image::check(&self.server, &accepted.image, &now) {
                Err(why) if accepted.hold => return Err(LaunchError(why)),
                Err(why) if before.as_ref() != Some(&now) => tracing::warn!(server = self.server, "{why}; it is started all the same"),
                // What was looked at is what runs, whatever the name stands for in a moment.
                Ok(()) if accepted.hold => image = there.id,
                _ => {}
            }
        }
        let number = containers.last.fetch_add(1, Ordering::Relaxed) + 1;
        // The number of a process says little: in containers that share one engine every Toolbay is number 1. A name that is taken would fail the start, and
        // the clean-up of that would end somebody else's container.
        let name = format!("toolbay-{}-{}-{number}-{:08x}", self.server, std::process::id(), fastrand::u32(..));
        let labels =
            BTreeMap::from([(owner::LABEL.to_owned(), containers.owner.clone()), ("io.toolbay.server".to_owned(), self.server.clone())]);
        let spec = Spec { name: name.clone(), labels, image, source: Arc::clone(&self.source) };
        // From here on something may be there that has to be removed again, whatever happens.
        let mut running = Container { containers: Some(Arc::clone(containers)), name, memory: self.source.memory, client: None };
        let Pipes { stdin, stdout, stderr, client } = match containers.backend.start(&spec).await {
            Ok(pipes) => pipes,
            Err(error) => {
                // Before it is told: a host that ends for it would leave what was made.
                leave_nothing(containers, &running.name, None).await;
                running.containers = None;
                return Err(LaunchError(format!("image {} ({}): {error}", self.source.image, containers.engine)));
            }
        };
        running.client = client;
        // The engine answers.
        containers.sweep().await;
        let advice = Some(advice::of(&self.server, &self.source));
        Ok(Launched { stdin, stdout, stderr, running: Box::new(running), advice })
    }
}

impl Launch for Image {
    fn prepare(&self) -> BoxFuture<'_, Result<(), LaunchError>> {
        async { self.fetch().await.map(drop) }.boxed()
    }

    fn launch(&self) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        self.start().boxed()
    }

    fn what(&self) -> String {
        format!("image {}", self.source.image)
    }

    fn image(&self) -> Option<ImageStatus> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A container that runs, or that is being started.
struct Container {
    /// None: it is gone, or somebody else sees to it.
    containers: Option<Arc<Containers>>,
    name: String,
    memory: u64,
    client: Option<tokio::process::Child>,
}

impl Container {
    async fn say_end(&mut self) -> String {
        let Some(containers) = self.containers.clone() else { return "it was removed".to_owned() };
        containers.backend.wait(&self.name).await;
        match containers.backend.ended(&self.name).await {
            Some(Ended { out_of_memory: true, .. }) => format!("over its memory limit ({} MiB): `memory` raises it", self.memory >> 20),
            // Not every engine notices who killed it.
            Some(Ended { code: 137, .. }) => {
                format!(
                    "killed by signal 9: by somebody, or for going over its memory limit ({} MiB), which `memory` raises",
                    self.memory >> 20
                )
            }
            // What a shell makes of a signal.
            Some(Ended { code: code @ 129..=159, .. }) => format!("killed by signal {}", code - 128),
            Some(Ended { code, .. }) => format!("exit status {code}"),
            None => format!("the container was removed, or its engine does not answer: {}", containers.engine),
        }
    }

    async fn end(mut self, grace: Duration) {
        let Some(containers) = self.containers.clone() else { return };
        for signal in [None, Some("SIGTERM")] {
            if let Some(signal) = signal {
                containers.backend.signal(&self.name, signal).await;
            }
            if tokio::time::timeout(grace, containers.backend.wait(&self.name)).await.is_ok() {
                break;
            }
        }
        leave_nothing(&containers, &self.name, self.client.as_mut()).await;
        self.containers = None;
    }
}

impl Running for Container {
    fn name(&self) -> String {
        format!("container {}", self.name)
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        self.say_end().boxed()
    }

    fn stop(self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()> {
        self.end(grace).boxed()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some(containers) = self.containers.take() else { return };
        let (name, mut client) = (std::mem::take(&mut self.name), self.client.take());
        // Without a runtime the process ends, and the next one reaps.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let tracker = containers.removing.clone();
            tracker.spawn_on(async move { leave_nothing(&containers, &name, client.as_mut()).await }, &runtime);
        }
    }
}

/// Removes a container, after the engine's client: one that is just making it would make it afterwards, and nobody would remove that.
async fn leave_nothing(containers: &Containers, name: &str, client: Option<&mut tokio::process::Child>) {
    if let Some(client) = client {
        let _ended_already = client.start_kill();
        let _gone = tokio::time::timeout(GONE, client.wait()).await;
    }
    containers.remove(name).await;
}

/// The folders in memory, and their options. Nothing in `/tmp` is run; a home holds programs that were
/// installed there, and belongs to whatever user the image has.
fn tmpfs(source: &ImageSource) -> BTreeMap<String, String> {
    let size = source.tmpfs;
    let mut folders: BTreeMap<String, String> =
        source.scratch.iter().map(|folder| (folder.clone(), format!("rw,nosuid,nodev,exec,mode=1777,size={size}"))).collect();
    folders.insert("/tmp".to_owned(), format!("rw,nosuid,nodev,noexec,size={size}"));
    folders
}
