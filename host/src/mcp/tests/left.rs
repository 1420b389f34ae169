//! What the lean path leaves to rmcp, and the reason that it gives.

use serde_json::{Value, json};

use super::support::*;
use crate::mcp::fast_path::{self, Leave};

/// The reason for which a request is left. None: it is answered.
async fn left(lab: &Lab, request: http::Request<axum::body::Body>) -> Option<Leave> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    fast_path::answer(lab.front.state(), &parts, &body).await.err()
}

#[tokio::test]
async fn each_request_that_is_left_has_its_reason() {
    let lab = Lab::new();
    let list = || json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let with = |member: &str, value: Value| {
        let mut message = list();
        message[member] = value;
        request(&[], &message.to_string())
    };
    let without = |member: &str| {
        let mut message = list();
        message.as_object_mut().unwrap().remove(member);
        request(&[], &message.to_string())
    };
    let call = |meta: Value| modern("tools/call", json!({"name": "echo", "arguments": {}, "_meta": meta}));
    let session = lab.session().await;
    for (what, request, reason) in [
        ("a plain list", request(&[], &list().to_string()), None),
        ("a plain call", call(json!({"progressToken": 1})), None),
        ("no JSON object", request(&[], "[]"), Some(Leave::NoMessage)),
        ("broken JSON", request(&[], "{"), Some(Leave::Envelope)),
        ("an unknown member", with("more", json!(1)), Some(Leave::Envelope)),
        ("another version of JSON-RPC", with("jsonrpc", json!("1.0")), Some(Leave::Envelope)),
        ("a notification", without("id"), Some(Leave::Id)),
        ("a fractional id", with("id", json!(1.5)), Some(Leave::Id)),
        ("a method of sessions", with("method", json!("ping")), Some(Leave::Method)),
        ("an unknown method", with("method", json!("x/y")), Some(Leave::Method)),
        ("a cursor", with("params", json!({"cursor": "x"})), Some(Leave::Params)),
        ("no name", modern("tools/call", json!({"arguments": {}})), Some(Leave::Params)),
        ("an unknown revision", request(&[("mcp-protocol-version", "1999-01-01")], &list().to_string()), Some(Leave::Revision)),
        ("another name in the header", modern_with(&[("mcp-name", "fail")], "tools/call", json!({"name": "echo"})), Some(Leave::Headers)),
        ("no session of ours", legacy(Some("no-such-session"), "tools/list", Value::Null), Some(Leave::Session)),
        ("a session of ours", legacy(Some(&session), "tools/list", Value::Null), None),
        ("a fractional token", call(json!({"progressToken": 1.5})), Some(Leave::Meta)),
        ("an unknown log level", call(json!({"io.modelcontextprotocol/logLevel": "loud"})), Some(Leave::Meta)),
    ] {
        assert_eq!(left(&lab, request).await, reason, "{what}");
    }
}
