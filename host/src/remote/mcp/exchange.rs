//! One request and its answer, as JSON or at the end of a stream, with what the server says and asks before it.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, header};
use tokio::time::Duration;

use super::{connection::HttpConnection, http::Failure};
use crate::{
    provider::{CallContext, JsonText},
    upstream::{
        CallGuard, ChannelError, Era,
        http_headers::{SESSION, SessionHeaders},
        is_call,
        message::{self, Incoming},
        meta,
        sse_decoder::SseDecoder,
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

impl HttpConnection {
    /// Sends one request and awaits its answer. Dropping the future cancels the request.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        speech: &SessionHeaders,
        method: &'static str,
        params: &str,
        context: &CallContext,
        turn: Option<Arc<CallGuard>>,
    ) -> Result<Answer, Failure> {
        let (mut in_flight, ended) = self.begin(method, context, turn);
        let id = in_flight.id;
        // MCP: `initialize` must not be cancelled. In the newer era the end of the connection says it.
        if speech.era == Era::Legacy {
            in_flight.sent(method != "initialize");
        }
        let meta = meta::outgoing(speech.era, context, id);
        let body = message::request(id, method, params, meta.as_deref());
        let mut headers = speech.headers();
        if speech.era == Era::Modern {
            self.transport.params.write(&mut headers, method, params);
        }
        if let Some(value) = context.trace_parent().and_then(|text| HeaderValue::try_from(&*text).ok()) {
            headers.insert(TRACE_PARENT, value);
        }
        let http = &self.transport.http;
        // What nobody makes for a caller is the host's own.
        let call = is_call(method).then_some(context);
        let answered = async {
            let response = self.transport.send(Method::POST, headers, Some(body), call).await?;
            let session = response.headers().get(SESSION).cloned();
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let result = match kind.as_str() {
                "application/json" => self.whole(response).await?,
                "text/event-stream" => self.stream(response, speech, id, call).await?,
                "" => return Err(http.malformed(&format!("{} and nothing to {method}", response.status()))),
                other => return Err(http.malformed(&format!("{other:?} to {method}; is this an MCP endpoint?"))),
            };
            Ok(Answer { result, session })
        };
        tokio::select! {
            answer = answered => {
                // The server knows that this is over, unless nothing of its end came through.
                if !matches!(answer, Err(Failure::Broken(_))) {
                    in_flight.done();
                }
                if method == "tools/list" && let Ok(Answer { result, .. }) = &answer {
                    self.transport.params.learn(result.as_str());
                }
                answer
            }
            // It was ended from here.
            Ok(reply) = ended => reply.map(|result| Answer { result, session: None }).map_err(Failure::Channel),
        }
    }

    async fn whole(&self, response: reqwest::Response) -> Result<JsonText, Failure> {
        let http = &self.transport.http;
        let body = http.body(response).await?;
        match Incoming::parse(&body) {
            Some(Incoming::Answer { result, .. }) => finish(result),
            _ => {
                let start: String = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()).into_owned();
                Err(http.malformed(&format!("what is not an answer of JSON-RPC: {start}")))
            }
        }
    }

    async fn stream(
        self: &Arc<Self>,
        mut response: reqwest::Response,
        speech: &SessionHeaders,
        id: u64,
        call: Option<&CallContext>,
    ) -> Result<JsonText, Failure> {
        let http = &self.transport.http;
        let mut events = SseDecoder::new(http.limits.max_message);
        let mut fruitless = 0;
        loop {
            let broken = match response.chunk().await {
                Ok(Some(bytes)) => {
                    http.push(&mut events, &bytes)?;
                    while let Some(data) = events.next() {
                        fruitless = 0;
                        match Incoming::parse(&data) {
                            Some(Incoming::Answer { id: of, result, .. }) if of.is_none_or(|of| of == id) => return finish(result),
                            Some(Incoming::Answer { written, .. }) => self.strays.note(&stray(written, id)),
                            Some(Incoming::Notification { method, params }) => self.notified(&method, params, Some(id)),
                            Some(Incoming::Request { id: of, method, params }) => self.requested(of, &method, params, Some(id)),
                            None => tracing::debug!(server = %http.id, "an event that is not an MCP message"),
                        }
                    }
                    continue;
                }
                Ok(None) => Failure::Broken(format!("the stream from {} ended before the answer came", http.place())),
                Err(error) => http.broken(&error),
            };
            // 2025-11-25: a server may end a stream, and gives the rest to whoever names the last event.
            let last = events.last_id.as_deref().and_then(|id| HeaderValue::try_from(id).ok());
            let Some(last) = last.filter(|_| speech.era == Era::Legacy && fruitless < FRUITLESS) else { return Err(broken) };
            fruitless += 1;
            let mut headers = speech.headers();
            headers.insert(LAST_EVENT, last);
            tokio::time::sleep(events.retry.unwrap_or(RETRY).min(LONGEST_RETRY)).await;
            events.restart();
            response = match self.transport.send(Method::GET, headers, None, call).await {
                Ok(response) => response,
                Err(_) => return Err(broken),
            };
        }
    }
}

fn finish(result: Result<&str, ChannelError>) -> Result<JsonText, Failure> {
    result.map(|result| JsonText::from_writer(result.to_owned())).map_err(Failure::Channel)
}

/// An answer on the stream of a request that is to another one.
fn stray(written: Option<&str>, id: u64) -> String {
    let written: String = written.unwrap_or("null").chars().take(40).collect();
    format!(
        "the server answers under the id {written} on the stream of request {id}: a server has to give each answer the id of its request"
    )
}
