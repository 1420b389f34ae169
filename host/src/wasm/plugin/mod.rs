//! One version of a plugin: a provider whose every call runs in a fresh instance.

mod content;
mod cost;
mod listed;
mod load;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use wasmtime::{
    Engine, PoolConcurrencyLimitError, Store,
    component::{Instance, InstancePre, Val},
};

pub use load::{HostError, PluginHost};

use super::{
    gate::Gate,
    host::bindings::exports::toolbay::plugin::tools::{Guest, GuestIndices},
    instance::{self, Shared, State},
    limits::{Exceeded, exceeded},
    typed::{OutputError, TypedFunction},
};
use crate::provider::{Call, CallContext, CallError, CallOutput, Content, Provider, ProviderId, Tool};
use listed::Listed;

/// A plugin that is ready to be called.
pub(crate) struct Plugin {
    engine: Engine,
    pre: InstancePre<State>,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    tools: Vec<Arc<Tool>>,
    routes: HashMap<String, Route>,
    /// Where the interface `tools` is, for plugins that export it.
    interface: Option<GuestIndices>,
}

/// How a tool is run.
enum Route {
    Typed(TypedFunction),
    Listed(Listed),
}

/// Why an instance did not answer.
enum Failure {
    /// The plugin's doing: told to the caller as the tool's error.
    Plugin(String),
    /// Anything else.
    Call(CallError),
}

impl Provider for Plugin {
    fn id(&self) -> &ProviderId {
        &self.shared.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(self.run(call))
    }
}

impl Plugin {
    async fn run(&self, call: Call<'_>) -> Result<CallOutput, CallError> {
        let route = self.routes.get(call.tool).ok_or_else(|| CallError::UnknownTool(call.tool.to_owned()))?;
        // Arguments are checked before anything is taken or started for them.
        let values = match route {
            Route::Typed(function) => match function.arguments(call.arguments) {
                Ok(values) => values,
                Err(error) => return Ok(CallOutput::error(error.to_string())),
            },
            Route::Listed(listed) => match listed.check(call.arguments) {
                Ok(()) => Vec::new(),
                Err(message) => return Ok(CallOutput::error(message)),
            },
        };
        let _permit = self.gate.enter(&self.shared.id).await?;
        let call_id = call.context.call_id;
        let mut store = instance::store(&self.engine, &self.shared, call.context);
        let timeout = self.shared.config.limits.timeout;
        let answer = async {
            let instance = self.instantiate(&mut store).await?;
            match route {
                Route::Typed(function) => self.call_typed(&mut store, instance, function, &values).await,
                Route::Listed(listed) => {
                    let guest = self.guest(&mut store, instance)?;
                    let result = guest.call_call_tool(&mut store, listed.name(), &call.arguments.to_owned()).await;
                    match result.map_err(|error| self.explain(&store, &error))? {
                        Ok(result) => {
                            listed.output(result, self.shared.config.limits.output).map_err(|limit| Failure::Plugin(self.over(limit)))
                        }
                        Err(error) => Err(Failure::Call(listed::protocol_error(error))),
                    }
                }
            }
        };
        let answer = match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Plugin(self.over(Exceeded::Timeout(timeout)))),
        };
        match answer {
            Ok(mut output) => {
                if output.is_error {
                    append_refusals(&store, &mut output);
                }
                Ok(output)
            }
            Err(Failure::Plugin(message)) => {
                tracing::warn!(plugin = %self.shared.id, tool = call.tool, call = call_id, "{message}");
                let mut output = CallOutput::error(message);
                append_refusals(&store, &mut output);
                Ok(output)
            }
            Err(Failure::Call(error)) => Err(error),
        }
    }

    async fn instantiate(&self, store: &mut Store<State>) -> Result<Instance, Failure> {
        match self.pre.instantiate_async(&mut *store).await {
            Ok(instance) => Ok(instance),
            Err(error) if error.is::<PoolConcurrencyLimitError>() => Err(Failure::Call(self.gate.out_of_slots(&self.shared.id))),
            Err(error) => Err(self.explain(store, &error)),
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
            OutputError::TooLarge { .. } => Failure::Plugin(self.over(Exceeded::Output(self.shared.config.limits.output))),
            error => Failure::Plugin(format!("plugin {} answered what cannot be sent: {error}", self.shared.id)),
        })
    }

    fn guest(&self, store: &mut Store<State>, instance: Instance) -> Result<Guest, Failure> {
        let missing = || Failure::Call(CallError::Internal(format!("plugin {} has no interface `tools`", self.shared.id)));
        let interface = self.interface.as_ref().ok_or_else(missing)?;
        interface.load(&mut *store, &instance).map_err(|error| {
            tracing::warn!(plugin = %self.shared.id, %error, "the interface `tools` cannot be called");
            missing()
        })
    }

    /// What went wrong in a guest, in words for the caller. Details that only the operator may see go to the log.
    fn explain(&self, store: &Store<State>, error: &wasmtime::Error) -> Failure {
        let plugin = &self.shared.id;
        if let Some(limit) = exceeded(error, &store.data().limiter, &self.shared.config.limits) {
            return Failure::Plugin(self.over(limit));
        }
        tracing::warn!(%plugin, call = store.data().call.call_id, "the guest failed: {error:?}");
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            return Failure::Plugin(format!("plugin {plugin} ended itself by exit({}) before it answered", exit.0));
        }
        let what = error.downcast_ref::<wasmtime::Trap>().map_or_else(|| error.root_cause().to_string(), ToString::to_string);
        Failure::Plugin(format!(
            "plugin {plugin} crashed: {what}; what it said before stands in the host's log under call={}",
            store.data().call.call_id
        ))
    }

    fn over(&self, limit: Exceeded) -> String {
        let plugin = &self.shared.id;
        match limit.key() {
            Some(key) => format!(
                "plugin {plugin} went over its {limit} and was ended; the operator can raise `{key}` in [plugin.{plugin}] of toolbay.toml"
            ),
            None => format!("plugin {plugin} went over its {limit} and was ended"),
        }
    }
}

/// A failed tool that was refused something most likely failed for that reason: say it where the caller sees it.
fn append_refusals(store: &Store<State>, output: &mut CallOutput) {
    output.content.extend(store.data().refusals.messages().into_iter().map(Content::Text));
}

/// A call of the host's own, such as listing the tools: nobody to notify.
fn own_call() -> CallContext {
    CallContext::default()
}
