//! What the parts of a host hold by themselves, for the page of metrics: read when the page is made, and not counted twice.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use super::{App, lock};
use crate::{
    inference::ModelStatus,
    mcp::Front,
    provider::{BreakerState, ProviderKind, ProviderState, ProviderStatus, ReplicasStatus, StatusSource as _},
    telemetry::{
        self,
        metrics::{Out, Page, Process, Source, family},
        otlp::DeliveryStatus,
    },
};

const KINDS: [(ProviderKind, &str); 4] = [
    (ProviderKind::Wasm, "wasm"),
    (ProviderKind::Bridge, "bridge"),
    (ProviderKind::Remote, "remote"),
    (ProviderKind::Pipeline, "pipeline"),
];

const STATES: [(ProviderState, &str); 4] = [
    (ProviderState::Loading, "loading"),
    (ProviderState::Serving, "serving"),
    (ProviderState::ServingPrevious, "serving-previous"),
    (ProviderState::Broken, "broken"),
];

const COMPILERS: [&str; 2] = ["winch", "cranelift"];

const REPLICA_STATES: [&str; 3] = ["serving", "suspect", "draining"];

impl App {
    /// The page of metrics of this host. None: there are none.
    #[must_use]
    pub fn metrics_page(self: &Arc<Self>) -> Option<Arc<Page>> {
        let metrics = self.dispatcher.metrics();
        metrics.calls()?;
        let sources: Vec<Arc<dyn Source>> = vec![metrics.clone(), self.clone(), Arc::new(Process::default())];
        Some(Arc::new(Page::new(sources)))
    }

    /// How requests to collectors go, of each signal that one is configured for.
    pub(super) fn deliveries(&self) -> Vec<(&'static str, DeliveryStatus)> {
        let config = self.config.borrow();
        let metrics = config.metrics.endpoint.as_ref().filter(|_| config.metrics.enabled).map(|_| self.dispatcher.metrics().pushes());
        let traces = self.dispatcher.traces().map(|traces| traces.delivery());
        let audit = self.dispatcher.audit().filter(|_| config.audit.endpoint.is_some()).map(|audit| audit.delivery());
        let all = [("metrics", metrics), ("traces", traces), ("logs", audit)];
        all.into_iter().filter_map(|(signal, delivery)| Some((signal, delivery?.status()))).collect()
    }

    fn live_fronts(&self) -> Vec<Arc<Front>> {
        lock(&self.fronts).iter().map(|(front, _)| front).filter_map(Weak::upgrade).collect()
    }

    fn configuration(&self, out: &mut Out<'_>) -> fmt::Result {
        let counts = lock(&self.status).counts();
        let mut reloads = out.family(&family::CONFIG_RELOADS)?;
        reloads.add(["applied"], counts.applied)?;
        reloads.add(["rejected"], counts.rejected)?;
        out.single(&family::CONFIG_VALID, counts.is_valid)?;
        out.single(&family::CONFIG_LAST_SUCCESS, counts.last_success)?;
        out.single(&family::CONFIG_RESTART, counts.needs_restart)
    }

    fn pool(&self, out: &mut Out<'_>) -> fmt::Result {
        let pool = self.host.pool();
        let mut instances = out.family(&family::POOL_INSTANCES)?;
        instances.add(["used"], pool.used)?;
        instances.add(["free"], pool.free)?;
        out.single(&family::POOL_WAITING, pool.waiting)?;
        out.single(&family::POOL_MEMORY, pool.memory)?;
        out.single(&family::POOL_MEMORY_LIMIT, pool.memory_limit)?;
        let compiled = self.host.compiled();
        let mut cache = out.family(&family::COMPILE_CACHE)?;
        cache.add(["hit"], compiled.hits)?;
        cache.add(["miss"], compiled.misses)?;
        out.single(&family::COMPILE_FAILURES, compiled.failures)?;
        out.single(&family::COMPILE_SECONDS, compiled.time.as_secs_f64())?;
        let residents = self.host.resident_counts();
        let mut loads = out.family(&family::PLUGIN_LOADS)?;
        loads.add(["loaded"], residents.loaded)?;
        loads.add(["failed"], residents.failed)?;
        out.single(&family::PLUGIN_LOAD_SECONDS, residents.time.as_secs_f64())?;
        out.single(&family::PLUGIN_EVICTIONS, residents.dropped)
    }

