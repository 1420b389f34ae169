//! A host in this process: for `check`, and for `tools` and `call` without --url.
//!
//! A call goes the way that a client's goes, through the MCP front, so that it is answered as `toolbay serve` answers it.

use std::{path::PathBuf, sync::Arc};

use axum::body::{Body, Bytes};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use super::{
    ConfigArgs, Failure,
    clients::{Packages, Report},
    dialogue::Dialogue,
    endpoints::Offered,
    seen::{About, Seen},
    shown::{Answer, Shown},
    unused,
};
use crate::{
    app::{App, AppOptions},
    catalog::{Entry, ParamHeader},
    config::{Config, PluginCompiler, StoreConfig},
    inference::ModelStatus,
    mcp::Front,
    provider::{ProviderStatus, StatusSource as _},
    servers::Run,
};

/// The revision that is spoken with the front: that without sessions.
const REVISION: &str = "2026-07-28";

/// A host that was assembled once, with everything loaded and every server started once.
pub(super) struct LocalHost {
    app: Arc<App>,
    front: Arc<Front>,
    /// The names of `[plugin.NAME]` that can be held against the folder.
    configured: Vec<String>,
}

impl LocalHost {
    /// Loads the configured folder, or `path`: a folder, or one file.
    pub(super) async fn open(args: &ConfigArgs, path: Option<PathBuf>) -> Result<Self, Failure> {
        let config = args.load()?;
        let folder_required = path.is_some() || args.plugins.is_some();
        Self::assemble(of_path(config, path), folder_required).await
    }

    /// The same, with every plugin compiled as it is to stay: who checks fills the cache for those who serve.
    pub(super) async fn open_compiled(args: &ConfigArgs, path: Option<PathBuf>) -> Result<Self, Failure> {
        let mut config = args.load()?;
        if config.host.compiler == PluginCompiler::Auto {
            config.host.compiler = PluginCompiler::Cranelift;
        }
        let folder_required = path.is_some() || args.plugins.is_some();
        Self::assemble(of_path(config, path), folder_required).await
    }

    /// Loads one file, or a folder, by no configuration but the sidecars in it.
    pub(super) async fn open_alone(path: PathBuf) -> Result<Self, Failure> {
        let mut config = Config::default();
        config.plugins = path;
        Self::assemble(config, true).await
    }

    async fn assemble(mut config: Config, folder_required: bool) -> Result<Self, Failure> {
        // One file is looked at by itself: the configuration may be about others too.
        let configured = if config.plugins.is_dir() { config.plugin.keys().cloned().collect() } else { Vec::new() };
        if config.plugins.is_file() {
            config.server.clear();
            config.pipeline.clear();
        }
        if config.origin().is_none() && config.store.path.is_none() {
            // Nobody has said where plugins keep things: not where a host that serves does.
            config.store.path = Some(StoreConfig::MEMORY.into());
        }
        let app = App::start(Arc::new(config), AppOptions { run: Run::Once, folder_required, insecure: true, follows: false }).await?;
        let front = app.front(None);
        Ok(Self { app, front, configured })
    }

    pub(super) fn statuses(&self) -> Vec<ProviderStatus> {
        self.app.statuses()
    }

    pub(super) fn models(&self) -> Vec<ModelStatus> {
        self.app.models()
    }

    /// The names of `[plugin.NAME]` that can be held against the folder.
    pub(super) fn configured(&self) -> &[String] {
        &self.configured
    }

    /// Names that several plugins offer, in sentences.
    pub(super) fn collisions(&self) -> Vec<String> {
        self.app.catalog().snapshot().collisions().iter().map(ToString::to_string).collect()
    }

    /// What each endpoint of the configuration offers.
    pub(super) fn endpoints(&self) -> Vec<Offered> {
        let (config, whole) = (self.app.config().borrow().clone(), self.app.catalog());
        self.app.endpoints().iter().map(|(name, catalog)| Offered::of(name, &config, catalog, whole)).collect()
    }

    /// Reads the pages of servers. Those that cannot be read, and why, by the names of their servers.
    pub(super) async fn read_pages(&self) -> Vec<(String, String)> {
        self.app.trust().read_pages().await
    }

    /// The patterns of roles, and of what has to be confirmed, that are about nothing on offer.
    pub(super) fn unused_patterns(&self) -> Vec<String> {
        let config = self.app.config().borrow().clone();
        unused::of_config(&config, &self.app.catalog().snapshot())
    }

    /// Whether clients can read what is published.
    pub(super) async fn clients(&self, packages: &Packages) -> Report {
        let snapshot = Arc::clone(&self.app.catalog().snapshot());
        Report::of(&snapshot, packages).await
    }

    /// What a caller sees of all this, and why.
    pub(super) fn seen(&self, about: &About<'_>) -> Result<Seen, Failure> {
        let (config, policy) = (self.app.config().borrow().clone(), self.app.policy());
        let snapshot = Arc::clone(&self.app.catalog().snapshot());
        Seen::of(about, &config, &policy.load(), &snapshot)
    }

    pub(super) fn tools(&self) -> Vec<Shown> {
        let snapshot = self.app.catalog().snapshot();
        let shown = snapshot.tools().map(|entry| Shown {
            name: entry.name().to_owned(),
            description: entry.tool().description.clone().unwrap_or_default(),
            json: serde_json::from_str(entry.json()).unwrap_or_default(),
        });
        shown.collect()
    }

