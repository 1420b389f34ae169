//! One instance's state: what WASI and our own imports work on while a call runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use wasmtime::{Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{FsPerms, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    admission::Turn,
    engine::Engines,
    epoch_ticker::TickGuard,
    imports::{
        files::{CallFiles, OpenFiles},
        nn::Nn,
        notify::ChangeSignal,
        outgoing::{Outgoing, OutgoingClients},
        output::{Output, Stream},
    },
    lanes::Pace,
    limits::{self, Exceeded, Limiter, Overrun},
    memory::PluginMemory,
    permissions::{HttpPolicy, Refusals},
};
use crate::{
    composition::{Deadline, Told},
    config::{DirGrant, PluginConfig},
    inference::Registry,
    offload::Offload,
    provider::{CallContext, CallError, ProviderId},
    store::Store as KeyValues,
};

/// What all calls of one version of a plugin share.
pub(crate) struct Shared {
    pub(crate) id: ProviderId,
    /// For their clock: without it a guest that spins is never interrupted.
    pub(crate) engines: Arc<Engines>,
    pub(crate) config: Arc<PluginConfig>,
    /// Whether CPython is in it, which looks for its modules in folders of its own.
    pub(crate) is_python: bool,
    /// Whether its tools call others.
    pub(crate) calls: bool,
    pub(crate) policy: Arc<HttpPolicy>,
    pub(crate) clients: Arc<OutgoingClients>,
    pub(crate) models: Arc<Registry>,
    pub(crate) store: Arc<KeyValues>,
    /// What it may keep there. None: nothing.
    pub(crate) store_quota: Option<u64>,
    /// Log lines of all calls together.
    pub(crate) output: Arc<Output>,
    /// What all calls together have said of changes.
    pub(crate) bell: Arc<ChangeSignal>,
    /// The memory of all its instances.
    pub(crate) memory: Arc<PluginMemory>,
    /// How long its calls run.
    pub(crate) pace: Arc<Pace>,
    /// Files that all calls together have open.
    pub(crate) open_files: OpenFiles,
    /// Where long arguments and answers are read.
    pub(crate) offload: Offload,
}

/// The end of a call that is no fault of the guest: it passes through Wasmtime as an error, and no code of the guest runs after it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ended(pub(crate) CallError);

/// What a store carries.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limiter: Limiter,
    /// The call in hand.
    pub(crate) call: Box<CallContext>,
    pub(crate) deadline: Arc<Deadline>,
    /// The host asks what is on offer: there is no caller.
    pub(crate) listing: bool,
    /// Noted there, where a list is made: that the guest looked at something that may be another thing tomorrow.
    pub(crate) reached: Option<Arc<AtomicBool>>,
    /// How often the caller was asked.
    pub(crate) rounds: u32,
    pub(crate) refusals: Refusals,
    /// Files that this call has open.
    pub(crate) files: CallFiles,
    /// The highest progress told so far: it may only rise.
    pub(crate) progress: f64,
    /// Where it ends, as it was told last.
    pub(crate) total: Option<f64>,
    /// The highest with what it called. None: it has called nothing that was to be told of.
    pub(crate) told: Option<Arc<Told>>,
    /// Its turn, given back while what it called runs. None: it makes no calls.
    pub(crate) turn: Option<Arc<Turn>>,
    pub(crate) table: ResourceTable,
    /// What it does with models. Made when the guest first asks for it.
    pub(crate) nn: Option<Box<Nn>>,
    /// Made when the guest first asks for something of WASI: most calls never do.
    wasi: Option<Box<WasiCtx>>,
    /// Made when the guest first asks for a variable by `wasi:config`.
    variables: Option<WasiConfigVariables>,
    http: WasiHttpCtx,
    /// What it sends. Made when the guest first asks for something of `wasi:http`.
    outgoing: Option<Box<Outgoing>>,
    /// stdout and stderr, where the guest has asked for them.
    streams: Option<Box<Streams>>,
    /// Keeps the clock ticking. None: it waits for a call.
    beat: Option<TickGuard>,
}

/// What a guest writes, line by line.
struct Streams {
    /// The id of the call in hand, which each line says.
    call_id: Arc<AtomicU64>,
    both: [Stream; 2],
}

impl Streams {
    fn new(shared: &Shared, call_id: u64) -> Box<Self> {
        let call_id = Arc::new(AtomicU64::new(call_id));
        let both = ["stdout", "stderr"].map(|source| Stream::new(shared.output.clone(), call_id.clone(), source));
        Box::new(Self { call_id, both })
    }
}

