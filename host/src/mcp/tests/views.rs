//! The endpoint of one provider: its own names, its own sessions, the limits of the whole.

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    mcp::FrontOptions,
    provider::{Offers, Principal, ProviderChange, ProviderId},
};

fn names(seen: &Seen, member: &str) -> Vec<String> {
    let list = seen.result()[member].as_array().cloned().unwrap_or_else(|| panic!("no {member} in {seen:?}"));
    list.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn get(session: &str) -> Request<axum::body::Body> {
    let request = Request::get("/x/mcp").header("host", "localhost").header("accept", "text/event-stream");
    request.header("mcp-session-id", session).body(axum::body::Body::empty()).unwrap()
}

async fn open(lab: &Lab, provider: &str) -> Result<String, Seen> {
    let seen = lab.send_to(provider, legacy(None, "initialize", initialize())).await;
    if seen.status != 200 {
        return Err(seen);
    }
    let id = seen.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(lab.send_to(provider, request(&[("mcp-session-id", &id)], &body.to_string())).await.status, 202);
    Ok(id)
}

/// Writes a request of a method with parameters, as one era has it.
type Writer<'a> = &'a dyn Fn(&str, Value) -> Request<axum::body::Body>;

#[tokio::test]
async fn one_provider_is_offered_under_its_own_names_in_both_eras_on_both_ways() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let prompts = || offers("name", &[json!({"name": "greet"}), json!({"name": "bye"})]);
        lab.put("other", &["echo", "own"], Offers { prompts: prompts(), ..Offers::default() });
        assert!(names(&lab.modern("tools/list", json!({})).await, "tools").contains(&"other__echo".to_owned()));
        let session = open(&lab, "other").await.unwrap();
        let requests: [Writer<'_>; 3] =
            [&|method, params| modern(method, params), &|method, params| legacy(None, method, params), &|method, params| {
                legacy(Some(&session), method, params)
            }];
        for request in requests {
            let list = lab.send_to("other", request("tools/list", json!({}))).await;
            assert_eq!(names(&list, "tools"), ["echo", "own"]);
            assert_eq!(names(&lab.send_to("other", request("prompts/list", json!({}))).await, "prompts"), ["greet", "bye"]);
            let none = lab.send_to("other", request("resources/list", json!({}))).await;
            assert_eq!(none.result()["resources"], json!([]));
            for name in ["echo", "other__echo"] {
                let called = lab.send_to("other", request("tools/call", json!({"name": name, "arguments": {"x": 1}}))).await;
                assert_eq!(called.result()["structuredContent"], json!({"x": 1}), "{called:?}");
            }
            // What others offer is not there, whatever it is called.
            for name in ["fail", "local__fail", "local__echo"] {
                assert_eq!(lab.send_to("other", request("tools/call", json!({"name": name, "arguments": {}}))).await.code(), -32602);
            }
            let foreign = lab.send_to("other", request("resources/read", json!({"uri": "local://text"}))).await;
            assert!([-32602, -32002].contains(&foreign.code()));
        }
    }
}

#[tokio::test]
async fn an_unknown_provider_is_told_with_the_id_and_the_names_of_those_there_are() {
    let lab = Lab::new();
    lab.put("other", &["own"], Offers::default());
    for name in ["nobody", "", "a%2fb", "LOCAL", "../local"] {
        for request in [modern("tools/list", json!({})), legacy(None, "tools/list", json!({}))] {
            let seen = lab.send_to(name, request).await;
            assert_eq!(seen.status, 404, "{seen:?}");
            assert_eq!(seen.message()["id"], 7);
            let message = seen.message()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("local, other"), "{message}");
        }
        assert_eq!(lab.send_to(name, get("x")).await.status, 404);
    }
}

#[tokio::test]
async fn a_session_is_good_at_the_endpoint_that_opened_it() {
    let lab = Lab::new();
    lab.put("other", &["own"], Offers::default());
    let here = open(&lab, "other").await.unwrap();
    let whole = lab.session().await;
    assert_eq!(lab.send_to("other", legacy(Some(&here), "tools/list", json!({}))).await.status, 200);
    assert_eq!(lab.send_to("local", legacy(Some(&here), "tools/list", json!({}))).await.status, 404);
    assert_eq!(lab.send(legacy(Some(&here), "tools/list", json!({}))).await.status, 404);
    assert_eq!(lab.send_to("other", legacy(Some(&whole), "tools/list", json!({}))).await.status, 404);
}

