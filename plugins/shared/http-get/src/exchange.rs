//! One request and its answer by the host's `toolbay:plugin/fetch`, waiting for it no longer than a deadline.

use std::time::{Duration, Instant};

use toolbay::plugin::fetch::{self, FetchError, Request};

use crate::{Failure, url::Url};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package toolbay:http-get; world http-get { import toolbay:plugin/fetch@0.1.0; }",
    generate_all,
});

/// Headers of an answer that are looked at.
const WANTED: [&str; 2] = ["content-type", "location"];

/// When the waiting ends.
pub struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    pub fn after_seconds(seconds: u64) -> Self {
        Self { started: Instant::now(), limit: Duration::from_secs(seconds) }
    }

    fn left_ms(&self) -> Result<u64, Failure> {
        let left = self.limit.checked_sub(self.started.elapsed()).map(|left| left.as_millis());
        left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0).ok_or(Failure::TimedOut)
    }
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Sends a GET request and waits for the answer; for no more bytes of its body than the limit.
pub fn exchange(url: &Url, headers: &[(&str, &str)], deadline: &Deadline, limit: usize) -> Result<Answer, Failure> {
    let scheme = if url.https { "https" } else { "http" };
    let request = Request {
        method: "GET".to_owned(),
        url: format!("{scheme}://{}{}", url.authority, url.path),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
        body: Vec::new(),
        timeout_ms: Some(deadline.left_ms()?),
        max_body: Some(limit as u64),
        wanted: Some(WANTED.map(str::to_owned).to_vec()),
    };
    match fetch::fetch(&request) {
        Ok(fetch::Answer { status, headers, body }) => Ok(Answer { status, body, headers }),
        Err(FetchError::TimedOut(_)) => Err(Failure::TimedOut),
        Err(FetchError::Denied(why)) => Err(Failure::Denied(why)),
        Err(FetchError::TooLarge(_)) => Err(Failure::TooLarge),
        Err(FetchError::Invalid(_)) => Err(Failure::BadUrl(request.url)),
        Err(FetchError::Unreachable(why) | FetchError::Busy(why)) => Err(Failure::Unreachable(why)),
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        String::from_utf8(value.clone()).ok()
    }
}
