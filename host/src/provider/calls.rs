//! Calling other tools in the middle of a call: composition.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{CallContext, CallError, CallOutput, Tool};

/// How deep calls may lead to others: more than a design has, and few enough for the pool of instances to keep places for each level.
pub const MAX_DEPTH: u32 = 8;

/// Calls other tools for one call, in the name of its caller. Made by `dispatch` for each call of a
/// provider whose tools may call others.
pub trait Calls: Send + Sync {
    /// The tools that may be called: granted, and allowed to the caller. Under their published names.
    fn list(&self) -> Vec<Arc<Tool>>;

    /// Calls one by its published or its qualified name. `arguments`: JSON text of an object, which the provider has checked.
    ///
    /// Of `context` the ways to the client are taken, and what is left of the time. Who calls, and by which call, is known here. The call runs on a task of its
    /// own, which ends when the future is dropped.
    fn call(&self, name: &str, arguments: String, context: CallContext) -> BoxFuture<'static, Result<CallOutput, NestedError>>;
}

/// Calls above and below a call.
#[derive(Clone, Default)]
pub struct Nesting {
    /// The way to make some.
    pub calls: Option<Arc<dyn Calls>>,
    /// How many lead to it.
    pub depth: u32,
    /// What was left of the time of the one that made it.
    pub time_left: Option<Duration>,
}

/// Why a call within a call has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NestedError {
    /// It was not granted. With the line that would.
    #[error("{0}")]
    Denied(String),
    /// The calls go in a circle, or too deep. With the chain.
    #[error("{0}")]
    Circular(String),
    /// As any call.
    #[error(transparent)]
    Call(#[from] CallError),
}
