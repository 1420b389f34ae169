//! Two roles over one catalog: what one of them may not use is not there for it, on both ways of a request and in both eras.

use std::{collections::HashMap, sync::Arc};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    catalog::{LivePolicy, Policy, Role},
    mcp::FrontOptions,
    provider::{Offers, Principal, Roles},
};

fn list(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
}

/// May use a little of `local`, and of `other` one tool.
fn reader() -> Role {
    Role {
        name: "reader".to_owned(),
        tools: list(&["local__echo", "local__silent", "other__shared"]),
        resources: list(&["local://item/*", "local://text"]),
        prompts: list(&["local__greet"]),
        ..Role::default()
    }
}

/// May use all of `other`.
fn ops() -> Role {
    Role { name: "ops".to_owned(), servers: list(&["other"]), ..Role::default() }
}

fn policy(roles: Vec<Role>) -> Policy {
    Policy::new(roles, Roles::default(), HashMap::new())
}

fn lab(lean: bool) -> (Lab, Arc<LivePolicy>) {
    let live = LivePolicy::new(policy(vec![reader(), ops()]));
    let lab = Lab::under(live.clone(), FrontOptions { lean, authenticated: true, ..FrontOptions::default() });
    lab.put("other", &["shared", "secret_9", "region_9"], hidden());
    (lab, live)
}

/// What `other` offers beside tools.
fn hidden() -> Offers {
    Offers {
        resources: offers("uri", &[json!({"uri": "hidden://res-9", "name": "res-9"})]),
        templates: offers("uriTemplate", &[json!({"uriTemplate": "hidden://tmpl-9/{x}", "name": "tmpl-9"})]),
        prompts: offers("name", &[json!({"name": "prompt_9"})]),
        completes: true,
    }
}

fn caller(role: &str) -> Principal {
    Principal::with_roles(&format!("{role}-user"), Roles::new([role]))
}

fn by(role: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(caller(role));
    request
}

async fn session(lab: &Lab, role: &str) -> String {
    let seen = lab.send(by(role, legacy(None, "initialize", initialize()))).await;
    let id = seen.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(lab.send(by(role, request(&[("mcp-session-id", &id)], &body.to_string()))).await.status, 202);
    id
}

