//! What pages hold (MCP Apps): compared when they are read, since no list says it.
//!
//! A page is a program that a client runs beside the conversation. It is judged by what is handed out at that moment, never by what was seen before.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Difference, Part,
    difference::{difference_of_page, is_unpinned},
};
use crate::{
    config::LockedServer,
    provider::{Definition, JsonText, PAGE_SCHEME, Provider, ProviderId, page_of},
};

/// Pages of one provider that are remembered: more have no place in a lock file.
const MOST: usize = 1_000;

/// What the pages of one provider held when they were read last.
#[derive(Debug, Default)]
pub(super) struct SeenPages(Mutex<BTreeMap<String, Definition>>);

impl SeenPages {
    pub(super) fn all(&self) -> BTreeMap<String, Definition> {
        self.lock().clone()
    }

    /// Remembers a page. Whether it held something else before, or was not known.
    pub(super) fn put(&self, uri: &str, said: &Definition) -> bool {
        let mut seen = self.lock();
        let is_news = seen.get(uri) != Some(said);
        if is_news && (seen.len() < MOST || seen.contains_key(uri)) {
            seen.insert(uri.to_owned(), said.clone());
        }
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Definition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the pages of one provider are judged.
pub(super) struct PageRules {
    pub(super) id: ProviderId,
    /// What was accepted.
    pub(super) accepted: BTreeMap<String, Definition>,
    /// Patterns of pages that are not pinned.
    pub(super) unpinned: Arc<[String]>,
    pub(super) hold: bool,
    pub(super) seen: Arc<SeenPages>,
}

impl PageRules {
    /// Of a lock file. None: it pins no pages of this server.
    pub(super) fn of(id: &ProviderId, locked: &LockedServer, unpinned: &Arc<[String]>, hold: bool, seen: &Arc<SeenPages>) -> Option<Self> {
        let accepted = locked.beside.as_ref()?.pages.clone();
        Some(Self { id: id.clone(), accepted, unpinned: Arc::clone(unpinned), hold, seen: Arc::clone(seen) })
    }

    /// Whether what was read may be handed out.
    pub(super) fn admit(&self, uri: &str, contents: &[JsonText]) -> bool {
        if !is_page(uri) || is_unpinned(uri, &self.unpinned) {
            return true;
        }
        let said = Definition::of_page(contents);
        let is_news = self.seen.put(uri, &said);
        let Some(difference) = difference_of_page(uri, self.accepted.get(uri), &said) else { return true };
        if is_news {
            let id = &self.id;
            let done = if self.hold { "is not handed out until it is accepted" } else { "is handed out all the same" };
            tracing::warn!(
                provider = %id,
                "{}: it {done}; `toolbay lock --diff` shows what it holds, and `toolbay lock --accept {}` accepts it",
                difference.sentence(id.as_str()),
                difference.accepted_as(id.as_str())
            );
        }
        !self.hold
    }

    /// In what the pages that were read so far differ from what was accepted.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let seen = self.seen.all();
        seen.iter().filter_map(|(uri, said)| difference_of_page(uri, self.accepted.get(uri), said)).collect()
    }
}

/// The pages of a provider: those that it lists, and those that its tools name.
pub(super) fn of_provider(provider: &dyn Provider) -> Vec<String> {
    let listed = provider.offers().resources.iter().map(|offer| offer.key.as_str()).filter(|uri| is_page(uri));
    let named = provider.tools().iter().filter_map(|tool| page_of(tool.meta.as_ref()?));
    let mut all: Vec<String> = listed.chain(named).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

/// Whether a provider lists a resource itself.
pub(super) fn is_listed(provider: &dyn Provider, uri: &str) -> bool {
    provider.offers().resources.iter().any(|offer| offer.key == uri)
}

/// Whether it can have pages at all.
pub(super) fn has_any(provider: &dyn Provider) -> bool {
    provider.reads_unlisted() || !of_provider(provider).is_empty()
}

pub(super) fn is_page(uri: &str) -> bool {
    // As a client that takes a scheme in capitals for the same.
    uri.get(..PAGE_SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(PAGE_SCHEME))
}

/// Whether a part is what a page holds.
pub(super) fn is_about_page(one: &Difference) -> bool {
    matches!(one.part, Part::Page(_))
}
