//! JSON-RPC on the wire, in both eras of MCP, with nothing hidden: a test sees the status, the headers and every message.

use std::{
    io::Read as _,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::GzDecoder;
use reqwest::{
    RequestBuilder, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
};
use serde_json::{Value, json};

use crate::{server::Server, sse::Messages};

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The newest with `initialize`.
pub const LEGACY: &str = "2025-11-25";

/// A request that is not sent yet.
pub use reqwest::RequestBuilder as Request;

/// An HTTP client that follows no redirects and uses no proxy.
///
/// # Panics
///
/// Where it cannot be made.
#[must_use]
pub fn http() -> reqwest::Client {
    builder().build().expect("a client needs nothing from outside")
}

/// The same, whose connections come from this address, such as another one of loopback.
///
/// # Panics
///
/// Where it cannot be made.
#[must_use]
pub fn http_from(address: &str) -> reqwest::Client {
    let address: std::net::IpAddr = address.parse().expect("an address");
    builder().local_address(address).build().expect("a client needs nothing from outside")
}

fn builder() -> reqwest::ClientBuilder {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nobody else installs one");
    });
    // Whatever else is built with reqwest, a test sees what was sent.
    reqwest::Client::builder().no_gzip().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(crate::secs(120))
}

/// The text of an answer, which may come as gzip where the request takes that.
///
/// # Panics
///
/// Where it ends early, or is encoded in another way.
pub async fn unpacked(answer: Response) -> String {
    let encoding = answer.headers().get(CONTENT_ENCODING).cloned();
    let bytes = answer.bytes().await.expect("a body");
    match encoding.as_ref().map(|encoding| encoding.to_str().expect("text")) {
        None => String::from_utf8_lossy(&bytes).into_owned(),
        Some("gzip") => {
            let mut text = String::new();
            GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
            text
        }
        Some(other) => panic!("nobody asked for {other}"),
    }
}

/// A client of one server.
pub struct Client {
    http: reqwest::Client,
    url: String,
    revision: &'static str,
    session: Option<String>,
    token: Option<String>,
    next: AtomicU64,
    /// What it says that it can: MCP's `ClientCapabilities`.
    capabilities: Value,
    /// Whether each request has a connection of its own.
    alone: bool,
    /// More members of the request's `_meta`.
    pub meta: Value,
    /// What `initialize` answered.
    pub greeting: Value,
}

impl Client {
    /// A client of the stateless revision. Says nothing to the server yet.
    #[must_use]
    pub fn modern(server: &Server) -> Self {
        Self::at(&server.url)
    }

