//! From a file's bytes to a plugin that can be called: compile, link, look at the exports, ask for the list of tools.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use wasmtime::{
    Store,
    component::{Component, Instance, Linker},
};

use super::{Plugin, Route, interfaces::Interfaces, listed::Listed, offers::publish, prompts, resources, run::Failure};
use crate::{
    config::{Config, PluginConfig},
    inference::{InferenceError, Registry},
    provider::{CallContext, Offers, Tool},
    shape::shape,
    wasm::{
        compile::{Compiled, Compiler, Worker},
        engine::{EngineKind, Engines, MEMORIES_EACH, TABLES_EACH},
        folder::{Load, LoadError, Loaded, Loader, Source},
        gate::Gate,
        host::{
            bindings::{exports::toolbay::plugin::tools as wit, toolbay::plugin::types::Error},
            link,
            notify::Bell,
            outgoing::OutgoingClients,
            output::Output,
        },
        instance::{Shared, State},
        limits,
        permissions::HttpPolicy,
        typed::{self, docs::Docs},
    },
};

/// Imports through which a call can send something to the client before its answer.
const NOTIFYING: [&str; 3] = ["toolbay:plugin/client", "toolbay:plugin/log", "toolbay:plugin/progress"];

/// Everything that plugins share: engines, compiler, clients, the pool's permits.
pub struct PluginHost {
    engines: Arc<Engines>,
    compiler: Compiler,
    linkers: [OnceLock<Linker<State>>; EngineKind::ALL.len()],
    clients: Arc<OutgoingClients>,
    models: Arc<Registry>,
    pool: Arc<Semaphore>,
    config: Arc<Config>,
    /// For tests: what every plugin is given, in place of what is configured.
    #[cfg(test)]
    given: Option<PluginConfig>,
}

/// Why a host cannot run plugins at all.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] crate::wasm::engine::EngineError),
    /// No compiler.
    #[error(transparent)]
    Compiler(#[from] crate::wasm::compile::CompileError),
    /// No client for outgoing HTTP.
    #[error("cannot set up outgoing HTTP: {0}")]
    Clients(String),
    /// A model that cannot serve.
    #[error(transparent)]
    Models(#[from] InferenceError),
}

impl PluginHost {
    /// Makes the pool, opens the cache and the models.
    ///
    /// # Errors
    ///
    /// [`HostError`].
    pub fn new(config: Arc<Config>, worker: Worker) -> Result<Arc<Self>, HostError> {
        let engines = Engines::new(&config.host)?;
        let compiler = Compiler::new(engines.clone(), &config.host, worker)?;
        let clients = OutgoingClients::new().map_err(|error| HostError::Clients(error.to_string()))?;
        let models = Registry::open(&config)?;
        let pool = Arc::new(Semaphore::new(usize::try_from(config.host.instances).unwrap_or(usize::MAX)));
        Ok(Arc::new(Self {
            engines,
            compiler,
            linkers: [OnceLock::new(), OnceLock::new()],
            clients: Arc::new(clients),
            models,
            pool,
            config,
            #[cfg(test)]
            given: None,
        }))
    }

    /// The models that plugins may be given.
    #[must_use]
    pub fn models(&self) -> &Arc<Registry> {
        &self.models
    }

    #[cfg(test)]
    pub(crate) fn with_limits(config: Arc<Config>, worker: Worker, given: PluginConfig) -> Arc<Self> {
        let mut host = Self::new(config, worker).unwrap();
        Arc::get_mut(&mut host).unwrap().given = Some(given);
        host
    }

    fn linker(&self, kind: EngineKind) -> Result<&Linker<State>, LoadError> {
        let fault = |error: String| LoadError(format!("the host cannot offer its imports: {error}"));
        let [plain, other] = &self.linkers;
        let cell = match kind {
            EngineKind::Plain => plain,
            EngineKind::Async => other,
        };
        if let Some(linker) = cell.get() {
            return Ok(linker);
        }
        let engine = self.engines.get(kind).map_err(|error| fault(error.to_string()))?;
        let mut linker = Linker::new(engine);
        link(&mut linker).map_err(|error| fault(format!("{error:#}")))?;
        Ok(cell.get_or_init(|| linker))
    }

    async fn load_source(&self, source: Source) -> Result<Loaded, LoadError> {
        let id = source.id;
        let sidecar = source.sidecar.as_ref().map(|sidecar| (sidecar.text.as_str(), sidecar.path.as_path()));
        let config = self.config.for_plugin(id.as_str(), sidecar).map_err(|error| LoadError(error.to_string()))?;
        #[cfg(test)]
        let config = self.given.clone().unwrap_or(config);
        let docs = Docs::from_component(&source.bytes);
        let Compiled { component, kind, cached } =
            self.compiler.compile(source.bytes, source.digest).await.map_err(|error| LoadError(error.to_string()))?;
        tracing::debug!(plugin = %id, cached, engine = kind.name(), "code ready");
        check_resources(&component, &config)?;
        let engine = self.engines.get(kind).map_err(|error| LoadError(error.to_string()))?;
        let imports: Vec<String> = component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect();
        let pre = self.linker(kind)?.instantiate_pre(&component).map_err(|error| LoadError(cannot_link(&error)))?;
        let gate = Arc::new(Gate::new(&config.limits, self.pool.clone(), weight(&component, &self.config)));
        let shared = Arc::new(Shared {
            policy: Arc::new(HttpPolicy::new(id.as_str(), &config.grants)),
            clients: self.clients.clone(),
            models: self.models.clone(),
            output: Arc::new(Output::new(id.as_str(), config.limits.log_rate)),
            engines: self.engines.clone(),
            bell: Bell::default(),
            id,
            config,
        });
        let interfaces = Interfaces::of(&component, engine, &pre)?;
        let mut plugin = Plugin {
            engine: engine.clone(),
            pre,
            shared,
            gate: gate.clone(),
            tools: Vec::new(),
            routes: HashMap::new(),
            offers: Offers::default(),
            interfaces,
        };
        let asks_for_models = imports.iter().any(|import| import.starts_with("wasi:nn/"));
        let notifies = imports.iter().any(|import| NOTIFYING.iter().any(|name| import.starts_with(name)));
        let mut warnings = plugin.find_tools(&component, &docs, notifies).await?;
        if asks_for_models && grants_no_model(&plugin.shared) {
            let id = &plugin.shared.id;
            warnings
                .push(format!("it computes with models, and may use none; put  plugins = [\"{id}\"]  into a [model.NAME] of toolbay.toml"));
        }
        plugin.find_offers(&mut warnings).await?;
        plugin.check_offers(&warnings)?;
        let (shared, section) = (plugin.shared.clone(), format!("plugin.{}", plugin.shared.id));
        let (provider, unfit) = shape(Arc::new(plugin), &shared.config.names, &section);
        warnings.extend(unfit);
        Ok(Loaded { provider, warnings, imports, load: Arc::new(Counters(gate)) })
    }
}

impl Loader for Arc<PluginHost> {
    fn load(&self, source: Source) -> BoxFuture<'static, Result<Loaded, LoadError>> {
        let host = self.clone();
        Box::pin(async move { host.load_source(source).await })
    }
}

