//! What is on offer now: one immutable snapshot of all tools, prompts, resources and templates, swapped whole.
//!
//! Names of tools, and of prompts in the same way among themselves (DESIGN, "Names"):
//!
//! 1. A tool is published under its own name while no other provider offers that name.
//! 2. When several do, each of them is published as `provider__tool`.
//! 3. The qualified form always works in a call, also of a tool that is published under its own name. So a tool whose own name reads like the qualified
//!    form of somebody else's tool (`a__b`, while a provider `a` offers `b`) is itself published in its qualified form.
//! 4. A qualified name longer than [`MAX_TOOL_NAME`](crate::provider::MAX_TOOL_NAME), or one that two tools share (`a` + `_b` and `a_` + `b` are both
//!    `a___b`; the first provider by name keeps it), is published cut and with eight hex digits of a hash at its end. The long form works in a call too.
//!
//! Resources are known by their URI, templates by their text. Of several at one address the one of the first provider by name is published. A URI that
//! no resource has is matched against the templates in a fixed order: most literal characters first, then by text.
//!
//! All of this depends on nothing but the set of providers, so every copy of the host publishes the same.

mod entry;
mod names;
mod naming;
mod prompt;
mod resources;
mod snapshot;
mod template;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

pub use entry::{Entry, ParamHeader};
pub use naming::{Collision, Kind};
pub use prompt::PromptEntry;
pub use resources::ResourceEntry;
pub use snapshot::{Generations, Snapshot};

use crate::provider::{Provider, ProviderChange, ProviderId};
use snapshot::Held;

/// Everything on offer. Reading is a pointer load; changes are applied one after the other.
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    state: Mutex<State>,
    /// The generations of the published lists. Receivers are the listening clients.
    generations: watch::Sender<Generations>,
}

#[derive(Default)]
struct State {
    providers: BTreeMap<ProviderId, Held>,
    /// Catalogs of one provider each, for as long as somebody holds them.
    views: BTreeMap<ProviderId, Weak<Catalog>>,
    /// A view says nothing of collisions: the whole catalog has said it.
    is_view: bool,
    /// What the collisions that were logged are about, so that each is logged once and again only after it was gone.
    logged: HashSet<(std::mem::Discriminant<Collision>, Kind, String)>,
}

impl Catalog {
    /// A catalog with nothing in it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(Snapshot::default()),
            state: Mutex::new(State::default()),
            generations: watch::Sender::new(Generations::default()),
        })
    }

    /// Makes the next snapshot. Calls in flight keep the entries that they began with.
    ///
    /// Costs about a microsecond for each tool in the catalog, so changes that come together should be given together.
    pub fn apply(&self, changes: Vec<ProviderChange>) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.lock();
        for change in changes {
            state.tell_view(&change);
            match change {
                ProviderChange::Put(provider) => {
                    let held = Held::new(provider);
                    state.providers.insert(held.id().clone(), held);
                }
                ProviderChange::Remove(id) => {
                    state.providers.remove(&id);
                }
                ProviderChange::Updated(..) => {}
            }
        }
        let before = self.current.load();
        let mut next = Snapshot::build(&state.providers);
        let generations = next.follow(&before);
        let changed = generations != before.generations();
        if !state.is_view {
            state.log_new(next.collisions());
        }
        self.current.store(Arc::new(next));
        if changed {
            self.generations.send_replace(generations);
        }
    }

    /// The catalog of one provider alone, under its own names, or None where there is no such provider. It follows this one: a new version of the provider
    /// is in both, and when the provider is gone it is empty. Who asks twice gets the same one, while somebody holds it.
    #[must_use]
    pub fn view(&self, id: &str) -> Option<Arc<Self>> {
        let mut state = self.lock();
        let (id, provider) = state.providers.get_key_value(id).map(|(id, held)| (id.clone(), Arc::clone(held.provider())))?;
        if let Some(view) = state.views.get(&id).and_then(Weak::upgrade) {
            return Some(view);
        }
        let view = Self::new();
        view.lock().is_view = true;
        view.apply(vec![ProviderChange::Put(provider)]);
        state.views.insert(id, Arc::downgrade(&view));
        Some(view)
    }

    /// Whether there is such a provider.
    #[must_use]
    pub fn has_provider(&self, id: &str) -> bool {
        self.lock().providers.contains_key(id)
    }

    /// All providers, in the order of their names.
    #[must_use]
    pub fn providers(&self) -> Vec<Arc<dyn Provider>> {
        self.lock().providers.values().map(|held| Arc::clone(held.provider())).collect()
    }

    /// What is on offer at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Tells of every change of a published list, and of nothing else: a new version of a plugin that offers the same does not count. The value is
    /// [`Snapshot::generations`], which says by comparison which list it was. What was the case at the time of this call counts as seen.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Generations> {
        self.generations.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands a change on to the provider's own catalog, if somebody holds that.
    fn tell_view(&mut self, change: &ProviderChange) {
        let id = match change {
            ProviderChange::Put(provider) => provider.id(),
            ProviderChange::Remove(id) | ProviderChange::Updated(id, _) => id,
        };
        let Some(view) = self.views.get(id) else { return };
        let Some(view) = view.upgrade() else {
            self.views.remove(id);
            return;
        };
        view.apply(vec![match change {
            ProviderChange::Put(provider) => ProviderChange::Put(Arc::clone(provider)),
            ProviderChange::Remove(id) => ProviderChange::Remove(id.clone()),
            ProviderChange::Updated(id, uri) => ProviderChange::Updated(id.clone(), uri.clone()),
        }]);
    }

    fn log_new(&mut self, collisions: &[Collision]) {
        let mut now = HashSet::with_capacity(collisions.len());
        for collision in collisions {
            let subject = collision.subject();
            if !self.logged.contains(&subject) {
                tracing::warn!("{collision}");
            }
            now.insert(subject);
        }
        self.logged = now;
    }
}
