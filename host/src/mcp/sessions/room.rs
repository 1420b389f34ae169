//! How many sessions this instance keeps something of: one limit for the tables of all endpoints together.
//!
//! Where all places are taken, sessions that are not in use make room: first of whoever has the most, and of those the
//! one that was used least recently. A caller that is known by name never has more than half of them. A session that is
//! not kept goes on: its id says what has to be known of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::provider::Principal;

/// Sees each session: its owner, and where it is not in use its id and when it was used.
pub(super) type Visit<'v> = &'v mut dyn FnMut(Option<&Principal>, Option<(&Arc<str>, u64)>);

/// The sessions of one endpoint.
pub(super) trait Table: Send + Sync {
    /// Sessions of that caller.
    fn of(&self, caller: &Principal) -> usize;

    /// Shows every session.
    fn each(&self, visit: Visit<'_>);

    /// Forgets one that is not in use.
    fn forget(&self, id: &str);
}

/// All places.
pub(in crate::mcp) struct Room {
    max: AtomicUsize,
    open: AtomicUsize,
    tables: Mutex<Vec<Weak<dyn Table>>>,
}

/// Of all sessions, the part that is forgotten at once where room is needed: looking for them costs as much as there are.
const AT_ONCE: usize = 64;

impl Room {
    pub(in crate::mcp) fn new(max: usize) -> Self {
        Self { max: AtomicUsize::new(max), open: AtomicUsize::new(0), tables: Mutex::default() }
    }

    pub(super) fn add(&self, table: Weak<dyn Table>) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).push(table);
    }

    /// Has room for so many from now on. Sessions that are kept stay.
    pub(in crate::mcp) fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Release);
    }

    fn max(&self) -> usize {
        self.max.load(Ordering::Acquire)
    }

    fn tables(&self) -> Vec<Arc<dyn Table>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|table| table.strong_count() > 0);
        tables.iter().filter_map(Weak::upgrade).collect()
    }

    /// Forgets sessions that are not in use.
    fn make_room(&self) {
        let tables = self.tables();
        let mut idle = Vec::new();
        let mut counts: HashMap<Option<Principal>, usize> = HashMap::new();
        for table in &tables {
            table.each(&mut |owner, unused| {
                *counts.entry(owner.cloned()).or_default() += 1;
                if let Some((id, used)) = unused {
                    idle.push((owner.cloned(), used, Arc::clone(table), Arc::clone(id)));
                }
            });
        }
        idle.sort_by_key(|(owner, used, ..)| (std::cmp::Reverse(counts.get(owner).copied().unwrap_or(0)), *used));
        let ended = idle.len().min((self.max() / AT_ONCE).max(1));
        for (_, _, table, id) in idle.into_iter().take(ended) {
            table.forget(&id);
        }
        if ended > 0 {
            tracing::debug!(
                ended,
                "{} sessions are kept: those that were used least recently are forgotten, and go on by their ids",
                self.max()
            );
        }
    }

    /// Sessions that are kept, of all endpoints.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Takes one place for this caller. False: there is none.
    pub(super) fn enter(&self, caller: Option<&Principal>) -> bool {
        // Nobody is counted as long as half of the room is free.
        if self.open() >= self.max() / 2
            && let Some(caller) = caller
            && self.tables().iter().map(|table| table.of(caller)).sum::<usize>() >= (self.max() / 2).max(1)
        {
            return false;
        }
        if self.take() {
            return true;
        }
        self.make_room();
        self.take()
    }

    fn take(&self) -> bool {
        let max = self.max();
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < max).then_some(open + 1)).is_ok()
    }

    pub(super) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}
