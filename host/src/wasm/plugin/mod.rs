//! One version of a plugin: a provider whose every call runs in a fresh instance.

mod completion;
mod interfaces;
mod listed;
mod lists;
mod load;
mod offers;
mod prompts;
mod resources;
mod run;
#[cfg(test)]
mod tests;
mod uri;

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use wasmtime::{
    Engine, Store,
    component::{Instance, InstancePre, Val},
};

pub use load::{HostError, PluginHost};

use super::{
    gate::Gate,
    instance::{Shared, State},
    limits::Exceeded,
    typed::{OutputError, TypedFunction},
};
use crate::provider::{
    Call, CallContext, CallError, CallOutput, Completion, Completions, Content, JsonText, Offers, PromptOutput, Provider, ProviderId, Tool,
};
use interfaces::Interfaces;
use listed::Listed;
use lists::{Origin, Warnings};
use run::Failure;

/// A plugin that is ready to be called. What it has listed is its own; the rest is shared by all that list of the same version again.
#[derive(Clone)]
pub(crate) struct Plugin {
    engine: Engine,
    pre: InstancePre<State>,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    interfaces: Arc<Interfaces>,
    origin: Arc<Origin>,
    tools: Vec<Arc<Tool>>,
    routes: Arc<HashMap<String, Route>>,
    /// What it offers beside tools.
    offers: Offers,
    warnings: Warnings,
}

/// How a tool is run.
enum Route {
    Typed(TypedFunction),
    Listed(Listed),
}

impl Provider for Plugin {
    fn id(&self) -> &ProviderId {
        &self.shared.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(self.call_tool(call))
    }

    fn default_tool(&self) -> Option<&str> {
        self.shared.config.default_tool.as_deref()
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: CallContext) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        Box::pin(self.read(uri, context))
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: CallContext,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        Box::pin(self.fill_in(name, arguments, context))
    }

    fn complete(&self, completion: Completion, context: CallContext) -> BoxFuture<'_, Result<Completions, CallError>> {
        Box::pin(self.values(completion, context))
    }
}

impl Plugin {
    async fn call_tool(&self, call: Call<'_>) -> Result<CallOutput, CallError> {
        let Call { tool, arguments, context } = call;
        let route = self.routes.get(tool).ok_or_else(|| CallError::UnknownTool(tool.to_owned()))?;
        // Arguments are checked before anything is taken or started for them.
        let values = match route {
            Route::Typed(function) => match function.arguments(arguments) {
                Ok(values) => values,
                Err(error) => return Ok(CallOutput::error(error.to_string())),
            },
            Route::Listed(listed) => match listed.check(arguments) {
                Ok(()) => Vec::new(),
                Err(message) => return Ok(CallOutput::error(message)),
            },
        };
        let call_id = context.call_id;
        let answer = self.run(context, |mut store, instance| async move {
            let mut output = match route {
                Route::Typed(function) => self.call_typed(&mut store, instance, function, &values).await?,
                Route::Listed(listed) => self.call_listed(&mut store, instance, listed, arguments).await?,
            };
            if output.is_error {
                append(&mut output, store.data().refusals.messages());
            }
            Ok(output)
        });
        match answer.await {
            Ok(output) => Ok(output),
            Err(Failure::Plugin { message, refusals }) => {
                tracing::warn!(plugin = %self.shared.id, tool, call = call_id, "{message}");
                let mut output = CallOutput::error(message);
                append(&mut output, refusals);
                Ok(output)
            }
            Err(Failure::Call(error)) => Err(error),
        }
    }

    async fn call_typed(
        &self,
        store: &mut Store<State>,
        instance: Instance,
        function: &TypedFunction,
        arguments: &[Val],
    ) -> Result<CallOutput, Failure> {
        let name = &function.tool().name;
        let export = instance
            .get_func(&mut *store, function.export())
            .ok_or_else(|| Failure::Call(CallError::Internal(format!("plugin {} has no function for {name}", self.shared.id))))?;
        // One result at most, by the component model's rules; the vector of none does not allocate.
        let mut results = vec![Val::Bool(false); function.result_count()];
        export.call_async(&mut *store, arguments, &mut results).await.map_err(|error| self.explain(store, &error))?;
        function.output(&results, self.shared.config.limits.output).map_err(|error| match error {
            OutputError::TooLarge { .. } => Failure::plugin(self.over(Exceeded::Output(self.shared.config.limits.output))),
            error => Failure::plugin(format!("plugin {} answered what cannot be sent: {error}", self.shared.id)),
        })
    }

    async fn call_listed(
        &self,
        store: &mut Store<State>,
        instance: Instance,
        listed: &Listed,
        arguments: &str,
    ) -> Result<CallOutput, Failure> {
        let interface = self.interfaces.tools.as_ref();
        let guest = self.bound("tools", interface.map(|interface| interface.load(&mut *store, &instance)))?;
        let result = guest.call_call_tool(&mut *store, listed.name(), &arguments.to_owned()).await;
        let result = result.map_err(|error| self.explain(store, &error))?.map_err(|error| Failure::Call(listed::protocol_error(error)))?;
        let output = listed.output(result, self.shared.config.limits.output).map_err(|limit| Failure::plugin(self.over(limit)))?;
        listed
            .check_output(&output)
            .map_err(|why| Failure::plugin(format!("plugin {} answered what it said it would not: {why}", self.shared.id)))?;
        Ok(output)
    }
}

/// A failed tool that was refused something most likely failed for that reason: say it where the caller sees it.
fn append(output: &mut CallOutput, refusals: Vec<String>) {
    output.content.extend(refusals.into_iter().map(Content::Text));
}
