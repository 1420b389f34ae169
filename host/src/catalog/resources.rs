//! Resources by URI and templates in the order in which they are tried.
//!
//! Each address has a second, qualified form, `toolbay://NAME/` and the provider's own: of those that several providers have, one is
//! published as it is and the others in that form. It also leads to what a provider has and does not list. Of a page of MCP Apps it is
//! `ui://toolbay/NAME/` and the provider's own: clients show no other scheme.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, hash_map},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    Collision, Kind,
    address::{qualified, split_qualified},
    names::json_array,
    template::Template,
};
use crate::provider::{Offer, Provider, ProviderId};

/// A resource or a resource template on offer.
pub struct ResourceEntry {
    provider: Arc<dyn Provider>,
    offer: Arc<Offer>,
    /// As the provider has it.
    own: Arc<str>,
    /// As it is published.
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

    /// The URI, or the template's text, as it is published.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The provider's own form of an address that belongs to this entry, or of the template's text.
    #[must_use]
    pub fn own_uri<'a>(&'a self, uri: &'a str) -> &'a str {
        if *self.uri == *uri {
            return &self.own;
        }
        match split_qualified(uri) {
            // Another Toolbay's own addresses look qualified. Here they are so once more.
            Some((provider, own)) if provider == self.provider.id().as_str() && !self.matches_as_own(uri) => own,
            _ => uri,
        }
    }

    /// Whether it is an address of the provider itself that fits its template.
    fn matches_as_own(&self, uri: &str) -> bool {
        self.own == self.uri && self.matches(uri)
    }

    /// The same in its qualified form.
    fn requalified(&self, kind: Kind) -> Self {
        let uri = qualified(self.provider.id(), &self.own);
        let mut json = self.offer.json.clone();
        let member = if kind == Kind::Template { "uriTemplate" } else { "uri" };
        json.insert(member.to_owned(), uri.as_str().into());
        let template = self.template.as_ref().and_then(|_| Template::parse(&uri).ok());
        let offer = Arc::new(Offer { key: uri.clone(), json });
        Self { provider: Arc::clone(&self.provider), offer, own: Arc::clone(&self.own), uri: uri.into(), template, json: OnceLock::new() }
    }

    /// What a provider has and does not list.
    fn unlisted(provider: &Arc<dyn Provider>) -> Arc<Self> {
        let offer = Arc::new(Offer { key: String::new(), json: Map::new() });
        let (own, uri) = ("".into(), "".into());
        Arc::new(Self { provider: Arc::clone(provider), offer, own, uri, template: None, json: OnceLock::new() })
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
    /// For addresses that are not listed, where there may be some.
    unlisted: Option<Arc<ResourceEntry>>,
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
                let (provider, own): (_, Arc<str>) = (Arc::clone(provider), offer.key.as_str().into());
                let uri = Arc::clone(&own);
                entries.push(Arc::new(ResourceEntry { provider, offer: Arc::clone(offer), own, uri, template, json: OnceLock::new() }));
            }
            entries
        };
        Self {
            resources: entries(Kind::Resource, &offers.resources),
            templates: entries(Kind::Template, &offers.templates),
            unlisted: provider.reads_unlisted().then(|| ResourceEntry::unlisted(provider)),
        }
    }
}

/// Everything on offer by address.
#[derive(Default)]
pub(super) struct Resources {
    resources: ByUri,
    templates: ByUri,
    /// Templates in the order in which they are tried.
    tried: Vec<Arc<ResourceEntry>>,
    /// By provider: for addresses that it does not list.
    unlisted: HashMap<ProviderId, Arc<ResourceEntry>>,
    /// The only provider there is, whose address any address is.
    alone: Option<ProviderId>,
}

#[derive(Default)]
struct ByUri {
    by_uri: HashMap<Arc<str>, Arc<ResourceEntry>>,
    /// One provider after the other, each in its own order.
    published: Vec<Arc<ResourceEntry>>,
    list: OnceLock<Bytes>,
}

