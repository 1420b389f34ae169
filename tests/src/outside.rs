//! A small HTTP server for plugins to call out to: it counts who came, and sends some of them elsewhere.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What a request said.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Path and query.
    pub path: String,
    /// Header lines by name; the last of a name.
    pub headers: Vec<(String, String)>,
}

impl Visit {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Answers a request: path without query → response. None: it never gets one.
pub type Answer = Arc<dyn Fn(&str) -> Option<Response> + Send + Sync>;

/// A server on loopback, ended when it goes out of scope.
pub struct Outside {
    /// Where it listens.
    pub address: SocketAddr,
    visits: Arc<Mutex<Vec<Visit>>>,
    task: JoinHandle<()>,
}

impl Outside {
    /// Starts one that answers `hello from outside` to everything but `/redirect/TARGET`, which it sends to that URL, `/big/N`, which gets N bytes, and
    /// `/hang`, which never gets an answer.
    pub async fn start() -> Self {
        Self::with("127.0.0.1:0", |_| Arc::new(plain)).await
    }

    /// Starts one at an address, with answers made from its own base URL.
    ///
    /// # Panics
    ///
    /// Where it cannot listen there.
    pub async fn with(listen: &str, answers: impl FnOnce(&str) -> Answer) -> Self {
        let listener = TcpListener::bind(listen).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let visits = Arc::new(Mutex::new(Vec::new()));
        let answer = answers(&format!("http://{address}"));
        let router = Router::new().fallback(handle).with_state((Arc::clone(&visits), answer));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, visits, task }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Who came.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("no handler panics").clone()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State((visits, answer)): State<(Arc<Mutex<Vec<Visit>>>, Answer)>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    visits.lock().expect("no handler panics").push(Visit { path, headers });
    let bare = request.uri().path().to_owned();
    match answer(&bare) {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

fn plain(path: &str) -> Option<Response> {
    if path == "/hang" {
        return None;
    }
    Some(if let Some(target) = path.strip_prefix("/redirect/") {
        (StatusCode::FOUND, [(header::LOCATION, target.to_owned())]).into_response()
    } else if let Some(size) = path.strip_prefix("/big/").and_then(|n| n.parse::<usize>().ok()) {
        let chunk = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
        let chunks = (0..size.div_ceil(chunk.len())).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
        Body::from_stream(futures::stream::iter(chunks)).into_response()
    } else {
        "hello from outside".into_response()
    })
}
