//! The audit: one line for each call and decision, whole, without secrets, none lost at a clean stop; and `toolbay audit`.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use toolbay_tests::{Client, Load, Server, Setup, Value, client::http, eventually, json, secs};

const TOKEN: &str = "caller-0123456789abcdef0123456789";

fn setup(audit: &str) -> Setup {
    Setup::new()
        .plugin("calculator")
        .test_plugin("probe")
        .env("CALLER", TOKEN)
        .config(&format!("[auth.tokens]\nann = {{ from_env = \"CALLER\" }}\n[audit]\nfile = \"audit.jsonl\"\n{audit}"))
}

/// All lines of a file and of those that it replaced.
fn lines(folder: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit.jsonl")) {
            continue;
        }
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path:?}");
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'), "{path:?} ends within a line");
        all.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))));
    }
    all
}

async fn until(server: &Server, count: usize) -> Vec<Value> {
    let enough = || async { Some(lines(server.home())).filter(|lines| lines.len() >= count) };
    eventually("the audit has the lines", secs(20), enough).await
}

fn of<'a>(lines: &'a [Value], key: &str, value: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line[key] == value).collect()
}

#[tokio::test]
async fn every_call_and_every_refusal_is_one_line() {
    let server = setup("").start().await;
    let client = Client::modern(&server).token(TOKEN);
    client.call("add", json!({ "a": 1, "b": 2 })).await.ok();
    client.call("divide", json!({ "a": 1, "b": 0 })).await;
    let _ = client.call(&format!("made_up_{}", "x".repeat(300)), json!({})).await;
    let body = "{\"tool_name\": \"add\", \"tool_args\": {\"a\": 1, \"b\": 2}}";
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let rest = http().post(format!("{}/call", server.base)).bearer_auth(TOKEN).body(body);
    rest.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01")).send().await.expect("an answer");
    let refused = http().post(format!("{}/call", server.base)).bearer_auth("wrong-0123456789abcdef").body(body).send().await;
    assert_eq!(refused.expect("an answer").status(), 401);
    let lines = until(&server, 5).await;
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let [added, other] = of(&lines, "name", "add")[..] else { panic!("{lines:#?}") };
    assert_eq!((&added["front"], &other["front"], &other["trace"]), (&json!("mcp"), &json!("rest"), &json!(trace)));
    for line in [added, other] {
        let expected = json!({ "event": "call", "caller": "ann", "operation": "tools/call", "provider": "calculator", "outcome": "ok" });
        assert!(expected.as_object().is_some_and(|members| members.iter().all(|(key, value)| line[key] == *value)), "{line}");
        assert!(line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0) && line.get("arguments").is_none(), "{line}");
    }
    // The same arguments have the same digest, however they came.
    let digest = added["arguments_sha256"].as_str().expect("a digest");
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    let divided = of(&lines, "name", "divide")[0];
    assert_eq!((&divided["outcome"], &divided["error"]), (&json!("tool_error"), &json!("tool_error")));
    let unknown = of(&lines, "outcome", "unknown_tool")[0];
    assert_eq!((&unknown["caller"], unknown["name"].as_str().map(str::len)), (&json!("ann"), Some(200)));
    assert!(unknown.get("duration_ms").is_none(), "nothing ran: {unknown}");
    let denied = of(&lines, "event", "authentication")[0];
    assert_eq!((&denied["outcome"], &denied["error"], &denied["peer"]), (&json!("denied"), &json!("invalid"), &json!("127.0.0.1")));
    let page = http().get(format!("{}/metrics", server.base)).bearer_auth(TOKEN).send().await.expect("a page").text().await;
    assert!(page.expect("text").contains("toolbay_audit_lines_total{result=\"written\"} 5\n"));
}

#[tokio::test]
async fn arguments_are_written_without_secrets() {
    let server = setup("arguments = \"redacted\"\nredact = [\"badge\"]").start().await;
    let client = Client::modern(&server).token(TOKEN);
    let arguments = json!({ "a": 1, "b": 2, "password": "hunter22", "note": format!("use {TOKEN} here"), "my-badge": 7 });
    let _ = client.call("add", arguments).await;
    let lines = until(&server, 1).await;
    let expected = json!({ "a": 1, "b": 2, "password": "[redacted]", "note": "use [redacted] here", "my-badge": "[redacted]" });
    assert_eq!(lines[0]["arguments"], expected, "{lines:#?}");
    let text = std::fs::read_to_string(server.home().join("audit.jsonl")).expect("the file");
    assert!(!text.contains("hunter22") && !text.contains(TOKEN));
}

