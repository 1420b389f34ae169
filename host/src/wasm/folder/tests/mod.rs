//! The folder on real files, with a loader that needs no Wasm.
//!
//! A toy plugin is text: `TOOL.` is complete and offers TOOL, `bad…` does not load, what has no full stop is truncated, `slow…` waits to be let through,
//! `panic…` panics, `tells…` says what the loader is told. A sidecar's text is appended to the tool's name.

mod refused;
mod watching;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::Map;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::*;
use crate::provider::{Call, CallError, CallOutput, ProviderState, Tool, ToolName};

/// Nothing takes this long; a machine that is busy may.
const PATIENCE: Duration = Duration::from_secs(30);

struct Toy {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
}

impl Provider for Toy {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        std::future::ready(Err(CallError::UnknownTool(call.tool.to_owned()))).boxed()
    }
}

struct Idle;

impl Load for Idle {
    fn in_flight(&self) -> usize {
        3
    }

    fn queued(&self) -> usize {
        4
    }
}

/// What toys say by themselves.
type Said = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<PluginUpdate>>>;

struct Telling(Said);

impl PluginUpdates for Telling {
    fn next(&self) -> BoxFuture<'static, PluginUpdate> {
        let said = Arc::clone(&self.0);
        async move {
            let said = said.lock().await.recv().await;
            said.unwrap_or_else(|| unreachable!("the loader keeps the other end"))
        }
        .boxed()
    }
}

/// Loads toys and remembers what it was given.
struct ToyLoader {
    tell: mpsc::UnboundedSender<PluginUpdate>,
    said: Said,
    calls: Mutex<Vec<String>>,
    /// Lets `slow` toys through.
    gate: Arc<Semaphore>,
}

impl ToyLoader {
    fn new() -> Arc<Self> {
        let (tell, said) = mpsc::unbounded_channel();
        Arc::new(Self { tell, said: Arc::new(tokio::sync::Mutex::new(said)), calls: Mutex::default(), gate: Arc::new(Semaphore::new(0)) })
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Loader for ToyLoader {
    fn load(&self, source: Source) -> BoxFuture<'static, Result<Loaded, LoadError>> {
        assert_eq!(source.digest, blake3::hash(&source.bytes));
        assert!(source.path.is_absolute());
        let text = String::from_utf8_lossy(&source.bytes).into_owned();
        let sidecar = source.sidecar.map(|sidecar| sidecar.text).unwrap_or_default();
        self.calls.lock().unwrap().push(text.clone() + &sidecar);
        let (gate, said) = (Arc::clone(&self.gate), Arc::clone(&self.said));
        async move {
            assert!(!text.starts_with("panic"), "told to");
            if text.starts_with("slow") {
                gate.acquire().await.unwrap().forget();
            }
            if text.starts_with("bad") {
                return Err(LoadError(format!("this one is {text}")));
            }
            let Some(tool) = text.strip_suffix('.') else { return Err(LoadError("truncated".to_owned())) };
            let mut loaded = toy(source.id, &format!("{tool}{sidecar}"));
            loaded.news = tool.starts_with("tells").then(|| Arc::new(Telling(said)) as _);
            Ok(loaded)
        }
        .boxed()
    }
}

/// A toy that offers one tool.
fn toy(id: ProviderId, tool: &str) -> Loaded {
    let tool = Tool {
        name: ToolName::new(tool).unwrap(),
        title: None,
        description: None,
        input_schema: Arc::new(Map::new()),
        output_schema: None,
        annotations: None,
        icons: None,
        meta: None,
        extra: Map::new(),
        notifies: false,
    };
    let provider = Arc::new(Toy { id, tools: vec![Arc::new(tool)] });
    Loaded {
        provider,
        warnings: vec!["a warning".to_owned()],
        imports: ["an:import".to_owned()].into(),
        load: Arc::new(Idle),
        compiled: None,
        news: None,
    }
}

fn options(path: &Path) -> FolderOptions {
    FolderOptions { settle: Duration::from_millis(50), ..FolderOptions::new(path.to_owned(), 1 << 20, 2) }
}

/// A watched temporary folder, and what was told of it.
struct Bench {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
    folder: Arc<Folder>,
    loader: Arc<ToyLoader>,
    changes: mpsc::Receiver<Vec<ProviderChange>>,
    /// By plugin, the tool that is served.
    served: BTreeMap<String, String>,
    /// Plugin and URI of resources that hold something else.
    updated: Vec<(String, String)>,
    batches: usize,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// With files that are there before, and other options.
    async fn with(prepare: impl FnOnce(&Path), configure: impl FnOnce(&mut FolderOptions)) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("plugins");
        fs::create_dir(&dir).unwrap();
        prepare(&dir);
        let mut options = options(&dir);
        configure(&mut options);
        let loader = ToyLoader::new();
        let (sender, changes) = mpsc::channel(16);
        let folder = Folder::start(options, Arc::clone(&loader) as Arc<dyn Loader>, sender).await.unwrap();
        Self { _temporary: temporary, dir, folder, loader, changes, served: BTreeMap::new(), updated: Vec::new(), batches: 0 }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    /// As a careful copying program does it: under another name first.
    fn put(&self, name: &str, text: &str) {
        let temporary = self.dir.join(format!(".{name}.tmp"));
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.dir.join(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.dir.join(name)).unwrap();
    }

    async fn take(&mut self) {
        let batch = timeout(PATIENCE, self.changes.recv()).await;
        let batch = batch
            .unwrap_or_else(|_| panic!("no change; serving {:?}, {:#?}", self.served, self.folder.statuses()))
            .expect("the folder ended");
        assert!(!batch.is_empty());
        self.batches += 1;
        for change in batch {
            match change {
                ProviderChange::Put(provider) => {
                    let tool = provider.tools()[0].name.to_string();
                    self.served.insert(provider.id().to_string(), tool);
                }
                ProviderChange::Remove(id) => assert!(self.served.remove(id.as_str()).is_some(), "{id} was removed and never served"),
                ProviderChange::Updated(id, uri) => self.updated.push((id.to_string(), uri)),
            }
        }
    }

    /// Waits until the plugin serves this tool (None: nothing).
    async fn serves(&mut self, plugin: &str, tool: Option<&str>) {
        while self.served.get(plugin).map(String::as_str) != tool {
            self.take().await;
        }
    }

    fn status(&self, name: &str) -> Option<ProviderStatus> {
        self.folder.statuses().into_iter().find(|status| status.name == name)
    }

    /// Waits until something is so. What it is about sends no change.
    async fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let waiting = timeout(PATIENCE, async {
            while !so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waiting.await.unwrap_or_else(|_| panic!("never: {what}; {:#?}", self.folder.statuses()));
    }

    /// Waits until a plugin is in this state, with an error that contains this.
    async fn state(&self, name: &str, state: ProviderState, error: Option<&str>) -> ProviderStatus {
        self.until(&format!("{name} {state:?} {error:?}"), || {
            self.status(name).is_some_and(|status| {
                status.state == state
                    && match (&status.error, error) {
                        (None, None) => true,
                        (Some(got), Some(wanted)) => got.contains(wanted),
                        _ => false,
                    }
            })
        })
        .await;
        self.status(name).unwrap()
    }

    async fn calls(&self, count: usize) {
        self.until(&format!("{count} loads"), || self.loader.calls().len() >= count).await;
    }
}
