//! How many sessions this instance keeps something of: one limit for the tables of all endpoints together.
//!
//! Where all places are taken, sessions that are not in use make room: first of whoever has the most, and of those the
//! one that was used least recently. A caller that is known by name never has more than half of them. A session that is
//! not kept goes on: its id says what has to be known of it.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::provider::Principal;

/// Sees each session: its owner, and where it is not in use its id and when it was used.
pub(super) type Visit<'v> = &'v mut dyn FnMut(Option<&Principal>, Option<(&Arc<str>, u64)>);

/// The sessions of one endpoint.
pub(super) trait Table: Send + Sync {
    /// Shows every session.
    fn each(&self, visit: Visit<'_>);

    /// Forgets one that is not in use.
    fn forget(&self, id: &str);
}

/// All places.
pub(in crate::mcp) struct Room {
    max: AtomicUsize,
    open: AtomicUsize,
    /// How many each caller that is known by name has.
    owners: Mutex<HashMap<Principal, usize>>,
    tables: Mutex<Vec<Weak<dyn Table>>>,
}

/// Of all sessions, the part that is forgotten at once where room is needed: looking for them costs as much as there are.
const AT_ONCE: usize = 64;

impl Room {
    pub(in crate::mcp) fn new(max: usize) -> Self {
        Self { max: AtomicUsize::new(max), open: AtomicUsize::new(0), owners: Mutex::default(), tables: Mutex::default() }
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
        let ended = idle.len().min((self.max() / AT_ONCE).max(1));
        // Which they are, and not their order.
        if let Some(last) = ended.checked_sub(1) {
            idle.select_nth_unstable_by_key(last, |(owner, used, ..)| (Reverse(counts.get(owner).copied().unwrap_or(0)), *used));
        }
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
        if let Some(caller) = caller {
            let mut owners = self.owners();
            let count = owners.entry(caller.clone()).or_default();
            if *count >= (self.max() / 2).max(1) {
                return false;
            }
            *count += 1;
        }
        let taken = self.take() || {
            self.make_room();
            self.take()
        };
        if !taken {
            self.disown(caller);
        }
        taken
    }

    /// One session less of this caller.
    fn disown(&self, caller: Option<&Principal>) {
        let Some(caller) = caller else { return };
        let mut owners = self.owners();
        if let Some(count) = owners.get_mut(caller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                owners.remove(caller);
            }
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> bool {
        let max = self.max();
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < max).then_some(open + 1)).is_ok()
    }

    /// Gives back the place of a session of this caller.
    pub(super) fn leave(&self, caller: Option<&Principal>) {
        self.disown(caller);
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its owner, and when it was used.
    type Session = (Option<Principal>, u64);

    /// Sessions that are never in use.
    struct Idle {
        room: Arc<Room>,
        kept: Mutex<HashMap<Arc<str>, Session>>,
        /// How often one was looked at.
        looks: AtomicUsize,
    }

    impl Idle {
        fn new(max: usize) -> Arc<Self> {
            let room = Arc::new(Room::new(max));
            let idle = Arc::new(Self { room, kept: Mutex::default(), looks: AtomicUsize::new(0) });
            let table: Weak<Self> = Arc::downgrade(&idle);
            idle.room.add(table);
            idle
        }

        fn enter(&self, number: u64, caller: Option<&Principal>) -> bool {
            let entered = self.room.enter(caller);
            if entered {
                self.kept.lock().unwrap().insert(number.to_string().into(), (caller.cloned(), number));
            }
            entered
        }
    }

    impl Table for Idle {
        fn each(&self, visit: Visit<'_>) {
            for (id, (owner, used)) in &*self.kept.lock().unwrap() {
                self.looks.fetch_add(1, Ordering::Relaxed);
                visit(owner.as_ref(), Some((id, *used)));
            }
        }

        fn forget(&self, id: &str) {
            let (owner, _) = self.kept.lock().unwrap().remove(id).expect("it is kept");
            self.room.leave(owner.as_ref());
        }
    }

    #[test]
    fn a_place_costs_as_much_in_a_large_room_as_in_a_small_one() {
        for max in [640, 6_400, 25_600] {
            let table = Idle::new(max);
            for number in 0..3 * max as u64 {
                let caller = Principal::new(&format!("caller-{}", number % 7));
                assert!(table.enter(number, Some(&caller)));
            }
            let looks = table.looks.load(Ordering::Relaxed) as f64 / (3 * max) as f64;
            assert!(looks < AT_ONCE as f64, "{max}: each place took {looks} looks at others");
            let owners: usize = table.room.owners().values().sum();
            assert_eq!((table.room.open(), owners), (table.kept.lock().unwrap().len(), table.room.open()));
            // The latest are still there.
            let kept = table.kept.lock().unwrap();
            assert!((2 * max as u64 + max as u64 / 2..3 * max as u64).all(|number| kept.contains_key(number.to_string().as_str())));
        }
    }

    #[test]
    fn a_known_caller_has_half_of_the_places_also_after_some_were_given_back() {
        let (table, ann) = (Idle::new(10), Principal::new("ann"));
        for number in 0..5 {
            assert!(table.enter(number, Some(&ann)));
        }
        assert!(!table.enter(5, Some(&ann)));
        assert!(table.enter(6, Some(&Principal::new("bob"))) && table.enter(7, None));
        table.forget("0");
        assert!(table.enter(8, Some(&ann)) && !table.enter(9, Some(&ann)));
        for id in ["1", "2", "3", "4", "8", "6", "7"] {
            table.forget(id);
        }
        assert_eq!((table.room.open(), table.room.owners().len()), (0, 0));
    }
}