#[tokio::test]
async fn a_clean_stop_under_load_loses_no_line() {
    // Small files, so that there is much to rotate.
    let mut server = setup("max_size = \"64KiB\"\nkeep = 1000").start().await;
    let sent = Arc::new(AtomicU64::new(0));
    let load = Load::of(|| Client::modern(&server).token(TOKEN), 8, {
        let sent = sent.clone();
        move |client: Arc<Client>| {
            let sent = sent.clone();
            async move {
                let number = sent.fetch_add(1, SeqCst);
                let reply = client.try_rpc("tools/call", json!({ "name": "add", "arguments": { "a": number, "b": 1 } })).await.ok()?;
                // Each call that was answered with a result is to be in the audit.
                reply.answer().get("result").map(|result| result["structuredContent"]["result"].to_string())
            }
        }
    });
    load.more(1500).await;
    server.signal(Signal::TERM);
    assert!(server.wait_exit(secs(60)).await.success(), "{}", server.log());
    let answered = load.end().await;
    assert!(answered.len() >= 1400, "{}", answered.len());
    let lines = lines(server.home());
    let mut ids: BTreeMap<u64, usize> = BTreeMap::new();
    for line in of(&lines, "outcome", "ok") {
        *ids.entry(line["id"].as_u64().expect("an id")).or_default() += 1;
    }
    assert!(ids.values().all(|count| *count == 1), "a call is there twice");
    assert!(ids.len() >= answered.len(), "{} lines for {} answers", ids.len(), answered.len());
    assert!(std::fs::read_dir(server.home()).expect("the folder").count() > 5, "nothing was rotated");
    assert!(!server.log().contains("audit lines were dropped"), "{}", server.log());
}

#[tokio::test]
async fn the_audit_is_read_by_people_and_followed() {
    let server = setup("max_size = \"4KiB\"\nkeep = 100").start().await;
    let client = Client::modern(&server).token(TOKEN);
    client.call("add", json!({ "a": 1, "b": 2 })).await.ok();
    client.call("divide", json!({ "a": 1, "b": 0 })).await;
    until(&server, 2).await;
    let shown = async |arguments: &[&str]| {
        let finished = server.setup().run(["audit"].iter().chain(arguments)).await;
        finished.expect_code(0);
        finished.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = shown(&[]).await;
    assert!(all.len() == 2 && all[0].contains("  ok            ann         calculator add  "), "{all:#?}");
    assert!(all[1].contains("  tool_error    ann         calculator divide  ") && all[1].ends_with("ms  (mcp, #2)"), "{all:#?}");
    for (arguments, count) in [
        (&["--tool", "div*"][..], 1),
        (&["--tool", "none"], 0),
        (&["--caller", "ann"], 2),
        (&["--caller", "bob"], 0),
        (&["--outcome", "internal,tool_error"], 1),
        (&["audit.jsonl", "--outcome", "ok", "--json"], 1),
    ] {
        assert_eq!(shown(arguments).await.len(), count, "{arguments:?}");
    }
    let mut follow = server.setup().command();
    let mut follow = follow.args(["audit", "--follow", "--json"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut out = BufReader::new(follow.stdout.take().expect("a pipe")).lines();
    let mut ids = Vec::new();
    while ids.len() < 62 {
        if ids.len() == 2 {
            // It has the file open. Far more than one holds.
            for number in 0..60 {
                client.call("add", json!({ "a": number, "b": 2 })).await.ok();
            }
        }
        let line = tokio::time::timeout(secs(20), out.next_line()).await.expect("a line comes").expect("text").expect("it goes on");
        ids.push(serde_json::from_str::<Value>(&line).expect("JSON")["id"].as_u64().expect("an id"));
    }
    assert_eq!(ids, (1..=62).collect::<Vec<_>>());
    follow.kill().await.expect("it runs");
    let missing = server.setup().run(["audit", "nowhere.jsonl"]).await;
    missing.expect_code(1);
    assert!(missing.stderr.contains("cannot open the audit file nowhere.jsonl"), "{}", missing.stderr);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_refuses_the_start() {
    let refused = Setup::new().plugin("calculator").config("[audit]\nfile = \"no/such/folder/audit.jsonl\"").refused().await;
    refused.expect_code(1);
    assert!(refused.stderr.contains("no/such/folder/audit.jsonl for audit lines"), "{}", refused.stderr);
}
