//! The part of a snapshot that somebody may use: the same names and lists, as if there were nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use blake3::Hash;

use super::{
    Access, Entry, Generations, PromptEntry, ResourceEntry, Snapshot,
    instructions::Instructions,
    search::Search,
    snapshot::{Part, reads},
    stand_ins::Hidden,
};
use crate::provider::{OfferNames, ProviderId, ProviderState, ProviderStatus};

impl Snapshot {
    /// What `access` allows of a whole snapshot.
    pub(super) fn part_of(whole: &Arc<Self>, access: Arc<Access>) -> Self {
        let search = whole.search.as_ref().map(Search::endpoint);
        Self::of(whole, access, false, search)
    }

    /// What an endpoint of this name offers of a whole snapshot. `search`: in place of its tools it lists those that find them.
    pub(super) fn chosen(whole: &Arc<Self>, access: Arc<Access>, endpoint: &ProviderId, search: bool) -> Self {
        Self::of(whole, access, true, search.then_some(endpoint))
    }

    fn of(whole: &Arc<Self>, access: Arc<Access>, is_chosen: bool, search: Option<&ProviderId>) -> Self {
        let prompt = |entry: &PromptEntry| access.prompt(entry.provider().id().as_str(), entry.own_name(), entry.name()).is_allowed();
        let mut tools = whole.tools.only(|entry| access.tool(entry).is_allowed());
        let pages = pages(whole, tools.published());
        let resource = |entry: &ResourceEntry| reads(&access, &pages, entry, entry.uri());
        let lists = |entry: &ResourceEntry| access.lists_resource(entry.provider().id().as_str(), entry.own_uri(entry.uri()));
        let mut prompts = whole.prompts.only(prompt);
        if access.has_policies() {
            // What may be used and is not listed keeps its name.
            tools.unlist(|entry| !access.lists_tool(entry));
            prompts.unlist(|entry| !access.lists_prompt(entry.provider().id().as_str(), entry.own_name()));
        }
        let mut part = Self {
            generations: Generations::default(),
            tools,
            prompts,
            resources: whole.resources.only(|entry| resource(entry) && lists(entry)),
            // They name what others offer.
            collisions: Vec::new(),
            // Those of the whole are filtered when somebody asks.
            instructions: Instructions::default(),
            disabled: Vec::new(),
            lexicon: whole.lexicon.clone(),
            search: None,
            part: None,
            // They are looked up in the whole.
            guards: BTreeMap::new(),
        };
        part.search = search.and_then(|endpoint| Search::new(endpoint, part.tools.published(), &part.lexicon));
        let mut providers: BTreeSet<ProviderId> = part.tools.published().iter().map(|entry| entry.provider().id().clone()).collect();
        providers.extend(part.prompts().map(|entry| entry.provider().id().clone()));
        providers.extend(part.resources().chain(part.templates()).map(|entry| entry.provider().id().clone()));
        let hidden = Hidden::of(
            whole.callable().filter(|entry| part.tools.resolve(entry.name()).is_none()),
            whole.prompts().filter(|entry| part.prompts.resolve(entry.name()).is_none()),
            whole
                .resources()
                .filter(|entry| part.resources.listed(entry.uri()).is_none())
                .chain(whole.templates().filter(|entry| part.resources.template(entry.uri()).is_none())),
        );
        part.part = Some(Part { whole: Arc::clone(whole), access, is_chosen, providers, pages, hidden });
        part
    }

    /// Everybody who offers something here.
    #[must_use]
    pub fn providers(&self) -> BTreeSet<&str> {
        let of_tools = self.callable().map(|entry| entry.provider());
        let of_prompts = self.prompts().map(|entry| entry.provider());
        let of_resources = self.resources().chain(self.templates()).map(|entry| entry.provider());
        of_tools.chain(of_prompts).chain(of_resources).map(|provider| provider.id().as_str()).collect()
    }

    /// What its callers' roles limit it to. None: they limit nothing.
    #[must_use]
    pub fn limits(&self) -> Option<&Access> {
        self.by_roles().map(|part| &*part.access)
    }

    /// Whether it is a part of the catalog: what roles allow, or what an endpoint offers.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// The part, where roles make it one.
    pub(super) fn by_roles(&self) -> Option<&Part> {
        self.part.as_ref().filter(|part| !part.is_chosen)
    }

