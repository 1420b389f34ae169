//! Other instances of this host behind the same address: how a request that one of them has to answer gets there.
//!
//! What lives in one process (a task, a question that waits for its answer, a stream) names its instance, signed,
//! by whoever gives it out. A request for it goes there with its caller's own token, so that it is checked there as
//! here, and at most once: an instance does not hand on what was handed on to it. That it comes from an instance and
//! not from a client that says so is proven by a signature (`forward`).

mod forward;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request::Parts};

pub(crate) use forward::{HANDED_ON, Origin, Proof, Seal};

use crate::{
    config::ClusterConfig,
    tls::{self, cause},
};

/// Instances are near to each other: one that is not reached by then is gone.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);

/// The head of an answer waits for nothing, also where a stream follows: one that takes connections and does not answer
/// by then is as good as gone.
const HEAD: Duration = Duration::from_secs(10);

/// For so long a connection to another instance waits for its next use. There may be hundreds of instances, and each is rarely asked.
const IDLE: Duration = Duration::from_secs(15);

/// A look at what an instance keeps waits for nothing.
const ANSWER: Duration = Duration::from_secs(30);

/// For so long an instance that was not reached is not tried again, so that not every request waits for it.
const GONE: Duration = Duration::from_secs(2);

/// Headers of a connection, which end with it, and those that are made anew.
const OWN: [HeaderName; 12] = [
    forward::PROOF,
    forward::FOR,
    forward::VOUCHED,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
];

/// Headers of an answer that are its caller's.
const KEPT: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::CACHE_CONTROL,
    header::ALLOW,
    HeaderName::from_static("x-accel-buffering"),
];

/// This instance among others.
pub(crate) struct Peers {
    /// The address at which the others reach this one: `http://10.0.0.7:8000`. None: there are no others.
    own: Option<String>,
    /// Signs what is handed on.
    seal: Arc<dyn Seal>,
    client: Mutex<Connector>,
    /// Who was not reached lately, and when.
    gone: Mutex<HashMap<String, Instant>>,
    /// How long the head of an answer may take.
    head: Duration,
}

/// What makes connections to other instances.
struct Connector {
    config: ClusterConfig,
    /// Made when a request is handed on for the first time. The error: why there is none, which does not change by itself.
    made: Option<Result<reqwest::Client, String>>,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as a look at what is kept takes.
    Short,
    /// For ever: it is a stream, or waits for something.
    Endless,
}

/// An instance that was not reached, or that ended before it answered. A sentence's second half.
#[derive(Debug)]
pub(crate) struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// That the proof of a client's key, if there is one, came to none of the instances before, and where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The address of the client, where that matters.
    pub(crate) client: Option<IpAddr>,
}

/// A request for another instance.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Its path; instances have the same ones.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The address of its client, where that matters.
    pub(crate) client: Option<IpAddr>,
}

impl Peers {
    pub(crate) fn new(own: Option<String>, seal: Arc<dyn Seal>, config: ClusterConfig) -> Self {
        Self { own, seal, client: Mutex::new(Connector { config, made: None }), gone: Mutex::default(), head: HEAD }
    }