#[tokio::test]
async fn the_limit_of_sessions_is_for_all_endpoints_together() {
    let lab = Lab::with(FrontOptions { max_sessions: 3, ..FrontOptions::default() });
    lab.put("other", &["own"], Offers::default());
    let first = lab.session().await;
    let second = open(&lab, "other").await.unwrap();
    let third = open(&lab, "local").await.unwrap();
    assert_eq!(lab.front.sessions(), 3);
    // All are in use: none makes room.
    let _listening = [
        Events::of(lab.endpoint.handle(None, get(&first)).await),
        Events::of(lab.endpoint.handle(Some("other"), get(&second)).await),
        Events::of(lab.endpoint.handle(Some("local"), get(&third)).await),
    ];
    for provider in ["other", "local"] {
        // One more is served, and only has no stream.
        let more = open(&lab, provider).await.unwrap();
        assert_eq!(lab.send_to(provider, legacy(Some(&more), "tools/list", json!({}))).await.status, 200);
        let full = lab.send_to(provider, get(&more)).await;
        assert_eq!((full.status, full.headers.contains_key("retry-after")), (503.try_into().unwrap(), true), "{full:?}");
    }
    assert_eq!(lab.front.sessions(), 3);
    let mut end = get(&second);
    *end.method_mut() = http::Method::DELETE;
    assert_eq!(lab.send_to("other", end).await.status, 204);
    assert_eq!(lab.front.sessions(), 2);
    let more = open(&lab, "local").await.unwrap();
    Events::of(lab.endpoint.handle(Some("local"), get(&more)).await);
}

#[tokio::test]
async fn one_caller_does_not_take_the_sessions_of_others() {
    let lab = Lab::with(FrontOptions { max_sessions: 8, ..FrontOptions::default() });
    let opens = async |who: &str| {
        let mut request = legacy(None, "initialize", initialize());
        request.extensions_mut().insert(Principal::new(who));
        let seen = lab.send(request).await;
        let id = seen.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        (seen.status.as_u16(), id)
    };
    let mut listening = Vec::new();
    let listens = async |who: &str| {
        let (200, Some(id)) = opens(who).await else { panic!("{who} gets no session") };
        let mut request = get(&id);
        request.extensions_mut().insert(Principal::new(who));
        lab.endpoint.handle(None, request).await
    };
    for _ in 0..20 {
        let response = listens("greedy").await;
        if response.status() == 200 {
            listening.push(Events::of(response));
        }
    }
    assert_eq!(listening.len(), 4, "half of all");
    for who in ["alice", "bob", "bob", "carol"] {
        listening.push(Events::of(listens(who).await));
    }
    assert_eq!(lab.front.sessions(), 8);
}

#[tokio::test]
async fn listeners_hear_of_changes_of_their_provider_and_of_no_other() {
    let lab = Lab::new();
    lab.put("other", &["one"], Offers::default());
    let session = open(&lab, "other").await.unwrap();
    let mut stream = Events::of(lab.endpoint.handle(Some("other"), get(&session)).await);
    let wanted = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true}});
    let mut listening = Events::of(lab.endpoint.handle(Some("other"), modern("subscriptions/listen", wanted)).await);
    assert_eq!(listening.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    // Of no interest: had they heard of it, it would come first.
    lab.put("third", &["one"], Offers::default());
    lab.put("third", &["one"], Offers { prompts: offers("name", &[json!({"name": "p"})]), ..Offers::default() });
    lab.put("other", &["one"], Offers::default());
    lab.put("other", &["one", "two"], Offers::default());
    for events in [&mut stream, &mut listening] {
        assert_eq!(events.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    assert_eq!(names(&lab.send_to("other", legacy(Some(&session), "tools/list", json!({}))).await, "tools"), ["one", "two"]);
}

#[tokio::test]
async fn with_a_provider_its_sessions_streams_and_endpoint_end() {
    let lab = Lab::new();
    lab.put("other", &["one"], Offers::default());
    let session = open(&lab, "other").await.unwrap();
    let mut stream = Events::of(lab.endpoint.handle(Some("other"), get(&session)).await);
    let wanted = json!({"notifications": {"toolsListChanged": true}});
    let mut listening = Events::of(lab.endpoint.handle(Some("other"), modern("subscriptions/listen", wanted)).await);
    listening.next().await.unwrap();
    let whole = lab.session().await;
    lab.catalog.apply(vec![ProviderChange::Remove(ProviderId::new("other").unwrap())]);
    while stream.next().await.is_some() {}
    while listening.next().await.is_some() {}
    assert_eq!(lab.send_to("other", legacy(Some(&session), "tools/list", json!({}))).await.status, 404);
    tokio::time::timeout(PATIENCE, async {
        while lab.front.sessions() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("its session is given back");
    assert_eq!(lab.send(legacy(Some(&whole), "tools/list", json!({}))).await.status, 200, "other endpoints go on");
    lab.put("other", &["again"], Offers::default());
    assert_eq!(names(&lab.send_to("other", modern("tools/list", json!({}))).await, "tools"), ["again"]);
    assert_eq!(names(&lab.send_to("other", legacy(Some(&session), "tools/list", json!({}))).await, "tools"), ["again"], "it goes on");
}

#[tokio::test]
async fn calls_of_all_endpoints_are_counted_together() {
    let lab = Arc::new(Lab::new());
    let calling = tokio::spawn({
        let lab = Arc::clone(&lab);
        async move { lab.send_to("local", modern("tools/call", json!({"name": "hang", "arguments": {}}))).await }
    });
    assert_eq!(lab.event().await, "started");
    assert_eq!(lab.front.in_flight(), 1);
    lab.release.notify_one();
    assert_eq!(calling.await.unwrap().status, 200);
    assert_eq!(lab.front.in_flight(), 0);
}