    fn shared(&self, out: &mut Out<'_>) -> fmt::Result {
        let status = self.shared.link().map(|link| link.status());
        let mut up = out.family(&family::SHARED_UP)?;
        if let Some(status) = &status {
            up.add([], status.is_connected())?;
        }
        let mut commands = out.family(&family::SHARED_COMMANDS)?;
        if let Some(status) = &status {
            commands.add(["answered"], status.answered)?;
            commands.add(["failed"], status.failed)?;
        }
        let mut decisions = out.family(&family::SHARED_DECISIONS)?;
        for (decision, count) in self.shared.decisions().filter(|_| status.is_some()) {
            decisions.add([decision], count)?;
        }
        Ok(())
    }

    fn offers(&self, out: &mut Out<'_>) -> fmt::Result {
        let snapshot = self.catalog.snapshot();
        let mut entries = out.family(&family::CATALOG)?;
        entries.add(["tool"], snapshot.tools().len())?;
        entries.add(["prompt"], snapshot.prompts().len())?;
        entries.add(["resource"], snapshot.resources().len())?;
        entries.add(["template"], snapshot.templates().len())
    }
}

impl Source for App {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        out.single(&family::CALLS_IN_FLIGHT, self.dispatcher.in_flight())?;
        providers(&self.statuses(), out)?;
        self.offers(out)?;
        self.pool(out)?;
        let fronts = self.live_fronts();
        out.single(&family::SESSIONS, fronts.iter().map(|front| front.sessions()).sum::<usize>())?;
        let tasks: Vec<_> = fronts.iter().map(|front| front.tasks()).collect();
        out.single(&family::TASKS, tasks.iter().map(|(count, _)| count).sum::<usize>())?;
        out.single(&family::TASK_RESULTS, tasks.iter().map(|(_, bytes)| bytes).sum::<usize>())?;
        models(&self.models.statuses(), out)?;
        self.configuration(out)?;
        self.shared(out)?;
        out.single(&family::READY, self.ready())?;
        let tasks = tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        out.single(&family::RUNTIME_TASKS, tasks)?;
        out.single(&family::LOG_DROPPED, telemetry::lost_lines())?;
        let (written, dropped) = self.dispatcher.audit().map_or((0, 0), |audit| audit.counts());
        let mut lines = out.family(&family::AUDIT_LINES)?;
        lines.add(["written"], written)?;
        lines.add(["dropped"], dropped)?;
        let (exported, dropped) = self.dispatcher.traces().map_or((0, 0), |traces| traces.counts());
        let mut spans = out.family(&family::TRACE_SPANS)?;
        spans.add(["exported"], exported)?;
        spans.add(["dropped"], dropped)?;
        let mut requests = out.family(&family::OTLP_REQUESTS)?;
        for (signal, status) in self.deliveries() {
            requests.add([signal, "taken"], status.taken)?;
            requests.add([signal, "failed"], status.failed)?;
        }
        Ok(())
    }
}

