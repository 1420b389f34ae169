//! What is on offer now: one immutable snapshot of all tools, prompts, resources and templates, swapped whole.
//!
//! Names of tools, and of prompts in the same way among themselves:
//!
//! 1. A tool is published under its own name while no other provider offers that name. Model APIs take `^[A-Za-z0-9_-]{1,64}$` alone: another own name is
//!    published with `_` in place of other characters, with a hash where that is too long or taken. The own name works in a call all the same.
//! 2. When several do, each of them is published as `provider__tool`. But who was published under the name when the others came (after the first state
//!    was complete, [`Catalog::settle`]) keeps it: nobody takes a name from a tool that clients know.
//! 3. The qualified form always works in a call, also of a tool that is published under its own name. So a tool whose own name reads like the qualified
//!    form of somebody else's tool (`a__b`, while a provider `a` offers `b`) is itself published in its qualified form.
//! 4. A qualified name that model APIs refuse, or one that two tools share (`a` + `_b` and `a_` + `b` are both
//!    `a___b`; the first provider by name keeps it), is published cut and with eight hex digits of a hash at its end. The long form works in a call too.
//!
//! Resources are known by their URI, templates by their text. Of several at one address the one of the first provider by name is published as it is, and
//! the others as `toolbay://NAME/URI`; who has an address when the others come keeps it. A URI that no resource has is matched against the templates in a
//! fixed order: most literal characters first, then by text. What a provider has and does not list is read by the qualified form, which links in its
//! answers get.
//!
//! A tool that an operator has disabled is in no snapshot, and keeps its name for when it is enabled again: see `disabled`.
//!
//! What a caller sees of it goes by its roles: [`Catalog::seen`] is the snapshot without what these do not allow, made once for each set of roles.
//!
//! Lists are in the order of providers, and of each provider's own. All of this depends on nothing but the set of providers at the start and what came
//! after it, so every copy of the host publishes the same, and a copy that starts later has at most more qualified names.

mod address;
mod chosen;
mod disabled;
mod entry;
pub mod feed;
mod instructions;
mod kept;
mod lacks;
mod marks;
mod names;
mod naming;
mod part;
mod policy;
mod prompt;
mod resources;
pub mod search;
mod snapshot;
mod stand_ins;
mod template;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{broadcast, watch};

pub use chosen::Choice;
use disabled::Disabled;
pub use entry::{Entry, ParamHeader};
pub use kept::Seen;
pub use lacks::Lack;
pub use marks::{GuardRule, Labels, Marks};
pub use naming::{Collision, Kind};
pub use policy::{Access, Asked, Confirm, FlowRule, Limit, LivePolicy, Policy, RateOf, Role, Rule, Safeguards, Table, Why, denial};
pub use prompt::PromptEntry;
pub use resources::ResourceEntry;
pub use snapshot::{Called, Generations, Snapshot};
pub use template::fits_template;

use crate::provider::{Principal, Provider, ProviderChange, ProviderId, Roles};
use kept::Kept;
use search::{Embedder, Meaning, MeaningStatus, Meanings};
use snapshot::Held;

/// Updates of resources that wait for a listener that is slow, a batch at a time. One that falls behind learns that it did, and not of what.
const UPDATES: usize = 64;

/// URIs of published resources that hold something else now.
pub type Updates = Arc<BTreeSet<String>>;

/// Everything on offer. Reading is a pointer load; changes are applied one after the other.
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    /// What callers see of it.
    kept: Kept,
    state: Mutex<State>,
    /// The generations of the published lists. Receivers are the listening clients.
    generations: watch::Sender<Generations>,
    updates: broadcast::Sender<Updates>,
    /// What its tools mean, for a search.
    meanings: Arc<Meanings>,
}