    /// The same, at a URL.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            http: http(),
            url: url.to_owned(),
            revision: MODERN,
            session: None,
            token: None,
            next: AtomicU64::new(1),
            capabilities: json!({}),
            alone: false,
            meta: json!({}),
            greeting: Value::Null,
        }
    }

    /// Sends this bearer token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Comes over these connections.
    #[must_use]
    pub fn through(mut self, http: &reqwest::Client) -> Self {
        self.http = http.clone();
        self
    }

    /// Says that it can this.
    #[must_use]
    pub fn able(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Takes a connection of its own for each request, as a balancer that goes by connections needs it.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// A client of 2025-11-25 that has said `initialize` and `initialized`.
    ///
    /// # Panics
    ///
    /// Where the server does not take it.
    pub async fn legacy(server: &Server) -> Self {
        Self::legacy_able(server, json!({})).await
    }

    /// The same, at a URL.
    ///
    /// # Panics
    ///
    /// Where the server does not take it.
    pub async fn legacy_at(url: &str) -> Self {
        Self::greeted(Self::at(url)).await
    }

    /// The same, at a URL, with a bearer token.
    ///
    /// # Panics
    ///
    /// Where the server does not take it.
    pub async fn legacy_as(url: &str, token: &str) -> Self {
        Self::greeted(Self::at(url).token(token)).await
    }

    /// The same as [`Self::legacy`], that can this.
    ///
    /// # Panics
    ///
    /// Where the server does not take it.
    pub async fn legacy_able(server: &Server, capabilities: Value) -> Self {
        Self::greeted(Self::at(&server.url).able(capabilities)).await
    }

    /// The same as [`Self::legacy_at`], over these connections.
    ///
    /// # Panics
    ///
    /// Where the server does not take it.
    pub async fn legacy_through(url: &str, http: &reqwest::Client) -> Self {
        Self::greeted(Self { http: http.clone(), ..Self::at(url) }).await
    }

    /// The same client, with its session, at another host.
    #[must_use]
    pub fn also_at(&self, url: &str) -> Self {
        let next = AtomicU64::new(self.next.load(Ordering::Relaxed) + 1_000);
        Self {
            http: self.http.clone(),
            url: url.to_owned(),
            session: self.session.clone(),
            token: self.token.clone(),
            capabilities: self.capabilities.clone(),
            meta: self.meta.clone(),
            greeting: self.greeting.clone(),
            next,
            ..*self
        }
    }

    async fn greeted(mut client: Self) -> Self {
        client.revision = LEGACY;
        client.greet().await;
        client
    }

    async fn greet(&mut self) {
        let hello =
            json!({ "protocolVersion": LEGACY, "capabilities": self.capabilities, "clientInfo": { "name": "e2e", "version": "1" } });
        let reply = self.rpc("initialize", hello).await;
        self.session = reply.headers.get("mcp-session-id").map(|id| id.to_str().expect("a session id is ASCII").to_owned());
        self.greeting = reply.result().clone();
        assert_eq!(self.greeting["protocolVersion"], LEGACY, "{}", self.greeting);
        let taken = self.notify("notifications/initialized", json!({})).await;
        assert_eq!(taken.status, 202, "{taken:?}");
    }

    /// Where it asks.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The session that the server gave.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    fn is_modern(&self) -> bool {
        self.revision == MODERN
    }

    /// The parameters with the `_meta` of the era.
    #[must_use]
    pub fn params(&self, mut params: Value) -> Value {
        let mut meta = self.meta.clone();
        if self.is_modern() {
            meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "e2e", "version": "1" });
        }
        if let (Some(own), Some(more)) = (params.get("_meta").and_then(Value::as_object).cloned(), meta.as_object_mut()) {
            more.extend(own);
        }
        if meta.as_object().is_some_and(|meta| !meta.is_empty()) {
            params["_meta"] = meta;
        }
        params
    }

    /// A request as the era wants it, to be changed by the test before it is sent.
    pub fn request(&self, method: &str, params: Value) -> (u64, RequestBuilder) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let params = self.params(params);
        let name = ["name", "uri", "taskId"].iter().find_map(|member| params.get(member)).and_then(Value::as_str).map(str::to_owned);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        (id, self.post(method, name.as_deref(), body.to_string()))
    }

    /// A POST of any body, with the headers of a request.
    pub fn post(&self, method: &str, name: Option<&str>, body: String) -> RequestBuilder {
        let mut request =
            self.with_headers(self.http.post(&self.url), method == "initialize").header(CONTENT_TYPE, "application/json").body(body);
        if self.is_modern() {
            request = request.header("mcp-method", method);
            if let Some(name) =
                name.filter(|_| matches!(method, "tools/call" | "prompts/get" | "resources/read") || method.starts_with("tasks/"))
            {
                request = request.header("mcp-name", name);
            }
        }
        request
    }

    fn with_headers(&self, mut request: RequestBuilder, first: bool) -> RequestBuilder {
        request = request.header("accept", "application/json, text/event-stream");
        if !first {
            request = request.header("mcp-protocol-version", self.revision);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if self.alone {
            request = request.header("connection", "close");
        }
        request
    }

    /// Asks and reads the answer whole, with all that came before it.
    pub async fn rpc(&self, method: &str, params: Value) -> Reply {
        let (id, request) = self.request(method, params);
        Reply::read(request.send().await.expect("the server answers"), Some(id)).await
    }

    /// The same, where the connection may break.
    ///
    /// # Errors
    ///
    /// Where there is no answer at all.
    pub async fn try_rpc(&self, method: &str, params: Value) -> Result<Reply, reqwest::Error> {
        let (id, request) = self.request(method, params);
        Ok(Reply::read(request.send().await?, Some(id)).await)
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Value) -> Reply {
        let body = json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string();
        Reply::read(self.post(method, None, body).send().await.expect("the server answers"), None).await
    }

    /// Answers a request of the server's.
    pub async fn answer(&self, id: &Value, result: Value) -> Reply {
        let body = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
        Reply::read(self.post("", None, body).send().await.expect("the server answers"), None).await
    }

    /// Ends the session.
    pub async fn end(&self) -> Reply {
        Reply::read(self.with_headers(self.http.delete(&self.url), false).send().await.expect("the server answers"), None).await
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.rpc("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// All tools, all pages of them.
    pub async fn tools(&self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
            let result = self.rpc("tools/list", params).await.result().clone();
            tools.extend(result["tools"].as_array().expect("tools/list answers tools").iter().cloned());
            cursor = result["nextCursor"].clone();
            if cursor.is_null() {
                return tools;
            }
        }
    }

    /// The names of all tools.
    pub async fn tool_names(&self) -> Vec<String> {
        let tools = self.tools().await;
        let mut names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().expect("a tool has a name").to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Asks, and reads messages as they come.
    pub async fn stream(&self, method: &str, params: Value) -> Messages {
        let (_, request) = self.request(method, params);
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 200);
        Messages::new(response.bytes_stream())
    }

    /// Opens the stream on which a server of 2025-11-25 speaks first.
    pub async fn listen_legacy(&self) -> Messages {
        let request = self.with_headers(self.http.get(&self.url), false).header("accept", "text/event-stream");
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 200, "{:?}", response.headers());
        Messages::new(response.bytes_stream())
    }

    /// Opens `subscriptions/listen` for changes of the list of tools, and waits for the acknowledgement.
    pub async fn listen_modern(&self) -> Messages {
        let mut stream = self.stream("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } })).await;
        let first = stream.next().await.expect("the acknowledgement comes first");
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        stream
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: String,
    /// All JSON-RPC messages in it.
    pub messages: Vec<Value>,
    id: Option<u64>,
}

impl Reply {
    /// Reads a response, JSON or events.
    pub async fn read(response: Response, id: Option<u64>) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.text().await.unwrap_or_else(|e| format!("(the body broke off: {e})"));
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let messages = if kind.starts_with("text/event-stream") {
            let data = body.split("\n\n").map(|event| event.lines().filter_map(|l| l.strip_prefix("data:")).collect::<String>());
            data.filter(|data| !data.trim().is_empty()).filter_map(|data| serde_json::from_str(&data).ok()).collect()
        } else {
            serde_json::from_str(&body).into_iter().collect()
        };
        Self { status, headers, body, messages, id }
    }

    /// The response to the request.
    ///
    /// # Panics
    ///
    /// Where there is none.
    #[track_caller]
    #[must_use]
    pub fn answer(&self) -> &Value {
        let mine =
            |message: &&Value| message.get("method").is_none() && self.id.is_none_or(|id| message["id"] == id || message["id"].is_null());
        self.messages.iter().find(mine).unwrap_or_else(|| panic!("no JSON-RPC answer: {self:?}"))
    }

    /// The result.
    ///
    /// # Panics
    ///
    /// Where it is an error.
    #[track_caller]
    #[must_use]
    pub fn result(&self) -> &Value {
        self.answer().get("result").unwrap_or_else(|| panic!("no result: {self:?}"))
    }

    /// The error.
    ///
    /// # Panics
    ///
    /// Where it is a result.
    #[track_caller]
    #[must_use]
    pub fn error(&self) -> &Value {
        self.answer().get("error").unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    /// The error's code.
    #[track_caller]
    #[must_use]
    pub fn code(&self) -> i64 {
        self.error()["code"].as_i64().expect("an error has a code")
    }

    /// Text of a tool's answer, blocks joined by line ends.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> String {
        let content = self.result()["content"].as_array().expect("a tool answers content");
        content.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Whether the tool ran and failed.
    #[track_caller]
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.result()["isError"] == true
    }

    /// The text of a tool that succeeded.
    ///
    /// # Panics
    ///
    /// Where it failed.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert!(!self.is_error(), "the tool failed: {self:?}");
        self.text()
    }

    /// What went wrong, as the caller reads it: the text of a failed tool or the message of a JSON-RPC error.
    ///
    /// # Panics
    ///
    /// Where it succeeded.
    #[track_caller]
    pub fn failure(&self) -> String {
        if let Some(error) = self.answer().get("error") {
            return error["message"].as_str().expect("an error has a message").to_owned();
        }
        assert!(self.is_error(), "the tool succeeded: {self:?}");
        self.text()
    }

    /// The notifications of a method that came before the answer.
    #[must_use]
    pub fn notifications(&self, method: &str) -> Vec<&Value> {
        self.messages.iter().filter(|message| message["method"] == method).collect()
    }
}
