//! A provider with a tool, a resource or a prompt for each thing that a call may do, and requests as clients write them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, mpsc};

use crate::{
    catalog::{Catalog, LivePolicy},
    config::HttpConfig,
    http::{Authenticator, HttpSettings, McpEndpoint},
    mcp::{Front, FrontOptions},
    provider::{
        Call, CallContext, CallError, CallOutput, Completion, Completions, Content, JsonText, LogLevel, Offer, Offers, Principal,
        PromptOutput, Provider, ProviderChange, ProviderId, StartSignal, Tool, ToolName, start_signal,
    },
};

pub(super) use crate::http::Endpoint as _;

/// Long enough for anything that is not broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A provider in this process.
pub(super) struct Local {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    offers: Offers,
    /// Gets `started` and `dropped` or `finished` from calls of `hang`.
    events: mpsc::UnboundedSender<&'static str>,
    /// Lets `hang` go on.
    release: Arc<Notify>,
}

/// What a test holds in its hands.
pub(super) struct Lab {
    pub(super) front: Arc<Front>,
    pub(super) endpoint: Arc<McpEndpoint>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) events: tokio::sync::Mutex<mpsc::UnboundedReceiver<&'static str>>,
    pub(super) release: Arc<Notify>,
}

pub(super) fn tool(name: &str) -> Tool {
    Tool {
        name: ToolName::new(name).unwrap(),
        title: None,
        description: Some(format!("the tool {name}")),
        input_schema: Arc::new(object(json!({"type": "object"}))),
        output_schema: None,
        annotations: None,
        icons: None,
        meta: None,
        extra: Map::new(),
        notifies: false,
    }
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn tools() -> Vec<Arc<Tool>> {
    let mut tools: Vec<Tool> =
        ["echo", "fail", "busy", "protocol", "not_found", "internal", "gone", "hang", "rich", "list", "context"].map(tool).into();
    for name in ["notify", "hang_notify", "silent"] {
        tools.push(Tool { notifies: true, ..tool(name) });
    }
    let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "n": {"type": "integer", "x-mcp-header": "N"}}});
    tools.push(Tool { input_schema: Arc::new(object(schema)), ..tool("region") });
    tools.push(Tool {
        title: Some("Full".into()),
        output_schema: Some(Arc::new(object(json!({"type": "object", "$defs": {"x": {"$anchor": "a"}}})))),
        annotations: Some(json!({"readOnlyHint": true})),
        icons: Some(json!([{"src": "https://example.com/i.png", "sizes": ["48x48"]}])),
        meta: Some(object(json!({"vendor/x": [1, 2]}))),
        ..tool("full")
    });
    tools.into_iter().map(Arc::new).collect()
}

/// Resources, templates or prompts: objects, and which member of them is the key.
pub(super) fn offers(key: &str, objects: &[Value]) -> Vec<Arc<Offer>> {
    objects.iter().map(|json| Arc::new(Offer { key: json[key].as_str().unwrap().to_owned(), json: object(json.clone()) })).collect()
}

fn local_offers() -> Offers {
    let resource = |name: &str| json!({"uri": format!("local://{name}"), "name": name, "mimeType": "text/plain"});
    Offers {
        resources: offers("uri", &["text", "blob", "hang", "gone", "progress", "context"].map(resource)),
        templates: offers(
            "uriTemplate",
            &[
                json!({"uriTemplate": "local://{+rest}", "name": "rest"}),
                json!({"uriTemplate": "local://item/{id}", "name": "item", "title": "An item", "mimeType": "application/json"}),
            ],
        ),
        prompts: offers(
            "name",
            &[
                json!({"name": "greet", "description": "greets", "arguments": [{"name": "name", "required": true}, {"name": "tone"}]}),
                json!({"name": "hang"}),
            ],
        ),
        completes: true,
    }
}

fn parse(text: &str) -> JsonText {
    JsonText::parse(text.to_owned()).unwrap()
}

impl Local {
    /// Waits for its turn, if the arguments say so.
    async fn queue(&self, arguments: &str, signal: Option<&StartSignal>) {
        if arguments.contains("queue") {
            let mut watch = Watch(self.events.clone(), "left the queue");
            let _ = self.events.send("queued");
            start_signal::queued(signal, self.release.notified()).await;
            start_signal::mark_started(signal);
            watch.1 = "begun";
        }
    }

    async fn hang(&self) {
        let mut watch = Watch(self.events.clone(), "dropped");
        let _ = self.events.send("started");
        self.release.notified().await;
        watch.1 = "finished";
    }
}

/// Says whether a call came to its end.
struct Watch(mpsc::UnboundedSender<&'static str>, &'static str);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

