//! A provider that lists its tools otherwise: without some, or in other words.

use std::{collections::HashSet, sync::Arc};

use futures::future::BoxFuture;

use super::{
    Call, CallContext, CallError, CallOutput, Completion, Completions, Definition, Guard, JsonText, Offers, PromptOutput, Provider,
    ProviderId, Subscription, Tool,
};

/// The provider with these tools, each of which has the name of one of its own. The others are not there.
#[must_use]
pub fn relisted(inner: Arc<dyn Provider>, tools: Vec<Arc<Tool>>) -> Arc<dyn Provider> {
    let names = tools.iter().map(|tool| tool.name.to_string()).collect();
    Arc::new(Relisted { inner, tools, names })
}

struct Relisted {
    inner: Arc<dyn Provider>,
    tools: Vec<Arc<Tool>>,
    names: HashSet<String>,
}

impl Provider for Relisted {
    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn unread(&self) -> &[String] {
        self.inner.unread()
    }

    fn definitions(&self) -> Vec<(String, Definition)> {
        let all = self.inner.definitions().into_iter().zip(self.inner.tools());
        all.filter(|(_, tool)| self.names.contains(tool.name.as_str())).map(|(said, _)| said).collect()
    }

    fn prompt_definitions(&self) -> Vec<(String, Definition)> {
        self.inner.prompt_definitions()
    }

    fn code(&self) -> Option<String> {
        self.inner.code()
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        if self.names.contains(call.tool) {
            return self.inner.call(call);
        }
        Box::pin(async move { Err(CallError::UnknownTool(call.tool.to_owned())) })
    }

    fn default_tool(&self) -> Option<&str> {
        self.inner.default_tool().filter(|name| self.names.contains(*name))
    }

    fn calls(&self) -> Option<&[String]> {
        self.inner.calls()
    }

    fn guard(&self) -> Option<&dyn Guard> {
        self.inner.guard()
    }

    fn instructions(&self) -> Option<&str> {
        self.inner.instructions()
    }

    fn own_instructions(&self) -> Option<&str> {
        self.inner.own_instructions()
    }

    fn offers(&self) -> &Offers {
        self.inner.offers()
    }

    fn reads_unlisted(&self) -> bool {
        self.inner.reads_unlisted()
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: CallContext) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        self.inner.read_resource(uri, context)
    }

    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        self.inner.subscribe(uri)
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: CallContext,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        self.inner.get_prompt(name, arguments, context)
    }

    fn complete(&self, completion: Completion, context: CallContext) -> BoxFuture<'_, Result<Completions, CallError>> {
        self.inner.complete(completion, context)
    }
}
