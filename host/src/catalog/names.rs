//! Who has which name: the rules for everything that is called by name, tools and prompts alike.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::{
    Collision, Kind,
    naming::{cut, plain_names, publishable, qualified},
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
    /// The same, shared with it where it can be.
    fn shared_name_of(source: &Self::Source) -> Arc<str> {
        Self::own_name_of(source).into()
    }
    /// The same under this name. None: it cannot have that name.
    fn under(provider: Arc<dyn Provider>, source: &Arc<Self::Source>, name: &str) -> Option<Self>;
    /// Its object in a list.
    fn json(&self) -> &str;
    /// Whether a client would see the same.
    fn looks_like(&self, other: &Self) -> bool;
}

/// One provider's offer, with what is made of it once.
pub(super) struct Offered<E: Named> {
    provider: Arc<dyn Provider>,
    source: Arc<E::Source>,
    /// The provider's own name for it, which works in a call where nobody else has it.
    given: Arc<str>,
    /// The own name, or what is published in its place where model APIs would refuse it.
    own: Arc<str>,
    /// `provider__name`, of any length.
    qualified: Arc<str>,
    /// Under that name, made when it is needed: of thousands with the same names nobody has it.
    plain: OnceLock<Option<Arc<E>>>,
    /// Under its qualified name, made when it is needed.
    renamed: OnceLock<Option<(Arc<str>, Arc<E>)>>,
    /// Under the cut name, for the second of two with one qualified form.
    second: OnceLock<Option<(Arc<str>, Arc<E>)>>,
}

impl<E: Named> Offered<E> {
    /// All of a provider's; a name that comes twice is taken once.
    pub(super) fn all(provider: &Arc<dyn Provider>, sources: &[Arc<E::Source>], twice: &mut Vec<Collision>) -> Vec<Self> {
        let mut seen = HashSet::new();
        let mut distinct = Vec::with_capacity(sources.len());
        for source in sources {
            let own = E::own_name_of(source);
            if seen.insert(own) {
                distinct.push(source);
            } else {
                twice.push(Collision::Twice { kind: E::KIND, name: own.to_owned(), provider: provider.id().clone() });
            }
        }
        let given: Vec<&str> = distinct.iter().map(|source| E::own_name_of(source)).collect();
        let mut offers = Vec::with_capacity(distinct.len());
        let mut other = Vec::new();
        for (source, own) in distinct.into_iter().zip(plain_names(E::KIND, &given)) {
            let given = E::own_name_of(source);
            if own != given {
                other.push((given.to_owned(), own.clone()));
            }
            // What a provider calls it, it can be called.
            let plain = if own == given { None } else { Some(E::under(Arc::clone(provider), source, &own).map(Arc::new)) };
            if matches!(plain, Some(None)) {
                continue;
            }
            let qualified = qualified(provider.id(), &own).into();
            let given = E::shared_name_of(source);
            let own = if *own == *given { Arc::clone(&given) } else { own.into() };
            offers.push(Self {
                given,
                qualified,
                own,
                plain: plain.map_or_else(OnceLock::new, OnceLock::from),
                provider: Arc::clone(provider),
                source: Arc::clone(source),
                renamed: OnceLock::new(),
                second: OnceLock::new(),
            });
        }
        if !other.is_empty() {
            twice.push(Collision::Unsafe { kind: E::KIND, provider: provider.id().clone(), names: other });
        }
        offers
    }

    fn id(&self) -> &ProviderId {
        self.provider.id()
    }

    /// The entry under the provider's own name.
    fn plain_entry(&self) -> Option<&Arc<E>> {
        self.plain.get_or_init(|| E::under(Arc::clone(&self.provider), &self.source, &self.own).map(Arc::new)).as_ref()
    }

    /// The entry under the qualified name; `first` says whether the plain qualified form is this one's.
    fn qualified_entry(&self, first: bool) -> Option<&(Arc<str>, Arc<E>)> {
        let (cell, naming): (_, fn(Kind, &ProviderId, &str) -> String) =
            if first { (&self.renamed, publishable) } else { (&self.second, cut) };
        let made = cell.get_or_init(|| {
            let name = naming(E::KIND, self.id(), &self.own);
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
    /// What is published: one provider after the other, each in its own order.
    published: Vec<Arc<E>>,
    /// Who is published under its own name, by that name.
    holders: HashMap<Arc<str>, ProviderId>,
    list: OnceLock<Bytes>,
}

impl<E> Default for Names<E> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), published: Vec::new(), holders: HashMap::new(), list: OnceLock::new() }
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

