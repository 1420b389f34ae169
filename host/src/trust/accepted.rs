//! A provider as far as it is accepted: what is held back is not there.

use std::{collections::HashSet, sync::Arc};

use futures::future::BoxFuture;

use super::{Change, Difference, Part, difference::Published, pages::PageRules};
use crate::{
    catalog::fits_template,
    provider::{
        Call, CallContext, CallError, CallOutput, Completion, Completions, Definition, Guard, JsonText, Offers, PromptOutput, Provider,
        ProviderId, Reference, Subscription, Tool,
    },
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
    /// URIs of resources and texts of templates that are held back.
    resources: HashSet<String>,
    templates: HashSet<String>,
    /// How its pages are judged. None: none is pinned.
    pages: Option<PageRules>,
}

impl Accepted {
    /// The provider as it may be offered: itself, where nothing of it is held back and no page has to be looked at.
    pub(super) fn of(
        provider: &Arc<dyn Provider>,
        published: &Published,
        differences: &[Difference],
        hold: bool,
        pages: Option<PageRules>,
    ) -> Arc<dyn Provider> {
        let held = || differences.iter().filter(|one| hold && one.change != Change::Gone);
        let is_whole = !held().any(|one| matches!(one.part, Part::Code | Part::Image));
        let (mut tools, mut prompts) = (HashSet::new(), HashSet::new());
        let (mut resources, mut templates) = (HashSet::new(), HashSet::new());
        for one in held() {
            match &one.part {
                Part::Tool(own) => {
                    tools.insert(published.tool(own));
                }
                Part::Prompt(own) => {
                    prompts.insert(published.prompt(own));
                }
                Part::Resource(uri) => {
                    resources.insert(uri.clone());
                }
                Part::Template(text) => {
                    templates.insert(text.clone());
                }
                // A page is judged when it is read.
                Part::Code | Part::Image | Part::Instructions | Part::Page(_) => {}
            }
        }
        let instructs = is_whole && !held().any(|one| one.part == Part::Instructions);
        let nothing_held = tools.is_empty() && prompts.is_empty() && resources.is_empty() && templates.is_empty();
        if is_whole && instructs && nothing_held && pages.is_none() {
            return Arc::clone(provider);
        }
        let offered: Vec<_> =
            provider.tools().iter().filter(|tool| is_whole && !tools.contains(tool.name.as_str())).map(Arc::clone).collect();
        let names = offered.iter().map(|tool| tool.name.to_string()).collect();
        let mut offers = if is_whole { provider.offers().clone() } else { Offers::default() };
        offers.prompts.retain(|prompt| !prompts.contains(prompt.key.as_str()));
        offers.resources.retain(|resource| !resources.contains(&resource.key));
        offers.templates.retain(|template| !templates.contains(&template.key));
        let inner = Arc::clone(provider);
        Arc::new(Self { inner, tools: offered, names, instructs, is_whole, offers, resources, templates, pages })
    }

    /// Whether a resource may be read: it is not held back, nor of a template that is.
    fn reads(&self, uri: &str) -> bool {
        if !self.is_whole || self.resources.contains(uri) {
            return false;
        }
        let of_held = || self.templates.iter().any(|template| fits_template(uri, template));
        let is_offered = || {
            self.offers.resources.iter().any(|resource| resource.key == uri)
                || self.offers.templates.iter().any(|template| fits_template(uri, &template.key))
        };
        self.templates.is_empty() || !of_held() || is_offered()
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
        if !self.reads(uri) {
            return Box::pin(async move { Err(CallError::UnknownResource(uri.to_owned())) });
        }
        let Some(pages) = self.pages.as_ref() else { return self.inner.read_resource(uri, context) };
        Box::pin(async move {
            let contents = self.inner.read_resource(uri, context).await?;
            // Held back as everything else that nobody has accepted: it is not there.
            if pages.admit(uri, &contents) { Ok(contents) } else { Err(CallError::UnknownResource(uri.to_owned())) }
        })
    }

    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        self.inner.subscribe(uri).filter(|_| self.reads(uri))
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
        let is_offered = match &completion.reference {
            Reference::Prompt(name) => self.offers.prompts.iter().any(|prompt| prompt.key == *name),
            Reference::Template(text) => !self.templates.contains(text),
        };
        if self.offers.completes && is_offered {
            return self.inner.complete(completion, context);
        }
        Box::pin(async { Ok(Completions::default()) })
    }
}
