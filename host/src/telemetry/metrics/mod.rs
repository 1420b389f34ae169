//! What is counted, and the page on which Prometheus reads it.
//!
//! Counting costs a call some atomic additions: its handle is kept beside the tool, and nothing is looked up by name. Labels come from what is loaded and
//! configured, never from a request. What other parts of the host hold anyway (pools, replicas, sessions) is not counted twice: they are asked when the
//! page is made.

mod calls;
mod durations;
pub mod family;
mod guards;
mod http;
mod nested;
mod otlp;
mod page;
mod process;
mod push;
mod refusals;
#[cfg(test)]
mod tests;
mod value;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

pub use calls::{CallMeter, CallMeters, Word};
pub use durations::Durations;
pub use family::{Family, Kind};
pub use guards::{GuardDecisions, GuardWord};
pub use http::{HttpMeters, HttpRoute};
pub use nested::NestedCalls;
pub use page::{Format, Out, Page, Samples, Source};
pub use process::{Process, Usage};
pub use push::Push;
pub use refusals::{Reason, Refusals};
pub use value::Value;

use super::otlp::Delivery;

/// What a host counts of its calls and requests.
#[derive(Debug)]
pub struct Metrics {
    is_on: bool,
    calls: CallMeters,
    http: HttpMeters,
    nested: NestedCalls,
    guards: GuardDecisions,
    refusals: Refusals,
    connections: AtomicU64,
    /// Of pushing all of this to a collector.
    pushes: Arc<Delivery>,
}

impl Metrics {
    /// Nothing counted yet. `outcomes`: how a call can end. Off: nothing is counted ever.
    #[must_use]
    pub fn new(outcomes: &'static [Word], is_on: bool) -> Self {
        let (http, refusals) = (HttpMeters::default(), Refusals::default());
        let (nested, guards) = (NestedCalls::default(), GuardDecisions::default());
        Self {
            is_on,
            calls: CallMeters::new(outcomes),
            http,
            nested,
            guards,
            refusals,
            connections: AtomicU64::new(0),
            pushes: Arc::default(),
        }
    }

    /// How pushing them to a collector goes.
    #[must_use]
    pub fn pushes(&self) -> &Arc<Delivery> {
        &self.pushes
    }

    /// The calls, if they are counted.
    #[must_use]
    pub fn calls(&self) -> Option<&CallMeters> {
        self.is_on.then_some(&self.calls)
    }

    /// The requests of HTTP, if they are counted.
    #[must_use]
    pub fn http(&self) -> Option<&HttpMeters> {
        self.is_on.then_some(&self.http)
    }

    /// Counts a call that a tool of `parent` makes of one of `provider`.
    pub fn nested(&self, parent: &str, provider: &str) {
        if self.is_on {
            self.nested.count(parent, provider);
        }
    }

    /// Counts what a guard decided.
    pub fn guard(&self, guard: &str, word: GuardWord) {
        if self.is_on {
            self.guards.count(guard, word);
        }
    }

    /// Counts something that was turned away.
    pub fn refused(&self, reason: Reason) {
        if self.is_on {
            self.refusals.count(reason);
        }
    }

    /// What was turned away.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// So many connections are open now.
    pub fn set_connections(&self, open: usize) {
        self.connections.store(open as u64, Relaxed);
    }
}

impl Source for Metrics {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        self.calls.collect(out)?;
        self.nested.collect(out)?;
        self.guards.collect(out)?;
        self.refusals.collect(out)?;
        self.http.collect(out)?;
        out.single(&family::HTTP_CONNECTIONS, self.connections.load(Relaxed))
    }
}
