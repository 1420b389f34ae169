//! Who closes the stream of a stateless call cancels it; a client with a session does not.

use std::time::{Duration, Instant};

use toolbay_tests::{
    Client, Server, Setup, json, millis, secs,
    wat::{self, binary},
};

async fn start() -> Server {
    Setup::new().bytes("busy.wasm", &binary(&wat::spin())).config("[plugin.busy]\ntimeout = \"4s\"").start().await
}

/// From the loss of the connection until no guest runs any more.
async fn until_idle(server: &Server, client: Client) -> Duration {
    let call = tokio::spawn(async move { client.call("spin", json!({})).await });
    server.wait_plugin("busy", "has the call", |status| status["in_flight"] == 1).await;
    call.abort();
    let _ = call.await;
    let start = Instant::now();
    while server.plugin_status("busy").await.expect("it is listed")["in_flight"] != 0 {
        assert!(start.elapsed() < secs(30), "the guest runs on and on");
    }
    start.elapsed()
}

#[tokio::test]
async fn a_stateless_call_ends_within_100_ms_of_its_connection() {
    let server = start().await;
    for _ in 0..5 {
        let took = until_idle(&server, Client::modern(&server)).await;
        assert!(took < millis(100), "{took:?}");
    }
}

#[tokio::test]
async fn a_call_of_a_session_outlives_its_connection() {
    let server = start().await;
    let client = Client::legacy(&server).await;
    let took = until_idle(&server, client).await;
    assert!(took > secs(2), "it was cancelled after {took:?}, not by its own limit of 4 s");
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
