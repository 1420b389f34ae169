//! What both eras offer: lists, calls, notifications, sessions, subscriptions.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};

use super::support::*;
use crate::provider::Principal;

#[tokio::test]
async fn both_eras_list_and_call() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let listed = lab.modern("tools/list", Value::Null).await;
        let result = listed.result();
        assert_eq!((result["resultType"].as_str(), result["cacheScope"].as_str()), (Some("complete"), Some("public")));
        assert!(result["ttlMs"].is_u64());
        let names: Vec<_> = result["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        // In their provider's order.
        assert_eq!(names[..4], ["echo", "fail", "busy", "protocol"]);
        assert_eq!(names[names.len() - 2..], ["region", "full"]);
        let full = result["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "full").unwrap();
        assert_eq!(full["icons"][0]["sizes"], json!(["48x48"]));
        assert_eq!(full["_meta"], json!({"vendor/x": [1, 2]}));
        assert_eq!(full["outputSchema"]["$defs"]["x"]["$anchor"], "a");

        let old = lab.legacy("tools/list", Value::Null).await.result();
        assert_eq!(old, json!({"tools": result["tools"]}), "no members of the newer revision");

        let call = json!({"name": "echo", "arguments": {"a": [1, "ü"]}});
        let called = lab.modern("tools/call", call.clone()).await;
        assert_eq!(called.result()["resultType"], "complete");
        assert_eq!(called.result()["structuredContent"], json!({"a": [1, "ü"]}));
        assert_eq!(called.result()["content"][0]["text"], "\u{1F600} \"{\"a\":[1,\"ü\"]}\"\n");
        assert_eq!(called.result()["isError"], false);
        assert_eq!(called.message()["id"], 7);
        assert!(!called.is_stream());
        assert!(lab.legacy("tools/call", call.clone()).await.result().get("resultType").is_none());
        let session = lab.session().await;
        let on_session = lab.send(legacy(Some(&session), "tools/call", call)).await;
        assert_eq!(on_session.result()["structuredContent"], json!({"a": [1, "ü"]}));
        assert_eq!(
            lab.modern("tools/call", json!({"name": "local__echo"})).await.result()["structuredContent"],
            json!({}),
            "no arguments are {{}}"
        );
    }
}

#[tokio::test]
async fn nothing_that_a_tool_or_a_block_carries_is_lost() {
    let lab = Lab::new();
    let content = lab.modern("tools/call", json!({"name": "rich"})).await.result()["content"].clone();
    let kinds: Vec<_> = content.as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image", "audio", "resource_link", "resource"]);
    assert_eq!(content[4], json!({"type": "resource", "resource": {"uri": "x://z", "text": "z"}, "annotations": {"audience": ["user"]}}));
    // Structured content that is no object is of 2026-07-28 only.
    assert_eq!(lab.modern("tools/call", json!({"name": "list"})).await.result()["structuredContent"], json!([1, 2]));
    assert!(lab.legacy("tools/call", json!({"name": "list"})).await.result().get("structuredContent").is_none());
}

#[tokio::test]
async fn a_call_knows_who_makes_it_and_what_it_was_sent() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut request =
            modern_with(&[("traceparent", parent)], "tools/call", json!({"name": "context", "_meta": {"vendor/x": 1, "progressToken": 3}}));
        request.extensions_mut().insert(Principal::new("ci"));
        let seen = lab.send(request).await.result()["structuredContent"].clone();
        assert_eq!((seen["principal"].as_str(), seen["traceParent"].as_str(), &seen["id"]), (Some("ci"), Some(parent), &json!(true)));
        assert_eq!(seen["meta"]["vendor/x"], 1);
        assert_eq!(seen["notifier"], false, "the tool says that it does not notify");
        let seen =
            lab.legacy("tools/call", json!({"name": "context", "_meta": {"traceparent": parent}})).await.result()["structuredContent"]
                .clone();
        assert_eq!((seen["principal"].as_str(), seen["traceParent"].as_str()), (None, Some(parent)));
        // One that is not well-formed is as if it were not there.
        let request = modern_with(&[("traceparent", parent)], "tools/call", json!({"name": "context", "_meta": {"traceparent": "00-x"}}));
        assert_eq!(lab.send(request).await.result()["structuredContent"]["traceParent"], parent);
    }
}

