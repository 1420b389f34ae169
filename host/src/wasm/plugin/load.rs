//! From a file's bytes to a plugin that can be called: compile, link, look at the exports, ask for the list of tools.

mod again;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::{
    Engine, Store,
    component::{Component, Instance, InstancePre, Linker},
};

use super::{
    Code, Plugin,
    described::Common,
    http,
    interfaces::Interfaces,
    kept::{self, Kept},
    listing::{Origin, Warnings},
    on_demand::Version,
    optimised::{Optimising, Parts},
    residents::{ResidentCounts, Residents},
    run::Failure,
};
use crate::{
    config::{Config, HostConfig, PluginConfig, PluginView},
    inference::{InferenceError, Registry},
    offload::Offload,
    provider::{CompiledStatus, Offers, ProviderId},
    store::Store as KeyValues,
    threads,
    wasm::{
        admission::{AdmissionQueue, Pool, Reclaim},
        compile::{CompileCounts, Compiled, Compiler, Worker, headroom::HEADROOM},
        cpu_share::CpuShare,
        engine::{EngineKind, Engines, MEMORIES_EACH, TABLES_EACH, Target, Tier},
        folder::{LoadError, Loaded, Loader, Source},
        imports::{
            bindings::{exports::toolbay::plugin::tools as wit, toolbay::plugin::types::Error},
            files::OpenFiles,
            link,
            notify::{ChangeSignal, Lists},
            outgoing::OutgoingClients,
            output::Output,
        },
        instance::{Shared, State},
        lanes::Pace,
        limits,
        permissions::HttpPolicy,
        typed::{self, docs::Docs},
    },
};

/// Imports through which a call can send something to the client before its answer, or ask what the client can and wants.
const NOTIFYING: [&str; 6] =
    [CALLING, "toolbay:plugin/client", "toolbay:plugin/context", "toolbay:plugin/log", "toolbay:plugin/progress", "toolbay:plugin/task"];

/// The import by which a plugin calls tools.
const CALLING: &str = "toolbay:plugin/calls";

/// The import by which a plugin asks its caller.
const ASKING: &str = "toolbay:plugin/client";

/// Compiling that takes longer is told in the log.
const QUIET: Duration = Duration::from_millis(1500);

/// Packages whose interfaces the host offers.
const OFFERED: [&str; 11] = [
    "toolbay:plugin/",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:config/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:keyvalue/",
    "wasi:nn/",
    "wasi:random/",
    "wasi:sockets/",
];

/// The import through which a plugin says that something has changed.
const TELLING: &str = "toolbay:plugin/notify";

/// Everything that plugins share: engines, compiler, clients, the pool's permits.
pub struct PluginHost {
    engines: Arc<Engines>,
    compiler: Compiler,
    /// For Cranelift's code. Those for Winch's are made for each plugin, as they would keep the engine from going.
    linkers: [OnceLock<Linker<State>>; EngineKind::ALL.len()],
    /// Nothing is served any more: what nobody waits for ends.
    ended: CancellationToken,
    clients: Arc<OutgoingClients>,
    models: Arc<Registry>,
    store: Arc<KeyValues>,
    pool: Arc<Pool>,
    config: ArcSwap<Config>,
    /// What the configuration said of each plugin when that was asked for last, and the number of it.
    views: Mutex<Views>,
    /// Who is in memory, where not all plugins are to be.
    residents: Arc<Residents>,
    /// Loads for calls at a time.
    loads: Semaphore,
    common: Arc<Common>,
    /// The configuration that a plugin had last, and what descriptions are kept by that were made with it: most plugins have the same.
    last: Mutex<Option<LastConfig>>,
    /// What a plugin may keep that is granted no size.
    store_quota: u64,
    /// What the pool was made for.
    limits: HostConfig,
    /// For tests: what every plugin is given, in place of what is configured.
    #[cfg(test)]
    given: Option<PluginConfig>,
}

/// A configuration, and what descriptions are kept by that were made with it.
type LastConfig = (Arc<PluginConfig>, Option<Arc<str>>);

/// What the configuration said of plugins.
#[derive(Default)]
struct Views {
    of: HashMap<ProviderId, (Arc<PluginView>, u64)>,
    /// That of the plugin that was asked for last: it says the same of most.
    last: Option<Arc<PluginView>>,
}

impl Views {
    fn shared(&mut self, view: PluginView) -> Arc<PluginView> {
        match &self.last {
            Some(last) if **last == view => Arc::clone(last),
            _ => Arc::clone(self.last.insert(Arc::new(view))),
        }
    }
}

