//! Which endpoints there are: one for the whole catalog, and one for each provider that somebody asks for by name.
//!
//! An endpoint of one provider has sessions of its own, since what a session knows is one list of tools. What is limited for the whole process is shared:
//! the count of calls and the room for sessions.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use arc_swap::ArcSwap;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    asking::States,
    endpoint_state::{Common, EndpointState},
    fleet::Fleet,
    general::General,
    options::FrontOptions,
    pending::Pending,
    present::SessionInfo,
    sessions::{Room, Sessions},
    signing::Signer,
    tasks::Tasks,
};
use crate::{
    catalog::{Catalog, Snapshot},
    cluster::Peers,
    dispatch::Dispatcher,
};

/// One endpoint.
pub(super) struct View {
    pub(super) shared: Arc<EndpointState>,
    pub(super) general: General,
    /// Ends the endpoint's streams and its watching task with it.
    _closing: DropGuard,
}

impl View {
    /// `endpoint`: the provider's name, or none for the endpoint of everything.
    fn new(catalog: Arc<Catalog>, endpoint: Option<&str>, common: &Common, closing: CancellationToken) -> Self {
        let (room, options) = (Arc::clone(&common.room), Arc::clone(&common.options));
        let (dispatcher, signer) = (Arc::clone(&common.dispatcher), Arc::clone(&common.signer));
        let sessions = Sessions::new(Arc::clone(&catalog), endpoint, dispatcher, signer, room, options, closing.clone());
        tokio::spawn(Arc::clone(&sessions).watch());
        let shared = Arc::new(EndpointState::new(catalog, common, sessions, closing.clone()));
        Self { general: General::new(Arc::clone(&shared)), shared, _closing: closing.drop_guard() }
    }
}

/// All endpoints.
pub(super) struct Views {
    whole: View,
    /// By provider. Made when it is asked for, gone with the provider.
    of_one: RwLock<BTreeMap<String, Arc<View>>>,
    common: Common,
    closing: CancellationToken,
}

impl Views {
    /// The endpoint of everything. [`Self::watch`] has to run beside it.
    pub(super) fn new(
        catalog: Arc<Catalog>,
        dispatcher: Arc<Dispatcher>,
        options: FrontOptions,
        pending: Arc<Pending>,
        closing: CancellationToken,
    ) -> Self {
        let signer = Arc::new(Signer::new(&options.state));
        let room = Arc::new(Room::new(options.max_sessions));
        let peers = Arc::new(Peers::new(options.tasks.advertise.clone()));
        let options = Arc::new(ArcSwap::from_pointee(options));
        let common = Common {
            dispatcher,
            pending,
            states: Arc::new(States::new(Arc::clone(&signer), Arc::clone(&options))),
            tasks: Arc::new(Tasks::new(Arc::clone(&options), Arc::clone(&signer), Arc::clone(&peers))),
            fleet: Arc::new(Fleet::new(Arc::clone(&signer), peers)),
            signer,
            room,
            options,
        };
        let whole = View::new(catalog, None, &common, closing.child_token());
        Self { whole, of_one: RwLock::default(), common, closing }
    }

    /// Goes by other options from now on. What has begun under the old ones ends under them.
    pub(super) fn reconfigure(&self, options: FrontOptions) {
        self.common.signer.reconfigure(&options.state);
        self.common.room.resize(options.max_sessions);
        self.common.options.store(Arc::new(options));
        self.common.tasks.reconfigured();
    }

    pub(super) fn whole(&self) -> &View {
        &self.whole
    }

    /// Sessions that something is kept of.
    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        let mut sessions = self.whole.shared.sessions.list(None);
        for (name, view) in self.read().iter() {
            sessions.extend(view.shared.sessions.list(Some(name)));
        }
        sessions
    }

    pub(super) fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.common.dispatcher
    }

    /// The endpoint of one provider, where there is such a provider.
    pub(super) fn of(&self, provider: &str) -> Option<Arc<View>> {
        let known = self.read().get(provider).cloned();
        if let Some(view) = known.filter(|view| view.shared.catalog.has_provider(provider)) {
            return Some(view);
        }
        let mut views = self.write();
        // Whoever makes the view holds the table, so there is one for each provider.
        let catalog = self.whole.shared.catalog.view(provider)?;
        if let Some(view) = views.get(provider).filter(|view| Arc::ptr_eq(&view.shared.catalog, &catalog)) {
            return Some(Arc::clone(view));
        }
        let view = Arc::new(View::new(catalog, Some(provider), &self.common, self.closing.child_token()));
        views.insert(provider.to_owned(), Arc::clone(&view));
        Some(view)
    }

    /// Ends the endpoints of providers that are gone, until the front is closed.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut changes = self.whole.shared.catalog.changes();
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            changes.mark_unchanged();
            for view in self.take_gone() {
                let sessions = Arc::clone(&view.shared.sessions);
                // Ends its streams, as far as no request holds it.
                drop(view);
                sessions.retire();
            }
        }
    }

    fn take_gone(&self) -> Vec<Arc<View>> {
        let is_gone = |name: &String, view: &mut Arc<View>| !view.shared.catalog.has_provider(name);
        if !self.read().iter().any(|(name, view)| !view.shared.catalog.has_provider(name)) {
            return Vec::new();
        }
        self.write().extract_if(.., is_gone).map(|(_, view)| view).collect()
    }

    /// Ends all streams that only listen.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<View>>> {
        self.of_one.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<View>>> {
        self.of_one.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sentence for a provider that is not there for a caller: it names those that are.
pub(super) fn no_provider(provider: &str, catalog: &Catalog, seen: &Snapshot) -> String {
    /// Characters of what was asked for, and names of what there is, that are shown.
    const SHOWN: usize = 64;
    const NAMES: usize = 50;
    let shown: String = provider.chars().take(SHOWN).collect();
    let mut providers = catalog.providers();
    providers.retain(|provider| seen.shows(provider.id().as_str()));
    let names: Vec<&str> = providers.iter().take(NAMES).map(|provider| provider.id().as_str()).collect();
    let more = if providers.len() > NAMES { format!(" and {} more", providers.len() - NAMES) } else { String::new() };
    if names.is_empty() {
        return match seen.limits() {
            None => format!("there is no plugin or server {shown:?}; there is none at all"),
            Some(_) => format!("there is no plugin or server {shown:?} that your roles allow, and no other"),
        };
    }
    let allowed = if seen.limits().is_some() { " that your roles allow" } else { "" };
    format!("there is no plugin or server {shown:?}{allowed}; there are: {}{more}", names.join(", "))
}
