//! Trust in what upstreams say: what differs from the lock file is held back or flagged until somebody
//! accepts it, and characters that nobody sees and names that look alike are told.
//!
//! [`Trust`] stands before the catalog: whatever a plugin or a server offers passes it, and passes it again
//! when the lock file or the configuration has changed.

mod accepted;
mod difference;
mod hidden;
mod lookalike;
mod pages;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use difference::Published;
pub use difference::{Change, Difference, Observed, Part, differences};
pub use hidden::visible;

use crate::{
    catalog::feed::Gate,
    config::{Lock, LockedOffers, LockedServer, OnChange, TrustConfig},
    provider::{CallContext, Definition, Provider, ProviderId, ProviderStatus},
};
use accepted::Accepted;
use lookalike::Lookalikes;
use pages::{PageRules, SeenPages, is_about_page};

/// What is said of upstreams by the operator, and what they say now.
pub struct Trust {
    rules: ArcSwap<Rules>,
    seen: Mutex<BTreeMap<ProviderId, Seen>>,
    looks: Mutex<Lookalikes>,
}

struct Rules {
    lock: Option<Arc<Lock>>,
    hold: bool,
    /// Patterns of resources that are not pinned.
    unpinned: Arc<[String]>,
}

impl Rules {
    fn of(config: &TrustConfig) -> Arc<Self> {
        let (lock, unpinned) = (config.locked.clone(), config.unpinned_resources.clone().into());
        Arc::new(Self { lock, hold: config.changed == OnChange::Hold, unpinned })
    }

    /// In what a provider differs from what was accepted. What a lock file of an older Toolbay says nothing of counts as accepted.
    fn differences(&self, id: &ProviderId, observed: &Observed) -> Vec<Difference> {
        let Some(lock) = self.lock.as_deref() else { return Vec::new() };
        let mut found = differences(lock, id.as_str(), observed);
        if lock.servers.get(id.as_str()).is_some_and(|server| server.beside.is_none()) {
            found.retain(|one| !matches!(one.part, Part::Resource(_) | Part::Template(_)));
        }
        // Pages are judged when they are read.
        found.retain(|one| !is_about_page(one));
        found
    }

    /// How the pages of a provider are judged, if it can have any that are pinned.
    fn pages(&self, provider: &dyn Provider, seen: &Arc<SeenPages>) -> Option<PageRules> {
        let id = provider.id();
        if provider.code().is_some() || !pages::has_any(provider) {
            return None;
        }
        let nothing = LockedServer { beside: Some(LockedOffers::default()), ..LockedServer::default() };
        let locked = self.lock.as_deref()?.servers.get(id.as_str()).unwrap_or(&nothing);
        PageRules::of(id, locked, &self.unpinned, self.hold, seen)
    }
}

/// What one provider said last.
struct Seen {
    provider: Arc<dyn Provider>,
    observed: Observed,
    published: Published,
    differences: Vec<Difference>,
    /// What its pages held when they were read last.
    pages: Arc<SeenPages>,
    /// Sentences.
    hidden: Vec<String>,
    held: bool,
}

impl Trust {
    /// By this configuration.
    #[must_use]
    pub fn new(config: &TrustConfig) -> Arc<Self> {
        Arc::new(Self { rules: ArcSwap::new(Rules::of(config)), seen: Mutex::default(), looks: Mutex::default() })
    }

    /// Goes by another configuration from now on. What passed before has to pass again.
    pub fn put(&self, config: &TrustConfig) {
        self.rules.store(Rules::of(config));
    }

    /// What all providers said last, by their names. A page that nobody has read counts as it was accepted.
    #[must_use]
    pub fn observed(&self) -> BTreeMap<String, Observed> {
        let rules = self.rules.load_full();
        let accepted = |id: &ProviderId| {
            let server = rules.lock.as_deref()?.servers.get(id.as_str())?;
            Some(server.beside.as_ref()?.pages.clone())
        };
        let of = |(id, seen): (&ProviderId, &Seen)| {
            let mut pages = accepted(id).unwrap_or_default();
            pages.extend(seen.pages.all());
            (id.to_string(), seen.observed.clone().with_pages(pages))
        };
        self.lock().iter().map(of).collect()
    }

