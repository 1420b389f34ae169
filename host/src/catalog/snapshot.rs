//! One state of the catalog: which names there are, and whose.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::{
    Collision, Entry,
    naming::{cut, publishable, qualified},
};
use crate::provider::{Provider, ProviderId, Tool, ToolName};

/// Everything on offer at one moment. Immutable, so a request sees one state from its beginning to its end.
#[derive(Default)]
pub struct Snapshot {
    generation: u64,
    /// Every name that works in a call: published names and qualified forms.
    names: HashMap<Arc<str>, Arc<Entry>>,
    /// What is published, by published name.
    published: Vec<Arc<Entry>>,
    collisions: Vec<Collision>,
    list: OnceLock<Bytes>,
}

impl Snapshot {
    /// The tool that a call by this name means: the published name, or the qualified form of any tool.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<&Arc<Entry>> {
        self.names.get(name)
    }

    /// What is published, in the order of names.
    pub fn tools(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.published.iter()
    }

    /// The JSON array of all published tools. Made at the first question; every tool's own text is kept from one snapshot to the next.
    #[must_use]
    pub fn list_json(&self) -> &Bytes {
        self.list.get_or_init(|| {
            let mut text = String::with_capacity(2 + self.published.iter().map(|entry| entry.json().len() + 1).sum::<usize>());
            text.push('[');
            for (index, entry) in self.published.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(entry.json());
            }
            text.push(']');
            text.into()
        })
    }

    /// Names that clash, and what came of it.
    #[must_use]
    pub fn collisions(&self) -> &[Collision] {
        &self.collisions
    }

    /// Which published list this is: grows by one with each list that differs from the one before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Whether a client would get the same list.
    pub(super) fn publishes_the_same(&self, other: &Self) -> bool {
        self.published.len() == other.published.len()
            && self.published.iter().zip(&other.published).all(|(a, b)| Arc::ptr_eq(a.tool(), b.tool()) || a.tool() == b.tool())
    }

    pub(super) fn build(providers: &BTreeMap<ProviderId, Held>) -> Self {
        let offers = || providers.values().flat_map(|held| held.offers.iter().map(move |offer| (held, offer)));
        let count = offers().count();
        let mut collisions: Vec<Collision> = providers.values().flat_map(|held| held.twice.iter().cloned()).collect();

        let mut owners: HashMap<&str, Vec<&ProviderId>> = HashMap::with_capacity(count);
        for (held, offer) in offers() {
            owners.entry(offer.tool.name.as_str()).or_default().push(held.id());
        }
        // Who has which qualified form. The first provider by name keeps a form that two would have.
        let mut forms: HashMap<&str, &ProviderId> = HashMap::with_capacity(count);
        for (held, offer) in offers() {
            forms.entry(&offer.qualified).or_insert(held.id());
        }

        let mut names: HashMap<Arc<str>, Arc<Entry>> = HashMap::with_capacity(count * 2);
        let mut published = Vec::with_capacity(count);
        let mut needs_qualifying = Vec::new();
        for (held, offer) in offers() {
            let own = &offer.tool.name;
            let shared = owners.get(own.as_str()).is_some_and(|owners| owners.len() > 1);
            let other = forms.get(own.as_str());
            if let (Some(other), false) = (other, shared) {
                let (provider, other) = (held.id().clone(), (*other).clone());
                collisions.push(Collision::LooksQualified { name: own.clone(), provider, other });
            }
            if shared || other.is_some() {
                needs_qualifying.push((held, offer));
            } else {
                names.insert(Arc::clone(&offer.own), Arc::clone(&offer.plain));
                published.push((Arc::clone(&offer.own), Arc::clone(&offer.plain)));
            }
        }
        for (held, offer) in needs_qualifying {
            let first = forms.get(&*offer.qualified).is_some_and(|owner| *owner == held.id());
            let Some((name, entry)) = offer.qualified_entry(held, first) else {
                collisions.push(Collision::Unpublished { qualified: offer.qualified.to_string() });
                continue;
            };
            match names.entry(Arc::clone(name)) {
                hash_map::Entry::Occupied(_) => collisions.push(Collision::Unpublished { qualified: offer.qualified.to_string() }),
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(Arc::clone(entry));
                    if **name != *offer.qualified {
                        collisions.push(Collision::Cut { qualified: offer.qualified.to_string(), published: entry.tool().name.clone() });
                    }
                    published.push((Arc::clone(name), Arc::clone(entry)));
                }
            }
        }
        // The qualified form works for every tool, however it is published. Of two that share a form the first has it already.
        for (held, offer) in offers() {
            if forms.get(&*offer.qualified).is_some_and(|owner| *owner == held.id()) && !names.contains_key(&offer.qualified) {
                let entry = names.get(&offer.own).filter(|entry| Arc::ptr_eq(entry.provider(), &held.provider)).cloned();
                let entry = entry.or_else(|| offer.qualified_entry(held, true).map(|(_, entry)| Arc::clone(entry)));
                if let Some(entry) = entry {
                    names.insert(Arc::clone(&offer.qualified), entry);
                }
            }
        }
        published.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut same: Vec<Collision> = owners
            .iter()
            .filter(|(_, owners)| owners.len() > 1)
            .filter_map(|(name, owners)| {
                let providers = owners.iter().map(|id| (*id).clone()).collect();
                ToolName::new(*name).ok().map(|name| Collision::SameName { name, providers })
            })
            .collect();
        same.sort_by_cached_key(ToString::to_string);
        collisions.extend(same);
        let published = published.into_iter().map(|(_, entry)| entry).collect();
        Self { generation: 0, names, published, collisions, list: OnceLock::new() }
    }
}

