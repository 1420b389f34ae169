//! A plugin that writes its own schemas and answers with every kind of content: all of it reaches the client as it was given.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use toolbay_tests::{Client, Server, Setup, Value, json};

async fn text_tools() -> (Server, Client) {
    let server = Setup::new().plugin("text-tools").start().await;
    let client = Client::modern(&server);
    (server, client)
}

fn block<'a>(reply: &'a toolbay_tests::Reply, kind: &str) -> &'a Value {
    let blocks = reply.result()["content"].as_array().expect("a list of blocks");
    blocks.iter().find(|block| block["type"] == kind).unwrap_or_else(|| panic!("a block of {kind}: {reply:?}"))
}

fn bytes(block: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(block["data"].as_str().expect("data is text")).expect("data is base64")
}

#[tokio::test]
async fn a_tool_is_listed_with_all_that_its_plugin_says_of_it() {
    let (_server, client) = text_tools().await;
    let tools = client.tools().await;
    let tool = tools.iter().find(|tool| tool["name"] == "edit_distance").expect("it is listed");
    assert_eq!(tool["title"], "Edit distance");
    assert_eq!(
        tool["annotations"],
        json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false })
    );
    assert_eq!(tool["inputSchema"]["properties"]["a"]["maxLength"], 50000);
    // Boolean schemas are not published: google-genai fails on them. The host refuses other arguments all the same.
    assert_eq!(tool["inputSchema"]["additionalProperties"], serde_json::Value::Null);
    assert_eq!(tool["outputSchema"]["properties"]["similarity"]["maximum"], 1);
}

#[tokio::test]
async fn structured_content_comes_with_its_text() {
    let (_server, client) = text_tools().await;
    let reply = client.call("edit_distance", json!({ "a": "kitten", "b": "sitting" })).await;
    assert_eq!(reply.result()["structuredContent"]["distance"], 3, "{reply:?}");
    assert!(reply.ok().starts_with("Edits: 3;"), "{reply:?}");
}

#[tokio::test]
async fn an_image_and_a_sound_arrive_byte_for_byte() {
    let (_server, client) = text_tools().await;
    let reply = client.call("qr_code", json!({ "text": "https://example.com" })).await;
    let image = block(&reply, "image");
    assert_eq!(image["mimeType"], "image/png");
    assert_eq!(&bytes(image)[..8], b"\x89PNG\r\n\x1a\n");
    let reply = client.call("morse_code", json!({ "text": "sos" })).await;
    let sound = block(&reply, "audio");
    assert_eq!(sound["mimeType"], "audio/wav");
    let sound = bytes(sound);
    assert_eq!((&sound[..4], &sound[8..12]), (b"RIFF".as_slice(), b"WAVE".as_slice()));
    assert_eq!(u32::from_le_bytes(sound[4..8].try_into().expect("four bytes")) as usize + 8, sound.len(), "nothing is cut off");
}

#[tokio::test]
async fn an_embedded_resource_and_links_keep_their_fields() {
    let (_server, client) = text_tools().await;
    let reply = client.call("diff_text", json!({ "before": "a\nb\n", "after": "a\nc\n", "name": "notes" })).await;
    let resource = &block(&reply, "resource")["resource"];
    assert_eq!((resource["uri"].as_str(), resource["mimeType"].as_str()), (Some("text-tools://diff/notes.diff"), Some("text/x-diff")));
    assert!(resource["text"].as_str().expect("text").contains("\n-b\n+c\n"), "{resource}");
    let reply = client.call("explain_characters", json!({ "text": "é" })).await;
    let link = block(&reply, "resource_link");
    assert_eq!(link["name"], "U+00E9");
    assert_eq!(link["title"], "U+00E9 in Unicode's database");
    assert!(link["annotations"]["audience"].is_array() && link.get("description").is_none(), "{link}");
}

