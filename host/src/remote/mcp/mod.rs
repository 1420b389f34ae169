//! A remote MCP server by Streamable HTTP, in both eras, as a channel; and by the transport before it (`two_way`), where it speaks nothing else.
//!
//! `http` sends one request and says why there is no answer → `exchange` makes a request of MCP of it, and takes what comes before the answer → `link` knows
//! the session, tries again what may be tried again, and says when the server is gone → `listen` hears of changes and of updates of resources. What a session
//! is, whatever carries it, is in `upstream`.

mod callers;
mod connection;
mod exchange;
mod http;
mod listen;
#[cfg(test)]
mod tests;
mod two_way;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::{ServerLimits, UrlSource},
    provider::{CallContext, JsonText, ProviderId, ProviderKind},
    supervisor::{
        replicas::{Attached, ConnectError, Connected},
        server::ServerConnector,
    },
    upstream::{Change, Channel, ChannelError, Uris, handshake::subscribes, is_call, subscriber},
};
use callers::Callers;
use connection::HttpConnection;
use http::Http;
use two_way::{Streamed, TwoWayChannel};

/// A server of `[server.NAME]` with `url`.
pub struct Remote {
    place: String,
    /// One pool of connections, however often the server is greeted. The error is a sentence.
    http: Result<Arc<Http>, String>,
    /// The last time it spoke the transport of 2024.
    is_two_way: AtomicBool,
}

impl Remote {
    /// The server at an address. Nothing is sent yet.
    #[must_use]
    pub fn new(id: ProviderId, source: &UrlSource, limits: ServerLimits) -> Self {
        let http = Http::new(id, source, limits).map(Arc::new);
        Self {
            place: http.as_ref().map_or_else(|_| "an address that cannot be used".to_owned(), |http| http.place()),
            http,
            is_two_way: AtomicBool::new(false),
        }
    }
}

impl ServerConnector for Remote {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Remote
    }

    fn what(&self) -> String {
        self.place.clone()
    }

    fn open(&self) -> BoxFuture<'_, Result<Connected, ConnectError>> {
        Box::pin(async {
            let http = self.http.clone().map_err(ConnectError)?;
            if self.is_two_way.load(Relaxed) {
                if let Some(connected) = two_way(&http).await? {
                    return Ok(connected);
                }
                self.is_two_way.store(false, Relaxed);
            }
            match HttpChannel::connect(Arc::clone(&http)).await {
                Ok(channel) => Ok(Connected { process: Box::new(Attachment(channel.clone())), channel }),
                Err(Refused { text, is_other: true }) => match two_way(&http).await? {
                    Some(connected) => {
                        self.is_two_way.store(true, Relaxed);
                        Ok(connected)
                    }
                    None => Err(ConnectError(text)),
                },
                Err(Refused { text, .. }) => Err(ConnectError(text)),
            }
        })
    }
}

/// Connects by the transport of 2024. None: the server does not speak it.
async fn two_way(http: &Arc<Http>) -> Result<Option<Connected>, ConnectError> {
    let (id, limit, place) = (&http.id, http.limits.start, http.place());
    let late = || ConnectError(format!("{place} does not answer within {} s (`start_timeout` of [server.{id}])", limit.as_secs_f64()));
    let Some(greeted) = tokio::time::timeout(limit, TwoWayChannel::connect(http)).await.map_err(|_| late())? else { return Ok(None) };
    if http.credentials.is_per_caller() {
        return Err(ConnectError(format!(
            "{place} speaks the SSE transport of 2024 only, in which all callers share one session: `token_exchange` of [server.{id}] needs Streamable HTTP"
        )));
    }
    let channel = greeted.map_err(|error| ConnectError(error.to_string()))?;
    Ok(Some(Connected { process: Box::new(Streamed(Arc::clone(&channel))), channel }))
}

/// Why a server was not greeted.
struct Refused {
    text: String,
    /// It did not take the request for one: it may speak another transport.
    is_other: bool,
}

/// A server that was greeted.
struct HttpChannel {
    link: Arc<HttpConnection>,
    server: JsonText,
    /// Where each caller has a connection of its own.
    callers: Option<Callers>,
    listener: AbortOnDropHandle<()>,
    subscriber: AbortOnDropHandle<()>,
}

impl HttpChannel {
    async fn connect(http: Arc<Http>) -> Result<Arc<Self>, Refused> {
        let (id, limit, place) = (http.id.clone(), http.limits.start, http.place());
        let late = || format!("{place} does not answer within {} s (`start_timeout` of [server.{id}])", limit.as_secs_f64());
        let greeted = tokio::time::timeout(limit, HttpConnection::open(Arc::clone(&http), None))
            .await
            .map_err(|_| Refused { text: late(), is_other: false })?;
        let link = greeted.map_err(|error| match error {
            ChannelError::Timeout(_) => Refused { text: late(), is_other: false },
            error => Refused { is_other: matches!(error, ChannelError::Malformed(_)), text: error.to_string() },
        })?;
        let server = link.agreed().server.clone();
        let listener = AbortOnDropHandle::new(tokio::spawn(listen::run(link.clone())));
        let subscriber = AbortOnDropHandle::new(tokio::spawn(subscriber::run(link.clone())));
        let callers = http.credentials.is_per_caller().then(|| Callers::new(http));
        Ok(Arc::new(Self { link, server, callers, listener, subscriber }))
    }
}

impl Channel for HttpChannel {
    fn request<'a>(
        &'a self,
        method: &'static str,
        params: &'a str,
        context: &'a CallContext,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        match (&self.callers, &context.principal) {
            (Some(callers), Some(principal)) if is_call(method) => Box::pin(async move {
                let opened = tokio::time::timeout(timeout, callers.of(principal)).await;
                let link = opened.unwrap_or(Err(ChannelError::Timeout(timeout)))?;
                link.request(method, params, context, timeout).await
            }),
            // Who has no name has no token either, which is said where the request is sent.
            _ => Box::pin(self.link.request(method, params, context, timeout)),
        }
    }

    fn server(&self) -> &JsonText {
        &self.server
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.link.changes.subscribe()
    }

    fn subscribe(&self, uris: Uris) {
        if subscribes(&self.server) {
            self.link.want(uris);
        }
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.link.closing.wait().await.to_string() })
    }
}

/// What is at the server for this host: a session, where it gives one.
struct Attachment(Arc<HttpChannel>);

impl Attached for Attachment {
    fn name(&self) -> String {
        self.0.link.transport.http.place()
    }

    fn stop(self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.0.listener.abort();
            self.0.subscriber.abort();
            let of_callers = async {
                if let Some(callers) = &self.0.callers {
                    callers.leave().await;
                }
            };
            // Who is gone by then is not waited for.
            let _ = tokio::time::timeout(grace, async { tokio::join!(of_callers, Arc::clone(&self.0.link).leave()) }).await;
            self.0.link.closing.close("the connection was closed by the host");
        })
    }
}