fn names(seen: &Seen, member: &str, key: &str) -> Vec<String> {
    let list = seen.result()[member].as_array().cloned().unwrap_or_else(|| panic!("no {member} in {seen:?}"));
    list.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

type Writer = Box<dyn Fn(&str, Value) -> Request<Body>>;

/// The ways in which a client of each era asks.
async fn writers(lab: &Lab, role: &str) -> Vec<Writer> {
    let session = session(lab, role).await;
    vec![
        Box::new(|method: &str, params: Value| modern(method, params)),
        Box::new(|method: &str, params: Value| legacy(None, method, params)),
        Box::new(move |method: &str, params: Value| legacy(Some(&session), method, params)),
    ]
}

#[tokio::test]
async fn lists_and_calls_are_of_what_the_roles_allow() {
    for lean in [true, false] {
        let (lab, _) = lab(lean);
        for write in writers(&lab, "reader").await {
            let send = async |method: &str, params: Value| lab.send(by("reader", write(method, params))).await;
            assert_eq!(names(&send("tools/list", json!({})).await, "tools", "name"), ["echo", "silent", "shared"]);
            assert_eq!(names(&send("prompts/list", json!({})).await, "prompts", "name"), ["greet"]);
            assert_eq!(names(&send("resources/list", json!({})).await, "resources", "uri"), ["local://text"]);
            assert_eq!(
                names(&send("resources/templates/list", json!({})).await, "resourceTemplates", "uriTemplate"),
                ["local://item/{id}"]
            );
            assert!(send("tools/call", json!({"name": "echo", "arguments": {"a": 1}})).await.result()["content"].is_array());
            assert!(send("tools/call", json!({"name": "other__shared", "arguments": {}})).await.message()["error"].is_object());
            assert!(send("resources/read", json!({"uri": "local://item/5"})).await.result()["contents"].is_array());
            // What a template takes is decided by the address.
            for denied in ["local://blob", "local://item/../blob", "local://item/%2e%2e/blob", "hidden://res-9", "hidden://tmpl-9/x"] {
                let seen = send("resources/read", json!({"uri": denied})).await;
                assert!(seen.message()["error"]["message"].as_str().unwrap().contains("that your roles allow"), "{denied}: {seen:?}");
            }
            assert!(send("prompts/get", json!({"name": "greet", "arguments": {"name": "x"}})).await.result()["messages"].is_array());
        }
        for write in writers(&lab, "ops").await {
            let list = lab.send(by("ops", write("tools/list", json!({})))).await;
            assert_eq!(names(&list, "tools", "name"), ["shared", "secret_9", "region_9"]);
        }
        // A caller without roles, or with one that is gone, sees nothing.
        for request in [modern("tools/list", json!({})), by("gone", modern("tools/list", json!({})))] {
            assert_eq!(lab.send(request).await.result()["tools"], json!([]));
        }
    }
}

#[tokio::test]
async fn what_is_denied_is_answered_as_what_is_not_there() {
    /// As long as what it stands for, and like nothing that there is.
    const NOTHING: &str = "qqqqqqqqqqqqqqqq";
    for lean in [true, false] {
        let (lab, _) = lab(lean);
        for write in writers(&lab, "reader").await {
            for (method, member, denied) in [
                ("tools/call", "name", "secret_9"),
                ("tools/call", "name", "other__secret_9"),
                ("tools/call", "name", "region"),
                ("tools/call", "name", "local__region"),
                ("prompts/get", "name", "prompt_9"),
                ("prompts/get", "name", "other__prompt_9"),
                ("resources/read", "uri", "hidden://res-9"),
                ("resources/read", "uri", "hidden://tmpl-9/5"),
                ("resources/subscribe", "uri", "hidden://res-9"),
            ] {
                let answer = async |name: &str| {
                    let seen = lab.send(by("reader", write(method, json!({member: name})))).await;
                    (seen.status, seen.message().to_string().replace(name, "NAME"))
                };
                assert_eq!(answer(denied).await, answer(NOTHING).await, "{method} {denied}");
            }
            for reference in [
                json!({"type": "ref/prompt", "name": "prompt_9"}),
                json!({"type": "ref/resource", "uri": "hidden://tmpl-9/{x}"}),
                json!({"type": "ref/resource", "uri": "hidden://res-9"}),
            ] {
                let answer = async |mut reference: Value, replaced: bool| {
                    let key = if reference.get("name").is_some() { "name" } else { "uri" };
                    let name = if replaced { NOTHING.to_owned() } else { reference[key].as_str().unwrap().to_owned() };
                    reference[key] = name.as_str().into();
                    let params = json!({"ref": reference, "argument": {"name": "a", "value": ""}});
                    let seen = lab.send(by("reader", write("completion/complete", params))).await;
                    seen.message().to_string().replace(&name, "NAME")
                };
                assert_eq!(answer(reference.clone(), false).await, answer(reference, true).await);
            }
        }
        // A header that only a denied tool would need is not asked for.
        let region = async |name: &str| {
            let seen = lab.send(by("reader", modern("tools/call", json!({"name": name, "arguments": {"region": "x"}})))).await;
            (seen.status, String::from_utf8_lossy(&seen.body).replace(name, "NAME"))
        };
        assert_eq!(region("region").await, region(NOTHING).await);
    }
}

#[tokio::test]
async fn no_error_names_what_the_caller_may_not_use() {
    const HIDDEN: [&str; 6] = ["secret_9", "region_9", "res-9", "tmpl-9", "prompt_9", "hang_notify"];
    for lean in [true, false] {
        let (lab, _) = lab(lean);
        for write in writers(&lab, "reader").await {
            for (method, params) in [
                ("tools/call", json!({"name": "secret_"})),
                ("tools/call", json!({"name": "han"})),
                ("tools/call", json!({"name": "silen"})),
                ("prompts/get", json!({"name": "prompt_"})),
                ("resources/read", json!({"uri": "hidden://res-"})),
                ("tools/list", json!({})),
                ("prompts/list", json!({})),
                ("resources/list", json!({})),
                ("resources/templates/list", json!({})),
                ("server/discover", json!({})),
                ("subscriptions/listen/no", json!({})),
            ] {
                let seen = lab.send(by("reader", write(method, params.clone()))).await;
                let body = String::from_utf8_lossy(&seen.body).into_owned();
                assert!(HIDDEN.iter().all(|name| !body.contains(name)), "{method} {params}: {body}");
                if params["name"] == "silen" {
                    assert!(body.contains("silent"), "what it may use is still told: {body}");
                }
            }
        }
        // The endpoint of one provider: there for who may use something of it, else as if there were none.
        let list = lab.send_to("other", by("reader", modern("tools/list", json!({})))).await;
        assert_eq!(names(&list, "tools", "name"), ["shared"]);
        lab.put("third", &["secret_9"], Offers::default());
        let answer = async |provider: &str, role: &str| {
            let seen = lab.send_to(provider, by(role, modern("tools/list", json!({})))).await;
            (seen.status, String::from_utf8_lossy(&seen.body).replace(provider, "NAME"))
        };
        for role in ["reader", "ops"] {
            let (status, body) = answer("third", role).await;
            assert_eq!((status, &body), (http::StatusCode::NOT_FOUND, &answer("fourth", role).await.1));
            assert!(!body.contains("third") && body.contains("other"), "{body}");
        }
        assert_eq!(answer("local", "ops").await.1, answer("fourth", "ops").await.1);
    }
}

#[tokio::test]
async fn who_listens_hears_of_its_own_view_alone() {
    let (lab, live) = lab(true);
    let listen = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["hidden://res-9", "local://text"]}});
    let mut readers = Events::of(lab.endpoint.handle(None, by("reader", modern("subscriptions/listen", listen.clone()))).await);
    let mut ops = Events::of(lab.endpoint.handle(None, by("ops", modern("subscriptions/listen", listen))).await);
    let accepted = |message: Option<Value>| message.unwrap()["params"]["notifications"]["resourceSubscriptions"].clone();
    assert_eq!(accepted(readers.next().await), json!(["local://text"]));
    assert_eq!(accepted(ops.next().await), json!(["hidden://res-9"]));
    let legacy = session(&lab, "ops").await;
    let request = Request::get("/mcp").header("host", "localhost").header("accept", "text/event-stream").header("mcp-session-id", &legacy);
    let mut old = Events::of(lab.endpoint.handle(None, by("ops", request.body(Body::empty()).unwrap())).await);

    // A tool comes that only `ops` may use.
    lab.put("other", &["shared", "secret_9", "another"], hidden());
    for stream in [&mut ops, &mut old] {
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    // The policy changes for `reader`: it hears of that, and its list is another.
    live.put(policy(vec![Role { tools: list(&["local__echo"]), ..reader() }, self::ops()]));
    lab.catalog.policy_changed();
    let heard = readers.next().await.unwrap();
    assert_eq!(heard["method"], "notifications/tools/list_changed");
    let tools = lab.send(by("reader", modern("tools/list", json!({})))).await;
    assert_eq!(names(&tools, "tools", "name"), ["echo"]);
    // Nothing came twice: the next that each hears is of the next change.
    live.put(policy(vec![Role { tools: list(&["local__*"]), ..reader() }, Role { deny: list(&["another"]), ..self::ops() }]));
    lab.catalog.policy_changed();
    for stream in [&mut readers, &mut ops, &mut old] {
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    assert!(names(&lab.send(by("reader", modern("tools/list", json!({})))).await, "tools", "name").contains(&"hang".to_owned()));
    let tools = lab.send(by("ops", modern("tools/list", json!({})))).await;
    assert_eq!(names(&tools, "tools", "name"), ["shared", "secret_9"]);
}