#[tokio::test]
async fn arguments_are_checked_against_the_plugins_own_schema_before_it_runs() {
    let (_server, client) = text_tools().await;
    let failure = client.call("change_case", json!({ "text": "a", "style": "SHOUT" })).await.failure();
    assert!(failure.contains("style") && failure.contains("SHOUT") && failure.contains("kebab"), "{failure}");
    let failure = client.call("morse_code", json!({ "text": "a", "words_per_minute": 100 })).await.failure();
    assert!(failure.contains("words_per_minute") && failure.contains("100") && failure.contains("40"), "{failure}");
}

#[tokio::test]
async fn what_a_plugin_says_beyond_the_rules_does_not_reach_the_client_as_it_is() {
    let server = Setup::new().test_plugin("probe").start().await;
    let client = Client::modern(&server);
    let good = client.call("raw_structured", json!({ "json": "{\"number\": 7}" })).await;
    assert_eq!(good.result()["structuredContent"], json!({ "number": 7 }));
    for (tool, field, text) in [("raw_structured", "structuredContent", "no json"), ("meta", "_meta", "no json"), ("meta", "_meta", "[1]")]
    {
        let reply = client.call(tool, json!({ "json": text })).await;
        assert!(reply.is_error() || reply.result().get(field).is_none_or(Value::is_object), "{tool} {text}: {reply:?}");
        assert!(!reply.body.contains("no json"), "{reply:?}");
        server.wait_log("what was left out", |line| line.contains("WARN") && line.contains("probe") && line.contains(tool)).await;
    }
    let meta = client.call("meta", json!({ "json": "{\"acme.example/cost\": 3}" })).await;
    assert_eq!(meta.result()["_meta"]["acme.example/cost"], 3);
    let refused = client.call("refuse", json!({ "code": -32042, "message": "not today", "data": "{\"until\": \"noon\"}" })).await;
    assert_eq!(refused.code(), -32042);
    assert_eq!((refused.failure().as_str(), &refused.error()["data"]), ("not today", &json!({ "until": "noon" })));
    for tool in ["panic", "exit"] {
        let failure = client.call(tool, json!({ "message": "oh no", "code": 3 })).await.failure();
        assert!(failure.contains("probe") && !failure.contains("0x"), "{failure}");
    }
}

#[tokio::test]
async fn resources_prompts_and_completion_reach_clients_of_both_eras() {
    let server = Setup::new().test_plugin("everything").start().await;
    for client in [Client::modern(&server), Client::legacy(&server).await] {
        let listed = client.rpc("resources/list", json!({})).await;
        let uris: Vec<&str> = listed.result()["resources"].as_array().expect("a list").iter().filter_map(|r| r["uri"].as_str()).collect();
        assert!(uris.contains(&"test://static-text") && uris.contains(&"test://static-binary"), "{uris:?}");
        let read = client.rpc("resources/read", json!({ "uri": "test://template/42/data" })).await;
        let text = read.result()["contents"][0]["text"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains("42"), "{read:?}");
        let unknown = client.rpc("resources/read", json!({ "uri": "test://none" })).await;
        assert!(unknown.code() == -32602 || unknown.code() == -32002, "{unknown:?}");
        let prompt = json!({ "name": "test_prompt_with_arguments", "arguments": { "arg1": "one", "arg2": "two" } });
        let filled = client.rpc("prompts/get", prompt).await;
        let text = filled.result()["messages"][0]["content"]["text"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains("one") && text.contains("two"), "{filled:?}");
        let lacking = client.rpc("prompts/get", json!({ "name": "test_prompt_with_arguments", "arguments": {} })).await;
        assert_eq!(lacking.code(), -32602, "{lacking:?}");
        let reference = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
        let values = client.rpc("completion/complete", json!({ "ref": reference, "argument": { "name": "arg1", "value": "" } })).await;
        assert!(values.result()["completion"]["values"].is_array(), "{values:?}");
    }
}
