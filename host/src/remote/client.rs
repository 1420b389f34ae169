//! The HTTP client of one remote server, and what it sends with every request.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use reqwest::redirect::Policy;
use url::Url;

use crate::{
    provider::ProviderId,
    threads::{Task, Threads},
    tls::{self, cause},
};

const USER_AGENT: &str = concat!("toolbay/", env!("CARGO_PKG_VERSION"));
/// A connection that is not there by then is not going to be.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection that was not used for this long is closed: less than the idle time of common servers and balancers (60 s and up).
const IDLE: Duration = Duration::from_secs(50);
/// A connection whose other end is gone without a word is found out by this.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The longest wait that is passed on: who says more has most likely a wrong clock.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// A pool of connections, in TLS by rustls where the address is https. `redirects` says which are followed.
///
/// # Errors
///
/// Why there can be none.
pub(super) fn client(id: &ProviderId, redirects: fn() -> Policy) -> Result<reqwest::Client, String> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .redirect(redirects())
    };
    let no_https = |why: &str| tracing::warn!(server = %id, "no https: {why}; install ca-certificates or set SSL_CERT_FILE");
    tls::client(builder, no_https).map_err(|error| cause(&error))
}

/// Sends a request. Its connection lives apart from what serves calls, whatever the other end sends.
///
/// # Errors
///
/// Why there is no answer.
pub(super) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
    static THREADS: Threads = Threads::outgoing();
    // Where there can be no more threads, it is sent all the same.
    let Ok(threads) = THREADS.handle() else { return request.send().await };
    match Task::new(threads.spawn(request.send())).end().await {
        Ok(answer) => answer,
        // These threads are never stopped, so it can only be a panic.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// How long the other end wants its callers to wait, where it has too much to do and says so: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A moment that is over is now.
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// An address as it may be shown and logged: without what was asked for.
pub(super) fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_has_too_much_to_do_says_when_to_come_again_in_seconds_or_by_a_date() {
        let wait = |status: u16, text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            retry_after(StatusCode::from_u16(status).unwrap(), &headers)
        };
        assert_eq!((wait(503, "7"), wait(429, " 7 "), wait(500, "7")), (Some(Duration::from_secs(7)), Some(Duration::from_secs(7)), None));
        assert_eq!((wait(503, "0"), wait(503, "soon"), wait(503, "-1")), (Some(Duration::from_secs(1)), None, None));
        assert_eq!(
            (wait(503, "999999999"), wait(429, "Thu, 01 Jan 1970 00:00:00 GMT")),
            (Some(LONGEST_WAIT), Some(Duration::from_secs(1)))
        );
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(wait(503, &date).is_some_and(|wait| wait > Duration::from_secs(60) && wait <= Duration::from_secs(100)), "{date}");
        assert_eq!(retry_after(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new()), None);
    }
}
