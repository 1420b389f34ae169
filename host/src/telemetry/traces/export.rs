//! The thread that sends spans: in batches, by OTLP over HTTP, and again after a while where the collector says so.

use std::{
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::{
    queue::{Counts, Message},
    record::Record,
    wire,
};
use crate::{config::TracesConfig, tls};

/// Spans of one request.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a batch is sent that the collector cannot take now, and how long to wait before the second time.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// The same trouble is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Exporter {
    messages: Receiver<Message>,
    counts: Arc<Counts>,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    resource: Vec<(&'static str, String)>,
    last_told: Option<Instant>,
}

/// Why a batch was not taken.
enum Failure {
    /// It may be taken later.
    Later(String, Option<Duration>),
    /// It never will be.
    Never(String),
}

impl Exporter {
    pub(super) fn new(endpoint: &Url, config: &TracesConfig, messages: Receiver<Message>, counts: Arc<Counts>) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.extend(config.headers.clone());
        let builder = || reqwest::Client::builder().timeout(TIMEOUT).no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = tls::client(builder, |why| tracing::warn!("no https for traces: {why}; install ca-certificates or set SSL_CERT_FILE"))
            .map_err(|error| tls::cause(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let instance = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let resource = vec![
            ("service.name", config.service_name.clone()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", instance),
            ("telemetry.sdk.name", "toolbay".to_owned()),
            ("telemetry.sdk.language", "rust".to_owned()),
        ];
        Ok(Self { messages, counts, runtime, client, url: url(endpoint), headers, resource, last_told: None })
    }

    /// Sends until nobody can send any more and all is sent.
    pub(super) fn run(mut self) {
        let mut batch: Vec<Record> = Vec::new();
        let mut open = true;
        while open {
            let mut asked: Vec<SyncSender<()>> = Vec::new();
            let mut end: Option<Instant> = None;
            while batch.len() < BATCH && asked.is_empty() {
                let message = match end {
                    None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(end) => self.messages.recv_timeout(end.saturating_duration_since(Instant::now())),
                };
                match message {
                    Ok(Message::Spans(spans)) => {
                        batch.extend(spans);
                        end.get_or_insert_with(|| Instant::now() + GATHER);
                    }
                    Ok(Message::Flush(done)) => asked.push(done),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        open = false;
                        break;
                    }
                }
            }
            let is_last = !open || !asked.is_empty();
            self.export(std::mem::take(&mut batch), is_last);
            for done in asked {
                // Who asked may have given up.
                let _ = done.try_send(());
            }
        }
    }

    /// Sends a batch, several times if need be. `is_last`: somebody waits for it.
    fn export(&mut self, spans: Vec<Record>, is_last: bool) {
        let count = spans.len();
        if count == 0 {
            return;
        }
        let body = wire::request(&spans, &self.resource);
        let mut wait = WAIT;
        let mut tries = if is_last { 1 } else { TRIES };
        let failed = loop {
            tries -= 1;
            match self.runtime.block_on(self.send(body.clone())) {
                Ok(rejected) => {
                    let taken = count.saturating_sub(rejected);
                    self.counts.exported.fetch_add(taken.try_into().unwrap_or(u64::MAX), Relaxed);
                    self.counts.lost(count - taken);
                    break (rejected > 0).then(|| format!("the collector rejected {rejected} of {count} spans"));
                }
                Err(Failure::Later(_, after)) if tries > 0 => {
                    std::thread::sleep(after.unwrap_or(wait).min(LONGEST_WAIT));
                    wait *= 2;
                }
                Err(Failure::Later(why, _) | Failure::Never(why)) => {
                    self.counts.lost(count);
                    break Some(format!("{count} spans were dropped: {why}"));
                }
            }
        };
        // They wait until they are sent or dropped: so many have a place in the queue.
        self.counts.queued.fetch_sub(count, AcqRel);
        if let Some(why) = failed.filter(|_| self.last_told.is_none_or(|last| last.elapsed() >= LOG_EVERY)) {
            tracing::warn!("traces cannot be sent to {}: {why}", self.url);
            self.last_told = Some(Instant::now());
        }
    }

    /// Sends one request. How many spans were rejected.
    async fn send(&self, body: Vec<u8>) -> Result<usize, Failure> {
        let sent = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body).send().await;
        let mut response = sent.map_err(|error| Failure::Later(tls::cause(&error), None))?;
        let status = response.status();
        let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if again.contains(&status) {
            let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Failure::Later(format!("HTTP {status}"), after.map(Duration::from_secs)));
        }
        if !status.is_success() {
            return Err(Failure::Never(format!("HTTP {status}; `endpoint` in [traces] has to be that of OTLP over HTTP")));
        }
        let mut answer = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            if answer.len() + piece.len() > ANSWER {
                break;
            }
            answer.extend_from_slice(&piece);
        }
        Ok(wire::rejected(&answer))
    }
}

/// Where spans go: OTLP's path, unless the endpoint has one.
fn url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    if url.path() == "/" {
        url.set_path("/v1/traces");
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
            assert_eq!(url(&Url::parse(endpoint).unwrap()).as_str(), expected);
        }
    }
}
