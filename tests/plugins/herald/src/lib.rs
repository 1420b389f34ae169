//! An MCP server over `wasi:http/incoming-handler`, which knows nothing of this host. How it
//! serves, the environment variable `MODE` says:
//!
//! - nothing: as servers of wasmcp do. `POST /mcp` alone, every answer is an event stream, no
//!   sessions, MCP up to 2025-11-25.
//! - `sessions`: a session is known in the instance that has opened it, and nowhere else; answers
//!   are JSON.
//! - `root`: at `/` and nowhere else.
//! - `modern`: MCP of 2026-07-28, which asks its caller by `input_required`.
//! - `page`, `text`, `teapot`, `silent`, `half`, `error`, `trap`, `empty`, `large`: what is no MCP
//!   server, or a broken one.

mod http;
mod tools;

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{ErrorCode, IncomingRequest, Method, ResponseOutparam},
};

use http::{Answer, Stream};

wasip2::http::proxy::export!(Herald);

struct Herald;

thread_local! {
    /// The session that this instance has opened.
    static SESSION: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Calls that this instance has served.
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
const MODERN: &str = "2026-07-28";

fn mode() -> String {
    std::env::var("MODE").unwrap_or_default()
}

impl Guest for Herald {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mode = mode();
        match mode.as_str() {
            "page" => return Answer::new(200).header("content-type", "text/html").body(out, b"<h1>Welcome</h1>"),
            "text" => return Answer::new(200).header("content-type", "application/json").body(out, b"hello"),
            "teapot" => return Answer::new(418).body(out, b"short and stout"),
            "silent" => return,
            "error" => return ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
            "trap" => panic!("no answer today"),
            "large" => return Answer::new(200).header("content-type", "application/json").body(out, &vec![b' '; 20 << 20]),
            _ => {}
        }
        match Message::read(&request, &mode) {
            Ok(message) => message.answer(out, &mode),
            Err((status, code, text)) => {
                let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": text } });
                Answer::new(status).header("content-type", "application/json").body(out, error.to_string().as_bytes());
            }
        }
    }
}

struct Message {
    /// None: nobody waits for an answer.
    id: Option<Value>,
    method: String,
    params: Value,
    session: Option<String>,
}

type Refused = (u16, i32, String);

