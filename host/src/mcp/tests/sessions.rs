//! Sessions that any instance goes on with: their ids say all of it, and what is kept beside that is little.

use std::{sync::Arc, time::Duration};

use http::Request;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    config::{Secret, Sessions, StateConfig},
    mcp::FrontOptions,
};

fn get(id: &str) -> Request<axum::body::Body> {
    with_method("GET", id)
}

fn delete(id: &str) -> Request<axum::body::Body> {
    with_method("DELETE", id)
}

fn with_method(method: &str, id: &str) -> Request<axum::body::Body> {
    let request = Request::builder().method(method).uri("/mcp").header("host", "localhost").header("accept", "text/event-stream");
    request.header("mcp-session-id", id).body(axum::body::Body::empty()).unwrap()
}

fn keys(keys: &[&str]) -> FrontOptions {
    let keys = keys.iter().map(|key| Secret(key.repeat(32))).collect();
    FrontOptions { state: StateConfig { keys, ..StateConfig::default() }, ..FrontOptions::default() }
}

async fn lists(lab: &Lab, id: &str) -> u16 {
    lab.send(legacy(Some(id), "tools/list", Value::Null)).await.status.as_u16()
}

#[tokio::test]
async fn another_instance_with_the_same_keys_goes_on_with_a_session() {
    for lean in [true, false] {
        let options = || FrontOptions { lean, ..keys(&["a"]) };
        let (first, second) = (Lab::with(options()), Lab::with(options()));
        let id = first.session().await;
        assert!(id.len() < 700 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        drop(first);
        for (method, params) in [("tools/list", Value::Null), ("ping", Value::Null), ("tools/call", json!({"name": "echo"}))] {
            assert!(second.send(legacy(Some(&id), method, params)).await.result().is_object(), "{method}");
        }
        let mut stream = Events::of(second.endpoint.handle(None, get(&id)).await);
        second.offer(&["added"]);
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
        assert_eq!(second.send(legacy(Some(&id), "logging/setLevel", json!({"level": "debug"}))).await.result(), json!({}));
    }
}

#[tokio::test]
async fn an_id_of_other_keys_or_of_another_kind_is_told_to_begin_again() {
    let old = Lab::with(keys(&["a"]));
    let id = old.session().await;
    for (lab, status) in
        [(Lab::with(keys(&["a"])), 200), (Lab::with(keys(&["b", "a"])), 200), (Lab::with(keys(&["b"])), 404), (Lab::new(), 404)]
    {
        assert_eq!(lists(&lab, &id).await, status);
        assert_eq!(lab.send(legacy(Some(&id), "ping", Value::Null)).await.status, status);
        if status == 404 {
            for request in [legacy(Some(&id), "tools/call", json!({"name": "echo"})), get(&id), delete(&id)] {
                let seen = lab.send(request).await;
                assert_eq!((seen.status.as_u16(), seen.code()), (404, -32001));
                let text = seen.message()["error"]["message"].as_str().unwrap().to_owned();
                assert!(text.contains("call initialize"), "{text}");
            }
        }
    }
    let expired = Lab::with(FrontOptions { session_ttl: Duration::from_millis(1), ..keys(&["a"]) });
    let hello = expired.legacy("initialize", initialize()).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(lists(&old, hello.headers["mcp-session-id"].to_str().unwrap()).await, 404);
    for other in ["1868a90c7f3d4b0a9d5e6f7081920a1b", "0195c2d0-7a4e-7f6b-8c1d-2e3f4a5b6c7d", "rs2.a.b.c", "x", &format!("{id}x")] {
        assert_eq!(lists(&old, other).await, 404, "{other}");
    }
    // The key rotates while the host runs.
    old.front.reconfigure(keys(&["b", "a"]));
    assert_eq!(lists(&old, &id).await, 200);
}

#[tokio::test]
async fn an_ended_session_stays_ended_and_a_forgotten_one_goes_on() {
    let lab = Lab::new();
    let session = lab.session().await;
    assert_eq!(lab.front.sessions(), 1);
    let mut stream = Events::of(lab.endpoint.handle(None, get(&session)).await);
    assert_eq!(lab.send(delete(&session)).await.status, 204, "the Python SDK warns of 202");
    assert!(stream.next().await.is_none());
    assert_eq!(lab.front.sessions(), 0);
    for request in [legacy(Some(&session), "tools/list", Value::Null), legacy(Some(&session), "ping", Value::Null), delete(&session)] {
        let seen = lab.send(request).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (404, -32001));
    }

    let lab = Lab::with(FrontOptions { max_sessions: 2, session_idle: Duration::from_millis(200), ..FrontOptions::default() });
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(lab.session().await);
        assert!(lab.front.sessions() <= 2);
    }
    for id in &all {
        assert_eq!(lists(&lab, id).await, 200);
    }
    // All idle from here on; the table empties without any request.
    tokio::time::timeout(PATIENCE, async {
        while lab.front.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("idle sessions are forgotten");
    assert_eq!(lists(&lab, &all[0]).await, 200);
}

#[tokio::test]
async fn a_session_that_is_kept_ends_with_its_time_and_with_its_key() {
    let lab = Lab::with(FrontOptions { session_ttl: Duration::from_secs(2), ..keys(&["a"]) });
    let session = lab.session().await;
    let mut stream = Events::of(lab.endpoint.handle(None, get(&session)).await);
    tokio::time::timeout(PATIENCE, async {
        while lists(&lab, &session).await != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it expires though it is in use");
    assert!(stream.next().await.is_none());

    let lab = Lab::with(keys(&["a"]));
    let session = lab.session().await;
    let mut stream = Events::of(lab.endpoint.handle(None, get(&session)).await);
    lab.front.reconfigure(keys(&["b", "a"]));
    assert_eq!(lists(&lab, &session).await, 200);
    lab.front.reconfigure(keys(&["b"]));
    assert!(stream.next().await.is_none(), "nobody had to ask for anything");
    assert_eq!((lists(&lab, &session).await, lab.front.sessions()), (404, 0));
}

#[tokio::test]
async fn a_client_hears_of_what_changed_before_it_listened_and_while_it_was_away() {
    let (first, second) = (Lab::with(keys(&["a"])), Lab::with(keys(&["a"])));
    let id = first.session().await;
    first.offer(&["added"]);
    second.offer(&["added"]);
    // It has seen no list yet, as far as its id says.
    let mut stream = Events::of(second.endpoint.handle(None, get(&id)).await);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    drop(stream);
    // On another instance, where it says what it saw last.
    let seen = {
        let mut stream = second.endpoint.handle(None, get(&second.session().await)).await.into_body().into_data_stream();
        second.offer(&["added", "more"]);
        let event = tokio::time::timeout(PATIENCE, futures::StreamExt::next(&mut stream)).await.unwrap().unwrap().unwrap();
        let event = String::from_utf8(event.to_vec()).unwrap();
        event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
    };
    let again = |lab: &Lab| {
        let mut request = get(&id);
        request.headers_mut().insert("last-event-id", seen.parse().unwrap());
        let (endpoint, request) = (Arc::clone(&lab.endpoint), request);
        async move { Events::of(endpoint.handle(None, request).await) }
    };
    let mut behind = again(&first).await;
    assert_eq!(behind.next().await.unwrap()["method"], "notifications/tools/list_changed");
    let mut level = again(&second).await;
    second.put("local2", &[], crate::provider::Offers { prompts: offers("name", &[json!({"name": "p"})]), ..Default::default() });
    assert_eq!(level.next().await.unwrap()["method"], "notifications/prompts/list_changed", "it knew the tools");
}

#[tokio::test]
async fn of_two_streams_of_a_session_one_tells() {
    let lab = Lab::new();
    let id = lab.session().await;
    let mut first = Events::of(lab.endpoint.handle(None, get(&id)).await);
    let mut second = Events::of(lab.endpoint.handle(None, get(&id)).await);
    lab.offer(&["added"]);
    assert_eq!(second.next().await.unwrap()["method"], "notifications/tools/list_changed");
    drop(second);
    lab.offer(&["added", "more"]);
    assert_eq!(first.next().await.unwrap()["method"], "notifications/tools/list_changed");
    lab.put("local2", &[], crate::provider::Offers { prompts: offers("name", &[json!({"name": "p"})]), ..Default::default() });
    assert_eq!(first.next().await.unwrap()["method"], "notifications/prompts/list_changed", "the first change was told once");
}

#[tokio::test]
async fn without_sessions_every_request_is_served_and_no_id_is_given_out() {
    for lean in [true, false] {
        let lab = Lab::with(FrontOptions { sessions: Sessions::None, lean, ..FrontOptions::default() });
        let seen = lab.legacy("initialize", initialize()).await;
        assert!(seen.result()["serverInfo"].is_object() && !seen.headers.contains_key("mcp-session-id"), "{seen:?}");
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(lab.send(request(&[], &body.to_string())).await.status, 202);
        for session in [None, Some("1868a90c7f3d4b0a9d5e6f7081920a1b")] {
            for (method, params) in [("tools/list", Value::Null), ("ping", Value::Null), ("tools/call", json!({"name": "echo"}))] {
                assert!(lab.send(legacy(session, method, params)).await.result().is_object(), "{method}");
            }
        }
        for request in [get("x"), delete("x")] {
            assert_eq!(lab.send(request).await.status, 405);
        }
    }
}
