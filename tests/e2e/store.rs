//! What plugins keep: by the contract's import and by wasi:keyvalue, for all callers or each, within limits, and past a kill of the host.

use rustix::process::Signal;
use toolbay_tests::{Client, Server, Setup, json, secs};

fn keeper(grants: &str) -> Setup {
    let setup = Setup::new().test_plugin("keeper");
    let file = setup.home().join("kept/store.redb");
    setup.config(&format!("[store]\npath = {file:?}\n[plugin.keeper]\n{grants}\n"))
}

async fn get(client: &Client, key: &str) -> String {
    client.call("keep_get", json!({ "key": key })).await.ok()
}

async fn set(client: &Client, key: &str, value: &str) -> String {
    client.call("keep_set", json!({ "key": key, "value": value, "absent": false })).await.text()
}

#[tokio::test]
async fn what_is_kept_is_there_for_the_next_call_and_after_a_kill() {
    let setup = keeper("store = true\nenv = { COLOR = \"blue\" }");
    let file = setup.home().join("kept/store.redb");
    let mut server = setup.start().await;
    let client = Client::modern(&server);
    assert!(set(&client, "color", "red").await.contains("true"));
    assert!(get(&client, "color").await.contains("red"));
    assert!(client.call("keep_set", json!({ "key": "color", "value": "green", "absent": true })).await.ok().contains("false"));
    client.call("keep_set", json!({ "key": "brief", "value": "x", "ttl_ms": 1, "absent": false })).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert!(!get(&client, "brief").await.contains('x'));
    // Many at once count and swap.
    let many = (0..20).map(|_| {
        let client = Client::modern(&server);
        tokio::spawn(async move {
            client.call("keep_increment", json!({ "key": "count", "by": 2 })).await.ok();
            client.call("keep_swap", json!({ "key": "swapped" })).await.ok();
        })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.expect("no panic");
    }
    assert!(get(&client, "count").await.contains("40") && get(&client, "swapped").await.contains("20"));
    // The same keys by other names.
    let said = client.call("keyvalue", json!({ "name": "", "key": "color", "value": "pink" })).await.ok();
    assert_eq!(said, r#"Some("pink") 2 1 (true, false) ["color", "count", "kv-a", "kv-count", "swapped"] None"#);
    assert!(client.call("keyvalue", json!({ "name": "default", "key": "color", "value": "pink" })).await.ok().contains(" 4 1 "));
    let other = client.call("keyvalue", json!({ "name": "other", "key": "k", "value": "v" })).await;
    assert!(other.failure().contains("NoSuchStore"), "{other:?}");
    assert!(client.call("config_get", json!({ "name": "COLOR" })).await.ok().contains("blue"));
    assert!(!client.call("config_get", json!({ "name": "HOME" })).await.ok().contains('/'));
    // A number that is none, and a key that is none.
    assert!(
        client.call("keep_increment", json!({ "key": "color", "by": 1 })).await.failure().contains("invalid: \"color\" holds no number")
    );
    assert!(set(&client, "", "x").await.contains("invalid: a key has 1 to 1024 bytes"));
    server.signal(Signal::KILL);
    server.wait_exit(secs(20)).await;
    let again = keeper("store = true");
    std::fs::create_dir_all(again.home().join("kept")).expect("a folder");
    std::fs::copy(&file, again.home().join("kept/store.redb")).expect("a copy");
    let server = again.start().await;
    let client = Client::modern(&server);
    assert!(get(&client, "color").await.contains("pink") && get(&client, "count").await.contains("40"));
    assert!(client.call("keep_keys", json!({ "prefix": "co" })).await.ok().contains("count"));
    assert!(client.call("keep_delete", json!({ "key": "color" })).await.ok().contains("true"));
}

#[tokio::test]
async fn without_a_grant_it_is_refused_with_the_line_that_grants_it() {
    let server = keeper("").start().await;
    let client = Client::modern(&server);
    let line = "put  store = true  into [plugin.keeper] of toolbay.toml";
    let refused = client.call("keep_get", json!({ "key": "k" })).await.failure();
    assert_eq!(refused, format!("denied: plugin keeper may not keep anything in the store; to grant it, {line}"));
    let refused = client.call("keyvalue", json!({ "name": "", "key": "k", "value": "v" })).await.failure();
    assert!(refused.contains("AccessDenied") && refused.contains(line), "{refused}");
    assert!(!server.home().join("kept").exists(), "nothing is made for nobody");
}

#[tokio::test]
async fn a_plugin_keeps_no_more_than_its_grant() {
    let server = keeper("store = \"1KiB\"").start().await;
    let client = Client::modern(&server);
    assert!(set(&client, "a", &"x".repeat(800)).await.contains("true"));
    let full = set(&client, "b", &"x".repeat(800)).await;
    assert!(full.contains("full: plugin keeper may keep 1024 bytes") && full.contains("raise `store` in [plugin.keeper]"), "{full}");
    assert!(set(&client, "a", "").await.contains("true"));
    assert!(set(&client, "b", &"x".repeat(700)).await.contains("true"));
}

#[tokio::test]
async fn each_caller_has_keys_of_its_own_if_that_is_wanted() {
    let tokens = "[auth.tokens]\nann = { from_env = \"ANN\" }\nbob = { from_env = \"BOB\" }\n";
    let setup = keeper("store = true\nstore_scope = \"caller\"").config(tokens);
    let server: Server = setup.env("ANN", "ann-0123456789abcdef").env("BOB", "bob-0123456789abcdef").start().await;
    let [ann, bob] = ["ann", "bob"].map(|name| Client::modern(&server).token(&format!("{name}-0123456789abcdef")));
    set(&ann, "k", "of ann").await;
    assert!(!get(&bob, "k").await.contains("of ann"));
    set(&bob, "k", "of bob").await;
    assert!(get(&ann, "k").await.contains("of ann") && get(&bob, "k").await.contains("of bob"));
}
