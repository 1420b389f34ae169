//! One request on the wire and its answer, or in words why there is none.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::redirect::{Action, Attempt, Policy};
use url::Url;

use crate::{
    config::{ServerLimits, UrlSource},
    credentials::{Credentials, OnBehalf, Shown, accounts::Accounts},
    provider::ProviderId,
    remote::client::{client, place, retry_after, send},
    tls::cause,
    upstream::{
        ChannelError, Known,
        message::Incoming,
        sse_decoder::{SseDecoder, TooLong},
    },
};

/// Bytes of an answer that says no. More is some page for people.
const MAX_REFUSAL: usize = 64 << 10;
/// Characters of it that are shown.
const SHOWN: usize = 300;
/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Where one server is.
pub(super) struct Http {
    pub(super) id: ProviderId,
    pub(super) limits: ServerLimits,
    client: reqwest::Client,
    url: Url,
    /// Whether the server asks its callers on a stream that belongs to no call, which holds for its next connection too.
    pub(super) known: Arc<Known>,
    /// What it is shown of who asks.
    pub(super) credentials: Arc<Credentials>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection: nothing was sent.
    Connect(String),
    /// The connection ended before the answer did: what was asked for may have been done.
    Broken(String),
    /// The answer has another status than one of success.
    Refused(Box<Refusal>),
    /// Something that is not of HTTP.
    Channel(ChannelError),
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The error of JSON-RPC that was in it.
    rpc: Option<ChannelError>,
    /// What was in it.
    body: String,
    /// A sentence.
    text: String,
    /// When to come again, if it said so.
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Whether it says that there is no such session (any more): then nothing was done.
    pub(super) fn is_of_session(&self) -> bool {
        const METHOD_NOT_FOUND: i32 = crate::upstream::message::METHOD_NOT_FOUND;
        match self.status {
            StatusCode::NOT_FOUND => !matches!(self.rpc, Some(ChannelError::Rpc { code: METHOD_NOT_FOUND, .. })),
            // What MCP's own example servers say in place of 404.
            StatusCode::BAD_REQUEST => self.body.to_ascii_lowercase().contains("session"),
            _ => false,
        }
    }

    /// Whether what stands in front of the server says that it is away for a moment, and not for how long.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
            && self.rpc.is_none()
            && self.retry_after.is_none()
    }
}

impl From<Failure> for ChannelError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect(text) | Failure::Broken(text) => Self::Unreachable(text),
            Failure::Channel(error) => error,
            Failure::Refused(refusal) => (*refusal).into(),
        }
    }
}

impl From<Refusal> for ChannelError {
    fn from(Refusal { status, rpc, text, retry_after, .. }: Refusal) -> Self {
        match (retry_after, rpc) {
            _ if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Self::Unreachable(text),
            (Some(retry_after), _) => Self::Busy { what: text, retry_after },
            (None, Some(error)) => error,
            // The answer of an older server to what it does not know, or that of no MCP server at all.
            (None, None) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Self::Malformed(text),
            (None, None) => Self::Unreachable(text),
        }
    }
}

impl Http {
    pub(super) fn new(id: ProviderId, source: &UrlSource, limits: ServerLimits, accounts: Option<&Accounts>) -> Result<Self, String> {
        let fault = |why: String| format!("cannot set up HTTP for [server.{id}]: {why}");
        let client = client(&id, || Policy::custom(follow)).map_err(fault)?;
        let credentials = Arc::new(Credentials::new(&id, Some(&source.url), &source.headers, &source.auth, accounts).map_err(fault)?);
        Ok(Self { id, limits, client, url: source.url.clone(), known: Arc::new(Known::of(&limits)), credentials })
    }

    /// The same server at another address of it, as it tells it.
    pub(super) fn beside(&self, told: &str) -> Result<Self, String> {
        let Self { id, limits, client, url, known, credentials } = self;
        let other = url.join(told).map_err(|error| format!("{} tells an address that is none: {error}", self.place()))?;
        if other.origin() != url.origin() {
            return Err(format!(
                "{} wants messages sent to {}, which is another server; tokens and headers are meant for this one alone",
                self.place(),
                place(&other)
            ));
        }
        let (id, client, known, credentials) = (id.clone(), client.clone(), Arc::clone(known), Arc::clone(credentials));
        Ok(Self { id, limits: *limits, client, url: other, known, credentials })
    }

