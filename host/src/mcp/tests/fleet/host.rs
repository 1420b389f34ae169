//! One host of the simulated fleet, and all of them.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{Router, body::Body};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use super::super::support::*;
use crate::{
    catalog::Catalog,
    cluster::HANDED_ON,
    config::{AuthConfig, HttpConfig, Secret, StateConfig, TasksConfig, Tokens},
    descriptors,
    http::{self as server, AppState, Authenticator, HttpSettings, McpEndpoint, Shutdown},
    mcp::{Front, FrontOptions},
    provider::{
        AskError, Call, CallError, CallOutput, Content, JsonText, Offers, Principal, Provider, ProviderChange, ProviderId, Question,
        QuestionKind, Tool,
    },
};

/// How many there are.
pub(super) const HOSTS: usize = 200;
/// Callers that are told apart.
const CALLERS: usize = 6;

/// What runs at one host.
struct Worker {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    offers: Offers,
    number: usize,
    /// What hangs now, by its arguments.
    hanging: Arc<Mutex<BTreeSet<String>>>,
}

impl Worker {
    async fn hang(&self, arguments: &str) -> ! {
        struct Hanging(Arc<Mutex<BTreeSet<String>>>, String);
        impl Drop for Hanging {
            fn drop(&mut self) {
                self.0.lock().unwrap().remove(&self.1);
            }
        }
        self.hanging.lock().unwrap().insert(arguments.to_owned());
        let _hanging = Hanging(Arc::clone(&self.hanging), arguments.to_owned());
        std::future::pending().await
    }
}

impl Provider for Worker {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            let text = |text: String| Ok(CallOutput { content: vec![Content::text(text)], ..CallOutput::default() });
            match call.tool {
                "where" => {
                    let caller = call.context.principal.as_ref().map(Principal::subject);
                    text(format!("{} at {}", caller.unwrap_or("nobody"), self.number))
                }
                "ask" => {
                    let params = json!({"message": "?", "requestedSchema": {"type": "object", "properties": {}}});
                    let params = JsonText::from_value(&params).unwrap();
                    let question = Question { key: Some("k".to_owned()), kind: QuestionKind::Elicitation, params };
                    let answers = call.context.asker.as_ref().unwrap().ask(vec![question]).await;
                    match answers {
                        Ok(answers) => text(answers[0].as_str().to_owned()),
                        Err(AskError::Suspended) => Err(CallError::InputRequired),
                        Err(other) => Ok(CallOutput::error(other.to_string())),
                    }
                }
                "work" => {
                    call.context.deferral.as_ref().unwrap().defer().unwrap();
                    self.hang(call.arguments).await
                }
                "hang" => self.hang(call.arguments).await,
                other => Err(CallError::UnknownTool(other.to_owned())),
            }
        }
        .boxed()
    }
}

/// What other hosts have forwarded to this one.
#[derive(Default)]
struct Forwards {
    requests: AtomicUsize,
    /// Waits for the cancellation of a call that takes long.
    waits: AtomicUsize,
}

/// An endpoint that counts them.
struct Counted {
    inner: Arc<McpEndpoint>,
    forwards: Arc<Forwards>,
}

impl server::Endpoint for Counted {
    async fn handle(&self, provider: Option<&str>, request: Request<Body>) -> Response<Body> {
        match request.headers().get(HANDED_ON) {
            Some(kind) if kind == "cancel" => drop(self.forwards.waits.fetch_add(1, SeqCst)),
            Some(_) => drop(self.forwards.requests.fetch_add(1, SeqCst)),
            None => {}
        }
        self.inner.handle(provider, request).await
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn close(&self) {
        self.inner.close();
    }
}

pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) front: Arc<Front>,
    endpoint: Arc<McpEndpoint>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) hanging: Arc<Mutex<BTreeSet<String>>>,
    forwards: Arc<Forwards>,
    shutdown: Shutdown,
    served: JoinHandle<()>,
}

fn token(caller: usize) -> String {
    format!("token-of-the-caller-{caller}-that-is-long")
}

pub(super) fn caller(number: usize) -> Principal {
    Principal::new(&format!("caller-{}", number % CALLERS))
}

