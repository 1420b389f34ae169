//! Calls by what was called and how they ended, with a bound on how many tools are told apart.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{Durations, Out, Source, family};

/// Tools that are told apart. One has some 20 lines on the page, so this many make 30 MB: more than any host serves, and a bound for one whose upstream
/// changes its list all the time.
const MOST: usize = 10_000;

/// A full table is looked through for such that are gone once in this time.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// What stands in the labels of those beyond that: the word of the semantic conventions.
const OTHER: &str = "_OTHER";

/// A way in which calls end.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The label's value.
    pub word: &'static str,
    /// Whether it is shown while there was none yet, so that a first one is seen as an increase.
    pub always: bool,
}

/// What is counted of one tool, or of one kind of operation of a provider.
#[derive(Debug)]
pub struct CallMeter {
    outcomes: Box<[AtomicU64]>,
    durations: Durations,
}

impl CallMeter {
    fn new(words: usize) -> Arc<Self> {
        Arc::new(Self { outcomes: (0..words).map(|_| AtomicU64::new(0)).collect(), durations: Durations::default() })
    }

    /// A call has ended. `outcome`: the place of its word among those that the meters were made with.
    pub fn ended(&self, outcome: usize, took: Duration) {
        if let Some(count) = self.outcomes.get(outcome) {
            count.fetch_add(1, Relaxed);
        }
        self.durations.record(took);
    }
}

impl CallMeter {
    /// Calls by the way in which they ended, in the order of [`CallMeters::words`].
    pub fn outcomes(&self) -> impl Iterator<Item = u64> {
        self.outcomes.iter().map(|count| count.load(Relaxed))
    }

    /// How long they took.
    #[must_use]
    pub fn durations(&self) -> &Durations {
        &self.durations
    }
}

type Tools = HashMap<Box<str>, Arc<CallMeter>>;

#[derive(Debug, Default)]
struct Table {
    /// By method, provider and tool.
    meters: HashMap<&'static str, HashMap<Box<str>, Tools>>,
    /// How many there are.
    len: usize,
    /// When it was full last, and those were forgotten that nobody held.
    pruned: Option<Instant>,
}

impl Table {
    fn get(&self, method: &str, provider: &str, tool: &str) -> Option<&Arc<CallMeter>> {
        self.meters.get(method)?.get(provider)?.get(tool)
    }

    /// Forgets those that nobody holds: their tools are gone.
    fn prune(&mut self) {
        for providers in self.meters.values_mut() {
            for tools in providers.values_mut() {
                tools.retain(|_, meter| Arc::strong_count(meter) > 1);
            }
            providers.retain(|_, tools| !tools.is_empty());
        }
        self.pruned = Some(Instant::now());
        self.len = self.meters.values().flat_map(HashMap::values).map(HashMap::len).sum();
    }
}

/// All of them.
#[derive(Debug)]
pub struct CallMeters {
    words: &'static [Word],
    table: RwLock<Table>,
    most: usize,
}

impl CallMeters {
    /// None yet. `words`: how calls end.
    pub(super) fn new(words: &'static [Word]) -> Self {
        Self { words, table: RwLock::default(), most: MOST }
    }

    #[cfg(test)]
    pub(super) fn with_most(words: &'static [Word], most: usize) -> Self {
        Self { most, ..Self::new(words) }
    }

    /// How calls end.
    #[must_use]
    pub fn words(&self) -> &'static [Word] {
        self.words
    }

    /// Shows every meter: its method, its provider, its tool.
    pub fn each(&self, mut visit: impl FnMut(&'static str, &str, &str, &CallMeter)) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        for (method, providers) in &table.meters {
            for (provider, tools) in providers {
                tools.iter().for_each(|(tool, meter)| visit(method, provider, tool, meter));
            }
        }
    }

    /// The meter of what is called, made at the first question. Whoever calls often keeps it. Names are those of what is loaded.
    pub fn meter(&self, method: &'static str, provider: &str, tool: &str) -> Arc<CallMeter> {
        let known = self.table.read().unwrap_or_else(PoisonError::into_inner).get(method, provider, tool).cloned();
        known.unwrap_or_else(|| self.make(method, provider, tool))
    }

    fn make(&self, method: &'static str, provider: &str, tool: &str) -> Arc<CallMeter> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = table.get(method, provider, tool) {
            return Arc::clone(meter);
        }
        if table.len >= self.most && table.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
            table.prune();
        }
        let (provider, tool) = if table.len >= self.most { (OTHER, OTHER) } else { (provider, tool) };
        let tools = table.meters.entry(method).or_default().entry(provider.into()).or_default();
        let before = tools.len();
        let meter = Arc::clone(tools.entry(tool.into()).or_insert_with(|| CallMeter::new(self.words.len())));
        let added = tools.len() - before;
        table.len += added;
        meter
    }
}

impl Source for CallMeters {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<([&str; 3], &CallMeter)> = Vec::with_capacity(table.len);
        for (method, providers) in &table.meters {
            for (provider, tools) in providers {
                all.extend(tools.iter().map(|(tool, meter)| ([method, &**tool, &**provider], &**meter)));
            }
        }
        // The order of a page means nothing, but people read it too.
        all.sort_unstable_by_key(|(labels, _)| *labels);
        let mut counts = out.family(&family::CALLS)?;
        for ([method, tool, provider], meter) in &all {
            for (Word { word, always }, count) in self.words.iter().zip(&meter.outcomes) {
                let count = count.load(Relaxed);
                if count > 0 || *always {
                    counts.add([method, tool, provider, word], count)?;
                }
            }
        }
        let mut durations = out.family(&family::CALL_DURATION)?;
        for (labels, meter) in &all {
            durations.durations(*labels, &meter.durations)?;
        }
        Ok(())
    }
}
