//! Who has which name: the rules for everything that is called by name, tools and prompts alike.

use std::{
    collections::{HashMap, HashSet, hash_map},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::{
    Collision, Kind,
    naming::{cut, publishable, qualified},
};
use crate::provider::{Provider, ProviderId};

/// Something that is called by name.
pub(super) trait Named: Sized {
    /// What it is, for people.
    const KIND: Kind;
    /// What a provider offers.
    type Source;
    /// The provider's own name for it.
    fn own_name_of(source: &Self::Source) -> &str;
    /// The same under this name. None: it cannot have that name.
    fn under(provider: Arc<dyn Provider>, source: &Arc<Self::Source>, name: &str) -> Option<Self>;
    /// Who offers it.
    fn provider(&self) -> &Arc<dyn Provider>;
    /// Its object in a list.
    fn json(&self) -> &str;
    /// Whether a client would see the same.
    fn looks_like(&self, other: &Self) -> bool;
}

/// One provider's offer, with what is made of it once.
pub(super) struct Offered<E: Named> {
    provider: Arc<dyn Provider>,
    source: Arc<E::Source>,
    own: Arc<str>,
    /// `provider__name`, of any length.
    qualified: Arc<str>,
    /// Under its own name.
    plain: Arc<E>,
    /// Under its qualified name, made when it is needed.
    renamed: OnceLock<Option<(Arc<str>, Arc<E>)>>,
    /// Under the cut name, for the second of two with one qualified form.
    second: OnceLock<Option<(Arc<str>, Arc<E>)>>,
}

impl<E: Named> Offered<E> {
    /// All of a provider's; a name that comes twice is taken once.
    pub(super) fn all(provider: &Arc<dyn Provider>, sources: &[Arc<E::Source>], twice: &mut Vec<Collision>) -> Vec<Self> {
        let (mut offers, mut seen) = (Vec::with_capacity(sources.len()), HashSet::new());
        for source in sources {
            let own = E::own_name_of(source);
            if !seen.insert(own) {
                twice.push(Collision::Twice { kind: E::KIND, name: own.to_owned(), provider: provider.id().clone() });
                continue;
            }
            let Some(plain) = E::under(Arc::clone(provider), source, own) else { continue };
            offers.push(Self {
                own: own.into(),
                qualified: qualified(provider.id(), own).into(),
                plain: Arc::new(plain),
                provider: Arc::clone(provider),
                source: Arc::clone(source),
                renamed: OnceLock::new(),
                second: OnceLock::new(),
            });
        }
        offers
    }

    fn id(&self) -> &ProviderId {
        self.provider.id()
    }

    /// The entry under the qualified name; `first` says whether the plain qualified form is this one's.
    fn qualified_entry(&self, first: bool) -> Option<&(Arc<str>, Arc<E>)> {
        let (cell, naming): (_, fn(&ProviderId, &str) -> String) = if first { (&self.renamed, publishable) } else { (&self.second, cut) };
        let made = cell.get_or_init(|| {
            let name = naming(self.id(), &self.own);
            let entry = E::under(Arc::clone(&self.provider), &self.source, &name)?;
            Some((Arc::from(name), Arc::new(entry)))
        });
        made.as_ref()
    }
}

/// All names of one kind.
pub(super) struct Names<E> {
    /// Every name that works: published names and qualified forms.
    by_name: HashMap<Arc<str>, Arc<E>>,
    /// What is published, by published name.
    published: Vec<Arc<E>>,
    list: OnceLock<Bytes>,
}

impl<E> Default for Names<E> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), published: Vec::new(), list: OnceLock::new() }
    }
}

impl<E: Named> Names<E> {
    pub(super) fn resolve(&self, name: &str) -> Option<&Arc<E>> {
        self.by_name.get(name)
    }

    pub(super) fn published(&self) -> &[Arc<E>] {
        &self.published
    }

    pub(super) fn list_json(&self) -> &Bytes {
        self.list.get_or_init(|| json_array(self.published.iter().map(|entry| entry.json())))
    }

