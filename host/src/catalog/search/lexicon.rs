//! What a search has of all providers: their words, and what their tools mean.

use std::{collections::BTreeMap, sync::Arc};

use super::{meanings::Meanings, terms::Terms};
use crate::provider::ProviderId;

/// The words of all providers, and what their tools mean. Clones are the same one.
#[derive(Clone, Default)]
pub struct Lexicon {
    all: Arc<BTreeMap<ProviderId, Arc<Terms>>>,
    pub(super) meanings: Arc<Meanings>,
}

impl Lexicon {
    /// Of these providers, whose meanings are kept there.
    #[must_use]
    pub fn new<'a>(providers: impl Iterator<Item = (&'a ProviderId, &'a Arc<Terms>)>, meanings: &Arc<Meanings>) -> Self {
        let all = providers.map(|(id, terms)| (id.clone(), Arc::clone(terms))).collect();
        Self { all: Arc::new(all), meanings: Arc::clone(meanings) }
    }

    pub(super) fn get(&self, id: &ProviderId) -> Option<&Arc<Terms>> {
        self.all.get(id)
    }

    /// Those of each provider.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Terms>> {
        self.all.values()
    }
}
