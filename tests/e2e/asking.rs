//! Plugins that ask: the questions reach the client, the answers reach the plugin, whichever copy of the host they come by.

use toolbay_tests::{Client, Proxy, Reply, Server, Setup, Value, eventually, json, secs};

const OLD: &str = "an-old-key-that-is-long-enough-to-sign";
const NEW: &str = "a-new-key-that-is-long-enough-to-sign!";

fn able() -> Value {
    json!({ "elicitation": {}, "sampling": {}, "roots": {} })
}

fn accept(content: Value) -> Value {
    json!({ "action": "accept", "content": content })
}

/// A copy with these keys, the first of which signs.
async fn copy(keys: &[&str]) -> Server {
    let mut setup = Setup::new().test_plugin("everything");
    let names: Vec<String> = (0..keys.len()).map(|n| format!("KEY_{n}")).collect();
    for (name, key) in names.iter().zip(keys) {
        setup = setup.env(name, key);
    }
    let sources: Vec<String> = names.iter().map(|name| format!("{{ from_env = \"{name}\" }}")).collect();
    setup.config(&format!("[state]\nkeys = [{}]\ncopies = 2", sources.join(", "))).start().await
}

/// Calls a tool that asks, and gives the parameters of the call that brings the answers.
async fn asked(client: &Client, tool: &str, answers: Value) -> Value {
    let reply = client.call(tool, json!({})).await;
    let result = reply.result();
    assert_eq!(result["resultType"], "input_required", "{reply:?}");
    for key in answers.as_object().expect("answers by key").keys() {
        assert!(result["inputRequests"][key].is_object(), "{key} is not asked: {result}");
    }
    json!({ "name": tool, "arguments": {}, "inputResponses": answers, "requestState": result["requestState"] })
}

async fn greeted(client: &Client, name: &str) -> Reply {
    let again = asked(client, "test_input_required_result_elicitation", json!({ "user_name": accept(json!({ "name": name })) })).await;
    client.rpc("tools/call", again).await
}

#[track_caller]
fn assert_refused(reply: &Reply, word: &str) {
    assert_eq!(reply.code(), -32602, "{reply:?}");
    assert!(reply.failure().contains(word), "{reply:?}");
}

#[tokio::test]
async fn a_question_asked_by_one_copy_is_answered_through_the_other() {
    const QUESTIONS: usize = 1_000;
    let (first, second) = (copy(&[NEW]).await, copy(&[NEW]).await);
    let proxy = Proxy::start(&[&first, &second]).await;
    let client = Client::at(&proxy.url()).able(able()).alone();
    for n in 0..QUESTIONS {
        assert_eq!(greeted(&client, &format!("person {n}")).await.ok(), format!("Hello, person {n}!"));
        if n == QUESTIONS / 2 - 1 {
            // From here on the other one asks.
            assert!(!client.tools().await.is_empty());
        }
    }
    assert_eq!(proxy.served().iter().sum::<usize>(), 2 * QUESTIONS + 1);
    assert!(proxy.served().iter().all(|served| *served >= QUESTIONS), "{:?}", proxy.served());
}

#[tokio::test]
async fn every_round_of_a_call_may_come_to_another_copy() {
    let copies = [copy(&[NEW]).await, copy(&[NEW]).await];
    let [first, second] = copies.each_ref().map(|copy| Client::modern(copy).able(able()));
    let again = asked(&first, "test_input_required_result_multi_round", json!({ "step1": accept(json!({ "name": "Ann" })) })).await;
    let reply = second.rpc("tools/call", again.clone()).await;
    let result = reply.result();
    assert!(result["inputRequests"]["step2"]["params"]["message"].as_str().expect("a message").contains("Ann"), "{result}");
    let mut last = again;
    last["inputResponses"] = json!({ "step2": accept(json!({ "color": "blue" })) });
    last["requestState"] = result["requestState"].clone();
    assert_eq!(first.rpc("tools/call", last).await.ok(), "Ann likes blue");
}

#[tokio::test]
async fn copies_with_different_keys_refuse_each_others_questions() {
    let (first, second) = (copy(&[OLD]).await, copy(&[NEW]).await);
    let proxy = Proxy::start(&[&first, &second]).await;
    let client = Client::at(&proxy.url()).able(able()).alone();
    for n in 0..20 {
        assert_refused(&greeted(&client, &format!("person {n}")).await, "the same [state] keys");
    }
    second.wait_log("the operator is told", |line| line.contains("WARN") && line.contains("[state] keys")).await;
}

#[tokio::test]
async fn a_key_is_changed_without_losing_a_question() {
    // Before, while, and after: each next to the one before it understands what that one signed.
    let stages = [copy(&[OLD]).await, copy(&[OLD, NEW]).await, copy(&[NEW, OLD]).await, copy(&[NEW]).await];
    let clients = stages.each_ref().map(|copy| Client::modern(copy).able(able()));
    let answers = json!({ "user_name": accept(json!({ "name": "Ann" })) });
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)] {
        let again = asked(&clients[from], "test_input_required_result_elicitation", answers.clone()).await;
        assert_eq!(clients[to].rpc("tools/call", again).await.ok(), "Hello, Ann!", "from stage {from} to stage {to}");
    }
    let again = asked(&clients[0], "test_input_required_result_elicitation", answers).await;
    assert_refused(&clients[3].rpc("tools/call", again).await, "the same [state] keys");
}