impl Message {
    /// What servers check before they look at a message.
    fn read(request: &IncomingRequest, mode: &str) -> Result<Self, Refused> {
        let header = |name: &str| {
            let values = request.headers().get(name);
            values.first().map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let refuse = |status, text: &str| Err((status, -32600, text.to_owned()));
        if !matches!(request.method(), Method::Post) {
            return refuse(405, "only POST is supported");
        }
        let path = request.path_with_query().unwrap_or_default();
        let home = if mode == "root" { "/" } else { "/mcp" };
        if path != home {
            return refuse(404, &format!("the endpoint is {home}"));
        }
        let accept = header("accept").unwrap_or_default();
        if !(accept.contains("application/json") && accept.contains("text/event-stream")) {
            return refuse(406, "the client has to accept application/json and text/event-stream");
        }
        if request.authority().is_none_or(|host| !host.starts_with("localhost")) || header("origin").is_some() {
            return refuse(403, "this host is not allowed");
        }
        if header("content-type").as_deref() != Some("application/json") {
            return refuse(415, "the body has to be application/json");
        }
        let Some(length) = header("content-length").and_then(|length| length.parse::<usize>().ok()) else {
            return refuse(411, "a content-length is required");
        };
        let version = header("mcp-protocol-version");
        let knows = |version: &str| if mode == "modern" { version == MODERN } else { LEGACY.contains(&version) };
        if version.as_deref().is_some_and(|version| !knows(version)) {
            return refuse(400, "Unsupported protocol version");
        }
        let body = http::read(request).map_err(|why| (400, -32700, why))?;
        if body.len() != length {
            return refuse(400, "the body has another length");
        }
        let message: Value = serde_json::from_slice(&body).map_err(|error| (400, -32700, error.to_string()))?;
        Ok(Self {
            id: message.get("id").cloned(),
            method: message["method"].as_str().unwrap_or_default().to_owned(),
            params: message["params"].clone(),
            session: header("mcp-session-id"),
        })
    }

    fn answer(self, out: ResponseOutparam, mode: &str) {
        let opens = mode == "sessions" && self.method == "initialize";
        if mode == "sessions" && !opens {
            let known = SESSION.with_borrow(|known| known.is_some() && *known == self.session);
            if !known {
                return Answer::new(404).body(out, b"there is no such session");
            }
        }
        let Some(id) = &self.id else { return Answer::new(202).body(out, b"") };
        if mode == "half" {
            let mut stream = Stream::open(out);
            stream.event(": one moment");
            return std::mem::forget(stream);
        }
        if mode == "sessions" {
            let mut answer = Answer::new(200).header("content-type", "application/json");
            if opens {
                let session = format!("s-{}", wasip2::random::random::get_random_u64());
                answer = answer.header("mcp-session-id", &session);
                SESSION.set(Some(session));
            }
            let result = self.result(mode, &mut |_| {});
            return answer.body(out, message(id, result).to_string().as_bytes());
        }
        let mut stream = Stream::open(out);
        let result = self.result(mode, &mut |notification| stream.event(&format!("data: {notification}")));
        stream.event(&format!("id: 1\nevent: message\ndata: {}", message(id, result)));
        stream.close();
        if self.params["name"] == "linger" {
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    }

    fn result(&self, mode: &str, tell: &mut dyn FnMut(Value)) -> Result<Value, (i32, String)> {
        let capabilities = json!({ "tools": {}, "resources": {}, "prompts": {}, "completions": {}, "logging": {} });
        let instructions = "Ask the herald.";
        match self.method.as_str() {
            "server/discover" if mode == "modern" => Ok(json!({
                "supportedVersions": [MODERN], "capabilities": capabilities, "instructions": instructions,
                "serverInfo": { "name": "herald", "version": "1" },
            })),
            "initialize" if mode != "modern" => Ok(json!({
                "protocolVersion": LEGACY[2], "capabilities": capabilities, "instructions": instructions,
                "serverInfo": { "name": "herald", "version": "1" },
            })),
            "tools/list" if mode == "empty" => Ok(json!({ "tools": [] })),
            "resources/list" | "resources/templates/list" | "prompts/list" if mode == "empty" => Err((-32601, "no such method".into())),
            "tools/list" => Ok(json!({ "tools": tools::list() })),
            "tools/call" => {
                SERVED.set(SERVED.get() + 1);
                tools::call(&self.params, SERVED.get(), tell)
            }
            "resources/list" => Ok(json!({ "resources": [{ "uri": "herald://news", "name": "news", "mimeType": "text/plain" }] })),
            "resources/templates/list" => Ok(json!({ "resourceTemplates": [] })),
            "resources/read" if self.params["uri"] == "herald://news" => {
                Ok(json!({ "contents": [{ "uri": "herald://news", "mimeType": "text/plain", "text": "hear, hear" }] }))
            }
            "resources/read" => Err((-32002, "there is no such resource".into())),
            "prompts/list" => Ok(json!({ "prompts": [{ "name": "proclaim", "arguments": [{ "name": "what", "required": true }] }] })),
            "prompts/get" => Ok(json!({ "messages": [{ "role": "user", "content": {
                "type": "text", "text": format!("Proclaim {}!", self.params["arguments"]["what"].as_str().unwrap_or_default()) } }] })),
            "completion/complete" => Ok(json!({ "completion": { "values": ["peace", "war"] } })),
            method => Err((-32601, format!("there is no method {method}"))),
        }
    }
}

fn message(id: &Value, result: Result<Value, (i32, String)>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, message)) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }),
    }
}
