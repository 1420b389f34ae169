//! The guards and flows of this moment, and what calls have read so far: shared by all fronts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{Operation, conversations::Conversations};
use crate::catalog::{Marks, Safeguards};

/// The rules of this moment. They can change while calls run.
#[derive(Debug, Default)]
pub struct LiveSafeguards {
    /// Whether there are any: nearly never, and a call then pays for one look.
    are_there: AtomicBool,
    /// Whether tools have labels.
    have_flows: AtomicBool,
    rules: ArcSwap<Safeguards>,
    conversations: Conversations,
}

impl LiveSafeguards {
    /// Goes by other rules from now on. `window`: how long a conversation remembers.
    pub fn put(&self, rules: Safeguards, window: Duration) {
        let (are_there, have_flows) = (!rules.is_empty(), rules.has_flows());
        self.conversations.remember_for(window);
        self.rules.store(Arc::new(rules));
        self.have_flows.store(have_flows, Ordering::Release);
        self.are_there.store(are_there, Ordering::Release);
    }

    /// Those of this moment.
    pub(super) fn rules(&self) -> Arc<Safeguards> {
        self.rules.load_full()
    }

    /// What holds for a call. None: nothing.
    pub(super) fn marks(&self, operation: &Operation<'_>) -> Option<Arc<Marks>> {
        if !self.are_there.load(Ordering::Acquire) {
            return None;
        }
        let Operation::Call { entry, .. } = operation else { return None };
        entry.marks(&self.rules.load())
    }

    /// Whether it matters which conversation a call belongs to.
    #[must_use]
    pub fn have_flows(&self) -> bool {
        self.have_flows.load(Ordering::Acquire)
    }

    /// What was read in conversations.
    pub(super) fn conversations(&self) -> &Conversations {
        &self.conversations
    }
}
