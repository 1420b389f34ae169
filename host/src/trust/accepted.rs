//! A provider as far as it is accepted: what is held back is not there.

use std::{collections::HashSet, sync::Arc};

use futures::future::BoxFuture;

use super::{Change, Difference, Part, difference::Published};
use crate::provider::{
    Call, CallContext, CallError, CallOutput, Completion, Completions, Definition, Guard, JsonText, Offers, PromptOutput, Provider,
    ProviderId, Subscription, Tool,
};

/// A provider without what is held back.
pub(super) struct Accepted {
    inner: Arc<dyn Provider>,
    tools: Vec<Arc<Tool>>,
    names: HashSet<String>,
    /// Whether its instructions are passed on.
    instructs: bool,
    /// Whether it offers anything beside tools: a plugin that is held back does not.
    is_whole: bool,
    /// What it offers beside tools.
    offers: Offers,
}

impl Accepted {
    /// The provider as it may be offered: itself, where nothing of it is held back.
    pub(super) fn of(provider: &Arc<dyn Provider>, published: &Published, differences: &[Difference], hold: bool) -> Arc<dyn Provider> {
        let held = || differences.iter().filter(|one| hold && one.change != Change::Gone);
        let is_whole = !held().any(|one| one.part == Part::Code);
        let (mut tools, mut prompts) = (HashSet::new(), HashSet::new());
        for one in held() {
            match &one.part {
                Part::Tool(own) => {
                    tools.insert(published.tool(own));
                }
                Part::Prompt(own) => {
                    prompts.insert(published.prompt(own));
                }
                Part::Code | Part::Instructions => {}
            }
        }
        let instructs = is_whole && !held().any(|one| one.part == Part::Instructions);
        if is_whole && instructs && tools.is_empty() && prompts.is_empty() {
            return Arc::clone(provider);
        }
        let offered: Vec<_> =
            provider.tools().iter().filter(|tool| is_whole && !tools.contains(tool.name.as_str())).map(Arc::clone).collect();
        let names = offered.iter().map(|tool| tool.name.to_string()).collect();
        let mut offers = if is_whole { provider.offers().clone() } else { Offers::default() };
        offers.prompts.retain(|prompt| !prompts.contains(prompt.key.as_str()));
        Arc::new(Self { inner: Arc::clone(provider), tools: offered, names, instructs, is_whole, offers })
    }
}

impl Provider for Accepted {
    fn inner(&self) -> Option<&dyn Provider> {
        Some(&*self.inner)
    }

    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn definitions(&self) -> Vec<(String, Definition)> {
        self.inner
            .definitions()
            .into_iter()
            .zip(self.inner.tools())
            .filter(|(_, tool)| self.names.contains(tool.name.as_str()))
            .map(|(said, _)| said)
            .collect()
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        if self.names.contains(call.tool) {
            return self.inner.call(call);
        }
        Box::pin(async move { Err(CallError::UnknownTool(call.tool.to_owned())) })
    }

    fn guard(&self) -> Option<&dyn Guard> {
        self.inner.guard().filter(|_| self.is_whole)
    }

    fn default_tool(&self) -> Option<&str> {
        self.inner.default_tool().filter(|name| self.names.contains(*name))
    }

    fn instructions(&self) -> Option<&str> {
        // Those of the operator were not the server's to change.
        let own = self.inner.own_instructions();
        self.inner.instructions().filter(|text| self.instructs || own != Some(*text))
    }

    fn own_instructions(&self) -> Option<&str> {
        self.inner.own_instructions().filter(|_| self.instructs)
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn reads_unlisted(&self) -> bool {
        self.is_whole && self.inner.reads_unlisted()
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        if self.is_whole {
            return self.inner.read_resource(uri, context);
        }
        Box::pin(async move { Err(CallError::UnknownResource(uri.to_owned())) })
    }

    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        self.inner.subscribe(uri).filter(|_| self.is_whole)
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        if self.offers.prompts.iter().any(|prompt| prompt.key == name) {
            return self.inner.get_prompt(name, arguments, context);
        }
        Box::pin(async move { Err(CallError::UnknownPrompt(name.to_owned())) })
    }

    fn complete(&self, completion: Completion, context: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        if self.offers.completes {
            return self.inner.complete(completion, context);
        }
        Box::pin(async { Ok(Completions::default()) })
    }
}
