//! Resources, templates, prompts and completion, in both eras and by both ways.

use http::Request;
use serde_json::{Value, json};

use super::support::*;
use crate::provider::{Offers, Principal, ProviderChange};

fn keys(result: &Value, member: &str, key: &str) -> Vec<String> {
    result[member].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

/// The error of the answer: its code and its data.
fn fault(seen: &Seen) -> (i64, Value) {
    (seen.code(), seen.message()["error"]["data"].clone())
}

#[tokio::test]
async fn both_eras_list_what_is_there() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        for (method, member, key, expected) in [
            (
                "resources/list",
                "resources",
                "uri",
                &["local://text", "local://blob", "local://hang", "local://gone", "local://progress", "local://context"][..],
            ),
            ("resources/templates/list", "resourceTemplates", "uriTemplate", &["local://{+rest}", "local://item/{id}"]),
            ("prompts/list", "prompts", "name", &["greet", "hang"]),
        ] {
            let result = lab.modern(method, Value::Null).await.result();
            assert_eq!(keys(&result, member, key), expected);
            assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("public")), "{method}");
            assert!(result["ttlMs"].is_u64(), "{method}");
            for session in [None, Some(session.as_str())] {
                let old = lab.send(legacy(session, method, Value::Null)).await.result();
                assert_eq!(old, json!({member: result[member]}), "no members of the newer revision: {method}");
            }
        }
        let greet = lab.modern("prompts/list", Value::Null).await.result()["prompts"][0].clone();
        let arguments = json!([{"name": "name", "required": true}, {"name": "tone"}]);
        assert_eq!(greet, json!({"name": "greet", "description": "greets", "arguments": arguments}));
    }
}

#[tokio::test]
async fn both_eras_read_resources_listed_and_by_template() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        let text = json!([{"uri": "local://text", "mimeType": "text/plain", "text": "a \"text\" of \u{1F600}"}]);
        let result = lab.modern("resources/read", json!({"uri": "local://text"})).await.result();
        assert_eq!(result, json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "public", "contents": text}));
        for session in [None, Some(session.as_str())] {
            let result = lab.send(legacy(session, "resources/read", json!({"uri": "local://text"}))).await.result();
            assert_eq!(result, json!({"contents": text}));
        }
        let blob = lab.modern("resources/read", json!({"uri": "local://blob"})).await.result();
        assert_eq!(blob["contents"][0]["blob"], "AA==");
        assert_eq!(blob["contents"].as_array().unwrap().len(), 2);
        let item = lab.modern("resources/read", json!({"uri": "local://item/5"})).await.result();
        assert_eq!(item["contents"][0]["text"], "an item");

        for uri in ["other://text", "local://gone", "local://nothing/of/that/name"] {
            let seen = lab.modern("resources/read", json!({"uri": uri})).await;
            assert_eq!(fault(&seen), (-32602, json!({"uri": uri})));
            for session in [None, Some(session.as_str())] {
                let seen = lab.send(legacy(session, "resources/read", json!({"uri": uri}))).await;
                assert_eq!(fault(&seen), (-32002, json!({"uri": uri})));
            }
        }
    }
}

#[tokio::test]
async fn a_busy_provider_is_503_for_a_read_too() {
    let seen = Lab::new().modern("resources/read", json!({"uri": "local://busy"})).await;
    assert_eq!((seen.status.as_u16(), seen.code()), (503, -32000));
    assert_eq!(seen.headers["retry-after"], "1");
}

#[tokio::test]
async fn both_eras_fill_in_prompts() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        let params = json!({"name": "greet", "arguments": {"name": "Jo"}});
        let filled = json!({"description": "from local", "_meta": {"k": 1},
            "messages": [{"role": "user", "content": {"type": "text", "text": "Hello Jo"}}]});
        for session in [None, Some(session.as_str())] {
            assert_eq!(lab.send(legacy(session, "prompts/get", params.clone())).await.result(), filled);
        }
        let mut modern_filled = filled.clone();
        modern_filled["resultType"] = json!("complete");
        assert_eq!(lab.modern("prompts/get", params).await.result(), modern_filled);
        let missing = lab.modern("prompts/get", json!({"name": "greet"})).await;
        assert_eq!(missing.message()["error"], json!({"code": -32602, "message": "prompt \"greet\" needs the argument \"name\""}));
        let unknown = lab.legacy("prompts/get", json!({"name": "great"})).await;
        assert_eq!(unknown.message()["error"], json!({"code": -32602, "message": "there is no prompt \"great\"; did you mean \"greet\"?"}));

        // Of two prompts with one name each has its own, and the provider is asked by its own name.
        let greet = || offers("name", &[json!({"name": "greet"})]);
        lab.put("other", &[], Offers { prompts: greet(), ..Offers::default() });
        let listed = lab.modern("prompts/list", Value::Null).await.result();
        assert_eq!(keys(&listed, "prompts", "name"), ["local__greet", "hang", "other__greet"]);
        for id in ["local", "other"] {
            let params = json!({"name": format!("{id}__greet"), "arguments": {"name": "Jo"}});
            assert_eq!(lab.modern("prompts/get", params).await.result()["description"], format!("from {id}"));
        }
        assert_eq!(lab.modern("prompts/get", json!({"name": "greet"})).await.code(), -32602);
    }
}

