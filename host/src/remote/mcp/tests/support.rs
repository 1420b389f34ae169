//! A second Toolbay on a port of loopback, which can be stopped and started again there, and a caller that hears and answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use crate::{
    catalog::Catalog,
    config::HttpConfig,
    config::{ServerConfig, ServerLimits, ServerSource, UpstreamAuth, UrlSource},
    http::{Authenticator, Endpoint as _, HttpSettings, McpEndpoint},
    mcp::{Front, FrontOptions},
    provider::{
        AskError, Asker, Call, CallContext, CallError, CallOutput, Completion, Completions, Content, JsonText, LogLevel, Notifier, Offer,
        Offers, PromptOutput, Provider, ProviderChange, ProviderId, Question, QuestionKind, Subscription, Tool, ToolName,
    },
    remote::mcp::Remote,
    supervisor::{replicas::Policy, server::Server},
    upstream::Era,
};

/// Long enough for anything that is not broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

pub(super) fn json_text(value: &Value) -> JsonText {
    JsonText::from_value(value).unwrap()
}

type Handler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Answers requests on a port, until dropped: then every connection ends at once.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Port {
    pub(super) async fn open(at: Option<SocketAddr>, handler: Handler) -> Self {
        let listener = TcpListener::bind(at.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap())).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let handler = handler.clone();
                let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
                    handler(request.map(Body::new)).map(Ok::<_, std::convert::Infallible>)
                });
                connections.spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
                });
            }
        });
        Self { address, accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Ends, and waits until the port is free.
    pub(super) async fn close(mut self) -> SocketAddr {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        self.address
    }
}

/// A Toolbay with one provider.
pub(super) struct Up {
    pub(super) port: Option<Port>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) events: mpsc::UnboundedReceiver<&'static str>,
    sender: mpsc::UnboundedSender<&'static str>,
    /// Headers of all requests.
    pub(super) seen: Arc<Mutex<Vec<HeaderMap>>>,
    era: Era,
}

impl Up {
    pub(super) async fn start(era: Era) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let mut up = Self { port: None, catalog: Catalog::new(), events, sender, seen: Arc::default(), era };
        up.again(None).await;
        up
    }

    /// A front that knows nothing of what was before.
    pub(super) async fn again(&mut self, at: Option<SocketAddr>) {
        self.catalog = Catalog::new();
        self.offer(&[]);
        let front = Front::new(self.catalog.clone(), FrontOptions::default());
        let endpoint = McpEndpoint::new(front, &HttpSettings::new(HttpConfig::default(), Authenticator::Open));
        let (seen, era) = (self.seen.clone(), self.era);
        let handler: Handler = Arc::new(move |request| {
            let (endpoint, seen) = (endpoint.clone(), seen.clone());
            async move {
                seen.lock().unwrap().push(request.headers().clone());
                // What servers of the older era answer to a version that they do not know.
                if era == Era::Legacy && request.headers().get("mcp-protocol-version").is_some_and(|version| version == "2026-07-28") {
                    let body = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "Bad Request: Unsupported protocol version"}});
                    return Response::builder().status(StatusCode::BAD_REQUEST).body(Body::from(body.to_string())).unwrap();
                }
                endpoint.handle(None, request).await
            }
            .boxed()
        });
        self.port = Some(Port::open(at, handler).await);
    }

    /// Stops it as a machine stops: without a word.
    pub(super) async fn stop(&mut self) -> SocketAddr {
        self.port.take().unwrap().close().await
    }

    /// The usual tools and these.
    pub(super) fn offer(&self, more: &[&str]) {
        self.catalog.apply(vec![ProviderChange::Put(Arc::new(Native::new(self.sender.clone(), more)))]);
    }

    /// Says that a resource holds something else.
    pub(super) fn update(&self, uri: &str) {
        self.catalog.apply(vec![ProviderChange::Updated(ProviderId::new("native").unwrap(), uri.to_owned())]);
    }

    /// Waits for one of its events.
    pub(super) async fn wait(&mut self, event: &str) {
        while soon(event, self.events.recv()).await.unwrap() != event {}
    }

    pub(super) fn url(&self) -> String {
        self.port.as_ref().unwrap().url()
    }
}

/// What the second Toolbay offers.
struct Native {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    offers: Offers,
    events: mpsc::UnboundedSender<&'static str>,
}

