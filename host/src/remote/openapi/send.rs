//! Sending: one client for an application, with limits on time, on size and on how many calls there are at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::redirect::{Action, Attempt, Policy};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use url::Url;

use super::{Error, answer, request::Request};
use crate::{
    config::{OpenApiSource, ServerLimits},
    credentials::{Credentials, Shown},
    provider::{CallContext, CallError, ProviderId, StartSignal, start_signal},
    remote::client::{self, place},
    tls::cause,
};

/// Redirects within the application that are followed.
const REDIRECTS: usize = 5;
/// The part of a call's time in which a stream of events is read.
const EVENTS: f64 = 0.9;
/// How long a caller who was turned away had better wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends requests to one application.
pub(super) struct Sender {
    client: reqwest::Client,
    /// What it is shown of who asks.
    credentials: Credentials,
    limits: ServerLimits,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// An answer, read whole.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Why a stream of events was not read to its end.
    pub(super) cut: Option<String>,
}

/// One waiting call, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sender {
    pub(super) fn new(id: &ProviderId, source: &OpenApiSource, limits: &ServerLimits) -> Result<Self, Error> {
        let fault = |reason: String| Error::Client { server: id.clone(), reason };
        Ok(Self {
            client: client::client(id, || Policy::custom(follow)).map_err(&fault)?,
            credentials: Credentials::new(id, None, &source.headers, &source.auth, None).map_err(fault)?,
            limits: *limits,
            running: Arc::new(Semaphore::new(limits.concurrency.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits for a turn, if the queue has a place.
    pub(super) async fn turn(&self, id: &ProviderId, signal: Option<&StartSignal>) -> Result<OwnedSemaphorePermit, CallError> {
        if let Ok(turn) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(turn);
        }
        let busy = |why: &str| CallError::Busy {
            what: format!("server {id} is busy, {why}; `concurrency` and `queue` in [server.{id}] set how many calls may run and wait"),
            retry_after: RETRY_AFTER,
        };
        let place = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if place >= self.limits.queue {
            return Err(busy("its queue is full"));
        }
        let got = start_signal::queued(signal, tokio::time::timeout(self.limits.call, Arc::clone(&self.running).acquire_owned())).await;
        start_signal::mark_started(signal);
        match got {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(CallError::Internal(format!("server {id} is being stopped"))),
            Err(_) => Err(busy("no slot became free in time")),
        }
    }

    /// Sends a request and reads the answer. The error is a sentence for the caller.
    pub(super) async fn send(&self, request: &Request, context: &CallContext) -> Result<Response, String> {
        // Where it was sent in vain it did nothing, and where it did something it does no more the second time.
        let again = matches!(request.method, Method::GET | Method::PUT | Method::DELETE);
        let place = format!("{} {}", request.method, place(&request.url));
        let sending = async {
            let sent = match self.once(request, context).await {
                Err(failure) if again && failure.is_connection => self.once(request, context).await,
                result => result,
            };
            match sent {
                // Who is not let in has done nothing.
                Ok((response, shown))
                    if response.status == StatusCode::UNAUTHORIZED && self.credentials.refused(Some(context.into()), &shown).await =>
                {
                    self.once(request, context).await
                }
                sent => sent,
            }
        };
        match tokio::time::timeout(self.limits.call, sending).await {
            Ok(Ok((response, _))) => Ok(response),
            Ok(Err(failure)) => Err(format!("{place}: {}", failure.reason)),
            Err(_) => Err(format!("{place}: no answer within {:?}, which is `timeout`", self.limits.call)),
        }
    }

    async fn once(&self, request: &Request, context: &CallContext) -> Result<(Response, Shown), Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, */*;q=0.8"));
        for (name, value) in &request.headers {
            headers.append(name, value.clone());
        }
        if let Some(value) = context.trace_parent().and_then(|text| HeaderValue::try_from(&*text).ok()) {
            headers.insert(HeaderName::from_static("traceparent"), value);
        }
        // What the operator says wins over what a caller says.
        let shown = self.credentials.write(&mut headers, Some(context.into())).await.map_err(|why| Failure::new(&why))?;
        let mut sending = self.client.request(request.method.clone(), request.url.clone());
        if let Some((kind, body)) = &request.body {
            let kind = HeaderValue::try_from(kind.as_str()).map_err(|_| Failure::new("the body's media type cannot be sent"))?;
            headers.insert(header::CONTENT_TYPE, kind);
            sending = sending.body(body.clone());
        }
        let response = self.read(client::send(sending.headers(headers)).await.map_err(Failure::of)?).await?;
        Ok((response, shown))
    }

    /// Reads an answer to its end, or to the limit.
    async fn read(&self, response: reqwest::Response) -> Result<Response, Failure> {
        if !answer::is_events(response.headers()) {
            return self.read_until(response, None).await;
        }
        // What has come is the answer: it may be one that never ends. There has to be time left to give it.
        let within = self.limits.call.mul_f64(EVENTS);
        self.read_until(response, Some(Instant::now() + within)).await
    }

    /// A stream of events is read until then, as far as it goes.
    async fn read_until(&self, mut response: reqwest::Response, end: Option<Instant>) -> Result<Response, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let most = self.limits.max_message;
        let (mut body, mut cut) = (Vec::new(), None);
        loop {
            let next = match end {
                None => response.chunk().await,
                Some(end) => match timeout_at(end, response.chunk()).await {
                    Ok(next) => next,
                    Err(_) => {
                        cut = Some(format!("it did not end in time; raise `timeout`, which is {:?}, to read more", self.limits.call));
                        break;
                    }
                },
            };
            let Some(chunk) = next.map_err(|error| Failure { is_connection: false, ..Failure::of(error) })? else { break };
            if body.len() + chunk.len() > most {
                let larger = format!("larger than {most} bytes, which is `max_message`");
                if end.is_none() {
                    return Err(Failure::new(&format!("the answer is {larger}")));
                }
                cut = Some(format!("it is {larger}"));
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body, cut })
    }

    /// Reads the document itself: its headers and its bytes. None: it has not changed, as far as the conditions say.
    pub(super) async fn fetch(
        &self,
        url: &Url,
        source: &OpenApiSource,
        limits: &ServerLimits,
        conditions: &HeaderMap,
    ) -> Result<Option<(HeaderMap, Vec<u8>)>, String> {
        // What is meant for the application is not shown to whoever else may have the document.
        let same = source.base_url.as_ref().is_none_or(|base| base.origin() == url.origin());
        let mut headers = HeaderMap::new();
        if same {
            self.credentials.write(&mut headers, None).await?;
        }
        headers.extend(conditions.clone());
        let fetching = async {
            let response = client::send(self.client.get(url.clone()).headers(headers)).await.map_err(Failure::of)?;
            self.read(response).await
        };
        let response = match tokio::time::timeout(limits.start, fetching).await {
            Ok(response) => response.map_err(|failure| failure.reason)?,
            Err(_) => return Err(format!("no answer within {:?}, which is `start_timeout`", limits.start)),
        };
        match response.status {
            StatusCode::NOT_MODIFIED if !conditions.is_empty() => Ok(None),
            status if status.is_success() => Ok(Some((response.headers, response.body))),
            status => Err(format!("the answer is {status}")),
        }
    }
}

/// Why there is no answer.
struct Failure {
    reason: String,
    /// There was no connection, or it ended before an answer began.
    is_connection: bool,
}

impl Failure {
    fn new(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_connection: false }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    fn of(error: reqwest::Error) -> Self {
        let what = if error.is_connect() { "no connection" } else { "the connection failed" };
        Self { reason: format!("{what}: {}", cause(&error)), is_connection: error.is_connect() || error.is_request() }
    }
}

/// Follows redirects within the application, and leaves others to be shown: what is sent is meant for nobody else.
fn follow(attempt: Attempt<'_>) -> Action {
    let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
}
