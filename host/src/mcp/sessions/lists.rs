//! Which lists are on offer, in terms that all instances share: digests of them.

use std::sync::{Arc, Mutex, PoisonError};

use super::token::Digests;
use crate::catalog::{Catalog, Generations};

/// The lists of one catalog.
pub(super) struct Lists {
    catalog: Arc<Catalog>,
    /// As they were when they were asked for last.
    known: Mutex<Option<(Generations, Digests)>>,
}

impl Lists {
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, known: Mutex::default() }
    }

    /// Which they are now, in this process and anywhere.
    pub(super) fn now(&self) -> (Generations, Digests) {
        let snapshot = Arc::clone(&self.catalog.snapshot());
        let now = snapshot.generations();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((generations, digests)) = *known
            && generations == now
        {
            return (now, digests);
        }
        let digests = [
            digest(&[snapshot.list_json()]),
            digest(&[snapshot.prompts_json()]),
            digest(&[snapshot.resources_json(), snapshot.templates_json()]),
        ];
        *known = Some((now, digests));
        (now, digests)
    }

    /// Generations that differ from those of now in the lists of which a client knows another state.
    pub(super) fn unlike(&self, known: Digests) -> Generations {
        let (now, lists) = self.now();
        let [tools, prompts, resources] = [0, 1, 2].map(|list: usize| lists.get(list) != known.get(list));
        let other = |generation: u64, differs: bool| if differs { generation.wrapping_sub(1) } else { generation };
        Generations { tools: other(now.tools, tools), prompts: other(now.prompts, prompts), resources: other(now.resources, resources) }
    }
}

fn digest(texts: &[&[u8]]) -> u32 {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(text);
    }
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    u32::from_be_bytes([a, b, c, d])
}
