//! Resources by URI and templates in the order in which they are tried.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, hash_map},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::Value;

use super::{Collision, Kind, names::json_array, template::Template};
use crate::provider::{Offer, Provider, ProviderId};

/// A resource or a resource template on offer.
pub struct ResourceEntry {
    provider: Arc<dyn Provider>,
    offer: Arc<Offer>,
    uri: Arc<str>,
    /// What a template matches. A template that is none matches nothing.
    template: Option<Template>,
    json: OnceLock<Box<str>>,
}

impl ResourceEntry {
    /// Who reads it.
    #[must_use]
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }

    /// The URI, or the template's text.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// As an object of JSON, as a list has it. Made once.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| Value::Object(self.offer.json.clone()).to_string().into_boxed_str())
    }

    fn matches(&self, uri: &str) -> bool {
        self.template.as_ref().is_some_and(|template| template.matches(uri))
    }

    fn literals(&self) -> usize {
        self.template.as_ref().map_or(0, Template::literals)
    }
}

/// What one provider offers by address.
#[derive(Default)]
pub(super) struct HeldResources {
    resources: Vec<Arc<ResourceEntry>>,
    templates: Vec<Arc<ResourceEntry>>,
}

impl HeldResources {
    pub(super) fn new(provider: &Arc<dyn Provider>, collisions: &mut Vec<Collision>) -> Self {
        let offers = provider.offers();
        let mut entries = |kind: Kind, offers: &[Arc<Offer>]| {
            let (mut entries, mut seen) = (Vec::with_capacity(offers.len()), HashSet::new());
            for offer in offers {
                if !seen.insert(offer.key.as_str()) {
                    collisions.push(Collision::Twice { kind, name: offer.key.clone(), provider: provider.id().clone() });
                    continue;
                }
                let template = match kind {
                    Kind::Template => Template::parse(&offer.key).map(Some),
                    _ => Ok(None),
                };
                let template = template.unwrap_or_else(|fault| {
                    collisions.push(Collision::BadTemplate { template: offer.key.clone(), provider: provider.id().clone(), fault });
                    None
                });
                let (provider, uri) = (Arc::clone(provider), offer.key.as_str().into());
                entries.push(Arc::new(ResourceEntry { provider, offer: Arc::clone(offer), uri, template, json: OnceLock::new() }));
            }
            entries
        };
        Self { resources: entries(Kind::Resource, &offers.resources), templates: entries(Kind::Template, &offers.templates) }
    }
}

/// Everything on offer by address.
#[derive(Default)]
pub(super) struct Resources {
    resources: ByUri,
    templates: ByUri,
}

#[derive(Default)]
struct ByUri {
    by_uri: HashMap<Arc<str>, Arc<ResourceEntry>>,
    published: Vec<Arc<ResourceEntry>>,
    list: OnceLock<Bytes>,
}

impl ByUri {
    /// The entries come in the order of providers.
    fn new<'a>(kind: Kind, entries: impl Iterator<Item = &'a Arc<ResourceEntry>>, collisions: &mut Vec<Collision>) -> Self {
        let mut by_uri: HashMap<Arc<str>, Arc<ResourceEntry>> = HashMap::new();
        let mut others: HashMap<&'a str, Vec<ProviderId>> = HashMap::new();
        for entry in entries {
            match by_uri.entry(Arc::clone(&entry.uri)) {
                hash_map::Entry::Vacant(vacant) => drop(vacant.insert(Arc::clone(entry))),
                hash_map::Entry::Occupied(_) => others.entry(&entry.uri).or_default().push(entry.provider.id().clone()),
            }
        }
        let mut others: Vec<_> = others.into_iter().collect();
        others.sort_unstable();
        collisions.extend(others.into_iter().filter_map(|(uri, others)| {
            let published = by_uri.get(uri)?.provider.id().clone();
            Some(Collision::SameUri { kind, uri: uri.to_owned(), published, others })
        }));
        let mut published: Vec<_> = by_uri.values().cloned().collect();
        // Resources have no literals: by URI alone.
        published.sort_unstable_by(|a, b| (Reverse(a.literals()), &a.uri).cmp(&(Reverse(b.literals()), &b.uri)));
        Self { by_uri, published, list: OnceLock::new() }
    }

    fn only(&self, allows: impl Fn(&ResourceEntry) -> bool) -> Self {
        let published: Vec<_> = self.published.iter().filter(|entry| allows(entry)).cloned().collect();
        let by_uri = published.iter().map(|entry| (Arc::clone(&entry.uri), Arc::clone(entry))).collect();
        Self { by_uri, published, list: OnceLock::new() }
    }

    fn list_json(&self) -> &Bytes {
        self.list.get_or_init(|| json_array(self.published.iter().map(|entry| entry.json())))
    }

    fn looks_like(&self, other: &Self) -> bool {
        let same = |a: &ResourceEntry, b: &ResourceEntry| Arc::ptr_eq(&a.offer, &b.offer) || a.offer == b.offer;
        self.published.len() == other.published.len() && self.published.iter().zip(&other.published).all(|(a, b)| same(a, b))
    }
}

impl Resources {
    pub(super) fn new<'a>(held: impl Iterator<Item = &'a HeldResources> + Clone, collisions: &mut Vec<Collision>) -> Self {
        Self {
            resources: ByUri::new(Kind::Resource, held.clone().flat_map(|held| &held.resources), collisions),
            templates: ByUri::new(Kind::Template, held.flat_map(|held| &held.templates), collisions),
        }
    }

    /// The resource at that address, or the first template that matches it.
    pub(super) fn resolve(&self, uri: &str) -> Option<&Arc<ResourceEntry>> {
        self.listed(uri).or_else(|| self.matching(uri, |_| true))
    }

    /// The first template that matches an address and that `allows` lets pass.
    pub(super) fn matching(&self, uri: &str, allows: impl Fn(&ResourceEntry) -> bool) -> Option<&Arc<ResourceEntry>> {
        self.templates.published.iter().find(|entry| entry.matches(uri) && allows(entry))
    }

    /// Those that `allows` lets pass.
    pub(super) fn only(&self, allows: impl Fn(&ResourceEntry) -> bool) -> Self {
        Self { resources: self.resources.only(&allows), templates: self.templates.only(&allows) }
    }

    pub(super) fn listed(&self, uri: &str) -> Option<&Arc<ResourceEntry>> {
        self.resources.by_uri.get(uri)
    }

    pub(super) fn template(&self, text: &str) -> Option<&Arc<ResourceEntry>> {
        self.templates.by_uri.get(text)
    }

    pub(super) fn resources(&self) -> &[Arc<ResourceEntry>] {
        &self.resources.published
    }

    pub(super) fn templates(&self) -> &[Arc<ResourceEntry>] {
        &self.templates.published
    }

    pub(super) fn resources_json(&self) -> &Bytes {
        self.resources.list_json()
    }

    pub(super) fn templates_json(&self) -> &Bytes {
        self.templates.list_json()
    }

    pub(super) fn looks_like(&self, other: &Self) -> bool {
        self.resources.looks_like(&other.resources) && self.templates.looks_like(&other.templates)
    }
}