    /// Whether its callers may learn of a provider: they may use something of it, or could if it were there.
    #[must_use]
    pub fn shows(&self, provider: &str) -> bool {
        let could = |part: &Part| part.access.names_provider(provider) && part.whole.shows(provider);
        self.part.as_ref().is_none_or(|part| part.providers.contains(provider) || could(part))
    }

    /// What its callers may know of how providers stand.
    #[must_use]
    pub fn visible(&self, statuses: Vec<ProviderStatus>) -> Vec<ProviderStatus> {
        let Some(Part { access, .. }) = &self.part else { return statuses };
        let shown = statuses.into_iter().filter(|status| self.shows(&status.name));
        let shown = shown.map(|status| if access.covers(&status.name) { status } else { only_allowed(access, status) });
        let shown = shown.map(|status| if access.has_policies() { self.only_listed(status) } else { status });
        // They name what others offer.
        shown.map(|status| ProviderStatus { lookalikes: Vec::new(), ..status }).collect()
    }

    /// A status of what is listed alone: what policies say of something that is not there is not known.
    fn only_listed(&self, mut status: ProviderStatus) -> ProviderStatus {
        let is_of = |provider: &ProviderId| provider.as_str() == status.name;
        let of_tools =
            |name: &String| self.callable().any(|entry| is_of(entry.provider().id()) && is_called(name, entry.own_name(), entry.name()));
        let of_prompts =
            |name: &String| self.prompts().any(|entry| is_of(entry.provider().id()) && is_called(name, entry.own_name(), entry.name()));
        let of = |mut all: Box<dyn Iterator<Item = &Arc<ResourceEntry>> + '_>, uri: &String| {
            all.any(|entry| is_of(entry.provider().id()) && is_called(uri, entry.own_uri(entry.uri()), entry.uri()))
        };
        let tools: Vec<String> = status.tools.iter().filter(|name| of_tools(name)).cloned().collect();
        let OfferNames { resources, templates, prompts } = &status.offers;
        let offers = OfferNames {
            resources: resources.iter().filter(|uri| of(Box::new(self.resources()), uri)).cloned().collect(),
            templates: templates.iter().filter(|uri| of(Box::new(self.templates()), uri)).cloned().collect(),
            prompts: prompts.iter().filter(|name| of_prompts(name)).cloned().collect(),
        };
        (status.tools, status.offers) = (tools, offers);
        status
    }

    /// Digests of the lists of tools, of prompts, and of resources and templates. The lists themselves are made when somebody asks for them.
    pub(super) fn prints(&self) -> [Hash; 3] {
        let resources = self.resources().map(|entry| entry.json()).chain(["-"]).chain(self.templates().map(|entry| entry.json()));
        [print(self.tools().map(|entry| entry.json())), print(self.prompts().map(|entry| entry.json())), print(resources)]
    }
}

fn is_called(name: &str, own: &str, published: &str) -> bool {
    name == own || name == published
}

/// The pages of these tools: a tool's own alone, whatever address it names.
fn pages(whole: &Snapshot, tools: &[Arc<Entry>]) -> BTreeSet<Box<str>> {
    let own = |entry: &&Arc<Entry>| {
        let page = entry.page().and_then(|page| whole.resource(page));
        page.is_some_and(|page| page.provider().id() == entry.provider().id())
    };
    tools.iter().filter(own).filter_map(|entry| entry.page().map(Box::from)).collect()
}

fn print<'a>(items: impl Iterator<Item = &'a str>) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for item in items {
        // No JSON text has a line end that is not escaped.
        hasher.update(item.as_bytes()).update(b"\n");
    }
    hasher.finalize()
}

/// A status without what somebody with this access may not know. Errors and warnings may name anything.
fn only_allowed(access: &Access, status: ProviderStatus) -> ProviderStatus {
    let ProviderStatus { name, kind, state, tools, offers, error, since, next_try, .. } = status;
    let OfferNames { resources, templates, prompts } = offers;
    let addresses = |all: Vec<String>| all.into_iter().filter(|uri| access.resource(&name, uri).is_allowed()).collect();
    ProviderStatus {
        tools: tools.into_iter().filter(|tool| access.tool_named(&name, tool).is_allowed()).collect(),
        offers: OfferNames {
            resources: addresses(resources),
            templates: addresses(templates),
            prompts: prompts.into_iter().filter(|prompt| access.prompt(&name, prompt, prompt).is_allowed()).collect(),
        },
        error: error.filter(|_| state != ProviderState::Serving).map(|_| "it has a problem: its operator's log says which".to_owned()),
        since,
        next_try,
        ..ProviderStatus::new(name.clone(), kind, state, "")
    }
}