impl ByUri {
    /// The entries come in the order of providers. Who had an address before keeps it: its readers know it.
    fn new<'a>(
        kind: Kind,
        entries: impl Iterator<Item = &'a Arc<ResourceEntry>> + Clone,
        before: Option<&Self>,
        collisions: &mut Vec<Collision>,
    ) -> Self {
        let mut claims: HashMap<&str, Vec<&ProviderId>> = HashMap::new();
        for entry in entries.clone() {
            claims.entry(&entry.own).or_default().push(entry.provider.id());
        }
        let holder = |own: &str, claims: &[&'a ProviderId]| -> Option<&'a ProviderId> {
            let had = before.and_then(|before| before.by_uri.get(own)).map(|entry| entry.provider.id());
            claims.iter().find(|id| Some(**id) == had).or(claims.first()).copied()
        };
        let mut by_uri: HashMap<Arc<str>, Arc<ResourceEntry>> = HashMap::new();
        let mut published = Vec::new();
        for entry in entries {
            let claims = claims.get(&*entry.own).map(Vec::as_slice).unwrap_or_default();
            let is_holder = claims.len() < 2 || holder(&entry.own, claims) == Some(entry.provider.id());
            let entry = if is_holder { Arc::clone(entry) } else { Arc::new(entry.requalified(kind)) };
            // An own address can read like the qualified one of another provider. The first is published, as with any two of one provider.
            if let hash_map::Entry::Vacant(vacant) = by_uri.entry(Arc::clone(&entry.uri)) {
                vacant.insert(Arc::clone(&entry));
                published.push(entry);
            }
        }
        let mut shared: Vec<_> = claims.into_iter().filter(|(_, claims)| claims.len() > 1).collect();
        shared.sort_unstable();
        collisions.extend(shared.into_iter().filter_map(|(own, claims)| {
            let holder = holder(own, &claims)?;
            let others = claims.into_iter().filter(|id| *id != holder).cloned().collect();
            Some(Collision::SameUri { kind, uri: own.to_owned(), published: holder.clone(), others })
        }));
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
    /// `before`: what clients have seen.
    pub(super) fn new<'a>(
        held: impl ExactSizeIterator<Item = (&'a ProviderId, &'a HeldResources)> + Clone,
        before: Option<&Self>,
        collisions: &mut Vec<Collision>,
    ) -> Self {
        let resources = held.clone().flat_map(|(_, held)| &held.resources);
        let resources = ByUri::new(Kind::Resource, resources, before.map(|before| &before.resources), collisions);
        let templates = held.clone().flat_map(|(_, held)| &held.templates);
        let templates = ByUri::new(Kind::Template, templates, before.map(|before| &before.templates), collisions);
        let mut tried = templates.published.clone();
        tried.sort_by(|a, b| (Reverse(a.literals()), &a.uri).cmp(&(Reverse(b.literals()), &b.uri)));
        let alone = if held.len() == 1 { held.clone().next().map(|(id, _)| id.clone()) } else { None };
        let unlisted = held.filter_map(|(id, held)| Some((id.clone(), Arc::clone(held.unlisted.as_ref()?)))).collect();
        Self { resources, templates, tried, unlisted, alone }
    }

    /// The resource at that address, or the first template that matches it, or else who may have it without saying so.
    pub(super) fn resolve(&self, uri: &str) -> Option<&Arc<ResourceEntry>> {
        self.listed(uri).or_else(|| self.matching(uri, |_| true))
    }

    /// Whose an address is that is not listed, and that `allows` lets pass: of the first template that matches it, or of the provider that it names.
    pub(super) fn matching(&self, uri: &str, allows: impl Fn(&ResourceEntry) -> bool) -> Option<&Arc<ResourceEntry>> {
        if let Some(entry) = self.tried.iter().find(|entry| entry.matches(uri) && allows(entry)) {
            return Some(entry);
        }
        let Some((provider, own)) = split_qualified(uri) else {
            return self.unlisted.get(self.alone.as_ref()?.as_str()).filter(|entry| allows(entry));
        };
        let is_of = |entry: &&Arc<ResourceEntry>| entry.provider.id().as_str() == provider && allows(entry);
        let listed = self.resources.published.iter().filter(is_of).find(|entry| *entry.own == *own);
        listed
            .or_else(|| self.tried.iter().filter(is_of).find(|entry| entry.matches(own)))
            .or_else(|| self.unlisted.get(provider).filter(is_of))
    }

    /// Those that `allows` lets pass.
    pub(super) fn only(&self, allows: impl Fn(&ResourceEntry) -> bool) -> Self {
        let (resources, templates) = (self.resources.only(&allows), self.templates.only(&allows));
        // What is not listed is looked for in the whole.
        Self { resources, templates, ..Self::default() }
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
