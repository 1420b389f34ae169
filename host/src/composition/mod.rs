//! Calls that a call makes: what reaches its client through them, and in which order they may ask it.
//!
//! Whoever makes them (a plugin by its import, a pipeline by its steps) has one [`Passage`] for calls that run at once.

mod asking;
mod deadline;
mod progress;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

pub(crate) use asking::{Place, Turns};
pub(crate) use deadline::Deadline;
pub(crate) use progress::Told;

use crate::provider::{Asker, CallContext, CallError, CallOutput, Calls, NestedError, Nesting, Notifier};
use asking::Passing;
use progress::Relay;

/// The way from calls that one call makes at once to the client of that one.
pub(crate) struct Passage {
    calls: Arc<dyn Calls>,
    /// Of the call that makes them.
    context: Box<CallContext>,
    deadline: Arc<Deadline>,
    told: Option<Arc<Told>>,
    turns: Arc<Turns>,
}

impl Passage {
    /// For a call with this context, until this deadline. `told`: how far it has come, where somebody wants to know.
    pub(crate) fn new(
        calls: Arc<dyn Calls>,
        context: Box<CallContext>,
        deadline: Arc<Deadline>,
        told: Option<Arc<Told>>,
        turns: Arc<Turns>,
    ) -> Self {
        Self { calls, context, deadline, told, turns }
    }

    /// Makes one of the calls. Where it asks before its turn it is made again when that has come.
    pub(crate) async fn call(&self, place: Place, name: &str, arguments: String) -> Result<CallOutput, NestedError> {
        // Without a way to ask it is made once, and needs no copy.
        if self.context.asker.is_none() {
            return self.calls.call(name, arguments, self.context_of(place, name, &Arc::default())).await;
        }
        loop {
            let early = Arc::<AtomicBool>::default();
            let result = self.calls.call(name, arguments.clone(), self.context_of(place, name, &early)).await;
            match result {
                Err(NestedError::Call(CallError::InputRequired)) if early.load(Ordering::Acquire) => self.turns.come(place).await,
                result => return result,
            }
        }
    }

    /// What a call is given of the one that makes it.
    fn context_of(&self, place: Place, name: &str, early: &Arc<AtomicBool>) -> CallContext {
        let asker = self.context.asker.clone().map(|inner| {
            let (deadline, turns, early) = (Arc::clone(&self.deadline), Arc::clone(&self.turns), Arc::clone(early));
            Arc::new(Passing { inner, deadline, turns, place, early }) as Arc<dyn Asker>
        });
        let notifier = self
            .context
            .notifier
            .clone()
            .map(|inner| Arc::new(Relay { inner, told: self.told.clone(), name: name.to_owned() }) as Arc<dyn Notifier>);
        CallContext {
            asker,
            notifier,
            deferral: self.context.deferral.clone(),
            span: self.context.span.clone(),
            nesting: Some(Arc::new(Nesting { time_left: Some(self.deadline.left()), ..Nesting::default() })),
            ..CallContext::default()
        }
    }
}