/// How the pool of instances stands.
#[derive(Clone, Copy, Debug)]
pub struct PoolCounts {
    /// Places that are used.
    pub used: usize,
    /// Places that are free.
    pub free: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Bytes of memory that running instances may touch.
    pub memory: usize,
    /// How many of these there may be.
    pub memory_limit: usize,
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
    pub fn new(config: Arc<Config>, worker: Worker, store: Arc<KeyValues>) -> Result<Arc<Self>, HostError> {
        let engines = Engines::new(&config.host)?;
        let compiler = Compiler::new(engines.clone(), &config.host, worker)?;
        let clients = OutgoingClients::new().map_err(|error| HostError::Clients(error.to_string()))?;
        let models = Registry::open(&config)?;
        let pool = Pool::new(usize::try_from(config.host.instances).unwrap_or(usize::MAX));
        let ended = CancellationToken::new();
        Ok(Arc::new(Self {
            engines,
            compiler,
            linkers: [OnceLock::new(), OnceLock::new()],
            residents: Residents::new(config.host.loaded_plugins, ended.clone()),
            loads: Semaphore::new(2 * threads::cores()),
            common: Arc::default(),
            last: Mutex::default(),
            ended,
            clients: Arc::new(clients),
            models,
            store,
            pool,
            store_quota: config.store.quota,
            limits: config.host.clone(),
            config: ArcSwap::new(config),
            views: Mutex::default(),
            #[cfg(test)]
            given: None,
        }))
    }

    /// Goes by another configuration: plugins that are loaded from now on are given what it says.
    pub fn reconfigure(&self, config: Arc<Config>) {
        self.config.store(config);
    }

    /// How the pool stands.
    #[must_use]
    pub fn pool(&self) -> PoolCounts {
        let (used, free, waiting) = self.pool.counts();
        let (memory, memory_limit) = self.engines.memory().counts();
        PoolCounts { used, free, waiting, memory, memory_limit }
    }

    /// What was compiled.
    #[must_use]
    pub fn compiled(&self) -> CompileCounts {
        self.compiler.counts()
    }

    /// What was loaded when it was called, and dropped again.
    #[must_use]
    pub fn resident_counts(&self) -> ResidentCounts {
        self.residents.counts()
    }

    /// What plugins remember, and the host for itself.
    #[must_use]
    pub fn key_values(&self) -> &Arc<KeyValues> {
        &self.store
    }

    /// The models that plugins may be given.
    #[must_use]
    pub fn models(&self) -> &Arc<Registry> {
        &self.models
    }

    #[cfg(test)]
    pub(crate) fn with_limits(config: Arc<Config>, worker: Worker, given: PluginConfig) -> Arc<Self> {
        let store = KeyValues::new(&config.store, None);
        let mut host = Self::new(config, worker, store).unwrap();
        Arc::get_mut(&mut host).unwrap().given = Some(given);
        host
    }

    /// Links code with what the host offers.
    fn linked(&self, engine: &Engine, compiled: &Compiled, imports: &[String]) -> Result<InstancePre<State>, LoadError> {
        let fault = |error: String| LoadError(format!("the host cannot offer its imports: {error}"));
        let make = || {
            let mut linker = Linker::new(engine);
            link(&mut linker).map_err(|error| fault(format!("{error:#}")))?;
            Ok::<_, LoadError>(linker)
        };
        let [plain, other] = &self.linkers;
        let cell = match compiled.target {
            Target { tier: Tier::Winch, .. } => None,
            Target { kind: EngineKind::Plain, .. } => Some(plain),
            Target { kind: EngineKind::Async, .. } => Some(other),
        };
        let own;
        let linker = match cell {
            None => {
                own = make()?;
                &own
            }
            Some(cell) => match cell.get() {
                Some(linker) => linker,
                None => {
                    let linker = make()?;
                    cell.get_or_init(|| linker)
                }
            },
        };
        linker.instantiate_pre(&compiled.component).map_err(|error| LoadError(cannot_link(imports, &error)))
    }

    /// Compiles, and says so where it takes a while: nothing else would tell why a plugin does not serve yet.
    async fn compile(&self, id: &ProviderId, bytes: Bytes, digest: blake3::Hash) -> Result<Compiled, LoadError> {
        let (size, begun) = (bytes.len(), Instant::now());
        let mut compiling = std::pin::pin!(self.compiler.compile(bytes, digest));
        let compiled = tokio::select! {
            biased;
            compiled = &mut compiling => compiled,
            () = tokio::time::sleep(QUIET) => {
                tracing::info!(plugin = %id, bytes = size, "compiling; once, and up to a minute where an interpreter is in it");
                let compiled = compiling.await;
                if compiled.is_ok() {
                    tracing::info!(plugin = %id, seconds = begun.elapsed().as_secs(), "compiled");
                }
                compiled
            }
        };
        compiled.map_err(|error| LoadError(error.to_string()))
    }