/// A provider in the catalog, with what is made once of each of its tools.
pub(super) struct Held {
    provider: Arc<dyn Provider>,
    offers: Vec<Offer>,
    twice: Vec<Collision>,
}

struct Offer {
    tool: Arc<Tool>,
    own: Arc<str>,
    /// `provider__tool`, of any length.
    qualified: Arc<str>,
    /// The tool under its own name.
    plain: Arc<Entry>,
    /// The tool under its qualified name, made when it is needed.
    renamed: OnceLock<Option<(Arc<str>, Arc<Entry>)>>,
    /// The same under the cut name, for the second of two tools with one qualified form.
    second: OnceLock<Option<(Arc<str>, Arc<Entry>)>>,
}

impl Held {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        let (mut offers, mut twice, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for tool in provider.tools() {
            if !seen.insert(tool.name.clone()) {
                twice.push(Collision::Twice { name: tool.name.clone(), provider: provider.id().clone() });
                continue;
            }
            offers.push(Offer {
                own: tool.name.as_str().into(),
                qualified: qualified(provider.id(), &tool.name).into(),
                plain: Arc::new(Entry::new(Arc::clone(&provider), tool.name.clone(), Arc::clone(tool))),
                tool: Arc::clone(tool),
                renamed: OnceLock::new(),
                second: OnceLock::new(),
            });
        }
        Self { provider, offers, twice }
    }

    pub(super) fn id(&self) -> &ProviderId {
        self.provider.id()
    }
}

impl Offer {
    /// The entry under the qualified name; `first` says whether the plain qualified form is this tool's.
    fn qualified_entry(&self, held: &Held, first: bool) -> Option<&(Arc<str>, Arc<Entry>)> {
        let (cell, naming): (_, fn(&ProviderId, &ToolName) -> Option<ToolName>) =
            if first { (&self.renamed, publishable) } else { (&self.second, cut) };
        let made = cell.get_or_init(|| {
            let name = naming(held.id(), &self.tool.name)?;
            let tool = Arc::new(Tool { name: name.clone(), ..(*self.tool).clone() });
            let entry = Arc::new(Entry::new(Arc::clone(&held.provider), self.tool.name.clone(), tool));
            Some((Arc::from(name.as_str()), entry))
        });
        made.as_ref()
    }
}
