//! The server over real sockets: an endpoint that does what a request asks for, and a client that sends what it is told, byte by byte.

mod connections;
mod ending;
mod routes;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{AppState, Authenticator, Endpoint, HttpSettings, ServeError, Shutdown, connection::Limits, rest, serve::serve_within};
use crate::{config::HttpConfig, provider::Principal};

/// Nothing here takes that long: only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does what the header `do` says.
struct Fixture {
    /// Calls that have begun, and what became of what they sent.
    events: mpsc::UnboundedSender<&'static str>,
    /// Lets `slow` calls end.
    gate: Semaphore,
    in_flight: AtomicUsize,
    closed: watch::Sender<bool>,
}

/// Says so when it is dropped.
struct Gone(mpsc::UnboundedSender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send("gone");
    }
}

struct Count<'a>(&'a AtomicUsize);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Endpoint for Fixture {
    async fn handle(&self, provider: Option<&str>, request: Request<Body>) -> Response<Body> {
        let inner = self.answer(request).await;
        let Some(provider) = provider else { return inner };
        let body = inner.into_body().collect().await.unwrap().to_bytes();
        Response::new(Body::from(format!("{provider}: {}", String::from_utf8_lossy(&body))))
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

impl Fixture {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.in_flight.fetch_add(1, SeqCst);
        let _count = Count(&self.in_flight);
        let action = request.headers().get("do").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        match action.as_str() {
            "slow" => {
                let gone = Gone(self.events.clone());
                self.events.send("begun").unwrap();
                self.gate.acquire().await.unwrap().forget();
                std::mem::forget(gone);
                Response::new(Body::from("slow"))
            }
            "panic" => panic!("as asked"),
            "big" => {
                let gone = Gone(self.events.clone());
                let pieces = stream::unfold(gone, |gone| async { Some((Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1 << 20])), gone)) });
                Response::new(Body::from_stream(pieces))
            }
            "stream" => {
                let mut closed = self.closed.subscribe();
                self.events.send("begun").unwrap();
                let last = stream::once(async move {
                    closed.wait_for(|closed| *closed).await.unwrap();
                    Ok::<_, Infallible>(Bytes::from_static(b"last"))
                });
                Response::new(Body::from_stream(last))
            }
            _ => {
                let method = request.method().clone();
                let principal = request.extensions().get::<Principal>().map(|principal| principal.subject().to_owned());
                match request.into_body().collect().await {
                    Ok(body) => Response::new(Body::from(format!("{method} {principal:?} {:?}", body.to_bytes()))),
                    Err(error) => Response::builder().status(408).body(Body::from(error.to_string())).unwrap(),
                }
            }
        }
    }
}

/// Says which route was taken by whom.
async fn rest(request: Request<Body>) -> Response<Body> {
    let principal = request.extensions().get::<Principal>().map(|principal| principal.subject().to_owned());
    Response::new(Body::from(format!("{:?} {principal:?}", rest::Route::of(request.uri().path()).unwrap())))
}

/// A server that runs as long as this lives.
struct Server {
    addr: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), ServeError>>,
    endpoint: Arc<Fixture>,
    events: mpsc::UnboundedReceiver<&'static str>,
}

impl Server {
    async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    async fn with(change: impl FnOnce(&mut AppState<Fixture>, &mut Limits)) -> Self {
        let (send, events) = mpsc::unbounded_channel();
        let endpoint =
            Arc::new(Fixture { events: send, gate: Semaphore::new(0), in_flight: AtomicUsize::new(0), closed: watch::Sender::new(false) });
        let mut limits = Limits::new(PATIENCE);
        let config = HttpConfig {
            drain: PATIENCE,
            allowed_origins: vec![crate::config::AllowedOrigin::parse("https://app.example.com").unwrap()],
            ..HttpConfig::default()
        };
        let mut state = AppState {
            endpoint: endpoint.clone(),
            rest: rest::routes(rest),
            front: None,
            statuses: Vec::new(),
            settings: HttpSettings::new(config, Authenticator::Open),
            metrics: Arc::clone(crate::dispatch::Dispatcher::new().metrics()),
            audit: None,
            page: None,
            console: None,
            version: "1.2.3",
        };
        change(&mut state, &mut limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let task = tokio::spawn(serve_within(listener, state, shutdown.clone(), move || limits));
        Self { addr, shutdown, task, endpoint, events }
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap(), unread: Vec::new() }
    }

    /// One request on a connection of its own.
    async fn ask(&self, head: &str) -> Answer {
        self.connect().await.ask(head, "").await
    }

    async fn event(&mut self) -> &'static str {
        timeout(PATIENCE, self.events.recv()).await.expect("something happens").unwrap()
    }

    /// Waits until the server has returned.
    async fn ended(&mut self) {
        timeout(PATIENCE, &mut self.task).await.expect("the server ends").unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.now();
        self.task.abort();
    }
}

/// One HTTP/1.1 connection.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Client {
    async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Sends a request: `GET /path` and headers, one a line; `Host` and `Content-Length` are added.
    async fn request(&mut self, head: &str, body: &str) {
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let mut text = format!("{line} HTTP/1.1\r\n");
        for header in headers.lines().map(str::trim).filter(|header| !header.is_empty()) {
            text += &format!("{header}\r\n");
        }
        if !headers.lines().any(|header| header.trim_start().to_ascii_lowercase().starts_with("host:")) {
            text += "host: localhost\r\n";
        }
        if !body.is_empty() {
            text += &format!("content-length: {}\r\n", body.len());
        }
        self.send(&(text + "\r\n" + body)).await;
    }

    async fn ask(&mut self, head: &str, body: &str) -> Answer {
        self.request(head, body).await;
        self.answer(head.starts_with("HEAD")).await
    }

    /// More of what the server sends; false at the end.
    async fn more(&mut self) -> bool {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await.expect("the server sends or closes") {
            Ok(read) => read > 0,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next answer; the body as long as `content-length` says.
    async fn answer(&mut self, to_head: bool) -> Answer {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.more().await, "closed before an answer: {:?}", String::from_utf8_lossy(&self.unread));
        };
        let head = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<_, _> =
            lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let length = if to_head { 0 } else { length };
        while self.unread.len() < length {
            assert!(self.more().await, "closed within a body");
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Answer { status, headers, body }
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.unread)).unwrap()
    }
}
