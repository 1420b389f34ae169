//! GET over `wasi:http`: redirects, a time limit for all of it, limits for size and type, and failures that read as half a sentence.

mod exchange;
mod url;

use std::fmt;

use exchange::{Answer, Deadline, exchange};
use url::Url;

/// From the first byte sent to the last one received, redirects and all.
const TIMEOUT_SECONDS: u64 = 30;

/// What the servers of pictures know us as.
const USER_AGENT: &str = concat!("toolbay-classifier/", env!("CARGO_PKG_VERSION"));

/// What is understood.
const ACCEPT: &str = "image/webp,image/png,image/jpeg";

/// A picture of a large camera is 10 MB.
const MAX_BODY: usize = 20 << 20;

/// As in RFC 1945, and enough for a shortener before an archive before a store.
const MAX_REDIRECTS: usize = 5;

/// Why there is no picture. Reads as the end of "The picture cannot be fetched: …".
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
    /// Something else than a picture: its type.
    NoPicture(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(url) => write!(f, "\"{url}\" is no http or https URL"),
            Self::TimedOut => write!(f, "its server did not answer within {TIMEOUT_SECONDS} seconds"),
            Self::Unreachable(why) => write!(f, "its server cannot be reached ({why})"),
            Self::Denied(why) => write!(f, "the host of this plugin does not allow the request ({why})"),
            Self::Status(404 | 410) => f.write_str("there is nothing at that URL (404)"),
            Self::Status(status @ (401 | 403)) => write!(f, "its server does not give it to everybody ({status})"),
            Self::Status(status) => write!(f, "its server answered with an error ({status})"),
            Self::TooManyRedirects => f.write_str("its server keeps redirecting"),
            Self::TooLarge => write!(f, "it is larger than {} MiB", MAX_BODY >> 20),
            Self::NoPicture(kind) => write!(f, "it is \"{kind}\", not a JPEG, PNG or WebP picture"),
        }
    }
}

/// Fetches a picture from a URL, or from where it redirects to.
pub fn picture(url: &str) -> Result<Vec<u8>, Failure> {
    let deadline = Deadline::after_seconds(TIMEOUT_SECONDS);
    let mut url = Url::parse(url.trim())?;
    for _ in 0..=MAX_REDIRECTS {
        let answer = exchange(&url, &[("user-agent", USER_AGENT), ("accept", ACCEPT)], &deadline)?;
        match answer.status {
            200..=299 => {
                check(&answer)?;
                return answer.body(&deadline, MAX_BODY);
            }
            301 | 302 | 303 | 307 | 308 => {
                let location = answer.header("location").ok_or(Failure::Status(answer.status))?;
                url = url.join(&location)?;
            }
            status => return Err(Failure::Status(status)),
        }
    }
    Err(Failure::TooManyRedirects)
}

/// Refuses what says itself that it is no picture or too large, before it is downloaded.
fn check(answer: &Answer) -> Result<(), Failure> {
    if answer.header("content-length").and_then(|length| length.trim().parse().ok()).is_some_and(|length: u64| length > MAX_BODY as u64) {
        return Err(Failure::TooLarge);
    }
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // A store that does not know what it stores says "octet-stream", or nothing. What it is, its bytes say.
    if kind.is_empty() || kind.starts_with("image/") || kind.ends_with("/octet-stream") { Ok(()) } else { Err(Failure::NoPicture(kind)) }
}
