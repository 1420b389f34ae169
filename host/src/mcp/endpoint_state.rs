//! What the requests of one endpoint share, and what all endpoints share.

#![allow(deprecated, reason = "logging is served for the clients that use it")]

use std::{sync::Arc, time::Duration};

use futures::{TryFutureExt as _, future::Either};
use rmcp::model::{CacheScope, Implementation, JsonObject, ServerCapabilities, ServerConfig};
use tokio_util::sync::CancellationToken;

use super::{
    client_requests::States,
    fleet::Fleet,
    links,
    options::{EndpointOptions, LiveOptions},
    packed::PackedLists,
    pending::Pending,
    sessions::{Room, Sessions},
    signing::Signer,
    tasks::{self, Reply, Tasks},
};
use crate::{
    catalog::{Catalog, Seen},
    dispatch::{CallRequest, Dispatcher, TurnedAway},
    provider::{APPS, CallError, Principal},
};

/// What all endpoints share.
pub(super) struct Common {
    pub(super) pending: Arc<Pending>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) states: Arc<States>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) signer: Arc<Signer>,
    pub(super) room: Arc<Room>,
    pub(super) options: LiveOptions,
}

impl Common {
    /// Whether a caller may use an endpoint that is configured.
    pub(super) fn admits(&self, endpoint: &str, principal: Option<&Principal>) -> bool {
        let options = self.options.load();
        let Some(EndpointOptions { roles, callers, .. }) = options.endpoints.get(endpoint) else { return false };
        let is_open = roles.is_empty() && callers.is_empty();
        is_open || principal.is_some_and(|principal| callers.contains(principal.subject())) || self.dispatcher.has_one_of(principal, roles)
    }
}

/// What every request shares.
pub(super) struct EndpointState {
    pub(super) catalog: Arc<Catalog>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) pending: Arc<Pending>,
    pub(super) states: Arc<States>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) closing: CancellationToken,
    pub(super) packed: PackedLists,
    options: LiveOptions,
    /// The name of the endpoint, where it has one.
    name: Option<String>,
}

impl EndpointState {
    pub(super) fn new(
        catalog: Arc<Catalog>,
        name: Option<&str>,
        common: &Common,
        sessions: Arc<Sessions>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            catalog,
            dispatcher: Arc::clone(&common.dispatcher),
            pending: Arc::clone(&common.pending),
            states: Arc::clone(&common.states),
            tasks: Arc::clone(&common.tasks),
            fleet: Arc::clone(&common.fleet),
            sessions,
            closing,
            packed: PackedLists::default(),
            options: Arc::clone(&common.options),
            name: name.map(str::to_owned),
        }
    }

    /// What a caller may use here.
    pub(super) fn seen(&self, principal: Option<&Principal>) -> Seen {
        self.dispatcher.seen(&self.catalog, principal)
    }

    /// What a caller is shown in lists.
    pub(super) fn listed(&self, principal: Option<&Principal>) -> Seen {
        self.dispatcher.listed(&self.catalog, principal)
    }

    /// What a caller is told in place of an error of something that is not there for it.
    pub(super) fn not_there(&self, seen: &Seen, principal: Option<&Principal>, trace_parent: Option<&str>, error: CallError) -> CallError {
        let denied = self.dispatcher.log_denied(seen, principal, &error);
        let error = self.dispatcher.step(&self.catalog, principal, &error).unwrap_or_else(|| self.pending.in_place_of(error));
        let face = self.face();
        self.dispatcher.turned_away(&TurnedAway { principal, face, trace_parent, error: &error, denied });
        error
    }

    /// Runs a call. `deferrable`: it may become a task, so that not the end of its request ends it but that of the task.
    ///
    /// No `async fn`, as in [`links::run`].
    pub(super) fn run<'a>(
        &'a self,
        request: CallRequest<'a>,
        deferrable: bool,
    ) -> impl Future<Output = Result<Reply, CallError>> + Send + 'a {
        if deferrable {
            // Rarer, and a large future, which would be moved with every call.
            Either::Left(Box::pin(tasks::run(&self.tasks, &self.dispatcher, &self.catalog, request.into_owned())))
        } else {
            Either::Right(links::run(&self.dispatcher, &self.catalog, request).map_ok(Reply::Result))
        }
    }

    /// What the server says of itself.
    pub(super) fn info(&self, principal: Option<&Principal>) -> ServerConfig {
        let options = self.options.load();
        let mut info = ServerConfig::new(capabilities(self.tasks.are_on()));
        info.server_info = Implementation::new("toolbay", options.server_version.clone());
        let own = self.name.as_ref().and_then(|name| options.endpoints.get(name)).and_then(|endpoint| endpoint.instructions.clone());
        let said = [options.instructions.clone(), own, self.seen(principal).instructions()];
        let said: Vec<String> = said.into_iter().flatten().collect();
        info.instructions = (!said.is_empty()).then(|| said.join("\n\n"));
        info
    }

    /// Whether answers are for one caller only.
    pub(super) fn is_private(&self) -> bool {
        self.options.load().authenticated
    }

    /// How callers reach it, in a word.
    pub(super) fn face(&self) -> &'static str {
        self.options.load().face
    }

    /// How long an answer of a client with a session may take.
    pub(super) fn ask_timeout(&self) -> Duration {
        self.options.load().ask_timeout
    }

    /// Who may keep what is answered.
    pub(super) fn scope(&self) -> CacheScope {
        if self.is_private() { CacheScope::Private } else { CacheScope::Public }
    }
}

/// All of it, always: a client asks once, and plugins come and go while it stays connected.
///
/// The specification deprecates logging in favour of other means, and asks a server that still sends log messages to say so.
fn capabilities(tasks: bool) -> ServerCapabilities {
    let mut capabilities = ServerCapabilities::builder()
        .enable_tools()
        .enable_tool_list_changed()
        .enable_prompts()
        .enable_prompts_list_changed()
        .enable_resources()
        .enable_resources_list_changed()
        .enable_resources_subscribe()
        .enable_completions()
        .enable_logging()
        .build();
    let extensions = capabilities.extensions.get_or_insert_default();
    extensions.insert(APPS.to_owned(), JsonObject::new());
    if tasks {
        extensions.insert(tasks::EXTENSION.to_owned(), JsonObject::new());
    }
    capabilities
}
