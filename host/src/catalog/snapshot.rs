//! One state of the catalog: what there is, and whose.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Access, Collision, Entry, PromptEntry, ResourceEntry, Why,
    address::qualified,
    instructions::Instructions,
    names::{Named as _, Names, Offered},
    resources::{HeldResources, Resources},
    search::{Lexicon, Meanings, Search, Terms},
    stand_ins::Hidden,
};
use crate::provider::{Provider, ProviderId};

/// Everything on offer at one moment. Immutable, so a request sees one state from its beginning to its end.
#[derive(Default)]
pub struct Snapshot {
    pub(super) generations: Generations,
    pub(super) tools: Names<Entry>,
    pub(super) prompts: Names<PromptEntry>,
    pub(super) resources: Resources,
    pub(super) collisions: Vec<Collision>,
    pub(super) instructions: Instructions,
    /// Tools that an operator has disabled, as they would be published.
    pub(super) disabled: Vec<Arc<Entry>>,
    /// The words of all providers' tools.
    pub(super) lexicon: Lexicon,
    /// What is listed in place of the tools, to find and call them. None: the tools are listed.
    pub(super) search: Option<Search>,
    /// What it is a part of. None: it is the whole.
    pub(super) part: Option<Part>,
    /// Providers that judge calls, and offer nothing.
    pub(super) guards: BTreeMap<ProviderId, Arc<dyn Provider>>,
}

/// What a snapshot knows that is a part of another one.
pub(super) struct Part {
    /// What it is a part of: a template is matched in the order of all of them.
    pub(super) whole: Arc<Snapshot>,
    pub(super) access: Arc<Access>,
    /// An endpoint offers no more than this, whatever roles its callers have.
    pub(super) is_chosen: bool,
    /// Who offers something of it.
    pub(super) providers: BTreeSet<ProviderId>,
    /// Addresses of the pages of its tools.
    pub(super) pages: BTreeSet<Box<str>>,
    /// What stands in for names that are nowhere.
    pub(super) hidden: Hidden,
}

impl Part {
    /// Whether an address may be read that belongs to this template, or to this provider without being listed. It goes by the provider's own form.
    pub(super) fn reads(&self, entry: &ResourceEntry, uri: &str) -> bool {
        reads(&self.access, &self.pages, entry, uri)
    }
}

/// Whether an address of this entry may be read. A tool brings its page with it, unless that is denied.
pub(super) fn reads(access: &Access, pages: &BTreeSet<Box<str>>, entry: &ResourceEntry, uri: &str) -> bool {
    match access.resource(entry.provider().id().as_str(), entry.own_uri(uri)) {
        Why::Denied(_) | Why::Forbidden(Some(_)) => false,
        Why::NotNamed | Why::Forbidden(None) => pages.contains(uri),
        Why::Allowed(_) | Why::NoRoles | Why::Permitted(_) | Why::EachCall(_) => true,
    }
}

/// What a call runs.
pub struct Called<'a> {
    /// The tool.
    pub entry: Arc<Entry>,
    /// JSON text of its arguments.
    pub arguments: Cow<'a, str>,
    /// Whether the call has the tool's own name, and not that of the tool that calls others.
    pub is_named: bool,
}

/// Which published lists these are: each number grows by one with each list that differs from the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// The tools.
    pub tools: u64,
    /// The prompts.
    pub prompts: u64,
    /// The resources and the templates.
    pub resources: u64,
}

impl Snapshot {
    /// The guard of this name, as it is now. A part of a snapshot knows none.
    #[must_use]
    pub fn guard(&self, id: &str) -> Option<&Arc<dyn Provider>> {
        self.guards.get(id)
    }

