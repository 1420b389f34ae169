//! What this layer costs above the least that any server does. Needs an optimized build: `cargo test --release --lib cost -- --ignored --nocapture`.

use std::{borrow::Cow, io, time::Instant};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tracing_subscriber::util::SubscriberInitExt;

use super::support::*;

#[derive(Deserialize)]
struct Rpc<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// axum's part and serde_json's, no protocol.
async fn bare(request: Request<Body>) -> Response<Body> {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let rpc: Rpc<'_> = serde_json::from_slice(&body).unwrap();
    let params: Params<'_> = serde_json::from_str(rpc.params.unwrap().get()).unwrap();
    assert!(rpc.method == "tools/call" && params.name == "echo");
    let text = format!("\u{1F600} \"{}\"\n", params.arguments.unwrap().get());
    let answer = json!({"jsonrpc": "2.0", "id": rpc.id, "result": {"content": [{"type": "text", "text": text}], "isError": false}});
    Response::builder().header(CONTENT_TYPE, "application/json").body(Body::from(answer.to_string())).unwrap()
}

/// Bytes that a request's future may take. It is moved some times before it runs, and each KiB costs; what is rare is boxed.
const FUTURE: usize = 5 << 10;

#[tokio::test]
async fn the_way_of_a_call_takes_little_memory() {
    let lab = Lab::new();
    let call = lab.endpoint.handle(None, modern("tools/call", json!({"name": "echo"})));
    let bytes = size_of_val(&call);
    assert!(bytes <= FUTURE, "{bytes} bytes: box what is rare on the way, and hand no future a value that holds it twice");
}

#[tokio::test]
#[ignore = "a measurement: it needs an optimized build and a quiet machine"]
async fn a_lean_call_costs_at_most_five_microseconds_more_than_no_protocol_at_all() {
    const ROUNDS: u32 = 100_000;
    let lab = Lab::new();
    let session = lab.session().await;
    let params = json!({"name": "echo", "arguments": {"a": 12, "b": "some text", "c": [1, 2, 3]}});
    let requests =
        [modern("tools/call", params.clone()), legacy(None, "tools/call", params.clone()), legacy(Some(&session), "tools/call", params)];
    let mut micros = Vec::new();
    for request in requests {
        let (parts, body) = request.into_parts();
        let body: Bytes = body.collect().await.unwrap().to_bytes();
        let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
        let per_call = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            assert_eq!(bare(again()).await.status(), 200);
        }
        let floor = per_call(start);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            assert_eq!(lab.endpoint.handle(None, again()).await.status(), 200);
        }
        let silent = per_call(start);
        let logging = {
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(io::sink).finish();
            let _guard = subscriber.set_default();
            let start = Instant::now();
            for _ in 0..ROUNDS {
                assert_eq!(lab.endpoint.handle(None, again()).await.status(), 200);
            }
            per_call(start)
        };
        println!("bare {floor:.2} µs, front {silent:.2} µs, front with a log at info {logging:.2} µs");
        micros.push(logging - floor);
    }
    assert!(micros.iter().all(|above| *above < 5.0), "{micros:?}");
}
