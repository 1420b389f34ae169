//! Limits for callers: one caller's flood is turned away with the time to wait, and others go on.

use std::time::{Duration, Instant};

use toolbay_tests::{Client, Setup, Value, client, json};

const FLOOD: &str = "flood-0123456789abcdef";
const CALM: &str = "calm-0123456789abcdef";

const CONFIG: &str = r#"
[auth.tokens]
flood = { from_env = "FLOOD", roles = ["limited"] }
calm = { from_env = "CALM", roles = ["limited"] }

[role.limited]
servers = ["*"]
rate = "20/s"
burst = 5
concurrency = 2

[role.limited.limits."calculator__convert"]
rate = "1/h"
"#;

fn setup() -> Setup {
    Setup::new().plugin("calculator").test_plugin("probe").env("FLOOD", FLOOD).env("CALM", CALM).config(CONFIG)
}

#[tokio::test]
async fn a_flood_is_turned_away_with_the_time_to_wait_and_another_caller_goes_on() {
    let server = setup().start().await;
    let (flood, calm) = (Client::modern(&server).token(FLOOD), Client::modern(&server).token(CALM));
    let begin = Instant::now();
    let flooding = futures::future::join_all((0..200).map(|_| flood.call("add", json!({ "a": 1, "b": 2 }))));
    let calmly = async {
        for _ in 0..4 {
            calm.call("add", json!({ "a": 1, "b": 2 })).await.ok();
        }
    };
    let (answers, ()) = tokio::join!(flooding, calmly);
    let allowed = answers.iter().filter(|reply| reply.status == 200).count();
    let most = 5.0 + 20.0 * begin.elapsed().as_secs_f64() + 1.0;
    assert!(allowed >= 1 && (allowed as f64) <= most, "{allowed} of 200 in {:?}", begin.elapsed());
    for refused in answers.iter().filter(|reply| reply.status != 200) {
        assert_eq!((refused.status, refused.code()), (429, -32000), "{refused:?}");
        let wait: u64 = refused.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!(wait >= 1);
        let error = refused.error();
        assert!(
            error["data"]["retryAfterMs"].is_u64() && error["message"].as_str().expect("a message").contains("caller flood"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_limits_hold_over_rest_and_for_one_tool_and_change_without_a_restart() {
    let server = setup().start().await;
    let rest = async |token: &str, body: Value| {
        let url = format!("http://{}/call", server.address());
        let answer = client::http().post(url).bearer_auth(token).body(body.to_string()).send().await.expect("an answer");
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        (answer.status().as_u16(), retry, answer.text().await.expect("a body").parse::<Value>().expect("JSON"))
    };
    let convert = json!({ "tool_name": "convert", "tool_args": { "value": 1, "from": "m", "to": "km" } });
    let add = json!({ "tool_name": "add", "tool_args": { "a": 1, "b": 2 } });
    let first = rest(CALM, convert.clone()).await;
    assert_ne!(first.0, 429, "{first:?}");
    let (status, retry, body) = rest(CALM, convert.clone()).await;
    assert_eq!((status, body["detail"].as_str()), (429, Some("Too many calls")), "{body}");
    assert!(retry.expect("Retry-After").parse::<u64>().expect("seconds") > 3000);
    assert!(body["reason"].as_str().expect("a reason").contains("calculator__convert"), "{body}");
    assert_eq!(rest(CALM, add).await.0, 200);
    assert_ne!(rest(FLOOD, convert.clone()).await.0, 429, "each caller is counted by itself");
    let config = CONFIG.replace("\"1/h\"", "\"1000/s\"");
    std::fs::write(server.home().join("toolbay.toml"), config).expect("it can be written");
    server.wait_log("the change", |log| log.contains("configuration reloaded")).await;
    assert_ne!(rest(CALM, convert).await.0, 429);
}

#[tokio::test]
async fn a_caller_has_so_many_calls_at_once_and_those_of_another_are_not_kept_waiting() {
    let server = setup().start().await;
    let (flood, calm) = (Client::modern(&server).token(FLOOD), Client::modern(&server).token(CALM));
    let long = json!({ "ms": 1500 });
    let running = futures::future::join_all((0..2).map(|_| flood.call("sleep", long.clone())));
    let others = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let refused = flood.call("echo", json!({ "text": "x" })).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        assert!(refused.error()["message"].as_str().expect("a message").contains("concurrency"), "{refused:?}");
        assert_ne!(calm.call("echo", json!({ "text": "x" })).await.status, 429);
    };
    tokio::join!(running, others);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_ne!(flood.call("echo", json!({ "text": "x" })).await.status, 429, "both are given back");
}
