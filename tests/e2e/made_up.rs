//! Names that a hostile client makes up, wherever it chooses one: neither the series of `/metrics` nor memory grow with them.
//!
//! `TOOLBAY_HOSTILE_NAMES` says how many; `scripts/soak.sh` sends a million.

use std::collections::BTreeMap;

use axum::Router;
use toolbay_tests::{Client, Setup, Value, client::http, json, raw::Pipeline};

/// How many names are sent where nothing asks for more.
const NAMES: u64 = 8_000;
/// Connections of the client, and requests that it sends on each before it reads the answers.
const CONNECTIONS: u64 = 8;
const AT_ONCE: u64 = 64;
/// What memory may grow by, however many names there are.
const GROWTH: u64 = 32 << 20;

const TOKEN: &str = "known-0123456789abcdef0123456789";

/// A request of HTTP.
fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("host: 127.0.0.1\r\n");
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        text.push_str("content-type: application/json\r\n");
    }
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// A message of MCP's stateless revision.
fn modern(n: u64, method: &str, mut params: Value, headers: &[(&str, &str)]) -> Vec<u8> {
    let name = ["name", "uri", "taskId"].iter().find_map(|key| params[*key].as_str().map(str::to_owned));
    let usual = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "made up", "version": "1" }
    });
    let mut meta = params["_meta"].take();
    for (key, value) in usual.as_object().into_iter().flatten() {
        if meta.get(key).is_none() {
            meta[key] = value.clone();
        }
    }
    params["_meta"] = meta;
    let body = json!({ "jsonrpc": "2.0", "id": n, "method": method, "params": params }).to_string();
    let mut all = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    all.extend(name.as_deref().map(|name| ("mcp-name", name)));
    all.extend(headers);
    request("POST", "/mcp", &all, &body)
}

/// A message of an earlier revision, in a session where it says so.
fn legacy(session: Option<&str>, message: &Value) -> Vec<u8> {
    let mut headers = vec![("mcp-protocol-version", "2025-11-25")];
    headers.extend(session.map(|session| ("mcp-session-id", session)));
    request("POST", "/mcp", &headers, &message.to_string())
}

