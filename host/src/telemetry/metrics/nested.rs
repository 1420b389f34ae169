//! Calls that tools made, by who made them and who was called.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{Out, Source, family};

/// Pairs that are told apart: more than any host loads.
const MOST: usize = 10_000;

/// What stands in the labels of those beyond that.
const OTHER: &str = "_OTHER";

/// Who made a call, and who was called.
type Pair = (Box<str>, Box<str>);

/// Counts by pair. Such a call costs far more than a lock.
#[derive(Debug, Default)]
pub struct NestedCalls(Mutex<BTreeMap<Pair, u64>>);

impl NestedCalls {
    pub(super) fn count(&self, parent: &str, provider: &str) {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pair: Pair = (parent.into(), provider.into());
        let pair = if pairs.len() < MOST || pairs.contains_key(&pair) { pair } else { (OTHER.into(), OTHER.into()) };
        *pairs.entry(pair).or_default() += 1;
    }
}

impl Source for NestedCalls {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        let pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = out.family(&family::NESTED_CALLS)?;
        for ((parent, provider), count) in &pairs {
            samples.add([&**parent, &**provider], *count)?;
        }
        Ok(())
    }
}
