//! What a connection may take its time for, how many there may be, and how large a head.

use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn whoever_does_not_finish_a_head_is_cut() {
    for beginning in ["", "POST /mc", "PRI * HT", "POST /mcp HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let server = Server::with(|_, limits| limits.head = SHORT).await;
        let mut client = server.connect().await;
        client.send(beginning).await;
        assert_eq!(client.rest().await, "", "{beginning:?}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_too() {
    let server = Server::with(|_, limits| limits.head = SHORT).await;
    let mut client = server.connect().await;
    // The second request of a connection is not better off than the first.
    assert_eq!(client.ask("GET /healthz", "").await.status, 200);
    let trickle = async {
        while client.stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(PATIENCE, trickle).await.expect("the connection is cut");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::with(|_, limits| limits.body = SHORT).await;
    let mut client = server.connect().await;
    client.send("POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhel").await;
    let answer = client.answer(false).await;
    assert!(answer.status == 408 && answer.body.contains("not complete after 0.1 s"), "{answer:?}");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while_and_a_working_one_for_as_long_as_it_works() {
    let mut server = Server::with(|_, limits| (limits.head, limits.idle) = (SHORT, SHORT)).await;
    let mut client = server.connect().await;
    client.request("POST /mcp\ndo: slow", "").await;
    assert_eq!(server.event().await, "begun");
    tokio::time::sleep(SHORT * 5).await;
    server.endpoint.gate.add_permits(1);
    assert_eq!(client.answer(false).await.body, "slow");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn whoever_does_not_take_an_answer_is_cut() {
    let mut server = Server::with(|_, limits| (limits.head, limits.write) = (SHORT, SHORT)).await;
    let mut client = server.connect().await;
    client.request("GET /mcp\ndo: big", "").await;
    assert_eq!(server.event().await, "gone");
}

#[tokio::test]
async fn a_call_ends_with_its_connection() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    client.request("POST /mcp\ndo: slow", "x").await;
    assert_eq!(server.event().await, "begun");
    drop(client);
    assert_eq!(server.event().await, "gone");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_may_ask_for_our_health() {
    let mut server = Server::with(|state, _| state.settings.change(|config| config.max_connections = 2)).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for client in [&mut first, &mut second] {
        client.request("POST /mcp\ndo: slow", "x").await;
        assert_eq!(server.event().await, "begun");
    }
    let mut third = server.connect().await;
    assert_eq!(third.ask("GET /healthz", "").await.status, 200);
    let refused = third.ask("POST /mcp\norigin: http://localhost:1", "x").await;
    assert_eq!((refused.status, refused.header("retry-after"), refused.header("connection")), (503, "1", "close"));
    assert_eq!(refused.header("access-control-allow-origin"), "http://localhost:1");
    assert!(refused.body.contains("max_connections"));
    assert_eq!(third.rest().await, "");
    // A place that gets free is given away.
    drop(second);
    assert_eq!(server.event().await, "gone");
    let free = async { while server.ask("POST /mcp").await.status != 200 {} };
    timeout(PATIENCE, free).await.expect("a place gets free");
}

#[tokio::test]
async fn of_far_too_many_connections_the_oldest_that_says_nothing_goes() {
    let mut server = Server::with(|state, _| state.settings.change(|config| config.max_connections = 1)).await;
    let mut busy = server.connect().await;
    busy.request("POST /mcp\ndo: slow", "x").await;
    assert_eq!(server.event().await, "begun");
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(server.connect().await);
    }
    assert_eq!(server.ask("GET /healthz").await.status, 200);
    assert_eq!(silent.remove(0).rest().await, "");
    drop(busy);
    assert_eq!(server.event().await, "gone");
}

#[tokio::test]
async fn connections_on_which_nothing_goes_on_make_room() {
    let server = Server::with(|state, limits| {
        state.settings.change(|config| config.max_connections = 3);
        limits.silent = Duration::from_millis(1);
    });
    let server = server.await;
    let mut idle = server.connect().await;
    assert_eq!(idle.ask("POST /mcp", "x").await.status, 200);
    let mut silent = [server.connect().await, server.connect().await];
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = server.connect().await;
        assert_eq!(other.ask("POST /mcp", "x").await.status, 200);
        others.push(other);
    }
    // Those that never asked for anything went first.
    for silent in &mut silent {
        assert_eq!(silent.rest().await, "");
    }
    assert_eq!(idle.ask("POST /mcp", "x").await.status, 200);
}

#[tokio::test]
async fn a_connection_that_is_in_use_keeps_its_place() {
    let server = Server::with(|state, limits| {
        state.settings.change(|config| config.max_connections = 2);
        limits.silent = Duration::from_secs(2);
    });
    let server = server.await;
    let (mut used, mut left) = (server.connect().await, server.connect().await);
    assert_eq!(left.ask("POST /mcp", "x").await.status, 200);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(used.ask("POST /mcp", "x").await.status, 200);
    // The one that was there first has asked last.
    let mut other = server.connect().await;
    assert_eq!(other.ask("POST /mcp", "x").await.status, 200);
    assert_eq!(left.rest().await, "");
    // Both of these have asked a moment ago, and neither goes for one that only comes.
    let refused = server.connect().await.ask("POST /mcp", "x").await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    for mut stays in [used, other] {
        assert_eq!(stays.ask("POST /mcp", "x").await.status, 200);
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let server = Server::start().await;
    let answer = server.ask(&format!("GET /healthz\nx: {}", "y".repeat(70_000))).await;
    assert_eq!(answer.status, 431);
    let many: String = (0..200).map(|number| format!("\nx-{number}: y")).collect();
    assert_eq!(server.ask(&format!("GET /healthz{many}")).await.status, 431);
    assert_eq!(server.ask(&format!("GET /healthz\nx: {}", "y".repeat(30_000))).await.status, 200);
    let mut nonsense = server.connect().await;
    nonsense.send("\u{16}\u{3}\u{1} this is TLS\r\n\r\n").await;
    assert_eq!(nonsense.answer(false).await.status, 400);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(client.answer(false).await.body, "ok\n");
    assert_eq!(client.answer(false).await.body, "ready\n");
}

/// A client of HTTP/2 without TLS, and the task that drives it.
async fn h2(server: &Server) -> (hyper::client::conn::http2::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (send, tokio::spawn(connection))
}

fn to(server: &Server, path: &str, action: &str) -> Request<Body> {
    Request::post(format!("http://{}{path}", server.addr)).header("do", action).body(Body::from("x")).unwrap()
}

#[tokio::test]
async fn http2_is_spoken_without_being_asked_and_ends_in_good_order() {
    let mut server = Server::start().await;
    let (mut send, driver) = h2(&server).await;
    let slow = send.send_request(to(&server, "/mcp", "slow"));
    assert_eq!(server.event().await, "begun");
    let quick = send.send_request(to(&server, "/mcp", "")).await.unwrap();
    assert_eq!(quick.into_body().collect().await.unwrap().to_bytes(), "POST None b\"x\"");
    let mut status = to(&server, "/status", "");
    *status.method_mut() = http::Method::HEAD;
    let status = send.send_request(status).await.unwrap();
    assert_eq!(status.status(), 200);
    assert!(status.headers()["content-length"] != "0" && status.into_body().collect().await.unwrap().to_bytes().is_empty());
    server.shutdown.drain();
    server.endpoint.gate.add_permits(1);
    let slow = timeout(PATIENCE, slow).await.unwrap().unwrap();
    assert_eq!(slow.into_body().collect().await.unwrap().to_bytes(), "slow");
    server.ended().await;
    timeout(PATIENCE, driver).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn http2_is_subject_to_the_same_limits() {
    let mut server = Server::with(|state, limits| {
        state.settings.change(|config| config.max_connections = 1);
        (limits.head, limits.idle) = (SHORT, SHORT);
    })
    .await;
    let (mut send, driver) = h2(&server).await;
    let slow = send.send_request(to(&server, "/mcp", "slow"));
    assert_eq!(server.event().await, "begun");
    let (mut over_limit, ended) = h2(&server).await;
    let refused = over_limit.send_request(to(&server, "/mcp", "")).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
    server.endpoint.gate.add_permits(1);
    assert_eq!(slow.await.unwrap().into_body().collect().await.unwrap().to_bytes(), "slow");
    // Idle from now on.
    timeout(PATIENCE, driver).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_reset_stream_ends_its_call_and_no_other() {
    let mut server = Server::start().await;
    let (mut send, _driver) = h2(&server).await;
    let slow = send.send_request(to(&server, "/mcp", "slow"));
    assert_eq!(server.event().await, "begun");
    drop(slow);
    assert_eq!(server.event().await, "gone");
    assert_eq!(send.send_request(to(&server, "/mcp", "")).await.unwrap().status(), 200);
}

/// Not a test of its own: the server of the next test, which ends when its stdin does.
#[tokio::test]
#[ignore = "started by a_server_that_runs_out_of_files_goes_on_when_it_has_some_again"]
async fn child() {
    let server = Server::start().await;
    println!("\n{}", server.addr);
    let _ = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await;
}

#[tokio::test]
async fn a_server_that_runs_out_of_files_goes_on_when_it_has_some_again() {
    const FILES: usize = 40;
    let mut child = std::process::Command::new("sh")
        .args(["-c", &format!("ulimit -n {FILES}; exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "http::tests::connections::child", "--ignored", "--nocapture"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let addr: SocketAddr = lines.by_ref().map(Result::unwrap).find_map(|line| line.parse().ok()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..FILES {
        let mut client = Client { stream: TcpStream::connect(addr).await.unwrap(), unread: Vec::new() };
        client.request("GET /healthz", "").await;
        clients.push(client);
    }
    let files = format!("/proc/{}/fd", child.id());
    while std::fs::read_dir(&files).unwrap().count() < FILES {
        tokio::task::yield_now().await;
    }
    let mut last = clients.pop().unwrap();
    drop(clients);
    assert_eq!(last.answer(false).await.body, "ok\n");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
