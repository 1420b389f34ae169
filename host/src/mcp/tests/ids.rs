//! Ids of requests in a session: two at once with one id.

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
async fn of_two_requests_with_one_id_at_once_the_second_is_refused_and_the_first_answered() {
    let lab = Lab::new();
    let (session, other) = (lab.session().await, lab.session().await);
    // The same id, written in two ways.
    let first = lab.send(call(&session, r#""\u0061""#));
    let meanwhile = async {
        assert_eq!(lab.event().await, "started");
        let seen = lab.send(ping(&session, r#""a""#)).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (400, -32600), "{seen:?}");
        assert_eq!(seen.message()["id"], "a");
        let text = seen.message()["error"]["message"].as_str().unwrap().to_owned();
        assert!(text.contains(r#"id "a" is in use by a request of this session that has not been answered"#), "{text}");
        assert_eq!(lab.send(ping(&other, r#""a""#)).await.result(), json!({}), "another session has ids of its own");
        lab.release.notify_one();
    };
    let (seen, ()) = tokio::join!(first, meanwhile);
    assert_eq!((seen.message()["id"].clone(), seen.result()["content"][0]["text"].clone()), (json!("a"), json!("released")));
}

#[tokio::test]
async fn a_text_and_a_number_are_two_ids() {
    let lab = Lab::without_lean_path();
    let session = lab.session().await;
    let first = lab.send(call(&session, "1"));
    let meanwhile = async {
        assert_eq!(lab.event().await, "started");
        let seen = lab.send(ping(&session, r#""1""#)).await;
        assert_eq!((seen.message()["id"].clone(), seen.result()), (json!("1"), json!({})), "{seen:?}");
        lab.release.notify_one();
    };
    let (seen, ()) = tokio::join!(first, meanwhile);
    assert_eq!((seen.message()["id"].clone(), seen.result()["content"][0]["text"].clone()), (json!(1), json!("released")));
}

#[tokio::test]
async fn an_id_is_free_again_when_its_request_is_answered_refused_or_cancelled() {
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
async fn an_id_whose_client_hung_up_is_in_use_while_its_request_runs() {
    let lab = Lab::without_lean_path();
    let session = lab.session().await;
    // The stream is opened at once.
    let response = lab.endpoint.handle(None, call(&session, "1")).await;
    assert_eq!(lab.event().await, "started");
    drop(response);
    assert_eq!(lab.send(ping(&session, "1")).await.code(), -32600);
    lab.release.notify_one();
    assert_eq!(lab.event().await, "finished");
    // Its end is handed over by tasks of rmcp's.
    let mut last = Value::Null;
    let answered = async {
        loop {
            last = lab.send(ping(&session, "1")).await.message();
            if last.get("error").is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, answered).await;
    assert!(ended.is_ok() && last["result"] == json!({}), "the id is not free: {last}");
}

#[tokio::test]
async fn the_lean_path_answers_both_of_two_requests_with_one_id() {
    let lab = Lab::new();
    let session = lab.session().await;
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
