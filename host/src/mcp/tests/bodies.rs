//! How much of requests' bodies is held at once.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;

use super::support::*;
use crate::{
    config::{HttpConfig, TasksConfig},
    mcp::FrontOptions,
};

/// Room for one of the large requests below, and not for two.
fn labs() -> [Lab; 2] {
    // Whose client knows tasks becomes one at once.
    let tasks = TasksConfig { after: Duration::from_millis(1), ..TasksConfig::default() };
    [true, false].map(|lean| {
        let http = HttpConfig { max_body: 64 << 10, max_bodies: 100 << 10, ..HttpConfig::default() };
        Lab::within(FrontOptions { lean, tasks: tasks.clone(), ..FrontOptions::default() }, &http)
    })
}

/// Waits until what a call held is given back: its task ends after it has said so.
async fn free(lab: &Lab) {
    let free = async {
        while lab.send(large(None, "echo")).await.status == 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the room is free again");
}

fn large(session: Option<&str>, name: &str) -> Request<Body> {
    let params = json!({"name": name, "_meta": {"pad": "x".repeat(60 << 10), "progressToken": 1}});
    match session {
        Some(_) => legacy(session, "tools/call", params),
        None => modern("tools/call", params),
    }
}

#[tokio::test]
async fn past_the_common_limit_a_large_body_is_turned_away_for_now_and_a_small_one_is_not() {
    for lab in labs() {
        let session = lab.session().await;
        for (session, name) in
            [(None, "hang"), (None, "hang_notify"), (Some(session.as_str()), "hang"), (Some(session.as_str()), "hang_notify")]
        {
            let first = lab.send(large(session, name));
            let meanwhile = async {
                assert_eq!(lab.event().await, "started");
                let seen = lab.send(large(None, "echo")).await;
                assert_eq!((seen.status.as_u16(), seen.code()), (503, -32000), "{seen:?}");
                assert!(seen.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
                assert!(seen.message()["error"]["message"].as_str().unwrap().contains("max_bodies"), "{seen:?}");
                let seen = lab.modern("tools/call", json!({"name": "echo", "_meta": {"pad": "x".repeat(3 << 10)}})).await;
                assert_eq!(seen.result()["isError"], json!(false), "{seen:?}");
                lab.release.notify_one();
                assert_eq!(lab.event().await, "finished");
            };
            let (seen, ()) = tokio::join!(first, meanwhile);
            assert_eq!(seen.result()["content"][0]["text"], "released", "{seen:?}");
            assert_eq!(lab.send(large(None, "echo")).await.result()["isError"], json!(false), "the room is free again");
        }
    }
}

#[tokio::test]
async fn a_call_that_outlives_its_connection_holds_its_bytes_until_it_ends() {
    for lab in labs() {
        let session = lab.session().await;
        let response = lab.endpoint.handle(None, large(Some(&session), "hang_notify")).await;
        assert_eq!(lab.event().await, "started");
        drop(response);
        assert_eq!(lab.send(large(None, "echo")).await.status, 503);
        lab.release.notify_one();
        assert_eq!(lab.event().await, "finished");
        free(&lab).await;
    }
}

#[tokio::test]
async fn a_call_that_goes_on_as_a_task_holds_its_bytes_until_it_ends() {
    for lab in labs() {
        let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        let meta = json!({"pad": "x".repeat(60 << 10), "io.modelcontextprotocol/clientCapabilities": capabilities});
        let created = lab.modern("tools/call", json!({"name": "hang", "_meta": meta})).await;
        assert_eq!(created.result()["resultType"], "task", "{created:?}");
        assert_eq!(lab.event().await, "started");
        assert_eq!(lab.send(large(None, "echo")).await.status, 503);
        lab.release.notify_one();
        assert_eq!(lab.event().await, "finished");
        free(&lab).await;
    }
}

#[tokio::test]
async fn what_was_refused_or_is_no_message_holds_nothing() {
    for lab in labs() {
        for _ in 0..3 {
            let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"pad\":\"{}\"}}", "x".repeat(60 << 10));
            assert_eq!(lab.send(request(&[], &body)).await.status, 400);
            assert_eq!(lab.send(request(&[], &"x".repeat(65 << 10))).await.status, 413);
            assert_eq!(lab.send_to("nobody", large(None, "echo")).await.status, 404);
        }
        assert_eq!(lab.send(large(None, "echo")).await.result()["isError"], json!(false));
    }
}