pub(super) fn options(address: &str, keys: &[&str]) -> FrontOptions {
    let keys = keys.iter().map(|key| Secret(key.repeat(32))).collect();
    FrontOptions {
        state: StateConfig { keys, copies: HOSTS as u32, ..StateConfig::default() },
        tasks: TasksConfig { advertise: Some(address.to_owned()), ..TasksConfig::default() },
        authenticated: true,
        ..FrontOptions::default()
    }
}

impl Host {
    pub(super) async fn start(number: usize, at: &str, keys: &[&str]) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (catalog, hanging, forwards) = (Catalog::new(), Arc::default(), Arc::<Forwards>::default());
        let tools = ["where", "ask", "work", "hang"].map(|name| Arc::new(Tool { notifies: name != "where", ..tool(name) })).into();
        let resource = json!({"uri": "fleet://x", "name": "x"});
        let worker = Worker {
            id: ProviderId::new("worker").unwrap(),
            tools,
            offers: Offers { resources: offers("uri", &[resource]), ..Offers::default() },
            number,
            hanging: Arc::clone(&hanging),
        };
        catalog.apply(vec![ProviderChange::Put(Arc::new(worker))]);
        let front = Front::new(Arc::clone(&catalog), options(&format!("http://{address}"), keys));
        let tokens: Vec<(String, String)> = (0..CALLERS).map(|n| (caller(n).subject().to_owned(), token(n))).collect();
        let tokens = Tokens::parse(tokens.iter().map(|(name, token)| (name.as_str(), token.as_str()))).unwrap();
        let auth = Authenticator::from_config(&AuthConfig { tokens, ..AuthConfig::default() });
        let settings = HttpSettings::new(HttpConfig::default(), auth);
        let endpoint = McpEndpoint::new(Arc::clone(&front), &settings);
        let state = AppState {
            endpoint: Arc::new(Counted { inner: Arc::clone(&endpoint), forwards: Arc::clone(&forwards) }),
            rest: Router::new().route("/none", axum::routing::get(async || ())),
            front: Some(Arc::clone(&front)),
            statuses: Vec::new(),
            metrics: Arc::clone(front.dispatcher().metrics()),
            settings,
            audit: None,
            page: None,
            console: None,
            version: "test",
        };
        let shutdown = Shutdown::new();
        let ends = shutdown.clone();
        let served = tokio::spawn(async move { server::serve(listener, state, ends).await.unwrap() });
        Self { address, front, endpoint, catalog, hanging, forwards, shutdown, served }
    }

    /// A request of a caller as its connection would bring it in here.
    pub(super) async fn answer(&self, number: usize, mut request: Request<Body>) -> Response<Body> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token(number % CALLERS))).unwrap();
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.extensions_mut().insert(caller(number));
        tokio::time::timeout(PATIENCE, self.endpoint.handle(None, request)).await.expect("an answer in time")
    }

    pub(super) async fn send(&self, number: usize, request: Request<Body>) -> Seen {
        Seen::of(self.answer(number, request).await).await
    }

    /// It is gone at once, with all that it knew.
    pub(super) async fn kill(self) -> SocketAddr {
        self.shutdown.now();
        self.served.await.unwrap();
        self.address
    }
}

/// All hosts; None: one that is gone.
pub(super) struct Fleet {
    pub(super) hosts: Vec<Option<Host>>,
}

impl Fleet {
    pub(super) async fn start(keys: &[&str]) -> Self {
        descriptors::raise();
        let mut hosts = Vec::with_capacity(HOSTS);
        for number in 0..HOSTS {
            hosts.push(Some(Host::start(number, "127.0.0.1:0", keys).await));
        }
        Self { hosts }
    }

    pub(super) fn at(&self, number: usize) -> &Host {
        self.hosts[number].as_ref().expect("a host that is there")
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        (0..HOSTS).filter(|number| self.hosts[*number].is_some()).collect()
    }

    pub(super) fn is_there(&self, number: usize) -> bool {
        self.hosts[number].is_some()
    }

    pub(super) fn forwarded(&self) -> usize {
        self.hosts.iter().flatten().map(|host| host.forwards.requests.swap(0, SeqCst)).sum()
    }
}
