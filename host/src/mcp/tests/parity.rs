//! The lean path and rmcp's say the same.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::support::*;

/// Requests that the lean path takes, and some that it has to leave.
fn table(session: &str) -> Vec<Request<Body>> {
    let mut table = Vec::new();
    let calls = [
        json!({"name": "echo"}),
        json!({"name": "echo", "arguments": null}),
        json!({"name": "echo", "arguments": {}}),
        json!({"name": "echo", "arguments": {"a": {"b": [1, 2.5, "\u{0}\"\\ü", null, true]}}}),
        json!({"name": "echo", "arguments": []}),
        json!({"name": "echo", "arguments": "x"}),
        json!({"name": "local__echo", "arguments": {}}),
        json!({"name": "ecko", "arguments": {}}),
        json!({"name": "", "arguments": {}}),
        json!({"name": 5}),
        json!({}),
        json!({"name": "fail"}),
        json!({"name": "protocol"}),
        json!({"name": "not_found"}),
        json!({"name": "internal"}),
        json!({"name": "gone"}),
        json!({"name": "rich"}),
        json!({"name": "list"}),
        json!({"name": "full", "arguments": {}}),
        json!({"name": "notify"}),
        json!({"name": "notify", "_meta": {"progressToken": "a"}}),
        json!({"name": "notify", "_meta": {"progressToken": 1, "io.modelcontextprotocol/logLevel": "debug"}}),
        json!({"name": "notify", "_meta": {"progressToken": {}}}),
        json!({"name": "notify", "_meta": {"io.modelcontextprotocol/logLevel": "loud"}}),
        json!({"name": "region", "arguments": {"region": "eu"}}),
        json!({"name": "echo", "unknown": 1}),
        json!({"name": "echo", "_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "vendor": 1}}}),
        json!({"name": "echo", "_meta": {"io.modelcontextprotocol/clientCapabilities": []}}),
        json!({"name": "echo", "_meta": {"io.modelcontextprotocol/clientCapabilities": {"sampling": 5}}}),
        json!({"name": "echo", "_meta": {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}}),
        json!({"name": "echo", "_meta": {"io.modelcontextprotocol/protocolVersion": 5}}),
        json!({"name": "echo", "_meta": {"io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"}}}),
    ];
    for call in &calls {
        table.push(modern("tools/call", call.clone()));
        table.push(legacy(None, "tools/call", call.clone()));
        if !call["_meta"].is_object() && call["name"] != "notify" {
            table.push(legacy(Some(session), "tools/call", call.clone()));
        }
    }
    for params in [Value::Null, json!({}), json!({"cursor": null}), json!({"cursor": "x"}), json!({"_meta": {"a": 1}})] {
        for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
            table.push(modern(method, params.clone()));
            table.push(legacy(None, method, params.clone()));
            table.push(legacy(Some(session), method, params.clone()));
        }
    }
    let argument = json!({"name": "id", "value": "x"});
    for (method, params) in [
        ("resources/read", json!({"uri": "local://text"})),
        ("resources/read", json!({"uri": "local://blob"})),
        ("resources/read", json!({"uri": "local://item/5"})),
        ("resources/read", json!({"uri": "local://gone"})),
        ("resources/read", json!({"uri": "other://x"})),
        ("resources/read", json!({"uri": ""})),
        ("resources/read", json!({"uri": 5})),
        ("resources/read", json!({})),
        ("resources/read", json!({"uri": "local://text", "unknown": 1})),
        ("prompts/get", json!({"name": "greet", "arguments": {"name": "ü", "tone": ""}})),
        ("prompts/get", json!({"name": "local__greet", "arguments": {"name": "x"}})),
        ("prompts/get", json!({"name": "greet", "arguments": null})),
        ("prompts/get", json!({"name": "greet", "arguments": {"name": null}})),
        ("prompts/get", json!({"name": "greet", "arguments": []})),
        ("prompts/get", json!({"name": "great"})),
        ("prompts/get", json!({"name": ""})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet", "title": "x"}, "argument": argument})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "great"}, "argument": argument})),
        ("completion/complete", json!({"ref": {"type": "ref/resource", "uri": "local://item/{id}"}, "argument": argument, "context": {}})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "local://item/{id}"}, "argument": argument, "context": {"arguments": {"z": "1", "a": "2"}}}),
        ),
        ("completion/complete", json!({"ref": {"type": "ref/resource", "uri": "local://text"}, "argument": argument})),
        ("completion/complete", json!({"ref": {"type": "ref/resource", "uri": "x://{y}"}, "argument": argument})),
        ("completion/complete", json!({"ref": {"type": "ref/tool", "name": "echo"}, "argument": argument})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "id", "value": "many"}})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet"}})),
        ("completion/complete", json!({"argument": argument})),
    ] {
        table.push(modern(method, params.clone()));
        table.push(legacy(None, method, params.clone()));
        table.push(legacy(Some(session), method, params));
    }
    for headers in [
        [("mcp-method", "")],
        [("mcp-method", "tools/list")],
        [("mcp-method", "Tools/Call")],
        [("mcp-name", "")],
        [("mcp-name", "ECHO")],
        [("mcp-name", "=?base64?ZWNobw==?=")],
        [("mcp-name", "=?base64?ZWNob?=")],
        [("mcp-name", "=?BASE64?ZWNobw==?=")],
        [("mcp-protocol-version", "")],
        [("mcp-protocol-version", "2025-06-18")],
        [("mcp-protocol-version", "2026-07-29")],
        [("mcp-session-id", "whatever")],
        [("accept", "*/*")],
    ] {
        table.push(modern_with(&headers, "tools/call", json!({"name": "echo"})));
    }
    for version in ["", "2024-11-05", "2025-03-26", "2025-06-18", "2025-01-01", "2026-07-28", "x"] {
        let body = json!({"jsonrpc": "2.0", "id": "a\"b", "method": "tools/call", "params": {"name": "echo"}});
        table.push(request(&[("mcp-protocol-version", version)], &body.to_string()));
    }
    for id in ["1", "0", "-5", "1.0", "1.5", "12345678901234567890123", "\"\"", "\"x\"", "\"\\u0041\"", "null", "true", "[]"] {
        for method in ["tools/list", "tools/call"] {
            table.push(request(
                &[],
                &format!(r#" {{"params":{{"name":"echo"}}, "id":{id},"method":"{method}","jsonrpc":"2.0"}}"#)
                    .replace(r#""params":{"name":"echo"}, "id":1,"method":"tools/list""#, r#""id":1,"method":"tools/list""#),
            ));
        }
    }
    table
}

async fn copy(request: Request<Body>) -> (Request<Body>, Request<Body>, Bytes) {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Request::from_parts(parts.clone(), Body::from(body.clone())), Request::from_parts(parts, Body::from(body.clone())), body)
}