    /// The way into a plugin. `calls`: whether its tools call others.
    fn gate(&self, config: &PluginConfig, weight: u32, calls: bool) -> Result<Arc<AdmissionQueue>, LoadError> {
        let gate = AdmissionQueue::new(&config.limits, self.pool.clone(), weight);
        if !calls {
            return Ok(Arc::new(gate));
        }
        if !self.pool.has_room_for_calling(weight) {
            return Err(LoadError(format!(
                "its tools call others, and an instance takes {weight} places of the pool, so that none would be left for what they call; raise `instances` in [host]"
            )));
        }
        Ok(Arc::new(gate.calling()))
    }

    async fn load_source(self: &Arc<Self>, source: Source) -> Result<Loaded, LoadError> {
        let config = self.config_of(&source)?;
        let id = source.id.clone();
        let mut loaded = match self.described_before(&source, &config).await {
            Some(loaded) => loaded,
            None => self.load_whole(source, &config).await?,
        };
        let grants_no_model = config.grants.nn_load == 0 && self.models.current().granted(id.as_str()).next().is_none();
        if grants_no_model && loaded.imports.iter().any(|import| import.starts_with("wasi:nn/")) {
            let told = format!("it uses models, and none is granted; put  plugins = [\"{id}\"]  into a [model.NAME] of toolbay.toml");
            loaded.warnings.push(told);
        }
        Ok(loaded)
    }

    /// What is configured of a plugin, once for all of which the same is.
    fn config_of(&self, source: &Source) -> Result<Arc<PluginConfig>, LoadError> {
        let sidecar = source.sidecar.as_ref().map(|sidecar| (sidecar.text.as_str(), sidecar.path.as_path()));
        let config = self.config.load().for_plugin(source.id.as_str(), sidecar).map_err(|error| LoadError(error.to_string()))?;
        #[cfg(test)]
        let config = self.given.clone().unwrap_or(config);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, _)) = last.as_ref().filter(|(last, _)| **last == config) {
            return Ok(Arc::clone(last));
        }
        let config = Arc::new(config);
        *last = Some((Arc::clone(&config), None));
        Ok(config)
    }

    /// Compiles it, or takes the code that there is, and asks it what it offers.
    async fn load_whole(self: &Arc<Self>, source: Source, config: &Arc<PluginConfig>) -> Result<Loaded, LoadError> {
        let Source { id, path, bytes, digest, .. } = source;
        let bytes = self.compiler.component_of(bytes).await.map_err(|error| LoadError(error.to_string()))?;
        let docs = Arc::new(Docs::from_component(&bytes));
        let compiled = self.compile(&id, bytes.clone(), digest).await?;
        let Compiled { target, cached, .. } = &compiled;
        tracing::debug!(plugin = %id, cached, engine = target.name(), "code ready");
        let version = self.residents.are_too_many().then(|| {
            let settings = self.settings_of(config);
            Version::new(self.clone(), (id.clone(), path, digest), config.clone(), settings, Some(Arc::default()))
        });
        let bell = version.as_ref().and_then(|version| version.bell.clone()).unwrap_or_default();
        let (parts, engine, pre) = self.prepare((&id, digest), config, docs, &compiled, bell, None)?;
        let improves = self.compiler.improves(compiled.target.tier);
        let optimising = improves.then(|| Optimising::new(self.clone(), bytes, parts.clone(), version.clone()));
        let code = assemble(&parts, engine, pre, compiled, optimising)?;
        if code.serves_mcp() { http::load(code).await } else { Ok(Plugin::load(code).await?.published(version).await) }
    }

    /// Links code, and makes what its calls share. `still`: what calls share that run on code of the same version.
    pub(super) fn prepare(
        &self,
        (id, digest): (&ProviderId, blake3::Hash),
        config: &Arc<PluginConfig>,
        docs: Arc<Docs>,
        compiled: &Compiled,
        bell: Arc<ChangeSignal>,
        still: Option<(Arc<Shared>, Arc<AdmissionQueue>)>,
    ) -> Result<(Parts, Engine, InstancePre<State>), LoadError> {
        let component = &compiled.component;
        check_resources(component, config, &self.limits)?;
        let engine = self.engines.get(compiled.target).map_err(|error| LoadError(error.to_string()))?;
        let imports: Vec<String> = component.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect();
        let pre = self.linked(&engine, compiled, &imports)?;
        let imports_any = |names: &[&str]| imports.iter().any(|import| names.iter().any(|name| import.starts_with(name)));
        let (notifies, tells, asks) = (imports_any(&NOTIFYING), imports_any(&[TELLING]), imports_any(&[ASKING]));
        let calls = imports_any(&[CALLING]);
        let (shared, gate) = match still {
            Some(still) => still,
            None => {
                let gate = self.gate(config, weight(component, &self.limits), calls)?;
                (self.shared(id, config, bell, typed::is_python(&engine, component), calls), gate)
            }
        };
        Ok((Parts { shared, gate, digest, docs, imports: imports.into(), notifies, tells, asks }, engine, pre))
    }

    /// What all calls of a version of a plugin share.
    fn shared(&self, id: &ProviderId, config: &Arc<PluginConfig>, bell: Arc<ChangeSignal>, is_python: bool, calls: bool) -> Arc<Shared> {
        let (id, config) = (id.clone(), Arc::clone(config));
        Arc::new(Shared {
            policy: Arc::new(HttpPolicy::new(id.as_str(), &config.grants)),
            clients: self.clients.clone(),
            models: self.models.clone(),
            store: self.store.clone(),
            store_quota: config.grants.store.bytes(self.store_quota),
            output: Arc::new(Output::new(id.as_str(), config.limits.log_rate)),
            engines: self.engines.clone(),
            bell,
            memory: self.engines.memory().plugin(),
            pace: Pace::new(self.engines.clone(), config.limits.cpu.map(|cpu| CpuShare::new(id.clone(), cpu))),
            open_files: OpenFiles::new(config.limits.open_files),
            offload: Offload::default(),
            is_python,
            calls,
            id,
            config,
        })
    }
}