    /// Reads all pages of servers (MCP Apps), so that what they hold is known. Those that cannot be read, and why, by the names of their servers.
    pub async fn read_pages(&self) -> Vec<(String, String)> {
        let unpinned = Arc::clone(&self.rules.load().unpinned);
        let all: Vec<_> = {
            let seen = self.lock();
            seen.values().filter(|seen| seen.provider.code().is_none()).map(|seen| (seen.provider.clone(), seen.pages.clone())).collect()
        };
        let mut unread = Vec::new();
        for (provider, seen) in all {
            for uri in pages::of_provider(&*provider) {
                if difference::is_unpinned(&uri, &unpinned) {
                    continue;
                }
                match provider.read_resource(&uri, Box::new(CallContext::default())).await {
                    Ok(contents) => drop(seen.put(&uri, &Definition::of_page(&contents))),
                    // One that only a tool names may be another's, in the operator's words, and is new when it comes.
                    Err(_) if !pages::is_listed(&*provider, &uri) => {}
                    Err(error) => unread.push((provider.id().to_string(), format!("its page {} cannot be read: {error}", visible(&uri)))),
                }
            }
        }
        unread
    }

    /// Adds to a status what is known of it here.
    pub fn annotate(&self, status: &mut ProviderStatus) {
        let rules = self.rules.load_full();
        let all = self.lock();
        let Some((id, seen)) = all.get_key_value(status.name.as_str()) else { return };
        status.lookalikes.extend(self.looks().of(id));
        status.warnings.extend(seen.hidden.iter().cloned());
        let of_pages = rules.pages(&*seen.provider, &seen.pages).map(|pages| pages.differences()).unwrap_or_default();
        let differences = seen.differences.iter().chain(&of_pages).filter(|one| one.change != Change::Gone);
        if !seen.held {
            status.warnings.extend(differences.map(|one| one.sentence(&status.name)));
            return;
        }
        for difference in differences {
            let why = difference.why();
            match &difference.part {
                Part::Tool(own) => {
                    let name = seen.published.tool(own);
                    status.tools.retain(|tool| tool != name);
                    status.held.push(format!("{name}: {why}"));
                }
                Part::Prompt(own) => {
                    let name = seen.published.prompt(own);
                    status.offers.prompts.retain(|prompt| prompt != name);
                    status.held.push(format!("prompt {name}: {why}"));
                }
                Part::Resource(uri) => {
                    status.offers.resources.retain(|resource| resource != uri);
                    status.held.push(format!("resource {uri}: {why}"));
                }
                Part::Template(text) => {
                    status.offers.templates.retain(|template| template != text);
                    status.held.push(format!("resource template {text}: {why}"));
                }
                Part::Page(uri) => status.held.push(format!("page {uri}: {why}")),
                Part::Code | Part::Image => {
                    status.held.extend(std::mem::take(&mut status.tools).into_iter().map(|name| format!("{name}: {why}")));
                    status.offers = Default::default();
                }
                Part::Instructions => status.warnings.push(format!("its instructions are not passed on: {why}")),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProviderId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> MutexGuard<'_, Lookalikes> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the operator of names that look alike and did not before.
    fn log_lookalikes(&self, provider: &dyn Provider) {
        let id = provider.id();
        let mut looks = self.looks();
        let before = looks.of(id);
        looks.put(provider);
        for sentence in looks.of(id).iter().filter(|one| !before.contains(one)) {
            tracing::warn!(provider = %id, "{sentence}");
        }
    }
}

impl Gate for Trust {
    fn admit(&self, provider: &Arc<dyn Provider>) -> Arc<dyn Provider> {
        let rules = self.rules.load_full();
        let id = provider.id();
        let definitions = provider.definitions();
        let hidden = hidden::in_provider(&**provider, &definitions);
        let (observed, published) = Observed::of(&**provider, definitions, &rules.unpinned);
        let differences = rules.differences(id, &observed);
        let mut all = self.lock();
        let before = all.get(id);
        let pages = before.map(|before| Arc::clone(&before.pages)).unwrap_or_default();
        let judged = rules.pages(&**provider, &pages);
        let seen = Seen { provider: Arc::clone(provider), observed, published, differences, pages, hidden, held: rules.hold };
        seen.log(id, before);
        let admitted = Accepted::of(provider, &seen.published, &seen.differences, rules.hold, judged);
        all.insert(id.clone(), seen);
        drop(all);
        self.log_lookalikes(&**provider);
        admitted
    }

    fn gone(&self, id: &ProviderId) {
        self.lock().remove(id);
        self.looks().remove(id);
    }
}

impl Seen {
    /// Tells the operator what was not so before.
    fn log(&self, id: &ProviderId, before: Option<&Self>) {
        let is_new = |one: &&Difference| before.is_none_or(|before| before.held != self.held || !before.differences.contains(one));
        let done = if self.held { "is not offered until it is accepted" } else { "is offered all the same" };
        for one in self.differences.iter().filter(|one| one.change != Change::Gone).filter(is_new) {
            tracing::warn!(
                provider = %id,
                "{}: it {done}; `toolbay lock --diff` shows what it says, and `toolbay lock --accept {id}` accepts it",
                one.sentence(id.as_str())
            );
        }
        for sentence in self.hidden.iter().filter(|one| before.is_none_or(|before| !before.hidden.contains(one))) {
            tracing::warn!(provider = %id, "{sentence}");
        }
        if let Some(before) = before.filter(|before| before.held && !before.differences.is_empty())
            && self.differences.is_empty()
        {
            tracing::info!(provider = %id, "what was held back is offered now: it was accepted ({} changes)", before.differences.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use serde_json::json;

    use super::*;
    use crate::provider::{
        Call, CallError, CallOutput, Completion, Completions, JsonText, Offer, Offers, ProviderKind, ProviderState, Reference, Tool,
        ToolName,
    };

    struct Says {
        id: ProviderId,
        tools: Vec<Arc<Tool>>,
        offers: Offers,
        instructions: String,
        calls: Vec<String>,
        /// What every resource holds.
        page: String,
    }

    impl Provider for Says {
        fn id(&self) -> &ProviderId {
            &self.id
        }
        fn tools(&self) -> &[Arc<Tool>] {
            &self.tools
        }
        fn offers(&self) -> &Offers {
            &self.offers
        }
        fn instructions(&self) -> Option<&str> {
            Some(&self.instructions)
        }
        fn calls(&self) -> Option<&[String]> {
            Some(&self.calls)
        }
        fn call<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
            Box::pin(async { Ok(CallOutput::default()) })
        }
        fn reads_unlisted(&self) -> bool {
            true
        }
        fn read_resource<'a>(&'a self, uri: &'a str, _: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
            let content = json!({ "uri": uri, "text": self.page });
            Box::pin(async move { Ok(vec![JsonText::from_value(&content).unwrap()]) })
        }
        fn complete(&self, _: Completion, _: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
            Box::pin(async { Ok(Completions { values: vec!["v".to_owned()], ..Completions::default() }) })
        }
    }

    /// A server that says this of its tool, its prompt and itself.
    fn server(tool: &str, prompt: &str, instructions: &str) -> Arc<dyn Provider> {
        let schema = json!({ "type": "object" }).as_object().cloned().unwrap_or_default();
        let said = Tool { description: Some(tool.to_owned()), ..Tool::new(ToolName::new("t").unwrap(), schema) };
        let json = json!({ "name": "p", "description": prompt }).as_object().cloned().unwrap_or_default();
        let offers = Offers { prompts: vec![Arc::new(Offer { key: "p".to_owned(), json })], ..Offers::default() };
        let id = ProviderId::new("s").unwrap();
        let (instructions, calls, page) = (instructions.to_owned(), vec!["x".to_owned()], String::new());
        Arc::new(Says { id, tools: vec![Arc::new(said)], offers, instructions, calls, page })
    }

    /// A server with two resources, a template and a page, which say this.
    fn shelf(resource: &str, template: &str, page: &str) -> Arc<dyn Provider> {
        let offer = |member: &str, key: &str, name: &str| {
            let json = json!({ member: key, "name": name }).as_object().cloned().unwrap_or_default();
            Arc::new(Offer { key: key.to_owned(), json })
        };
        let resources = vec![offer("uri", "x://a", resource), offer("uri", "tmp://1", resource), offer("uri", "ui://p", "p")];
        let templates = vec![offer("uriTemplate", "y://{id}", template)];
        let offers = Offers { resources, templates, completes: true, ..Offers::default() };
        let id = ProviderId::new("s").unwrap();
        Arc::new(Says { id, tools: vec![], offers, instructions: String::new(), calls: vec![], page: page.to_owned() })
    }

    async fn reads(provider: &dyn Provider, uri: &str) -> bool {
        provider.read_resource(uri, Box::default()).await.is_ok()
    }

    fn offered(provider: &dyn Provider) -> (usize, usize, bool) {
        (provider.tools().len(), provider.offers().prompts.len(), provider.instructions().is_some())
    }

    #[test]
    fn each_part_is_held_back_by_itself_and_offered_when_it_is_accepted() {
        let open = Trust::new(&TrustConfig::default());
        open.admit(&server("a", "b", "c"));
        let mut lock = Lock::default();
        open.observed()["s"].put("s", &mut lock);
        assert_eq!(lock.servers["s"].prompts["p"], Definition::parse(r#"{"description": "b"}"#).unwrap());
        let config = TrustConfig { locked: Some(Arc::new(lock)), ..TrustConfig::default() };
        let trust = Trust::new(&config);
        for (says, left, held) in [
            (server("a", "b", "c"), (1, 1, true), 0),
            (server("x", "b", "c"), (0, 1, true), 1),
            (server("a", "x", "c"), (1, 0, true), 1),
            (server("a", "b", "x"), (1, 1, false), 0),
            (server("x", "x", "x"), (0, 0, false), 2),
        ] {
            let admitted = trust.admit(&says);
            assert_eq!(offered(&*admitted), left);
            assert_eq!(admitted.calls(), Some(["x".to_owned()].as_slice()), "it may call what it could call before");
            let mut status = ProviderStatus::new("s", ProviderKind::Bridge, ProviderState::Serving, "");
            status.tools.push("t".to_owned());
            status.offers.prompts.push("p".to_owned());
            trust.annotate(&mut status);
            assert_eq!((status.tools.len(), status.offers.prompts.len(), status.held.len()), (left.0, left.1, held), "{:?}", status.held);
            // Flagged only: all of it is offered, and told.
            let flagging = Trust::new(&TrustConfig { changed: OnChange::Flag, ..config.clone() });
            assert_eq!(offered(&*flagging.admit(&says)), (1, 1, true));
        }
        trust.put(&TrustConfig::default());
        assert_eq!(offered(&*trust.admit(&server("x", "x", "x"))), (1, 1, true));
    }

    #[tokio::test]
    async fn resources_templates_and_pages_are_held_back_until_they_are_accepted() {
        let unpinned = TrustConfig { unpinned_resources: vec!["tmp://*".to_owned()], ..TrustConfig::default() };
        let open = Trust::new(&unpinned);
        let all_of = async |provider: &dyn Provider| {
            let completion = Completion {
                reference: Reference::Template("y://{id}".to_owned()),
                argument: "id".to_owned(),
                value: String::new(),
                others: vec![],
            };
            let uris = ["x://a", "tmp://1", "y://1", "z://unlisted", "ui://p", "ui://unlisted"];
            let read = futures::future::join_all(uris.iter().map(|uri| reads(provider, uri))).await;
            let completed = provider.complete(completion, Box::default()).await.unwrap().values.len();
            (provider.offers().resources.len(), provider.offers().templates.len(), read, completed)
        };
        let everything = || (3, 1, vec![true; 6], 1);
        assert_eq!(all_of(&*open.admit(&shelf("a", "b", "c"))).await, everything());
        assert_eq!(open.read_pages().await, []);
        let mut lock = Lock::default();
        open.observed()["s"].put("s", &mut lock);
        let beside = lock.servers["s"].beside.clone().unwrap();
        assert_eq!(
            [&beside.resources, &beside.templates, &beside.pages].map(|all| all.keys().map(String::as_str).collect::<Vec<_>>()),
            [vec!["ui://p", "x://a"], vec!["y://{id}"], vec!["ui://p"]]
        );
        let config = TrustConfig { locked: Some(Arc::new(lock.clone())), ..unpinned.clone() };
        let trust = Trust::new(&config);
        for (says, left, held) in [
            (shelf("a", "b", "c"), (3, 1, vec![true, true, true, true, true, false], 1), vec!["page ui://unlisted: it is new"]),
            (shelf("x", "b", "c"), (2, 1, vec![false, true, true, true, true, false], 1), vec!["resource x://a: its definition"]),
            (
                shelf("a", "x", "c"),
                (3, 0, vec![true, true, false, true, true, false], 0),
                vec!["resource template y://{id}: its definition"],
            ),
            (shelf("a", "b", "x"), (3, 1, vec![true, true, true, true, false, false], 1), vec!["page ui://p: its content has changed"]),
        ] {
            assert_eq!(all_of(&*trust.admit(&says)).await, left, "{held:?}");
            let mut status = ProviderStatus::new("s", ProviderKind::Bridge, ProviderState::Serving, "");
            trust.annotate(&mut status);
            assert!(held.iter().all(|words| status.held.iter().any(|one| one.starts_with(words))), "{held:?}: {:?}", status.held);
            let flagging = Trust::new(&TrustConfig { changed: OnChange::Flag, ..config.clone() });
            assert_eq!(all_of(&*flagging.admit(&says)).await, everything(), "{held:?}");
            let mut status = ProviderStatus::new("s", ProviderKind::Bridge, ProviderState::Serving, "");
            flagging.annotate(&mut status);
            assert!(status.held.is_empty() && !status.warnings.is_empty(), "{:?}", status.warnings);
        }
        // A file that an older Toolbay wrote pins none of these.
        lock.servers.get_mut("s").unwrap().beside = None;
        let older = Trust::new(&TrustConfig { locked: Some(Arc::new(lock)), ..unpinned });
        assert_eq!(all_of(&*older.admit(&shelf("x", "x", "x"))).await, everything());
    }
}
