//! One endpoint: a catalog, what its requests share, and its sessions.

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    endpoint_state::{Common, EndpointState},
    rmcp_service::RmcpService,
    sessions::Sessions,
};
use crate::catalog::Catalog;

/// One endpoint.
pub(super) struct View {
    pub(super) shared: Arc<EndpointState>,
    pub(super) general: RmcpService,
    /// Ends the endpoint's streams and its watching task with it.
    _closing: DropGuard,
}

impl View {
    /// `endpoint`: the name of the provider or of the endpoint, or none for the endpoint of everything.
    pub(super) fn new(catalog: Arc<Catalog>, endpoint: Option<&str>, common: &Common, closing: CancellationToken) -> Self {
        let (room, options) = (Arc::clone(&common.room), Arc::clone(&common.options));
        let (dispatcher, signer) = (Arc::clone(&common.dispatcher), Arc::clone(&common.signer));
        let sessions = Sessions::new(Arc::clone(&catalog), endpoint, dispatcher, signer, room, options, closing.clone());
        tokio::spawn(Arc::clone(&sessions).watch());
        let shared = Arc::new(EndpointState::new(catalog, endpoint, common, sessions, closing.clone()));
        Self { general: RmcpService::new(Arc::clone(&shared)), shared, _closing: closing.drop_guard() }
    }

    /// Ends it: its streams, as far as no request holds it, and its sessions.
    pub(super) fn retire(self: Arc<Self>) {
        let sessions = Arc::clone(&self.shared.sessions);
        drop(self);
        sessions.retire();
    }
}