#[tokio::test]
async fn progress_and_logs_come_before_the_answer_and_only_when_asked_for() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let quiet = lab.modern("tools/call", json!({"name": "notify"})).await;
        assert!(!quiet.is_stream());
        for token in [json!("t-1"), json!(12)] {
            let seen = lab.modern("tools/call", json!({"name": "notify", "_meta": {"progressToken": token}})).await;
            let messages = seen.messages();
            let steps: Vec<_> = messages
                .iter()
                .filter(|m| m["method"] == "notifications/progress")
                .map(|m| m["params"]["progress"].as_f64().unwrap())
                .collect();
            assert_eq!(steps, [0.0, 50.0, 100.0], "only growing progress");
            assert!(messages.iter().filter(|m| m["method"].is_string()).all(|m| m["params"]["progressToken"] == token));
            assert!(!messages.iter().any(|m| m["method"] == "notifications/message"), "no log level was asked for");
            assert_eq!(messages.last().unwrap()["result"]["content"][0]["text"], "notified");
        }
        let logged = lab.modern("tools/call", json!({"name": "notify", "_meta": {"io.modelcontextprotocol/logLevel": "warning"}})).await;
        let messages = logged.messages();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!(messages[0]["params"], json!({"level": "warning", "logger": "local", "data": {"w": 1}}));
        let bad = lab.modern("tools/call", json!({"name": "notify", "_meta": {"io.modelcontextprotocol/logLevel": "loud"}})).await;
        assert_eq!(bad.code(), -32602);
    }
}

#[tokio::test]
async fn a_tool_that_may_notify_but_does_not_is_answered_by_json() {
    let lab = Lab::new();
    let seen = lab.modern("tools/call", json!({"name": "silent", "_meta": {"progressToken": 1}})).await;
    assert!(!seen.is_stream());
    assert_eq!(seen.result()["structuredContent"], json!({}));
}

#[tokio::test]
async fn who_takes_one_type_of_answer_gets_that_one() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        let loud = json!({"name": "notify", "_meta": {"progressToken": 1}});
        for accept in ["application/json", "text/event-stream", "text/event-stream;q=0.5, text/html"] {
            let requests = [
                modern_with(&[("accept", accept)], "tools/call", loud.clone()),
                modern_with(&[("accept", accept)], "tools/list", Value::Null),
                legacy(None, "tools/call", loud.clone()),
                legacy(Some(&session), "tools/call", loud.clone()),
                legacy(Some(&session), "prompts/list", json!({})),
                legacy(Some(&session), "ping", json!({})),
                legacy(None, "initialize", initialize()),
            ];
            for mut request in requests {
                request.headers_mut().insert("accept", accept.parse().unwrap());
                let seen = lab.send(request).await;
                assert_eq!((seen.status.as_u16(), seen.is_stream()), (200, accept.starts_with("text")), "{accept}: {seen:?}");
                assert!(seen.message()["result"].is_object(), "{accept}: {seen:?}");
                if accept.starts_with("text") {
                    let text = std::str::from_utf8(&seen.body).unwrap();
                    assert_eq!(text.matches("event: message\n").count(), seen.messages().len(), "{accept}: {text}");
                } else {
                    assert_eq!(seen.messages().len(), 1, "{accept}: nothing but the answer");
                }
            }
        }
        let mut listen = modern_with(&[], "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
        listen.headers_mut().insert("accept", "application/json".parse().unwrap());
        assert_eq!(lab.send(listen).await.status, 406, "there is nothing but a stream");
    }
}

#[tokio::test]
async fn each_message_of_a_stream_has_the_name_that_clients_listen_for() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let seen = lab.modern("tools/call", json!({"name": "notify", "_meta": {"progressToken": 1}})).await;
        let text = std::str::from_utf8(&seen.body).unwrap();
        assert!(seen.is_stream() && seen.messages().len() > 1);
        assert_eq!(text.matches("event: message\n").count(), seen.messages().len(), "{text}");
    }
}