struct Dropped(mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

impl Native {
    fn new(events: mpsc::UnboundedSender<&'static str>, more: &[&str]) -> Self {
        let tool = |name: &str| Tool {
            name: ToolName::new(name).unwrap(),
            title: Some(format!("The {name}")),
            description: Some(format!("the tool {name}")),
            input_schema: Arc::new(object(json!({"type": "object"}))),
            output_schema: None,
            annotations: Some(json!({"readOnlyHint": true})),
            icons: None,
            meta: Some(object(json!({"vendor/x": [1]}))),
            extra: Map::new(),
            notifies: true,
        };
        let mut tools: Vec<Tool> = ["echo", "fail", "protocol", "big", "talk", "ask", "hang"].into_iter().map(tool).collect();
        let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        tools.push(Tool { input_schema: Arc::new(object(schema)), ..tool("region") });
        tools.extend(more.iter().map(|name| tool(name)));
        let offer = |key: &str, json: Value| Arc::new(Offer { key: json[key].as_str().unwrap().to_owned(), json: object(json) });
        let offers = Offers {
            resources: vec![offer("uri", json!({"uri": "up://a", "name": "a"}))],
            templates: vec![offer("uriTemplate", json!({"uriTemplate": "up://{x}", "name": "x"}))],
            prompts: vec![offer("name", json!({"name": "greet", "arguments": [{"name": "who"}]}))],
            completes: true,
        };
        Self { id: ProviderId::new("native").unwrap(), tools: tools.into_iter().map(Arc::new).collect(), offers, events }
    }
}

impl Provider for Native {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn subscribe(&self, _: &str) -> Option<Subscription> {
        struct Held(mpsc::UnboundedSender<&'static str>);
        impl Drop for Held {
            fn drop(&mut self) {
                let _ = self.0.send("unsubscribed");
            }
        }
        let _ = self.events.send("subscribed");
        Some(Box::new(Held(self.events.clone())))
    }

    fn read_resource<'a>(&'a self, uri: &'a str, _: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        async move { Ok(vec![json_text(&json!({"uri": uri, "text": "é"}))]) }.boxed()
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        _: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        async move {
            let text = json!([{"role": "user", "content": {"type": "text", "text": format!("{name} {arguments:?}")}}]);
            Ok(PromptOutput { description: None, messages: json_text(&text), meta: None })
        }
        .boxed()
    }

    fn complete(&self, completion: Completion, _: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        async move { Ok(Completions { values: vec![completion.value], total: Some(1), has_more: false }) }.boxed()
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            let text = |text: &str| CallOutput { content: vec![Content::text(text)], ..CallOutput::default() };
            match call.tool {
                "fail" => Ok(CallOutput::error("it did not work")),
                "protocol" => Err(CallError::Protocol { code: -32042, message: "as given".into(), data: Some(json!({"a": 1})) }),
                "big" => Ok(text(&"0123456789".repeat(300_000))),
                "talk" => {
                    if let Some(notifier) = &call.context.notifier {
                        notifier.progress(1.0, Some(2.0), Some("half".into()));
                        notifier.log(LogLevel::Warning, Some("native".into()), json_text(&json!({"w": 1})));
                    }
                    Ok(text("talked"))
                }
                "ask" => {
                    let params = json_text(&json!({"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}));
                    let question = Question { key: Some("name".into()), kind: QuestionKind::Elicitation, params };
                    match call.context.asker.as_ref().expect("a way to ask").ask(vec![question]).await {
                        Ok(answers) => Ok(text(answers[0].as_str())),
                        Err(AskError::Suspended) => Err(CallError::InputRequired),
                        Err(AskError::MissingCapability(needed)) => Err(CallError::MissingCapability(needed)),
                        Err(other) => Err(CallError::Internal(other.to_string())),
                    }
                }
                "hang" => {
                    let _dropped = Dropped(self.events.clone());
                    let _ = self.events.send("started");
                    std::future::pending().await
                }
                _ => {
                    let context = &call.context;
                    let meta: Option<Value> = context.meta.as_deref().map(|meta| serde_json::from_str(meta).unwrap());
                    let arguments: Value = serde_json::from_str(call.arguments).unwrap();
                    let seen = json!({"arguments": arguments, "meta": meta, "trace": context.trace_parent().as_deref()});
                    Ok(CallOutput { structured: Some(json_text(&seen)), meta: Some(json_text(&json!({"k": 1}))), ..text("echoed") })
                }
            }
        }
        .boxed()
    }
}

/// This Toolbay's side.
pub(super) struct Down {
    pub(super) server: Server,
    changes: mpsc::Receiver<Vec<ProviderChange>>,
    provider: Option<Arc<dyn Provider>>,
}

pub(super) fn source(url: &str) -> UrlSource {
    UrlSource {
        url: url.parse().unwrap(),
        headers: HeaderMap::from_iter([
            (HeaderName::from_static("x-key"), HeaderValue::from_static("k")),
            (AUTHORIZATION, HeaderValue::from_static("Bearer the-token")),
        ]),
        auth: UpstreamAuth::default(),
    }
}

impl Down {
    pub(super) fn start(url: &str) -> Self {
        Self::with(source(url), ServerLimits { ping: Duration::ZERO, ..ServerLimits::default() })
    }

    pub(super) fn with(source: UrlSource, limits: ServerLimits) -> Self {
        let id = ProviderId::new("up").unwrap();
        let config = ServerConfig { limits, ..ServerConfig::new(ServerSource::Url(source.clone())) };
        let (sender, changes) = mpsc::channel(16);
        let policy = Policy {
            backoff: Duration::from_millis(50),
            longest_backoff: Duration::from_millis(200),
            breaker_after: 1000,
            ..Policy::default()
        };
        let server = Server::start(id.clone(), Box::new(Remote::new(id, &source, limits)), &config, policy, Arc::default(), sender);
        Self { server, changes, provider: None }
    }

    /// What was published last, or the next that is.
    pub(super) async fn provider(&mut self) -> Arc<dyn Provider> {
        if self.provider.is_none() {
            self.next().await;
        }
        self.provider.clone().unwrap()
    }

    /// What is published next.
    pub(super) async fn next(&mut self) -> Arc<dyn Provider> {
        loop {
            let changes = soon("a change", self.changes.recv()).await.unwrap();
            for change in changes {
                if let ProviderChange::Put(provider) = change {
                    self.provider = Some(provider.clone());
                    return provider;
                }
            }
        }
    }

    /// Waits for an update of a resource.
    pub(super) async fn updated(&mut self) -> String {
        loop {
            for change in self.changes.recv().await.unwrap() {
                if let ProviderChange::Updated(_, uri) = change {
                    return uri;
                }
            }
        }
    }

    pub(super) async fn call(&mut self, tool: &str, arguments: Value, context: Box<CallContext>) -> Result<CallOutput, CallError> {
        let provider = self.provider().await;
        let arguments = arguments.to_string();
        soon("a call", provider.call(Call { tool, arguments: &arguments, context })).await
    }

    /// The first call after the server was ended. One on a connection that is kept and has not been seen to end yet may have run, and is not made again by
    /// the host; who calls does so here.
    pub(super) async fn echo_after_a_restart(&mut self) -> Value {
        loop {
            match self.call("echo", json!({"n": 1}), Box::default()).await {
                Err(error) if error.to_string().contains("ended before the answer") => {}
                output => return serde_json::from_str(output.unwrap().structured.unwrap().as_str()).unwrap(),
            }
        }
    }

    /// A call that must be answered.
    pub(super) async fn echo(&mut self) -> Value {
        let output = self.call("echo", json!({"n": 1}), Box::default()).await.unwrap();
        serde_json::from_str(output.structured.unwrap().as_str()).unwrap()
    }
}

/// Hears what is told, and answers each question by the next of its answers.
#[derive(Default)]
pub(super) struct Person {
    pub(super) heard: Mutex<Vec<String>>,
    pub(super) answers: Mutex<Vec<Result<Value, AskError>>>,
    /// How long it thinks about each.
    pub(super) slow: Duration,
}

impl Person {
    pub(super) fn context(self: &Arc<Self>) -> Box<CallContext> {
        Box::new(CallContext { notifier: Some(self.clone()), asker: Some(self.clone()), ..CallContext::default() })
    }

    pub(super) fn answering(answer: Result<Value, AskError>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(vec![answer]), ..Self::default() })
    }
}

impl Notifier for Person {
    fn wants_progress(&self) -> bool {
        true
    }
    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        self.heard.lock().unwrap().push(format!("progress {progress} {total:?} {text:?}"));
    }
    fn log_level(&self) -> Option<LogLevel> {
        Some(LogLevel::Debug)
    }
    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        self.heard.lock().unwrap().push(format!("log {level:?} {logger:?} {}", data.as_str()));
    }
}

impl Asker for Person {
    fn capabilities(&self) -> &str {
        r#"{"elicitation":{"form":{}}}"#
    }
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        for question in &questions {
            self.heard.lock().unwrap().push(format!("asked {:?} {}", question.kind, question.params.as_str()));
        }
        let answer = self.answers.lock().unwrap().pop().unwrap_or_else(|| Err(AskError::Unanswered("nobody is there".into())));
        async move {
            tokio::time::sleep(self.slow).await;
            answer.map(|answer| vec![json_text(&answer)])
        }
        .boxed()
    }
}
