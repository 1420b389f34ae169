//! The endpoints as they are reached over HTTP: that of everything, those that are configured, and one for each provider.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Parts};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    answer, fast_path, media,
    options::FrontOptions,
    pending::Pending,
    present::{SessionInfo, TaskInfo},
    request_checks::{self, Accepts, AnswerOnly},
    rmcp_service, rpc,
    view::View,
    views::{self, Views},
};
use crate::{
    catalog::{Catalog, LivePolicy, Seen},
    cluster::{Origin, START, Vouched},
    dispatch::Dispatcher,
    provider::{Absence, Principal, StatusSource},
    telemetry::metrics::Reason,
};

/// The parameters of a call, as far as they say what is called.
#[derive(serde::Deserialize)]
struct Named {
    name: String,
}

/// The endpoints: that of everything, and one for each provider.
pub struct Front {
    lean: bool,
    views: Arc<Views>,
    /// Who knows of providers that are not in the catalog, and why.
    pending: Arc<Pending>,
    /// Ends the watching tasks with the front.
    _closing: DropGuard,
}

impl Front {
    /// Starts to serve a catalog. Has to be called inside a Tokio runtime: tasks watch over sessions and
    /// providers until [`Self::close`] or the front's end.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, options: FrontOptions) -> Arc<Self> {
        Self::with_statuses(catalog, options, Vec::new())
    }

    /// The same; who asks for a provider that is known to these and offers nothing is told why.
    #[must_use]
    pub fn with_statuses(catalog: Arc<Catalog>, options: FrontOptions, statuses: Vec<Arc<dyn StatusSource>>) -> Arc<Self> {
        Self::with_dispatcher(catalog, Dispatcher::new(), options, statuses)
    }

    /// The same, for callers that may do what a policy says.
    #[must_use]
    pub fn under_policy(
        catalog: Arc<Catalog>,
        policy: Arc<LivePolicy>,
        options: FrontOptions,
        statuses: Vec<Arc<dyn StatusSource>>,
    ) -> Arc<Self> {
        Self::with_dispatcher(catalog, Dispatcher::new().under(policy), options, statuses)
    }

    /// The same, on a dispatcher that others use too.
    #[must_use]
    pub fn with_dispatcher(
        catalog: Arc<Catalog>,
        dispatcher: Arc<Dispatcher>,
        options: FrontOptions,
        statuses: Vec<Arc<dyn StatusSource>>,
    ) -> Arc<Self> {
        let closing = CancellationToken::new();
        let lean = options.lean;
        let pending = Arc::new(Pending::new(statuses));
        let views = Arc::new(Views::new(catalog, dispatcher, options, Arc::clone(&pending), closing.clone()));
        tokio::spawn(Arc::clone(&views).watch());
        Arc::new(Self { lean, views, pending, _closing: closing.drop_guard() })
    }

    /// Goes by other options from now on. What has begun under the old ones ends under them.
    pub fn reconfigure(&self, options: FrontOptions) {
        self.views.reconfigure(options);
    }

    /// What another instance vouches for that has handed on a request with these headers. None: no instance has.
    pub(crate) fn vouched(&self, headers: &HeaderMap) -> Option<Vouched> {
        self.views.vouched(headers)
    }

    /// Notes what a request proves that another instance has handed on. Its headers are enough for that, so it is done before its caller is asked for
    /// anything that is good for one time.
    ///
    /// # Errors
    ///
    /// The answer to one that is not taken: it was signed for another process, or it was here before.
    pub(crate) fn receive(&self, head: &mut Parts) -> Result<(), Box<Response<Body>>> {
        let peers = self.views.peers();
        let why = match peers.origin(&head.headers) {
            Origin::Client | Origin::Unproven => return Ok(()),
            Origin::Instance(proof) => {
                head.extensions.insert(proof);
                return Ok(());
            }
            Origin::Other => "this request was signed for another process than the one that serves here: sign it for this one",
            Origin::Again => {
                tracing::warn!(
                    "a request that another instance has handed on came again, and was rejected: somebody may have overheard it"
                );
                self.dispatcher().metrics().refused(Reason::Replay);
                "this request of another instance was here before: sign each one anew"
            }
        };
        let mut answer = answer::plain_error(StatusCode::MISDIRECTED_REQUEST, None, rpc::INVALID_REQUEST, why, None);
        if let Some(start) = peers.start() {
            answer.headers_mut().insert(START, start);
        }
        Err(Box::new(answer))
    }

    /// Answers one request of HTTP: about everything there is, or about what one provider offers, under its
    /// own names. That the request may come in at all was checked before, and its body was read. Its
    /// extensions hold who calls, as a [`Principal`](crate::provider::Principal), and what is to be held
    /// until the call ends, as a [`Hold`](crate::dispatch::Hold).
    ///
    /// Dropping the future before it is done means that the connection is gone: it ends a call of
    /// 2026-07-28, while one of an older client runs on.
    pub async fn handle(&self, provider: Option<&str>, request: Request<Bytes>) -> Response<Body> {
        match provider {
            None => self.answer(self.views.whole(), request).await,
            Some(provider) => Box::pin(self.handle_for(provider, request)).await,
        }
    }

    /// Answers a request about what one provider offers.
    async fn handle_for(&self, provider: &str, request: Request<Bytes>) -> Response<Body> {
        let mut view = self.view_of(provider, request.extensions().get());
        if view.is_none() && !self.pending.is_ready() {
            self.pending.wait().await;
            view = self.view_of(provider, request.extensions().get());
        }
        match view {
            Some(view) => self.answer(&view, request).await,
            None => self.no_provider(provider, request.extensions().get(), request.body()),
        }
    }

    /// What is rare is boxed: a future takes as much room as the largest part of it, and is moved with every
    /// request.
    async fn answer(&self, view: &View, request: Request<Bytes>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        match parts.method {
            Method::POST => {}
            Method::GET | Method::DELETE => return Box::pin(view.general.session_request(parts)).await,
            _ => return rmcp_service::method_not_allowed("POST, GET, DELETE, OPTIONS"),
        }
        if !self.pending.is_ready() {
            Box::pin(self.until_known(view, parts.extensions.get(), &body)).await;
        }
        let accepts = Accepts::of(&parts.headers);
        if let Some(copy) = view.shared.tasks.elsewhere(&parts.headers) {
            let id = request_checks::inspect(&body).ok().and_then(|head| head.id);
            return Box::pin(view.shared.tasks.hand_on(&copy, parts, body, id.as_deref())).await;
        }
        if !accepts.events {
            parts.extensions.insert(AnswerOnly);
        }
        if self.lean && !accepts.none() {
            match fast_path::answer(&view.shared, &parts, &body).await {
                Ok(response) if accepts.both() => return response,
                Ok(response) => return Box::pin(media::fit(response, accepts)).await,
                Err(reason) => tracing::debug!(?reason, "a request is not a plain one and goes by rmcp"),
            }
        }
        Box::pin(async move { media::fit(view.general.post(parts, body, accepts).await, accepts).await }).await
    }

    /// Waits for what a request is about, where that may still be to come. A call of what is there does not wait.
    async fn until_known(&self, view: &View, principal: Option<&Principal>, body: &[u8]) {
        let Ok(head) = request_checks::inspect(body) else { return };
        let waits = match head.method.as_deref() {
            Some("tools/call") => {
                let name = head.params.as_deref().and_then(|params| serde_json::from_str::<Named>(params).ok());
                let seen = view.shared.seen(principal);
                // A search is for what is still to come, too.
                name.is_some_and(|Named { name }| seen.is_searched() || seen.resolve(&name).is_none())
            }
            Some(method) => method.ends_with("/list") || matches!(method, "resources/read" | "prompts/get" | "completion/complete"),
            None => false,
        };
        if waits {
            self.pending.wait().await;
        }
    }

    /// Says that there is no such provider, and which there are; or why one that is known is not there.
    fn no_provider(&self, provider: &str, principal: Option<&Principal>, body: &[u8]) -> Response<Body> {
        // The answer is to the request's id, where it has one that can be read.
        let id = request_checks::inspect(body).ok().and_then(|head| head.id);
        if let Some(Absence { why, retry_after }) = self.absence(provider, principal) {
            return answer::plain_error(StatusCode::SERVICE_UNAVAILABLE, id.as_deref(), rpc::BUSY, &why, retry_after);
        }
        let message = self.no_provider_text(provider, principal);
        answer::plain_error(StatusCode::NOT_FOUND, id.as_deref(), rpc::INVALID_REQUEST, &message, None)
    }

    /// What the requests about everything share.
    #[cfg(test)]
    pub(super) fn state(&self) -> &Arc<super::endpoint_state::EndpointState> {
        &self.views.whole().shared
    }

    /// What runs calls, for fronts beside this one.
    #[must_use]
    pub fn dispatcher(&self) -> &Arc<Dispatcher> {
        self.views.dispatcher()
    }

    /// What is not there yet.
    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// What a caller may use of everything.
    pub(crate) fn seen(&self, principal: Option<&Principal>) -> Seen {
        self.views.whole().shared.seen(principal)
    }

    /// What a caller may use of a catalog of [`Self::catalog_of`].
    pub(crate) fn seen_of(&self, catalog: &Catalog, principal: Option<&Principal>) -> Seen {
        self.dispatcher().seen(catalog, principal)
    }

    /// The endpoint that is configured under this name, or that of one provider, where there is such a one for that caller.
    fn view_of(&self, provider: &str, principal: Option<&Principal>) -> Option<Arc<View>> {
        if let Some(endpoint) = self.views.endpoint(provider, principal) {
            return endpoint;
        }
        // First: what is denied and what is not there take the same time.
        if self.seen(principal).shows(provider) { self.views.of(provider) } else { None }
    }

    /// What one provider offers, under its own names, where there is such a provider for that caller.
    pub(crate) fn catalog_of(&self, provider: &str, principal: Option<&Principal>) -> Option<Arc<Catalog>> {
        self.view_of(provider, principal).map(|view| Arc::clone(&view.shared.catalog))
    }

    /// The endpoints that are configured and that anybody who comes in may use.
    pub(crate) fn open_endpoints(&self) -> Vec<String> {
        self.views.endpoints_for(None)
    }

    /// Why a provider that is known is not in the catalog. None: nobody knows one of that name, or the
    /// caller may not.
    pub(crate) fn absence(&self, provider: &str, principal: Option<&Principal>) -> Option<Absence> {
        let seen = self.seen(principal);
        if !seen.shows(provider) {
            return self.pending.absence();
        }
        let covered = seen.limits().is_none_or(|access| access.covers(provider));
        let mut statuses = self.pending.statuses().iter().flat_map(|source| source.statuses());
        let known = statuses.find(|status| status.name == provider).map(|status| {
            let absence = status.absence();
            // The reason may name anything.
            if covered { absence } else { Absence { why: format!("{provider} is not running"), ..absence } }
        });
        known.or_else(|| self.pending.absence())
    }

    /// The sentence for a provider that is not there: it says which there are.
    pub(crate) fn no_provider_text(&self, provider: &str, principal: Option<&Principal>) -> String {
        views::no_provider(provider, self.catalog(), &self.seen(principal), &self.views.endpoints_for(principal))
    }

    /// Whether callers have to say who they are.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.views.whole().shared.is_private()
    }

    /// Everything that is served.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.views.whole().shared.catalog
    }

    /// Ends listening streams: subscriptions by their final result, GET streams of sessions by their end.
    /// Calls in flight go on.
    pub fn close(&self) {
        self.views.close();
    }

    /// Calls that run now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.views.dispatcher().in_flight()
    }

    /// Tasks that are kept, and the bytes of their results.
    #[must_use]
    pub fn tasks(&self) -> (usize, usize) {
        self.views.whole().shared.tasks.counts()
    }

    /// Who is here now, at all endpoints.
    #[must_use]
    pub fn present(&self) -> (Vec<SessionInfo>, Vec<TaskInfo>) {
        (self.views.sessions(), self.views.whole().shared.tasks.list())
    }

    /// Open sessions of clients before 2026-07-28.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.views.whole().shared.sessions.len()
    }
}