impl PluginHost {
    /// The optimised code of a plugin that serves from early code.
    pub(super) async fn optimise(&self, bytes: Bytes, parts: &Parts) -> Result<Arc<Code>, LoadError> {
        let compiled = self.compiler.optimise(bytes, parts.digest).await.map_err(|error| LoadError(error.to_string()))?;
        let engine = self.engines.get(compiled.target).map_err(|error| LoadError(error.to_string()))?;
        let pre = self.linked(&engine, &compiled, &parts.imports)?;
        assemble(parts, engine, pre, compiled, None)
    }

    /// Who is in memory, where not all plugins are to be.
    pub(super) fn residents(&self) -> &Arc<Residents> {
        &self.residents
    }

    /// Nothing is served any more.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// Makes of code that is linked what can be called.
pub(super) fn assemble(
    parts: &Parts,
    engine: Engine,
    pre: InstancePre<State>,
    compiled: Compiled,
    optimising: Option<Optimising>,
) -> Result<Arc<Code>, LoadError> {
    let Compiled { component, target, is_kept, .. } = compiled;
    let Parts { shared, gate, digest, docs, imports, notifies, tells, asks } = parts.clone();
    let interfaces = Interfaces::of(&component, &engine, &pre)?;
    let origin = Origin { digest, component, docs, imports, notifies, tells };
    let kept = Kept::new(&shared.config, asks);
    let asked = Kept::between_questions(&shared.config, interfaces.guards());
    for kept in kept.iter().chain(&asked) {
        let spare: Arc<dyn Reclaim> = kept.clone();
        gate.spares(Arc::downgrade(&spare));
        // Ended when the plugin is gone.
        tokio::spawn(kept::expire(Arc::downgrade(kept)));
    }
    let made = CompiledStatus { by: target.tier.name(), since: SystemTime::now() };
    let reached = Arc::default();
    Ok(Arc::new(Code { engine, pre, shared, gate, interfaces, origin, kept, asked, made, target, is_kept, reached, optimising }))
}

impl Loader for Arc<PluginHost> {
    fn load(&self, source: Source) -> BoxFuture<'static, Result<Loaded, LoadError>> {
        let host = self.clone();
        Box::pin(async move { host.load_source(source).await })
    }

    fn end(&self) {
        self.ended.cancel();
    }

    fn configuration(&self, id: &ProviderId) -> u64 {
        let now = self.config.load().plugin_view(id.as_str());
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let now = views.shared(now);
        let (view, number) = views.of.entry(id.clone()).or_insert_with(|| (now.clone(), 0));
        if *view != now {
            *number += 1;
        }
        *view = now;
        *number
    }

    fn expect(&self, plugins: usize) {
        self.residents.expect(plugins);
    }
}

