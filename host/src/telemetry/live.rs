//! A filter of log lines that can be changed while the program runs.
//!
//! `tracing_subscriber::reload` takes a lock at each span and event. Here only places in the code that the filter has not decided about once and for all
//! read a pointer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::Context, registry::LookupSpan};

use super::{filter, lazy_span};

/// A filter that can be replaced. Clones are the same one.
#[derive(Clone)]
pub(super) struct LiveFilter(Arc<Shared>);

struct Shared {
    current: ArcSwap<Current>,
    /// Whether a filter that looks at spans is, or has been, there.
    spans: AtomicBool,
}

enum Current {
    /// Looks at nothing but targets and levels.
    Simple(Box<Targets>),
    /// Looks at spans and fields too.
    Spans(Box<EnvFilter>),
}

impl Current {
    fn of(filter: EnvFilter) -> Self {
        match filter::simple(&filter) {
            Some(simple) => Self::Simple(Box::new(simple)),
            None => Self::Spans(Box::new(filter)),
        }
    }
}

impl LiveFilter {
    pub(super) fn new(filter: EnvFilter) -> Self {
        let current = Current::of(filter);
        let spans = AtomicBool::new(matches!(current, Current::Spans(_)));
        if spans.load(Relaxed) {
            lazy_span::make_at_once();
        }
        Self(Arc::new(Shared { current: ArcSwap::from_pointee(current), spans }))
    }

    /// Replaces the filter. Spans that are open already are none to a new filter that looks at spans.
    pub(super) fn replace(&self, filter: EnvFilter) {
        let next = Current::of(filter);
        if matches!(next, Current::Spans(_)) {
            self.0.spans.store(true, Relaxed);
            lazy_span::make_at_once();
        }
        self.0.current.store(Arc::new(next));
        // Every place in the code is decided about anew.
        tracing::callsite::rebuild_interest_cache();
    }

    fn spans(&self, look: impl FnOnce(&EnvFilter)) {
        if self.0.spans.load(Relaxed)
            && let Current::Spans(filter) = &**self.0.current.load()
        {
            look(filter);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LiveFilter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match &**self.0.current.load() {
            Current::Simple(filter) => Layer::<S>::register_callsite(&**filter, metadata),
            Current::Spans(filter) => Layer::<S>::register_callsite(&**filter, metadata),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        match &**self.0.current.load() {
            Current::Simple(filter) => Layer::<S>::enabled(&**filter, metadata, context),
            Current::Spans(filter) => Layer::<S>::enabled(&**filter, metadata, context),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match &**self.0.current.load() {
            Current::Simple(filter) => Layer::<S>::max_level_hint(&**filter),
            Current::Spans(filter) => Layer::<S>::max_level_hint(&**filter),
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.spans(|filter| Layer::<S>::on_new_span(filter, attributes, id, context));
    }

    /// Comes before the layer that writes the line.
    fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
        lazy_span::make_all();
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.spans(|filter| Layer::<S>::on_record(filter, id, values, context));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.spans(|filter| Layer::<S>::on_enter(filter, id, context));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.spans(|filter| Layer::<S>::on_exit(filter, id, context));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.spans(|filter| Layer::<S>::on_close(filter, id, context));
    }
}
