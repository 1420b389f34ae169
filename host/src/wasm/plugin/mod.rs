//! One version of a plugin: a provider whose every call runs in a fresh instance.

mod completion;
mod described;
mod dynamic_tools;
mod guard;
mod http;
mod interfaces;
mod interned;
mod kept;
mod listing;
mod load;
mod offers;
mod on_demand;
mod optimised;
mod prompts;
mod residents;
mod resources;
mod run;
#[cfg(test)]
mod tests;
mod uri;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

use futures::future::BoxFuture;
use wasmtime::{
    Engine, Store,
    component::{Instance, InstancePre, Val},
};

pub use load::{HostError, PluginHost};

use super::{
    admission::AdmissionQueue,
    engine::Target,
    instance::{Shared, State},
    limits::Exceeded,
    typed::{OutputError, TypedFunction},
};
use crate::{
    offload,
    provider::{
        Call, CallContext, CallError, CallOutput, CompiledStatus, Completion, Completions, Content, Guard, JsonText, Offers, PromptOutput,
        Provider, ProviderId, Tool,
    },
};
use dynamic_tools::{Listed, Wrong};
use interfaces::Interfaces;
use kept::Kept;
use listing::{Origin, Warnings};
use optimised::Optimising;
use run::Failure;

/// A plugin that is ready to be called. What it has listed is its own; the rest is shared by all that list of the same version again.
#[derive(Clone)]
pub(crate) struct Plugin {
    code: Arc<Code>,
    tools: Vec<Arc<Tool>>,
    routes: Arc<HashMap<String, Route>>,
    /// What it offers beside tools.
    offers: Offers,
    warnings: Warnings,
}

/// What runs, and what all of its calls share.
struct Code {
    engine: Engine,
    pre: InstancePre<State>,
    shared: Arc<Shared>,
    gate: Arc<AdmissionQueue>,
    interfaces: Interfaces,
    origin: Origin,
    /// Instances that wait for a call. None: each call has a fresh one.
    kept: Option<Arc<Kept>>,
    /// Those of a guard that wait for the answer of a call about which they were asked.
    asked: Option<Arc<Kept>>,
    /// Who compiled it, and when.
    made: CompiledStatus,
    /// What it was compiled for.
    target: Target,
    /// Whether it can be loaded again from the cache.
    is_kept: bool,
    /// Whether its lists were made with a look at something that may be another thing tomorrow.
    reached: Arc<AtomicBool>,
    /// Better code that comes for it, if any does.
    optimising: Option<Optimising>,
}

/// How a tool is run.
#[derive(Clone)]
enum Route {
    Typed(Arc<TypedFunction>),
    Listed(Arc<Listed>),
}

/// A call of a tool, with its arguments. It owns them: a call that takes long goes on elsewhere.
enum Work {
    Typed(Arc<TypedFunction>, Vec<Val>),
    Listed(Arc<Listed>, String),
}

impl Provider for Plugin {
    fn id(&self) -> &ProviderId {
        &self.code.shared.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(self.call_tool(call))
    }

    fn code(&self) -> Option<String> {
        Some(self.code.origin.digest.to_hex().to_string())
    }

    fn default_tool(&self) -> Option<&str> {
        self.code.shared.config.default_tool.as_deref()
    }

    fn calls(&self) -> Option<&[String]> {
        self.code.shared.calls.then_some(self.code.shared.config.grants.calls.as_slice())
    }