#[tokio::test]
async fn completion_goes_to_whoever_has_the_prompt_or_template() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let complete = async |reference: Value, value: &str, context: Value| {
            let params = json!({"ref": reference, "argument": {"name": "id", "value": value}, "context": context});
            lab.modern("completion/complete", params).await
        };
        let prompt = json!({"type": "ref/prompt", "name": "local__greet"});
        let seen = complete(prompt.clone(), "a", json!({"arguments": {"z": "1", "b": "2"}})).await.result();
        let value = "Prompt(\"greet\") id=a [(\"b\", \"2\"), (\"z\", \"1\")]";
        assert_eq!(seen, json!({"resultType": "complete", "completion": {"values": [value], "total": 7, "hasMore": true}}));
        let template = json!({"type": "ref/resource", "uri": "local://item/{id}"});
        let seen = complete(template, "", json!({})).await.result();
        assert_eq!(seen["completion"]["values"], json!(["Template(\"local://item/{id}\") id= []"]));
        let seen = complete(json!({"type": "ref/resource", "uri": "local://item/1"}), "", json!({})).await.result();
        assert_eq!(seen["completion"]["values"], json!(["Template(\"local://item/{id}\") id= []"]), "a URI stands for its template");
        let many = complete(prompt, "many", json!({})).await.result();
        assert_eq!(many["completion"]["values"].as_array().unwrap().len(), 100, "as many as may");
        assert_eq!((&many["completion"]["total"], &many["completion"]["hasMore"]), (&json!(150), &json!(true)));

        let nothing = json!({"values": [], "hasMore": false});
        let listed = complete(json!({"type": "ref/resource", "uri": "local://text"}), "", json!({})).await.result();
        assert_eq!(listed["completion"], nothing);
        // A provider that does not complete is not asked.
        let prompts = offers("name", &[json!({"name": "mute"})]);
        lab.put("other", &[], Offers { prompts, ..Offers::default() });
        let mute = json!({"ref": {"type": "ref/prompt", "name": "mute"}, "argument": {"name": "a", "value": "b"}});
        assert_eq!(lab.legacy("completion/complete", mute).await.result(), json!({"completion": nothing}));

        for reference in [json!({"type": "ref/prompt", "name": "no"}), json!({"type": "ref/resource", "uri": "no://{x}"})] {
            assert_eq!(complete(reference, "", json!({})).await.code(), -32602);
        }
    }
}

