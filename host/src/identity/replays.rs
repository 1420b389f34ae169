//! Which proofs came before, for as long as they could be accepted again. In bounded memory.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Proofs that are remembered at most in one period: some 20 bytes for each, and two periods are
/// kept.
const MOST: usize = 1 << 19;

/// The hash of a proof's id, and of the key that it is of. Nobody finds two that have the same.
pub(super) type Id = [u8; 16];

/// The same at all hosts.
pub(super) fn id(key: &str, id: &str) -> Id {
    let mut hasher = blake3::Hasher::new();
    // A thumbprint has one length, so nothing of an id can pass for a part of it.
    hasher.update(key.as_bytes()).update(id.as_bytes());
    let mut id: Id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// Proofs that came in this period and in the one before.
pub(super) struct Replays {
    period: Duration,
    most: usize,
    seen: Mutex<Periods>,
}

struct Periods {
    since: Instant,
    this: HashSet<Id>,
    last: HashSet<Id>,
}

/// Whether a proof came before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Before,
    /// It cannot be remembered, so it cannot be accepted. There is room again after so long.
    NoRoom(Duration),
}

impl Replays {
    /// `period`: how long a proof could be accepted again.
    pub(super) fn new(period: Duration) -> Self {
        Self::with_room(period, MOST)
    }

    fn with_room(period: Duration, most: usize) -> Self {
        Self { period, most, seen: Mutex::new(Periods { since: Instant::now(), this: HashSet::new(), last: HashSet::new() }) }
    }

    /// How long a proof could be accepted again.
    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// Whether this proof came before, and remembers it.
    pub(super) fn see(&self, id: Id) -> Seen {
        self.see_at(id, Instant::now())
    }

    fn see_at(&self, id: Id, now: Instant) -> Seen {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(seen.since);
        if age >= self.period {
            let this = std::mem::take(&mut seen.this);
            seen.last = if age < self.period.saturating_mul(2) { this } else { HashSet::new() };
            seen.since = now;
        }
        if seen.this.contains(&id) || seen.last.contains(&id) {
            return Seen::Before;
        }
        if seen.this.len() >= self.most {
            return Seen::NoRoom(self.period.saturating_sub(now.saturating_duration_since(seen.since)));
        }
        seen.this.insert(id);
        Seen::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_known_for_its_whole_time_and_never_more_than_there_is_room_for() {
        let period = Duration::from_secs(60);
        let replays = Replays::with_room(period, 3);
        let begin = Instant::now();
        let at = |seconds: u64, text: &str| replays.see_at(id("key", text), begin + Duration::from_secs(seconds));
        assert_eq!(at(59, "a"), Seen::Never);
        for seconds in [59, 60, 100, 118] {
            assert_eq!(at(seconds, "a"), Seen::Before, "{seconds}");
        }
        assert_eq!(replays.see_at(id("other", "a"), begin + period), Seen::Never, "an id is its key's");
        assert_eq!((at(61, "b"), at(62, "c")), (Seen::Never, Seen::Never));
        assert_eq!(at(90, "d"), Seen::NoRoom(Duration::from_secs(30)), "this period began at 60");
        assert_eq!(at(90, "c"), Seen::Before, "what is known is known");
        assert_eq!((at(120, "d"), at(121, "c")), (Seen::Never, Seen::Before));
        assert_eq!(at(400, "d"), Seen::Never);
    }
}
