//! What guards say of lists: a tool is hidden, or described in other words, before it comes into the catalog.
//!
//! A list is shown to its guards when it is new or has changed, and again when a guard or the rules have; never for a
//! caller or a call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};

use super::LiveSafeguards;
use crate::{
    catalog::{Catalog, GuardRule, feed::Gate},
    provider::{GuardFailure, GuardedList, GuardedTool, ListedTool, Listing, Provider, ProviderId, ProviderStatus, Tool, relisted},
    telemetry::metrics::{GuardWord, Metrics},
};

/// How long a guard may take for one list: all lists wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What everything on offer passes, after another gate.
pub struct Screen {
    before: Arc<dyn Gate>,
    catalog: Arc<Catalog>,
    safeguards: Arc<LiveSafeguards>,
    metrics: Arc<Metrics>,
    /// All plugins were looked at once: a guard that is not there is not about to come.
    is_settled: AtomicBool,
    /// What is said of each provider's tools, in sentences, by the tool.
    said: Mutex<BTreeMap<ProviderId, Vec<Said>>>,
}

struct Said {
    tool: String,
    is_hidden: bool,
    sentence: String,
}

impl Screen {
    /// Behind this gate, by the rules of these safeguards, with the guards of this catalog.
    #[must_use]
    pub fn new(before: Arc<dyn Gate>, catalog: Arc<Catalog>, safeguards: Arc<LiveSafeguards>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { before, catalog, safeguards, metrics, is_settled: AtomicBool::new(false), said: Mutex::default() })
    }

    /// All plugins were looked at. Whether something was hidden until now, since its guard could still come.
    pub fn settle(&self) -> bool {
        !self.is_settled.swap(true, Ordering::AcqRel) && !self.safeguards.rules().guards().is_empty()
    }

    /// Adds to a status what is known of it here.
    pub fn annotate(&self, status: &mut ProviderStatus) {
        let all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = all.get(status.name.as_str()) else { return };
        status.tools.retain(|tool| !said.iter().any(|said| said.is_hidden && said.tool == *tool));
        status.warnings.extend(said.iter().map(|said| said.sentence.clone()));
    }

    async fn screened(&self, provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
        let rules = self.safeguards.rules();
        let id = provider.id().clone();
        let mut tools: Vec<Arc<Tool>> = provider.tools().to_vec();
        let mut said = Vec::new();
        for rule in rules.guards() {
            let mine: Vec<Arc<Tool>> = tools.iter().filter(|tool| rule.guards(id.as_str(), tool)).cloned().collect();
            if mine.is_empty() {
                continue;
            }
            let Some(listings) = self.ask(rule, &id, &mine).await else { continue };
            for (tool, listing) in mine.iter().zip(listings) {
                self.take(rule, &mut tools, tool, listing, &mut said);
            }
        }
        self.keep(id, said);
        let is_same = tools.len() == provider.tools().len() && tools.iter().zip(provider.tools()).all(|(a, b)| Arc::ptr_eq(a, b));
        if is_same { provider } else { relisted(provider, tools) }
    }

    /// What a guard says of these tools. None: nothing.
    async fn ask(&self, rule: &GuardRule, id: &ProviderId, tools: &[Arc<Tool>]) -> Option<Vec<Listing>> {
        let hide = |why: String| (!rule.passes).then(|| tools.iter().map(|_| Listing::Hide(why.clone())).collect());
        let Some(provider) = self.catalog.snapshot().guard(&rule.plugin).cloned() else {
            let is_coming = !self.is_settled.load(Ordering::Acquire);
            return is_coming.then(|| hide("the guard is not loaded yet".to_owned())).flatten();
        };
        let guard = provider.guard().filter(|guard| guard.hooks().list)?;
        let list = GuardedList {
            guard: Arc::clone(&rule.name),
            settings: Arc::clone(&rule.settings),
            tools: tools.iter().map(|tool| listed(id, tool)).collect(),
        };
        let why = match tokio::time::timeout(PATIENCE, guard.list(list)).await {
            Ok(Ok(listings)) => return Some(listings),
            Ok(Err(GuardFailure::Failed(why))) => why,
            Ok(Err(GuardFailure::NotRun(error))) => error.to_string(),
            Err(_) => format!("it took longer than {PATIENCE:?} for the list"),
        };
        self.metrics.guard(&rule.name, GuardWord::Error);
        let then = if rule.passes { "are listed all the same" } else { "are hidden" };
        tracing::warn!(provider = %id, guard = &*rule.name, "a guard failed on a list, so the tools that it guards {then}: {why}");
        hide(format!("the guard failed: {why}"))
    }

    fn take(&self, rule: &GuardRule, tools: &mut Vec<Arc<Tool>>, tool: &Arc<Tool>, listing: Listing, said: &mut Vec<Said>) {
        let name = tool.name.to_string();
        match listing {
            Listing::Show => {}
            Listing::Hide(why) => {
                self.metrics.guard(&rule.name, GuardWord::Deny);
                tools.retain(|other| other.name != tool.name);
                let sentence = format!("tool {name} is hidden by guard {}: {why}", rule.name);
                said.push(Said { tool: name, is_hidden: true, sentence });
            }
            Listing::Describe(text) => {
                self.metrics.guard(&rule.name, GuardWord::Change);
                for other in tools.iter_mut().filter(|other| other.name == tool.name) {
                    *other = Arc::new(Tool { description: Some(text.clone()), ..Tool::clone(other) });
                }
                let sentence = format!("guard {} describes tool {name} in other words", rule.name);
                said.push(Said { tool: name, is_hidden: false, sentence });
            }
        }
    }

    /// Remembers what is said of a provider, and logs what is news.
    fn keep(&self, id: ProviderId, said: Vec<Said>) {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(&id);
        for new in said.iter().filter(|new| new.is_hidden) {
            if self.is_settled.load(Ordering::Acquire) && before.is_none_or(|before| before.iter().all(|old| old.sentence != new.sentence))
            {
                tracing::warn!(provider = %id, "{}", new.sentence);
            }
        }
        if said.is_empty() {
            all.remove(&id);
        } else {
            all.insert(id, said);
        }
    }
}

impl Gate for Screen {
    fn admit(&self, provider: &Arc<dyn Provider>) -> Arc<dyn Provider> {
        self.before.admit(provider)
    }

    fn screen(&self, provider: Arc<dyn Provider>) -> BoxFuture<'_, Arc<dyn Provider>> {
        if self.safeguards.rules().guards().is_empty() || provider.tools().is_empty() {
            self.keep(provider.id().clone(), Vec::new());
            return std::future::ready(provider).boxed();
        }
        self.screened(provider).boxed()
    }

    fn gone(&self, id: &ProviderId) {
        self.before.gone(id);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

fn listed(id: &ProviderId, tool: &Tool) -> ListedTool {
    let name = tool.name.to_string();
    ListedTool {
        tool: GuardedTool {
            own_name: name.clone(),
            name,
            provider: id.to_string(),
            annotations: tool.annotations.as_ref().map(ToString::to_string),
        },
        title: tool.title.clone(),
        description: tool.description.clone(),
        input_schema: serde_json::to_string(&*tool.input_schema).unwrap_or_default(),
    }
}
