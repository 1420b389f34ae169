//! A host in this process: for `check`, and for `tools` and `call` without --url.
//!
//! A call goes the way that a client's goes, through the MCP front, so that it is answered as `toolbay serve` answers it.

use std::{path::PathBuf, sync::Arc};

use axum::body::{Bytes, to_bytes};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Method, Request, header};
use serde_json::{Map, Value, json};

use super::{
    ConfigArgs, Failure,
    seen::{About, Seen},
    shown::{Answer, Shown},
};
use crate::{
    app::{App, AppOptions},
    catalog::{Entry, ParamHeader},
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
        let mut config = args.load()?;
        let folder_required = path.is_some() || args.plugins.is_some();
        if let Some(path) = path {
            config.plugins = path;
        }
        // One file is looked at by itself: the configuration may be about others too.
        let configured = if config.plugins.is_dir() { config.plugin.keys().cloned().collect() } else { Vec::new() };
        if config.plugins.is_file() {
            config.server.clear();
        }
        let app = App::start(Arc::new(config), AppOptions { run: Run::Once, folder_required, insecure: true }).await?;
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

    pub(super) async fn call(&self, name: &str, arguments: Map<String, Value>) -> Result<Answer, Failure> {
        let entry = self.find(name)?;
        let request = request(name, entry.param_headers(), arguments).map_err(Failure::failed)?;
        let body = to_bytes(self.front.handle(None, request).await.into_body(), usize::MAX).await;
        let body = body.map_err(|error| Failure::failed(format!("the call was not answered: {error}")))?;
        let message = response(&body).ok_or_else(|| {
            Failure::failed(format!("the call was answered by something that is not a response: {}", String::from_utf8_lossy(&body)))
        })?;
        if let Some(error) = message.get("error") {
            let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
            return Err(Failure::failed(text));
        }
        let json = message.get("result").cloned().unwrap_or_default();
        Ok(Answer { is_error: json.get("isError").and_then(Value::as_bool).unwrap_or(false), json })
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

/// The call as a client sends it.
fn request(name: &str, param_headers: &[ParamHeader], arguments: Map<String, Value>) -> Result<Request<Bytes>, http::Error> {
    let arguments = Value::Object(arguments);
    let mut request = Request::builder();
    for ParamHeader { path, header } in param_headers {
        let text = match path.iter().try_fold(&arguments, |value, name| value.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            _ => continue,
        };
        request = request.header(header, format!("=?base64?{}?=", BASE64_STANDARD.encode(text)));
    }
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": { "name": "toolbay", "version": env!("CARGO_PKG_VERSION") },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": name, "arguments": arguments, "_meta": meta });
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

/// The response in a body of JSON or of events.
fn response(body: &[u8]) -> Option<Value> {
    if let Ok(message) = serde_json::from_slice(body) {
        return Some(message);
    }
    let text = std::str::from_utf8(body).ok()?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut messages = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    messages.find(|message| message.get("result").is_some() || message.get("error").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_found_among_events() {
        let events = b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"id\":1,\"result\":{\"content\":[]}}\n\n";
        assert_eq!(response(events).unwrap()["result"], json!({ "content": [] }));
        assert_eq!(response(b"{\"error\":{\"code\":1}}").unwrap()["error"]["code"], 1);
        assert_eq!(response(b"nothing"), None);
    }
}
