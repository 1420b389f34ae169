//! One instance from its start to its end: the permit, the limits, and the words for what went wrong.

use std::sync::{Arc, atomic::AtomicBool};

use wasmtime::{PoolConcurrencyLimitError, Store, component::Instance};

use super::{
    Code,
    kept::{Kept, Owner, Ready},
};
use crate::{
    provider::{CallContext, CallError, SpanKind},
    wasm::{
        admission::{Permit, Reclaim as _},
        instance::{self, Ended, State},
        lanes::Paced,
        limits::{self, Exceeded, exceeded},
    },
};

/// JSON-RPC's "internal error": what a guest did wrong where an answer has no place to say so.
const INTERNAL_ERROR: i32 = -32603;

/// Why an instance did not answer.
pub(super) enum Failure {
    /// The plugin's doing: told to the caller.
    Plugin {
        message: String,
        /// What it was refused before, which most likely is why.
        refusals: Vec<String>,
    },
    /// Anything else.
    Call(CallError),
}

impl Failure {
    pub(super) fn plugin(message: String) -> Self {
        Self::Plugin { message, refusals: Vec::new() }
    }
}

/// Where an instance that has served calls may come from, and where it may go.
struct Keeper {
    kept: Arc<Kept>,
    owner: Owner,
    /// Whether it serves more calls after this one.
    goes_on: bool,
    /// Whether one is made for the next caller that has none.
    reserves: bool,
}

impl Code {
    /// Does some work in a fresh instance, under every limit. The work owns the store, so that the instance is gone when the work is done or dropped; and
    /// whatever else it needs, as it goes on beside the async workers where it takes long.
    pub(super) async fn run<T, F>(
        self: &Arc<Self>,
        context: Box<CallContext>,
        work: impl FnOnce(Arc<Self>, Store<State>, Instance) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.run_in(context, None, None, move |code, store, instance| {
            let work = work(code, store, instance);
            async move { (work.await, None) }
        })
        .await
    }

