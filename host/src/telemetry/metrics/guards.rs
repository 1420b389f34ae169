//! What guards decided, by guard.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{Out, Source, family};

/// Guards that are told apart: more than any host has.
const MOST: usize = 1_000;

/// What stands in the label of those beyond that.
const OTHER: &str = "_OTHER";

/// What a guard decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuardWord {
    /// It goes on as it is.
    Allow,
    /// It ends.
    Deny,
    /// It goes on as something else.
    Change,
    /// A person is asked.
    Ask,
    /// The guard failed, or was not run.
    Error,
}

impl GuardWord {
    const ALL: [(Self, &'static str); 5] =
        [(Self::Allow, "allow"), (Self::Deny, "deny"), (Self::Change, "change"), (Self::Ask, "ask"), (Self::Error, "error")];
}

/// Counts by guard. To ask one costs far more than a lock.
#[derive(Debug, Default)]
pub struct GuardDecisions(Mutex<BTreeMap<Box<str>, [u64; GuardWord::ALL.len()]>>);

impl GuardDecisions {
    pub(super) fn count(&self, guard: &str, word: GuardWord) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if all.len() < MOST || all.contains_key(guard) { guard } else { OTHER };
        if !all.contains_key(name) {
            all.insert(name.into(), Default::default());
        }
        if let Some(count) = all.get_mut(name).and_then(|counts| counts.get_mut(word as usize)) {
            *count += 1;
        }
    }
}

impl Source for GuardDecisions {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = out.family(&family::GUARD_DECISIONS)?;
        for (guard, counts) in &all {
            for ((_, word), count) in GuardWord::ALL.iter().zip(counts) {
                samples.add([&**guard, word], *count)?;
            }
        }
        Ok(())
    }
}
