//! One request and its answer, as JSON or at the end of a stream, with what the server says and asks before it.

use std::sync::Arc;

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderName, HeaderValue, Method, header};
use tokio::{sync::oneshot, time::Duration};

use super::{
    asking::{Flying, Listed, MAX_REQUESTS},
    events::Events,
    headers::{SESSION, Speech},
    http::Failure,
    link::Link,
};
use crate::{
    provider::{AskError, CallContext, JsonText},
    upstream::{
        ChannelError, Era, Turn,
        message::{self, Incoming},
        meta,
    },
};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// A stream that ended early is asked for its rest after this, unless the server says when.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// So often in a row without anything new.
const FRUITLESS: u32 = 5;

pub(super) struct Answer {
    pub(super) result: JsonText,
    /// The session that the server gave with it.
    pub(super) session: Option<HeaderValue>,
}

/// What ends a call early: an answer to a question that is none.
type Asked = FuturesUnordered<BoxFuture<'static, Option<AskError>>>;

impl Link {
    /// Sends one request and awaits its answer. Dropping the future cancels the request.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        speech: &Speech,
        method: &'static str,
        params: &str,
        context: &CallContext,
        turn: Option<Arc<Turn>>,
    ) -> Result<Answer, Failure> {
        let id = self.next_id();
        let meta = meta::outgoing(speech.era, context, id);
        let body = message::request(id, method, params, meta.as_deref());
        let mut headers = speech.headers();
        if speech.era == Era::Modern {
            self.params.write(&mut headers, method, params);
        }
        if let Some(value) = context.trace_parent.as_deref().and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(TRACE_PARENT, value);
        }
        let (end, mut ended) = oneshot::channel();
        let flying = Flying {
            notifier: context.notifier.clone(),
            asker: context.asker.clone(),
            end: Some(end),
            is_call: !matches!(
                method,
                "ping" | "initialize" | "server/discover" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
            ),
        };
        let _listed = Listed::new(self, id, flying);
        // MCP: `initialize` must not be cancelled. In the newer era the end of the connection says it.
        let mut cancel = Cancel { link: self, speech, id, armed: speech.era == Era::Legacy && method != "initialize", turn };
        let answered = async {
            let response = self.http.send(Method::POST, headers, Some(body)).await?;
            let session = response.headers().get(SESSION).cloned();
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let result = match kind.as_str() {
                "application/json" => self.whole(response).await?,
                "text/event-stream" => self.stream(response, speech, id, context).await?,
                "" => return Err(self.http.malformed(&format!("{} and nothing to {method}", response.status()))),
                other => return Err(self.http.malformed(&format!("{other:?} to {method}; is this an MCP endpoint?"))),
            };
            Ok(Answer { result, session })
        };
        tokio::select! {
            answer = answered => {
                // The server knows that this is over, unless it was ended from here, or nothing of its end came through.
                cancel.armed &= matches!(answer, Err(Failure::Broken(_) | Failure::Channel(ChannelError::Ask(_))));
                if method == "tools/list" && let Ok(Answer { result, .. }) = &answer {
                    self.params.learn(result.as_str());
                }
                answer
            }
            Ok(error) = &mut ended => Err(Failure::Channel(ChannelError::Ask(error))),
        }
    }

    async fn whole(&self, response: reqwest::Response) -> Result<JsonText, Failure> {
        let body = self.http.body(response).await?;
        match Incoming::parse(&body) {
            Some(Incoming::Answer { result, .. }) => finish(result),
            _ => {
                let start: String = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()).into_owned();
                Err(self.http.malformed(&format!("what is not an answer of JSON-RPC: {start}")))
            }
        }
    }

    async fn stream(
        self: &Arc<Self>,
        mut response: reqwest::Response,
        speech: &Speech,
        id: u64,
        context: &CallContext,
    ) -> Result<JsonText, Failure> {
        let mut events = Events::new(self.http.limits.max_message);
        let mut asked = Asked::new();
        let mut fruitless = 0;
        loop {
            let chunk = tokio::select! {
                Some(outcome) = asked.next(), if !asked.is_empty() => match outcome {
                    Some(error) => return Err(Failure::Channel(ChannelError::Ask(error))),
                    None => continue,
                },
                chunk = response.chunk() => chunk,
            };
            let broken = match chunk {
                Ok(Some(bytes)) => {
                    self.http.push(&mut events, &bytes)?;
                    while let Some(data) = events.next() {
                        fruitless = 0;
                        match Incoming::parse(&data) {
                            Some(Incoming::Answer { id: of, result, .. }) if of.is_none_or(|of| of == id) => return finish(result),
                            Some(Incoming::Answer { .. }) => {}
                            Some(Incoming::Notification { method, params }) => self.notified(&method, params, context.notifier.as_ref()),
                            Some(Incoming::Request { method, .. }) if asked.len() >= MAX_REQUESTS => {
                                tracing::debug!(server = %self.http.id, %method, "too many requests at once");
                            }
                            Some(Incoming::Request { id: of, method, params }) => {
                                let open = asked.len();
                                asked.push(self.clone().requested(speech.clone(), of, &method, params, context.asker.clone(), open));
                            }
                            None => tracing::debug!(server = %self.http.id, "an event that is not an MCP message"),
                        }
                    }
                    continue;
                }
                Ok(None) => Failure::Broken(format!("the stream from {} ended before the answer came", self.http.place())),
                Err(error) => self.http.broken(&error),
            };
            // 2025-11-25: a server may end a stream, and gives the rest to whoever names the last event.
            let last = events.last_id.as_deref().and_then(|id| HeaderValue::try_from(id).ok());
            let Some(last) = last.filter(|_| speech.era == Era::Legacy && fruitless < FRUITLESS) else { return Err(broken) };
            fruitless += 1;
            let mut headers = speech.headers();
            headers.insert(LAST_EVENT, last);
            tokio::time::sleep(events.retry.unwrap_or(RETRY).min(LONGEST_RETRY)).await;
            events.restart();
            response = match self.http.send(Method::GET, headers, None).await {
                Ok(response) => response,
                Err(_) => return Err(broken),
            };
        }
    }
}

fn finish(result: Result<&str, ChannelError>) -> Result<JsonText, Failure> {
    result.map(|result| JsonText::from_writer(result.to_owned())).map_err(Failure::Channel)
}

/// Tells the server that nobody waits any more, when dropped before the answer.
struct Cancel<'a> {
    link: &'a Arc<Link>,
    speech: &'a Speech,
    id: u64,
    armed: bool,
    /// Given back when the server was told: what it asks until then may be for this call.
    turn: Option<Arc<Turn>>,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (link, speech, turn) = (Arc::clone(self.link), self.speech.clone(), self.turn.take());
        let params = format!("{{\"requestId\":{},\"reason\":\"the caller no longer waits for the answer\"}}", self.id);
        runtime.spawn(async move {
            link.tell_aside(&speech, message::notification("notifications/cancelled", &params)).await;
            drop(turn);
        });
    }
}