fn providers(statuses: &[ProviderStatus], out: &mut Out<'_>) -> fmt::Result {
    // A name twice, of a plugin and of the server that is served instead, must not be a series twice.
    let mut calls: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut states: BTreeMap<(&str, &str), ProviderState> = BTreeMap::new();
    let mut servers: BTreeMap<&str, &ReplicasStatus> = BTreeMap::new();
    for status in statuses {
        let (in_flight, queued) = calls.entry(&status.name).or_default();
        (*in_flight, *queued) = (*in_flight + status.in_flight, *queued + status.queued);
        let kind = KINDS.iter().find(|(kind, _)| *kind == status.kind).map_or("", |(_, word)| word);
        states.insert((&status.name, kind), status.state);
        if let Some(replicas) = &status.replicas {
            servers.insert(&status.name, replicas);
        }
    }
    let mut samples = out.family(&family::PROVIDER_STATE)?;
    for ((name, kind), state) in &states {
        for (other, word) in STATES {
            samples.add([name, kind, word], *state == other)?;
        }
    }
    let mut samples = out.family(&family::COMPILED)?;
    for compiler in COMPILERS {
        let count = statuses.iter().filter(|status| status.compiled.is_some_and(|compiled| compiled.by == compiler)).count();
        samples.add([compiler], count)?;
    }
    // One that says nothing of it is never dropped.
    let in_memory = statuses.iter().filter(|status| status.compiled.is_some() && status.loaded != Some(false)).count();
    out.single(&family::IN_MEMORY, in_memory)?;
    let mut samples = out.family(&family::PROVIDER_IN_FLIGHT)?;
    for (name, (in_flight, _)) in &calls {
        samples.add([name], *in_flight)?;
    }
    let mut samples = out.family(&family::PROVIDER_QUEUED)?;
    for (name, (_, queued)) in &calls {
        samples.add([name], *queued)?;
    }
    replicas(&servers, out)
}

fn replicas(servers: &BTreeMap<&str, &ReplicasStatus>, out: &mut Out<'_>) -> fmt::Result {
    let mut samples = out.family(&family::REPLICAS)?;
    for (name, replicas) in servers {
        samples.add([name, "starting"], replicas.starting)?;
        for state in REPLICA_STATES {
            samples.add([name, state], replicas.up.iter().filter(|replica| replica.state == state).count())?;
        }
    }
    let mut samples = out.family(&family::REPLICAS_WANTED)?;
    for (name, replicas) in servers {
        samples.add([name], replicas.wanted)?;
    }
    let mut samples = out.family(&family::RESTARTS)?;
    for (name, replicas) in servers {
        samples.add([name], replicas.restarts)?;
    }
    let mut samples = out.family(&family::BREAKER)?;
    for (name, replicas) in servers {
        let breaker = replicas.breaker;
        samples.add([name, "closed"], breaker == BreakerState::Closed)?;
        samples.add([name, "open"], matches!(breaker, BreakerState::Open(_)))?;
        samples.add([name, "half-open"], breaker == BreakerState::HalfOpen)?;
    }
    Ok(())
}

fn models(models: &[ModelStatus], out: &mut Out<'_>) -> fmt::Result {
    let mut samples = out.family(&family::MODEL_UP)?;
    for model in models {
        samples.add([&model.name, &model.device], model.error.is_none())?;
    }
    let mut samples = out.family(&family::MODEL_COMPUTES)?;
    for ModelStatus { name, counts, .. } in models {
        samples.add([name, "ok"], counts.computes.saturating_sub(counts.failed))?;
        samples.add([name, "failed"], counts.failed)?;
        samples.add([name, "cancelled"], counts.cancelled)?;
    }
    let mut samples = out.family(&family::MODEL_RUNS)?;
    for ModelStatus { name, counts, .. } in models {
        samples.add([name], counts.runs)?;
    }
    let mut samples = out.family(&family::MODEL_RUN_SECONDS)?;
    for ModelStatus { name, counts, .. } in models {
        samples.add([name], counts.run_ms as f64 / 1000.0)?;
    }
    let mut samples = out.family(&family::MODEL_WAIT_SECONDS)?;
    for ModelStatus { name, counts, .. } in models {
        samples.add([name], counts.wait_ms as f64 / 1000.0)?;
    }
    let mut samples = out.family(&family::MODEL_QUEUED)?;
    for model in models {
        samples.add([&model.name], model.queued)?;
    }
    let mut samples = out.family(&family::MODEL_LARGEST_BATCH)?;
    for ModelStatus { name, counts, .. } in models {
        samples.add([name], counts.largest_batch)?;
    }
    let mut samples = out.family(&family::MODEL_BYTES)?;
    for model in models {
        samples.add([&model.name], model.bytes)?;
    }
    Ok(())
}