/// A store for one call, with every limit set.
pub(crate) fn store(engine: &wasmtime::Engine, shared: &Arc<Shared>, call: Box<CallContext>) -> Store<State> {
    let plugin = &shared.config.limits;
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::RESOURCES);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(limits::FIELDS);
    let deadline = Arc::new(Deadline::new(time_of(shared, &call)));
    let state = State {
        shared: shared.clone(),
        limiter: Limiter::new(plugin, shared.memory.instance()),
        call,
        deadline,
        listing: false,
        reached: None,
        rounds: 0,
        refusals: Refusals::default(),
        files: CallFiles::default(),
        progress: f64::NEG_INFINITY,
        total: None,
        told: None,
        turn: None,
        table,
        nn: None,
        wasi: None,
        variables: None,
        http,
        outgoing: None,
        streams: None,
        beat: Some(shared.engines.clock().beat()),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits::copied(plugin));
    store.set_max_component_handles(limits::HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        let state = context.data();
        if state.deadline.left().is_zero() {
            return Err(Overrun(Exceeded::Timeout(state.shared.config.limits.timeout)).into());
        }
        // Tokio's own yield and no plain one: it lets the worker look after sockets and timers before the guest goes on.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

/// How long a call may take.
fn time_of(shared: &Shared, call: &CallContext) -> Duration {
    let own = shared.config.limits.timeout;
    call.time_left().map_or(own, |left| left.min(own))
}

/// Makes a store that has served a call ready for another one, with every limit set anew.
pub(crate) fn renew(store: &mut Store<State>, call: Box<CallContext>) {
    store.data_mut().begin(call);
    let copied = limits::copied(&store.data().shared.config.limits);
    store.set_hostcall_fuel(copied);
    store.set_epoch_deadline(1);
}

impl State {
    /// Another call begins.
    fn begin(&mut self, call: Box<CallContext>) {
        let shared = &self.shared;
        self.deadline = Arc::new(Deadline::new(time_of(shared, &call)));
        if let Some(streams) = &self.streams {
            streams.call_id.store(call.call_id, Ordering::Relaxed);
        }
        self.beat = Some(shared.engines.clock().beat());
        (self.call, self.refusals, self.rounds, self.outgoing) = (call, Refusals::default(), 0, None);
        (self.progress, self.total, self.told, self.turn) = (f64::NEG_INFINITY, None, None, None);
        self.limiter.exceeded = None;
    }

    /// The call has ended, and the instance may serve another one. False: it has taken too much for that, or holds what belongs to the call.
    pub(crate) fn rest(&mut self) -> bool {
        // What it held of its caller is let go; unfinished lines are its own.
        *self.call = CallContext::default();
        (self.told, self.turn, self.beat, self.outgoing) = (None, None, None, None);
        for stream in self.streams.iter().flat_map(|streams| &streams.both) {
            stream.end();
        }
        self.nn.is_none() && self.files.are_closed() && self.limiter.has_room()
    }

    /// The guest looks at what may be another thing tomorrow.
    pub(crate) fn reaches(&self) {
        if let Some(reached) = &self.reached {
            reached.store(true, Ordering::Relaxed);
        }
    }

    /// The HTTP of the call in hand.
    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        self.reaches();
        let Self { outgoing, shared, refusals, call, .. } = self;
        sender(outgoing, shared, refusals, call)
    }

    /// The variables that were granted.
    pub(crate) fn variables(&mut self) -> &WasiConfigVariables {
        let granted = &self.shared.config.grants.env;
        self.variables.get_or_insert_with(|| granted.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect())
    }

    /// The same, one by one.
    pub(crate) fn granted_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shared.config.grants.env.iter().map(|(name, value)| (name.as_str(), value.0.as_str()))
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (shared, call_id, reached) = (&self.shared, self.call.call_id, &self.reached);
        let streams = self.streams.get_or_insert_with(|| Streams::new(shared, call_id));
        let ctx = self.wasi.get_or_insert_with(|| Box::new(wasi(shared, &streams.both, reached.as_ref())));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.reaches();
        let Self { outgoing, shared, refusals, call, table, http, .. } = self;
        WasiHttpCtxView { hooks: sender(outgoing, shared, refusals, call), table, ctx: http }
    }
}

/// What a call sends by. Most calls send nothing, so it is made when it is first asked for.
fn sender<'a>(made: &'a mut Option<Box<Outgoing>>, shared: &Shared, refusals: &Refusals, call: &CallContext) -> &'a mut Outgoing {
    made.get_or_insert_with(|| {
        let limits = &shared.config.limits;
        Box::new(Outgoing::new(shared.clients.clone(), shared.policy.clone(), limits, refusals.clone(), call))
    })
}

/// The time of day, with a note that somebody has looked at it.
struct NotedClock(Arc<AtomicBool>);

impl HostWallClock for NotedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.store(true, Ordering::Relaxed);
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// WASI with nothing in it but what was granted.
fn wasi(shared: &Arc<Shared>, [stdout, stderr]: &[Stream; 2], reached: Option<&Arc<AtomicBool>>) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    let grants = &shared.config.grants;
    builder
        .arg(shared.id.as_str())
        .max_random_size(limits::RANDOM)
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        // Sockets are not offered: HTTP goes through the host, which checks each request.
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if let Some(reached) = reached {
        builder.wall_clock(NotedClock(Arc::clone(reached)));
    }
    for (name, value) in &grants.env {
        builder.env(name, &value.0);
    }
    for DirGrant { host, guest, write } in &grants.dirs {
        let permissions = if *write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        if let Err(error) = builder.preopened_dir(host, guest, permissions) {
            // It was there when the configuration was read.
            tracing::warn!(plugin = %shared.id, folder = %host.display(), %error, "a granted folder cannot be opened; the plugin does not see it");
        }
    }
    // Tokenizers, labels and settings lie beside the graphs that they belong to.
    for (name, folder) in shared.models.current().granted(shared.id.as_str()) {
        let guest = format!("/models/{name}");
        if grants.dirs.iter().any(|dir| dir.guest == guest) {
            continue;
        }
        if let Err(error) = builder.preopened_dir(folder, &guest, FsPerms::ReadOnly) {
            tracing::warn!(plugin = %shared.id, folder = %folder.display(), %error, "the folder of a model cannot be opened; the plugin does not see it");
        }
    }
    builder.build()
}
