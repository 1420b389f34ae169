//! Which proofs of other instances were taken already, so that each is good for one time.
//!
//! Every process numbers those that it makes for one receiver. The receiver keeps, of each, the highest number and which of those before it were taken: as
//! in IPsec (RFC 4303, 3.4.3), it takes as much memory for a thousand requests a second as for one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Numbers that may overtake one another, on several connections. What comes later than that is refused, and signed again by who has sent it.
const NUMBERS: u64 = 2048;
const WORDS: usize = (NUMBERS / 64) as usize;

/// Processes that are remembered: 300 bytes each.
const PROCESSES: usize = 4096;

/// What was taken, by the process that it is from.
pub(super) struct Replays {
    of: Mutex<HashMap<String, Window>>,
    most: usize,
}

/// The last numbers of one process.
struct Window {
    highest: u64,
    /// Which were taken: the place of a number is what is left of it.
    taken: [u64; WORDS],
    /// Until when one of those is good.
    until: u64,
}

impl Default for Replays {
    fn default() -> Self {
        Self { of: Mutex::default(), most: PROCESSES }
    }
}

impl Replays {
    /// Whether this number of that process was never taken before. It is now. `until`: for how long it is good.
    pub(super) fn take(&self, from: &str, number: u64, until: u64, now: u64) -> bool {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = of.get_mut(from) {
            window.until = window.until.max(until);
            return window.take(number);
        }
        if of.len() >= self.most {
            // Whatever was taken of these is good no more, so nobody can send it again.
            of.retain(|_, window| window.until >= now);
            if of.len() >= self.most {
                tracing::warn!(
                    "{} processes have handed requests on to this one within a minute: what another one proves is not taken",
                    of.len()
                );
                return false;
            }
        }
        let mut window = Window { highest: number, taken: [0; WORDS], until };
        let is_new = window.take(number);
        of.insert(from.to_owned(), window);
        is_new
    }
}

impl Window {
    fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            // What is between the two was not taken.
            let first = self.highest.saturating_add(1).max(number.saturating_sub(NUMBERS - 1));
            for skipped in first..=number {
                self.set(skipped, false);
            }
            self.highest = number;
        } else if self.highest - number >= NUMBERS {
            return false;
        }
        let is_new = !self.is_set(number);
        self.set(number, true);
        is_new
    }

    fn place(number: u64) -> (usize, u64) {
        let place = number % NUMBERS;
        ((place / 64) as usize, 1 << (place % 64))
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.taken.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, number: u64, is_set: bool) {
        let (word, bit) = Self::place(number);
        if let Some(word) = self.taken.get_mut(word) {
            *word = if is_set { *word | bit } else { *word & !bit };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_of_each_process_are_its_own() {
        let replays = Replays::default();
        for from in ["a", "b"] {
            for number in [7, 5, 6, 8] {
                assert!(replays.take(from, number, 100, 50), "{from} {number}");
                assert!(!replays.take(from, number, 100, 50), "{from} {number} again");
            }
        }
        // So old that nobody knows.
        assert!(replays.take("a", 8 + NUMBERS, 100, 50));
        assert!(!replays.take("a", 4, 100, 50));
        assert!(replays.take("a", 9, 100, 50), "the oldest that is known");
    }

    #[test]
    fn a_process_is_forgotten_only_when_nothing_of_it_is_good_any_more() {
        let replays = Replays { most: 2, ..Replays::default() };
        assert!(replays.take("a", 1, 100, 50));
        assert!(replays.take("b", 1, 200, 50));
        assert!(!replays.take("c", 1, 200, 100), "both may come again");
        assert!(replays.take("c", 1, 200, 101), "nothing of a is good any more");
        assert!(!replays.take("b", 1, 200, 101), "b is remembered");
        assert!(!replays.take("d", 1, 300, 150));
    }

    proptest! {
        /// Whatever order they come in, each is taken at most once; and exactly once as long as none is later than the window.
        #[test]
        fn each_is_taken_once(numbers in prop::collection::vec((0u64..6 * NUMBERS).prop_map(|number| number + u64::MAX / 3), 1..300)) {
            let replays = Replays::default();
            let (mut taken, mut highest) = (HashSet::new(), 0);
            for number in numbers {
                let is_late = highest > 0 && number + NUMBERS <= highest;
                let is_new = replays.take("a", number, 100, 50);
                prop_assert_eq!(is_new, !is_late && !taken.contains(&number), "{}", number);
                taken.insert(number);
                highest = highest.max(number);
            }
        }
    }
}
