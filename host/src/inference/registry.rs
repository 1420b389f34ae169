//! All models of a host: opened at the start and when the configuration changes, found by name, granted by plugin.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use arc_swap::{ArcSwap, Guard};

use super::{
    backend::{Backend, Options, Source},
    call_budget::Account,
    error::{Code, NnError},
    graph::Graph,
    graph_state::Settings,
    library::{self, LibraryError},
    metrics::{Metrics, ModelStatus},
    model::{Model, ModelError, Version},
    onnx::Onnx,
    queue::Queue,
    reload::Reloads,
    tensor::Tensor,
    worker::Workers,
};
use crate::config::{Config, Device, GpuMemory, ModelConfig};

/// Why a host cannot start with its models.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// What is wrong with each model that cannot serve.
    #[error("{}", lines(.0))]
    Models(Vec<ModelError>),
    /// No threads.
    #[error("cannot start the threads that run models: {0}")]
    Threads(std::io::Error),
}

fn lines(errors: &[ModelError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The models of a host.
pub struct Registry {
    current: ArcSwap<Models>,
    /// For graphs that plugins bring; on the CPU.
    brought: Mutex<Option<Arc<Lane>>>,
    library: Option<PathBuf>,
}

/// The models of one configuration.
#[derive(Default)]
pub struct Models {
    /// With who may use each: models are kept when only that changes.
    models: BTreeMap<String, (ModelConfig, Arc<Model>)>,
    /// Models that cannot run, since there is no runtime, with the reason.
    idle: BTreeMap<String, (ModelConfig, LibraryError)>,
    max_tensor: u64,
    lanes: BTreeMap<Device, Arc<Lane>>,
    backend: Option<Arc<dyn Backend>>,
    _reloads: Option<Reloads>,
}

/// A device's queue and its threads.
struct Lane {
    queue: Arc<Queue>,
    _workers: Workers,
}

/// What one call has loaded: it sees the models of one configuration, and one version of each, from its first look to its end.
#[derive(Default)]
pub struct Loading {
    models: Option<Arc<Models>>,
    versions: BTreeMap<String, Arc<Version>>,
}

impl Registry {
    /// Opens all models of the configuration; blocks. Without any, nothing is loaded and no thread is started.
    ///
    /// # Errors
    ///
    /// [`InferenceError`] with all that is wrong.
    pub fn open(config: &Config) -> Result<Arc<Self>, InferenceError> {
        let library = config.inference.library.clone();
        let registry = Self { current: ArcSwap::default(), brought: Mutex::new(None), library };
        registry.current.store(Arc::new(registry.prepare(config)?));
        Ok(Arc::new(registry))
    }

    /// Opens what another configuration has that is not open, and keeps what is the same; blocks. Nothing of it is used before [`Self::put`].
    ///
    /// # Errors
    ///
    /// [`InferenceError`] with all that is wrong.
    pub fn prepare(&self, config: &Config) -> Result<Models, InferenceError> {
        let before = self.current.load_full();
        let mut next = Models { max_tensor: config.inference.max_tensor, backend: before.backend.clone(), ..Models::default() };
        let mut errors = Vec::new();
        for (name, model) in &config.model {
            let lane = match next.lanes.entry(model.device) {
                Entry::Occupied(lane) => lane.into_mut(),
                Entry::Vacant(entry) => entry.insert(match before.lanes.get(&model.device) {
                    Some(lane) => lane.clone(),
                    None => Arc::new(Lane::start(model.device, &config.model)?),
                }),
            };
            if let Some((_, same)) = before.models.get(name).filter(|(before, _)| is_same(before, model)) {
                next.models.insert(name.clone(), (model.clone(), same.clone()));
                continue;
            }
            match open(name, model, self, &mut next.backend, &lane.queue) {
                Ok(opened) => drop(next.models.insert(name.clone(), (model.clone(), Arc::new(opened)))),
                // The rest of the host can do without. What was to run on a GPU is never left out in silence, nor is a library that somebody named.
                Err(ModelError::Library { error: error @ LibraryError::Missing { .. }, .. }) if model.device == Device::Cpu => {
                    if !before.idle.contains_key(name) {
                        tracing::error!(model = name, "the model is not served, everything else is: {error}");
                    }
                    next.idle.insert(name.clone(), (model.clone(), error));
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(InferenceError::Models(errors));
        }
        if let Some(backend) = next.backend.clone().filter(|_| !next.models.is_empty()) {
            let models = next.models.values().map(|(_, model)| model.clone()).collect();
            next._reloads = Some(Reloads::start(models, backend).map_err(InferenceError::Threads)?);
        }
        Ok(next)
    }

    /// Uses what was prepared, from the next call on. Calls that have looked at a model go on with those that they saw.
    pub fn put(&self, next: Models) {
        self.current.store(Arc::new(next));
    }

    /// The models as they are now.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<Models>> {
        self.current.load()
    }

    /// Bytes of one tensor that a plugin may make.
    #[must_use]
    pub fn max_tensor(&self) -> u64 {
        self.current.load().max_tensor
    }

    /// The graph that a plugin names: `MODEL/FILE`, `MODEL:FILE` (the file's name without `.onnx`), or `MODEL` alone.
    ///
    /// # Errors
    ///
    /// [`NnError`]: not there, or not granted, with the line that would grant it.
    pub fn graph(&self, plugin: &str, name: &str, loading: &mut Loading) -> Result<Graph, NnError> {
        let shown: String = name.chars().take(150).collect();
        let (model, stem) = name.split_once(['/', ':']).map_or((name, None), |(model, stem)| (model, Some(stem)));
        let models = &**loading.models.get_or_insert_with(|| self.current.load_full());
        let config = models.config(model);
        let Some(config) = config else {
            let (model, rest) = (shown.split(['/', ':']).next().unwrap_or_default(), "of toolbay.toml");
            return Err(NnError::new(
                Code::NotFound,
                format!("there is no model {model:?}; [model.{model}] {rest} with its `path` makes it"),
            ));
        };
        if !config.plugins.iter().any(|granted| granted == plugin) {
            let mut plugins = config.plugins.clone();
            plugins.push(plugin.to_owned());
            return Err(NnError::new(
                Code::Security,
                format!(
                    "plugin {plugin} may not use the model {model}; to allow it, put  plugins = {plugins:?}  into [model.{model}] of toolbay.toml"
                ),
            ));
        }
        let found = models.serving(model)?;
        let version = loading.versions.entry(model.to_owned()).or_insert_with(|| found.version());
        of_version(version, model, stem, &shown)
    }

    /// A graph that the host itself uses, as it is at the moment, and the folder of its model. It is named as plugins name it, and needs no grant.
    ///
    /// # Errors
    ///
    /// [`NnError`]: not there.
    pub fn own_graph(&self, name: &str) -> Result<(Graph, PathBuf), NnError> {
        let (model, stem) = name.split_once('/').map_or((name, None), |(model, stem)| (model, Some(stem)));
        let models = self.current.load();
        let found = models.serving(model)?;
        Ok((of_version(&found.version(), model, stem, name)?, found.config.path.clone()))
    }

    /// Opens a graph that a plugin brings, on the CPU; blocks. Its bytes are on the account, as a tensor, for as long as the graph is used.
    ///
    /// # Errors
    ///
    /// [`NnError`], where there is no runtime, or it refuses the graph.
    pub fn bring(&self, account: &Arc<Account>, bytes: Vec<u8>) -> Result<(Graph, Tensor), NnError> {
        let begin = Instant::now();
        let len = u32::try_from(bytes.len()).map_err(|_| NnError::new(Code::TooLarge, "the graph is larger than 4 GiB"))?;
        let held = Tensor::held(account, bytes, len)?;
        let bytes = held.brought();
        let library = library::load(self.library.as_deref()).map_err(|error| NnError::new(Code::Unsupported, error.to_string()))?;
        let lane = {
            let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
            match &*brought {
                Some(lane) => lane.clone(),
                None => {
                    let lane =
                        Lane::start(Device::Cpu, &BTreeMap::new()).map_err(|error| NnError::new(Code::Runtime, error.to_string()))?;
                    brought.insert(Arc::new(lane)).clone()
                }
            }
        };
        let options = Options { device: Device::Cpu, threads: 1, memory: None };
        let session =
            Onnx::new(library).open(Source::Bytes(bytes), &options).map_err(|error| NnError::new(Code::InvalidEncoding, error.0))?;
        let settings = Settings {
            model: format!("{}'s own", account.plugin()).into(),
            name: "the graph".to_owned(),
            max_batch: 1,
            window: std::time::Duration::ZERO,
            weight: 1.0,
        };
        let graph = Graph::new(settings, vec![session], Arc::new(Metrics::default()), lane.queue.clone());
        account.spend(begin.elapsed());
        graph.map(|graph| (graph, held)).ok_or_else(|| NnError::new(Code::Runtime, "the graph has no session"))
    }

    /// How all models stand, by name.
    #[must_use]
    pub fn statuses(&self) -> Vec<ModelStatus> {
        let models = self.current.load();
        let mut statuses: Vec<_> = models.models.values().map(|(config, model)| model.status(config)).collect();
        statuses.extend(models.idle.iter().map(|(name, (config, error))| ModelStatus::idle(name, config, error.to_string())));
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
        statuses
    }
}

impl Models {
    /// The folders of the models that a plugin may use, by the models' names.
    pub fn granted<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = (&'a str, &'a Path)> {
        let serving = self.models.iter().map(|(name, (config, _))| (name, config));
        let all = serving.chain(self.idle.iter().map(|(name, (config, _))| (name, config)));
        let granted = all.filter(move |(_, config)| config.plugins.iter().any(|granted| granted == plugin));
        granted.map(|(name, config)| (name.as_str(), config.path.as_path()))
    }

    fn serving(&self, model: &str) -> Result<&Arc<Model>, NnError> {
        self.models.get(model).map(|(_, found)| found).ok_or_else(|| {
            let why = self.idle.get(model).map_or_else(|| "there is no such model".to_owned(), |(_, error)| error.to_string());
            NnError::new(Code::Unsupported, format!("the model {model} does not serve: {why}"))
        })
    }

    fn config(&self, model: &str) -> Option<&ModelConfig> {
        let serving = self.models.get(model).map(|(config, _)| config);
        serving.or_else(|| self.idle.get(model).map(|(config, _)| config))
    }
}

/// A graph of one version of a model, or the names of those that it has.
fn of_version(version: &Version, model: &str, stem: Option<&str>, shown: &str) -> Result<Graph, NnError> {
    version.graph(stem.map(|stem| stem.strip_suffix(".onnx").unwrap_or(stem))).map_err(|graphs| {
        let graphs: Vec<String> = graphs.iter().map(|stem| format!("{model}/{stem}")).collect();
        NnError::new(Code::NotFound, format!("the model {model} has no graph {shown:?}; it has {}", graphs.join(", ")))
    })
}

/// Whether two configurations make the same model: who may use it does not count.
fn is_same(a: &ModelConfig, b: &ModelConfig) -> bool {
    ModelConfig { plugins: Vec::new(), ..a.clone() } == ModelConfig { plugins: Vec::new(), ..b.clone() }
}

impl Lane {
    fn start(device: Device, models: &BTreeMap<String, ModelConfig>) -> Result<Self, InferenceError> {
        // More runs at once than a GPU has use for only take memory.
        const GPU: usize = 4;
        let count = match device {
            Device::Cpu => thread::available_parallelism().map_or(1, usize::from),
            Device::Cuda(_) => {
                models.values().filter(|model| model.device == device).map(|model| model.sessions).sum::<usize>().clamp(1, GPU)
            }
        };
        let queue = Queue::new();
        let workers = Workers::start(&device.to_string(), count, &queue).map_err(InferenceError::Threads)?;
        Ok(Self { queue, _workers: workers })
    }
}

fn open(
    name: &str,
    config: &ModelConfig,
    registry: &Registry,
    backend: &mut Option<Arc<dyn Backend>>,
    queue: &Arc<Queue>,
) -> Result<Model, ModelError> {
    // What can be said without the runtime is said first.
    super::model::look(name, config)?;
    let backend = match backend {
        Some(backend) => backend,
        None => {
            let library =
                library::load(registry.library.as_deref()).map_err(|error| ModelError::Library { name: name.to_owned(), error })?;
            backend.insert(Arc::new(Onnx::new(library)))
        }
    };
    let memory = memory(name, config)?;
    Model::open(name, config, memory, &**backend, queue.clone())
}

/// Bytes of a GPU that a model may take.
fn memory(name: &str, config: &ModelConfig) -> Result<Option<u64>, ModelError> {
    let (GpuMemory::Share(share), Device::Cuda(number)) = (
        match config.gpu_memory {
            None => return Ok(None),
            Some(GpuMemory::Bytes(bytes)) => return Ok(Some(bytes)),
            Some(share) => share,
        },
        config.device,
    ) else {
        return Ok(None);
    };
    let failed = |reason: String| ModelError::Memory { name: name.to_owned(), device: config.device.to_string(), reason };
    let output = std::process::Command::new("nvidia-smi")
        .args(["--query-gpu=memory.total", "--format=csv,noheader,nounits", &format!("--id={number}")])
        .output()
        .map_err(|error| failed(format!("cannot run nvidia-smi: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mebibytes: u64 = text.trim().parse().map_err(|_| failed(format!("nvidia-smi said {:?}", text.trim())))?;
    Ok(Some(((mebibytes << 20) as f64 * share) as u64))
}
