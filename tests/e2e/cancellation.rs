//! Who closes the stream of a stateless call cancels it; a client with a session does not.

use std::time::{Duration, Instant};

use toolbay_tests::{
    Client, Server, Setup, json, millis, secs,
    wat::{self, binary},
};

/// Tries, and the limit that most of them have to keep: one or the other may meet a machine that is busy with something else.
const TRIES: usize = 9;
const LIMIT: Duration = millis(100);

/// The one in the middle.
fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 2]
}

async fn start() -> Server {
    Setup::new().bytes("busy.wasm", &binary(&wat::spin())).config("[plugin.busy]\ntimeout = \"4s\"").start().await
}

/// From now until the host says that the call of this number was cancelled, which it does when its guest is gone.
async fn until_cancelled(server: &Server, number: usize) -> Duration {
    let start = Instant::now();
    let id = format!("call{{id={number} ");
    server.wait_log("the end of the call", |line| line.contains(&id) && line.contains("outcome=\"cancelled\"")).await;
    start.elapsed()
}

#[tokio::test]
async fn a_stateless_call_ends_within_100_ms_of_its_connection() {
    let server = start().await;
    let mut took = Vec::new();
    for number in 1..=TRIES {
        let client = Client::modern(&server);
        let call = tokio::spawn(async move { client.call("spin", json!({})).await });
        server.wait_plugin("busy", "has the call", |status| status["in_flight"] == 1).await;
        call.abort();
        let _ = call.await;
        took.push(until_cancelled(&server, number).await);
    }
    server.wait_plugin("busy", "runs nothing", |status| status["in_flight"] == 0).await;
    assert!(median(took.clone()) < LIMIT, "{took:?}");
}

/// A stream is open, and its guest between two reports of progress, when the client closes it. The end of the guest is when the host logs the call.
#[tokio::test]
async fn a_stateless_call_ends_within_100_ms_of_its_stream() {
    let server = Setup::new().test_plugin("probe").start().await;
    let client = Client::modern(&server);
    let mut took = Vec::new();
    for number in 1..=TRIES {
        let arguments = json!({ "steps": 100_000, "pause_ms": 5 });
        let params = json!({ "name": "progress", "arguments": arguments, "_meta": { "progressToken": number } });
        let mut stream = client.stream("tools/call", params).await;
        for _ in 0..3 {
            stream.wait_method("notifications/progress").await;
        }
        drop(stream);
        took.push(until_cancelled(&server, number).await);
    }
    assert!(median(took.clone()) < LIMIT, "{took:?}");
    server.wait_plugin("probe", "runs nothing", |status| status["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_call_of_a_session_outlives_its_connection() {
    let server = start().await;
    let client = Client::legacy(&server).await;
    let call = tokio::spawn(async move { client.call("spin", json!({})).await });
    server.wait_plugin("busy", "has the call", |status| status["in_flight"] == 1).await;
    call.abort();
    let _ = call.await;
    // Nobody cancels it: it goes on until its own limit ends it.
    let ended = server.wait_log("the end of the call", |line| line.contains("call{id=1 ") && line.contains("outcome=")).await;
    assert!(ended.contains("outcome=\"tool_error\""), "{ended}");
}

#[tokio::test]
async fn a_call_of_a_session_ends_by_a_cancelled_notification() {
    let server = start().await;
    let client = std::sync::Arc::new(Client::legacy(&server).await);
    let (id, request) = client.request("tools/call", json!({ "name": "spin", "arguments": {} }));
    let call = tokio::spawn(request.send());
    server.wait_plugin("busy", "has the call", |status| status["in_flight"] == 1).await;
    let start = Instant::now();
    client.notify("notifications/cancelled", json!({ "requestId": id, "reason": "the person pressed stop" })).await;
    server.wait_plugin("busy", "has ended the call", |status| status["in_flight"] == 0).await;
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
    call.abort();
}
