//! The clients that send: connection pools, name resolution that keeps to public addresses, and a limit on connecting.

use std::{
    error::Error as StdError,
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};
use tower::{Layer, Service};
use wasmtime_wasi_http::Error;

use crate::{
    threads::{Task, Threads},
    tls::{self, cause},
    wasm::permissions::{AddressScope, address::is_public},
};

/// Sent where a plugin names no other.
const USER_AGENT: &str = concat!("toolbay/", env!("CARGO_PKG_VERSION"));
/// A connection that was not used for this long is closed: less than the idle time of common servers and balancers (60 s and up).
const IDLE: Duration = Duration::from_secs(50);
/// Unused connections that are kept for one host.
const IDLE_PER_HOST: usize = 32;
/// Names that are looked up at once. Each takes a thread for as long as the system's resolver takes, which may be many seconds.
const LOOKUPS: usize = 64;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The HTTP clients of a host: one for all plugins.
///
/// Each is made for the first request that needs it: reading the system's certificates takes some ten milliseconds, which a start should not wait for.
pub struct OutgoingClients {
    /// Where all connections live.
    threads: Threads,
    /// Connects to public addresses only.
    public: OnceCell<reqwest::Client>,
    /// Connects to any address; for hosts with a private grant.
    private: OnceCell<reqwest::Client>,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
}

/// Why there can be no clients.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for the plugins' outgoing HTTP: {0}")]
pub struct ClientError(#[from] rustls::Error);

impl OutgoingClients {
    /// Sets up what all clients have in common.
    ///
    /// # Errors
    ///
    /// Where the TLS provider of this process, one that was installed earlier, cannot do TLS 1.2 and 1.3.
    pub fn new() -> Result<Self, ClientError> {
        Self::with_lookup(system_lookup)
    }

    /// The same with another way to find the addresses of a name.
    pub(super) fn with_lookup(lookup: Lookup) -> Result<Self, ClientError> {
        tls::install();
        if let Some(provider) = rustls::crypto::CryptoProvider::get_default() {
            rustls::ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(rustls::ALL_VERSIONS)?;
        }
        Ok(Self {
            threads: Threads::outgoing(),
            public: OnceCell::new(),
            private: OnceCell::new(),
            lookup,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        })
    }

    /// Runs a request beside the threads that serve calls. It ends when the future is dropped.
    pub(super) async fn beside<T: Send + 'static>(&self, request: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!("an outgoing request could not be made: {error}");
            Error::InternalError(Some("the host could not make the request; its log says more".to_owned()))
        };
        let threads = self.threads.handle().map_err(|error| failed(&error))?;
        Task::new(threads.spawn(request)).end().await.map_err(|error| failed(&error))
    }

    /// The client for what a policy granted.
    pub(super) async fn for_reach(&self, reach: AddressScope) -> Result<&reqwest::Client, Error> {
        let (cell, only_public) = match reach {
            AddressScope::Public => (&self.public, true),
            AddressScope::Private => (&self.private, false),
        };
        let resolver = || Resolver { only_public, lookup: self.lookup, lookups: self.lookups.clone() };
        cell.get_or_try_init(|| async {
            let resolver = resolver();
            let client = tokio::task::spawn_blocking(move || client(&resolver)).await;
            client.map_err(|err| err.to_string()).and_then(|client| client.map_err(|err| cause(&err))).map_err(|err| {
                tracing::error!("cannot set up the client for the plugins' outgoing HTTP: {err}");
                Error::InternalError(Some(err))
            })
        })
        .await
    }
}

fn client(resolver: &Resolver) -> reqwest::Result<reqwest::Client> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(resolver.clone()))
            .connector_layer(ConnectLimit)
            .http1_only()
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
    };
    tls::client(builder, |why| tracing::warn!("no https for plugins: {why}; install ca-certificates or set SSL_CERT_FILE"))
}

/// A name has addresses, but no public one.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
pub(super) struct NotPublic(String);

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotResolved(pub(super) String);

/// The connection was not there in time.
#[derive(Debug, thiserror::Error)]
#[error("not connected in time")]
pub(super) struct NotConnected;

/// Finds the addresses of a name; blocks. Port 0 stands for the URL's.
type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

