//! The endpoints that are configured: each offers a part of everything at `/NAME/mcp`, and follows the configuration.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio_util::sync::CancellationToken;

use super::{endpoint_state::Common, options::EndpointOptions, view::View};
use crate::{
    catalog::{Catalog, Choice},
    provider::ProviderId,
};

/// The endpoints by name.
#[derive(Default)]
pub(super) struct Endpoints(RwLock<BTreeMap<String, Arc<View>>>);

impl Endpoints {
    /// The endpoint of this name.
    pub(super) fn get(&self, name: &str) -> Option<Arc<View>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<(String, Arc<View>)> {
        let views = self.0.read().unwrap_or_else(PoisonError::into_inner);
        views.iter().map(|(name, view)| (name.clone(), Arc::clone(view))).collect()
    }

    /// Goes by the options of now: what stays keeps its sessions, which are told where their lists are others.
    pub(super) fn apply(&self, whole: &Arc<Catalog>, common: &Common, closing: &CancellationToken) {
        let wanted = Arc::clone(&common.options.load().endpoints);
        let mut views = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Arc<View>> = views.extract_if(.., |name, _| !wanted.contains_key(name)).map(|(_, view)| view).collect();
        for (name, options) in wanted.iter() {
            // Names were checked with the configuration.
            let Ok(endpoint) = ProviderId::new(name.as_str()) else { continue };
            let EndpointOptions { offers, search, .. } = options;
            let choice = Choice { endpoint, access: Arc::clone(offers), search: *search };
            if let Some(view) = views.get(name) {
                whole.choose_again(&view.shared.catalog, choice);
            } else {
                let view = View::new(whole.choose(choice), Some(name), common, closing.child_token());
                views.insert(name.clone(), Arc::new(view));
            }
        }
        drop(views);
        gone.into_iter().for_each(View::retire);
    }
}