impl Provider for Local {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        async move {
            let text = |text: &str| JsonText::from_value(&json!({"uri": uri, "mimeType": "text/plain", "text": text})).unwrap();
            match uri {
                "local://text" => Ok(vec![text("a \"text\" of \u{1F600}")]),
                "local://blob" => Ok(vec![
                    JsonText::from_value(&json!({"uri": uri, "mimeType": "image/png", "blob": "AA=="})).unwrap(),
                    JsonText::from_value(&json!({"uri": "local://blob/2", "blob": ""})).unwrap(),
                ]),
                "raw://x" => Ok(vec![parse(r#"{"vendor":{"k":1.50},"text":"t", "uri":"raw://x","_meta":{"v/a":[1]}}"#)]),
                "local://hang" => {
                    self.hang().await;
                    Ok(vec![text("released")])
                }
                "local://progress" => {
                    if let Some(notifier) = &context.notifier {
                        notifier.progress(1.0, Some(2.0), None);
                    }
                    Ok(vec![text("done")])
                }
                "local://context" => {
                    let meta: Option<Value> = context.meta.as_deref().map(|meta| serde_json::from_str(meta).unwrap());
                    Ok(vec![text(
                        &json!({"principal": context.principal.as_ref().map(Principal::subject), "meta": meta, "id": context.call_id > 0})
                            .to_string(),
                    )])
                }
                _ if uri.starts_with("local://item/") => Ok(vec![text("an item")]),
                "local://busy" => Err(CallError::Busy { what: "too many calls".into(), retry_after: Duration::from_secs(1) }),
                _ => Err(CallError::UnknownResource(uri.to_owned())),
            }
        }
        .boxed()
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        _: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        async move {
            let argument = |wanted: &str| arguments.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            let messages = match name {
                "greet" => {
                    let name =
                        argument("name").ok_or_else(|| CallError::InvalidParams("prompt \"greet\" needs the argument \"name\"".into()))?;
                    JsonText::from_value(&json!([{"role": "user", "content": {"type": "text", "text": format!("Hello {name}")}}])).unwrap()
                }
                "raw" => parse(r#"[{"vendor":1.50,"role":"user","content":{"type":"text","text":"t","vendor":2}}]"#),
                "hang" => {
                    self.hang().await;
                    parse("[]")
                }
                other => return Err(CallError::UnknownPrompt(other.to_owned())),
            };
            Ok(PromptOutput { description: Some(format!("from {}", self.id)), messages, meta: Some(parse(r#"{"k":1}"#)) })
        }
        .boxed()
    }

    fn complete(&self, completion: Completion, _: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        async move {
            if completion.value == "many" {
                return Ok(Completions { values: (0..150).map(|n| n.to_string()).collect(), ..Completions::default() });
            }
            let Completion { reference, argument, value, others } = completion;
            Ok(Completions { values: vec![format!("{reference:?} {argument}={value} {others:?}")], total: Some(7), has_more: true })
        }
        .boxed()
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            let text = |text: &str| CallOutput { content: vec![Content::text(text)], ..CallOutput::default() };
            let structured = |value: Value| Some(JsonText::from_value(&value).unwrap());
            match call.tool {
                "echo" | "region" | "full" | "silent" => Ok(CallOutput {
                    content: vec![Content::text(format!("\u{1F600} \"{}\"\n", call.arguments))],
                    structured: Some(JsonText::parse(call.arguments.to_owned()).map_err(|error| CallError::Internal(error.to_string()))?),
                    meta: structured(json!({"k": 1})),
                    ..CallOutput::default()
                }),
                "fail" => Ok(CallOutput::error("it did not work")),
                "busy" => Err(CallError::Busy { what: "too many calls".into(), retry_after: Duration::from_millis(1500) }),
                "protocol" => Err(CallError::Protocol { code: -32042, message: "as given".into(), data: Some(json!({"a": 1})) }),
                "not_found" => Err(CallError::Protocol { code: -32601, message: "no method".into(), data: None }),
                "internal" => Err(CallError::Internal("broken".into())),
                "gone" => Err(CallError::UnknownTool("gone".into())),
                "rich" => Ok(CallOutput {
                    content: vec![
                        Content::text("t"),
                        Content::Block(JsonText::from_value(&json!({"type": "image", "data": "AA==", "mimeType": "image/png"})).unwrap()),
                        Content::Block(JsonText::from_value(&json!({"type": "audio", "data": "AA==", "mimeType": "audio/wav"})).unwrap()),
                        Content::Block(JsonText::from_value(&json!({"type": "resource_link", "uri": "x://y", "name": "n"})).unwrap()),
                        Content::Block(
                            JsonText::parse(
                                "{\n \"type\": \"resource\",\r\n \"resource\": {\"uri\": \"x://z\", \"text\": \"z\"}, \"annotations\": {\"audience\": [\"user\"]}}".into(),
                            )
                            .unwrap(),
                        ),
                    ],
                    ..CallOutput::default()
                }),
                "list" => Ok(CallOutput { structured: structured(json!([1, 2])), ..text("[1,2]") }),
                "context" => {
                    let context = &call.context;
                    let meta: Option<Value> = context.meta.as_deref().map(|meta| serde_json::from_str(meta).unwrap());
                    let seen = json!({"principal": context.principal.as_ref().map(Principal::subject), "traceParent": context.trace_parent().as_deref(), "meta": meta,
                        "notifier": context.notifier.is_some(), "id": context.call_id > 0});
                    Ok(CallOutput { structured: structured(seen), ..text("seen") })
                }
                "notify" => {
                    if let Some(notifier) = &call.context.notifier {
                        for step in [0.0, 50.0, 50.0, 100.0] {
                            notifier.progress(step, Some(100.0), Some("on the way".into()));
                            tokio::task::yield_now().await;
                        }
                        notifier.log(LogLevel::Debug, None, JsonText::from_value("debug").unwrap());
                        notifier.log(LogLevel::Warning, Some("local".into()), JsonText::from_value(&json!({"w": 1})).unwrap());
                    }
                    Ok(text("notified"))
                }
                "hang" | "hang_notify" => {
                    self.queue(call.arguments, call.context.started.as_deref()).await;
                    let mut watch = Watch(self.events.clone(), "dropped");
                    let _ = self.events.send("started");
                    if let Some(notifier) = &call.context.notifier {
                        notifier.progress(1.0, None, None);
                    }
                    self.release.notified().await;
                    watch.1 = "finished";
                    Ok(text("released"))
                }
                other => Err(CallError::UnknownTool(other.to_owned())),
            }
        }
        .boxed()
    }
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::with(FrontOptions::default())
    }

    pub(super) fn with(options: FrontOptions) -> Self {
        Self::within(options, &HttpConfig::default())
    }

    /// The same, with limits on bodies.
    pub(super) fn within(options: FrontOptions, http: &HttpConfig) -> Self {
        Self::of(Arc::default(), options, http)
    }

    /// The same for callers that may do what a policy says.
    pub(super) fn under(policy: Arc<LivePolicy>, options: FrontOptions) -> Self {
        Self::of(policy, options, &HttpConfig::default())
    }

    fn of(policy: Arc<LivePolicy>, options: FrontOptions, http: &HttpConfig) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let id = ProviderId::new("local").unwrap();
        let provider = Local { id, tools: tools(), offers: local_offers(), events: sender, release: Arc::clone(&release) };
        let catalog = Catalog::new();
        catalog.apply(vec![ProviderChange::Put(Arc::new(provider))]);
        let front = Front::under_policy(Arc::clone(&catalog), policy, options, Vec::new());
        let endpoint = McpEndpoint::new(Arc::clone(&front), &HttpSettings::new(http.clone(), Authenticator::Open));
        Self { front, endpoint, catalog, events: tokio::sync::Mutex::new(events), release }
    }

    /// The same tools, everything by rmcp.
    pub(super) fn without_lean_path() -> Self {
        Self::with(FrontOptions { lean: false, ..FrontOptions::default() })
    }

    pub(super) async fn event(&self) -> &'static str {
        tokio::time::timeout(PATIENCE, self.events.lock().await.recv()).await.expect("an event in time").unwrap()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Seen {
        let response = tokio::time::timeout(PATIENCE, self.endpoint.handle(None, request)).await.expect("an answer in time");
        Seen::of(response).await
    }

    /// The same at the endpoint of one provider.
    pub(super) async fn send_to(&self, provider: &str, request: Request<Body>) -> Seen {
        let response = tokio::time::timeout(PATIENCE, self.endpoint.handle(Some(provider), request)).await.expect("an answer in time");
        tokio::time::timeout(PATIENCE, Seen::read(response)).await.expect("a whole answer in time")
    }

    pub(super) async fn modern(&self, method: &str, params: Value) -> Seen {
        self.send(modern(method, params)).await
    }

    pub(super) async fn legacy(&self, method: &str, params: Value) -> Seen {
        self.send(legacy(None, method, params)).await
    }

    /// Opens a session and says `initialized`.
    pub(super) async fn session(&self) -> String {
        let seen = self.legacy("initialize", initialize()).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        let id = seen.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(self.send(request(&[("mcp-session-id", &id)], &body.to_string())).await.status, 202);
        id
    }

    /// Takes a tool's place with another set of tools, under the name `other`.
    pub(super) fn offer(&self, names: &[&str]) {
        self.put("other", names, Offers::default());
    }

    /// Puts a provider beside the first, or in place of one of that name.
    pub(super) fn put(&self, id: &str, tools: &[&str], offers: Offers) {
        let (sender, _) = mpsc::unbounded_channel();
        let tools = tools.iter().map(|name| Arc::new(tool(name))).collect();
        let provider = Local { id: ProviderId::new(id).unwrap(), tools, offers, events: sender, release: Arc::default() };
        self.catalog.apply(vec![ProviderChange::Put(Arc::new(provider))]);
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    /// Reads it, in time.
    pub(super) async fn of(response: Response<Body>) -> Self {
        tokio::time::timeout(PATIENCE, Self::read(response)).await.expect("a whole answer in time")
    }

    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.headers.get("content-type").is_some_and(|value| value == "text/event-stream")
    }

    /// All messages, of JSON or of a stream.
    pub(super) fn messages(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        if !self.is_stream() {
            return if text.is_empty() {
                Vec::new()
            } else {
                vec![serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))]
            };
        }
        let mut messages = Vec::new();
        for event in text.split("\n\n") {
            let data: Vec<&str> =
                event.lines().filter_map(|line| line.strip_prefix("data:")).map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
            let data = data.join("\n");
            if !data.is_empty() {
                messages.push(serde_json::from_str(&data).unwrap_or_else(|_| panic!("not JSON: {data}")));
            }
        }
        messages
    }

    /// The only or last message.
    pub(super) fn message(&self) -> Value {
        self.messages().pop().unwrap_or(Value::Null)
    }

    pub(super) fn result(&self) -> Value {
        self.message()["result"].clone()
    }

    pub(super) fn code(&self) -> i64 {
        self.message()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error in {self:?}"))
    }
}

pub(super) fn initialize() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}})
}

