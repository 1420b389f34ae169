//! Trust in what upstreams say: what differs from the lock file is held back or flagged until somebody
//! accepts it, and characters that nobody sees and names that look alike are told.
//!
//! [`Trust`] stands before the catalog: whatever a plugin or a server offers passes it, and passes it again
//! when the lock file or the configuration has changed.

mod accepted;
mod difference;
mod hidden;
mod lookalike;

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
    config::{Lock, OnChange, TrustConfig},
    provider::{Provider, ProviderId, ProviderStatus},
};
use accepted::Accepted;
use lookalike::Lookalikes;

/// What is said of upstreams by the operator, and what they say now.
pub struct Trust {
    rules: ArcSwap<Rules>,
    seen: Mutex<BTreeMap<ProviderId, Seen>>,
    looks: Mutex<Lookalikes>,
}

struct Rules {
    lock: Option<Arc<Lock>>,
    hold: bool,
}

impl Rules {
    fn of(config: &TrustConfig) -> Arc<Self> {
        Arc::new(Self { lock: config.locked.clone(), hold: config.changed == OnChange::Hold })
    }
}

/// What one provider said last.
struct Seen {
    observed: Observed,
    published: Published,
    differences: Vec<Difference>,
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

    /// What all providers said last, by their names.
    #[must_use]
    pub fn observed(&self) -> BTreeMap<String, Observed> {
        self.lock().iter().map(|(id, seen)| (id.to_string(), seen.observed.clone())).collect()
    }

    /// Adds to a status what is known of it here.
    pub fn annotate(&self, status: &mut ProviderStatus) {
        let all = self.lock();
        let Some((id, seen)) = all.get_key_value(status.name.as_str()) else { return };
        status.lookalikes.extend(self.looks().of(id));
        status.warnings.extend(seen.hidden.iter().cloned());
        if !seen.held {
            status.warnings.extend(seen.differences.iter().filter(|one| one.change != Change::Gone).map(|one| one.sentence(&status.name)));
            return;
        }
        for difference in &seen.differences {
            let why = difference.why();
            match &difference.part {
                _ if difference.change == Change::Gone => {}
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
                Part::Code => {
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
        let (observed, published) = Observed::of(&**provider, definitions);
        let differences = rules.lock.as_deref().map(|lock| differences(lock, id.as_str(), &observed)).unwrap_or_default();
        let seen = Seen { observed, published, differences, hidden, held: rules.hold };
        let mut all = self.lock();
        seen.log(id, all.get(id));
        let admitted = Accepted::of(provider, &seen.published, &seen.differences, rules.hold);
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
    use crate::provider::{Call, CallError, CallOutput, Definition, Offer, Offers, ProviderKind, ProviderState, Tool, ToolName};

    struct Says {
        id: ProviderId,
        tools: Vec<Arc<Tool>>,
        offers: Offers,
        instructions: String,
        calls: Vec<String>,
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
    }

    /// A server that says this of its tool, its prompt and itself.
    fn server(tool: &str, prompt: &str, instructions: &str) -> Arc<dyn Provider> {
        let schema = json!({ "type": "object" }).as_object().cloned().unwrap_or_default();
        let said = Tool { description: Some(tool.to_owned()), ..Tool::new(ToolName::new("t").unwrap(), schema) };
        let json = json!({ "name": "p", "description": prompt }).as_object().cloned().unwrap_or_default();
        let offers = Offers { prompts: vec![Arc::new(Offer { key: "p".to_owned(), json })], ..Offers::default() };
        let id = ProviderId::new("s").unwrap();
        Arc::new(Says { id, tools: vec![Arc::new(said)], offers, instructions: instructions.to_owned(), calls: vec!["x".to_owned()] })
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
}
