//! Who may come in, in one order for all routes: first from where (`Host` and `Origin`), then who it is.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::body::Body;
use http::{HeaderMap, HeaderName, Response, header::ORIGIN, request::Parts};

use super::{
    auth::Challenge,
    client_address,
    cors::FromPage,
    own_page::is_own_page,
    path::MCP_PATH,
    settings::{Current, HttpSettings},
};
use crate::{
    mcp::Front,
    provider::{CallerAddress, CallerHeaders},
    telemetry::{
        audit::{Arguments, Audit, End, Facts},
        metrics::{Metrics, Reason},
    },
};

/// Decides about each request before anything is done for it.
pub(super) struct Admission {
    settings: Arc<HttpSettings>,
    metrics: Arc<Metrics>,
    audit: Option<Arc<Audit>>,
    /// What knows other instances, which hand requests on. None: there are none.
    front: Option<Arc<Front>>,
}

impl Admission {
    pub(super) fn new(settings: Arc<HttpSettings>, metrics: Arc<Metrics>, audit: Option<Arc<Audit>>, front: Option<Arc<Front>>) -> Self {
        Self { settings, metrics, audit, front }
    }

    pub(super) fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// What is known of the page that a request comes from.
    pub(super) fn page(&self, headers: &HeaderMap) -> Option<FromPage> {
        FromPage::of(headers, &self.settings.load().origins)
    }

    /// Checks only from where a request comes.
    ///
    /// # Errors
    ///
    /// The answer to send.
    pub(super) fn check_origin(&self, head: &Parts) -> Result<(), Box<Response<Body>>> {
        self.check(&self.settings.load(), head)
    }

    fn check(&self, settings: &Current, head: &Parts) -> Result<(), Box<Response<Body>>> {
        let checked = if head.headers.contains_key(ORIGIN) && !settings.auth.is_open() && is_own_page(&head.uri, &head.headers) {
            // The console, under whatever name this server has. It sends a token, which a page by another name for this server does not have.
            let mut headers = head.headers.clone();
            headers.remove(ORIGIN);
            settings.origins.check(&head.uri, &headers)
        } else {
            settings.origins.check(&head.uri, &head.headers)
        };
        checked.inspect_err(|_| self.metrics.refused(Reason::Origin))
    }

    /// Whether callers need not say who they are.
    pub(super) fn is_open(&self) -> bool {
        self.settings.load().auth.is_open()
    }

    /// What a client that looks for OAuth asks for, if there is OAuth.
    pub(super) fn metadata(&self, path: &str) -> Option<Response<Body>> {
        self.settings.load().auth.metadata(path)
    }

    /// Whether people reach this server by https.
    pub(super) fn is_https(&self) -> bool {
        let settings = self.settings.load();
        settings.auth.public_url().map_or(settings.config.tls.is_some(), |url| url.whole().starts_with("https:"))
    }

    /// The same answer with the challenge to come back with the scopes that it says.
    pub(super) fn needs_scopes(&self, response: Response<Body>, provider: Option<&str>) -> Response<Body> {
        let path = provider.map_or_else(|| MCP_PATH.to_owned(), |provider| format!("/{provider}{MCP_PATH}"));
        self.settings.load().auth.needs_scopes(response, &path)
    }

    /// The public keys by which servers verify who calls, as a JWK set.
    pub(super) fn jwks(&self) -> Option<Arc<str>> {
        self.settings.load().config.jwks.clone()
    }

    /// Where somebody is who was not let in, as far as that is known.
    pub(super) fn client(&self, head: &Parts, peer: SocketAddr) -> IpAddr {
        client_address::of(peer.ip(), &head.headers, &self.settings.load().config.trusted_proxies).unwrap_or(peer.ip())
    }

    /// Checks everything, and notes who calls for those further down. `rpc`: the caller speaks JSON-RPC, and
    /// reads its errors only.
    ///
    /// # Errors
    ///
    /// The answer to send.
    pub(super) async fn admit(&self, head: &mut Parts, peer: SocketAddr, rpc: bool) -> Result<(), Box<Response<Body>>> {
        let settings = self.settings.load();
        self.check(&settings, head)?;
        if !settings.config.forwarded.is_empty() {
            pass_on(&settings.config.forwarded, head);
        }
        // What another instance has handed on comes from that one, and its proof of a key has come before.
        let vouched = self.front.as_ref().and_then(|front| front.vouched(&head.headers));
        let told = vouched.as_ref().and_then(|vouched| vouched.client);
        let find = |headers: &HeaderMap| told.or_else(|| client_address::of(peer.ip(), headers, &settings.config.trusted_proxies));
        let found = self.settings.asks_for_addresses().then(|| find(&head.headers));
        if let Some(Some(client)) = found {
            head.extensions.insert(CallerAddress(client));
        }
        match settings.auth.authenticate(head, vouched.is_some()).await {
            Ok(Some(principal)) => {
                head.extensions.insert(principal);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(challenge) => {
                self.metrics.refused(Reason::Authentication);
                let client = found.unwrap_or_else(|| find(&head.headers)).unwrap_or(peer.ip());
                if let Some(audit) = &self.audit {
                    let error = match challenge {
                        Challenge::Missing => "missing",
                        Challenge::Invalid => "invalid",
                        Challenge::Malformed => "malformed",
                        Challenge::Refused(..) => "refused",
                    };
                    let peer = client.to_string();
                    let facts = Facts { event: "authentication", peer: Some(&peer), front: "http", ..Facts::default() };
                    audit.write(&facts, Arguments::default(), &End { outcome: "denied", error: Some(error), took: None });
                }
                tracing::info!(reason = ?challenge, %peer, %client, method = %head.method, path = head.uri.path(), "authentication failed");
                Err(Box::new(settings.auth.answer(&challenge, head.uri.path(), rpc)))
            }
        }
    }
}

/// Notes those headers of a request that some server is to be sent.
fn pass_on(names: &[HeaderName], head: &mut Parts) {
    let headers = &head.headers;
    let passed: CallerHeaders =
        names.iter().flat_map(|name| headers.get_all(name).iter().map(|value| (name.clone(), value.clone()))).collect();
    if !passed.is_empty() {
        head.extensions.insert(passed);
    }
}