    /// Calls a tool. What it asks goes to the dialogue, and so does what it tells before its answer.
    pub(super) async fn call(&self, name: &str, arguments: Map<String, Value>, dialogue: &mut Dialogue) -> Result<Answer, Failure> {
        let entry = self.find(name)?;
        let mut params = json!({ "name": name, "arguments": arguments, "_meta": meta(dialogue) });
        loop {
            let request = request(name, entry.param_headers(), &params).map_err(Failure::failed)?;
            let message = answered(self.front.handle(None, request).await.into_body(), dialogue).await?;
            if let Some(error) = message.get("error") {
                let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
                return Err(Failure::failed(text));
            }
            let json = message.get("result").cloned().unwrap_or_default();
            if json.get("resultType").and_then(Value::as_str) != Some("input_required") {
                return Ok(Answer { is_error: json.get("isError").and_then(Value::as_bool).unwrap_or(false), json });
            }
            let mut responses = Map::new();
            for (key, question) in json.get("inputRequests").and_then(Value::as_object).into_iter().flatten() {
                responses.insert(key.clone(), dialogue.respond(question)?);
            }
            if let Some(params) = params.as_object_mut() {
                params.insert("inputResponses".to_owned(), Value::Object(responses));
                params.insert("requestState".to_owned(), json.get("requestState").cloned().unwrap_or_default());
            }
        }
    }

    /// Says more of a tool that is not there than a client is told: which there are, and what is broken.
    fn find(&self, name: &str) -> Result<Arc<Entry>, Failure> {
        let snapshot = self.app.catalog().snapshot();
        if let Some(entry) = snapshot.resolve(name) {
            return Ok(Arc::clone(entry));
        }
        let names: Vec<&str> = snapshot.tools().map(|entry| entry.name()).collect();
        let statuses = self.statuses();
        let broken = statuses.iter().filter_map(|status| Some(format!("\nnot served: {}: {}", status.name, status.error.as_ref()?)));
        let broken: String = broken.collect();
        Err(Failure::failed(format!("there is no tool {name:?}; there are: {}{broken}", names.join(", "))))
    }

    /// Ends what was started.
    pub(super) async fn close(self) {
        self.front.close();
        self.app.stop().await;
    }
}

/// The configuration for the plugins at a path, or in its own folder.
fn of_path(mut config: Config, path: Option<PathBuf>) -> Config {
    if let Some(path) = path {
        config.plugins = path;
    }
    config
}

/// What every request says of who asks.
fn meta(dialogue: &Dialogue) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": { "name": "toolbay", "version": env!("CARGO_PKG_VERSION") },
        "io.modelcontextprotocol/clientCapabilities": dialogue.capabilities(),
        "progressToken": 1,
    })
}

/// The call as a client sends it.
fn request(name: &str, param_headers: &[ParamHeader], params: &Value) -> Result<Request<Bytes>, http::Error> {
    let arguments = params.get("arguments").unwrap_or(&Value::Null);
    let mut request = Request::builder();
    for ParamHeader { path, header } in param_headers {
        let text = match path.iter().try_fold(arguments, |value, name| value.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            _ => continue,
        };
        request = request.header(header, format!("=?base64?{}?=", BASE64_STANDARD.encode(text)));
    }
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    request
        .method(Method::POST)
        .uri("/mcp")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", REVISION)
        .header("mcp-method", "tools/call")
        .header("mcp-name", name)
        .body(Bytes::from(message.to_string()))
}

/// The response in a body of JSON or of events. What comes before it is told at once.
async fn answered(mut body: Body, dialogue: &mut Dialogue) -> Result<Value, Failure> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::failed(format!("the call was not answered: {error}")))?;
        if let Some(message) = frame.data_ref().and_then(|data| events.take(data, dialogue)) {
            return Ok(message);
        }
    }
    serde_json::from_slice(&events.text).map_err(|_| {
        let text = String::from_utf8_lossy(&events.text).into_owned();
        Failure::failed(format!("the call was answered by something that is not a response: {text}"))
    })
}

/// A body as far as it has come.
#[derive(Default)]
struct Events {
    text: Vec<u8>,
    /// Bytes of it that were read as lines.
    read: usize,
}

impl Events {
    /// Takes a piece, tells what it brings, and answers the response if that is among it.
    fn take(&mut self, data: &[u8], dialogue: &mut Dialogue) -> Option<Value> {
        self.text.extend_from_slice(data);
        while let Some(end) = self.text.get(self.read..)?.iter().position(|byte| *byte == b'\n') {
            let line = self.text.get(self.read..self.read + end).unwrap_or_default();
            self.read += end + 1;
            let Some(message) = line.strip_prefix(b"data:").and_then(|line| serde_json::from_slice::<Value>(line).ok()) else { continue };
            if message.get("result").is_some() || message.get("error").is_some() {
                return Some(message);
            }
            dialogue.told(&message);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: &'static [u8]) -> Result<Value, Failure> {
        answered(Body::from(body), &mut Dialogue::silent()).await
    }

    #[tokio::test]
    async fn a_response_is_found_among_events() {
        let events = b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"id\":1,\"result\":{\"content\":[]}}\n\n";
        assert_eq!(read(events).await.unwrap()["result"], json!({ "content": [] }));
        assert_eq!(read(b"{\"error\":{\"code\":1}}").await.unwrap()["error"]["code"], 1);
        assert!(read(b"nothing").await.is_err());
    }
}