#[derive(Default)]
struct State {
    providers: BTreeMap<ProviderId, Held>,
    /// Tools that an operator has disabled, by provider and own name.
    disabled: Disabled,
    /// Catalogs of one provider each, for as long as somebody holds them.
    views: BTreeMap<ProviderId, Weak<Catalog>>,
    /// Catalogs of what endpoints offer of this one, for as long as somebody holds them.
    chosen: Vec<Weak<Catalog>>,
    /// What this one offers of the one that it follows. None: it follows none.
    choice: Option<Choice>,
    /// A view says nothing of collisions: the whole catalog has said it.
    is_view: bool,
    /// The first state is complete: names are kept from here on.
    is_settled: bool,
    /// What the collisions that were logged are about, so that each is logged once and again only after it was gone.
    logged: HashSet<(std::mem::Discriminant<Collision>, Kind, String)>,
}

impl Catalog {
    /// A catalog with nothing in it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(Snapshot::default()),
            kept: Kept::default(),
            state: Mutex::new(State::default()),
            generations: watch::Sender::new(Generations::default()),
            updates: broadcast::Sender::new(UPDATES),
            meanings: Arc::default(),
        })
    }

    /// Has searches rank tools by what they mean too, as this model says, as soon as [`Self::keep_meanings`] has seen all of them. None: by words alone.
    pub fn embed_with(&self, embedder: Option<Arc<dyn Embedder>>) {
        self.meanings.embed_with(embedder);
    }

    /// What a question means, as soon as that can be had. None: without a model, and where it fails.
    pub async fn meaning_of(&self, question: &str) -> Option<Meaning> {
        self.meanings.of(question).await
    }

    /// How far the model has come with the tools.
    #[must_use]
    pub fn meanings(&self) -> MeaningStatus {
        self.meanings.status()
    }

    /// Has the model see each tool, now and whenever there are others, for as long as the catalog is there. `folder`: where its vectors are kept.
    pub fn keep_meanings(self: &Arc<Self>, folder: Option<PathBuf>) -> impl Future<Output = ()> + Send + use<> {
        let catalog = Arc::downgrade(self);
        let look = move || Some(catalog.upgrade()?.snapshot().lexicon.all().cloned().collect());
        Arc::clone(&self.meanings).keep(Box::new(look), folder)
    }

    /// Makes the next snapshot. Calls in flight keep the entries that they began with.
    ///
    /// Costs about a microsecond for each tool in the catalog, so changes that come together should be given together.
    pub fn apply(&self, changes: Vec<ProviderChange>) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.lock();
        let mut updated = Vec::new();
        let mut other = false;
        for change in changes {
            match change {
                ProviderChange::Put(provider) => {
                    if let Some(view) = state.open_view(provider.id()) {
                        view.apply(vec![ProviderChange::Put(Arc::clone(&provider))]);
                    }
                    let held = Held::new(provider);
                    state.providers.insert(held.id().clone(), held);
                    other = true;
                }
                ProviderChange::Remove(id) => {
                    state.providers.remove(&id);
                    if let Some(view) = state.open_view(&id) {
                        view.apply(vec![ProviderChange::Remove(id)]);
                    }
                    other = true;
                }
                ProviderChange::Updated(id, uri) => updated.push((id, uri)),
            }
        }
        if other {
            self.rebuild(&mut state);
        }
        // Each view has the updates of its provider together.
        let of: BTreeSet<ProviderId> = updated.iter().map(|(id, _)| id.clone()).collect();
        for id in of {
            if let Some(view) = state.open_view(&id) {
                let own = updated.iter().filter(|(whose, _)| *whose == id);
                view.apply(own.map(|(id, uri)| ProviderChange::Updated(id.clone(), uri.clone())).collect());
            }
        }
        for chosen in state.open_chosen() {
            chosen.tell_updates(updated.clone());
        }
        self.tell_updates(updated);
    }

    /// The first state is complete, and clients see it: whoever is published under its own name keeps it from here on.
    pub fn settle(&self) {
        self.lock().is_settled = true;
    }

    fn rebuild(&self, state: &mut State) {
        let before = self.current.load();
        let mut next = Snapshot::build(&state.providers, state.is_settled.then_some(&**before), &self.meanings);
        if !state.disabled.is_empty() {
            next.disabled = next.tools.hide(|entry| state.disabled.has(entry));
        }
        let generations = next.follow(&before);
        let changed = generations != before.generations();
        if !state.is_view {
            state.log_new(next.collisions());
        }
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        self.kept.outdate();
        self.meanings.look_again();
        if changed {
            self.generations.send_replace(generations);
        }
        for chosen in state.open_chosen() {
            chosen.follow(&next);
        }
    }

    /// A provider speaks for the resources only that are published as its own.
    fn tell_updates(&self, updated: Vec<(ProviderId, String)>) {
        // With nobody listening there is nothing to look up.
        if updated.is_empty() || self.updates.receiver_count() == 0 {
            return;
        }
        let snapshot = self.current.load();
        let published = |(id, uri): (ProviderId, String)| {
            let published = snapshot.published_uri(&id, &uri);
            snapshot.resource(&published).is_some().then(|| published.into_owned())
        };
        let updates: BTreeSet<String> = updated.into_iter().filter_map(published).collect();
        if !updates.is_empty() {
            // Nobody listens any more: nobody is told.
            let _ = self.updates.send(Arc::new(updates));
        }
    }

    /// Tells of every update of what a published resource holds, from now on. Who falls too far behind is told so in place of what was missed.
    #[must_use]
    pub fn updates(&self) -> broadcast::Receiver<Updates> {
        self.updates.subscribe()
    }

    /// Takes a tool, by its provider and that one's own name for it, out of everything that anybody sees, or puts it back. Calls in flight go on.
    /// None: there is no such tool. Else whether anything changed.
    pub fn disable(&self, provider: &str, tool: &str, disabled: bool) -> Option<bool> {
        let mut state = self.lock();
        let (id, held) = state.providers.get_key_value(provider)?;
        if !held.provider().tools().iter().any(|offered| offered.name.as_str() == tool) {
            return None;
        }
        let id = id.clone();
        let changed = state.disabled.set(&id, tool, disabled);
        if changed {
            self.rebuild(&mut state);
            if let Some(view) = state.open_view(&id) {
                view.disable(provider, tool, disabled);
            }
        }
        Some(changed)
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
        {
            let mut inner = view.lock();
            (inner.is_view, inner.disabled) = (true, state.disabled.clone());
        }
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

    /// What a caller may use at this moment, by its roles. A look-up, once it was made for these roles.
    #[must_use]
    pub fn seen(&self, policy: &Policy, principal: Option<&Principal>) -> Seen {
        self.kept.get(policy, principal, policy.roles_of(principal), &self.current)
    }

    /// What a caller may use who has these roles.
    #[must_use]
    pub fn seen_by(&self, policy: &Policy, principal: Option<&Principal>, roles: &Roles) -> Seen {
        self.kept.get(policy, principal, roles, &self.current)
    }

    /// The same for a caller that was authenticated long ago: by the roles that it has by now.
    #[must_use]
    pub fn seen_now(&self, policy: &Policy, principal: Option<&Principal>) -> Seen {
        self.kept.get(policy, principal, policy.roles_now(principal), &self.current)
    }

    /// Says that what callers see may be something else, since the policy is another one.
    pub fn policy_changed(&self) {
        let state = self.lock();
        self.generations.send_modify(|_| {});
        for view in state.views.values().chain(&state.chosen).filter_map(Weak::upgrade) {
            view.policy_changed();
        }
    }

    /// Everything that is on offer at this moment, whoever asks. What callers are shown is [`Self::seen`].
    #[must_use]
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Tells of every change of a published list, and of a policy: a new version of a plugin that offers the same does not count. The value is
    /// [`Snapshot::generations`], which says by comparison which list it was; what a caller sees has generations of its own. What was the case at the time of this call counts as seen.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Generations> {
        self.generations.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The catalogs of endpoints that somebody holds.
    fn open_chosen(&mut self) -> Vec<Arc<Catalog>> {
        self.chosen.retain(|chosen| chosen.strong_count() > 0);
        self.chosen.iter().filter_map(Weak::upgrade).collect()
    }

    /// The view of one provider, while somebody holds it.
    fn open_view(&mut self, id: &ProviderId) -> Option<Arc<Catalog>> {
        let view = self.views.get(id)?.upgrade();
        if view.is_none() {
            self.views.remove(id);
        }
        view
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
