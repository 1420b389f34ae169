//! Ids of requests in a session: two at once with one id, and the same id again.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::support::*;

/// A call that goes the general way, also where the lean one is there: it takes no id that has an escape in it.
fn call(session: &str, id: &str) -> Request<Body> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"hang"}}}}"#);
    request(&[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", session)], &body)
}

fn ping(session: &str, id: &str) -> Request<Body> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    request(&[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", session)], &body)
}

#[tokio::test]
async fn of_two_requests_with_one_id_at_once_both_are_answered() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        // The same id, written in two ways; a number is another one.
        let first = lab.send(call(&session, r#""\u0061""#));
        let meanwhile = async {
            assert_eq!(lab.event().await, "started");
            for id in [r#""a""#, "1", r#""1""#] {
                let seen = lab.send(ping(&session, id)).await;
                assert_eq!((seen.message()["id"].to_string(), seen.result()), (id.to_owned(), json!({})), "{seen:?}");
            }
            lab.release.notify_one();
        };
        let (seen, ()) = tokio::join!(first, meanwhile);
        assert_eq!((seen.message()["id"].clone(), seen.result()["content"][0]["text"].clone()), (json!("a"), json!("released")));
        assert_eq!(lab.event().await, "finished");

        let hang = || lab.send(legacy(Some(&session), "tools/call", json!({"name": "hang"})));
        let release = async {
            for _ in 0..2 {
                assert_eq!(lab.event().await, "started");
            }
            lab.release.notify_waiters();
        };
        let (first, second, ()) = tokio::join!(hang(), hang(), release);
        let text = |seen: &Seen| -> Value { seen.result()["content"][0]["text"].clone() };
        assert_eq!((text(&first), text(&second)), (json!("released"), json!("released")));
    }
}

#[tokio::test]
async fn an_id_serves_again_when_its_request_was_answered_refused_or_cancelled() {
    let lab = Lab::without_lean_path();
    let session = lab.session().await;
    for _ in 0..50 {
        assert_eq!(lab.send(ping(&session, "1")).await.result(), json!({}));
        let unknown = legacy(Some(&session), "tools/call", json!({"name": "nothing"}));
        assert_eq!(lab.send(unknown).await.code(), -32602);
    }
    let cancelled = lab.send(call(&session, "1"));
    let cancel = async {
        assert_eq!(lab.event().await, "started");
        let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        assert_eq!(lab.send(request(&[("mcp-session-id", &session)], &body.to_string())).await.status, 202);
        assert_eq!(lab.event().await, "dropped");
    };
    let (seen, ()) = tokio::join!(cancelled, cancel);
    assert!(!seen.messages().iter().any(|message| message.get("id").is_some()), "{seen:?}");
    assert_eq!(lab.send(ping(&session, "1")).await.result(), json!({}));
}

#[tokio::test]
async fn a_call_whose_client_hung_up_runs_on() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        tokio::select! {
            seen = lab.send(call(&session, "1")) => panic!("{seen:?}"),
            event = lab.event() => assert_eq!(event, "started"),
        }
        assert_eq!(lab.send(ping(&session, "1")).await.result(), json!({}));
        lab.release.notify_one();
        assert_eq!(lab.event().await, "finished");
    }
}
