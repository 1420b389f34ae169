//! The way to a collector: requests of OTLP over HTTP, sent again after a while where it says so. For a thread of its own, which it blocks.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::{delivery::Delivery, protobuf::fields};
use crate::tls;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent that the collector cannot take now, and how long to wait before the second time.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// Bytes of what a collector says in it that are logged.
const SAID: usize = 400;
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

/// What a collector says of a request that it takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Items that it takes all the same not.
    pub(crate) rejected: usize,
    /// Why, or what else is wrong.
    pub(crate) message: Option<String>,
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

    /// Sends a request, several times if need be. `is_last`: somebody waits for it, so that it is sent once. `pause` waits so long, or until somebody waits
    /// for the end: then it says so, and the request is sent for the last time.
    ///
    /// # Errors
    ///
    /// Why it was not taken.
    pub(crate) fn send(&self, body: Vec<u8>, is_last: bool, pause: impl Fn(Duration) -> bool) -> Result<Answer, String> {
        let sent = self.try_to_send(body, is_last, pause);
        match &sent {
            Ok(_) => self.delivery.taken(),
            Err(why) => self.delivery.failed(why),
        }
        sent
    }

    fn try_to_send(&self, body: Vec<u8>, is_last: bool, pause: impl Fn(Duration) -> bool) -> Result<Answer, String> {
        let body = Bytes::from(if self.gzip { gzipped(&body).map_err(|error| error.to_string())? } else { body });
        let mut wait = WAIT;
        let mut tries = if is_last { 1 } else { TRIES };
        loop {
            tries -= 1;
            match self.runtime.block_on(self.post(body.clone())) {
                Ok(answer) => return Ok(Answer::read(&answer)),
                Err(Failure::Later(_, after)) if tries > 0 => {
                    if pause(after.unwrap_or(wait).min(LONGEST_WAIT)) {
                        tries = 1;
                    }
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
            let after = response.headers().get(header::RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
            return Err(Failure::Later(format!("HTTP {status}"), after));
        }
        if !status.is_success() {
            return Err(Failure::Never(format!("HTTP {status}; the endpoint for {} has to be that of OTLP over HTTP", self.what)));
        }
        // Something that has a page for every path.
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html")) {
            let why = "it answers with a web page, so it is no collector";
            return Err(Failure::Never(format!("{why}; the endpoint for {} has to be that of OTLP over HTTP", self.what)));
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

impl Answer {
    /// Reads `partial_success`, whichever signal it is about.
    fn read(answer: &[u8]) -> Self {
        let partial = fields(answer).find_map(|(number, field)| if number == 1 { field.bytes() } else { None }).unwrap_or_default();
        let rejected = fields(partial).find_map(|(number, field)| if number == 1 { field.number() } else { None });
        let said = fields(partial).find_map(|(number, field)| if number == 2 { field.bytes() } else { None }).unwrap_or_default();
        // One line, whatever it is.
        let said: String = String::from_utf8_lossy(said).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let said = said.get(..said.floor_char_boundary(SAID)).unwrap_or_default().trim();
        Self {
            rejected: rejected.and_then(|rejected| usize::try_from(rejected).ok()).unwrap_or_default(),
            message: (!said.is_empty()).then(|| said.to_owned()),
        }
    }

    /// What is wrong with what was sent, if anything is. `items`: what they are called.
    pub(crate) fn trouble(&self, items: &str) -> Option<String> {
        let said = self.message.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
        match self.rejected {
            0 => self.message.as_ref().map(|said| format!("the collector took all {items} and says: {said}")),
            rejected => Some(format!("the collector rejected {rejected} {items}{said}")),
        }
    }
}

/// How long a collector asks to wait: in seconds, or until a time of day.
fn retry_after(text: &str) -> Option<Duration> {
    let until = || httpdate::parse_http_date(text.trim()).ok();
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    seconds.or_else(|| Some(until()?.duration_since(SystemTime::now()).unwrap_or_default()))
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
    use crate::telemetry::otlp::{Message, collector::Collector};

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

    const NOBODY: fn(Duration) -> bool = |_| false;

    fn client(collector: &Collector) -> Client {
        let (endpoint, headers, delivery) = (collector.url.parse().unwrap(), HeaderMap::new(), Arc::default());
        Client::new(&ClientOptions {
            signal: "traces",
            what: "traces",
            delivery: &delivery,
            endpoint: &endpoint,
            headers: &headers,
            gzip: false,
        })
        .unwrap()
    }

    fn answer(status: u16, head: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{head}\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn it_waits_as_long_as_a_collector_asks_and_no_longer_than_a_minute() {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(40));
        let answers = ["retry-after: 7\r\n".to_owned(), format!("retry-after: {date}\r\n"), "retry-after: 86400\r\n".to_owned()];
        for (status, head, expected) in [(429, &answers[0], 7..8), (503, &answers[1], 30..41), (502, &answers[2], 60..61)] {
            let collector = Collector::answering(vec![answer(status, head, b""), answer(200, "", b"")]);
            let waits = std::cell::RefCell::new(Vec::new());
            let pause = |wait: Duration| {
                waits.borrow_mut().push(wait);
                false
            };
            assert_eq!(client(&collector).send(b"x".to_vec(), false, pause), Ok(Answer::default()));
            let waits: Vec<u64> = waits.borrow().iter().map(Duration::as_secs).collect();
            assert!(waits.len() == 1 && expected.contains(&waits[0]), "{head} {waits:?}");
        }
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn who_waits_for_the_end_has_it_sent_once_more_and_not_again() {
        let busy = answer(429, "retry-after: 3600\r\n", b"");
        let collector = Collector::answering(vec![busy.clone(), busy.clone(), busy]);
        let sent = client(&collector).send(b"x".to_vec(), false, |_| true);
        assert!(sent.is_err_and(|why| why.contains("429")));
        assert_eq!(collector.requests.try_iter().count(), 2);
    }

    #[test]
    fn what_is_no_collector_is_told() {
        for (status, head) in
            [(200, "content-type: Text/HTML; charset=utf-8\r\n"), (404, ""), (302, "location: /login\r\n"), (415, ""), (401, "")]
        {
            let collector = Collector::answering(vec![answer(status, head, b"<html>")]);
            let why = client(&collector).send(b"x".to_vec(), false, NOBODY).unwrap_err();
            assert!(why.contains("has to be that of OTLP over HTTP"), "{status}: {why}");
            assert_eq!(collector.requests.try_iter().count(), 1, "{status} is not asked again");
        }
    }

    #[test]
    fn what_a_collector_says_of_items_that_it_rejects_is_told_in_one_line() {
        let partial = |rejected: u64, said: &str| {
            let mut answer = Message::default();
            answer.message(1, |partial| {
                partial.number(1, rejected);
                partial.text(2, said);
            });
            Answer::read(&answer.into_bytes())
        };
        let rejected = partial(300, "too\nold\u{1b}[31m");
        assert_eq!(rejected.trouble("spans").unwrap(), "the collector rejected 300 spans: too old [31m");
        assert_eq!(partial(0, "deprecated").trouble("spans").unwrap(), "the collector took all spans and says: deprecated");
        assert_eq!(partial(1, "").trouble("spans").unwrap(), "the collector rejected 1 spans");
        assert_eq!(partial(0, "").trouble("spans"), None);
        assert!(partial(1, &"ä".repeat(10_000)).message.is_some_and(|said| said.len() <= SAID));
        for nothing in [&b""[..], b"{}", &[0xff; 20]] {
            assert_eq!(Answer::read(nothing), Answer::default());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_to_its_end(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Answer::read(&bytes).trouble("spans");
            proptest::prop_assert!(fields(&bytes).count() <= bytes.len());
        }
    }
}