#[tokio::test]
async fn a_session_has_a_log_level_of_its_own() {
    let lab = Lab::new();
    let (session, other) = (lab.session().await, lab.session().await);
    let logs = async |session: &str| {
        let seen = lab.send(legacy(Some(session), "tools/call", json!({"name": "notify"}))).await;
        seen.messages().iter().filter(|m| m["method"] == "notifications/message").map(|m| m["params"]["level"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(logs(&session).await, ["warning"], "info is the default");
    assert!(lab.send(legacy(Some(&session), "logging/setLevel", json!({"level": "debug"}))).await.message()["result"].is_object());
    assert_eq!(logs(&session).await, ["debug", "warning"]);
    assert_eq!(logs(&other).await, ["warning"]);
    lab.send(legacy(Some(&session), "logging/setLevel", json!({"level": "emergency"}))).await;
    assert!(logs(&session).await.is_empty());
}

#[tokio::test]
async fn initialize_and_discover_say_what_is_there() {
    let lab = Lab::new();
    let result = lab.legacy("initialize", initialize()).await.result();
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["serverInfo"]["name"], "toolbay");
    assert_eq!(
        result["capabilities"],
        json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true}, "resources": {"listChanged": true, "subscribe": true},
            "completions": {}, "logging": {}, "extensions": {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {}}})
    );
    for version in ["2024-11-05", "2025-03-26", "2025-06-18"] {
        let mut params = initialize();
        params["protocolVersion"] = version.into();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        assert_eq!(lab.send(request(&[], &body.to_string())).await.result()["protocolVersion"], version);
    }
    let discovered = lab.modern("server/discover", Value::Null).await.result();
    assert_eq!(discovered["resultType"], "complete");
    assert!(discovered["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{discovered}");
    assert_eq!(discovered["capabilities"]["tools"], json!({"listChanged": true}));
}

#[tokio::test]
async fn nobody_else_may_use_a_session() {
    let lab = Lab::new();
    let mut open = legacy(None, "initialize", initialize());
    open.extensions_mut().insert(Principal::new("alice"));
    let id = lab.send(open).await.headers["mcp-session-id"].to_str().unwrap().to_owned();
    for (who, status) in [(Some("alice"), 200), (Some("bob"), 404), (None, 404)] {
        for (method, params) in [("tools/list", Value::Null), ("ping", Value::Null), ("tools/call", json!({"name": "echo"}))] {
            let mut request = legacy(Some(&id), method, params);
            if let Some(who) = who {
                request.extensions_mut().insert(Principal::new(who));
            }
            assert_eq!(lab.send(request).await.status, status, "{who:?} {method}");
        }
    }
}

#[tokio::test]
async fn changes_reach_sessions_and_subscriptions_once_for_many() {
    let lab = Lab::new();
    let session = lab.session().await;
    let get = |accept: &str| {
        let request = Request::get("/mcp").header("host", "localhost").header("accept", accept).header("mcp-session-id", &session);
        request.body(axum::body::Body::empty()).unwrap()
    };
    let mut stream = Events::of(lab.endpoint.handle(None, get("text/event-stream")).await);
    let params = json!({"notifications": {"toolsListChanged": true}});
    let mut subscription = Events::of(lab.endpoint.handle(None, modern("subscriptions/listen", params)).await);
    assert_eq!(subscription.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    let params = json!({"notifications": {"promptsListChanged": true}});
    let mut deaf = Events::of(lab.endpoint.handle(None, modern("subscriptions/listen", params)).await);
    assert_eq!(deaf.next().await.unwrap()["params"]["notifications"], json!({"promptsListChanged": true}));

    let start = std::time::Instant::now();
    for n in 0..20 {
        lab.offer(&["added", &format!("added_{n}")]);
    }
    let heard = subscription.next().await.unwrap();
    assert_eq!(heard["method"], "notifications/tools/list_changed");
    assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(lab.modern("tools/call", json!({"name": "added"})).await.code() < 0, "the new tool is there: its provider answers");

    // The next thing that each hears is of the next change, so the twenty were one.
    lab.offer(&["added", "again"]);
    assert_eq!(subscription.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    lab.front.close();
    let last = subscription.next().await.unwrap();
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    assert!(subscription.next().await.is_none());
    assert!(stream.next().await.is_none());
    assert!(deaf.next().await.unwrap()["result"].is_object());
}