#[tokio::test]
async fn nothing_that_a_provider_writes_is_lost() {
    let lab = Lab::new();
    let resource =
        json!({"uri": "raw://x", "name": "x", "vendor": {"k": [1, null]}, "_meta": {"v/a": 1}, "icons": [{"src": "x:y", "vendor": 1}]});
    let template = json!({"uriTemplate": "raw://{y}", "name": "y", "vendor": true, "annotations": {"vendor": 1}});
    let prompt = json!({"name": "raw", "vendor": 1.5, "arguments": [{"name": "a", "vendor": 2}]});
    lab.put(
        "raw",
        &[],
        Offers {
            resources: offers("uri", std::slice::from_ref(&resource)),
            templates: offers("uriTemplate", std::slice::from_ref(&template)),
            prompts: offers("name", std::slice::from_ref(&prompt)),
            completes: false,
        },
    );
    let session = lab.session().await;
    for session in [None, Some(session.as_str())] {
        let list = async |method: &str, member: &str| lab.send(legacy(session, method, Value::Null)).await.result()[member].clone();
        assert!(list("resources/list", "resources").await.as_array().unwrap().contains(&resource));
        assert!(list("resources/templates/list", "resourceTemplates").await.as_array().unwrap().contains(&template));
        assert!(list("prompts/list", "prompts").await.as_array().unwrap().contains(&prompt));
        let read = lab.send(legacy(session, "resources/read", json!({"uri": "raw://x"}))).await;
        let text = std::str::from_utf8(&read.body).unwrap();
        assert!(text.contains(r#""contents":[{"vendor":{"k":1.50},"text":"t", "uri":"raw://x","_meta":{"v/a":[1]}}]"#), "{text}");
        let got = lab.send(legacy(session, "prompts/get", json!({"name": "raw"}))).await;
        let text = std::str::from_utf8(&got.body).unwrap();
        assert!(text.contains(r#"[{"vendor":1.50,"role":"user","content":{"type":"text","text":"t","vendor":2}}]"#), "{text}");
    }
}

#[tokio::test]
async fn of_two_providers_at_one_address_the_first_by_name_answers() {
    let lab = Lab::new();
    let resources = |name: &str| offers("uri", &[json!({"uri": "local://text", "name": name})]);
    lab.put("zebra", &[], Offers { resources: resources("zebra"), ..Offers::default() });
    let named = async |lab: &Lab| {
        let result = lab.modern("resources/list", Value::Null).await.result();
        let found: Vec<_> = result["resources"].as_array().unwrap().iter().filter(|item| item["uri"] == "local://text").cloned().collect();
        assert_eq!(found.len(), 1);
        found[0]["name"].clone()
    };
    assert_eq!(named(&lab).await, "text");
    lab.put("ant", &[], Offers { resources: resources("ant"), ..Offers::default() });
    assert_eq!(named(&lab).await, "ant");
    assert_eq!(lab.catalog.snapshot().collisions().len(), 1);
}

#[tokio::test]
async fn a_read_knows_who_asks_and_may_tell_of_its_progress() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let mut request = modern("resources/read", json!({"uri": "local://context", "_meta": {"vendor/x": 1}}));
        request.extensions_mut().insert(Principal::new("ci"));
        let seen = lab.send(request).await.result();
        let seen: Value = serde_json::from_str(seen["contents"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!((&seen["principal"], &seen["meta"]["vendor/x"], &seen["id"]), (&json!("ci"), &json!(1), &json!(true)));
        let seen = lab.modern("resources/read", json!({"uri": "local://progress", "_meta": {"progressToken": "t"}})).await;
        let messages = seen.messages();
        assert_eq!(messages[0]["params"]["progressToken"], "t", "{messages:?}");
        assert_eq!(messages.last().unwrap()["result"]["contents"][0]["text"], "done");
        assert!(!lab.modern("resources/read", json!({"uri": "local://progress"})).await.is_stream());
    }
}

#[tokio::test]
async fn reads_and_prompts_are_cancelled_as_calls_are() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let session = lab.session().await;
        for (method, params) in [("resources/read", json!({"uri": "local://hang"})), ("prompts/get", json!({"name": "hang"}))] {
            // A modern client's connection ends: its future is dropped.
            tokio::select! {
                seen = lab.modern(method, params.clone()) => panic!("{seen:?}"),
                event = lab.event() => assert_eq!(event, "started"),
            }
            assert_eq!(lab.event().await, "dropped", "{method}");

            let read = lab.send(legacy(Some(&session), method, params));
            let cancel = async {
                assert_eq!(lab.event().await, "started");
                assert_eq!(lab.front.in_flight(), 1);
                let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
                assert_eq!(lab.send(request(&[("mcp-session-id", &session)], &body.to_string())).await.status, 202);
                assert_eq!(lab.event().await, "dropped");
            };
            let (seen, ()) = tokio::join!(read, cancel);
            assert!(!seen.messages().iter().any(|message| message.get("id").is_some()), "no answer to what was cancelled: {seen:?}");
        }
    }
}

#[tokio::test]
async fn sessions_subscribe_to_resources_that_are_there() {
    let lab = Lab::new();
    let session = lab.session().await;
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        for uri in ["local://text", "local://item/1"] {
            assert_eq!(lab.send(legacy(Some(&session), method, json!({"uri": uri}))).await.result(), json!({}), "{method} {uri}");
        }
        assert_eq!(lab.legacy(method, json!({"uri": "local://text"})).await.code(), -32600, "without a session there is no subscription");
        assert_eq!(lab.send(legacy(Some(&session), method, json!({}))).await.code(), -32602);
    }
    let unknown = lab.send(legacy(Some(&session), "resources/subscribe", json!({"uri": "no://thing"}))).await;
    assert_eq!(fault(&unknown), (-32002, json!({"uri": "no://thing"})));

    let wanted = json!({"notifications": {"resourceSubscriptions": ["local://text", "no://thing", "local://item/1"]}});
    let mut subscription = Events::of(lab.endpoint.handle(None, modern("subscriptions/listen", wanted)).await);
    let accepted = subscription.next().await.unwrap()["params"]["notifications"].clone();
    assert_eq!(accepted, json!({"resourceSubscriptions": ["local://text", "local://item/1"]}));
    let many: Vec<_> = (0..1_001).map(|n| format!("local://item/{n}")).collect();
    let wanted = json!({"notifications": {"resourceSubscriptions": many}});
    let mut subscription = Events::of(lab.endpoint.handle(None, modern("subscriptions/listen", wanted)).await);
    assert_eq!(subscription.next().await.unwrap()["params"]["notifications"], json!({}), "too many are not taken, and that is said");
}

#[tokio::test]
async fn each_listener_hears_of_the_lists_that_it_asked_for() {
    let lab = Lab::new();
    let session = lab.session().await;
    let get = Request::get("/mcp").header("host", "localhost").header("accept", "text/event-stream").header("mcp-session-id", &session);
    let mut stream = Events::of(lab.endpoint.handle(None, get.body(axum::body::Body::empty()).unwrap()).await);
    let listen = async |filter: Value| {
        let mut events = Events::of(lab.endpoint.handle(None, modern("subscriptions/listen", json!({"notifications": filter}))).await);
        assert_eq!(events.next().await.unwrap()["params"]["notifications"], filter);
        events
    };
    let mut prompts = listen(json!({"promptsListChanged": true})).await;
    let mut resources = listen(json!({"resourcesListChanged": true})).await;
    let mut all = listen(json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true})).await;

    let prompt = |name: &str| offers("name", &[json!({"name": name})]);
    let template = || offers("uriTemplate", &[json!({"uriTemplate": "x://{a}", "name": "x"})]);
    lab.put("other", &[], Offers { prompts: prompt("one"), ..Offers::default() });
    let heard = async |events: &mut Events| events.next().await.unwrap()["method"].clone();
    for events in [&mut stream, &mut prompts, &mut all] {
        assert_eq!(heard(events).await, "notifications/prompts/list_changed");
    }
    lab.put("other", &[], Offers { prompts: prompt("one"), templates: template(), ..Offers::default() });
    // What changed before was of no interest to this one, so this is the first that it hears.
    for events in [&mut stream, &mut resources, &mut all] {
        assert_eq!(heard(events).await, "notifications/resources/list_changed");
    }
    lab.put("other", &["tool"], Offers { prompts: prompt("two"), templates: template(), ..Offers::default() });
    for events in [&mut stream, &mut all] {
        assert_eq!(heard(events).await, "notifications/tools/list_changed");
        assert_eq!(heard(events).await, "notifications/prompts/list_changed");
    }
    assert_eq!(heard(&mut prompts).await, "notifications/prompts/list_changed");
    lab.front.close();
    for mut events in [prompts, resources, all] {
        assert!(events.next().await.unwrap()["result"].is_object(), "and nothing else");
    }
}

