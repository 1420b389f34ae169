//! The queue of one device: whose turn it is, and who runs together.
//!
//! It is fair in time: each plugin has, for each model, a clock that runs while its computes run, slower the more weight the model has; who has the lowest
//! clock is next. Nobody saves up while idle.
//!
//! A compute waits at most the window of its model for others of the same graph, and only while fewer are there than were there the last time; meanwhile the
//! device does other work. Those who were in the last run are waited for a little longer, in proportion to what it took: they come back as soon as they have
//! looked at what it gave, and without them there would be groups for ever, each of which runs while the others wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    backend::{Cancel, Session},
    batch::{self, Inputs, Key, Outputs},
    call_budget::Account,
    error::NnError,
    graph_state::{GraphState as Graph, Settings},
};

/// The least advanced goes first, so that those behind catch up and run together; but nobody is overtaken for longer than this.
const PATIENCE: Duration = Duration::from_millis(200);

/// One compute.
pub(super) struct Job {
    pub(super) graph: Arc<Graph>,
    pub(super) plugin: Arc<str>,
    pub(super) account: Arc<Account>,
    pub(super) inputs: Inputs,
    pub(super) rows: usize,
    pub(super) advance: u64,
    /// None: it runs alone.
    pub(super) key: Option<Key>,
    pub(super) arrived: Instant,
    pub(super) ticket: Arc<Ticket>,
    pub(super) reply: oneshot::Sender<Result<Outputs, NnError>>,
}

/// By which a caller finds its compute again.
pub(super) struct Ticket {
    gone: AtomicBool,
    started: Mutex<Option<oneshot::Sender<()>>>,
    /// The run that it is in.
    run: Mutex<Option<Arc<Run>>>,
}

/// A run of some computes, which ends early when the last of their callers is gone.
#[derive(Default)]
pub(super) struct Run {
    pub(super) cancel: Cancel,
    callers: AtomicUsize,
}

impl Ticket {
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (started, starts) = oneshot::channel();
        (Arc::new(Self { gone: AtomicBool::new(false), started: Mutex::new(Some(started)), run: Mutex::new(None) }), starts)
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, run: &Arc<Run>) {
        let mut current = Self::lock(&self.run);
        if self.gone.load(Relaxed) {
            run.leave();
        } else {
            *current = Some(run.clone());
        }
        drop(current);
        if let Some(started) = Self::lock(&self.started).take() {
            // The caller may be gone.
            let _ = started.send(());
        }
    }

    fn leave(&self) {
        let current = Self::lock(&self.run);
        if !self.gone.swap(true, Relaxed)
            && let Some(run) = &*current
        {
            run.leave();
        }
    }
}

impl Run {
    fn leave(&self) {
        if self.callers.fetch_sub(1, Relaxed) == 1 {
            self.cancel.cancel();
        }
    }
}

/// Computes that run as one.
pub(super) struct Batch {
    pub(super) graph: Arc<Graph>,
    pub(super) session: Box<dyn Session>,
    pub(super) jobs: Vec<Job>,
    pub(super) run: Arc<Run>,
    /// What the clocks were charged before it was known how long it takes, for each row.
    charged: f64,
}

/// What a worker does next.
pub(super) enum Next {
    /// This.
    Run(Box<Batch>),
    /// Nothing before then.
    At(Instant),
    /// Nothing.
    Nothing,
    /// It ends.
    End,
}

/// The queue of a device.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    flows: BTreeMap<FlowKey, Flow>,
    /// The clock of who was last: who comes back from idling begins there.
    now: f64,
    closed: bool,
}

/// A plugin, and a model.
type FlowKey = (Arc<str>, Arc<str>);

#[derive(Default)]
struct Flow {
    clock: f64,
    jobs: Vec<Job>,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), wake: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a compute at the end.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.state();
        if state.closed {
            // Its caller learns of it by the reply that is dropped.
            return;
        }
        let now = state.now;
        let flow = state.flows.entry((job.plugin.clone(), job.graph.settings.model.clone())).or_default();
        if flow.jobs.is_empty() {
            flow.clock = flow.clock.max(now);
        }
        flow.jobs.push(job);
        drop(state);
        self.wake.notify_one();
    }

    /// A caller is gone.
    pub(super) fn cancel(&self, ticket: &Arc<Ticket>) {
        let mut state = self.state();
        for flow in state.flows.values_mut() {
            flow.jobs.retain(|job| !Arc::ptr_eq(&job.ticket, ticket));
        }
        drop(state);
        ticket.leave();
    }

    /// Computes of a model that wait.
    pub(super) fn waiting(&self, model: &str) -> usize {
        self.state().flows.iter().filter(|((_, name), _)| **name == *model).map(|(_, flow)| flow.jobs.len()).sum()
    }

    /// No more: what waits is not answered, and workers end.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.flows.clear();
        drop(state);
        self.wake.notify_all();
    }

    /// Waits for work. None: there will be none any more.
    pub(super) fn wait(&self) -> Option<Box<Batch>> {
        let mut state = self.state();
        loop {
            state = match state.next(Instant::now()) {
                Next::Run(batch) => {
                    // There may be more for others.
                    self.wake.notify_one();
                    return Some(batch);
                }
                Next::At(when) => {
                    let wait = when.saturating_duration_since(Instant::now());
                    self.wake.wait_timeout(state, wait).map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
                }
                Next::Nothing => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::End => return None,
            }
        }
    }

    /// What there is to do now, without waiting for it.
    #[cfg(test)]
    pub(super) fn next(&self) -> Next {
        self.state().next(Instant::now())
    }

    /// Takes a session back, and sets the clocks to what a run really took. `took` is for all rows of it.
    pub(super) fn done(&self, graph: &Graph, session: Box<dyn Session>, jobs: &[Job], charged: f64, took: Duration) {
        let rows: usize = jobs.iter().map(|job| job.rows).sum();
        let each = took.as_secs_f64() / rows.max(1) as f64 / graph.settings.weight;
        let mut state = self.state();
        graph.has_run(took, jobs.iter().filter(|job| !job.ticket.gone.load(Relaxed)).map(|job| &job.account));
        graph.give_back(session);
        for job in jobs {
            if let Some(flow) = state.flows.get_mut(&(job.plugin.clone(), graph.settings.model.clone())) {
                flow.clock += (each - charged) * job.rows as f64;
            }
        }
        // Clocks of those who have nothing to do, and are behind, say nothing: they begin at `now` anyway.
        let now = state.now;
        state.flows.retain(|_, flow| !flow.jobs.is_empty() || flow.clock > now);
        drop(state);
        self.wake.notify_one();
    }
}