    /// Reaches others in another way from now on. What is on its way goes on.
    pub(crate) fn reconfigure(&self, config: &ClusterConfig) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.config != *config {
            *client = Connector { config: config.clone(), made: None };
        }
    }

    /// Where the others reach this one.
    pub(crate) fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// Whether that is another instance.
    pub(crate) fn is_other(&self, address: &str) -> bool {
        self.own.as_deref() != Some(address)
    }

    /// Whether a request was handed on to this instance, which therefore answers it.
    pub(crate) fn was_handed_on(headers: &HeaderMap) -> bool {
        headers.contains_key(&HANDED_ON)
    }

    /// Where a request comes from.
    pub(crate) fn origin(&self, parts: &Parts, body: &[u8]) -> Origin {
        let origin = forward::origin(&*self.seal, self.own(), &parts.method, parts.uri.path(), &parts.headers, body);
        if origin == Origin::Unproven {
            tracing::debug!("a request says that another instance has handed it on, and does not prove it; it is taken for a client's");
        }
        origin
    }

    /// What an instance that has handed a request on vouches for, by the request's head. None: no instance does.
    pub(crate) fn vouched(&self, headers: &HeaderMap) -> Option<Vouched> {
        if !Self::was_handed_on(headers) || !forward::is_vouched(&*self.seal, self.own(), headers) {
            return None;
        }
        Some(Vouched { client: headers.get(&forward::FOR).and_then(|client| client.to_str().ok()?.parse().ok()) })
    }

    /// Requests carry their caller's token, so they go nowhere but where they are sent: no proxy, no redirect.
    /// Without a client that is made for this there is none.
    fn client(&self) -> Result<reqwest::Client, String> {
        let mut connector = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let Connector { config, made } = &mut *connector;
        made.get_or_insert_with(|| connect(config)).clone()
    }

    /// Has that instance answer the request.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] where it gave no answer.
    pub(crate) async fn hand_on(&self, address: &str, request: Request, patience: Patience) -> Result<Response<Body>, Unreachable> {
        if self.lock().get(address).is_some_and(|since| since.elapsed() < GONE) {
            return Err(Unreachable("it was not reached just now".to_owned()));
        }
        let client = self.client().map_err(|why| Unreachable(format!("no request can be sent from here: {why}")))?;
        let Request { method, path, mut headers, body, client: caller } = request;
        for name in &OWN {
            headers.remove(name);
        }
        headers.entry(HANDED_ON).or_insert(HeaderValue::from_static("1"));
        if let Some(caller) = caller.and_then(|caller| HeaderValue::try_from(caller.to_string()).ok()) {
            headers.insert(forward::FOR, caller);
        }
        if let Some(vouched) = forward::proof(&*self.seal, address, forward::vouched(&headers)) {
            headers.insert(forward::VOUCHED, vouched);
        }
        let digest = forward::digest(&method, &path, &headers, &body);
        if let Some(proof) = forward::proof(&*self.seal, address, digest) {
            headers.insert(forward::PROOF, proof);
        }
        let mut sent = client.request(method, format!("{address}{path}")).headers(headers).body(body);
        if patience == Patience::Short {
            sent = sent.timeout(ANSWER);
        }
        let answer = match tokio::time::timeout(self.head, sent.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                if error.is_connect() {
                    self.set_aside(address);
                }
                return Err(Unreachable(cause(&error)));
            }
            Err(_) => {
                self.set_aside(address);
                return Err(Unreachable(format!("it takes connections, and has not answered within {} s", self.head.as_secs())));
            }
        };
        let mut response = Response::builder().status(answer.status());
        for name in &KEPT {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        response.body(Body::from_stream(answer.bytes_stream())).map_err(|error| Unreachable(error.to_string()))
    }

    /// Leaves an instance alone for a while.
    fn set_aside(&self, address: &str) {
        let mut gone = self.lock();
        gone.retain(|_, since| since.elapsed() < GONE);
        gone.insert(address.to_owned(), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(config: &ClusterConfig) -> Result<reqwest::Client, String> {
    let said = |error: reqwest::Error| cause(&error);
    let identity = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => Some(reqwest::Identity::from_pem(&[cert.bytes(), b"\n", key.bytes()].concat()).map_err(said)?),
        _ => None,
    };
    let authorities = match &config.tls_ca {
        Some(ca) => Some(reqwest::Certificate::from_pem_bundle(ca.bytes()).map_err(said)?),
        None => None,
    };
    let builder = || {
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).pool_idle_timeout(IDLE).no_proxy().referer(false);
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let builder = authorities.clone().into_iter().fold(builder, reqwest::ClientBuilder::tls_certs_only);
        identity.clone().into_iter().fold(builder, reqwest::ClientBuilder::identity)
    };
    tls::client(builder, |_| ()).map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method) -> Request {
        Request { method, path: "/mcp".to_owned(), headers: HeaderMap::new(), body: Bytes::new(), client: None }
    }

    #[tokio::test]
    async fn one_that_takes_connections_and_never_answers_is_as_good_as_gone() {
        // The system takes connections for it. Nobody reads them.
        let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", frozen.local_addr().unwrap());
        let peers =
            Peers { head: Duration::from_millis(50), ..Peers::new(None, Arc::new(forward::tests::Plain("key")), ClusterConfig::default()) };
        for (method, patience) in [(Method::GET, Patience::Endless), (Method::POST, Patience::Short)] {
            peers.lock().clear();
            let why = peers.hand_on(&address, request(method.clone()), patience).await.expect_err("no answer").to_string();
            assert!(why.contains("has not answered within"), "{why}");
            let why = peers.hand_on(&address, request(method), patience).await.expect_err("no answer").to_string();
            assert!(why.contains("just now"), "the next one does not wait: {why}");
        }
    }
}
