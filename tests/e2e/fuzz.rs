//! Requests with something wrong in them, thousands of kinds, never bring the server down and are never its fault.

use toolbay_tests::{Client, Server, Setup, Value, json, raw};

/// Requests of one run.
const REQUESTS: usize = 3000;

/// The seed of this run: `TOOLBAY_SEED`, or a new one.
fn seed() -> u64 {
    let seed = std::env::var("TOOLBAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("TOOLBAY_SEED={seed}");
    seed
}

/// Values that parsers trip over.
fn odd(random: &mut fastrand::Rng) -> Value {
    match random.u8(0..14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(random.i64(..)),
        3 => json!(u64::MAX),
        4 => json!(-0.0),
        5 => json!(1e308),
        6 => json!(""),
        7 => json!("\u{0}\u{ffff}\u{202e}é"),
        8 => json!("x".repeat(random.usize(0..5000))),
        9 => json!([]),
        10 => json!({}),
        11 => (0..random.usize(1..100)).fold(json!(1), |inner, _| json!([inner])),
        12 => json!({ "": null, "a": { "a": { "a": [] } } }),
        _ => json!("tools/call"),
    }
}

/// Changes one place of a value, chosen at random.
fn mutate(value: &mut Value, random: &mut fastrand::Rng) {
    match value {
        Value::Object(map) if !map.is_empty() && random.u8(0..4) > 0 => {
            let key = map.keys().nth(random.usize(0..map.len())).expect("it has so many").clone();
            match random.u8(0..6) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(format!("{key}x"), odd(random))),
                2 => drop(map.insert(key, odd(random))),
                _ => mutate(&mut map[&key], random),
            }
        }
        Value::Array(list) if !list.is_empty() && random.u8(0..4) > 0 => {
            let at = random.usize(0..list.len());
            mutate(&mut list[at], random);
        }
        other => *other = odd(random),
    }
}

/// Breaks the text itself.
fn garble(text: String, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..bytes.len());
        match random.u8(0..4) {
            0 => bytes[at] = random.u8(..),
            1 => bytes.truncate(at.max(1)),
            2 => bytes.insert(at, random.u8(..)),
            _ => drop(bytes.remove(at)),
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
    bytes
}

fn requests(client: &Client) -> Vec<(&'static str, Option<&'static str>, Value)> {
    let request = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": client.params(params) });
    vec![
        ("tools/call", Some("add"), request("tools/call", json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }))),
        ("tools/call", Some("statistics"), request("tools/call", json!({ "name": "statistics", "arguments": { "numbers": [1, 2, 3] } }))),
        (
            "tools/call",
            Some("convert"),
            request("tools/call", json!({ "name": "convert", "arguments": { "value": 1, "from_unit": "metre", "to_unit": "inch" } })),
        ),
        ("tools/list", None, request("tools/list", json!({}))),
        ("server/discover", None, request("server/discover", json!({}))),
        (
            "initialize",
            None,
            request(
                "initialize",
                json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "f", "version": "1" } }),
            ),
        ),
        ("ping", None, request("ping", json!({}))),
        ("notifications/cancelled", None, json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } })),
    ]
}

async fn assert_alive(server: &mut Server) {
    assert!(server.runs(), "the server is gone");
    let reply = Client::modern(server).call("add", json!({ "a": 20, "b": 22 })).await;
    assert_eq!(reply.result()["structuredContent"]["result"].as_f64(), Some(42.0));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn a_mutated_request_is_never_the_servers_fault() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Setup::new().plugin("calculator").start().await;
    let modern = Client::modern(&server);
    let legacy = Client::legacy(&server).await;
    for n in 0..REQUESTS {
        let client = if random.bool() { &modern } else { &legacy };
        let all = requests(client);
        let (method, name, mut value) = all[random.usize(0..all.len())].clone();
        let body = if random.u8(0..4) == 0 {
            garble(value.to_string(), &mut random)
        } else {
            for _ in 0..random.usize(1..4) {
                mutate(&mut value, &mut random);
            }
            value.to_string().into_bytes()
        };
        let shown = String::from_utf8_lossy(&body).into_owned();
        // A subscription that came about by chance would be a stream without an end.
        if shown.contains("subscriptions/listen") {
            continue;
        }
        let mut request = client.post(method, name, String::new()).body(body);
        if random.u8(0..8) == 0 {
            let odd = ["", "x", "=?base64?Zm9v?=", "=?base64?%%%?=", "2099-01-01", "tools/list"][random.usize(0..6)];
            request = request
                .header(["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "content-type"][random.usize(0..5)], odd);
        }
        let response = request.timeout(toolbay_tests::secs(10)).send().await;
        let response = response.unwrap_or_else(|e| panic!("request {n} of seed {seed} has no answer ({e}): {shown}"));
        let status = response.status().as_u16();
        assert!(status < 500, "request {n} of seed {seed} is answered {status}: {shown}\n{:?}", response.text().await);
    }
    assert_alive(&mut server).await;
}

#[tokio::test]
async fn garbled_http_is_never_the_servers_fault() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Setup::new().plugin("calculator").config("[http]\nheader_timeout = \"1s\"").start().await;
    for n in 0..300 {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
        let text = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let bytes = garble(text, &mut random);
        let answer = raw::exchange(server.address(), &bytes).await;
        let status = raw::status(&answer);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert!(status.is_none_or(|status| status < 500 || status == 505), "request {n} of seed {seed}: {answer}\nfor {shown}");
    }
    assert_alive(&mut server).await;
}
