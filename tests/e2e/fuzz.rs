//! Requests with something wrong in them, thousands of kinds, never bring the server down and are never its fault.

use std::{collections::BTreeMap, sync::Arc};

use toolbay_tests::{Client, Server, Setup, Value, client::Request, json, raw};

/// Requests of one run.
const REQUESTS: usize = 100_000;

/// Those before memory is looked at.
const WARM_UP: usize = 20_000;

/// By how much the rest may let memory grow: an allocator keeps some of what a burst has used. 80,000 requests that each left 1 KiB would be 78 MiB.
const GROWTH: u64 = 24 << 20;

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
        Value::Object(map) if !map.is_empty() && random.u8(0..8) > 0 => {
            let key = map.keys().nth(random.usize(0..map.len())).expect("it has so many").clone();
            match random.u8(0..6) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(format!("{key}x"), odd(random))),
                2 => drop(map.insert(key, odd(random))),
                _ => mutate(&mut map[&key], random),
            }
        }
        Value::Array(list) if !list.is_empty() && random.u8(0..8) > 0 => {
            let at = random.usize(0..list.len());
            mutate(&mut list[at], random);
        }
        other => *other = odd(random),
    }
}

/// Mostly of ASCII: a body that is not UTF-8 is refused before it is looked at.
fn byte(random: &mut fastrand::Rng) -> u8 {
    if random.u8(0..8) == 0 { random.u8(..) } else { random.u8(..128) }
}

/// Breaks the text itself.
fn garble(text: String, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..bytes.len());
        match random.u8(0..4) {
            0 => bytes[at] = byte(random),
            1 => bytes.truncate(at.max(1)),
            2 => bytes.insert(at, byte(random)),
            _ => drop(bytes.remove(at)),
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
    bytes
}

/// A request that the server has taken, to be sent again with something wrong in it.
struct Recorded {
    /// Knows the URL and the headers; none: plain HTTP to `path`.
    client: Option<Client>,
    path: &'static str,
    method: &'static str,
    name: Option<&'static str>,
    body: Value,
}

impl Recorded {
    fn request(&self, http: &reqwest::Client, base: &str, body: Vec<u8>) -> Request {
        match &self.client {
            Some(client) => client.post(self.method, self.name, String::new()).body(body),
            None if self.method == "GET" => {
                http.get(format!("{base}{}?{}", self.path, String::from_utf8_lossy(&body).replace(char::is_control, "")))
            }
            None => http.post(format!("{base}{}", self.path)).header("content-type", "application/json").body(body),
        }
    }
}

/// What is called over MCP, by method, the name that a header repeats, and parameters.
fn calls() -> Vec<(&'static str, Option<&'static str>, Value)> {
    let tool = |name: &'static str, arguments: Value| ("tools/call", Some(name), json!({ "name": name, "arguments": arguments }));
    vec![
        tool("add", json!({ "a": 1, "b": 2 })),
        tool("statistics", json!({ "numbers": [1, 2, 3] })),
        tool("convert", json!({ "value": 1, "from_unit": "metre", "to_unit": "inch" })),
        tool("calculator__add", json!({ "a": 1, "b": 2 })),
        tool("test_multiple_content_types", json!({})),
        tool("test_error_handling", json!({})),
        tool("json_schema_2020_12_tool", json!({ "name": "x", "address": { "street": "y", "city": "z" } })),
        tool("test_input_required_result_elicitation", json!({})),
        tool("test_input_required_result_multi_round", json!({})),
        tool("test_elicitation", json!({ "message": "Who?" })),
        ("tools/list", None, json!({})),
        ("resources/list", None, json!({})),
        ("resources/templates/list", None, json!({})),
        ("resources/read", Some("test://static-text"), json!({ "uri": "test://static-text" })),
        ("resources/read", Some("test://template/7/data"), json!({ "uri": "test://template/7/data" })),
        ("resources/subscribe", None, json!({ "uri": "test://static-text" })),
        ("resources/unsubscribe", None, json!({ "uri": "test://static-text" })),
        ("prompts/list", None, json!({})),
        ("prompts/get", Some("test_simple_prompt"), json!({ "name": "test_simple_prompt" })),
        (
            "prompts/get",
            Some("test_prompt_with_arguments"),
            json!({ "name": "test_prompt_with_arguments", "arguments": { "arg1": "a", "arg2": "b" } }),
        ),
        (
            "completion/complete",
            None,
            json!({ "ref": { "type": "ref/prompt", "name": "test_prompt_with_arguments" }, "argument": { "name": "arg1", "value": "a" } }),
        ),
        (
            "subscriptions/listen",
            None,
            json!({ "notifications": { "toolsListChanged": true, "resourceSubscriptions": ["test://static-text"] } }),
        ),
        ("server/discover", None, json!({})),
        ("initialize", None, json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "f", "version": "1" } })),
        ("logging/setLevel", None, json!({ "level": "info" })),
        ("ping", None, json!({})),
    ]
}