#[tokio::test]
async fn updates_of_resources_reach_those_who_subscribed_once_for_many() {
    let lab = Lab::new();
    let session = lab.session().await;
    let subscribe = async |method: &str, uri: &str| {
        assert_eq!(lab.send(legacy(Some(&session), method, json!({"uri": uri}))).await.result(), json!({}), "{method} {uri}");
    };
    subscribe("resources/subscribe", "local://text").await;
    subscribe("resources/subscribe", "local://item/1").await;
    subscribe("resources/unsubscribe", "local://item/1").await;
    let wanted = json!({"notifications": {"resourceSubscriptions": ["local://item/1", "local://text"]}});
    let mut subscription = Events::of(lab.endpoint.handle(None, modern("subscriptions/listen", wanted)).await);
    assert_eq!(subscription.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");

    let updated = |uris: &[&str]| {
        let id = lab.catalog.snapshot().resource("local://text").unwrap().provider().id().clone();
        lab.catalog.apply(uris.iter().map(|uri| ProviderChange::Updated(id.clone(), (*uri).to_owned())).collect());
    };
    for _ in 0..20 {
        updated(&["local://text", "local://item/1", "local://item/2"]);
    }
    let heard = async |events: &mut Events| {
        let message = events.next().await.unwrap();
        assert_eq!(message["method"], "notifications/resources/updated", "{message}");
        (
            message["params"]["uri"].as_str().unwrap().to_owned(),
            message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone(),
        )
    };
    assert_eq!(heard(&mut subscription).await, ("local://item/1".to_owned(), json!(7)));
    assert_eq!(heard(&mut subscription).await, ("local://text".to_owned(), json!(7)));
    // A session that opens its stream only now hears what it missed.
    let get = Request::get("/mcp").header("host", "localhost").header("accept", "text/event-stream").header("mcp-session-id", &session);
    let mut stream = Events::of(lab.endpoint.handle(None, get.body(axum::body::Body::empty()).unwrap()).await);
    assert_eq!(heard(&mut stream).await, ("local://text".to_owned(), Value::Null));

    // The next thing that each hears is of the next update, so the twenty were one.
    subscribe("resources/subscribe", "local://blob").await;
    updated(&["local://blob", "local://item/1"]);
    assert_eq!(heard(&mut subscription).await.0, "local://item/1");
    assert_eq!(heard(&mut stream).await.0, "local://blob");
    lab.front.close();
    assert!(subscription.next().await.unwrap()["result"].is_object(), "and nothing else");
    assert!(stream.next().await.is_none());
}
