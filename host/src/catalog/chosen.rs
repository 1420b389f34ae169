//! A catalog of what an endpoint offers of another one: the same names and lists, as if there were nothing else. It follows that one, and callers' roles
//! limit it as they limit the whole.

use std::sync::{Arc, Weak};

use super::{Access, Catalog, Snapshot};
use crate::provider::ProviderId;

/// What an endpoint offers of everything there is.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The endpoint's name. No provider has it.
    pub endpoint: ProviderId,
    /// What it offers.
    pub access: Arc<Access>,
    /// Whether tools are found by a search and not listed.
    pub search: bool,
}

impl Catalog {
    /// A catalog of this part of the whole. It follows the whole for as long as somebody holds it.
    #[must_use]
    pub fn choose(&self, choice: Choice) -> Arc<Self> {
        let mut state = self.lock();
        let chosen = Self::new();
        chosen.lock().choice = Some(choice);
        chosen.follow(&self.current.load_full());
        state.chosen.push(Arc::downgrade(&chosen));
        chosen
    }

    /// Gives one that was chosen of this another part.
    pub fn choose_again(&self, chosen: &Arc<Self>, choice: Choice) {
        let state = self.lock();
        if state.chosen.iter().any(|known| Weak::as_ptr(known) == Arc::as_ptr(chosen)) {
            chosen.lock().choice = Some(choice);
            chosen.follow(&self.current.load_full());
        }
    }

    /// Takes its part of the next state of the whole.
    pub(super) fn follow(&self, whole: &Arc<Snapshot>) {
        let state = self.lock();
        let Some(Choice { endpoint, access, search }) = &state.choice else { return };
        let before = self.current.load();
        let mut next = Snapshot::chosen(whole, Arc::clone(access), endpoint, *search);
        let generations = next.follow(&before);
        let changed = generations != before.generations();
        self.current.store(Arc::new(next));
        self.kept.outdate();
        if changed {
            self.generations.send_replace(generations);
        }
    }
}
