//! What of an open graph its queue and its workers need: sessions that are free, and how its runs went.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    backend::{Session, Slot},
    call_budget::Account,
    layout::Layout,
    metrics::Metrics,
};

/// What a graph runs with.
pub(super) struct Settings {
    /// Of which model, for the fairness between models. A graph that a plugin brought is its own.
    pub(super) model: Arc<str>,
    /// As callers name it.
    pub(super) name: String,
    pub(super) max_batch: usize,
    pub(super) window: Duration,
    pub(super) weight: f64,
}

/// A graph as the queue and the workers see it.
pub(super) struct GraphState {
    pub(super) settings: Settings,
    pub(super) layout: Layout,
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Slot>,
    /// Those that do not run now.
    idle: Mutex<Vec<Box<dyn Session>>>,
    /// Computes that waited when the last run was begun: as many are likely to come again.
    pub(super) expected: AtomicUsize,
    last: Mutex<Option<LastRun>>,
    pub(super) metrics: Arc<Metrics>,
}

/// The last run of a graph.
struct LastRun {
    done: Instant,
    took: Duration,
    /// The calls that were in it.
    callers: Vec<Weak<Account>>,
}

impl GraphState {
    /// With these sessions, of which none runs.
    pub(super) fn new(settings: Settings, sessions: Vec<Box<dyn Session>>, metrics: Arc<Metrics>) -> Option<Self> {
        let first = sessions.first()?;
        let (inputs, outputs) = (first.inputs().to_vec(), first.outputs().to_vec());
        let layout = Layout::of(&inputs, &outputs);
        let (idle, expected, last) = (Mutex::new(sessions), AtomicUsize::new(1), Mutex::new(None));
        Some(Self { settings, layout, inputs, outputs, idle, expected, last, metrics })
    }

    /// A session that is free, if there is one.
    pub(super) fn take_session(&self) -> Option<Box<dyn Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(super) fn give_back(&self, session: Box<dyn Session>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(super) fn expect(&self, waiting: usize) {
        self.expected.store(waiting.max(1), Relaxed);
    }

    /// Where accounts are that have an answer of it.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// When the last run was done, and how long it took, where somebody who was in it is still at what it gave, and will come again soon, if ever.
    pub(super) fn coming(&self) -> Option<(Instant, Duration)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        let comes = |caller: &Weak<Account>| caller.upgrade().is_some_and(|account| account.is_at(self.place()));
        last.callers.iter().any(comes).then_some((last.done, last.took))
    }

    /// A run is done, with the computes of these.
    pub(super) fn has_run<'a>(&self, took: Duration, accounts: impl Iterator<Item = &'a Arc<Account>>) {
        let callers = accounts.map(|account| {
            account.is_now_at(self.place());
            Arc::downgrade(account)
        });
        let last = LastRun { done: Instant::now(), took, callers: callers.collect() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// For messages.
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }
}
