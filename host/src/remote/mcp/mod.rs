//! A remote MCP server by Streamable HTTP, in both eras, as a channel.
//!
//! `http` sends one request and says why there is no answer → `exchange` makes a request of MCP of it, and takes what comes before the answer → `link` knows
//! the session, tries again what may be tried again, and says when the server is gone → `listen` hears of changes, `subscribe` has the server tell updates of
//! resources.

mod asking;
pub(crate) mod events;
mod exchange;
pub(crate) mod headers;
mod http;
mod link;
mod listen;
mod subscribe;
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
    supervised::{
        replicas::{Attached, ConnectError, Connected},
        server::Reach,
    },
    upstream::{Change, Channel, ChannelError, Clock, Era, Uris, no_turn, rounds},
};
use http::Http;
use link::Link;

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

impl Reach for Remote {
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
    link: Arc<Link>,
    server: JsonText,
    listener: AbortOnDropHandle<()>,
    subscriber: AbortOnDropHandle<()>,
}

impl HttpChannel {
    async fn connect(http: Arc<Http>) -> Result<Arc<Self>, String> {
        let (id, limit, place) = (http.id.clone(), http.limits.start, http.place());
        let late = || format!("{place} does not answer within {} s (`start_timeout` of [server.{id}])", limit.as_secs_f64());
        let greeted = tokio::time::timeout(limit, Link::open(http)).await.map_err(|_| late())?;
        let link = greeted.map_err(|error| if matches!(error, ChannelError::Timeout(_)) { late() } else { error.to_string() })?;
        let server = link.session().server.clone();
        let listener = AbortOnDropHandle::new(tokio::spawn(listen::run(link.clone())));
        let subscriber = AbortOnDropHandle::new(tokio::spawn(subscribe::run(link.clone())));
        Ok(Arc::new(Self { link, server, listener, subscriber }))
    }
}

impl HttpChannel {
    async fn ask(&self, method: &'static str, params: &str, timeout: Duration, clock: &Clock<'_>) -> Result<JsonText, ChannelError> {
        let context = clock.context();
        match self.link.session().speech.era {
            // Whether a server lives is asked beside all that it does.
            Era::Legacy if method == "ping" => self.link.request(method, params, context, None).await,
            Era::Legacy => {
                let (link, known) = (&self.link, &self.link.http.known);
                let turn = match link.turns.at_once(known) {
                    Some(turn) => turn,
                    None => tokio::time::timeout_at(clock.until(), link.turns.take(known)).await.map_err(|_| no_turn(timeout))?,
                };
                link.request(method, params, context, Some(Arc::new(turn))).await
            }
            Era::Modern => {
                let send = |params: String| async move { self.link.request(method, &params, context, None).await };
                rounds::answered(params, context.asker.as_deref(), send).await
            }
        }
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
        Box::pin(async move {
            let clock = Clock::start(timeout, context);
            clock.limit(self.ask(method, params, timeout, &clock)).await
        })
    }

    fn server(&self) -> &JsonText {
        &self.server
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.link.changes.subscribe()
    }

    fn subscribe(&self, uris: Uris) {
        self.link.wanted.send_if_modified(|wanted| {
            let is_new = *wanted != uris;
            *wanted = uris;
            is_new
        });
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.link.closing.wait().await.to_string() })
    }
}

/// What is at the server for this host: a session, where it gives one.
struct Attachment(Arc<HttpChannel>);

impl Attached for Attachment {
    fn name(&self) -> String {
        self.0.link.http.place()
    }

    fn stop(self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.0.listener.abort();
            self.0.subscriber.abort();
            let link = &self.0.link;
            let session = link.session();
            // There is nobody to say good-bye to where the server is gone.
            if session.speech.session.is_some() && link.closing.why().is_none() {
                let headers: HeaderMap = session.speech.headers();
                let _ = tokio::time::timeout(grace, link.http.send(Method::DELETE, headers, None)).await;
            }
            link.closing.close("the connection was closed by the host");
        })
    }
}