    /// The tool that a call by this name means: the published name, or the qualified form of any tool.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<&Arc<Entry>> {
        self.search.as_ref().and_then(|search| search.own(name)).or_else(|| self.tools.resolve(name))
    }

    /// What a call by this name with these arguments runs, and with which arguments: the tool of that name, or the one that is named in the arguments of
    /// the tool that calls others.
    ///
    /// # Errors
    ///
    /// The name of a tool that is not here.
    pub fn called<'a>(&self, name: &str, arguments: Cow<'a, str>) -> Result<Called<'a>, String> {
        let Some((entry, search)) = self.search.as_ref().and_then(|search| Some((search.own(name)?, search))) else {
            let entry = self.tools.resolve(name).ok_or_else(|| name.to_owned())?;
            return Ok(Called { entry: Arc::clone(entry), arguments, is_named: true });
        };
        match search.inner(entry, &arguments) {
            Some(inner) => {
                let entry = self.tools.resolve(&inner.name).filter(|entry| search.offers(entry)).ok_or(inner.name)?;
                Ok(Called { entry: Arc::clone(entry), arguments: Cow::Owned(inner.arguments), is_named: false })
            }
            None => Ok(Called { entry: Arc::clone(entry), arguments, is_named: true }),
        }
    }

    /// What is listed: one provider after the other, each in its own order.
    pub fn tools(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.search.as_ref().map_or(self.tools.published(), Search::listed).iter()
    }

    /// Every tool that can be called, listed or to be found by a search.
    pub fn callable(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.tools.published().iter()
    }

    /// Tools that an operator has disabled: nobody can list or call them.
    #[must_use]
    pub fn disabled(&self) -> &[Arc<Entry>] {
        &self.disabled
    }

    /// The words of all tools, and what they mean.
    #[must_use]
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Whether tools are found by a search and not listed.
    #[must_use]
    pub fn is_searched(&self) -> bool {
        self.search.is_some()
    }

    /// The JSON array of all published tools. Made at the first question; every tool's own text is kept from one snapshot to the next.
    #[must_use]
    pub fn list_json(&self) -> &Bytes {
        self.search.as_ref().map_or_else(|| self.tools.list_json(), Search::list_json)
    }

    /// The prompt of this name: the published one, or the qualified form of any prompt.
    #[must_use]
    pub fn prompt(&self, name: &str) -> Option<&Arc<PromptEntry>> {
        self.prompts.resolve(name)
    }

    /// The published prompts: one provider after the other, each in its own order.
    pub fn prompts(&self) -> impl ExactSizeIterator<Item = &Arc<PromptEntry>> {
        self.prompts.published().iter()
    }

    /// The JSON array of all published prompts. Made once.
    #[must_use]
    pub fn prompts_json(&self) -> &Bytes {
        self.prompts.list_json()
    }

    /// Who has the resource at this address: the one that is listed there, else the first template that matches.
    #[must_use]
    pub fn resource(&self, uri: &str) -> Option<&Arc<ResourceEntry>> {
        match &self.part {
            None => self.resources.resolve(uri),
            // Whether an address may be read that is not listed depends on the address.
            Some(part) => {
                // What policies keep out of lists may be read all the same.
                let kept_out = || part.whole.listed_resource(uri).filter(|entry| part.access.has_policies() && part.reads(entry, uri));
                self.resources.listed(uri).or_else(kept_out).or_else(|| self.unlisted(uri, &|_| true))
            }
        }
    }

    /// Whose an address is that is not listed, and that `allows` lets pass.
    fn unlisted(&self, uri: &str, allows: &dyn Fn(&ResourceEntry) -> bool) -> Option<&Arc<ResourceEntry>> {
        match &self.part {
            None => self.resources.matching(uri, allows),
            Some(part) => part.whole.unlisted(uri, &|entry| allows(entry) && part.reads(entry, uri)),
        }
    }

    /// The address under which clients read a resource that a provider calls by this one, listed or not.
    #[must_use]
    pub fn published_uri<'a>(&self, provider: &ProviderId, own: &'a str) -> Cow<'a, str> {
        match self.resource(own) {
            Some(entry) if entry.provider().id() == provider => Cow::Borrowed(own),
            _ => Cow::Owned(qualified(provider, own)),
        }
    }

    /// The same of a page that a tool names. None: its own, or nobody has it.
    fn published_page(&self, provider: &ProviderId, own: &str) -> Option<String> {
        let holder = self.resource(own).map(|entry| entry.provider().id());
        if holder == Some(provider) {
            return None;
        }
        let published = qualified(provider, own);
        // Whatever somebody else has at that address is no page of this tool.
        (holder.is_some() || self.resource(&published).is_some()).then_some(published)
    }

    /// The resource that is listed at this address.
    #[must_use]
    pub fn listed_resource(&self, uri: &str) -> Option<&Arc<ResourceEntry>> {
        self.resources.listed(uri)
    }

    /// The template with exactly this text.
    #[must_use]
    pub fn template(&self, text: &str) -> Option<&Arc<ResourceEntry>> {
        self.resources.template(text)
    }

    /// The published resources: one provider after the other, each in its own order.
    pub fn resources(&self) -> impl ExactSizeIterator<Item = &Arc<ResourceEntry>> {
        self.resources.resources().iter()
    }

    /// The published templates, in the same order.
    pub fn templates(&self) -> impl ExactSizeIterator<Item = &Arc<ResourceEntry>> {
        self.resources.templates().iter()
    }

    /// The JSON array of all published resources. Made once.
    #[must_use]
    pub fn resources_json(&self) -> &Bytes {
        self.resources.resources_json()
    }

    /// The JSON array of all published templates. Made once.
    #[must_use]
    pub fn templates_json(&self) -> &Bytes {
        self.resources.templates_json()
    }

    /// How to use all of this, for models. None: nobody says anything.
    #[must_use]
    pub fn instructions(&self) -> Option<String> {
        match &self.part {
            None => self.instructions.text(|_| true),
            // Of all providers they would be longer than the list that the search is in place of.
            Some(_) if self.is_searched() => None,
            Some(part) => self.root().instructions.text(|id| part.providers.contains(id)),
        }
    }

    /// What it is a part of, and that is no part.
    fn root(&self) -> &Self {
        self.part.as_ref().map_or(self, |part| part.whole.root())
    }

    /// Names and addresses that clash, and what came of it.
    #[must_use]
    pub fn collisions(&self) -> &[Collision] {
        &self.collisions
    }

    /// Which published lists these are.
    #[must_use]
    pub fn generations(&self) -> Generations {
        self.generations
    }

    /// Takes the place of another snapshot: counts the lists that a client would see changed.
    pub(super) fn follow(&mut self, before: &Self) -> Generations {
        self.generations = Generations {
            tools: before.generations.tools + u64::from(!self.lists_as(before)),
            prompts: before.generations.prompts + u64::from(!self.prompts.looks_like(&before.prompts)),
            resources: before.generations.resources + u64::from(!self.resources.looks_like(&before.resources)),
        };
        self.generations
    }

    /// Whether a client would see the same tools.
    fn lists_as(&self, before: &Self) -> bool {
        self.tools().len() == before.tools().len() && self.tools().zip(before.tools()).all(|(a, b)| a.looks_like(b))
    }

    /// `before`: the state that clients have seen, whose names are kept. None: the first state is not complete yet.
    pub(super) fn build(providers: &BTreeMap<ProviderId, Held>, before: Option<&Self>, meanings: &Arc<Meanings>) -> Self {
        let mut collisions: Vec<Collision> = providers.values().flat_map(|held| held.faults.iter().cloned()).collect();
        let tools: Vec<_> = providers.values().flat_map(|held| &held.tools).collect();
        let prompts: Vec<_> = providers.values().flat_map(|held| &held.prompts).collect();
        let mut snapshot = Self {
            generations: Generations::default(),
            tools: Names::assign(&tools, before.map(|before| &before.tools), &mut collisions),
            prompts: Names::assign(&prompts, before.map(|before| &before.prompts), &mut collisions),
            resources: Resources::new(
                providers.iter().map(|(id, held)| (id, &held.resources)),
                before.map(|before| &before.resources),
                &mut collisions,
            ),
            collisions,
            instructions: Instructions::new(providers.values().map(Held::provider)),
            disabled: Vec::new(),
            lexicon: Lexicon::new(providers.iter().map(|(id, held)| (id, &held.terms)), meanings),
            search: None,
            part: None,
            guards: providers
                .iter()
                .filter(|(_, held)| held.provider().guard().is_some())
                .map(|(id, held)| (id.clone(), Arc::clone(held.provider())))
                .collect(),
        };
        let mut tools = std::mem::take(&mut snapshot.tools);
        tools.replace(|entry| entry.linked(|own| snapshot.published_page(entry.provider().id(), own)));
        Self { tools, ..snapshot }
    }
}

/// A provider in the catalog, with what is made once of each of its offers.
pub(super) struct Held {
    provider: Arc<dyn Provider>,
    tools: Vec<Offered<Entry>>,
    prompts: Vec<Offered<PromptEntry>>,
    resources: HeldResources,
    terms: Arc<Terms>,
    /// What is wrong within this provider alone.
    faults: Vec<Collision>,
}

impl Held {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        let mut faults = Vec::new();
        Self {
            tools: Offered::all(&provider, provider.tools(), &mut faults),
            prompts: Offered::all(&provider, &provider.offers().prompts, &mut faults),
            resources: HeldResources::new(&provider, &mut faults),
            terms: Arc::new(Terms::of(&provider)),
            provider,
            faults,
        }
    }

    pub(super) fn id(&self) -> &ProviderId {
        self.provider.id()
    }

    pub(super) fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }
}