/// With all numbers as floats: rmcp writes progress of 50 as 50.0.
fn plain(messages: Vec<Value>) -> Vec<Value> {
    fn number(value: Value) -> Value {
        match value {
            Value::Number(number) => json!(number.as_f64()),
            Value::Array(items) => items.into_iter().map(number).collect(),
            Value::Object(members) => members.into_iter().map(|(name, value)| (name, self::plain(vec![value]).remove(0))).collect(),
            other => other,
        }
    }
    messages.into_iter().map(number).collect()
}

#[tokio::test]
async fn both_ways_give_the_same_answers() {
    let (lean, general) = (Lab::new(), Lab::without_lean_path());
    let (lean_session, general_session) = (lean.session().await, general.session().await);
    let mut count = 0;
    for request in table("SESSION") {
        let (mut a, mut b, body) = copy(request).await;
        for (request, session) in [(&mut a, &lean_session), (&mut b, &general_session)] {
            if request.headers().get("mcp-session-id").is_some_and(|id| id == "SESSION") {
                request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
            }
        }
        let what = format!("{} with {:?}", String::from_utf8_lossy(&body), a.headers());
        let (a, b) = (lean.send(a).await, general.send(b).await);
        assert_eq!((a.status, plain(a.messages())), (b.status, plain(b.messages())), "{what}");
        count += 1;
    }
    assert!(count > 100, "{count}");
}

#[tokio::test]
async fn headers_that_come_twice_are_refused_by_both() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        for name in ["mcp-method", "mcp-name", "mcp-protocol-version"] {
            let mut request = modern("tools/call", json!({"name": "echo"}));
            let value = request.headers()[name].clone();
            request.headers_mut().append(http::HeaderName::from_static(name), value);
            let seen = lab.send(request).await;
            assert_eq!((seen.status.as_u16(), seen.code()), (400, -32020), "{name}");
        }
    }
}