    /// The same in an instance that may have served calls before, and may serve others afterwards, where the plugin has `reuse`. The work gives the store back.
    pub(super) async fn run_kept<T, F>(
        self: &Arc<Self>,
        context: Box<CallContext>,
        work: impl FnOnce(Arc<Self>, Store<State>, Instance) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = (Result<T, Failure>, Option<Store<State>>)> + Send,
    {
        let keeper = self.keeper(&context);
        self.run_in(context, keeper, None, work).await
    }

    /// The same for a question to a guard: in a fresh instance, or in that which has answered the question before about this call. `guard`: None: only in a
    /// fresh one. `goes_on`: whether another question follows.
    pub(super) async fn run_asked<T, F>(
        self: &Arc<Self>,
        context: Box<CallContext>,
        guard: Option<Arc<str>>,
        goes_on: bool,
        work: impl FnOnce(Arc<Self>, Store<State>, Instance) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = (Result<T, Failure>, Option<Store<State>>)> + Send,
    {
        let keeper = self.keeper(&context).or_else(|| {
            let kept = Arc::clone(self.asked.as_ref()?);
            Some(Keeper { kept, owner: Owner::Questions(context.call_id, guard?), goes_on, reserves: false })
        });
        self.run_in(context, keeper, None, work).await
    }

    /// Of a plugin with `reuse`.
    fn keeper(&self, context: &CallContext) -> Option<Keeper> {
        let kept = self.kept.as_ref()?;
        Some(Keeper { kept: Arc::clone(kept), owner: kept.owner(context)?, goes_on: true, reserves: true })
    }

    /// Makes a list, in a fresh instance. `reached` is noted where what the guest says may be something else tomorrow.
    pub(super) async fn run_noted<T, F>(
        self: &Arc<Self>,
        reached: Arc<AtomicBool>,
        work: impl FnOnce(Arc<Self>, Store<State>, Instance) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        // A call of the host's own: there is nobody to notify.
        self.run_in(Box::default(), None, Some(reached), move |code, store, instance| {
            let work = work(code, store, instance);
            async move { (work.await, None) }
        })
        .await
    }

    /// `keeper`: None: only a fresh instance may serve the call, and it is not kept.
    async fn run_in<T, F>(
        self: &Arc<Self>,
        mut context: Box<CallContext>,
        keeper: Option<Keeper>,
        reached: Option<Arc<AtomicBool>>,
        work: impl FnOnce(Arc<Self>, Store<State>, Instance) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = (Result<T, Failure>, Option<Store<State>>)> + Send,
    {
        let depth = if reached.is_some() { self.gate.depth_of_lists() } else { context.depth() };
        let entered = self.gate.enter_at(&self.shared.id, context.principal.as_ref(), context.started.as_deref(), depth);
        let Permit { running, place } = entered.await.map_err(Failure::Call)?;
        // What waits for its turn does not run yet.
        let span = context.enter(SpanKind::Internal, &["run ", self.shared.id.as_str()]);
        let (mut store, waited, served) = match keeper.as_ref().and_then(|Keeper { kept, owner, .. }| kept.take(owner)) {
            // It has a place of its own, and needs no second one.
            Some(Ready { mut store, instance, served, .. }) => {
                instance::renew(&mut store, context);
                (store, Some(instance), served)
            }
            None => (instance::store(&self.engine, &self.shared, context), None, 0),
        };
        store.data_mut().turn = running.turn();
        store.data_mut().reached = reached;
        let refusals = store.data().refusals.clone();
        let deadline = store.data().deadline.clone();
        let code = Arc::clone(self);
        // In a box from the start: it is large, and would be moved into one.
        let answer = Box::pin(async move {
            // Given back when the instance is gone, which may be later than the call where that is dropped.
            let place = place;
            let instance = match waited {
                Some(instance) => instance,
                None => code.instantiate(&mut store).await?,
            };
            if served == 0 && keeper.as_ref().is_some_and(|keeper| keeper.reserves) {
                code.reserve();
            }
            let (result, store) = work(Arc::clone(&code), store, instance).await;
            if let (Ok(_), Some(store), Some(Keeper { kept, owner, goes_on: true, .. })) = (&result, store, keeper)
                && code.gate.may_wait()
            {
                kept.put(Ready::new(store, instance, place, served + 1, Some(owner)));
                // Somebody who began to wait meanwhile found nothing to take.
                if !code.gate.may_wait() {
                    kept.reclaim();
                }
            }
            result
        });
        let answer = tokio::select! {
            biased;
            answer = Paced::new(answer, &self.shared.pace) => {
                answer.unwrap_or_else(|_| Err(Failure::Call(CallError::Internal("the host is shutting down".to_owned()))))
            }
            () = deadline.over() => Err(Failure::plugin(self.over(Exceeded::Timeout(self.shared.config.limits.timeout)))),
        };
        if let (Some(span), Err(failure)) = (&span, &answer) {
            span.fail(match failure {
                Failure::Plugin { .. } => "plugin",
                Failure::Call(_) => "host",
            });
        }
        match answer {
            Err(Failure::Plugin { message, .. }) => Err(Failure::Plugin { message, refusals: refusals.messages() }),
            answer => answer,
        }
    }

    /// Makes an instance for the next caller that has none, while nobody waits for it.
    fn reserve(self: &Arc<Self>) {
        let Some(kept) = self.kept.as_ref().filter(|kept| !kept.has_fresh()) else { return };
        let Some(place) = self.gate.spare_place() else { return };
        let (code, kept) = (Arc::clone(self), Arc::clone(kept));
        // It ends by itself: instantiating is under the limits of a call.
        tokio::spawn(async move {
            let mut store = instance::store(&code.engine, &code.shared, Box::default());
            let made = tokio::time::timeout(code.shared.config.limits.timeout, code.instantiate(&mut store)).await;
            // What goes wrong here goes wrong for the next call too, which is told.
            if let Ok(Ok(instance)) = made {
                kept.put(Ready::new(store, instance, place, 0, None));
            }
        });
    }

    async fn instantiate(&self, store: &mut Store<State>) -> Result<Instance, Failure> {
        match self.pre.instantiate_async(&mut *store).await {
            Ok(instance) => Ok(instance),
            Err(error) if error.is::<PoolConcurrencyLimitError>() => Err(Failure::Call(self.gate.out_of_slots(&self.shared.id))),
            Err(error) => Err(self.explain(store, &error)),
        }
    }

    /// A failure as an error of the protocol, for requests whose answer cannot say that it failed. `what` was asked for.
    pub(super) fn as_error(&self, failure: Failure, what: &str, call_id: u64) -> CallError {
        match failure {
            Failure::Plugin { message, refusals } => {
                tracing::warn!(plugin = %self.shared.id, what, call = call_id, "{message}");
                let message = std::iter::once(message).chain(refusals).collect::<Vec<_>>().join("; ");
                CallError::Protocol { code: INTERNAL_ERROR, message, data: None }
            }
            Failure::Call(error) => error,
        }
    }

    /// An answer that takes this many bytes, if that is not too much.
    pub(super) fn within_output(&self, bytes: usize) -> Result<(), Failure> {
        let limit = self.shared.config.limits.output;
        if bytes > limit { Err(Failure::plugin(self.over(Exceeded::Output(limit)))) } else { Ok(()) }
    }

    /// What went wrong in a guest, in words for the caller. Details that only the operator may see go to the log.
    pub(super) fn explain(&self, store: &Store<State>, error: &wasmtime::Error) -> Failure {
        let plugin = &self.shared.id;
        let given = &self.shared.config.limits;
        if let Some(Ended(end)) = error.downcast_ref() {
            return Failure::Call(end.clone());
        }
        if let Some(mut limit) = exceeded(error, &store.data().limiter, given) {
            // The host takes less of a list than of an answer.
            if matches!(limit, Exceeded::Copied(_)) && store.hostcall_fuel() != limits::copied(given) {
                limit = Exceeded::Listed(limits::listed(given));
            }
            return Failure::plugin(self.over(limit));
        }
        tracing::warn!(%plugin, call = store.data().call.call_id, "the guest failed: {error:?}");
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            return Failure::plugin(format!("plugin {plugin} ended itself by exit({}) before it answered", exit.0));
        }
        let mut what = error.downcast_ref::<wasmtime::Trap>().map_or_else(|| error.root_cause().to_string(), ToString::to_string);
        if limits::is_below_the_stack(error) {
            what += ", just below address 0, which is where a stack overflows: by recursion without an end, or large values on the stack";
        }
        Failure::plugin(format!(
            "plugin {plugin} crashed: {what}; its output is in the host's log under call={}",
            store.data().call.call_id
        ))
    }

    pub(super) fn over(&self, limit: Exceeded) -> String {
        let plugin = &self.shared.id;
        match limit.key() {
            Some(key) => format!(
                "plugin {plugin} went over its {limit} and was ended; the operator can raise `{key}` in [plugin.{plugin}] of toolbay.toml"
            ),
            None => format!("plugin {plugin} went over its {limit} and was ended"),
        }
    }
}
