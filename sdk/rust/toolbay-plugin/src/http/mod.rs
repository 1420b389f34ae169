//! HTTP requests with limits: one for the time of all of it, one for the size of the answer, and one for redirects.

mod url;

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::Ctx;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;

pub(crate) use url::Url;

/// Seconds for a request with all its redirects, where nothing else is said. The host has a limit of its own.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer, where nothing else is said: an instance has 128 MiB in all.
const MAX_BODY: usize = 8 << 20;

/// Redirects that are followed, where nothing else is said.
const MAX_REDIRECTS: usize = 5;

/// Headers that are for one server only, and not for where it redirects to.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A method.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are HTTP's")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Other(String),
}

/// A request that is being made.
#[must_use = "a request is sent by `send`, `fetch_text` or `fetch_json`"]
pub struct Request<'a> {
    ctx: &'a Ctx<'a>,
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    broken: Option<String>,
    timeout: Duration,
    max_body: usize,
    max_redirects: usize,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub url: String,
}

/// Why there is no answer, or none that is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not a URL that can be asked.
    BadUrl(String),
    /// The request cannot be sent as it is.
    BadRequest(String),
    /// No whole answer in time.
    TimedOut(String),
    /// No connection, or one that broke.
    Unreachable(String, String),
    /// The host does not let the plugin: it is not granted.
    Denied(String),
    /// A status that is no success.
    Status(String, u16),
    /// From one place to the next without an end.
    TooManyRedirects(String),
    /// More than `max_body`.
    TooLarge(String, usize),
    /// An answer that is not what was wanted.
    Unreadable(String, String),
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadUrl(url) => write!(f, "{url:?} is no http or https URL"),
            Self::BadRequest(why) => write!(f, "the request cannot be sent: {why}"),
            Self::TimedOut(url) => write!(f, "{url} did not answer in time"),
            Self::Unreachable(url, why) => write!(f, "{url} cannot be reached: {why}"),
            Self::Denied(url) => write!(f, "the plugin may not reach {url}: it is not granted in the plugin's configuration"),
            Self::Status(url, status) => write!(f, "{url} answered with status {status}"),
            Self::TooManyRedirects(url) => write!(f, "{url} redirects too often"),
            Self::TooLarge(url, limit) => write!(f, "{url} answered more than {limit} bytes"),
            Self::Unreadable(url, why) => write!(f, "the answer of {url} cannot be read: {why}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// One exchange, without redirects.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "the double answers at once"))]
    pub(crate) left: Duration,
    pub(crate) max_body: usize,
}

impl Method {
    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other(name) => name,
        }
    }
}

impl<'a> Request<'a> {
    pub(crate) fn new(ctx: &'a Ctx<'a>, method: Method, url: &str) -> Self {
        Self {
            ctx,
            method,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            broken: None,
            timeout: TIMEOUT,
            max_body: MAX_BODY,
            max_redirects: MAX_REDIRECTS,
        }
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// With `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a parameter in the URL's query, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let (url, fragment) = self.url.split_once('#').map_or((self.url.as_str(), None), |(url, fragment)| (url, Some(fragment)));
        let separator = if url.contains('?') { '&' } else { '?' };
        let mut with = format!("{url}{separator}{}={}", url::encode(name), url::encode(value));
        if let Some(fragment) = fragment {
            with = format!("{with}#{fragment}");
        }
        self.url = with;
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With JSON as its body.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = body,
            Err(error) => self.broken = Some(format!("its body cannot be written as JSON: {error}")),
        }
        self.header("content-type", "application/json")
    }

    /// How long it may take, redirects and all.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bytes that the answer may have.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Redirects that are followed. 0: an answer that redirects is the answer.
    pub fn max_redirects(mut self, count: usize) -> Self {
        self.max_redirects = count;
        self
    }

    /// Sends it, and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub fn send(self) -> Result<Response, HttpError> {
        if let Some(why) = self.broken {
            return Err(HttpError::BadRequest(why));
        }
        let started = std::time::Instant::now();
        let mut url = Url::parse(&self.url)?;
        let (mut method, mut headers, mut body) = (self.method, self.headers, self.body);
        let mut redirects = 0;
        loop {
            let left = self.timeout.checked_sub(started.elapsed()).ok_or_else(|| HttpError::TimedOut(url.to_string()))?;
            let exchange = Exchange { method: &method, url: &url, headers: &headers, body: &body, left, max_body: self.max_body };
            let response = host::exchange(self.ctx, &exchange)?;
            let location = response.header("location").filter(|_| matches!(response.status, 301 | 302 | 303 | 307 | 308));
            let Some(location) = location.filter(|_| self.max_redirects > 0) else { return Ok(response) };
            redirects += 1;
            if redirects > self.max_redirects {
                return Err(HttpError::TooManyRedirects(self.url));
            }
            let next = url.join(location)?;
            // As browsers do: after these, the answer is fetched from the other place.
            if response.status == 303 || (response.status < 303 && method == Method::Post) {
                if method != Method::Head {
                    method = Method::Get;
                }
                body.clear();
                headers.retain(|(name, _)| !name.starts_with("content-"));
            }
            if !next.same_origin(&url) {
                headers.retain(|(name, _)| !SECRET_HEADERS.contains(&name.as_str()));
            }
            url = next;
        }
    }

    /// Sends it, and reads the answer as text. Another status than 2xx is an error.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub fn fetch_text(self) -> Result<String, HttpError> {
        self.send()?.ok()?.text()
    }

    /// Sends it, and reads the answer as JSON. Another status than 2xx is an error.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub fn fetch_json<T: DeserializeOwned>(self) -> Result<T, HttpError> {
        self.send()?.ok()?.json()
    }
}

