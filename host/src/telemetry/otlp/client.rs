//! The way to a collector: requests of OTLP over HTTP, sent again after a while where it says so. For a thread of its own, which it blocks.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::delivery::Delivery;
use crate::tls;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent that the collector cannot take now, and how long to wait before the second time.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// The same trouble is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Where to, and how.
pub(crate) struct ClientOptions<'a> {
    /// What is sent, as the path of OTLP has it: `traces`.
    pub(crate) signal: &'static str,
    /// The same for people, in the plural.
    pub(crate) what: &'static str,
    /// Is told how it goes.
    pub(crate) delivery: &'a Arc<Delivery>,
    pub(crate) endpoint: &'a Url,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) gzip: bool,
}

/// A client of one collector, for one kind of signal.
pub(crate) struct Client {
    what: &'static str,
    delivery: Arc<Delivery>,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    gzip: bool,
    last_told: Option<Instant>,
}

/// Why a request was not taken.
enum Failure {
    /// It may be taken later.
    Later(String, Option<Duration>),
    /// It never will be.
    Never(String),
}

impl Client {
    /// # Errors
    ///
    /// Why there can be none.
    pub(crate) fn new(options: &ClientOptions<'_>) -> Result<Self, String> {
        let ClientOptions { signal, what, endpoint, gzip, .. } = *options;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.extend(options.headers.clone());
        let builder = || reqwest::Client::builder().timeout(TIMEOUT).no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = tls::client(builder, |why| tracing::warn!("no https for {what}: {why}; install ca-certificates or set SSL_CERT_FILE"))
            .map_err(|error| tls::cause(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        Ok(Self {
            what,
            delivery: Arc::clone(options.delivery),
            runtime,
            client,
            url: url(endpoint, signal),
            headers,
            gzip,
            last_told: None,
        })
    }

    /// Sends a request, several times if need be. `is_last`: somebody waits for it, so that it is sent once. What the collector answers.
    ///
    /// # Errors
    ///
    /// Why it was not taken.
    pub(crate) fn send(&self, body: Vec<u8>, is_last: bool) -> Result<Vec<u8>, String> {
        let sent = self.try_to_send(body, is_last);
        match &sent {
            Ok(_) => self.delivery.taken(),
            Err(why) => self.delivery.failed(why),
        }
        sent
    }

    fn try_to_send(&self, body: Vec<u8>, is_last: bool) -> Result<Vec<u8>, String> {
        let body = Bytes::from(if self.gzip { gzipped(&body).map_err(|error| error.to_string())? } else { body });
        let mut wait = WAIT;
        let mut tries = if is_last { 1 } else { TRIES };
        loop {
            tries -= 1;
            match self.runtime.block_on(self.post(body.clone())) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Later(_, after)) if tries > 0 => {
                    std::thread::sleep(after.unwrap_or(wait).min(LONGEST_WAIT));
                    wait *= 2;
                }
                Err(Failure::Later(why, _) | Failure::Never(why)) => return Err(why),
            }
        }
    }

    /// Says in the log what is wrong, though not all the time.
    pub(crate) fn tell(&mut self, why: &str) {
        if self.last_told.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            tracing::warn!("{} cannot be sent to {}: {why}", self.what, self.url);
            self.last_told = Some(Instant::now());
        }
    }

    async fn post(&self, body: Bytes) -> Result<Vec<u8>, Failure> {
        let sent = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body).send().await;
        let mut response = sent.map_err(|error| Failure::Later(tls::cause(&error), None))?;
        let status = response.status();
        let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if again.contains(&status) {
            let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Failure::Later(format!("HTTP {status}"), after.map(Duration::from_secs)));
        }
        if !status.is_success() {
            return Err(Failure::Never(format!("HTTP {status}; the endpoint for {} has to be that of OTLP over HTTP", self.what)));
        }
        let mut answer = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            if answer.len() + piece.len() > ANSWER {
                break;
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }
}

fn gzipped(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Where it goes: OTLP's path, unless the endpoint has one.
fn url(endpoint: &Url, signal: &str) -> Url {
    let mut url = endpoint.clone();
    if url.path() == "/" {
        url.set_path(&format!("/v1/{signal}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_path_has_that_of_otlp() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://c.example/", "https://c.example/v1/traces"),
            ("https://c.example/otlp/v1/traces", "https://c.example/otlp/v1/traces"),
        ] {
            assert_eq!(url(&Url::parse(endpoint).unwrap(), "traces").as_str(), expected);
        }
    }
}
