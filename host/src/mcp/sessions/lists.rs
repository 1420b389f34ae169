//! Which lists are on offer to a caller, in terms that all instances share: digests of them.

use std::sync::{Arc, Mutex, PoisonError};

use super::token::Digests;
use crate::{
    catalog::{Catalog, Generations, Seen},
    dispatch::Dispatcher,
    provider::Principal,
};

/// The lists of one catalog.
pub(super) struct Lists {
    catalog: Arc<Catalog>,
    /// Knows what the owners of sessions may use.
    dispatcher: Arc<Dispatcher>,
    /// As they were when they were asked for: the latest last.
    known: Mutex<Vec<(Generations, Digests)>>,
}

/// Digests that are kept: few callers differ in what they see.
const KEPT: usize = 32;

impl Lists {
    pub(super) fn new(catalog: Arc<Catalog>, dispatcher: Arc<Dispatcher>) -> Self {
        Self { catalog, dispatcher, known: Mutex::default() }
    }

    /// What the owner of a session is shown by now.
    pub(super) fn seen(&self, owner: Option<&Principal>) -> Seen {
        self.dispatcher.listed_now(&self.catalog, owner)
    }

    /// Which they are now, in this process and anywhere.
    pub(super) fn now(&self, owner: Option<&Principal>) -> (Generations, Digests) {
        let seen = self.seen(owner);
        let now = seen.generations();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, digests)) = known.iter().rev().find(|(generations, _)| *generations == now) {
            return (now, *digests);
        }
        let digests =
            [digest(&[seen.list_json()]), digest(&[seen.prompts_json()]), digest(&[seen.resources_json(), seen.templates_json()])];
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push((now, digests));
        (now, digests)
    }

    /// Generations that differ from those of now in the lists of which a client knows another state.
    pub(super) fn unlike(&self, owner: Option<&Principal>, known: Digests) -> Generations {
        let (now, lists) = self.now(owner);
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
