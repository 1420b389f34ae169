//! The import `fetch`: exchanges over HTTP that are one call each, by the [`Outgoing`](super::outgoing::Outgoing) of the call in hand.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http::{HeaderMap, Method, Uri, header::CONTENT_LENGTH};
use wasmtime_wasi_http::{Error, FieldMapError};

use super::{
    bindings::toolbay::plugin::fetch::{Answer, FetchError as Problem, Host, Request},
    outgoing::{Fetch, Outgoing, Room},
};
use crate::wasm::{instance::State, limits::WORD};

/// Requests in one call.
const AT_ONCE: usize = 64;

pub(super) type Fetched = Result<Answer, Problem>;

impl Host for State {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Fetched> {
        let room = self.room();
        Ok(exchange(self.outgoing(), request, &room).await)
    }

    async fn fetch_all(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Fetched>> {
        if requests.len() > AT_ONCE {
            let why = format!("these are {} requests; {AT_ONCE} may be in one call", requests.len());
            return Ok(requests.iter().map(|_| Err(Problem::Invalid(why.clone()))).collect());
        }
        let room = self.room();
        Ok(exchange_all(self.outgoing(), requests, &room).await)
    }
}

impl State {
    /// Where the bodies are held that one call of the guest waits for.
    fn room(&self) -> Arc<Room> {
        Room::new(self.shared.config.limits.memory, self.shared.memory.instance())
    }
}

/// Sends all of them, as many at once as may be open, and waits for their answers.
pub(super) async fn exchange_all(outgoing: &mut Outgoing, requests: Vec<Request>, room: &Arc<Room>) -> Vec<Fetched> {
    let mut answers: Vec<Option<Fetched>> = requests.iter().map(|_| None).collect();
    let mut waiting = requests.into_iter().enumerate();
    let mut running = FuturesUnordered::new();
    loop {
        // Each is checked when its turn comes: then those before it are no longer open.
        while running.len() < outgoing.at_once()
            && let Some((index, request)) = waiting.next()
        {
            let exchange = exchange(outgoing, request, room);
            running.push(async move { (index, exchange.await) });
        }
        let Some((index, fetched)) = running.next().await else { break };
        if let Some(place) = answers.get_mut(index) {
            *place = Some(fetched);
        }
    }
    answers.into_iter().flatten().collect()
}

/// Sends one request and waits for its answer.
pub(super) fn exchange(outgoing: &mut Outgoing, request: Request, room: &Arc<Room>) -> impl Future<Output = Fetched> + Send + use<> {
    let wanted = request.wanted.clone();
    let limit = outgoing.at_once();
    let sent = read(outgoing, request).map(|fetch| outgoing.fetch(fetch, Arc::clone(room)));
    async move {
        let answer = sent.map_err(Problem::Invalid)?.await.map_err(|error| problem(error, limit))?;
        let (head, body) = answer.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: told(&head.headers, wanted.as_deref()), body })
    }
}

/// The request as it can be sent. Err: why it cannot.
fn read(outgoing: &mut Outgoing, request: Request) -> Result<Fetch, String> {
    let Request { method, url, headers, body, timeout_ms, max_body, wanted: _ } = request;
    let method = Some(method.as_bytes()).filter(|method| method.len() <= WORD).and_then(|method| Method::from_bytes(method).ok());
    let method = method.ok_or("its method is none")?;
    let uri = Uri::try_from(url).map_err(|_| "its URL is none")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("its URL is not one of http or https".to_owned());
    }
    if uri.authority().is_none_or(|authority| authority.as_str().len() > WORD) {
        return Err("its URL names no host".to_owned());
    }
    let headers = outgoing.headers(headers).map_err(|(name, error)| unfit(&name, error))?;
    let length = headers.get(CONTENT_LENGTH).map(|said| said.to_str().ok().and_then(|said| said.parse::<usize>().ok()));
    if length.is_some_and(|length| length != Some(body.len())) {
        return Err(format!("its content-length is not that of its body, which has {} bytes", body.len()));
    }
    let mut request = http::Request::new(Bytes::from(body));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Ok(Fetch { request, timeout: timeout_ms.map(Duration::from_millis), most: max_body })
}

/// Why a header cannot be sent.
pub(super) fn unfit(name: &str, error: FieldMapError) -> String {
    let shown: String = name.chars().take(100).collect();
    match error {
        FieldMapError::Forbidden => format!("the header {shown} is the host's to set"),
        FieldMapError::InvalidHeaderName => format!("{shown:?} is no name of a header"),
        FieldMapError::InvalidHeaderValue => format!("the header {shown} cannot have this value"),
        FieldMapError::Immutable | FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig => "its headers are too large".to_owned(),
    }
}

fn told(headers: &HeaderMap, wanted: Option<&[String]>) -> Vec<(String, Vec<u8>)> {
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name));
    let told = headers.iter().filter(|(name, _)| is_wanted(name.as_str()));
    told.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// Why there is no answer. `limit`: requests that may be open.
pub(super) fn problem(error: Error, limit: usize) -> Problem {
    let unreachable = |why: &str| Problem::Unreachable(why.to_owned());
    match error {
        Error::HttpRequestDenied | Error::DestinationIpProhibited => {
            Problem::Denied("it is not granted in the plugin's configuration".to_owned())
        }
        Error::HttpRequestUriInvalid => Problem::Invalid("its URL cannot be asked".to_owned()),
        Error::HttpRequestMethodInvalid => Problem::Invalid("its method is not offered".to_owned()),
        Error::ConnectionLimitReached => Problem::Busy(format!("{limit} requests are open, and no more may be (`http_connections`)")),
        Error::ConnectionTimeout
        | Error::ConnectionReadTimeout
        | Error::ConnectionWriteTimeout
        | Error::DnsTimeout
        | Error::HttpResponseTimeout => Problem::TimedOut("there was no whole answer in time".to_owned()),
        Error::HttpResponseBodySize(Some(bytes)) => Problem::TooLarge(format!("its body has more than {bytes} bytes")),
        Error::HttpResponseBodySize(None) => Problem::TooLarge("there is no memory for its body".to_owned()),
        Error::DnsError { .. } | Error::DestinationNotFound => unreachable("its name is not known"),
        Error::ConnectionRefused => unreachable("the connection was refused"),
        Error::ConnectionTerminated | Error::HttpResponseIncomplete => unreachable("the connection broke"),
        Error::TlsCertificateError => unreachable("its certificate is not valid"),
        Error::HttpProtocolError => unreachable("what it answered is not HTTP/1.1"),
        Error::InternalError(Some(text)) => unreachable(text.trim_end_matches('.')),
        other => Problem::Unreachable(format!("{other:?}")),
    }
}