impl Response {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// This answer, if its status is a success.
    ///
    /// # Errors
    ///
    /// [`HttpError::Status`].
    pub fn ok(self) -> Result<Self, HttpError> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(HttpError::Status(self.url, self.status)) }
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unreadable`]: it is not UTF-8.
    pub fn text(self) -> Result<String, HttpError> {
        String::from_utf8(self.body).map_err(|_| HttpError::Unreadable(self.url, "it is not UTF-8".to_owned()))
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unreadable`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|error| HttpError::Unreadable(self.url.clone(), error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn redirects_are_followed_as_browsers_do_and_secrets_stay() {
        let host = Fake::new().redirect("https://a.example/x", 302, "/y").redirect("https://a.example/y", 307, "https://b.example/z").http(
            "https://b.example/z",
            200,
            "there",
        );
        let ctx = host.ctx();
        let text = ctx.post("https://a.example/x").bearer("secret").json(&1).fetch_text();
        assert_eq!(text.as_deref(), Ok("there"));
        let seen = host.requests();
        assert_eq!(seen.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["POST", "GET", "GET"]);
        assert_eq!(seen.iter().map(|request| request.header("authorization").is_some()).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(seen.iter().map(|request| request.body.len()).collect::<Vec<_>>(), [1, 0, 0]);
        assert!(seen[1].header("content-type").is_none());
    }

    #[test]
    fn a_request_that_is_kept_is_sent_again_and_circles_end() {
        let host = Fake::new().redirect("http://a.example/x", 308, "/y").http("http://a.example/y", 201, "made");
        let answer = host.ctx().request(Method::Put, "http://a.example/x").body("b").send().unwrap();
        assert_eq!((answer.status, host.requests()[1].method.as_str(), host.requests()[1].body.as_slice()), (201, "PUT", &b"b"[..]));
        let host = Fake::new().redirect("http://a.example/", 302, "/");
        assert_eq!(host.ctx().get("http://a.example").fetch_text(), Err(HttpError::TooManyRedirects("http://a.example".to_owned())));
        assert_eq!(host.requests().len(), 1 + MAX_REDIRECTS);
        assert_eq!(host.ctx().get("http://a.example").max_redirects(0).send().unwrap().status, 302);
    }

    #[test]
    fn what_is_no_success_is_an_error_with_its_address() {
        let host = Fake::new().http("http://a.example/", 404, "").http("http://a.example/j", 200, "{");
        let ctx = host.ctx();
        assert_eq!(ctx.get("http://a.example").fetch_text().unwrap_err().to_string(), "http://a.example/ answered with status 404");
        assert!(ctx.get("http://a.example/j").fetch_json::<serde_json::Value>().unwrap_err().to_string().contains("cannot be read"));
        assert_eq!(ctx.get("ftp://x").fetch_text().unwrap_err(), HttpError::BadUrl("ftp://x".to_owned()));
        assert!(matches!(ctx.get("http://b.example").fetch_text(), Err(HttpError::Unreachable(..))));
        let long = Fake::new().http("http://a.example/", 200, "12345");
        assert!(matches!(long.ctx().get("http://a.example").max_body(4).fetch_text(), Err(HttpError::TooLarge(_, 4))));
    }

    #[test]
    fn a_query_is_encoded() {
        let host = Fake::new().http("http://a.example/?q=a%20%26b&n=%C3%A9", 200, "x");
        assert_eq!(host.ctx().get("http://a.example/").query("q", "a &b").query("n", "é").fetch_text().as_deref(), Ok("x"));
    }
}