/// Requests of both eras to the endpoint of all and of one plugin, the second calls of tools that have asked, and calls without MCP.
async fn record(server: &Server) -> Vec<Recorded> {
    let mut all = Vec::new();
    for url in [server.url.clone(), server.url_of("calculator")] {
        let whole = url == server.url;
        for (method, name, params) in calls().into_iter().filter(|(method, ..)| whole || method.starts_with("tools/")) {
            for legacy in [false, true] {
                // Without a session a question would be no question; with one it would be waited for, and is not asked of who cannot answer.
                let client = if legacy {
                    Client::legacy_at(&url).await
                } else {
                    Client::at(&url).able(json!({ "elicitation": {}, "sampling": {}, "roots": {} }))
                };
                let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": client.params(params.clone()) });
                all.push(Recorded { client: Some(client), path: "", method, name, body });
            }
        }
    }
    for (tool, answers) in [
        ("test_input_required_result_elicitation", json!({ "user_name": { "action": "accept", "content": { "name": "Ann" } } })),
        ("test_input_required_result_multi_round", json!({ "step1": { "action": "accept", "content": { "name": "Ann" } } })),
    ] {
        let client = Client::modern(server).able(json!({ "elicitation": {}, "sampling": {}, "roots": {} }));
        let state = client.call(tool, json!({})).await.result()["requestState"].clone();
        assert!(state.is_string(), "{tool} asks");
        let params = json!({ "name": tool, "arguments": {}, "inputResponses": answers, "requestState": state });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": client.params(params) });
        all.push(Recorded { client: Some(client), path: "", method: "tools/call", name: Some(tool), body });
    }
    let client = || Client::modern(server).able(json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }));
    let id = client().call("multi_input", json!({})).await.result()["taskId"].clone();
    // The text of a recorded name is as good as static: there are a few of each run.
    let name: &'static str = id.as_str().expect("a task").to_owned().leak();
    let answers = json!({ "name": { "action": "accept", "content": { "name": "Ann" } } });
    for (method, name, params) in [
        ("tools/call", "slow_compute", json!({ "name": "slow_compute", "arguments": { "seconds": 0.01 } })),
        ("tasks/get", name, json!({ "taskId": id })),
        ("tasks/update", name, json!({ "taskId": id, "inputResponses": answers })),
        ("tasks/cancel", name, json!({ "taskId": id })),
    ] {
        let client = client();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": client.params(params) });
        all.push(Recorded { client: Some(client), path: "", method, name: Some(name), body });
    }
    let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    all.push(Recorded {
        client: Some(Client::legacy(server).await),
        path: "",
        method: "notifications/cancelled",
        name: None,
        body: cancelled,
    });
    for (path, method) in
        [("/call", "POST"), ("/calculator/call", "POST"), ("/tools", "GET"), ("/calculator/tools", "GET"), ("/openapi.json", "GET")]
    {
        let body = json!({ "tool_name": "add", "tool_args": { "a": 1, "b": 2 } });
        all.push(Recorded { client: None, path, method, name: None, body });
    }
    all
}

/// One request that was taken, with something wrong in it.
fn spoiled(recorded: &[Recorded], random: &mut fastrand::Rng) -> (usize, Vec<u8>) {
    let chosen = random.usize(0..recorded.len());
    let mut value = recorded[chosen].body.clone();
    if random.u8(0..8) == 0 {
        return (chosen, garble(value.to_string(), random));
    }
    // Half of them are wrong only in what the provider is told, so that they get there.
    let own: Vec<String> =
        value["params"].as_object().map(|params| params.keys().filter(|key| *key != "_meta").cloned().collect()).unwrap_or_default();
    if random.bool() && !own.is_empty() {
        mutate(&mut value["params"][random.choice(&own).expect("there is one")], random);
    } else {
        for _ in 0..random.usize(1..4) {
            mutate(&mut value, random);
        }
    }
    (chosen, value.to_string().into_bytes())
}

/// What came of many requests.
#[derive(Debug, Default)]
struct Seen {
    /// There was a result: what was wrong did not matter, or was the tool's affair.
    taken: usize,
    /// How many there were of each status.
    statuses: BTreeMap<u16, usize>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.taken += other.taken;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }
}