    /// Those that `allows` lets pass, under the names that they have here.
    pub(super) fn only(&self, allows: impl Fn(&E) -> bool) -> Self {
        let published: Vec<_> = self.published.iter().filter(|entry| allows(entry)).cloned().collect();
        let by_name = self.by_name.iter().filter(|(_, entry)| allows(entry));
        let by_name = by_name.map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))).collect();
        Self { by_name, published, holders: HashMap::new(), list: OnceLock::new() }
    }

    /// Takes out of the list what is not to be listed. A call by its name finds it all the same.
    pub(super) fn unlist(&mut self, is_unlisted: impl Fn(&E) -> bool) {
        self.published.retain(|entry| !is_unlisted(entry));
    }

    /// Takes out what is hidden, and says what that was. Names stay given out: what comes back has the name that it had.
    pub(super) fn hide(&mut self, is_hidden: impl Fn(&E) -> bool) -> Vec<Arc<E>> {
        let hidden = self.published.extract_if(.., |entry| is_hidden(entry)).collect();
        self.by_name.retain(|_, entry| !is_hidden(entry));
        hidden
    }

    /// Puts what `other` makes of some in their place, under the same names.
    pub(super) fn replace(&mut self, other: impl Fn(&E) -> Option<E>) {
        // Both hold the same ones, and one may have several names. What is replaced is kept until the end, so that nothing else gets its address.
        let mut made: HashMap<*const E, (Arc<E>, Arc<E>)> = HashMap::new();
        for entry in self.by_name.values_mut().chain(&mut self.published) {
            let known = made.get(&Arc::as_ptr(entry)).map(|(_, new)| Arc::clone(new));
            if let Some(new) = known.or_else(|| other(entry).map(Arc::new)) {
                let old = std::mem::replace(entry, Arc::clone(&new));
                made.insert(Arc::as_ptr(&old), (old, new));
            }
        }
    }

    pub(super) fn looks_like(&self, other: &Self) -> bool {
        self.published.len() == other.published.len() && self.published.iter().zip(&other.published).all(|(a, b)| a.looks_like(b))
    }

    /// Gives out the names. The offers come in the order of providers.
    ///
    /// `before` are the names that clients have seen: who is published under its own name there keeps it, whoever else comes with the same one.
    pub(super) fn assign(offers: &[&Offered<E>], before: Option<&Self>, collisions: &mut Vec<Collision>) -> Self {
        let kind = E::KIND;
        let mut owners: HashMap<&str, Vec<&ProviderId>> = HashMap::with_capacity(offers.len());
        // Who has which qualified form. The first provider by name keeps a form that two would have.
        let mut forms: HashMap<&str, &ProviderId> = HashMap::with_capacity(offers.len());
        for offer in offers {
            owners.entry(&offer.own).or_default().push(offer.id());
            forms.entry(&offer.qualified).or_insert(offer.id());
        }
        let holder = |name: &str| {
            let held = before?.holders.get(name)?;
            owners.get(name)?.iter().find(|owner| **owner == held).copied()
        };

        let mut names: HashMap<Arc<str>, Arc<E>> = HashMap::with_capacity(offers.len() * 2);
        let mut holders = HashMap::new();
        let mut published: Vec<Option<Arc<E>>> = Vec::with_capacity(offers.len());
        let mut needs_qualifying = Vec::new();
        for (index, offer) in offers.iter().enumerate() {
            let holder = holder(&offer.own);
            let keeps = holder == Some(offer.id());
            let shared = owners.get(&*offer.own).is_some_and(|owners| owners.len() > 1);
            let other = forms.get(&*offer.own);
            if let (Some(other), false, false) = (other, shared, keeps) {
                let (provider, other) = (offer.id().clone(), (*other).clone());
                collisions.push(Collision::LooksQualified { kind, name: offer.own.to_string(), provider, other });
            }
            let plain = if keeps || (!shared && other.is_none()) { offer.plain_entry() } else { None };
            if let Some(plain) = plain {
                names.insert(Arc::clone(&offer.own), Arc::clone(plain));
                holders.insert(Arc::clone(&offer.own), offer.id().clone());
            } else {
                needs_qualifying.push((index, offer));
            }
            published.push(plain.cloned());
        }
        for (index, offer) in needs_qualifying {
            let first = forms.get(&*offer.qualified).is_some_and(|owner| *owner == offer.id());
            let is_free = |made: &&(Arc<str>, Arc<E>)| !names.contains_key(&made.0);
            let made = offer.qualified_entry(first).filter(is_free).or_else(|| offer.qualified_entry(false).filter(is_free));
            let Some((name, entry)) = made else {
                collisions.push(Collision::Unpublished { kind, qualified: offer.qualified.to_string() });
                continue;
            };
            names.insert(Arc::clone(name), Arc::clone(entry));
            if **name != *offer.qualified {
                collisions.push(Collision::Cut { kind, qualified: offer.qualified.to_string(), published: name.to_string() });
            }
            if let Some(place) = published.get_mut(index) {
                *place = Some(Arc::clone(entry));
            }
        }
        // The qualified form always works, however the thing is published. Of two that share a form the first has it already.
        for (offer, entry) in offers.iter().zip(&published) {
            let entry = entry.as_ref().or_else(|| offer.qualified_entry(true).map(|(_, entry)| entry));
            let Some(entry) = entry else { continue };
            if forms.get(&*offer.qualified).is_some_and(|owner| *owner == offer.id()) {
                names.entry(Arc::clone(&offer.qualified)).or_insert_with(|| Arc::clone(entry));
            }
        }
        // So does the name that the provider gave, where nothing else has it.
        for (offer, entry) in offers.iter().zip(&published).filter(|(offer, _)| offer.given != offer.own) {
            let Some(entry) = entry else { continue };
            names.entry(qualified(offer.id(), &offer.given).into()).or_insert_with(|| Arc::clone(entry));
            let alone = offers.iter().filter(|other| other.given == offer.given).count() == 1;
            if alone {
                names.entry(Arc::clone(&offer.given)).or_insert_with(|| Arc::clone(entry));
            }
        }
        let mut same: Vec<_> = owners.iter().filter(|(_, owners)| owners.len() > 1).collect();
        same.sort_unstable();
        collisions.extend(same.into_iter().map(|(name, owners)| Collision::SameName {
            kind,
            name: (*name).to_owned(),
            holder: holders.get(*name).cloned(),
            providers: owners.iter().map(|id| (*id).clone()).collect(),
        }));
        Self { by_name: names, published: published.into_iter().flatten().collect(), holders, list: OnceLock::new() }
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
