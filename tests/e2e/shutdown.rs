//! How it ends: calls in flight are finished, nothing new is taken, and nobody waits for ever.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use toolbay_tests::{
    Client, Server, Setup, eventually, json, millis, secs,
    wat::{self, binary},
};

/// A server with a call in flight that takes about `turns` nanoseconds.
async fn with_call(config: &str, turns: u64) -> (Server, tokio::task::JoinHandle<Option<u64>>) {
    let server = Setup::new().bytes("slow.wasm", &binary(&wat::version(7))).config(config).start().await;
    let client = Client::modern(&server);
    let call = tokio::spawn(async move {
        let params = json!({ "name": "slow_version", "arguments": { "turns": turns } });
        client.try_rpc("tools/call", params).await.ok().and_then(|reply| reply.result()["structuredContent"]["result"].as_u64())
    });
    server.wait_plugin("slow", "has the call", |status| status["in_flight"] == 1).await;
    (server, call)
}

#[tokio::test]
async fn sigterm_lets_the_calls_in_flight_end_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut server, call) = with_call("", 2_000_000_000).await;
        server.signal(signal);
        assert_eq!(call.await.expect("no panic"), Some(7), "the call in flight is answered");
        assert_eq!(server.wait_exit(secs(10)).await.code(), Some(0));
    }
}

#[tokio::test]
async fn after_sigterm_nothing_new_is_taken() {
    let (server, call) = with_call("", 3_000_000_000).await;
    server.signal(Signal::TERM);
    eventually("new connections are refused", secs(2), || async {
        match tokio::net::TcpStream::connect(server.address()).await {
            Err(_) => Some(()),
            Ok(_) => None,
        }
    })
    .await;
    assert_eq!(call.await.expect("no panic"), Some(7));
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let (mut server, call) = with_call("", 60_000_000_000).await;
    server.signal(Signal::TERM);
    server.wait_log("that it is ending", |line| line.contains("a second signal exits")).await;
    // One that comes at once is an echo of the first, as a terminal and `timeout` send it. Whoever means it sends it later.
    server.signal(Signal::TERM);
    tokio::time::sleep(millis(500)).await;
    assert!(!call.is_finished(), "an echo does not end the drain");
    let start = Instant::now();
    server.signal(Signal::TERM);
    let status = server.wait_exit(secs(5)).await;
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    assert_ne!(status.code(), Some(0), "a call was cut off");
    call.abort();
}

#[tokio::test]
async fn the_drain_has_a_deadline() {
    let (mut server, call) = with_call("[http]\ndrain = \"500ms\"", 60_000_000_000).await;
    let start = Instant::now();
    server.signal(Signal::TERM);
    server.wait_exit(secs(10)).await;
    assert!(start.elapsed() < secs(5), "{:?}", start.elapsed());
    call.abort();
}

#[tokio::test]
async fn an_idle_server_with_listening_clients_ends_at_once() {
    let mut server = Setup::new().plugin("calculator").start().await;
    let modern = Client::modern(&server);
    let legacy = Client::legacy(&server).await;
    let _streams = (modern.listen_modern().await, legacy.listen_legacy().await);
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(secs(10)).await.code(), Some(0));
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_connects_while_one_version_follows_another_waits_where_the_socket_is_passed() {
    let setup = Setup::new().plugin("calculator");
    let mut unit = setup.by_socket_unit().spawn().expect("python3 runs");
    let mut lines = BufReader::new(unit.stdout.take().expect("a pipe")).lines();
    let port: u16 = lines.next_line().await.unwrap().expect("a line").parse().expect("a port");
    let again = tokio::spawn(async move {
        let mut times = 0;
        while let Ok(Some(line)) = lines.next_line().await {
            times += usize::from(line == "started again");
        }
        times
    });
    let url = format!("http://127.0.0.1:{port}/mcp");
    let pid = Pid::from_raw(i32::try_from(unit.id().expect("it runs")).expect("a process id")).expect("a process id");
    let restarts = async {
        for _ in 0..3 {
            tokio::time::sleep(secs(2)).await;
            kill_process(pid, Signal::USR1).expect("it runs");
        }
        tokio::time::sleep(secs(2)).await;
    };
    tokio::pin!(restarts);
    let mut calls = 0;
    loop {
        // Each on a connection of its own.
        let client = Client::at(&url).alone();
        let call = client.call("add", json!({ "a": calls, "b": 1 }));
        let reply = tokio::select! {
            reply = call => reply,
            () = &mut restarts => break,
        };
        assert_eq!(reply.ok().parse(), Ok(f64::from(calls) + 1.0), "call {calls}");
        calls += 1;
    }
    kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(unit.wait().await.expect("its end").code(), Some(0));
    assert_eq!(again.await.expect("no panic"), 3);
    assert!(calls > 10, "{calls}");
}

#[tokio::test]
async fn a_socket_that_cannot_be_used_is_told() {
    for (count, wanted) in [("1", "cannot use the socket of LISTEN_FDS"), ("2", "LISTEN_FDS passes 2 sockets")] {
        let setup = Setup::new().env("LISTEN_FDS", count);
        let refused = setup.refused().await;
        refused.expect_code(2);
        assert!(refused.stderr.contains(wanted) && refused.stderr.contains("ListenStream="), "{}", refused.stderr);
    }
}
