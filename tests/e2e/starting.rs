//! A host's first seconds: what is only not there yet is not "not found".

use toolbay_tests::{Client, Setup, client::http, json};

/// A host that listens, and has the calculator still to compile: it has a compile cache of its own.
async fn cold() -> toolbay_tests::Server {
    let setup = Setup::new().plugin("calculator");
    let cache = setup.home().join("cold-cache").display().to_string();
    setup.env("XDG_CACHE_HOME", &cache).start_unready().await
}

#[tokio::test]
async fn calls_and_lists_wait_for_the_first_look_at_the_plugins() {
    let server = cold().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("add", json!({ "a": 2, "b": 40 })).await.ok(), "42.0");
    let server = cold().await;
    let names = Client::modern(&server).tool_names().await;
    assert!(names.contains(&"add".to_owned()), "{names:?}");
    let server = cold().await;
    let names = Client::legacy(&server).await.tool_names().await;
    assert!(names.contains(&"add".to_owned()), "{names:?}");
    let server = cold().await;
    let only = Client::at(&server.url_of("calculator"));
    assert_eq!(only.call("add", json!({ "a": 2, "b": 40 })).await.ok(), "42.0");
}

#[tokio::test]
async fn plain_http_waits_too() {
    let server = cold().await;
    let url = format!("http://{}/call", server.address());
    let body = r#"{"tool_name": "add", "tool_args": {"a": 2, "b": 40}}"#;
    let answer = http().post(&url).body(body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    let server = cold().await;
    let answer = http().get(format!("http://{}/calculator/tools", server.address())).send().await.expect("an answer");
    assert!(answer.text().await.expect("a body").contains("square_root"));
}

/// Longer than anybody waits: the caller is told to come back, and what is there is served meanwhile.
#[tokio::test]
async fn a_tool_of_a_server_that_takes_long_is_to_come() {
    let config = "[server.slow]\ncommand = [\"sh\", \"-c\", \"sleep 100\"]\nstart_timeout = \"90s\"";
    let server = Setup::new().plugin("calculator").config(config).start_unready().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("add", json!({ "a": 2, "b": 40 })).await.ok(), "42.0");
    let missing = client.call("tool_of_slow", json!({})).await;
    assert_eq!(missing.status, 503, "{missing:?}");
    let message = missing.error()["message"].as_str().expect("a message");
    assert!(message.contains("tool_of_slow") && message.contains("yet") && message.contains("try again"), "{message}");
    let url = format!("http://{}/call", server.address());
    let answer = http().post(&url).body(r#"{"tool_name": "tool_of_slow", "tool_args": {}}"#).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}

/// Where nothing is to come, nobody is made to hope.
#[tokio::test]
async fn a_name_that_nobody_has_is_not_found_once_everything_is_there() {
    let server = Setup::new().plugin("calculator").start().await;
    assert_eq!(Client::modern(&server).call("no_such_tool", json!({})).await.code(), -32602);
}
