//! A server of MCP: what it answers to each message. `http.rs` brings the messages.
//!
//! Each request has a sandbox of its own, so the server has no sessions.

#[cfg(target_arch = "wasm32")]
mod http;

use serde_json::{Value, json};

/// Revisions of MCP that it speaks, the newest first.
const REVISIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

fn tools() -> Value {
    json!([{
        "name": "greet",
        "description": "Greets somebody.",
        "inputSchema": {
            "type": "object",
            "properties": { "name": { "type": "string", "description": "Whom." } },
            "required": ["name"],
        },
        "annotations": { "readOnlyHint": true },
    }])
}

fn greet(arguments: &Value) -> Result<String, String> {
    match arguments["name"].as_str() {
        None | Some("") => Err("whom should I greet?".into()),
        Some(name) => Ok(format!("Hello, {name}!")),
    }
}

/// The answer to a message. None: it is a notification.
pub fn answer(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let mut answer = json!({ "jsonrpc": "2.0", "id": id });
    match result(message["method"].as_str().unwrap_or_default(), &message["params"]) {
        Ok(result) => answer["result"] = result,
        Err((code, message)) => answer["error"] = json!({ "code": code, "message": message }),
    }
    Some(answer)
}

fn result(method: &str, params: &Value) -> Result<Value, (i32, String)> {
    match method {
        "initialize" => {
            let asked = params["protocolVersion"].as_str().unwrap_or_default();
            Ok(json!({
                "protocolVersion": REVISIONS.iter().find(|known| **known == asked).unwrap_or(&REVISIONS[0]),
                "capabilities": { "tools": {} },
                "serverInfo": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
            }))
        }
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({ "tools": tools() })),
        "tools/call" => {
            let called = match params["name"].as_str().unwrap_or_default() {
                "greet" => greet(&params["arguments"]),
                name => return Err((INVALID_PARAMS, format!("there is no tool {name:?}"))),
            };
            let is_error = called.is_err();
            let text = called.unwrap_or_else(|error| error);
            Ok(json!({ "content": [{ "type": "text", "text": text }], "isError": is_error }))
        }
        _ => Err((METHOD_NOT_FOUND, format!("there is no method {method:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets() {
        let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "greet", "arguments": { "name": "Ann" } } });
        assert_eq!(answer(&call).unwrap()["result"]["content"][0]["text"], "Hello, Ann!");
        assert_eq!(answer(&json!({ "method": "notifications/initialized" })), None);
    }
}
