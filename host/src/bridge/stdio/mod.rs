//! A server on stdin and stdout, as a channel: newline-delimited JSON-RPC, any number of requests at once.

mod connection;
mod lifecycle;
mod lines;
mod stderr;
mod stdin_queue;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::{sync::broadcast, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::launch::Launched;
use crate::{
    config::ServerLimits,
    provider::{CallContext, JsonText},
    upstream::{
        Change, Channel, ChannelError, Era, Known, Request, Uris, deadline,
        handshake::{Greeting, Wire, capability, greet, subscribes, subscription},
        message, subscriber,
    },
};
use connection::StdioConnection;
use lifecycle::Life;
use stdin_queue::StdinQueue;

/// A server whose handshake failed is not worth a long good-bye.
const FAILED_STOP: Duration = Duration::from_millis(500);

/// A connection to a running server. Dropping it kills the server.
pub struct StdioChannel {
    link: Arc<StdioConnection>,
    server: JsonText,
    era: Era,
    name: String,
    life: Life,
    _subscriber: AbortOnDropHandle<()>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// What happened, with the last that the server said.
    pub message: String,
    /// The server ended at a question that older servers do not know. It will not be asked again: start it anew at once.
    pub again: bool,
}

/// Greets a server that was just started, within `limits.start`, and owns it from then on. `server` is its name in the configuration; `known` is what all
/// its connections share.
///
/// # Errors
///
/// [`ConnectError`]: it ended, said nothing, or speaks nothing that is spoken here. Nothing of it is left then.
pub async fn connect(
    server: &str,
    launched: Launched,
    limits: &ServerLimits,
    known: &Arc<Known>,
) -> Result<Arc<StdioChannel>, ConnectError> {
    let Launched { stdin, stdout, stderr, running, advice } = launched;
    let name = running.name();
    let (link, doomed) = StdioConnection::open(server.into(), StdinQueue::new(stdin), Arc::clone(known), limits.max_message, advice);
    let life = Life::begin(&link, running, stdout, stderr, doomed);
    let (begun, until) = (Instant::now(), deadline(limits.start));
    let wire = Handshake { link: &link, until };
    let was_known = known.era().is_some();
    let greeted = tokio::select! {
        greeted = tokio::time::timeout_at(until, greet(&wire, known)) => greeted,
        fault = link.strays.wait() => Ok(Err(ChannelError::Malformed(fault))),
    };
    match greeted {
        Ok(Ok(greeting)) => {
            tracing::debug!(server, version = greeting.version, "{name} is ready");
            let (era, said) = (greeting.era, greeting.server.clone());
            begin(&link, greeting).await;
            let subscriber = AbortOnDropHandle::new(tokio::spawn(subscriber::run(Arc::clone(&link))));
            Ok(Arc::new(StdioChannel { link, server: said, era, name, life, _subscriber: subscriber }))
        }
        failed => {
            let why = match failed {
                Ok(Err(error)) if !matches!(error, ChannelError::Timeout(_)) => error.to_string(),
                _ => {
                    let late = format!("it did not answer within {} s (`start_timeout` of [server.{server}])", limits.start.as_secs_f64());
                    link.strays.since(begun).map_or(late.clone(), |fault| format!("{late}; {fault}"))
                }
            };
            let closed = link.closing.why().is_some();
            let last = if closed { String::new() } else { link.transport.stderr.last_words() };
            life.stop(FAILED_STOP).await;
            let again = !was_known && known.era() == Some(Era::Legacy);
            Err(ConnectError { message: format!("server {server} ({name}) failed its MCP handshake: {why}{last}"), again })
        }
    }
}

/// The connection before it is one.
struct Handshake<'a> {
    link: &'a Arc<StdioConnection>,
    until: Instant,
}

impl Wire for Handshake<'_> {
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            let context = CallContext::default();
            self.link.exchange(era, Request { method, params, context: &context, turn: None, until: self.until }).await
        })
    }

    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(async move {
            self.link.send_now(&message::notification(method, params));
            Ok(())
        })
    }
}

impl StdioChannel {
    /// What runs: `pid 4711`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the server is spoken to.
    #[must_use]
    pub fn era(&self) -> Era {
        self.era
    }

    /// Requests that the server has not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.link.flight.len()
    }

    /// Ends the server: its input is closed; after `grace` it is asked to end, after as long again killed. Returns when nothing of it is left. Whatever is
    /// still in flight then fails.
    pub async fn stop(&self, grace: Duration) {
        self.life.stop(grace).await;
    }
}

/// What is asked for at once: log messages, and in the newer era to be told of changes.
async fn begin(link: &Arc<StdioConnection>, greeting: Greeting) {
    let Greeting { era, server, .. } = greeting.clone();
    link.set_greeting(greeting);
    match era {
        Era::Legacy => {
            if capability(&server, "logging").is_some() {
                link.ask_for_logs().await;
            }
        }
        Era::Modern => {
            if let Some(params) = subscription(&server) {
                link.send_and_forget("subscriptions/listen", &params);
            }
        }
    }
}

impl Channel for StdioChannel {
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

    fn is_ending(&self) -> bool {
        self.link.is_ending()
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.link.closing.wait().await.to_string() })
    }
}
