//! What is refused, and how.

use axum::body::Body;
use http::Request;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::support::*;
use crate::{config::HttpConfig, mcp::FrontOptions};

#[tokio::test]
async fn bodies_that_are_no_message_get_an_error_of_json_rpc() {
    let lab = Lab::within(FrontOptions::default(), &HttpConfig { max_body: 20_000, ..HttpConfig::default() });
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"a":{}{}}}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"x":"{}"}}}}"#, "y".repeat(20_000));
    let cases: &[(&str, u16, i64)] = &[
        ("", 400, -32700),
        ("  ", 400, -32700),
        ("{", 400, -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"} x"#, 400, -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list",}"#, 400, -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, 400, -32600),
        ("[]", 400, -32600),
        ("7", 400, -32600),
        ("null", 400, -32600),
        ("{}", 400, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#, 400, -32600),
        (r#"{"id":1,"method":"tools/list"}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":7}"#, 400, -32602),
        (&deep, 400, -32600),
        (&large, 413, -32600),
    ];
    for (body, status, code) in cases {
        let seen = lab.send(request(&[], body)).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (*status, *code), "{}", &body[..body.len().min(100)]);
    }
    let mut bytes = request(&[], "");
    *bytes.body_mut() = Body::from(&b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"tools/list\"}"[..]);
    assert_eq!(lab.send(bytes).await.code(), -32700);
    let batch = lab.send(request(&[], "[]")).await.message();
    assert!(batch["error"]["message"].as_str().unwrap().contains("removed") && batch["id"].is_null(), "{batch}");
}

#[tokio::test]
async fn media_types_are_checked_with_good_will() {
    let lab = Lab::new();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    for (header, value, status) in [
        ("content-type", "text/plain", 415),
        ("content-type", "", 415),
        ("content-type", "Application/JSON; charset=utf-8", 200),
        ("accept", "*/*", 200),
        ("accept", "", 200),
        ("accept", "text/event-stream, application/json;q=0.5", 200),
        ("accept", "application/json", 200),
        ("accept", "text/html", 406),
        ("mcp-protocol-version", "1999-01-01", 400),
        ("mcp-session-id", "no-such-session", 404),
    ] {
        for method in [&list, &list.replace("tools/list", "ping")] {
            let seen = lab.send(request(&[(header, value)], method)).await;
            assert_eq!(seen.status, status, "{header}: {value}");
            assert_eq!(seen.headers["content-type"], "application/json", "{header}: {value}");
            assert_eq!(seen.message()["jsonrpc"], "2.0");
        }
    }
    for version in ["2026-07-28", "2025-11-25"] {
        for method in ["GET", "DELETE", "PUT", "HEAD"] {
            let bare = Request::builder().method(method).uri("/mcp").header("host", "localhost").header("mcp-protocol-version", version);
            let seen = lab.send(bare.body(Body::empty()).unwrap()).await;
            assert_eq!(seen.status, 405, "{method}");
            assert!(seen.headers.contains_key("allow"));
        }
    }
}

#[tokio::test]
async fn the_error_table_of_2026_07_28() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let call = json!({"name": "echo", "arguments": {}});
        let cases: Vec<(&str, Request<Body>, u16, i64)> = vec![
            ("name header missing", modern_with(&[("mcp-name", "")], "tools/call", call.clone()), 400, -32020),
            ("name header differs", modern_with(&[("mcp-name", "fail")], "tools/call", call.clone()), 400, -32020),
            ("name header is not a base64", modern_with(&[("mcp-name", "=?base64?%%?=")], "tools/call", call.clone()), 400, -32020),
            ("method header missing", modern_with(&[("mcp-method", "")], "tools/list", Value::Null), 400, -32020),
            ("method header differs", modern_with(&[("mcp-method", "tools/call")], "tools/list", Value::Null), 400, -32020),
            ("version header missing", modern_with(&[("mcp-protocol-version", "")], "tools/list", Value::Null), 400, -32020),
            ("version header differs", modern_with(&[("mcp-protocol-version", "2025-11-25")], "tools/list", Value::Null), 400, -32020),
            (
                "unsupported version",
                modern_with(
                    &[("mcp-protocol-version", "2099-01-01")],
                    "tools/list",
                    json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}}),
                ),
                400,
                -32022,
            ),
            (
                "capabilities missing",
                modern("tools/list", json!({"_meta": {"io.modelcontextprotocol/clientCapabilities": null}})),
                400,
                -32602,
            ),
            ("unknown method", modern("tools/unknown", Value::Null), 404, -32601),
            ("ping is gone", modern("ping", Value::Null), 404, -32601),
            ("setLevel is gone", modern("logging/setLevel", json!({"level": "info"})), 404, -32601),
            ("uri header missing", modern_with(&[("mcp-name", "")], "resources/read", json!({"uri": "local://text"})), 400, -32020),
            (
                "uri header differs",
                modern_with(&[("mcp-name", "local://x")], "resources/read", json!({"uri": "local://text"})),
                400,
                -32020,
            ),
            ("prompt header missing", modern_with(&[("mcp-name", "")], "prompts/get", json!({"name": "greet"})), 400, -32020),
            ("prompt header differs", modern_with(&[("mcp-name", "hang")], "prompts/get", json!({"name": "greet"})), 400, -32020),
            ("unknown resource", modern("resources/read", json!({"uri": "other://text"})), 200, -32602),
            ("a resource that went away", modern("resources/read", json!({"uri": "local://gone"})), 200, -32602),
            ("no uri", modern("resources/read", json!({})), 200, -32602),
            ("unknown prompt", modern("prompts/get", json!({"name": "great"})), 200, -32602),
            ("prompt argument missing", modern("prompts/get", json!({"name": "greet"})), 200, -32602),
            ("prompt argument no string", modern("prompts/get", json!({"name": "greet", "arguments": {"name": 5}})), 200, -32602),
            ("unknown page of prompts", modern("prompts/list", json!({"cursor": "x"})), 200, -32602),
            ("unknown page of resources", modern("resources/list", json!({"cursor": "x"})), 200, -32602),
            ("unknown page of templates", modern("resources/templates/list", json!({"cursor": "x"})), 200, -32602),
            ("nothing to complete", modern("completion/complete", json!({"argument": {"name": "a", "value": ""}})), 200, -32602),
            ("unknown tool", modern("tools/call", json!({"name": "ecko"})), 200, -32602),
            ("no name", modern("tools/call", json!({"arguments": {}})), 200, -32602),
            ("arguments no object", modern("tools/call", json!({"name": "echo", "arguments": [1]})), 200, -32602),
            ("unknown page", modern("tools/list", json!({"cursor": "x"})), 200, -32602),
            ("a provider's own error", modern("tools/call", json!({"name": "protocol"})), 200, -32042),
            ("a fault of ours", modern("tools/call", json!({"name": "internal"})), 200, -32603),
            ("a tool that went away", modern("tools/call", json!({"name": "gone"})), 200, -32602),
            ("header argument missing", modern("tools/call", json!({"name": "region", "arguments": {"region": "eu"}})), 400, -32020),
        ];
        for (what, request, status, code) in cases {
            let seen = lab.send(request).await;
            assert_eq!((seen.status.as_u16(), seen.code()), (status, code), "{what}: {}", seen.message());
        }
        let seen = lab.modern("tools/call", json!({"name": "ecko"})).await.message();
        assert_eq!(seen["error"]["message"], "there is no tool \"ecko\"; did you mean \"echo\"?");
        let seen = lab
            .send(modern_with(
                &[("mcp-protocol-version", "2099-01-01")],
                "tools/call",
                json!({"name": "echo", "_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}}),
            ))
            .await
            .message();
        assert_eq!(seen["error"]["data"]["requested"], "2099-01-01");
        assert!(seen["error"]["data"]["supported"].as_array().unwrap().contains(&json!("2026-07-28")));
        // Encoded names and header arguments that fit.
        let encoded = modern_with(&[("mcp-name", "=?base64?ZWNobw==?=")], "tools/call", call.clone());
        assert!(lab.send(encoded).await.result().is_object());
        let headers = [("mcp-param-region", "=?base64?ZXU=?="), ("Mcp-Param-N", "3")];
        let region = modern_with(&headers, "tools/call", json!({"name": "region", "arguments": {"region": "eu", "n": 3}}));
        assert_eq!(lab.send(region).await.result()["structuredContent"], json!({"region": "eu", "n": 3}));
    }
}

