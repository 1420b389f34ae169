//! One request and its answer over `wasi:http`, waiting for each no longer than a deadline.

use wasip2::{
    clocks::monotonic_clock,
    http::{
        outgoing_handler,
        types::{ErrorCode, Fields, IncomingBody, IncomingResponse, OutgoingRequest, RequestOptions, Scheme},
    },
    io::{
        poll::{self, Pollable},
        streams::StreamError,
    },
};

use crate::{Failure, url::Url};

/// As much of a body as is asked for at once.
const CHUNK: u64 = 64 << 10;

/// When the waiting ends.
pub struct Deadline {
    at: monotonic_clock::Instant,
}

impl Deadline {
    pub fn after_seconds(seconds: u64) -> Self {
        Self { at: monotonic_clock::now() + seconds * 1_000_000_000 }
    }

    /// Waits until there is something, or until it is too late. Where the host ends the request in time, that is one call of it in place of two.
    fn wait(&self, something: &Pollable, host_ends_it: bool) -> Result<(), Failure> {
        if host_ends_it {
            something.block();
            return Ok(());
        }
        let ready = poll::poll(&[something, &monotonic_clock::subscribe_instant(self.at)]);
        if ready.contains(&0) { Ok(()) } else { Err(Failure::TimedOut) }
    }

    fn left(&self) -> Result<u64, Failure> {
        self.at.checked_sub(monotonic_clock::now()).filter(|left| *left > 0).ok_or(Failure::TimedOut)
    }
}

/// An answer whose body has not been read.
pub struct Answer {
    pub status: u16,
    response: IncomingResponse,
    headers: Fields,
    host_ends_it: bool,
}

/// Sends a GET request and waits for the head of the answer.
pub fn exchange(url: &Url, headers: &[(&str, &str)], deadline: &Deadline) -> Result<Answer, Failure> {
    let bad_url = || Failure::BadUrl(format!("{}{}", url.authority, url.path));
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let fields = Fields::from_list(&headers).map_err(|_| Failure::Denied("a header".to_owned()))?;
    let request = OutgoingRequest::new(fields);
    let scheme = if url.https { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| bad_url())?;
    request.set_authority(Some(&url.authority)).map_err(|()| bad_url())?;
    request.set_path_with_query(Some(&url.path)).map_err(|()| bad_url())?;

    // The host ends the request too, so that it does not go on after we have given up. A host may not know these options.
    let options = RequestOptions::new();
    let left = deadline.left()?;
    let _ = options.set_connect_timeout(Some(left));
    let host_ends_it = options.set_first_byte_timeout(Some(left)).is_ok() && options.set_between_bytes_timeout(Some(left)).is_ok();

    let coming = outgoing_handler::handle(request, Some(options)).map_err(failure)?;
    deadline.wait(&coming.subscribe(), host_ends_it)?;
    match coming.get() {
        Some(Ok(Ok(response))) => {
            let headers = response.headers();
            Ok(Answer { status: response.status(), response, headers, host_ends_it })
        }
        Some(Ok(Err(code))) => Err(failure(code)),
        Some(Err(())) | None => Err(Failure::Unreachable("no answer".into())),
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.get(name);
        String::from_utf8(values.into_iter().next()?).ok()
    }

    /// Reads the body to its end; no further than the limit.
    pub fn body(self, deadline: &Deadline, limit: usize) -> Result<Vec<u8>, Failure> {
        let broken = |()| Failure::Unreachable("the answer has no body".into());
        let Self { response, headers, host_ends_it, .. } = self;
        // They are part of the response, which has to outlive them.
        drop(headers);
        let body: IncomingBody = response.consume().map_err(broken)?;
        let stream = body.stream().map_err(broken)?;
        let mut bytes = Vec::new();
        loop {
            let read = if host_ends_it {
                stream.blocking_read(CHUNK)
            } else {
                deadline.wait(&stream.subscribe(), false)?;
                stream.read(CHUNK)
            };
            match read {
                Ok(chunk) if bytes.len() + chunk.len() > limit => return Err(Failure::TooLarge),
                // Most answers come in one piece.
                Ok(chunk) if bytes.is_empty() => bytes = chunk,
                Ok(chunk) => {
                    // Each wait is bounded by the host, and all of them together are here.
                    deadline.left()?;
                    bytes.extend_from_slice(&chunk);
                }
                Err(StreamError::Closed) => return Ok(bytes),
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = wasip2::http::types::http_error_code(&error);
                    return Err(code.map_or_else(|| Failure::Unreachable("the answer broke off".into()), failure));
                }
            }
        }
    }
}

fn failure(code: ErrorCode) -> Failure {
    match code {
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::DnsTimeout
        | ErrorCode::HttpResponseTimeout => Failure::TimedOut,
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            Failure::Denied("it is not granted in the plugin's configuration".into())
        }
        ErrorCode::HttpResponseBodySize(_) => Failure::TooLarge,
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => Failure::Unreachable("its name is not known".into()),
        ErrorCode::ConnectionRefused => Failure::Unreachable("the connection was refused".into()),
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => Failure::Unreachable("the connection broke".into()),
        ErrorCode::InternalError(Some(text)) => Failure::Unreachable(text.trim_end_matches('.').into()),
        other => Failure::Unreachable(format!("{other:?}").trim_start_matches("ErrorCode::").into()),
    }
}
