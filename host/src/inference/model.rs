//! One model: a folder of graphs, the version that serves, and the counters that outlive versions.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;

use super::{
    backend::{Backend, BackendError, Options, Source},
    graph::Graph,
    graph_state::Settings,
    library::LibraryError,
    metrics::{Metrics, ModelStatus},
    queue::Queue,
};
use crate::config::ModelConfig;

/// The file that a model's bare name means, where there are several.
const MAIN: &str = "model";

/// Why a model cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The folder.
    #[error("model {name}: cannot read its folder {}: {reason}; set `path` in [model.{name}] to the folder of its ONNX files", path.display())]
    Folder {
        /// The model.
        name: String,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Nothing in it.
    #[error("model {name}: there is no file *.onnx in {}; put the export of the model there, or set `path` in [model.{name}] to where it is", path.display())]
    Empty {
        /// The model.
        name: String,
        /// The folder.
        path: PathBuf,
    },
    /// One file.
    #[error("model {name}: cannot open {}: {reason}", path.display())]
    Graph {
        /// The model.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the runtime said, and what to do.
        reason: String,
    },
    /// No runtime.
    #[error("model {name}: {error}")]
    Library {
        /// The model.
        name: String,
        /// Why there is none.
        error: LibraryError,
    },
    /// A share of a GPU whose size nobody knows.
    #[error(
        "model {name}: gpu_memory is a share, and the memory of {device} cannot be found out: {reason}; write gpu_memory as bytes, such as \"8GiB\""
    )]
    Memory {
        /// The model.
        name: String,
        /// The GPU.
        device: String,
        /// Why not.
        reason: String,
    },
}

/// A model of the configuration.
pub(super) struct Model {
    pub(super) name: Arc<str>,
    pub(super) config: ModelConfig,
    /// Bytes of its GPU that it may take.
    memory: Option<u64>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    version: ArcSwap<Version>,
    /// What is wrong with the newest files.
    error: Mutex<Option<String>>,
}

/// What serves: all graphs of a folder as it was at one time.
pub(super) struct Version {
    graphs: BTreeMap<String, Graph>,
    pub(super) seen: Seen,
}

/// Files with what tells one content from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Seen(BTreeMap<PathBuf, (u64, Option<SystemTime>, u64)>);

impl Seen {
    /// Looks at the files of a model: the graphs, and the data that may lie beside them.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // What is gone again, or hidden while it is copied, is not there.
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            let Some(found) = fs::metadata(&path).ok().filter(|found| found.is_file() && !hidden && is_graph_or_data(&path)) else {
                continue;
            };
            files.insert(path, (found.len(), found.modified().ok(), inode(&found)));
        }
        Ok(Self(files))
    }

    fn graphs(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.0.iter().filter(|(path, _)| is_graph(path)).map(|(path, (len, ..))| (path.as_path(), *len))
    }

    fn bytes(&self) -> u64 {
        self.0.values().map(|(len, ..)| len).sum()
    }
}

