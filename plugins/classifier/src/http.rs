//! How pictures are downloaded, and failures that read as half a sentence.

use std::fmt;

use http_get::{Failure as Get, Get as Request};

const REQUEST: Request = Request {
    // What the servers of pictures know us as.
    user_agent: concat!("toolbay-classifier/", env!("CARGO_PKG_VERSION")),
    // What is understood.
    accept: "image/webp,image/png,image/jpeg",
    timeout_seconds: 30,
    // A picture of a large camera is 10 MB.
    max_body: 20 << 20,
    // As in RFC 1945, and enough for a shortener before an archive before a store.
    max_redirects: 5,
};

/// Why there is no picture. Reads as the end of "The picture cannot be fetched: …".
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer came.
    Get(Get),
    /// Something else than a picture: its type.
    NoPicture(String),
}

impl From<Get> for Failure {
    fn from(failure: Get) -> Self {
        Self::Get(failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = match self {
            Self::Get(failure) => failure,
            Self::NoPicture(kind) => return write!(f, "it is \"{kind}\", not a JPEG, PNG or WebP picture"),
        };
        match failure {
            Get::BadUrl(url) => write!(f, "\"{url}\" is no http or https URL"),
            Get::TimedOut => write!(f, "its server did not answer within {} seconds", REQUEST.timeout_seconds),
            Get::Unreachable(why) => write!(f, "its server cannot be reached ({why})"),
            Get::Denied(why) => write!(f, "the host of this plugin does not allow the request ({why})"),
            Get::Status(404 | 410) => f.write_str("there is nothing at that URL (404)"),
            Get::Status(status @ (401 | 403)) => write!(f, "its server does not give it to everybody ({status})"),
            Get::Status(status) => write!(f, "its server answered with an error ({status})"),
            Get::TooManyRedirects => f.write_str("its server keeps redirecting"),
            Get::TooLarge => write!(f, "it is larger than {} MiB", REQUEST.max_body >> 20),
        }
    }
}

/// Fetches a picture from a URL, or from where it redirects to.
pub fn picture(url: &str) -> Result<Vec<u8>, Failure> {
    REQUEST.fetch(url.trim(), check)
}

/// Refuses what says itself that it is no picture, before it is downloaded.
fn check(kind: &str) -> Result<(), Failure> {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // A store that does not know what it stores says "octet-stream", or nothing. What it is, its bytes say.
    if kind.is_empty() || kind.starts_with("image/") || kind.ends_with("/octet-stream") { Ok(()) } else { Err(Failure::NoPicture(kind)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_picture_is_downloaded() {
        for kind in ["", "image/png", "Image/WebP; charset=binary", "application/octet-stream", "binary/octet-stream"] {
            assert_eq!(check(kind), Ok(()), "{kind}");
        }
        assert_eq!(check("text/HTML; charset=utf-8"), Err(Failure::NoPicture("text/html".to_owned())));
    }
}
