//! From a file's bytes to a plugin that can be called: compile, link, look at the exports, ask for the list of tools.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre, Linker, types::ComponentItem};

use super::{Failure, Plugin, Route, listed::Listed, own_call};
use crate::{
    config::{Config, PluginConfig},
    provider::Tool,
    wasm::{
        compile::{Compiled, Compiler, Worker},
        engine::{EngineKind, Engines},
        folder::{Load, LoadError, Loaded, Loader, Source},
        gate::Gate,
        host::{bindings::exports::toolbay::plugin::tools::GuestIndices, link, outgoing::OutgoingClients, output::Output},
        instance::{self, Shared, State},
        limits::{self, Exceeded, exceeded},
        permissions::HttpPolicy,
        typed::{self, docs::Docs},
    },
};

/// The interface that a plugin exports to list its tools itself.
const TOOLS: &str = "toolbay:plugin/tools@0.1.0";

/// Imports through which a call can send something to the client before its answer.
const NOTIFYING: [&str; 2] = ["toolbay:plugin/log", "toolbay:plugin/progress"];

/// Everything that plugins share: engines, compiler, clients, the pool's permits.
pub struct PluginHost {
    engines: Arc<Engines>,
    compiler: Compiler,
    linkers: [OnceLock<Linker<State>>; EngineKind::ALL.len()],
    clients: Arc<OutgoingClients>,
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
}

impl PluginHost {
    /// Makes the pool, opens the cache.
    ///
    /// # Errors
    ///
    /// [`HostError`].
    pub fn new(config: Arc<Config>, worker: Worker) -> Result<Arc<Self>, HostError> {
        let engines = Engines::new(&config.host)?;
        let compiler = Compiler::new(engines.clone(), &config.host, worker)?;
        let clients = OutgoingClients::new().map_err(|error| HostError::Clients(error.to_string()))?;
        let pool = Arc::new(Semaphore::new(usize::try_from(config.host.instances).unwrap_or(usize::MAX)));
        Ok(Arc::new(Self {
            engines,
            compiler,
            linkers: [OnceLock::new(), OnceLock::new()],
            clients: Arc::new(clients),
            pool,
            config,
            #[cfg(test)]
            given: None,
        }))
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
        let gate = Arc::new(Gate::new(&config.limits, self.pool.clone()));
        let shared = Arc::new(Shared {
            policy: Arc::new(HttpPolicy::new(id.as_str(), &config.grants)),
            clients: self.clients.clone(),
            output: Arc::new(Output::new(id.as_str(), config.limits.log_rate)),
            engines: self.engines.clone(),
            id,
            config,
        });
        let interface = exports_tools(&component, engine);
        let mut plugin = Plugin {
            engine: engine.clone(),
            interface: if interface { Some(tools_interface(&pre)?) } else { None },
            pre,
            shared,
            gate: gate.clone(),
            tools: Vec::new(),
            routes: HashMap::new(),
        };
        let notifies = imports.iter().any(|import| NOTIFYING.iter().any(|name| import.starts_with(name)));
        let warnings = plugin.find_tools(&component, &docs, notifies).await?;
        Ok(Loaded { provider: Arc::new(plugin), warnings, imports, load: Arc::new(Counters(gate)) })
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
        if self.interface.is_some() {
            for tool in self.list().await? {
                match Listed::new(tool, notifies, &overrides) {
                    Ok(listed) => self.offer(listed.tool().clone(), Route::Listed(listed), &mut warnings),
                    Err(message) => warnings.push(format!("{message}; it is not offered")),
                }
            }
        }
        for name in overrides.keys().filter(|name| !self.routes.contains_key(name.as_str())) {
            warnings.push(format!("[tools.{name}] is configured, but there is no such tool"));
        }
        if self.tools.is_empty() {
            let why = if warnings.is_empty() {
                "it exports no function and no interface `toolbay:plugin/tools`; export a function, or target the world `toolbay:plugin/plugin`".to_owned()
            } else {
                warnings.join("; ")
            };
            return Err(LoadError(format!("it has no tools: {why}")));
        }
        Ok(warnings)
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

    /// Asks the plugin for its tools, in an instance under the same limits as a call.
    async fn list(&self) -> Result<Vec<crate::wasm::host::bindings::exports::toolbay::plugin::tools::Tool>, LoadError> {
        let failed = |failure| match failure {
            Failure::Plugin(message) => LoadError(format!("it cannot list its tools: {message}")),
            Failure::Call(error) => LoadError(format!("it cannot list its tools: {error}")),
        };
        let given = &self.shared.config.limits;
        let listing = async {
            let _permit = self.gate.enter(&self.shared.id).await.map_err(Failure::Call)?;
            let mut store = instance::store(&self.engine, &self.shared, own_call());
            // A list is text as it is: it takes the host no more than it is long.
            store.set_hostcall_fuel(limits::listed(given));
            let instance = self.instantiate(&mut store).await?;
            let guest = self.guest(&mut store, instance)?;
            let listed = guest.call_list_tools(&mut store).await;
            let listed = listed.map_err(|error| match exceeded(&error, &store.data().limiter, given) {
                Some(Exceeded::Copied(_)) => Failure::Plugin(self.over(Exceeded::Listed(limits::listed(given)))),
                _ => self.explain(&store, &error),
            })?;
            listed.map_err(|error| Failure::Plugin(error.message))
        };
        match tokio::time::timeout(given.timeout, listing).await {
            Ok(listed) => listed.map_err(failed),
            Err(_) => Err(failed(Failure::Plugin(self.over(Exceeded::Timeout(given.timeout))))),
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

fn exports_tools(component: &Component, engine: &wasmtime::Engine) -> bool {
    component
        .component_type()
        .exports(engine)
        .any(|(name, item)| name.starts_with("toolbay:plugin/tools@") && matches!(item.ty, ComponentItem::ComponentInstance(_)))
}

fn tools_interface(pre: &InstancePre<State>) -> Result<GuestIndices, LoadError> {
    GuestIndices::new(pre).map_err(|error| {
        LoadError(format!("its interface `toolbay:plugin/tools` is not the one that this host knows ({TOOLS}): {error:#}"))
    })
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

fn cannot_link(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    format!(
        "it imports what this host does not offer: {text}; plugins may import WASI 0.2 (cli, io, clocks, random, filesystem, http) and toolbay:plugin 0.1"
    )
}
