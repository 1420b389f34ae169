//! A remote MCP server by Streamable HTTP, in both eras, as a channel.
//!
//! `http` sends one request and says why there is no answer → `exchange` makes a request of MCP of it, and takes what comes before the answer → `link` knows
//! the session, tries again what may be tried again, and says when the server is gone → `listen` hears of changes and of updates of resources. What a session
//! is, whatever carries it, is in `upstream`.

mod connection;
mod exchange;
mod http;
mod listen;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use ::http::{HeaderMap, Method};
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
    upstream::{Change, Channel, ChannelError, Uris, handshake::subscribes, subscriber},
};
use connection::HttpConnection;
use http::Http;

/// A server of `[server.NAME]` with `url`.
pub struct Remote {
    place: String,
    /// One pool of connections, however often the server is greeted. The error is a sentence.
    http: Result<Arc<Http>, String>,
}

impl Remote {
    /// The server at an address. Nothing is sent yet.
    #[must_use]
    pub fn new(id: ProviderId, source: &UrlSource, limits: ServerLimits) -> Self {
        let http = Http::new(id, source, limits).map(Arc::new);
        Self { place: http.as_ref().map_or_else(|_| "an address that cannot be used".to_owned(), |http| http.place()), http }
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
            let channel = HttpChannel::connect(http).await.map_err(ConnectError)?;
            Ok(Connected { process: Box::new(Attachment(channel.clone())), channel })
        })
    }
}

/// A server that was greeted.
struct HttpChannel {
    link: Arc<HttpConnection>,
    server: JsonText,
    listener: AbortOnDropHandle<()>,
    subscriber: AbortOnDropHandle<()>,
}

impl HttpChannel {
    async fn connect(http: Arc<Http>) -> Result<Arc<Self>, String> {
        let (id, limit, place) = (http.id.clone(), http.limits.start, http.place());
        let late = || format!("{place} does not answer within {} s (`start_timeout` of [server.{id}])", limit.as_secs_f64());
        let greeted = tokio::time::timeout(limit, HttpConnection::open(http)).await.map_err(|_| late())?;
        let link = greeted.map_err(|error| if matches!(error, ChannelError::Timeout(_)) { late() } else { error.to_string() })?;
        let server = link.agreed().server.clone();
        let listener = AbortOnDropHandle::new(tokio::spawn(listen::run(link.clone())));
        let subscriber = AbortOnDropHandle::new(tokio::spawn(subscriber::run(link.clone())));
        Ok(Arc::new(Self { link, server, listener, subscriber }))
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
        Box::pin(self.link.request(method, params, context, timeout))
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
            let link = &self.0.link;
            let agreed = link.agreed();
            // There is nobody to say good-bye to where the server is gone.
            if agreed.speech.session.is_some() && link.closing.why().is_none() {
                let headers: HeaderMap = agreed.speech.headers();
                let _ = tokio::time::timeout(grace, link.transport.http.send(Method::DELETE, headers, None)).await;
            }
            link.closing.close("the connection was closed by the host");
        })
    }
}