#[tokio::test]
async fn the_errors_of_older_clients_come_with_status_200() {
    let lab = Lab::new();
    let session = lab.session().await;
    for session in [None, Some(session.as_str())] {
        for (method, params, code) in [
            ("tools/call", json!({"name": "ecko"}), -32602),
            ("tools/call", json!({}), -32602),
            ("tools/call", json!({"name": "echo", "arguments": "x"}), -32602),
            ("tools/call", json!({"name": "protocol"}), -32042),
            ("tools/list", json!({"cursor": "x"}), -32602),
            ("prompts/list", json!({"cursor": "x"}), -32602),
            ("prompts/get", json!({"name": "great"}), -32602),
            ("resources/read", json!({"uri": "other://text"}), -32002),
            ("resources/read", json!({"uri": "local://gone"}), -32002),
            ("resources/read", json!({"uri": 5}), -32602),
            ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": "b"}}), -32602),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/resource", "uri": "x://{y}"}, "argument": {"name": "a", "value": "b"}}),
                -32602,
            ),
            ("unknown/method", Value::Null, -32601),
            ("subscriptions/listen", json!({"notifications": {}}), -32601),
        ] {
            let seen = lab.send(legacy(session, method, params.clone())).await;
            assert_eq!((seen.status.as_u16(), seen.code()), (200, code), "{method} {params} {session:?}");
        }
        assert!(lab.send(legacy(session, "ping", Value::Null)).await.result().is_object());
    }
    let mut long = initialize();
    long["clientInfo"]["name"] = "x".repeat(100_000).into();
    assert_eq!(lab.legacy("initialize", long).await.status, 413, "a session keeps it");
    let bad = lab.legacy("initialize", json!({"protocolVersion": 5})).await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, -32602));
}