impl Plugin {
    /// Fills in what is on offer. Answers what is worth a warning.
    async fn find_tools(&mut self, component: &Component, docs: &Docs, notifies: bool) -> Result<Vec<String>, LoadError> {
        let overrides = self.shared.config.tools.clone();
        let described = typed::describe(&self.engine, component, docs, &overrides);
        let mut warnings = described.warnings;
        for function in described.functions {
            let function = function.with_notifies(notifies);
            self.offer(function.tool().clone(), Route::Typed(function), &mut warnings);
        }
        if self.interfaces.tools.is_some() {
            for tool in self.list_tools().await? {
                match Listed::new(tool, notifies, &overrides) {
                    Ok(listed) => self.offer(listed.tool().clone(), Route::Listed(listed), &mut warnings),
                    Err(message) => warnings.push(format!("{message}; it is not offered")),
                }
            }
        }
        for name in overrides.keys().filter(|name| !self.routes.contains_key(name.as_str())) {
            warnings.push(format!("[tools.{name}] is configured, but there is no such tool"));
        }
        if let Some(name) = self.shared.config.default_tool.as_deref().filter(|name| !self.routes.contains_key(*name)) {
            warnings.push(format!("default_tool = {name:?} is configured, but there is no such tool"));
        }
        Ok(warnings)
    }

    /// Fills in what is on offer beside tools.
    async fn find_offers(&mut self, warnings: &mut Vec<String>) -> Result<(), LoadError> {
        if self.interfaces.resources.is_some() {
            let (listed, templates) = self.list_resources().await?;
            self.offers.resources = publish("resource", listed, resources::resource, warnings);
            self.offers.templates = publish("resource template", templates, resources::template, warnings);
        }
        if self.interfaces.prompts.is_some() {
            self.offers.prompts = publish("prompt", self.list_prompts().await?, prompts::prompt, warnings);
        }
        self.offers.completes = self.interfaces.completion.is_some();
        Ok(())
    }

