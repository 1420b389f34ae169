//! What a plugin says has changed: lists that are made again, resources that hold something else, in both eras.

use std::time::Instant;

use toolbay_tests::{Client, Server, Setup, Value, json, sse::Messages};

const LIST_CHANGED: &str = "notifications/resources/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// The plugin `notes` with a folder of its own, in which lies the note `first`.
async fn notes() -> Server {
    let setup = Setup::new().test_plugin("notes");
    let folder = setup.home().join("notes");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("first"), "old").expect("a note");
    let folder = folder.display();
    setup.config(&format!("[plugin.notes]\ndirs = [{{ host = \"{folder}\", guest = \"/notes\", write = true }}]")).start().await
}

async fn listen(client: &Client, filter: Value) -> Messages {
    let mut stream = client.stream("subscriptions/listen", json!({ "notifications": filter })).await;
    let first = stream.next().await.expect("the acknowledgement comes first");
    assert_eq!(first["params"]["notifications"], filter, "{first}");
    stream
}

async fn uris(client: &Client) -> Vec<String> {
    let listed = client.rpc("resources/list", json!({})).await.result()["resources"].clone();
    listed.as_array().expect("a list").iter().map(|resource| resource["uri"].as_str().expect("an address").to_owned()).collect()
}

#[tokio::test]
async fn a_resource_that_a_call_changes_is_told_to_those_who_subscribed_in_both_eras() {
    let server = notes().await;
    let (modern, legacy) = (Client::modern(&server), Client::legacy(&server).await);
    let subscribed = legacy.rpc("resources/subscribe", json!({ "uri": "note:///first" })).await;
    assert_eq!(*subscribed.result(), json!({}));
    let mut streams = [listen(&modern, json!({ "resourceSubscriptions": ["note:///first"] })).await, legacy.listen_legacy().await];
    modern.call("write_note", json!({ "name": "first", "text": "new" })).await.ok();
    for stream in &mut streams {
        assert_eq!(stream.wait_method(UPDATED).await["params"]["uri"], "note:///first");
    }
    for client in [&modern, &legacy] {
        let read = client.rpc("resources/read", json!({ "uri": "note:///first" })).await.result().clone();
        assert_eq!(read["contents"][0]["text"], "new", "who is told reads the new one");
    }
}

#[tokio::test]
async fn a_list_that_a_call_changes_is_made_again_and_told_in_both_eras() {
    let server = notes().await;
    let (modern, legacy) = (Client::modern(&server), Client::legacy(&server).await);
    assert_eq!(uris(&modern).await, ["note:///first"]);
    let mut streams = [listen(&modern, json!({ "resourcesListChanged": true })).await, legacy.listen_legacy().await];
    modern.call("write_note", json!({ "name": "second", "text": "hello" })).await.ok();
    for (stream, client) in streams.iter_mut().zip([&modern, &legacy]) {
        stream.wait_method(LIST_CHANGED).await;
        assert_eq!(uris(client).await, ["note:///first", "note:///second"], "who is told can list it");
    }
    assert_eq!(modern.rpc("resources/read", json!({ "uri": "note:///second" })).await.result()["contents"][0]["text"], "hello");
    // It is the same version of the plugin, which was not loaded again.
    assert!(!server.log().contains("plugin reloaded"), "{}", server.log());
}

#[tokio::test]
async fn a_deed_waits_for_the_answer_and_is_told_when_it_is_done() {
    let server = notes().await;
    let client = Client::modern(&server);
    let mut stream = listen(&client, json!({ "resourcesListChanged": true })).await;
    let delete = async |more: Value| {
        let meta = json!({ "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } });
        let mut params = json!({ "name": "delete_note", "arguments": { "name": "first" }, "_meta": meta });
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        client.rpc("tools/call", params).await
    };
    for (answer, said) in [
        (json!({ "action": "decline" }), "The note first stays"),
        (json!({ "action": "accept", "content": { "sure": false } }), "The note first stays"),
        (json!({ "action": "accept", "content": { "sure": true } }), "The note first is gone"),
    ] {
        let asked = delete(json!({})).await.result().clone();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        assert!(server.home().join("notes/first").exists(), "nothing is done before the answer");
        let (key, question) = asked["inputRequests"].as_object().expect("questions").iter().next().expect("one question");
        assert_eq!((&question["method"], &question["params"]["message"]), (&json!("elicitation/create"), &json!("Delete the note first?")));
        let answered = delete(json!({ "inputResponses": { key: answer }, "requestState": asked["requestState"] })).await;
        assert!(answered.text().contains(said), "{answered:?}");
    }
    stream.wait_method(LIST_CHANGED).await;
    assert!(uris(&client).await.is_empty());
}

#[tokio::test]
async fn a_flood_of_changes_is_a_few_lists() {
    let server = Setup::new().test_plugin("everything").start().await;
    let client = Client::modern(&server);
    let mut stream = listen(&client, json!({ "toolsListChanged": true })).await;
    let start = Instant::now();
    for _ in 0..300 {
        client.call("test_trigger_tool_change", json!({})).await.ok();
    }
    // What is listed now is not older than the last call: the flood's last change is told too.
    let listed = async || {
        let tools = client.tools().await;
        tools.iter().find(|tool| tool["name"] == "test_trigger_tool_change").expect("it is listed")["description"].clone()
    };
    let before = listed().await;
    client.call("test_trigger_tool_change", json!({})).await.ok();
    let mut told = 0;
    while listed().await == before || told == 0 {
        stream.wait_method("notifications/tools/list_changed").await;
        told += 1;
    }
    let most = start.elapsed().as_secs() + 2;
    assert!(told <= most, "{told} changes were told, {most} at most could be");
    assert_eq!(server.plugin_status("everything").await.expect("it is listed")["state"], "serving");
}

#[tokio::test]
async fn a_check_says_what_a_plugin_may_do_beyond_its_answers() {
    let setup = Setup::new().test_plugin("notes");
    let check = setup.run(["check", "plugins"]).await;
    for words in ["ok      notes: ", "may request input from the user or the client's model", "notify clients of changed resources"] {
        assert!(check.expect_code(0).stdout.contains(words), "{words}: {}", check.stdout);
    }
}