/// Sends its share of the requests, one after the other.
async fn attack(recorded: Arc<Vec<Recorded>>, base: String, seed: u64, count: usize) -> Seen {
    let mut random = fastrand::Rng::with_seed(seed);
    let http = toolbay_tests::client::http();
    let mut seen = Seen::default();
    for n in 0..count {
        let (chosen, body) = spoiled(&recorded, &mut random);
        let shown = String::from_utf8_lossy(&body).into_owned();
        let mut request = recorded[chosen].request(&http, &base, body);
        if random.u8(0..8) == 0 {
            let odd = ["", "x", "=?base64?Zm9v?=", "=?base64?%%%?=", "2099-01-01", "tools/list"][random.usize(0..6)];
            let name = ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "content-type"][random.usize(0..5)];
            request = request.header(name, odd);
        }
        let which = format!("request {n} of TOOLBAY_SEED={seed} ({} {})", recorded[chosen].method, recorded[chosen].path);
        let response = request.timeout(toolbay_tests::secs(30)).send().await;
        let response = response.unwrap_or_else(|e| panic!("{which} has no answer ({e:?}): {shown}"));
        let (status, retry) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
        // A subscription is a stream without an end.
        if status == 200 && shown.contains("subscriptions/listen") {
            continue;
        }
        let answer = response.text().await.unwrap_or_else(|e| panic!("{which} has half an answer ({e:?}): {shown}"));
        match status {
            ..500 => seen.taken += usize::from(status == 200 && answer.contains("\"result\"")),
            // Without MCP there is no other way to say that a tool failed.
            500 if recorded[chosen].client.is_none() && answer.contains("\"Tool execution error\"") => {}
            503 if retry => {}
            _ => panic!("{which} is answered {status}: {shown}\n{answer}"),
        }
        *seen.statuses.entry(status).or_default() += 1;
    }
    seen
}

/// Callers at the same time.
const CALLERS: u64 = 8;

async fn attack_by_all(recorded: &[Arc<Vec<Recorded>>], server: &Server, seed: u64, count: usize, seen: &mut Seen) {
    let share = count / recorded.len();
    let caller = |(n, recorded): (u64, &Arc<Vec<Recorded>>)| {
        tokio::spawn(attack(Arc::clone(recorded), server.base.clone(), seed.wrapping_add(n), share))
    };
    let callers = (0..).zip(recorded).map(caller);
    for one in futures::future::join_all(callers).await {
        seen.add(one.expect("a caller has found something"));
    }
}

async fn assert_alive(server: &mut Server) {
    assert!(server.runs(), "the server is gone");
    let reply = Client::modern(server).call("add", json!({ "a": 20, "b": 22 })).await;
    assert_eq!(reply.result()["structuredContent"]["result"].as_f64(), Some(42.0));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A run with the `TOOLBAY_SEED` of a failed request begins with the requests of the caller that sent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutated_request_is_never_the_servers_fault() {
    let seed = seed();
    // The tables of sessions and tasks are full early: what more of them would take is no leak. The log is for what is wrong.
    let config = "[http]\nmax_sessions = 400\n[tasks]\nmax = 100\n[telemetry]\nlog = \"warn,rmcp=off\"";
    let mut server = Setup::new().plugin("calculator").test_plugin("everything").config(config).start().await;
    // Sessions are each caller's own: two requests of one id at once, in one session, are a mistake that costs who makes it an answer.
    let mut recorded = Vec::new();
    for _ in 0..CALLERS {
        recorded.push(Arc::new(record(&server).await));
    }
    let started = std::time::Instant::now();
    // Everything that is made once is made, and all sessions are.
    let mut seen = Seen::default();
    attack_by_all(&recorded, &server, seed, WARM_UP, &mut seen).await;
    let before = server.resident();
    attack_by_all(&recorded, &server, seed.wrapping_add(CALLERS), REQUESTS - WARM_UP, &mut seen).await;
    let after = server.resident();
    eprintln!("{REQUESTS} requests in {:?}, {seen:?}, {} MiB, then {} MiB", started.elapsed(), before >> 20, after >> 20);
    assert!(seen.taken > REQUESTS / 20, "too few come to where the work is done: {seen:?}");
    assert!(seen.statuses.get(&503).is_none_or(|full| *full < REQUESTS / 10), "too many are turned away: {seen:?}");
    assert!(after < before + GROWTH, "{} MiB grew to {} MiB", before >> 20, after >> 20);
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