impl Batch {
    pub(super) fn charged(&self) -> f64 {
        self.charged
    }
}

impl State {
    fn next(&mut self, now: Instant) -> Next {
        if self.closed {
            return Next::End;
        }
        let mut order: Vec<(f64, FlowKey)> =
            self.flows.iter().filter(|(_, flow)| !flow.jobs.is_empty()).map(|(key, flow)| (flow.clock, key.clone())).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        let mut later: Option<Instant> = None;
        for (clock, key) in &order {
            let Some((head, session)) = self.head(key, now, &mut later) else { continue };
            self.now = self.now.max(*clock);
            return Next::Run(Box::new(self.batch(head, session, &order)));
        }
        later.map_or(Next::Nothing, Next::At)
    }

    /// The compute of a flow that is next, with a session for it.
    fn head(&mut self, key: &FlowKey, now: Instant, later: &mut Option<Instant>) -> Option<(Job, Box<dyn Session>)> {
        let jobs = &self.flows.get(key)?.jobs;
        let mut best: Option<(usize, u64)> = None;
        // What was found of the graph of the job before: it is mostly the same.
        let mut known: Option<(&Arc<Graph>, Option<Instant>)> = None;
        for (index, job) in jobs.iter().enumerate().filter(|(_, job)| job.graph.is_idle()) {
            let ready = match known {
                _ if job.key.is_none() => None,
                Some((graph, ready)) if Arc::ptr_eq(graph, &job.graph) => ready,
                _ => {
                    let ready = self.ready_at(&job.graph, now);
                    known = Some((&job.graph, ready));
                    ready
                }
            };
            match ready {
                Some(at) => *later = Some(later.map_or(at, |later| later.min(at))),
                None if now.saturating_duration_since(job.arrived) > PATIENCE => {
                    best = Some((index, 0));
                    break;
                }
                None if best.is_none_or(|(_, advance)| job.advance < advance) => best = Some((index, job.advance)),
                None => {}
            }
        }
        let (index, _) = best?;
        let session = jobs.get(index)?.graph.take_session()?;
        Some((self.flows.get_mut(key)?.jobs.remove(index), session))
    }

    /// Until when the computes of a graph wait for others. None: they wait for nobody.
    fn ready_at(&self, graph: &Graph, now: Instant) -> Option<Instant> {
        /// Of the time of a run: so long callers that were in it may be away before the others go on.
        const AWAY: u32 = 4;
        let Settings { window, max_batch, .. } = graph.settings;
        let (mut waiting, mut oldest, mut newest) = (0, now, None);
        for job in self.of(graph) {
            waiting += 1;
            oldest = oldest.min(job.arrived);
            newest = newest.max(Some(job.arrived));
        }
        if window.is_zero() || waiting >= max_batch {
            return None;
        }
        let others = (waiting < graph.expected.load(Relaxed)).then(|| oldest + window);
        let same = graph.coming().map(|(done, took)| {
            let from = newest.map_or(done, |newest| newest.max(done));
            (from + window.max(took / AWAY)).min(oldest.max(done) + window.max(took))
        });
        others.max(same).filter(|at| *at > now)
    }

    fn of<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = &'a Job> {
        self.flows.values().flat_map(|flow| &flow.jobs).filter(move |job| std::ptr::eq(&raw const *job.graph, graph))
    }

    fn waiting(&self, graph: &Graph) -> usize {
        self.of(graph).count()
    }

    /// All that can run with a compute, those of the lowest clocks first.
    fn batch(&mut self, head: Job, session: Box<dyn Session>, order: &[(f64, FlowKey)]) -> Batch {
        let graph = head.graph.clone();
        graph.expect(self.waiting(&graph) + 1);
        let most = graph.settings.max_batch;
        let mut rows = head.rows;
        let key = head.key.clone();
        let mut jobs = vec![head];
        if let Some(key) = key {
            for (_, flow) in order {
                let Some(flow) = self.flows.get_mut(flow) else { continue };
                let with = |job: &mut Job| {
                    let fits = Arc::ptr_eq(&job.graph, &graph) && job.key.as_ref() == Some(&key) && rows + job.rows <= most;
                    rows += if fits { job.rows } else { 0 };
                    fits
                };
                jobs.extend(flow.jobs.extract_if(.., with));
            }
        }
        batch::by_origin(&mut jobs, |job| &job.inputs);
        let run = Arc::new(Run { callers: AtomicUsize::new(jobs.len()), ..Run::default() });
        let charged = graph.metrics.mean_run().as_secs_f64() / rows.max(1) as f64 / graph.settings.weight;
        for job in &jobs {
            if let Some(flow) = self.flows.get_mut(&(job.plugin.clone(), graph.settings.model.clone())) {
                flow.clock += charged * job.rows as f64;
            }
            job.ticket.begins(&run);
        }
        Batch { graph, session, jobs, run, charged }
    }
}
