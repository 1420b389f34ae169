//! How a server ends: what runs is let run, within its time.

use tokio::io::ErrorKind;

use super::*;

async fn refuses(server: &Server) {
    let refused = async {
        while TcpStream::connect(server.addr).await.map_err(|error| error.kind()).err() != Some(ErrorKind::ConnectionRefused) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("new connections are refused");
}

#[tokio::test]
async fn a_call_in_flight_ends_well_while_nobody_else_comes_in() {
    let mut server = Server::start().await;
    let (mut busy, mut idle, mut fresh) = (server.connect().await, server.connect().await, server.connect().await);
    assert_eq!(idle.ask("GET /healthz", "").await.status, 200);
    busy.request("POST /mcp\ndo: slow", "").await;
    assert_eq!(server.event().await, "begun");
    server.shutdown.drain();
    refuses(&server).await;
    assert_eq!((idle.rest().await, fresh.rest().await), (String::new(), String::new()));
    assert!(!server.task.is_finished());
    server.endpoint.gate.add_permits(1);
    let answer = busy.answer(false).await;
    assert_eq!((answer.status, &*answer.body, answer.header("connection")), (200, "slow", "close"));
    server.ended().await;
}

#[tokio::test]
async fn a_server_without_work_ends_at_once() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    assert_eq!(idle.ask("GET /healthz", "").await.status, 200);
    server.shutdown.drain();
    server.ended().await;
    assert_eq!(idle.rest().await, "");
}

#[tokio::test]
async fn streams_are_closed_after_the_last_call() {
    let mut server = Server::start().await;
    let (mut stream, mut busy) = (server.connect().await, server.connect().await);
    stream.request("GET /mcp\ndo: stream", "").await;
    assert_eq!(server.event().await, "begun");
    busy.request("POST /mcp\ndo: slow", "").await;
    assert_eq!(server.event().await, "begun");
    server.shutdown.drain();
    refuses(&server).await;
    assert!(!*server.endpoint.closed.borrow());
    server.endpoint.gate.add_permits(1);
    assert_eq!(busy.answer(false).await.body, "slow");
    assert!(stream.rest().await.ends_with("4\r\nlast\r\n0\r\n\r\n"));
    server.ended().await;
}

#[tokio::test]
async fn a_call_that_does_not_end_is_given_up_at_the_deadline() {
    let mut server = Server::with(|state, _| state.settings.change(|config| config.drain = Duration::from_millis(50))).await;
    let mut busy = server.connect().await;
    busy.request("POST /mcp\ndo: slow", "").await;
    assert_eq!(server.event().await, "begun");
    server.shutdown.drain();
    server.ended().await;
    assert!(*server.endpoint.closed.borrow());
    assert_eq!(server.event().await, "gone");
    assert_eq!(busy.rest().await, "");
}

#[tokio::test]
async fn a_second_word_ends_everything_now() {
    let mut server = Server::start().await;
    let mut busy = server.connect().await;
    busy.request("POST /mcp\ndo: slow", "").await;
    assert_eq!(server.event().await, "begun");
    server.shutdown.drain();
    refuses(&server).await;
    server.shutdown.now();
    server.ended().await;
    assert_eq!(server.event().await, "gone");
    assert_eq!(busy.rest().await, "");
}

#[tokio::test]
async fn a_request_that_had_begun_is_answered_and_health_says_that_the_end_has_begun() {
    let mut server = Server::start().await;
    let (mut client, mut other) = (server.connect().await, server.connect().await);
    client.send("GET /readyz HTTP/1.1\r\nhost: ").await;
    // What was sent before has been read when this is answered.
    assert_eq!(other.ask("GET /readyz", "").await.body, "ready\n");
    server.shutdown.drain();
    refuses(&server).await;
    client.send("localhost\r\n\r\n").await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status, &*answer.body), (503, "draining\n"));
    assert_eq!(client.rest().await, "");
    server.ended().await;
}
