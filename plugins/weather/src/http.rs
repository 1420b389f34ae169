//! How the weather service is asked, and failures that read as half a sentence.

use std::fmt;

use http_get::{Failure as Get, Get as Request};

const REQUEST: Request = Request {
    // What the service knows us as.
    user_agent: "weather-app/1.0",
    // The kind of JSON that the service speaks.
    accept: "application/geo+json",
    timeout_seconds: 30,
    // The alerts of the whole country are 2 MB; anything like this is a mistake.
    max_body: 16 << 20,
    // As in RFC 1945, and enough for a service that tidies its URLs.
    max_redirects: 5,
};

/// Why there is no answer. Reads as the end of "Unable to fetch the forecast: …".
#[derive(Debug)]
pub enum Failure {
    /// None came.
    Get(Get),
    /// One came that is not what the API promises.
    Unintelligible,
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
            Self::Unintelligible => return f.write_str("the answer of the weather service cannot be understood; try again later"),
        };
        match failure {
            Get::BadUrl(url) => write!(f, "\"{url}\" is no http or https URL"),
            Get::TimedOut => {
                write!(f, "the weather service did not answer within {} seconds; try again later", REQUEST.timeout_seconds)
            }
            Get::Unreachable(why) => write!(f, "the weather service cannot be reached ({why}); try again later"),
            Get::Denied(why) => write!(f, "the host of this plugin does not allow the request ({why})"),
            Get::Status(404) => f.write_str("the weather service has nothing there (404; it covers the United States only)"),
            Get::Status(429) => f.write_str("the weather service has had too many requests (429); try again in a minute"),
            Get::Status(status) => write!(f, "the weather service answered with an error ({status}); try again later"),
            Get::TooManyRedirects => f.write_str("the weather service keeps redirecting"),
            Get::TooLarge => write!(f, "the answer of the weather service is larger than {} MiB", REQUEST.max_body >> 20),
        }
    }
}

/// Fetches the body from a URL of the service.
pub fn get(url: &str) -> Result<Vec<u8>, Failure> {
    REQUEST.fetch(url, |_| Ok(()))
}