    /// Its address without what may be secret of it.
    pub(super) fn place(&self) -> String {
        place(&self.url)
    }

    /// Sends one request. What comes back has a status of success, and its body was not read. `caller`: for whom; None: the host asks for itself.
    ///
    /// A token that is not good any more is got again, once: who is not let in has done nothing.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Option<String>,
        caller: Option<OnBehalf<'_>>,
    ) -> Result<reqwest::Response, Failure> {
        let body = body.map(Bytes::from);
        if !self.credentials.renews() {
            return self.once(method, headers, body, caller).await.map_err(|(failure, _)| failure);
        }
        match self.once(method.clone(), headers.clone(), body.clone(), caller).await {
            Err((Failure::Refused(refusal), shown)) if refusal.status == StatusCode::UNAUTHORIZED => {
                if !self.credentials.refused(caller, &shown).await {
                    return Err(Failure::Refused(refusal));
                }
                self.once(method, headers, body, caller).await.map_err(|(failure, _)| failure)
            }
            result => result.map_err(|(failure, _)| failure),
        }
    }

    async fn once(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        caller: Option<OnBehalf<'_>>,
    ) -> Result<reqwest::Response, (Failure, Shown)> {
        let accept = match method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let mut request = self.client.request(method, self.url.clone());
        if let Some(body) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request = request.body(body);
        }
        let unreachable = |why| (Failure::Channel(ChannelError::Unreachable(why)), Shown::default());
        let shown = self.credentials.write(&mut headers, caller).await.map_err(unreachable)?;
        match send(request.headers(headers)).await {
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(response) => Err((self.refused(response).await, shown)),
            Err(error) if error.is_connect() => {
                Err((Failure::Connect(format!("cannot connect to {}: {}", self.place(), cause(&error))), shown))
            }
            Err(error) => Err((self.broken(&error), shown)),
        }
    }

    pub(super) fn broken(&self, error: &reqwest::Error) -> Failure {
        Failure::Broken(format!("the connection to {} ended before the answer: {}", self.place(), cause(error)))
    }

    /// Reads a body to its end.
    pub(super) async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > self.limits.max_message {
                return Err(self.too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) fn push(&self, events: &mut SseDecoder, bytes: &Bytes) -> Result<(), Failure> {
        events.push(bytes).map_err(|TooLong| self.too_long())
    }

    fn too_long(&self) -> Failure {
        Failure::Channel(ChannelError::Malformed(format!(
            "the server sent a message of more than {} bytes (`max_message` of [server.{}])",
            self.limits.max_message, self.id
        )))
    }

    pub(super) fn malformed(&self, what: &str) -> Failure {
        Failure::Channel(ChannelError::Malformed(format!("{} answers with {what}", self.place())))
    }

    async fn refused(&self, mut response: reqwest::Response) -> Failure {
        let status = response.status();
        let retry_after = retry_after(status, response.headers());
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| self.url.join(to).ok());
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_REFUSAL {
                break;
            }
        }
        let rpc = match Incoming::parse(&body) {
            Some(Incoming::Answer { result: Err(error), .. }) => Some(error),
            _ => None,
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        let said = match &rpc {
            // Another Toolbay says when to come again in its words too.
            Some(ChannelError::Rpc { message, .. }) => message.split("; try again in ").next().unwrap_or_default().to_owned(),
            _ => body.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect(),
        };
        let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
        let id = &self.id;
        let place = self.place();
        let text = match (status, location) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                format!("{place} answers {status}{said}; {}", self.credentials.advice())
            }
            (_, Some(to)) if status.is_redirection() => format!(
                "{place} redirects ({status}) to {}, which is not followed, since tokens and headers are meant for this server alone; set url of [server.{id}] to the new address",
                super::super::client::place(&to)
            ),
            _ => format!("{place} answers {status}{said}"),
        };
        Failure::Refused(Box::new(Refusal { status, rpc, body, text, retry_after }))
    }
}

/// Follows what stays at the server and sends the same again. What is sent is meant for nobody else.
fn follow(attempt: Attempt<'_>) -> Action {
    let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    let again = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if same && again && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
}