/// A request with names of its own. `session`: one that the server knows.
fn made_up(n: u64, session: &str) -> Vec<u8> {
    let name = format!("made_up_{n}");
    let add = || json!({ "name": "add", "arguments": { "a": 1, "b": 2 } });
    let with_meta = |meta: Value| {
        let mut params = add();
        params["_meta"] = meta;
        params
    };
    let in_session =
        |method: &str, params: Value| legacy(Some(session), &json!({ "jsonrpc": "2.0", "id": n, "method": method, "params": params }));
    let get = |path: &str| request("GET", path, &[], "");
    let rest = |headers: &[(&str, &str)]| {
        request("POST", "/call", headers, &json!({ "tool_name": "add", "tool_args": { "a": 1, "b": 2 } }).to_string())
    };
    match n % 48 {
        // What MCP names.
        0 => modern(n, "tools/call", json!({ "name": name, "arguments": {} }), &[]),
        1 => modern(n, "prompts/get", json!({ "name": name }), &[]),
        2 => modern(n, "resources/read", json!({ "uri": format!("made://up/{n}") }), &[]),
        3 => modern(n, &format!("made/up_{n}"), json!({}), &[]),
        4 => {
            let reference = json!({ "type": "ref/prompt", "name": name });
            modern(n, "completion/complete", json!({ "ref": reference, "argument": { "name": format!("a{n}"), "value": name } }), &[])
        }
        5 => modern(n, "tasks/get", json!({ "taskId": name }), &[]),
        6 => modern(n, "tasks/cancel", json!({ "taskId": name }), &[]),
        7 => modern(n, "tools/call", json!({ "name": "add", "arguments": { format!("a{n}"): n } }), &[]),
        8 => modern(n, "tools/call", with_meta(json!({ "progressToken": name })), &[]),
        9 => modern(n, "tools/call", with_meta(json!({ "io.modelcontextprotocol/clientInfo": { "name": name, "version": name } })), &[]),
        10 => modern(
            n,
            "tools/call",
            with_meta(json!({ "io.modelcontextprotocol/clientCapabilities": { "extensions": { format!("made.up/{n}"): {} } } })),
            &[],
        ),
        11 => modern(
            n,
            "tools/call",
            with_meta(json!({ format!("made.up/{n}"): n, "baggage": format!("k{n}=v"), "tracestate": format!("k{n}=v") })),
            &[],
        ),
        12 => modern(n, "tools/call", with_meta(json!({ "io.modelcontextprotocol/protocolVersion": name })), &[]),
        13 => modern(n, "tools/list", json!({ "cursor": name }), &[]),
        14 => request(
            "POST",
            "/mcp",
            &[("mcp-protocol-version", "2026-07-28")],
            &json!({ "jsonrpc": "2.0", "id": name, "method": "ping" }).to_string(),
        ),
        15 => modern(n, "tools/call", add(), &[("mcp-name", &name)]),
        // Earlier revisions.
        16 => legacy(
            None,
            &json!({
                "jsonrpc": "2.0", "id": n, "method": "initialize",
                "params": { "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": name, "version": name, "title": name } }
            }),
        ),
        17 => legacy(
            None,
            &json!({
                "jsonrpc": "2.0", "id": name, "method": "initialize",
                "params": { "protocolVersion": name, "capabilities": { "experimental": { &name: {} } }, "clientInfo": { "name": "x", "version": "1" } }
            }),
        ),
        18 => legacy(Some(&name), &json!({ "jsonrpc": "2.0", "id": n, "method": "tools/list" })),
        19 => request("DELETE", "/mcp", &[("mcp-session-id", &name)], ""),
        20 => in_session("logging/setLevel", json!({ "level": name })),
        21 => in_session("resources/subscribe", json!({ "uri": format!("made://up/{n}") })),
        22 => in_session("resources/unsubscribe", json!({ "uri": format!("made://up/{n}") })),
        23 => legacy(
            Some(session),
            &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": name, "reason": name } }),
        ),
        24 => legacy(Some(session), &json!({ "jsonrpc": "2.0", "method": format!("notifications/{name}"), "params": {} })),
        25 => legacy(Some(session), &json!({ "jsonrpc": "2.0", "id": name, "result": { "action": "accept" } })),
        26 => in_session("tools/call", with_meta(json!({ "progressToken": name }))),
        27 => request("GET", "/mcp", &[("mcp-session-id", &name), ("last-event-id", &name), ("accept", "text/event-stream")], ""),
        // HTTP.
        28 => request("POST", &format!("/{name}/mcp"), &[], "{}"),
        29 => request(&format!("M{n}"), &format!("/made/up/{n}"), &[], ""),
        30 => get(&format!("/tools?made_up_{n}={n}")),
        31 => get(&format!("/{name}/tools")),
        32 => request("POST", &format!("/{name}/call"), &[], "{}"),
        33 => request("POST", "/call", &[], &json!({ "tool_name": name, "tool_args": { format!("a{n}"): n } }).to_string()),
        34 => rest(&[("host", &format!("{name}.example"))]),
        35 => rest(&[("origin", &format!("https://{name}.example"))]),
        36 => rest(&[
            ("traceparent", &format!("00-{n:032x}-{n:016x}-01")),
            ("tracestate", &format!("k{n}=v")),
            ("baggage", &format!("k{n}=v")),
        ]),
        37 => rest(&[("traceparent", &format!("cc-{n:032x}-{n:016x}-01-{name}"))]),
        38 => {
            rest(&[(&format!("x-{n}"), &name), ("user-agent", &name), ("cookie", &name), ("x-forwarded-for", &name), ("forwarded", &name)])
        }
        39 => rest(&[("content-type", &format!("application/x-{n}"))]),
        40 => rest(&[("accept", &format!("x/{n}")), ("accept-encoding", &name), ("accept-language", &name)]),
        41 => request("GET", "/tools", &[("if-none-match", &format!("\"{name}\"")), ("range", &name)], ""),
        42 => get(&format!("/.well-known/{name}")),
        43 => get(&format!("/{name}/mcp/server-card")),
        44 => get(&format!("/console/api/{name}?{name}={n}")),
        45 => get(&format!("/openapi.json?{name}")),
        46 => request(
            "POST",
            "/found/mcp",
            &[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "find_tools")],
            &json!({
                "jsonrpc": "2.0", "id": n, "method": "tools/call",
                "params": {
                    "name": "find_tools", "arguments": { "query": format!("{name} word{n}") },
                    "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} }
                }
            })
            .to_string(),
        ),
        _ => request("POST", "/call", &[("authorization", &format!("Bearer {name}-0123456789abcdef0123456789"))], "{}"),
    }
}