#[tokio::test]
async fn a_full_queue_is_503_with_retry_after_and_an_error_of_json_rpc() {
    let lab = Lab::new();
    let session = lab.session().await;
    for request in [
        modern("tools/call", json!({"name": "busy"})),
        legacy(None, "tools/call", json!({"name": "busy"})),
        legacy(Some(&session), "tools/call", json!({"name": "busy"})),
    ] {
        let seen = lab.send(request).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (503, -32000));
        assert_eq!(seen.headers["retry-after"], "2");
        assert_eq!(seen.message()["error"]["data"]["retryAfterMs"], 1500);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to a good request's bytes: a client error or an answer, never a panic, never a server error.
    #[test]
    fn mutated_requests_are_answered_well(
        which in 0_usize..7,
        changes in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\0-n"[..])], 0_u8..3), 0..6),
        headers in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new();
            let good = match which {
                0 => modern("tools/call", json!({"name": "echo", "arguments": {"a": "b", "c": [1.5, null]}})),
                1 => modern("tools/list", Value::Null),
                2 => legacy(None, "tools/call", json!({"name": "echo", "arguments": {"a": {"b": true}}, "_meta": {"progressToken": "x"}})),
                3 => legacy(None, "resources/read", json!({"uri": "local://item/1"})),
                4 => modern("prompts/get", json!({"name": "greet", "arguments": {"name": "x"}})),
                5 => legacy(None, "completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "name", "value": "x"}})),
                _ => legacy(None, "initialize", initialize()),
            };
            let (mut parts, body) = good.into_parts();
            let mut body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
            for (at, byte, how) in &changes {
                let at = at.index(body.len().max(1));
                match how {
                    0 if at < body.len() => body[at] = *byte,
                    1 => body.insert(at.min(body.len()), *byte),
                    _ if at < body.len() => drop(body.remove(at)),
                    _ => {}
                }
            }
            if !headers {
                parts.headers.remove("mcp-method");
                parts.headers.remove("mcp-protocol-version");
            }
            let seen = lab.send(Request::from_parts(parts, Body::from(body.clone()))).await;
            assert!(!seen.status.is_server_error(), "{seen:?} for {}", String::from_utf8_lossy(&body));
            let _readable = seen.messages();
        });
    }
}

#[tokio::test]
async fn methods_that_are_gone_in_2026_07_28_are_not_found_there() {
    let lab = Lab::new();
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        let params = if method == "initialize" { initialize() } else { json!({}) };
        let seen = lab.modern(method, params).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (404, -32601), "{method}: {seen:?}");
        assert!(!seen.headers.contains_key("mcp-session-id"), "{method}");
    }
}

#[tokio::test]
async fn who_does_not_come_by_http_needs_no_host() {
    let lab = Lab::new();
    for method in ["tools/list", "ping"] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string();
        let (parts, _) = request(&[("host", "")], "").into_parts();
        let response = lab.front.handle(None, Request::from_parts(parts, message.into())).await;
        assert_eq!(response.status(), 200, "{method}");
    }
}
