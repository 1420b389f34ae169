//! Which plugins are in memory, of more than there may be: who was not called for longest makes room.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// What was not called for so long makes room in any case.
const IDLE: Duration = Duration::from_secs(600);

/// In so many steps that time is counted.
const STEPS: u32 = 10;

/// A plugin whose code can be loaded again.
pub(super) trait Resident: Send + Sync {
    /// Whether it was called since it was asked last.
    fn was_used(&self) -> bool;
    /// Drops the code, unless a call runs on it. Whether it is gone. May block.
    fn make_room(&self) -> bool;
}

/// Those that are in memory.
pub(super) struct Residents {
    /// How many there may be.
    most: usize,
    /// How many plugins there are.
    expected: AtomicUsize,
    list: Mutex<Vec<Entry>>,
    is_swept: AtomicBool,
    ended: CancellationToken,
    loaded: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// In microseconds.
    time: AtomicU64,
}

/// What was loaded for calls, since it was not in memory, and what was dropped again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidentCounts {
    /// Plugins that were loaded.
    pub loaded: u64,
    /// Those that could not be.
    pub failed: u64,
    /// Plugins that made room.
    pub dropped: u64,
    /// How long all loading took.
    pub time: Duration,
}

struct Entry {
    resident: Weak<dyn Resident>,
    /// Steps since it was called.
    idle: u32,
}

impl Residents {
    pub(super) fn new(most: usize, ended: CancellationToken) -> Arc<Self> {
        let (expected, is_swept) = (AtomicUsize::new(0), AtomicBool::new(false));
        let [loaded, failed, dropped, time] = [const { AtomicU64::new(0) }; 4];
        Arc::new(Self { most, expected, list: Mutex::default(), is_swept, ended, loaded, failed, dropped, time })
    }

    /// One was loaded for a call, or could not be, and that took so long.
    pub(super) fn loaded(&self, is_there: bool, took: Duration) {
        let count = if is_there { &self.loaded } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.time.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// One made room.
    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> ResidentCounts {
        let [loaded, failed, dropped, time] =
            [&self.loaded, &self.failed, &self.dropped, &self.time].map(|count| count.load(Ordering::Relaxed));
        ResidentCounts { loaded, failed, dropped, time: Duration::from_micros(time) }
    }

    /// So many plugins there are.
    pub(super) fn expect(&self, plugins: usize) {
        self.expected.store(plugins, Ordering::Relaxed);
    }

    /// Whether there are more plugins than may be in memory.
    pub(super) fn are_too_many(&self) -> bool {
        self.expected.load(Ordering::Relaxed) > self.most
    }

    /// How many are in memory.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.lock().iter().filter(|entry| entry.resident.strong_count() > 0).count()
    }

    /// Takes in one that is in memory now. Where these are too many, others make room. May block.
    pub(super) fn admit(self: &Arc<Self>, resident: &Arc<dyn Resident>) {
        self.sweep_from_now_on();
        let new = Arc::downgrade(resident);
        let mut list = self.lock();
        list.retain(|entry| entry.resident.strong_count() > 0 && !Weak::ptr_eq(&entry.resident, &new));
        list.push(Entry { resident: new, idle: 0 });
        let more = list.len().saturating_sub(self.most);
        // Taken out, so that nothing is locked while they are dropped.
        let mut candidates: Vec<Entry> = Vec::new();
        if more > 0 {
            let last = list.pop();
            for entry in &mut *list {
                if entry.resident.upgrade().is_some_and(|resident| resident.was_used()) {
                    entry.idle = 0;
                    // Not among the first to go, though nobody has counted yet.
                    continue;
                }
                entry.idle = entry.idle.max(1);
            }
            // Stable: of equals, who came first.
            list.sort_by_key(|entry| std::cmp::Reverse(entry.idle));
            candidates.append(&mut list);
            list.extend(last);
        }
        drop(list);
        let mut gone = 0;
        candidates.retain(|entry| {
            let goes = gone < more && entry.resident.upgrade().is_none_or(|resident| resident.make_room());
            gone += usize::from(goes);
            !goes
        });
        // Those that stay are before those that came meanwhile.
        let mut list = self.lock();
        candidates.retain(|entry| !list.iter().any(|other| Weak::ptr_eq(&other.resident, &entry.resident)));
        list.splice(0..0, candidates);
    }

    /// One step of time has passed. May block.
    fn step(&self) {
        let mut list = std::mem::take(&mut *self.lock());
        list.retain_mut(|entry| {
            let Some(resident) = entry.resident.upgrade() else { return false };
            entry.idle = if resident.was_used() { 0 } else { entry.idle.saturating_add(1) };
            entry.idle < STEPS || !resident.make_room()
        });
        let mut now = self.lock();
        list.retain(|entry| !now.iter().any(|other| Weak::ptr_eq(&other.resident, &entry.resident)));
        now.splice(0..0, list);
    }

    fn sweep_from_now_on(self: &Arc<Self>) {
        if self.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let (residents, ended) = (Arc::downgrade(self), self.ended.clone());
        let sweep = async move {
            loop {
                tokio::time::sleep(IDLE / STEPS).await;
                let Some(residents) = residents.upgrade() else { return };
                // An error is a panic of it: the next step goes on.
                let _ = tokio::task::spawn_blocking(move || residents.step()).await;
            }
        };
        tokio::spawn(async move { ended.run_until_cancelled(sweep).await });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Toy {
        used: AtomicBool,
        busy: AtomicBool,
        gone: AtomicBool,
    }

    impl Resident for Toy {
        fn was_used(&self) -> bool {
            self.used.swap(false, Ordering::Relaxed)
        }

        fn make_room(&self) -> bool {
            let goes = !self.busy.load(Ordering::Relaxed);
            self.gone.fetch_or(goes, Ordering::Relaxed);
            goes
        }
    }

    fn toys<const N: usize>(residents: &Arc<Residents>) -> [Arc<Toy>; N] {
        [(); N].map(|()| {
            let toy = Arc::<Toy>::default();
            residents.admit(&(toy.clone() as Arc<dyn Resident>));
            toy
        })
    }

    fn gone(toys: &[Arc<Toy>]) -> Vec<bool> {
        toys.iter().map(|toy| toy.gone.load(Ordering::Relaxed)).collect()
    }

    #[tokio::test]
    async fn who_was_not_called_for_longest_makes_room_unless_it_is_busy() {
        let residents = Residents::new(3, CancellationToken::new());
        residents.expect(3);
        assert!(!residents.are_too_many());
        residents.expect(4);
        assert!(residents.are_too_many());
        let all: [_; 3] = toys(&residents);
        assert_eq!(gone(&all), [false; 3]);
        all[0].used.store(true, Ordering::Relaxed);
        all[1].busy.store(true, Ordering::Relaxed);
        let [_fourth] = toys(&residents);
        assert_eq!(gone(&all), [false, false, true]);
        let [_fifth] = toys(&residents);
        assert_eq!(gone(&all), [true, false, true], "it was not called since");
        all[1].busy.store(false, Ordering::Relaxed);
        let [_sixth] = toys(&residents);
        assert_eq!((gone(&all), residents.count()), (vec![true; 3], 3));
    }

    #[tokio::test]
    async fn who_is_not_called_for_long_makes_room_by_itself() {
        let residents = Residents::new(10, CancellationToken::new());
        let all: [_; 2] = toys(&residents);
        for _ in 0..STEPS - 1 {
            residents.step();
        }
        all[0].used.store(true, Ordering::Relaxed);
        residents.step();
        assert_eq!((gone(&all), residents.count()), (vec![false, true], 1));
    }
}