    /// A plugin that has nothing to offer is no plugin.
    fn check_offers(&self, warnings: &[String]) -> Result<(), LoadError> {
        let Offers { resources, templates, prompts, completes: _ } = &self.offers;
        if !(self.tools.is_empty() && resources.is_empty() && templates.is_empty() && prompts.is_empty()) {
            return Ok(());
        }
        let interfaces = &self.interfaces;
        let why = if !warnings.is_empty() {
            warnings.join("; ")
        } else if interfaces.tools.is_some() || interfaces.resources.is_some() || interfaces.prompts.is_some() {
            "its lists are empty".to_owned()
        } else {
            "it exports no function and no interface `toolbay:plugin/tools`, `resources` or `prompts`; export a function, or target the world `toolbay:plugin/plugin` or `full`".to_owned()
        };
        Err(LoadError(format!("it has no tools, no resources and no prompts: {why}")))
    }

    fn offer(&mut self, tool: Arc<Tool>, route: Route, warnings: &mut Vec<String>) {
        let name = tool.name.as_str().to_owned();
        if self.routes.contains_key(&name) {
            warnings.push(format!("there are two tools of the name {name}; the second is not offered"));
            return;
        }
        self.tools.push(tool);
        self.routes.insert(name, route);
    }

    async fn list_tools(&self) -> Result<Vec<wit::Tool>, LoadError> {
        let interface = self.interfaces.tools.as_ref();
        let tools = self.list("tools", |mut store, instance| async move {
            let guest = self.bound("tools", interface.map(|interface| interface.load(&mut store, &instance)))?;
            guest.call_list_tools(&mut store).await.map_err(|error| self.explain(&store, &error))
        });
        tools.await
    }

    /// Asks the plugin for a list, in an instance under the same limits as a call.
    pub(super) async fn list<T, F>(&self, what: &str, ask: impl FnOnce(Store<State>, Instance) -> F) -> Result<Vec<T>, LoadError>
    where
        F: Future<Output = Result<Result<Vec<T>, Error>, Failure>>,
    {
        let limit = limits::listed(&self.shared.config.limits);
        // A call of the host's own: there is nobody to notify.
        let listed = self.run(CallContext::default(), |mut store, instance| {
            // A list is text as it is: it takes the host no more than it is long.
            store.set_hostcall_fuel(limit);
            store.data_mut().listing = true;
            ask(store, instance)
        });
        match listed.await {
            Ok(Ok(listed)) => Ok(listed),
            Ok(Err(Error { message, .. })) | Err(Failure::Plugin { message, .. }) => {
                Err(LoadError(format!("it cannot list its {what}: {message}")))
            }
            Err(Failure::Call(error)) => Err(LoadError(format!("it cannot list its {what}: {error}"))),
        }
    }
}

/// The counters of a plugin, for its status.
struct Counters(Arc<Gate>);

impl Load for Counters {
    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    fn queued(&self) -> usize {
        self.0.queued()
    }
}

/// How many places of the pool an instance takes: the pool has so many memories and tables for each place, and nobody may take those of others.
fn weight(component: &Component, config: &Config) -> u32 {
    let Some(needs) = component.resources_required() else { return 1 };
    let places = needs.num_memories.div_ceil(MEMORIES_EACH).max(needs.num_tables.div_ceil(TABLES_EACH));
    places.clamp(1, config.host.instances.max(1))
}

/// Says before the first call what no call could get past.
fn check_resources(component: &Component, config: &PluginConfig) -> Result<(), LoadError> {
    let Some(needs) = component.resources_required() else { return Ok(()) };
    /// Wasmtime counts a memory's initial size in pages.
    const PAGE: u64 = 64 << 10;
    let initial = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    if initial > config.limits.memory as u64 {
        return Err(LoadError(format!(
            "it starts with {} MiB of memory, more than its limit of {} MiB; raise `memory`",
            initial >> 20,
            config.limits.memory >> 20
        )));
    }
    let elements = needs.max_initial_table_size.unwrap_or(0);
    if elements > config.limits.table_elements as u64 {
        return Err(LoadError(format!(
            "it starts with a table of {elements} elements, more than its limit of {}; raise `table_elements`",
            config.limits.table_elements
        )));
    }
    Ok(())
}

fn grants_no_model(shared: &Shared) -> bool {
    shared.config.grants.nn_load == 0 && shared.models.granted(shared.id.as_str()).next().is_none()
}

fn cannot_link(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    format!(
        "it imports what this host does not offer: {text}; plugins may import WASI 0.2 (cli, io, clocks, random, filesystem, http), wasi:nn@0.2.0-rc-2024-10-28 and toolbay:plugin 0.1"
    )
}
