//! GET over `wasi:http`: redirects, a time limit for all of it, a limit for the size, and failures that read as half a sentence.

mod exchange;
mod url;

use std::fmt;

use exchange::{Deadline, exchange};
use url::Url;

/// From the first byte sent to the last one received, redirects and all.
const TIMEOUT_SECONDS: u64 = 30;

/// What the service knows us as.
const USER_AGENT: &str = "weather-app/1.0";

/// The kind of JSON that the service speaks.
const ACCEPT: &str = "application/geo+json";

/// The alerts of the whole country are 2 MB; anything like this is a mistake.
const MAX_BODY: usize = 16 << 20;

/// As in RFC 1945, and enough for a service that tidies its URLs.
const MAX_REDIRECTS: usize = 5;

/// Why there is no answer. Reads as the end of "Unable to fetch the forecast: …".
#[derive(Debug)]
pub enum Failure {
    /// Not a URL that can be asked: this one.
    BadUrl(String),
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke; what the host says of it.
    Unreachable(String),
    /// The host does not let us; what it says of it.
    Denied(String),
    /// An answer that is none.
    Status(u16),
    /// From one place to the next without an end.
    TooManyRedirects,
    /// More than [`MAX_BODY`].
    TooLarge,
    /// An answer that is not what the API promises.
    Unintelligible,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(url) => write!(f, "\"{url}\" is no http or https URL"),
            Self::TimedOut => write!(f, "the weather service did not answer within {TIMEOUT_SECONDS} seconds; try again later"),
            Self::Unreachable(why) => write!(f, "the weather service cannot be reached ({why}); try again later"),
            Self::Denied(why) => write!(f, "the host of this plugin does not allow the request ({why})"),
            Self::Status(404) => f.write_str("the weather service has nothing there (404; it covers the United States only)"),
            Self::Status(429) => f.write_str("the weather service has had too many requests (429); try again in a minute"),
            Self::Status(status) => write!(f, "the weather service answered with an error ({status}); try again later"),
            Self::TooManyRedirects => f.write_str("the weather service keeps redirecting"),
            Self::TooLarge => write!(f, "the answer of the weather service is larger than {} MiB", MAX_BODY >> 20),
            Self::Unintelligible => f.write_str("the answer of the weather service cannot be understood; try again later"),
        }
    }
}

/// Fetches the body from a URL, or from where it redirects to.
pub fn get(url: &str) -> Result<Vec<u8>, Failure> {
    let deadline = Deadline::after_seconds(TIMEOUT_SECONDS);
    let mut url = Url::parse(url)?;
    for _ in 0..=MAX_REDIRECTS {
        let answer = exchange(&url, &[("user-agent", USER_AGENT), ("accept", ACCEPT)], &deadline)?;
        match answer.status {
            200..=299 => return answer.body(&deadline, MAX_BODY),
            301 | 302 | 303 | 307 | 308 => {
                let location = answer.header("location").ok_or(Failure::Status(answer.status))?;
                url = url.join(&location)?;
            }
            status => return Err(Failure::Status(status)),
        }
    }
    Err(Failure::TooManyRedirects)
}
