//! Endpoints that are configured: a part of everything at an address of its own, with and without a search.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::support::*;
use crate::{
    catalog::{Access, LivePolicy, Policy, Role, Table},
    mcp::{EndpointOptions, FrontOptions},
    provider::{Offers, Principal, Roles},
};

fn list(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn endpoint(role: Role) -> EndpointOptions {
    let offers = Arc::new(Access::of(Role { table: Table::Endpoint, name: "few".to_owned(), ..role }));
    EndpointOptions { offers, search: false, roles: BTreeSet::new(), callers: BTreeSet::new(), instructions: Some("Be brief.".to_owned()) }
}

fn few() -> EndpointOptions {
    endpoint(Role {
        tools: list(&["local__echo", "notify", "local__region", "other__shared"]),
        resources: list(&["local://item/*"]),
        prompts: list(&["greet"]),
        ..Role::default()
    })
}

fn with(lean: bool, endpoints: &[(&str, EndpointOptions)]) -> FrontOptions {
    let endpoints: BTreeMap<_, _> = endpoints.iter().map(|(name, options)| ((*name).to_owned(), options.clone())).collect();
    FrontOptions { lean, endpoints: Arc::new(endpoints), ..FrontOptions::default() }
}

fn names(seen: &Seen, member: &str, key: &str) -> Vec<String> {
    let list = seen.result()[member].as_array().cloned().unwrap_or_else(|| panic!("no {member} in {seen:?}"));
    list.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

type Writer = Box<dyn Fn(&str, Value) -> Request<Body>>;

async fn session(lab: &Lab, endpoint: &str) -> String {
    let seen = lab.send_to(endpoint, legacy(None, "initialize", initialize())).await;
    seen.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

/// The ways in which a client of each era asks.
async fn writers(lab: &Lab, endpoint: &str) -> Vec<Writer> {
    let session = session(lab, endpoint).await;
    vec![
        Box::new(|method: &str, params: Value| modern(method, params)),
        Box::new(|method: &str, params: Value| legacy(None, method, params)),
        Box::new(move |method: &str, params: Value| legacy(Some(&session), method, params)),
    ]
}

#[tokio::test]
async fn an_endpoint_offers_its_set_and_tells_of_nothing_else() {
    const NOTHING: &str = "qqqqqqqqqqqq";
    for lean in [true, false] {
        let lab = Lab::with(with(lean, &[("few", few())]));
        lab.put("other", &["shared", "secret_9"], Offers::default());
        for write in writers(&lab, "few").await {
            let send = async |method: &str, params: Value| lab.send_to("few", write(method, params)).await;
            assert_eq!(names(&send("tools/list", json!({})).await, "tools", "name"), ["echo", "notify", "region", "shared"]);
            assert_eq!(names(&send("prompts/list", json!({})).await, "prompts", "name"), ["greet"]);
            assert_eq!(send("resources/list", json!({})).await.result()["resources"], json!([]));
            let templates = send("resources/templates/list", json!({})).await;
            assert_eq!(names(&templates, "resourceTemplates", "uriTemplate"), ["local://item/{id}"]);
            for name in ["echo", "local__echo"] {
                let called = send("tools/call", json!({"name": name, "arguments": {"x": 1}})).await;
                assert_eq!(called.result()["structuredContent"], json!({"x": 1}), "{called:?}");
            }
            assert!(send("resources/read", json!({"uri": "local://item/5"})).await.result()["contents"].is_array());
            for (method, member, name) in [
                ("tools/call", "name", "fail"),
                ("tools/call", "name", "local__fail"),
                ("tools/call", "name", "secret_9"),
                ("prompts/get", "name", "hang"),
                ("resources/read", "uri", "local://text"),
                ("resources/read", "uri", "local://item/../text"),
            ] {
                let answer = async |name: &str| {
                    let seen = send(method, json!({member: name})).await;
                    (seen.status, seen.message().to_string().replace(name, "NAME"))
                };
                let (status, told) = answer(name).await;
                assert_eq!((status, told.clone()), answer(NOTHING).await, "{method} {name}");
                assert!(!told.contains("your roles"), "{told}");
            }
            let near = send("tools/call", json!({"name": "secret_8"})).await.message().to_string();
            assert!(!near.contains("secret_9"), "{near}");
        }
        let greeting = lab.send_to("few", legacy(None, "initialize", initialize())).await.result();
        assert_eq!(greeting["instructions"], "Be brief.");
        // Everything and each provider are where they were.
        assert!(names(&lab.modern("tools/list", json!({})).await, "tools", "name").contains(&"fail".to_owned()));
        assert_eq!(names(&lab.send_to("other", modern("tools/list", json!({}))).await, "tools", "name"), ["shared", "secret_9"]);
        let nowhere = lab.send_to("nowhere", modern("tools/list", json!({}))).await;
        assert!(nowhere.status == StatusCode::NOT_FOUND && nowhere.message().to_string().contains("few, local, other"), "{nowhere:?}");
    }
}

fn by(subject: &str, role: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Principal::with_roles(subject, Roles::new([role])));
    request
}

#[tokio::test]
async fn what_a_caller_sees_is_what_its_roles_and_the_endpoint_allow() {
    for lean in [true, false] {
        let reader = Role { name: "reader".to_owned(), tools: list(&["echo", "fail", "shared"]), ..Role::default() };
        let all = Role { name: "all".to_owned(), servers: list(&["*"]), ..Role::default() };
        let live = LivePolicy::new(Policy::new(vec![reader, all], Roles::default(), HashMap::new()));
        let for_some = EndpointOptions { roles: set(&["all"]), callers: set(&["ann"]), ..few() };
        let options = with(lean, &[("few", few()), ("some", for_some), ("search", EndpointOptions { search: true, ..few() })]);
        let lab = Lab::under(live, FrontOptions { authenticated: true, ..options });
        lab.put("other", &["shared", "secret_9"], Offers::default());
        let seen = async |name: &str, subject: &str, role: &str| {
            let seen = lab.send_to(name, by(subject, role, modern("tools/list", json!({})))).await;
            if seen.status == 200 { Ok(names(&seen, "tools", "name")) } else { Err(seen.message().to_string().replace(name, "NAME")) }
        };
        assert_eq!(seen("few", "bob", "reader").await.unwrap(), ["echo", "shared"]);
        assert_eq!(seen("few", "bob", "all").await.unwrap(), ["echo", "notify", "region", "shared"]);
        assert!(seen("few", "bob", "gone").await.unwrap().is_empty());
        // For whom it is not, there is no such endpoint, and nobody is told of it.
        assert_eq!(seen("some", "ann", "reader").await.unwrap(), ["echo", "shared"]);
        assert_eq!(seen("some", "bob", "all").await.unwrap(), ["echo", "notify", "region", "shared"]);
        let told = seen("some", "bob", "reader").await.unwrap_err();
        assert_eq!(told, seen("xxxx", "bob", "reader").await.unwrap_err());
        assert!(told.contains("few, search") && !told.contains("some"), "{told}");
        assert!(seen("xxxx", "ann", "reader").await.unwrap_err().contains("few, search, some"));
        // What the roles do not allow is neither found nor called.
        let call = async |role: &str, name: &str, arguments: Value| {
            let params = json!({"name": name, "arguments": arguments});
            lab.send_to("search", by("bob", role, modern("tools/call", params))).await
        };
        let found = async |role: &str| {
            let found = call(role, "find_tools", json!({"query": "echo notify region shared secret_9 fail", "limit": 50})).await;
            names(&Seen { body: json!({"result": found.result()["structuredContent"]}).to_string().into(), ..found }, "tools", "name")
        };
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(found("reader").await), ["echo", "shared"]);
        assert_eq!(sorted(found("all").await), ["echo", "notify", "region", "shared"]);
        assert_eq!(
            call("reader", "call_tool", json!({"name": "echo", "arguments": {"a": 1}})).await.result()["structuredContent"],
            json!({"a": 1})
        );
        for hidden in ["notify", "fail", "secret_9"] {
            let told = call("reader", "call_tool", json!({"name": hidden})).await.message().to_string();
            let unknown = call("reader", "call_tool", json!({"name": "qqqqqqq"})).await.message().to_string();
            assert_eq!(told.replace(hidden, "NAME"), unknown.replace("qqqqqqq", "NAME"));
            assert!(told.contains("that your roles allow; find_tools finds"), "{told}");
        }
    }
}

/// Waits until a client is told of other tools. It may be told of other lists before.
async fn tools_changed(stream: &mut Events) {
    while stream.next().await.unwrap()["method"] != "notifications/tools/list_changed" {}
}

#[tokio::test]
async fn endpoints_come_change_and_go_while_clients_are_connected() {
    let lab = Lab::with(with(true, &[("few", few())]));
    let listen = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["local://item/1", "local://text"]}});
    let mut stream = Events::of(lab.endpoint.handle(Some("few"), modern("subscriptions/listen", listen)).await);
    let accepted = stream.next().await.unwrap();
    assert_eq!(accepted["params"]["notifications"]["resourceSubscriptions"], json!(["local://item/1"]));
    let old = session(&lab, "few").await;
    let request = Request::get("/few/mcp").header("host", "localhost").header("accept", "text/event-stream").header("mcp-session-id", &old);
    let mut session = Events::of(lab.endpoint.handle(Some("few"), request.body(Body::empty()).unwrap()).await);

    // A tool that the endpoint does not offer changes nothing there, one that it offers does.
    lab.put("other", &["secret_9"], Offers::default());
    lab.put("other", &["secret_9", "shared"], Offers::default());
    for stream in [&mut stream, &mut session] {
        tools_changed(stream).await;
    }
    assert_eq!(names(&lab.send_to("few", modern("tools/list", json!({}))).await, "tools", "name"), ["echo", "notify", "region", "shared"]);
    // Another set.
    let other = endpoint(Role { tools: list(&["fail"]), ..Role::default() });
    lab.front.reconfigure(with(true, &[("few", other), ("more", few())]));
    for stream in [&mut stream, &mut session] {
        tools_changed(stream).await;
    }
    assert_eq!(names(&lab.send_to("few", modern("tools/list", json!({}))).await, "tools", "name"), ["fail"]);
    assert_eq!(names(&lab.send_to("more", modern("tools/list", json!({}))).await, "tools", "name").len(), 4);
    // The same session goes on.
    assert_eq!(names(&lab.send_to("few", legacy(Some(&old), "tools/list", json!({}))).await, "tools", "name"), ["fail"]);
    // A search is another list, which does not change with what it finds.
    lab.front.reconfigure(with(true, &[("few", EndpointOptions { search: true, ..few() })]));
    for stream in [&mut stream, &mut session] {
        tools_changed(stream).await;
    }
    assert_eq!(names(&lab.send_to("few", modern("tools/list", json!({}))).await, "tools", "name"), ["find_tools", "call_tool"]);
    lab.put("other", &["shared", "another"], Offers::default());
    assert_eq!(lab.send_to("more", modern("tools/list", json!({}))).await.status, StatusCode::NOT_FOUND);
    lab.front.reconfigure(with(true, &[]));
    assert_eq!(lab.send_to("few", modern("tools/list", json!({}))).await.status, StatusCode::NOT_FOUND);
    while let Some(message) = session.next().await {
        assert!(message["method"] != "notifications/tools/list_changed", "{message}");
    }
    assert_eq!(lab.send_to("few", legacy(Some(&old), "tools/list", json!({}))).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_call_by_the_search_is_the_call_of_the_tool() {
    for lean in [true, false] {
        let all = endpoint(Role { servers: list(&["*"]), ..Role::default() });
        let lab = Lab::with(with(lean, &[("search", EndpointOptions { search: true, ..all })]));
        for write in writers(&lab, "search").await {
            let call = async |name: &str, arguments: Value| {
                let params = json!({"name": name, "arguments": arguments, "_meta": {"progressToken": 5}});
                lab.send_to("search", write("tools/call", params)).await
            };
            let found = call("find_tools", json!({"query": "region", "limit": 2})).await.result();
            let tool = &found["structuredContent"]["tools"][0];
            assert_eq!((&tool["name"], &tool["inputSchema"]["properties"]["n"]["type"]), (&json!("region"), &json!("integer")), "{found}");
            let text: Value = serde_json::from_str(found["content"][0]["text"].as_str().unwrap()).unwrap();
            assert_eq!(text, found["structuredContent"]);
            // All that the tool answers comes through.
            for name in ["echo", "rich", "fail", "full"] {
                let by_name = call(name, json!({"a": [1]})).await.result();
                assert_eq!(call("call_tool", json!({"name": name, "arguments": {"a": [1]}})).await.result(), by_name, "{name}");
            }
            // So does what it tells before that.
            let told = call("call_tool", json!({"name": "notify"})).await;
            let progress = told.messages().iter().filter(|message| message["method"] == "notifications/progress").count();
            assert!(progress >= 3 && told.result()["content"][0]["text"] == "notified", "{told:?}");
            // Models write arguments as text, or none.
            let echoed = call("call_tool", json!({"name": "echo", "arguments": "{\"a\": 2}"})).await;
            assert_eq!(echoed.result()["structuredContent"], json!({"a": 2}));
            // A header that the tool's schema asks for is none of this call's.
            assert_eq!(call("call_tool", json!({"name": "region", "arguments": {"region": "x"}})).await.status, 200);
            for wrong in
                [json!({}), json!({"name": 5}), json!({"name": "echo", "arguments": [1]}), json!({"name": "echo", "arguments": "[1]"})]
            {
                let told = call("call_tool", wrong.clone()).await.result();
                assert!(
                    told["isError"] == true && told["content"][0]["text"].as_str().unwrap().contains("call_tool takes"),
                    "{wrong}: {told}"
                );
            }
            for wrong in [json!({}), json!({"query": " "}), json!({"query": [1]}), json!({"query": "x", "limit": "many"})] {
                assert_eq!(call("find_tools", wrong.clone()).await.result()["isError"], true, "{wrong}");
            }
            for name in ["nothing", "call_tool", "find_tools"] {
                let told = call("call_tool", json!({"name": name})).await;
                assert!(told.code() == -32602 && told.message().to_string().contains(name), "{told:?}");
            }
            let none = call("find_tools", json!({"query": "zzzz"})).await.result();
            assert!(none["structuredContent"]["tools"] == json!([]) && none["isError"] != true, "{none}");
        }
    }
}

#[tokio::test]
async fn a_call_by_the_search_ends_when_its_caller_ends_it() {
    let all = endpoint(Role { servers: list(&["*"]), ..Role::default() });
    let lab = Lab::with(with(true, &[("search", EndpointOptions { search: true, ..all })]));
    let params = json!({"name": "call_tool", "arguments": {"name": "hang", "arguments": {}}});
    let call = lab.endpoint.handle(Some("search"), modern("tools/call", params));
    tokio::select! {
        _ = call => panic!("it hangs"),
        event = lab.event() => assert_eq!(event, "started"),
    }
    assert_eq!(lab.event().await, "dropped");
}
