//! Other instances of this host behind the same address: how a request that one of them has to answer gets there.
//!
//! What lives in one process (a task, a question that waits for its answer, a stream) names its instance, signed,
//! by whoever gives it out. A request for it goes there with its caller's own token, so that it is checked there as
//! here, and at most once: an instance does not hand on what was handed on to it. That it comes from an instance and
//! not from a client that says so is proven by a signature (`forward`).

mod forward;
mod replay;
mod starts;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

pub(crate) use forward::{HANDED_ON, HandedOn, LIFETIME, Origin, Proof, START, Seal};

use crate::{
    config::ClusterConfig,
    tls::{self, cause},
    unix_time,
};
use forward::{Once, Receiver};
use replay::Replays;
use starts::Starts;

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

/// So often a request is signed again for an instance that says that it is another process than the one it was signed for: while one process follows another
/// at an address, connections to both are open.
const ATTEMPTS: usize = 4;

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
const KEPT: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::CACHE_CONTROL,
    header::ALLOW,
    HeaderName::from_static("x-accel-buffering"),
    HeaderName::from_static("dpop-nonce"),
];

/// This instance among others.
pub(crate) struct Peers {
    /// The address at which the others reach this one: `http://10.0.0.7:8000`. None: there are no others.
    own: Option<String>,
    /// Signs what is handed on.
    seal: Arc<dyn Seal>,
    /// The name of this process. None: nothing proves that a request comes from it, nor that one is for it.
    start: Option<String>,
    /// The names of the other ones.
    starts: Starts,
    /// What others have proven to this one.
    replays: Replays,
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
        Self {
            own,
            seal,
            start: forward::name(),
            starts: Starts::default(),
            replays: Replays::default(),
            client: Mutex::new(Connector { config, made: None }),
            gone: Mutex::default(),
            head: HEAD,
        }
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

    /// Where a request with these headers comes from. What it proves is taken once.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Origin {
        let receiver = Receiver { seal: &*self.seal, own: self.own(), start: self.start.as_deref(), replays: &self.replays };
        let origin = receiver.origin(headers);
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

    /// The name of this process, for those that sign requests for it.
    pub(crate) fn start(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.start.as_deref()?).ok()
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
        if let Some(vouched) = forward::vouch(&*self.seal, address, &headers) {
            headers.insert(forward::VOUCHED, vouched);
        }
        let digest = forward::digest(&method, &path, &headers, &body);
        let url = format!("{address}{path}");
        let mut attempts = 0;
        let answer = loop {
            match self.prove(&client, address, &url, &digest).await? {
                Some(proof) => drop(headers.insert(forward::PROOF, proof)),
                None => drop(headers.remove(forward::PROOF)),
            }
            let request = client.request(method.clone(), &url).headers(headers.clone()).body(body.clone());
            let answer = self.send(address, request, patience).await?;
            // It has not looked at it.
            let Some(start) = refused_by(&answer) else { break answer };
            self.starts.learn(address, start);
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(Unreachable(format!("it did not take what was signed for it, {ATTEMPTS} times")));
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

    /// The proof for a request with this digest, good for one time at the process that is at that address. None: it cannot be proven.
    async fn prove(&self, client: &reqwest::Client, address: &str, url: &str, digest: &str) -> Result<Option<HeaderValue>, Unreachable> {
        let Some(from) = &self.start else { return Ok(None) };
        let until = unix_time::seconds() + LIFETIME;
        let signed = |digest: String, once| {
            let text = self.seal.seal(&Proof { to: address.to_owned(), digest, once })?;
            HeaderValue::try_from(text).ok()
        };
        let once = |(start, number)| Once { start, from: from.clone(), number, until };
        let known = match self.starts.next(address) {
            Some(known) => Some(known),
            // Asked for by itself, since what is refused was sent in vain.
            None => {
                let mut headers = HeaderMap::from_iter([(HANDED_ON, HeaderValue::from_static("hello"))]);
                let hello = forward::digest(&Method::GET, "", &headers, &[]);
                let Some(proof) = signed(hello, Some(once((String::new(), 0)))) else { return Ok(None) };
                headers.insert(forward::PROOF, proof);
                let answer = self.send(address, client.get(url).headers(headers), Patience::Short).await?;
                // One of an older version says nothing of it, and asks for less.
                refused_by(&answer).and_then(|start| {
                    self.starts.learn(address, start);
                    self.starts.next(address)
                })
            }
        };
        Ok(signed(digest.to_owned(), known.map(once)))
    }

    /// Sends a request, and waits for the head of its answer.
    async fn send(&self, address: &str, request: reqwest::RequestBuilder, patience: Patience) -> Result<reqwest::Response, Unreachable> {
        let request = if patience == Patience::Short { request.timeout(ANSWER) } else { request };
        match tokio::time::timeout(self.head, request.send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.is_connect() {
                    self.set_aside(address);
                }
                Err(Unreachable(cause(&error)))
            }
            Err(_) => {
                self.set_aside(address);
                Err(Unreachable(format!("it takes connections, and has not answered within {} s", self.head.as_secs())))
            }
        }
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

/// The name of the process that has not taken a request, since that was signed for another one. None: it has taken it.
fn refused_by(answer: &reqwest::Response) -> Option<&str> {
    let start = answer.headers().get(START).filter(|_| answer.status() == StatusCode::MISDIRECTED_REQUEST)?;
    start.to_str().ok()
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

    /// Signs by saying so.
    pub(super) struct Plain(pub(super) &'static str);

    impl Seal for Plain {
        fn seal(&self, proof: &Proof) -> Option<String> {
            Some(format!("{} {}", self.0, serde_json::to_string(proof).unwrap()))
        }

        fn open(&self, text: &str) -> Option<Proof> {
            serde_json::from_str(text.strip_prefix(self.0)?).ok()
        }
    }

    fn request(method: Method) -> Request {
        Request { method, path: "/mcp".to_owned(), headers: HeaderMap::new(), body: Bytes::new(), client: None }
    }

    #[tokio::test]
    async fn one_that_takes_connections_and_never_answers_is_as_good_as_gone() {
        // The system takes connections for it. Nobody reads them.
        let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", frozen.local_addr().unwrap());
        let peers = Peers { head: Duration::from_millis(50), ..Peers::new(None, Arc::new(Plain("key")), ClusterConfig::default()) };
        for (method, patience) in [(Method::GET, Patience::Endless), (Method::POST, Patience::Short)] {
            peers.lock().clear();
            let why = peers.hand_on(&address, request(method.clone()), patience).await.expect_err("no answer").to_string();
            assert!(why.contains("has not answered within"), "{why}");
            let why = peers.hand_on(&address, request(method), patience).await.expect_err("no answer").to_string();
            assert!(why.contains("just now"), "the next one does not wait: {why}");
        }
    }
}