impl Plugin {
    pub(super) async fn load(code: Arc<Code>) -> Result<Arc<Self>, LoadError> {
        let plugin = Self { code, tools: Vec::new(), routes: Arc::default(), offers: Offers::default(), warnings: Warnings::default() };
        let plugin = plugin.listed(Lists::ALL).await?;
        plugin.check_offers()?;
        Ok(Arc::new(plugin))
    }

    pub(super) async fn list_tools(&self) -> Result<Vec<wit::Tool>, LoadError> {
        let tools = self.code.list("tools", |code, mut store, instance| async move {
            let guest = code.bound("tools", code.interfaces.tools.as_ref().map(|interface| interface.load(&mut store, &instance)))?;
            guest.call_list_tools(&mut store).await.map_err(|error| code.explain(&store, &error))
        });
        tools.await
    }
}

impl Code {
    /// Whether it is an MCP server over HTTP, and nothing else.
    fn serves_mcp(&self) -> bool {
        let Self { engine, interfaces, origin, .. } = self;
        let has_functions = || !typed::describe(engine, &origin.component, &origin.docs, &BTreeMap::new()).functions.is_empty();
        interfaces.http.is_some() && !interfaces.any_of_contract() && !has_functions()
    }

    /// Asks the plugin for a list, in an instance under the same limits as a call.
    pub(super) async fn list<T, F>(
        self: &Arc<Self>,
        what: &str,
        ask: impl FnOnce(Arc<Self>, Store<State>, Instance) -> F + Send + 'static,
    ) -> Result<Vec<T>, LoadError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Result<Vec<T>, Error>, Failure>> + Send,
    {
        let limit = limits::listed(&self.shared.config.limits);
        let listed = self.run_noted(self.reached.clone(), move |code, mut store, instance| {
            // A list is text as it is: it takes the host no more than it is long.
            store.set_hostcall_fuel(limit);
            store.data_mut().listing = true;
            ask(code, store, instance)
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

/// How many places of the pool an instance takes: the pool has so many memories and tables for each place, and nobody may take those of others.
fn weight(component: &Component, host: &HostConfig) -> u32 {
    let Some(needs) = component.resources_required() else { return 1 };
    let places = needs.num_memories.div_ceil(MEMORIES_EACH).max(needs.num_tables.div_ceil(TABLES_EACH));
    places.clamp(1, host.instances.max(1))
}

/// Says before the first call what no call could get past.
fn check_resources(component: &Component, config: &PluginConfig, host: &HostConfig) -> Result<(), LoadError> {
    if config.limits.memory > host.max_memory {
        return Err(LoadError(format!(
            "its `memory` is {} MiB, and this host was started with a max_memory of {} MiB in [host]; start it again to give it more",
            config.limits.memory >> 20,
            host.max_memory >> 20
        )));
    }
    let Some(needs) = component.resources_required() else { return Ok(()) };
    /// Wasmtime counts a memory's initial size in pages.
    const PAGE: u64 = 64 << 10;
    let initial = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    // What a memory has for its guest to grow is not part of it. A memory that has none is refused by the first instance.
    if initial.saturating_sub(HEADROOM as u64) > config.limits.memory as u64 {
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

/// Names the interfaces that are missing. The linker names the first function of one, and not always what it belongs to.
fn cannot_link(imports: &[String], error: &wasmtime::Error) -> String {
    const MAY: &str = "plugins may import WASI 0.2 (cli, io, clocks, random, filesystem, http), wasi:nn@0.2.0-rc-2024-10-28, wasi:keyvalue@0.2.0-draft, wasi:config@0.2.0-rc.1 (or -draft) and toolbay:plugin 0.1";
    let unknown: Vec<String> =
        imports.iter().filter(|name| !OFFERED.iter().any(|package| name.starts_with(package))).map(|name| format!("`{name}`")).collect();
    if unknown.is_empty() {
        return format!("it imports what this host does not offer, or offers in another version: {error:#}; {MAY}");
    }
    format!("it imports {}, which this host does not offer; build it without, or for a world without it; {MAY}", unknown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_import_is_told_by_the_name_of_its_interface() {
        let error = wasmtime::Error::msg("instance export `get` has the wrong type");
        let told = cannot_link(&["wasi:cli/stdout@0.2.0".to_owned(), "wasi:blobstore/blobstore@0.2.0-draft".to_owned()], &error);
        assert!(told.starts_with("it imports `wasi:blobstore/blobstore@0.2.0-draft`, which this host does not offer"), "{told}");
        let told = cannot_link(&["wasi:cli/stdout@9.0.0".to_owned()], &error);
        assert!(told.contains("in another version: instance export `get`"), "{told}");
    }
}