fn is_graph(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

/// Large models keep their weights in files beside the graph: `model.onnx_data`, `model.onnx.data`.
fn is_graph_or_data(path: &Path) -> bool {
    is_graph(path) || path.file_name().is_some_and(|name| name.to_string_lossy().contains(".onnx"))
}

fn inode(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

impl Model {
    /// Opens all graphs of a model.
    pub(super) fn open(
        name: &str,
        config: &ModelConfig,
        memory: Option<u64>,
        backend: &dyn Backend,
        queue: Arc<Queue>,
    ) -> Result<Self, ModelError> {
        let name: Arc<str> = name.into();
        let metrics = Arc::new(Metrics::default());
        let seen = look(&name, config)?;
        let version = open(&name, config, memory, seen, backend, &queue, &metrics)?;
        let (version, error) = (ArcSwap::from_pointee(version), Mutex::new(None));
        Ok(Self { name, config: config.clone(), memory, queue, metrics, version, error })
    }

    pub(super) fn version(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// Puts the files, as they are now, in place of those that serve. Where they cannot serve, those before go on.
    pub(super) fn reload(&self, seen: Seen, backend: &dyn Backend) {
        let opened = open(&self.name, &self.config, self.memory, seen, backend, &self.queue, &self.metrics);
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(version) => {
                self.version.store(Arc::new(version));
                *error = None;
                tracing::info!(model = %self.name, "model reloaded");
            }
            Err(reason) => {
                tracing::warn!(model = %self.name, %reason, "the new version of the model is broken; the previous one keeps serving");
                *error = Some(reason.to_string());
            }
        }
    }

    /// The files are again what serves.
    pub(super) fn settle(&self) {
        if self.error.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(model = %self.name, "the files of the model are the serving version again");
        }
    }

    /// `config`: as it is now, with who may use it.
    pub(super) fn status(&self, config: &ModelConfig) -> ModelStatus {
        let version = self.version.load();
        ModelStatus {
            name: self.name.to_string(),
            path: self.config.path.display().to_string(),
            device: self.config.device.to_string(),
            plugins: config.plugins.clone(),
            bytes: version.seen.bytes(),
            gpu_memory: self.memory,
            graphs: version.graphs.values().map(Graph::status).collect(),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            queued: self.queue.waiting(&self.name),
            counts: self.metrics.counts(),
        }
    }
}

impl Version {
    /// The graph of a file, by its name without `.onnx`. Without a name: the only one, or `model.onnx`.
    pub(super) fn graph(&self, stem: Option<&str>) -> Result<Graph, Vec<String>> {
        let found = match stem {
            Some(stem) => self.graphs.get(stem),
            None if self.graphs.len() == 1 => self.graphs.values().next(),
            None => self.graphs.get(MAIN),
        };
        found.cloned().ok_or_else(|| self.graphs.keys().cloned().collect())
    }
}

/// Looks at the folder of a model.
pub(super) fn look(name: &str, config: &ModelConfig) -> Result<Seen, ModelError> {
    let path = &config.path;
    let seen =
        Seen::look(path).map_err(|error| ModelError::Folder { name: name.to_owned(), path: path.clone(), reason: error.to_string() })?;
    if seen.graphs().next().is_none() {
        return Err(ModelError::Empty { name: name.to_owned(), path: path.clone() });
    }
    Ok(seen)
}

fn open(
    name: &Arc<str>,
    config: &ModelConfig,
    memory: Option<u64>,
    seen: Seen,
    backend: &dyn Backend,
    queue: &Arc<Queue>,
    metrics: &Arc<Metrics>,
) -> Result<Version, ModelError> {
    let mut graphs = BTreeMap::new();
    let total: u64 = seen.graphs().map(|(_, len)| len).sum();
    for (path, len) in seen.graphs() {
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let failed = |error: BackendError| ModelError::Graph { name: name.to_string(), path: path.to_owned(), reason: error.0 };
        // Each session has memory of its own: it gets the part of the whole that its file is.
        let part = |memory: u64| (memory as f64 * (len as f64 / total.max(1) as f64) / config.sessions.max(1) as f64) as usize;
        let options = Options { device: config.device, threads: config.threads, memory: memory.map(part) };
        let sessions = (0..config.sessions.max(1)).map(|_| backend.open(Source::File(path), &options)).collect::<Result<Vec<_>, _>>();
        let settings = Settings {
            model: name.clone(),
            name: format!("{name}/{stem}"),
            max_batch: config.max_batch,
            window: config.batch_window,
            weight: f64::from(config.weight),
        };
        if let Some(graph) = Graph::new(settings, sessions.map_err(failed)?, metrics.clone(), queue.clone()) {
            graphs.insert(stem.to_owned(), graph);
        }
    }
    Ok(Version { graphs, seen })
}
