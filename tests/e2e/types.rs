//! Every type of WIT goes in as JSON and comes back as the same JSON, and what does not fit is told and never runs.

use toolbay_tests::{Client, Server, Setup, Value, json};

async fn kinds() -> (Server, Client) {
    let server = Setup::new().test_plugin("kinds").start().await;
    let client = Client::modern(&server);
    (server, client)
}

/// What a tool of one value answers to it: the record itself, or `result`.
fn answer(reply: &toolbay_tests::Reply) -> Value {
    let structured = reply.result()["structuredContent"].clone();
    match structured.as_object() {
        Some(map) if map.len() == 1 && map.contains_key("result") => map["result"].clone(),
        _ => structured,
    }
}

#[tokio::test]
async fn every_value_comes_back_as_it_went() {
    let (_server, client) = kinds().await;
    for (tool, values) in [
        ("echo_bool", vec![json!(true), json!(false)]),
        ("echo_s8", vec![json!(-128), json!(127)]),
        ("echo_u8", vec![json!(0), json!(255)]),
        ("echo_s16", vec![json!(-32768), json!(32767)]),
        ("echo_u16", vec![json!(65535)]),
        ("echo_s32", vec![json!(i32::MIN), json!(i32::MAX)]),
        ("echo_u32", vec![json!(u32::MAX)]),
        ("echo_s64", vec![json!(i64::MIN), json!(i64::MAX)]),
        ("echo_u64", vec![json!(u64::MAX), json!(9_007_199_254_740_993_u64)]),
        ("echo_f64", vec![json!(0.1), json!(-1.5e300), json!(5e-324)]),
        ("echo_f32", vec![json!(0.5), json!(-1.25)]),
        ("echo_char", vec![json!("a"), json!("é"), json!("🦀")]),
        ("echo_string", vec![json!(""), json!("a \"quoted\"\n\u{0}\u{202e} 🦀 text")]),
        ("echo_bytes", vec![json!(""), json!("AAECAwT/")]),
        ("echo_strings", vec![json!([]), json!(["", "a", "b"])]),
        ("echo_matrix", vec![json!([[0.5, 1.5], [], [2.5]])]),
        ("echo_option", vec![json!(7)]),
        ("echo_options", vec![json!([null, "a", null])]),
        ("echo_tuple", vec![json!([1, "two", true])]),
        ("echo_enum", vec![json!("red"), json!("dark_blue")]),
        ("echo_flags", vec![json!([]), json!(["read", "run_it"])]),
        ("echo_record", vec![json!({ "x": -1, "y": 2 }), json!({ "x": 1, "y": 2, "short_name": "here" })]),
        ("echo_records", vec![json!([{ "x": 1, "y": 2 }, { "x": 3, "y": 4, "short_name": "" }])]),
        (
            "echo_variant",
            vec![
                json!("empty"),
                json!({ "circle": 1.5 }),
                json!({ "poly_line": [{ "x": 1, "y": 2 }] }),
                json!({ "named": ["n", "green"] }),
            ],
        ),
        (
            "echo_results",
            vec![json!({ "outcome": { "ok": 1 }, "no_value": { "error": "e" }, "no_error": { "ok": 2 }, "neither": { "error": null } })],
        ),
        (
            "echo_nested",
            vec![json!({
                "shapes": ["empty", { "circle": 0.5 }], "access": ["write"], "colours": ["red"],
                "origin": [{ "x": 0, "y": 0, "short_name": "o" }, null], "initial": "Z"
            })],
        ),
    ] {
        for value in values {
            let reply = client.call(tool, json!({ "value": value })).await;
            assert_eq!(answer(&reply), value, "{tool}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_value_out_of_its_type_is_told_with_its_place_and_what_is_allowed() {
    let (_server, client) = kinds().await;
    for (tool, value, words) in [
        ("echo_u8", json!(256), vec!["value", "256", "255"]),
        ("echo_u8", json!(-1), vec!["-1", "0"]),
        ("echo_s32", json!(1.5), vec!["1.5", "integer"]),
        ("echo_u64", json!(1.8446744073709552e19), vec!["value"]),
        ("echo_char", json!("ab"), vec!["value", "ab"]),
        ("echo_bytes", json!("not base64!"), vec!["value", "base64"]),
        ("echo_enum", json!("blue"), vec!["blue", "red", "green", "dark_blue"]),
        ("echo_flags", json!(["read", "fly"]), vec!["fly", "write"]),
        ("echo_record", json!({ "x": 1 }), vec!["y"]),
        ("echo_record", json!({ "x": 1, "y": 2, "z": 3 }), vec!["z"]),
        ("echo_records", json!([{ "x": 1, "y": 2 }, { "x": "one", "y": 2 }]), vec!["1", "x", "one"]),
        ("echo_variant", json!({ "square": 1 }), vec!["square", "circle"]),
        ("echo_variant", json!({ "circle": 1, "empty": null }), vec!["value"]),
        ("echo_tuple", json!([1, "two"]), vec!["value"]),
        ("echo_string", json!(null), vec!["value", "string"]),
    ] {
        let reply = client.call(tool, json!({ "value": value })).await;
        let failure = reply.failure();
        for word in words {
            assert!(failure.contains(word), "{tool} of {value}: `{word}` in {failure}");
        }
    }
}

#[tokio::test]
async fn arguments_may_be_left_out_where_they_are_optional_and_only_there() {
    let (_server, client) = kinds().await;
    client.call("optional_arguments", json!({ "required_text": "a" })).await.ok();
    client.call("optional_arguments", json!({ "required_text": "a", "times": 2, "upper_case": null })).await.ok();
    assert!(client.call("optional_arguments", json!({ "times": 2 })).await.failure().contains("required_text"));
    client.rpc("tools/call", json!({ "name": "nothing" })).await.ok();
    client.call("nothing", json!({})).await.ok();
}

#[tokio::test]
async fn an_error_of_a_function_is_an_error_of_the_tool_with_its_payload() {
    let (_server, client) = kinds().await;
    assert_eq!(answer(&client.call("divide", json!({ "a": 6, "b": 2 })).await), 3);
    client.call("divide", json!({ "a": 6, "b": 0 })).await.failure();
    let failure = client.call("fail_with", json!({ "kind": { "not_found": "the moon" } })).await.failure();
    assert!(failure.contains("not_found") && failure.contains("the moon"), "{failure}");
    let failure = client.call("fail_silently", json!({ "fail": true })).await.failure();
    assert!(!failure.is_empty());
    client.call("succeed_silently", json!({})).await.ok();
    let failure = client.call("trap", json!({})).await.failure();
    assert!(failure.contains("kinds"), "the plugin is named: {failure}");
}