fn system_lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// Looks names up, and with `only_public` drops what is not public. What it returns is what is connected to.
#[derive(Clone)]
struct Resolver {
    only_public: bool,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { only_public, lookup, lookups } = self.clone();
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            let name = name.as_str().to_owned();
            tokio::task::spawn_blocking(move || {
                let _until_the_thread_is_free = permit;
                let found = lookup(&name).map_err(|err| NotResolved(err.to_string()))?;
                usable(name, found, only_public)
            })
            .await?
        })
    }
}

/// Of what a name resolves to, what may be connected to.
fn usable(name: String, mut found: Vec<SocketAddr>, only_public: bool) -> Result<Addrs, BoxError> {
    if found.is_empty() {
        return Err(NotResolved(format!("{name} has no address")).into());
    }
    if only_public {
        found.retain(|address| is_public(address.ip()));
    }
    if found.is_empty() {
        return Err(NotPublic(name).into());
    }
    Ok(Box::new(found.into_iter()))
}

/// How long one request has been connecting, and for how long it may.
#[derive(Clone)]
pub(super) struct Connecting(Arc<ConnectingState>);

struct ConnectingState {
    limit: Duration,
    /// When it began, and when it was done.
    span: Mutex<(Option<Instant>, Option<Instant>)>,
    /// The head of the answer is there.
    answered: AtomicBool,
}

tokio::task_local! {
    /// The request on whose behalf a connection is made. reqwest has connect timeouts for a client only, and plugins set them for a request.
    static CONNECTING: Connecting;
}

impl Connecting {
    pub(super) fn new(limit: Duration) -> Self {
        Self(Arc::new(ConnectingState { limit, span: Mutex::new((None, None)), answered: AtomicBool::new(false) }))
    }

    /// The head of the answer is there: what limits the wait for it no longer counts.
    pub(super) fn answer(&self) {
        self.0.answered.store(true, Ordering::Release);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.0.answered.load(Ordering::Acquire)
    }

    /// Runs a request under this limit.
    pub(super) fn scope<F: Future>(&self, request: F) -> impl Future<Output = F::Output> + use<F> {
        CONNECTING.scope(self.clone(), request)
    }

    /// How long connecting took, or has taken by now; nothing where a kept connection was used.
    pub(super) fn spent(&self) -> Duration {
        let (began, done) = *self.0.span.lock().unwrap_or_else(PoisonError::into_inner);
        began.map_or(Duration::ZERO, |began| done.unwrap_or_else(Instant::now).saturating_duration_since(began))
    }

    fn mark(&self, change: impl FnOnce(&mut (Option<Instant>, Option<Instant>))) {
        change(&mut self.0.span.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Puts the limit of [`Connecting`] on name lookup, TCP and TLS together.
#[derive(Clone, Copy)]
struct ConnectLimit;

impl<S> Layer<S> for ConnectLimit {
    type Service = LimitedConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitedConnector { inner }
    }
}

#[derive(Clone)]
struct LimitedConnector<S> {
    inner: S,
}

impl<S, R> Service<R> for LimitedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = CONNECTING.try_with(Clone::clone);
        let connect = self.inner.call(request);
        Box::pin(async move {
            let Ok(connecting) = connecting else { return connect.await };
            connecting.mark(|span| *span = (Some(Instant::now()), None));
            let connected = tokio::time::timeout(connecting.0.limit, connect).await;
            connecting.mark(|span| span.1 = Some(Instant::now()));
            connected.unwrap_or_else(|_| Err(NotConnected.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn of_mixed_addresses_only_the_public_are_used() {
        let found = addresses(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111", "::ffff:127.0.0.1"]);
        let used: Vec<_> = usable("x".to_owned(), found.clone(), true).unwrap().collect();
        assert_eq!(used, addresses(&["1.1.1.1", "2606:4700::1111"]));
        assert_eq!(usable("x".to_owned(), found.clone(), false).unwrap().count(), found.len());
    }

    #[test]
    fn without_a_public_address_there_is_none() {
        let err = usable("x".to_owned(), addresses(&["10.0.0.1", "fe80::1"]), true).err().unwrap();
        assert!(err.is::<NotPublic>(), "{err}");
        let err = usable("x".to_owned(), Vec::new(), true).err().unwrap();
        assert!(err.is::<NotResolved>(), "{err}");
    }
}
