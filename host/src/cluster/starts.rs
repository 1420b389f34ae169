//! Which process is at the address of another instance, as far as that was said, and how many requests were signed for it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Addresses that are remembered. Whoever is forgotten is asked again.
const ADDRESSES: usize = 4096;

/// By address.
#[derive(Default)]
pub(super) struct Starts(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<String, Known>,
    /// The highest number that was given out for an address that is forgotten: none is given out twice.
    highest: u64,
}

struct Known {
    start: String,
    signed: u64,
}

impl Starts {
    /// The process at that address, and the number of the next request for it. None: it was never asked.
    pub(super) fn next(&self, address: &str) -> Option<(String, u64)> {
        let mut state = self.lock();
        let known = state.known.get_mut(address)?;
        known.signed += 1;
        Some((known.start.clone(), known.signed))
    }

    /// The process at that address says its name.
    pub(super) fn learn(&self, address: &str, start: &str) {
        let mut state = self.lock();
        if let Some(known) = state.known.get_mut(address) {
            start.clone_into(&mut known.start);
            return;
        }
        if state.known.len() >= ADDRESSES {
            let highest = state.known.drain().map(|(_, known)| known.signed).max();
            state.highest = state.highest.max(highest.unwrap_or_default());
        }
        let signed = state.highest;
        state.known.insert(address.to_owned(), Known { start: start.to_owned(), signed });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_out_twice() {
        let starts = Starts::default();
        assert_eq!(starts.next("a"), None);
        starts.learn("a", "x");
        assert_eq!([starts.next("a"), starts.next("a")], [1, 2].map(|number| Some(("x".to_owned(), number))));
        starts.learn("a", "y");
        assert_eq!(starts.next("a"), Some(("y".to_owned(), 3)));
        for number in 0..ADDRESSES {
            starts.learn(&number.to_string(), "z");
        }
        assert_eq!(starts.next("a"), None, "it is forgotten");
        starts.learn("a", "y");
        assert_eq!(starts.next("a"), Some(("y".to_owned(), 4)));
    }
}
