//! The interfaces of a guard: `before-call`, `after-call` and `tool-list`.

use std::sync::Arc;

use futures::future::BoxFuture;
use wasmtime::{Store, component::Instance};

use super::{Code, Plugin, interfaces::Interfaces, run::Failure};
use crate::{
    offload,
    provider::{
        CallContext, CallError, Guard, GuardFailure, GuardHooks, GuardedCall, GuardedList, GuardedTool, ListedTool, Listing, Verdict,
    },
    wasm::{
        imports::bindings::{exports::toolbay::plugin::tool_list as list, toolbay::plugin::guarding as wit},
        instance::State,
    },
};

impl Interfaces {
    /// What a component wants to be asked as a guard.
    pub(super) fn guards(&self) -> GuardHooks {
        GuardHooks { before: self.before_call.is_some(), after: self.after_call.is_some(), list: self.tool_list.is_some() }
    }
}

impl Guard for Plugin {
    fn hooks(&self) -> GuardHooks {
        self.code.interfaces.guards()
    }

    fn before(&self, call: GuardedCall, arguments: String, context: Box<CallContext>) -> BoxFuture<'_, Result<Verdict, GuardFailure>> {
        let (guard, call) = (shares(&call, arguments.len()), guarded(call, context.call_id));
        Box::pin(failed(self.code.run_asked(context, guard, true, move |code, mut store, instance| async move {
            let verdict = code.before(&mut store, &instance, &call, &arguments).await;
            (verdict, Some(store))
        })))
    }

    fn after(
        &self,
        call: GuardedCall,
        arguments: String,
        answer: String,
        context: Box<CallContext>,
    ) -> BoxFuture<'_, Result<Verdict, GuardFailure>> {
        let (guard, call) = (shares(&call, arguments.len() + answer.len()), guarded(call, context.call_id));
        Box::pin(failed(self.code.run_asked(context, guard, false, move |code, mut store, instance| async move {
            let verdict = code.after(&mut store, &instance, &call, &arguments, &answer).await;
            (verdict, Some(store))
        })))
    }

    fn list(&self, guarded: GuardedList) -> BoxFuture<'_, Result<Vec<Listing>, GuardFailure>> {
        let count = guarded.tools.len();
        let guarded = list::GuardedList {
            guard: guarded.guard.to_string(),
            settings: guarded.settings.to_string(),
            tools: guarded.tools.into_iter().map(listed).collect(),
        };
        Box::pin(failed(self.code.run(Box::default(), move |code, mut store, instance| async move {
            store.data_mut().listing = true;
            let interface = code.interfaces.tool_list.as_ref();
            let guest = code.bound("tool-list", interface.map(|interface| interface.load(&mut store, &instance)))?;
            let said = guest.call_check_list(&mut store, &guarded).await.map_err(|error| code.explain(&store, &error))?;
            let said = said.map_err(|why| code.cannot(&why))?;
            if said.len() != count {
                return Err(Failure::plugin(format!(
                    "plugin {} was asked for {count} tools and answered for {}",
                    code.shared.id,
                    said.len()
                )));
            }
            Ok(said.into_iter().map(listing).collect())
        })))
    }
}

/// Who shares an instance for both questions about a call. None: what it is shown is long, and one question had better leave the other all of its limits.
fn shares(call: &GuardedCall, bytes: usize) -> Option<Arc<str>> {
    (bytes <= offload::SMALL).then(|| Arc::clone(&call.guard))
}

/// What a question comes to, where it has no answer.
async fn failed<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, GuardFailure> {
    asked.await.map_err(|failure| match failure {
        Failure::Plugin { message, refusals } => {
            GuardFailure::Failed(std::iter::once(message).chain(refusals).collect::<Vec<_>>().join("; "))
        }
        Failure::Call(CallError::Internal(message)) => GuardFailure::Failed(message),
        Failure::Call(error) => GuardFailure::NotRun(error),
    })
}

impl Code {
    async fn before(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        call: &wit::GuardedCall,
        arguments: &String,
    ) -> Result<Verdict, Failure> {
        let interface = self.interfaces.before_call.as_ref();
        let guest = self.bound("before-call", interface.map(|interface| interface.load(&mut *store, instance)))?;
        let said = guest.call_before_call(&mut *store, call, arguments).await.map_err(|error| self.explain(store, &error))?;
        self.verdict(said)
    }

    async fn after(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        call: &wit::GuardedCall,
        arguments: &String,
        answer: &String,
    ) -> Result<Verdict, Failure> {
        let interface = self.interfaces.after_call.as_ref();
        let guest = self.bound("after-call", interface.map(|interface| interface.load(&mut *store, instance)))?;
        let said = guest.call_after_call(&mut *store, call, arguments, answer).await.map_err(|error| self.explain(store, &error))?;
        self.verdict(said)
    }

    fn verdict(&self, said: Result<wit::Verdict, String>) -> Result<Verdict, Failure> {
        let verdict = match said.map_err(|why| self.cannot(&why))? {
            wit::Verdict::Allow => return Ok(Verdict::Allow),
            wit::Verdict::Deny(why) => Verdict::Deny(why),
            wit::Verdict::Change(to) => Verdict::Change(to),
            wit::Verdict::Ask(question) => Verdict::Ask(question),
        };
        let (Verdict::Deny(text) | Verdict::Change(text) | Verdict::Ask(text)) = &verdict else { return Ok(verdict) };
        self.within_output(text.len())?;
        Ok(verdict)
    }

    fn cannot(&self, why: &str) -> Failure {
        Failure::plugin(format!("plugin {} cannot decide: {why}", self.shared.id))
    }
}

fn guarded(call: GuardedCall, id: u64) -> wit::GuardedCall {
    let GuardedCall { guard, settings, subject, roles, tool } = call;
    wit::GuardedCall {
        id: id.to_string(),
        guard: guard.to_string(),
        settings: settings.to_string(),
        caller: wit::Caller { subject, roles },
        tool: self::tool(tool),
    }
}

fn tool(tool: GuardedTool) -> wit::GuardedTool {
    let GuardedTool { name, provider, own_name, annotations } = tool;
    wit::GuardedTool { name, provider, own_name, annotations }
}

fn listed(listed: ListedTool) -> list::ListedTool {
    let ListedTool { tool, title, description, input_schema } = listed;
    list::ListedTool { tool: self::tool(tool), title, description, input_schema }
}

fn listing(said: list::Listing) -> Listing {
    match said {
        list::Listing::Show => Listing::Show,
        list::Listing::Hide(why) => Listing::Hide(why),
        list::Listing::Describe(text) => Listing::Describe(text),
    }
}
