//! The operator's rules on calls beyond roles: which guards judge which tools, and what tools read and send.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::role::names;
use crate::{
    catalog::{Entry, GuardRule, Labels, Marks},
    provider::Tool,
};

/// All such rules at one moment.
#[derive(Debug)]
pub struct Safeguards {
    version: u64,
    guards: Vec<Arc<GuardRule>>,
    flows: Vec<FlowRule>,
}

/// What some tools read and send.
#[derive(Clone, Debug, Default)]
pub struct FlowRule {
    /// Patterns of tools.
    pub tools: Vec<String>,
    /// The labels.
    pub labels: Labels,
}

impl Default for Safeguards {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl Safeguards {
    /// `guards`: in the order in which they are asked before a call.
    #[must_use]
    pub fn new(guards: Vec<GuardRule>, flows: Vec<FlowRule>) -> Self {
        // Two of them never have one version, whoever made them.
        static VERSION: AtomicU64 = AtomicU64::new(0);
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        Self { version, guards: guards.into_iter().map(Arc::new).collect(), flows }
    }

    /// Whether nothing is to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.flows.is_empty()
    }

    /// Whether tools have labels.
    #[must_use]
    pub fn has_flows(&self) -> bool {
        !self.flows.is_empty()
    }

    /// A number that no others have.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All guards, in their order.
    #[must_use]
    pub fn guards(&self) -> &[Arc<GuardRule>] {
        &self.guards
    }

    /// What holds for a tool. None: nothing.
    fn marks(&self, entry: &Entry) -> Option<Arc<Marks>> {
        let is_it = |pattern: &String| entry.is_named(pattern);
        let guards: Vec<_> = self.guards.iter().filter(|guard| guard.tools.iter().any(is_it)).cloned().collect();
        let flows = self.flows.iter().filter(|flow| flow.tools.iter().any(is_it));
        let labels = flows.fold(Labels::default(), |labels, flow| labels.with(flow.labels));
        (!guards.is_empty() || labels != Labels::default()).then(|| Arc::new(Marks { guards, labels }))
    }
}

impl Entry {
    /// What the safeguards say of it, which is worked out once for each version of them. None: nothing.
    #[must_use]
    pub fn marks(&self, safeguards: &Safeguards) -> Option<Arc<Marks>> {
        let kept = self.kept_marks();
        if let Some(known) = &*kept.load()
            && known.0 == safeguards.version()
        {
            return known.1.clone();
        }
        let marks = safeguards.marks(self);
        kept.store(Some(Arc::new((safeguards.version(), marks.clone()))));
        marks
    }
}

impl GuardRule {
    /// Whether it judges a provider's tool, by the provider's own name of it.
    #[must_use]
    pub fn guards(&self, provider: &str, tool: &Tool) -> bool {
        self.tools.iter().any(|pattern| names(pattern, provider, tool.name.as_str(), tool.name.as_str()))
    }
}
