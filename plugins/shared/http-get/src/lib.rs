//! GET for plugins, by the host's `toolbay:plugin/fetch`: redirects, a time limit for all of it and a limit of size.
//!
//! It says what went wrong as a [`Failure`], not in words: what a sentence about it should say, only the plugin knows.

mod exchange;
mod url;

use exchange::{Deadline, exchange};
use url::Url;

/// How to ask: who is asking for what, and how much of an answer is taken.
#[derive(Clone, Copy, Debug)]
pub struct Get {
    /// The header `User-Agent`.
    pub user_agent: &'static str,
    /// The header `Accept`.
    pub accept: &'static str,
    /// From the first byte sent to the last one received, redirects and all.
    pub timeout_seconds: u64,
    /// Bytes of a body.
    pub max_body: usize,
    /// From the first URL to the one that answers.
    pub max_redirects: usize,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not a URL that can be asked: this one.
    BadUrl(String),
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke; what the host says of it.
    Unreachable(String),
    /// The host does not let us; what it says of it.
    Denied(String),
    /// An answer that is none: its status.
    Status(u16),
    /// From one place to the next without an end.
    TooManyRedirects,
    /// More than [`Get::max_body`].
    TooLarge,
}

impl Get {
    /// Fetches the body from a URL, or from where it redirects to.
    ///
    /// `accepts` is shown the `Content-Type` of the answer, empty where it has none, before the body is given, and may refuse it.
    pub fn fetch<E: From<Failure>>(&self, url: &str, accepts: impl FnOnce(&str) -> Result<(), E>) -> Result<Vec<u8>, E> {
        let deadline = Deadline::after_seconds(self.timeout_seconds);
        let mut url = Url::parse(url)?;
        for _ in 0..=self.max_redirects {
            let headers = [("user-agent", self.user_agent), ("accept", self.accept)];
            let answer = exchange(&url, &headers, &deadline, self.max_body)?;
            match answer.status {
                200..=299 => {
                    accepts(&answer.header("content-type").unwrap_or_default())?;
                    return Ok(answer.body);
                }
                301 | 302 | 303 | 307 | 308 => {
                    let location = answer.header("location").ok_or(Failure::Status(answer.status))?;
                    url = url.join(&location)?;
                }
                status => return Err(Failure::Status(status).into()),
            }
        }
        Err(Failure::TooManyRedirects.into())
    }
}
