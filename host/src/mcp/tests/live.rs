//! Over real connections: who hangs up cancels, or does not.

use std::time::Duration;

use axum::Router;
use http::{Request, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::support::*;

/// The front behind axum on a free port, and a connection to it.
async fn connect(lab: &Lab) -> (TcpStream, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = lab.endpoint.clone();
    let app = Router::new().fallback(move |request: Request<axum::body::Body>| {
        let endpoint = endpoint.clone();
        async move { endpoint.handle(None, request).await }
    });
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (TcpStream::connect(address).await.unwrap(), server)
}

/// The request as bytes of HTTP/1.1.
async fn bytes(request: Request<axum::body::Body>) -> Vec<u8> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    let mut text = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}

#[tokio::test]
async fn hanging_up_ends_a_modern_call_before_and_during_its_stream() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        for (name, meta) in [("hang", json!({})), ("hang_notify", json!({"progressToken": 1}))] {
            let (mut connection, server) = connect(&lab).await;
            connection.write_all(&bytes(modern("tools/call", json!({"name": name, "_meta": meta}))).await).await.unwrap();
            assert_eq!(lab.event().await, "started");
            if name == "hang_notify" {
                let mut seen = vec![0; 4096];
                let count = connection.read(&mut seen).await.unwrap();
                assert!(String::from_utf8_lossy(&seen[..count]).contains("text/event-stream"));
            }
            assert_eq!(lab.front.in_flight(), 1);
            let hung_up = std::time::Instant::now();
            drop(connection);
            assert_eq!(lab.event().await, "dropped");
            assert!(hung_up.elapsed() < Duration::from_secs(1), "{:?}", hung_up.elapsed());
            server.abort();
        }
    }
}

#[tokio::test]
async fn hanging_up_does_not_end_an_older_clients_call() {
    let lab = Lab::new();
    let session = lab.session().await;
    for (session, name) in [(None, "hang"), (Some(session.as_str()), "hang"), (Some(session.as_str()), "hang_notify")] {
        let (mut connection, server) = connect(&lab).await;
        let params = json!({"name": name, "_meta": {"progressToken": 1}});
        connection.write_all(&bytes(legacy(session, "tools/call", params)).await).await.unwrap();
        assert_eq!(lab.event().await, "started");
        drop(connection);
        // Nothing tells that the server has seen it, so give it time to do the wrong thing.
        tokio::time::sleep(Duration::from_millis(100)).await;
        lab.release.notify_one();
        assert_eq!(lab.event().await, "finished");
        server.abort();
    }
}

#[tokio::test]
async fn hanging_up_ends_an_older_clients_call_that_has_not_begun() {
    let lab = Lab::new();
    for name in ["hang", "hang_notify"] {
        let params = json!({"name": name, "arguments": {"queue": true}, "_meta": {"progressToken": 1}});
        let (mut connection, server) = connect(&lab).await;
        connection.write_all(&bytes(legacy(None, "tools/call", params.clone())).await).await.unwrap();
        assert_eq!(lab.event().await, "queued");
        drop(connection);
        assert_eq!(lab.event().await, "left the queue");
        // One whose turn has come goes on.
        let (mut connection, server) = {
            server.abort();
            connect(&lab).await
        };
        connection.write_all(&bytes(legacy(None, "tools/call", params)).await).await.unwrap();
        assert_eq!(lab.event().await, "queued");
        lab.release.notify_one();
        assert_eq!((lab.event().await, lab.event().await), ("begun", "started"));
        drop(connection);
        tokio::time::sleep(Duration::from_millis(100)).await;
        lab.release.notify_one();
        assert_eq!(lab.event().await, "finished");
        server.abort();
    }
}

#[tokio::test]
async fn an_older_client_cancels_by_a_notification() {
    for lab in [Lab::new(), Lab::without_lean_path()] {
        let (session, other) = (lab.session().await, lab.session().await);
        for name in ["hang", "hang_notify"] {
            let call = lab.send(legacy(Some(&session), "tools/call", json!({"name": name, "_meta": {"progressToken": 5}})));
            let cancel = async {
                assert_eq!(lab.event().await, "started");
                for (session, id) in [(&other, 7), (&session, 8), (&session, 7)] {
                    let body =
                        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "enough"}});
                    assert_eq!(lab.send(request(&[("mcp-session-id", session)], &body.to_string())).await.status, 202);
                    if (session, id) != (&session.clone(), 7) {
                        assert_eq!(lab.front.in_flight(), 1);
                    }
                }
                assert_eq!(lab.event().await, "dropped");
            };
            let (seen, ()) = tokio::join!(call, cancel);
            assert!(
                seen.is_stream() && !seen.messages().iter().any(|message| message.get("id").is_some()),
                "no answer to a cancelled call: {seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_no_call_up() {
    let lab = Lab::new();
    let response = lab.endpoint.handle(None, modern("tools/call", json!({"name": "hang_notify", "_meta": {"progressToken": 1}}))).await;
    assert_eq!(lab.event().await, "started");
    lab.release.notify_one();
    // The response's body is not polled at all.
    assert_eq!(lab.event().await, "finished");
    drop(response);
}