/// Sends them on some connections at once. How often each status was answered.
async fn attack(address: &str, from: u64, to: u64, one: impl Fn(u64) -> Vec<u8> + Copy) -> BTreeMap<u16, u64> {
    let on = |connection: u64| async move {
        let mut pipeline = Pipeline::new(address);
        let mut told: BTreeMap<u16, u64> = BTreeMap::new();
        let mut n = from + connection * AT_ONCE;
        while n < to {
            let requests: Vec<_> = (n..to.min(n + AT_ONCE)).map(one).collect();
            for status in pipeline.ask(&requests).await {
                *told.entry(status).or_default() += 1;
            }
            n += CONNECTIONS * AT_ONCE;
        }
        told
    };
    let all = futures::future::join_all((0..CONNECTIONS).map(on)).await;
    all.into_iter().flatten().fold(BTreeMap::new(), |mut sum, (status, count)| {
        *sum.entry(status).or_default() += count;
        sum
    })
}

/// The samples of `/metrics`.
async fn series(base: &str, token: &str) -> Vec<String> {
    let page = http().get(format!("{base}/metrics")).bearer_auth(token).send().await.expect("/metrics answers");
    let text = page.text().await.expect("a page");
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').expect("a sample").0.to_owned()).collect()
}

fn names() -> u64 {
    std::env::var("TOOLBAY_HOSTILE_NAMES").ok().and_then(|names| names.parse().ok()).unwrap_or(NAMES)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_callers_make_up_leave_no_trace() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let collector = format!("http://{}", listener.local_addr().expect("an address"));
    let receiving = tokio::spawn(async move { drop(axum::serve(listener, Router::new().fallback(|_: axum::body::Bytes| async {})).await) });
    // Everything that could keep a name.
    let setup = Setup::new().plugin("calculator");
    let audit = setup.home().join("audit.jsonl");
    let server = setup
        .config(&format!(
            "[telemetry]\nlog = \"error\"\n[console]\nenabled = true\n[traces]\nendpoint = {collector:?}\n[metrics]\nendpoint = {collector:?}\n\
             [audit]\nfile = {audit:?}\nmax_size = \"4MB\"\nkeep = 1\narguments = \"redacted\"\n[endpoint.found]\nsearch = true\n"
        ))
        .start()
        .await;
    let (names, client) = (names(), Client::legacy(&server).await);
    let session = client.session().expect("a session");
    let one = |n| made_up(n, session);
    // As many as fill what is bounded by a number, such as the queue of spans.
    let warm = names.clamp(4_800, 200_000) / 2;
    attack(server.address(), 0, warm, one).await;
    // The first page has no sample of its own request yet.
    series(&server.base, "").await;
    let (before, resident) = (series(&server.base, "").await, server.resident());
    let told = attack(server.address(), warm, warm + names, one).await;
    let (after, grown) = (series(&server.base, "").await, server.resident().saturating_sub(resident));
    eprintln!(
        "{names} names: {} series and {resident} bytes before, {} series and {} bytes after; answers by status: {told:?}",
        before.len(),
        after.len(),
        server.resident()
    );
    let new: Vec<_> = after.iter().filter(|sample| !before.contains(sample)).collect();
    assert_eq!(new, Vec::<&String>::new());
    assert!(!after.iter().any(|sample| sample.contains("made")), "{after:?}");
    assert!(grown < GROWTH, "{grown} bytes more after {names} names");
    assert_eq!(told.values().sum::<u64>(), names);
    assert_eq!(told.get(&0), None, "each is answered: {told:?}");
    receiving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_callers_make_up_leave_no_trace() {
    let config = "[telemetry]\nlog = \"error\"\n[console]\nenabled = true\n[auth.tokens]\nknown = { from_env = \"KNOWN\" }\n";
    let server = Setup::new().plugin("calculator").env("KNOWN", TOKEN).config(config).start().await;
    let one = |n: u64| {
        let token = format!("Bearer made-up-{n}-0123456789abcdef0123456789");
        let path = ["/mcp", "/call", "/console/api/live", "/status"][usize::try_from(n % 4).expect("it is below 4")];
        request(if n % 4 < 2 { "POST" } else { "GET" }, path, &[("authorization", &token)], "{}")
    };
    let names = names() / 10;
    attack(server.address(), 0, 2_000, one).await;
    series(&server.base, TOKEN).await;
    let (before, resident) = (series(&server.base, TOKEN).await, server.resident());
    let told = attack(server.address(), 2_000, 2_000 + names, one).await;
    let (after, grown) = (series(&server.base, TOKEN).await, server.resident().saturating_sub(resident));
    eprintln!("{names} tokens: {} series before, {} after, {grown} bytes more; answers by status: {told:?}", before.len(), after.len());
    assert_eq!(after, before);
    assert!(grown < GROWTH, "{grown} bytes more after {names} tokens");
    assert_eq!(told.get(&401), Some(&names), "{told:?}");
}