    pub(super) fn looks_like(&self, other: &Self) -> bool {
        self.published.len() == other.published.len() && self.published.iter().zip(&other.published).all(|(a, b)| a.looks_like(b))
    }

    /// Gives out the names. The offers come in the order of providers.
    pub(super) fn assign(offers: &[&Offered<E>], collisions: &mut Vec<Collision>) -> Self {
        let kind = E::KIND;
        let mut owners: HashMap<&str, Vec<&ProviderId>> = HashMap::with_capacity(offers.len());
        // Who has which qualified form. The first provider by name keeps a form that two would have.
        let mut forms: HashMap<&str, &ProviderId> = HashMap::with_capacity(offers.len());
        for offer in offers {
            owners.entry(&offer.own).or_default().push(offer.id());
            forms.entry(&offer.qualified).or_insert(offer.id());
        }

        let mut names: HashMap<Arc<str>, Arc<E>> = HashMap::with_capacity(offers.len() * 2);
        let mut published = Vec::with_capacity(offers.len());
        let mut needs_qualifying = Vec::new();
        for offer in offers {
            let shared = owners.get(&*offer.own).is_some_and(|owners| owners.len() > 1);
            let other = forms.get(&*offer.own);
            if let (Some(other), false) = (other, shared) {
                let (provider, other) = (offer.id().clone(), (*other).clone());
                collisions.push(Collision::LooksQualified { kind, name: offer.own.to_string(), provider, other });
            }
            if shared || other.is_some() {
                needs_qualifying.push(offer);
            } else {
                names.insert(Arc::clone(&offer.own), Arc::clone(&offer.plain));
                published.push((Arc::clone(&offer.own), Arc::clone(&offer.plain)));
            }
        }
        for offer in needs_qualifying {
            let first = forms.get(&*offer.qualified).is_some_and(|owner| *owner == offer.id());
            let Some((name, entry)) = offer.qualified_entry(first) else {
                collisions.push(Collision::Unpublished { kind, qualified: offer.qualified.to_string() });
                continue;
            };
            match names.entry(Arc::clone(name)) {
                hash_map::Entry::Occupied(_) => collisions.push(Collision::Unpublished { kind, qualified: offer.qualified.to_string() }),
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(Arc::clone(entry));
                    if **name != *offer.qualified {
                        collisions.push(Collision::Cut { kind, qualified: offer.qualified.to_string(), published: name.to_string() });
                    }
                    published.push((Arc::clone(name), Arc::clone(entry)));
                }
            }
        }
        // The qualified form always works, however the thing is published. Of two that share a form the first has it already.
        for offer in offers {
            if forms.get(&*offer.qualified).is_some_and(|owner| *owner == offer.id()) && !names.contains_key(&offer.qualified) {
                let entry = names.get(&offer.own).filter(|entry| Arc::ptr_eq(entry.provider(), &offer.provider)).cloned();
                let entry = entry.or_else(|| offer.qualified_entry(true).map(|(_, entry)| Arc::clone(entry)));
                if let Some(entry) = entry {
                    names.insert(Arc::clone(&offer.qualified), entry);
                }
            }
        }
        published.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut same: Vec<_> = owners.iter().filter(|(_, owners)| owners.len() > 1).collect();
        same.sort_unstable();
        collisions.extend(same.into_iter().map(|(name, owners)| Collision::SameName {
            kind,
            name: (*name).to_owned(),
            providers: owners.iter().map(|id| (*id).clone()).collect(),
        }));
        let published = published.into_iter().map(|(_, entry)| entry).collect();
        Self { by_name: names, published, list: OnceLock::new() }
    }
}

/// Texts of JSON as one array.
pub(super) fn json_array<'a>(items: impl Iterator<Item = &'a str> + Clone) -> Bytes {
    let mut text = String::with_capacity(2 + items.clone().map(|item| item.len() + 1).sum::<usize>());
    text.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(item);
    }
    text.push(']');
    text.into()
}
