//! Which endpoints there are: one for the whole catalog, those that are configured, and one for each provider that somebody asks for by name.
//!
//! An endpoint of one provider has sessions of its own, since what a session knows is one list of tools. What is limited for the whole process is shared:
//! the count of calls and the room for sessions.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::{
    client_requests::States, endpoint_state::Common, endpoints::Endpoints, fleet::Fleet, options::FrontOptions, pending::Pending,
    present::SessionInfo, sessions::Room, signing::Signer, tasks::Tasks, view::View,
};
use crate::{
    catalog::{Catalog, Snapshot},
    cluster::{Peers, Seal, Vouched},
    dispatch::Dispatcher,
    provider::Principal,
};

/// All endpoints.
pub(super) struct Views {
    whole: View,
    /// By provider. Made when it is asked for, gone with the provider.
    of_one: RwLock<BTreeMap<String, Arc<View>>>,
    /// Those that are configured.
    endpoints: Endpoints,
    common: Common,
    peers: Arc<Peers>,
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
        let peers = Arc::new(Peers::new(options.tasks.advertise.clone(), Arc::clone(&signer) as Arc<dyn Seal>, options.cluster.clone()));
        let options = Arc::new(ArcSwap::from_pointee(options));
        let common = Common {
            dispatcher,
            pending,
            states: Arc::new(States::new(Arc::clone(&signer), Arc::clone(&options))),
            tasks: Arc::new(Tasks::new(Arc::clone(&options), Arc::clone(&signer), Arc::clone(&peers))),
            fleet: Arc::new(Fleet::new(Arc::clone(&signer), Arc::clone(&peers))),
            signer,
            room,
            options,
        };
        let whole = View::new(catalog, None, &common, closing.child_token());
        let endpoints = Endpoints::default();
        endpoints.apply(&whole.shared.catalog, &common, &closing);
        Self { whole, of_one: RwLock::default(), endpoints, common, peers, closing }
    }

    /// Goes by other options from now on. What has begun under the old ones ends under them.
    pub(super) fn reconfigure(&self, options: FrontOptions) {
        self.common.signer.reconfigure(&options.state);
        self.peers.reconfigure(&options.cluster);
        self.common.room.resize(options.max_sessions);
        self.common.options.store(Arc::new(options));
        self.common.tasks.reconfigured();
        self.endpoints.apply(&self.whole.shared.catalog, &self.common, &self.closing);
    }

    /// What another instance vouches for that has handed on a request with these headers.
    pub(super) fn vouched(&self, headers: &HeaderMap) -> Option<Vouched> {
        self.peers.vouched(headers)
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.peers
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
        for (name, view) in self.endpoints.all() {
            sessions.extend(view.shared.sessions.list(Some(&name)));
        }
        sessions
    }

    pub(super) fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.common.dispatcher
    }

    /// The endpoint that is configured under this name, where there is one. The inner None: not for this caller.
    #[expect(clippy::option_option, reason = "what is not for a caller hides a provider of its name all the same")]
    pub(super) fn endpoint(&self, name: &str, principal: Option<&Principal>) -> Option<Option<Arc<View>>> {
        self.endpoints.get(name).map(|view| self.common.admits(name, principal).then_some(view))
    }

    /// The names of the endpoints that are configured and that a caller may use.
    pub(super) fn endpoints_for(&self, principal: Option<&Principal>) -> Vec<String> {
        let options = self.common.options.load();
        options.endpoints.keys().filter(|name| self.common.admits(name, principal)).cloned().collect()
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
            self.take_gone().into_iter().for_each(View::retire);
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
///
/// `endpoints`: those that the caller may use.
pub(super) fn no_provider(provider: &str, catalog: &Catalog, seen: &Snapshot, endpoints: &[String]) -> String {
    /// Characters of what was asked for, and names of what there is, that are shown.
    const SHOWN: usize = 64;
    const NAMES: usize = 50;
    let shown: String = provider.chars().take(SHOWN).collect();
    let mut providers = catalog.providers();
    providers.retain(|provider| seen.shows(provider.id().as_str()));
    let all = endpoints.len() + providers.len();
    let names: Vec<&str> =
        endpoints.iter().map(String::as_str).chain(providers.iter().map(|provider| provider.id().as_str())).take(NAMES).collect();
    let more = if all > NAMES { format!(" and {} more", all - NAMES) } else { String::new() };
    if names.is_empty() {
        return match seen.limits() {
            None => format!("there is no plugin or server {shown:?}; there is none at all"),
            Some(_) => format!("there is no plugin or server {shown:?} that your roles allow, and no other"),
        };
    }
    let allowed = if seen.limits().is_some() { " that your roles allow" } else { "" };
    format!("there is no plugin or server {shown:?}{allowed}; there are: {}{more}", names.join(", "))
}