#[tokio::test]
async fn a_question_is_answered_by_who_was_asked_and_for_what_was_asked() {
    let config = "[auth.tokens]\nann = { from_env = \"ANN\" }\nbob = { from_env = \"BOB\" }";
    let (ann, bob) = ("the-token-that-only-ann-has", "the-token-that-only-bob-has");
    let server = Setup::new().test_plugin("everything").env("ANN", ann).env("BOB", bob).config(config).start().await;
    let [ann, bob] = [ann, bob].map(|token| Client::modern(&server).able(able()).token(token));
    let again = asked(&ann, "test_input_required_result_elicitation", json!({ "user_name": accept(json!({ "name": "Ann" })) })).await;
    assert_refused(&bob.rpc("tools/call", again.clone()).await, "another caller");
    let mut other = again.clone();
    other["name"] = json!("test_input_required_result_request_state");
    assert_refused(&ann.rpc("tools/call", other).await, "something else");
    let mut other = again.clone();
    other["arguments"] = json!({ "more": 1 });
    assert_refused(&ann.rpc("tools/call", other).await, "other arguments");
    assert_eq!(ann.rpc("tools/call", again).await.ok(), "Hello, Ann!");
}

#[tokio::test]
async fn a_question_can_be_answered_for_as_long_as_the_operator_says() {
    let server = Setup::new().test_plugin("everything").config("[state]\nttl = \"1s\"").start().await;
    let client = Client::modern(&server).able(able());
    let again = asked(&client, "test_input_required_result_elicitation", json!({ "user_name": accept(json!({ "name": "Ann" })) })).await;
    let refused = eventually("the state expires", secs(20), || async {
        let reply = client.rpc("tools/call", again.clone()).await;
        reply.answer().get("error").is_some().then_some(reply)
    })
    .await;
    assert_refused(&refused, "expired");
}

#[tokio::test]
async fn keys_that_are_missing_or_too_short_are_told_at_the_start() {
    let server = Setup::new().config("[state]\ncopies = 2").start().await;
    server.wait_log("a warning of copies without keys", |line| line.contains("WARN") && line.contains("[state] copies is 2")).await;
    let refused = Setup::new().env("KEY", "short").config("[state]\nkeys = [{ from_env = \"KEY\" }]").refused().await;
    assert!(refused.all().contains("the key is too short"), "{}", refused.all());
}

#[tokio::test]
async fn a_client_with_a_session_is_asked_on_the_stream_of_its_call() {
    let server = Setup::new().test_plugin("everything").config("[plugin.everything]\ntimeout = \"1s\"").start().await;
    let client = Client::legacy_able(&server, able()).await;
    let mut stream = client.stream("tools/call", json!({ "name": "test_input_required_result_multiple_inputs", "arguments": {} })).await;
    let mut questions = Vec::new();
    while questions.len() < 3 {
        let message = stream.next().await.expect("three questions");
        if message["id"].is_string() {
            questions.push(message);
        }
    }
    // Longer than the plugin may run: a person thinks, and that is not the plugin's time.
    tokio::time::sleep(secs(2)).await;
    for question in questions.iter().rev() {
        let answer = match question["method"].as_str().expect("a method") {
            "elicitation/create" => accept(json!({ "name": "Ann" })),
            "sampling/createMessage" => json!({ "role": "assistant", "content": { "type": "text", "text": "Welcome" }, "model": "m" }),
            "roots/list" => json!({ "roots": [{ "uri": "file:///a" }, { "uri": "file:///b" }] }),
            other => panic!("asked {other}"),
        };
        assert_eq!(client.answer(&question["id"], answer).await.status, 202);
    }
    let answer = loop {
        let message = stream.next().await.expect("the answer of the call");
        if message.get("result").is_some() {
            break message;
        }
    };
    assert_eq!(answer["result"]["content"][0]["text"], "Welcome Ann, who works in 2 folders", "{answer}");
}

#[tokio::test]
async fn a_session_that_ends_takes_the_guest_with_it_that_waits_for_its_answer() {
    let server = Setup::new().test_plugin("everything").start().await;
    let client = Client::legacy_able(&server, able()).await;
    let mut stream = client.stream("tools/call", json!({ "name": "test_elicitation", "arguments": { "message": "?" } })).await;
    stream.wait_method("elicitation/create").await;
    server.wait_plugin("everything", "has a guest that waits", |status| status["in_flight"] == 1).await;
    assert_eq!(client.end().await.status, 204);
    server.wait_plugin("everything", "has no guest", |status| status["in_flight"] == 0).await;
}

#[tokio::test]
async fn what_a_client_did_not_declare_is_not_asked() {
    let server = Setup::new().test_plugin("everything").start().await;
    let reply = Client::modern(&server).call("test_missing_capability", json!({})).await;
    assert_eq!((reply.status, reply.code()), (400, -32021), "{reply:?}");
    assert_eq!(reply.error()["data"], json!({ "requiredCapabilities": { "sampling": {} } }));
    let reply = Client::legacy(&server).await.call("test_missing_capability", json!({})).await;
    assert_eq!((reply.status, reply.code()), (200, -32021), "{reply:?}");
}
