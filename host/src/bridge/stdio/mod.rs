//! A server on stdin and stdout, as a channel: newline-delimited JSON-RPC, any number of requests at once.

mod flight;
mod heard;
mod life;
mod lines;
mod link;
mod out;
mod said;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::broadcast, time::Instant};

use super::launch::Launched;
use crate::{
    config::ServerLimits,
    provider::{CallContext, JsonText},
    upstream::{
        Change, Channel, ChannelError, Clock, Era, Known, Uris, deadline,
        handshake::{Greeting, Wire, greet, resource_subscription, subscribes},
        message,
        raw::{write_json, write_key},
        rounds,
    },
};
use life::Life;
use link::Link;
use out::Out;

/// A server whose handshake failed is not worth a long good-bye.
const FAILED_STOP: Duration = Duration::from_millis(500);

/// A connection to a running server. Dropping it kills the server.
pub struct StdioChannel {
    link: Arc<Link>,
    server: JsonText,
    era: Era,
    name: String,
    life: Life,
    subscribed: Mutex<Subscribed>,
}

/// Whose updates the server was asked to tell.
#[derive(Default)]
struct Subscribed {
    uris: Uris,
    /// The request that did, in the newer era.
    listening: Option<u64>,
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
    let (link, doomed) = Link::new(server.into(), Out::new(stdin), Arc::clone(known), limits.max_message, advice);
    let life = Life::begin(&link, running, stdout, stderr, doomed);
    let (begun, until) = (Instant::now(), deadline(limits.start));
    let wire = Handshake { link: &link, until };
    let was_known = known.era().is_some();
    let greeted = tokio::select! {
        greeted = tokio::time::timeout_at(until, greet(&wire, known)) => greeted,
        fault = link.strays.wait() => Ok(Err(ChannelError::Malformed(fault))),
    };
    match greeted {
        Ok(Ok(Greeting { era, version, server: said })) => {
            tracing::debug!(server, version, "{name} is ready");
            link.set_era(era);
            let channel = StdioChannel { link, server: said, era, name, life, subscribed: Mutex::default() };
            channel.begin();
            Ok(Arc::new(channel))
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
            let last = if closed { String::new() } else { link.said.last_words() };
            life.stop(FAILED_STOP).await;
            let again = !was_known && known.era() == Some(Era::Legacy);
            Err(ConnectError { message: format!("server {server} ({name}) failed its MCP handshake: {why}{last}"), again })
        }
    }
}

/// The connection before it is one.
struct Handshake<'a> {
    link: &'a Link,
    until: Instant,
}

impl Wire for Handshake<'_> {
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            let context = CallContext::default();
            self.link.exchange(era, method, params, &context, None, self.until).await
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

    /// What is asked for at once: log messages, and in the newer era to be told of changes.
    fn begin(&self) {
        let has = |name: &str| crate::upstream::handshake::capability(&self.server, name);
        match self.era {
            Era::Legacy => {
                if has("logging").is_some() {
                    self.link.set_logs();
                }
            }
            Era::Modern => {
                if let Some(params) = crate::upstream::handshake::subscription(&self.server) {
                    self.link.send_and_forget("subscriptions/listen", &params);
                }
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
        Box::pin(async move {
            let begun = Instant::now();
            let clock = Clock::start(timeout, context);
            let context = clock.context();
            let answered = async {
                match self.era {
                    Era::Legacy => self.link.request(method, params, context, timeout, clock.until()).await,
                    Era::Modern => {
                        let send = |params: String| {
                            let until = clock.until();
                            async move { self.link.request(method, &params, context, timeout, until).await }
                        };
                        rounds::answered(params, context.asker.as_deref(), send).await
                    }
                }
            };
            let result = clock.limit(answered).await;
            // Of a call it is the time that counts: it may have been done.
            if matches!(result, Err(ChannelError::Timeout(_)))
                && method.ends_with("/list")
                && let Some(fault) = self.link.strays.since(begun)
            {
                return Err(ChannelError::Malformed(fault));
            }
            result
        })
    }

    fn server(&self) -> &JsonText {
        &self.server
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.link.changes.subscribe()
    }

    fn subscribe(&self, uris: Uris) {
        let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        if !subscribes(&self.server) || subscribed.uris == uris {
            return;
        }
        match self.era {
            Era::Legacy => {
                let ask = |method: &str, uri: &str| {
                    let mut params = String::from("{");
                    write_key(&mut params, "uri");
                    write_json(&mut params, uri);
                    params.push('}');
                    self.link.send_and_forget(method, &params);
                };
                uris.difference(&subscribed.uris).for_each(|uri| ask("resources/subscribe", uri));
                subscribed.uris.difference(&uris).for_each(|uri| ask("resources/unsubscribe", uri));
            }
            Era::Modern => {
                // The new one first, so that nothing is missed in between.
                let params = resource_subscription(&self.server, &uris);
                let listening = params.map(|params| self.link.send_and_forget("subscriptions/listen", &params));
                if let Some(before) = std::mem::replace(&mut subscribed.listening, listening) {
                    let params = format!("{{\"requestId\":{before},\"reason\":\"the subscriptions have changed\"}}");
                    self.link.send_now(&message::notification("notifications/cancelled", &params));
                }
            }
        }
        subscribed.uris = uris;
    }

    fn is_ending(&self) -> bool {
        self.link.is_ending()
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.link.closing.wait().await.to_string() })
    }
}