/// A POST as a good client sends it, with these headers in place of the usual ones or beside them. An empty value leaves a header out.
pub(super) fn request(headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::post("/mcp").body(Body::from(body.to_owned())).unwrap();
    let map = request.headers_mut();
    for (name, value) in
        [("host", "localhost:8000"), ("accept", "application/json, text/event-stream"), ("content-type", "application/json")]
    {
        map.insert(name, value.parse().unwrap());
    }
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        if value.is_empty() {
            map.remove(name);
        } else {
            map.insert(name, value.parse().unwrap());
        }
    }
    request
}

/// A request of 2026-07-28 with everything that is required.
pub(super) fn modern(method: &str, params: Value) -> Request<Body> {
    modern_with(&[], method, params)
}

/// The same, with other headers.
pub(super) fn modern_with(headers: &[(&str, &str)], method: &str, params: Value) -> Request<Body> {
    let mut params = if params.is_null() { json!({}) } else { params };
    let meta = params.as_object_mut().unwrap().entry("_meta").or_insert(json!({})).as_object_mut().unwrap();
    meta.entry("io.modelcontextprotocol/protocolVersion").or_insert(json!("2026-07-28"));
    meta.entry("io.modelcontextprotocol/clientCapabilities").or_insert(json!({}));
    let member = match method {
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => "name",
    };
    let name = params[member].as_str().unwrap_or_default().to_owned();
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let mut all = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), ("mcp-name", name.as_str())];
    all.extend_from_slice(headers);
    request(&all, &body.to_string())
}

/// A request of 2025-11-25.
pub(super) fn legacy(session: Option<&str>, method: &str, params: Value) -> Request<Body> {
    let mut body = json!({"jsonrpc": "2.0", "id": 7, "method": method});
    if !params.is_null() {
        body["params"] = params;
    }
    let mut headers = vec![("mcp-protocol-version", "2025-11-25")];
    headers.extend(session.map(|session| ("mcp-session-id", session)));
    request(&headers, &body.to_string())
}

/// The messages of a stream that is still open, one after the other.
pub(super) struct Events {
    body: futures::stream::BoxStream<'static, Bytes>,
    rest: Arc<Mutex<String>>,
}

impl Events {
    pub(super) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().into_data_stream().filter_map(async |bytes| bytes.ok()).boxed();
        Self { body, rest: Arc::default() }
    }

    /// The next message; None at the stream's end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            {
                let mut rest = self.rest.lock().unwrap();
                if let Some(end) = rest.find("\n\n") {
                    let event: String = rest.drain(..end + 2).collect();
                    let data: String = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                    if !data.trim().is_empty() {
                        return Some(serde_json::from_str(&data).unwrap());
                    }
                    continue;
                }
            }
            let bytes = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event in time")?;
            self.rest.lock().unwrap().push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
