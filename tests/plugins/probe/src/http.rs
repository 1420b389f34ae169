//! HTTP, as bare as `wasi:http` and `toolbay:plugin/fetch` have it: what the host says of a request comes out as it is.

use serde_json::{Value, json};
use wasip2::{
    http::{
        outgoing_handler,
        types::{Fields, FutureIncomingResponse, IncomingResponse, OutgoingRequest, RequestOptions, Scheme},
    },
    io::streams::StreamError,
};

use crate::toolbay::plugin::fetch::{self, Answer, FetchError, Request};

/// How much of a body is given back.
const SHOWN: usize = 2000;

/// Fetches a URL. Redirects are not followed: where one leads is in `location`.
pub fn get(url: &str, timeout_ms: u64) -> Result<Value, String> {
    receive(send(url, timeout_ms)?)
}

/// Sends all requests before it waits for the first answer.
pub fn many(url: &str, count: usize) -> Vec<Value> {
    let sent: Vec<_> = (0..count).map(|_| send(url, 0)).collect();
    sent.into_iter().map(|coming| coming.and_then(receive).unwrap_or_else(|why| json!({ "error": why }))).collect()
}

/// Fetches a URL by one call of the host.
pub fn whole(url: &str, timeout_ms: u64) -> Result<Value, String> {
    fetch::fetch(&request(url, timeout_ms)).map(told).map_err(why)
}

/// Fetches a URL so many times by one call of the host.
pub fn whole_many(url: &str, count: usize) -> Vec<Value> {
    let answers = fetch::fetch_all(&(0..count).map(|_| request(url, 0)).collect::<Vec<_>>());
    answers.into_iter().map(|answer| answer.map(told).unwrap_or_else(|error| json!({ "error": why(error) }))).collect()
}

fn request(url: &str, timeout_ms: u64) -> Request {
    Request {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: (timeout_ms > 0).then_some(timeout_ms),
        max_body: None,
        wanted: None,
    }
}

fn told(Answer { status, headers, body }: Answer) -> Value {
    let location = headers.iter().find(|(name, _)| name == "location").map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    shown(status, location, &body)
}

fn why(error: FetchError) -> String {
    format!("{error:?}")
}

fn send(url: &str, timeout_ms: u64) -> Result<FutureIncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme is not taken")?;
    request.set_authority(Some(authority)).map_err(|()| "the authority is not taken")?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(|()| "the path is not taken")?;
    let options = RequestOptions::new();
    if timeout_ms > 0 {
        let nanoseconds = Some(timeout_ms * 1_000_000);
        options.set_connect_timeout(nanoseconds).map_err(|()| "the timeout is not taken")?;
        options.set_first_byte_timeout(nanoseconds).map_err(|()| "the timeout is not taken")?;
        options.set_between_bytes_timeout(nanoseconds).map_err(|()| "the timeout is not taken")?;
    }
    outgoing_handler::handle(request, Some(options)).map_err(|code| format!("{code:?}"))
}

fn receive(coming: FutureIncomingResponse) -> Result<Value, String> {
    coming.subscribe().block();
    let response = coming.get().ok_or("not ready")?.map_err(|()| "taken twice")?.map_err(|code| format!("{code:?}"))?;
    let location = response.headers().get("location").first().map(|value| String::from_utf8_lossy(value).into_owned());
    let status = response.status();
    let body = read(response)?;
    Ok(shown(status, location, &body))
}

fn shown(status: u16, location: Option<String>, body: &[u8]) -> Value {
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    json!({ "status": status, "location": location, "bytes": body.len(), "body": shown })
}

fn read(response: IncomingResponse) -> Result<Vec<u8>, String> {
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                return Err(code.map_or_else(|| error.to_debug_string(), |code| format!("{code:?}")));
            }
        }
    }
}