    fn guard(&self) -> Option<&dyn Guard> {
        self.code.interfaces.guards().any().then_some(self)
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn reads_unlisted(&self) -> bool {
        self.code.interfaces.resources.is_some()
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        Box::pin(self.read(uri, context))
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        Box::pin(self.fill_in(name, arguments, context))
    }

    fn complete(&self, completion: Completion, context: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        Box::pin(self.values(completion, context))
    }
}

impl Plugin {
    async fn call_tool(&self, call: Call<'_>) -> Result<CallOutput, CallError> {
        let Call { tool, arguments, context } = call;
        let route = self.routes.get(tool).ok_or_else(|| CallError::UnknownTool(tool.to_owned()))?;
        // Arguments are checked before anything is taken or started for them.
        let work = match self.code.checked(route, arguments).await? {
            Ok(work) => work,
            Err(message) => return Ok(CallOutput::error(message)),
        };
        let call_id = context.call_id;
        let answer = self.code.run_kept(context, move |code, mut store, instance| async move {
            let output = match work {
                Work::Typed(function, values) => code.call_typed(&mut store, instance, &function, &values).await,
                Work::Listed(listed, arguments) => code.call_listed(&mut store, instance, &listed, arguments).await,
            };
            let output = output.map(|mut output| {
                if output.is_error {
                    append(&mut output, store.data().refusals.messages());
                }
                output
            });
            (output, Some(store))
        });
        match answer.await {
            Ok(output) => Ok(output),
            Err(Failure::Plugin { message, refusals }) => {
                tracing::warn!(plugin = %self.code.shared.id, tool, call = call_id, "{message}");
                let mut output = CallOutput::error(message);
                append(&mut output, refusals);
                Ok(output)
            }
            Err(Failure::Call(error)) => Err(error),
        }
    }
}

impl Code {
    /// The call with arguments that fit, or what is wrong with them.
    async fn checked(&self, route: &Route, arguments: &str) -> Result<Result<Work, String>, CallError> {
        if route.is_quick(arguments.len()) {
            return Ok(route.check(arguments));
        }
        let (route, arguments) = (route.clone(), arguments.to_owned());
        let timeout = self.shared.config.limits.timeout;
        let work = self.shared.offload.run(move || route.check(&arguments));
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(checked)) => Ok(checked),
            Ok(Err(lost)) => Err(CallError::Internal(format!("the arguments could not be checked: {lost}"))),
            Err(_) => {
                Ok(Err(format!("checking the arguments took longer than {timeout:?}, which is the `timeout` of this plugin's calls")))
            }
        }
    }

    async fn call_typed(
        &self,
        store: &mut Store<State>,
        instance: Instance,
        function: &Arc<TypedFunction>,
        arguments: &[Val],
    ) -> Result<CallOutput, Failure> {
        let name = &function.tool().name;
        let export = instance
            .get_func(&mut *store, function.export())
            .ok_or_else(|| Failure::Call(CallError::Internal(format!("plugin {} has no function for {name}", self.shared.id))))?;
        // One result at most, by the component model's rules; the vector of none does not allocate.
        let mut results = vec![Val::Bool(false); function.result_count()];
        export.call_async(&mut *store, arguments, &mut results).await.map_err(|error| self.explain(store, &error))?;
        let limit = self.shared.config.limits.output;
        let output = if results.iter().all(is_small) {
            function.output(&results, limit)
        } else {
            let function = Arc::clone(function);
            self.beside(move || function.output(&results, limit)).await?
        };
        output.map_err(|error| match error {
            OutputError::TooLarge { .. } => Failure::plugin(self.over(Exceeded::Output(self.shared.config.limits.output))),
            error => Failure::plugin(format!("plugin {} answered what cannot be sent: {error}", self.shared.id)),
        })
    }

    async fn call_listed(
        &self,
        store: &mut Store<State>,
        instance: Instance,
        listed: &Arc<Listed>,
        arguments: String,
    ) -> Result<CallOutput, Failure> {
        let interface = self.interfaces.tools.as_ref();
        let guest = self.bound("tools", interface.map(|interface| interface.load(&mut *store, &instance)))?;
        let result = guest.call_call_tool(&mut *store, listed.name(), &arguments).await;
        let result = result.map_err(|error| self.explain(store, &error))?;
        let result = result.map_err(|error| Failure::Call(dynamic_tools::protocol_error(error, &store.data().refusals.messages())))?;
        let limit = self.shared.config.limits.output;
        let answered = if listed.is_quick(&result) {
            listed.answer(result, limit)
        } else {
            let listed = Arc::clone(listed);
            self.beside(move || listed.answer(result, limit)).await?
        };
        answered.map_err(|wrong| {
            Failure::plugin(match wrong {
                Wrong::Limit(limit) => self.over(limit),
                Wrong::Unfit(why) => format!("plugin {} answered what it said it would not: {why}", self.shared.id),
            })
        })
    }

    /// Does work on an answer of so many bytes: where it is, or, if that would take long, beside the async workers.
    async fn sized<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        if bytes <= offload::SMALL { Ok(work()) } else { self.beside(work).await }
    }

    /// Does work on an answer that is long, beside the async workers and under the deadline of the call.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let lost = |lost| Failure::Call(CallError::Internal(format!("the answer of plugin {} could not be read: {lost}", self.shared.id)));
        self.shared.offload.run(work).await.map_err(lost)
    }
}

impl Route {
    /// Whether so many bytes of arguments are checked in no time.
    fn is_quick(&self, bytes: usize) -> bool {
        match self {
            Self::Typed(_) => bytes <= offload::SMALL,
            Self::Listed(listed) => listed.input().is_quick(bytes),
        }
    }

    /// The call with arguments that fit, or what is wrong with them.
    fn check(&self, arguments: &str) -> Result<Work, String> {
        match self {
            Self::Typed(function) => {
                let values = function.arguments(arguments).map_err(|error| error.to_string())?;
                Ok(Work::Typed(Arc::clone(function), values))
            }
            Self::Listed(listed) => listed.check(arguments).map(|arguments| Work::Listed(Arc::clone(listed), arguments.into_owned())),
        }
    }
}

/// Whether a value is written as JSON in no time.
fn is_small(value: &Val) -> bool {
    takes(value, &mut offload::SMALL.clone())
}

/// Takes what a value has of text and parts off `left`. False: there is more.
fn takes(value: &Val, left: &mut usize) -> bool {
    /// Bytes of JSON that a value without parts takes, roughly.
    const EACH: usize = 8;
    let mut take = |bytes: usize| match left.checked_sub(bytes + EACH) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value {
        Val::String(text) => take(text.len()),
        Val::List(parts) | Val::Tuple(parts) => take(0) && parts.iter().all(|part| takes(part, left)),
        Val::Record(fields) => take(0) && fields.iter().all(|(_, part)| takes(part, left)),
        Val::Map(entries) => take(0) && entries.iter().all(|(key, part)| takes(key, left) && takes(part, left)),
        Val::Variant(_, Some(part)) | Val::Option(Some(part)) | Val::Result(Ok(Some(part)) | Err(Some(part))) => {
            take(0) && takes(part, left)
        }
        Val::Flags(names) => take(names.len().saturating_mul(EACH)),
        _ => take(0),
    }
}

/// A failed tool that was refused something most likely failed for that reason: say it where the caller sees it.
fn append(output: &mut CallOutput, refusals: Vec<String>) {
    output.content.extend(refusals.into_iter().map(Content::Text));
}
