//! Traces: a real host, a collector that reads OTLP by its numbers, and one tree for each call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use rustix::process::Signal;
use toolbay_tests::{Client, Setup, eventually, files, json, otlp::Message, outside::Outside, secs};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// `SPAN_KIND_…` of OTLP.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

type Received = Arc<Mutex<Vec<Span>>>;

/// A span, as far as it is looked at.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    attributes: BTreeMap<String, String>,
    /// `STATUS_CODE_ERROR` is 2.
    status: u64,
}

impl Span {
    fn of(message: &Message) -> Self {
        let attributes = message.all(9).map(|pair| {
            let value = pair.all(2).next().expect("a value");
            (pair.text(1), value.number(3).map_or_else(|| value.text(1), |number| number.to_string()))
        });
        Self {
            trace: hex(&message.bytes(1)),
            id: hex(&message.bytes(2)),
            parent: hex(&message.bytes(4)),
            name: message.text(5),
            kind: message.number(6).expect("a kind"),
            attributes: attributes.collect(),
            status: message.all(15).next().and_then(|status| status.number(3)).unwrap_or_default(),
        }
    }
}

/// A collector on loopback, ended with the test.
struct Collector {
    url: String,
    spans: Received,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let spans = Received::default();
        let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&spans));
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { url, spans, task }
    }

    /// The spans of one trace, as soon as there are so many.
    async fn spans(&self, trace: &str, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans"), secs(20), async || {
            let all = self.spans.lock().expect("no handler panics");
            let of: Vec<Span> = all.iter().filter(|span| span.trace == trace).cloned().collect();
            (of.len() >= count).then_some(of)
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(spans): State<Received>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["authorization"], "Bearer c0llect0r");
    let request = Message::read(&body);
    let sent: Vec<Span> = request
        .all(1)
        .flat_map(|of| of.all(2).collect::<Vec<_>>())
        .flat_map(|of| of.all(2).collect::<Vec<_>>())
        .map(|span| Span::of(&span))
        .collect();
    spans.lock().expect("no handler panics").extend(sent);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(span: &Span, key: &str) -> String {
    span.attributes.get(key).cloned().unwrap_or_else(|| panic!("no {key} in {span:?}"))
}

fn config(collector: &Collector, more: &str) -> String {
    format!("[traces]\nendpoint = {:?}\nheaders = {{ Authorization = {{ from_env = \"COLLECTOR\" }} }}\n{more}\n", collector.url)
}

fn setup(collector: &Collector, more: &str) -> Setup {
    Setup::new().config(&config(collector, more)).env("COLLECTOR", "Bearer c0llect0r")
}

fn parent(flags: &str) -> toolbay_tests::Value {
    json!({ "traceparent": format!("00-{TRACE}-{CALLER}-{flags}") })
}

/// A server that answers the `_meta` that it is sent.
const META: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    method, result = message.get("method"), None
    if method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "meta", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "sent_meta", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": json.dumps(message["params"].get("_meta"))}]}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result or {}}), flush=True)
"#;

#[tokio::test]
async fn a_call_of_a_plugin_and_the_request_that_it_sends_are_one_tree() {
    let (collector, outside) = (Collector::start().await, Outside::start().await);
    let grants = format!("[plugin.probe]\nhttp_private = [\"127.0.0.1:{}\"]", outside.port());
    let server = setup(&collector, &format!("sample = 0.0\n{grants}")).test_plugin("probe").start().await;
    let mut client = Client::modern(&server);
    client.meta = parent("01");
    client.call("http_get", json!({ "url": format!("{}/hello", outside.base()), "timeout_ms": 5000 })).await.ok();
    let spans = collector.spans(TRACE, 3).await;
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} is not in {spans:?}"));
    let (root, run, get) = (named("tools/call http_get"), named("run probe"), named("GET"));
    assert_eq!((root.parent.clone(), root.kind), (CALLER.to_owned(), SERVER));
    assert_eq!((&run.parent, run.kind), (&root.id, INTERNAL));
    assert_eq!((&get.parent, get.kind), (&run.id, CLIENT));
    assert_eq!(text(root, "mcp.method.name") + " " + &text(root, "gen_ai.tool.name"), "tools/call http_get");
    assert_eq!(text(root, "toolbay.provider"), "probe");
    assert_eq!((text(get, "http.response.status_code"), text(get, "server.port")), ("200".to_owned(), outside.port().to_string()));
    let visits = outside.visits();
    assert_eq!(visits[0].header("traceparent"), Some(format!("00-{TRACE}-{}-01", get.id).as_str()));
    // What a plugin is told is its own span.
    let told = client.call("context", json!({})).await;
    let mine = collector.spans(TRACE, 5).await;
    let run = mine.iter().rfind(|span| span.name == "run probe").expect("its span");
    assert!(told.body.contains(&format!("00-{TRACE}-{}-01", run.id)), "{told:?}");
    // Nobody asked for this one.
    client.meta = json!({});
    client.call("echo", json!({})).await.ok();
    client.meta = parent("00");
    client.call("echo", json!({})).await.ok();
    assert_eq!(collector.spans(TRACE, 5).await.len(), 5);
    let page = toolbay_tests::client::http().get(format!("http://{}/metrics", server.address())).send().await.expect("an answer");
    let page = page.text().await.expect("a page");
    assert!(page.contains("toolbay_trace_spans_total{result=\"exported\"} 5"), "{page}");
}

#[tokio::test]
async fn a_call_of_a_server_is_one_tree_and_the_end_of_the_host_loses_none() {
    let collector = Collector::start().await;
    let setup = setup(&collector, "[server.meta]\ncommand = [\"python3\", \"./meta.py\"]");
    std::fs::write(setup.home().join("meta.py"), META).expect("the server can be written");
    let mut server = setup.start().await;
    let client = Client::modern(&server);
    let told = client.call("sent_meta", json!({})).await;
    server.signal(Signal::TERM);
    server.wait_exit(secs(30)).await;
    let spans = collector.spans.lock().expect("no handler panics").clone();
    let [below, root] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((root.name.as_str(), below.name.as_str()), ("tools/call sent_meta", "tools/call sent_meta"));
    assert_eq!((root.kind, below.kind), (SERVER, CLIENT));
    assert!(root.parent.is_empty() && below.parent == root.id && below.trace == root.trace);
    let sent = format!("00-{}-{}-01", below.trace, below.id);
    assert!(told.body.contains(&sent), "{sent} is not in {told:?}");
    // The log has the trace that began here.
    assert!(server.log().is_empty() || !server.log().contains("cannot be sent"), "{}", server.log());
}

#[tokio::test]
async fn only_calls_that_fail_are_kept_where_that_is_asked_for() {
    let collector = Collector::start().await;
    let server = setup(&collector, "sample = 0.0\nfailed = true").test_plugin("probe").start().await;
    let client = Client::modern(&server);
    client.call("echo", json!({ "a": 1 })).await.ok();
    client.call("fail", json!({ "message": "no" })).await.failure();
    let kept = eventually("the failed call", secs(20), async || {
        let spans = collector.spans.lock().expect("no handler panics").clone();
        (spans.len() >= 2).then_some(spans)
    })
    .await;
    assert!(kept.iter().all(|span| !span.name.contains("echo")), "{kept:?}");
    let root = kept.iter().find(|span| span.name == "tools/call fail").expect("the call");
    assert_eq!((root.status, text(root, "error.type")), (2, "tool_error".to_owned()));
}

/// A plugin that calls what it is told, and a program on stdio that answers the `_meta` that it is sent.
fn chained(collector: &Collector, more: &str) -> Setup {
    let worker = files::root().join("tests/servers/worker.py");
    let config = format!(
        "{more}\n[plugin.chain]\ncalls = [\"*\"]\n[server.meta]\ncommand = [\"python3\", \"./meta.py\"]\n\
         [server.worker]\ncommand = [\"python3\", {worker:?}]\nstop_timeout = \"1s\"\n"
    );
    let setup = setup(collector, &config).plugin("calculator").test_plugin("chain");
    std::fs::write(setup.home().join("meta.py"), META).expect("the server can be written");
    setup
}

#[tokio::test]
async fn a_call_by_http_of_a_plugin_that_calls_a_program_on_stdio_is_one_tree() {
    let collector = Collector::start().await;
    let config = "sample = 0.0\n[auth.tokens]\nann = { from_env = \"ANN\" }\n[telemetry]\nlog = \"debug\"";
    let server = chained(&collector, config).env("ANN", "ann-0123456789abcdef").start().await;
    let mut client = Client::modern(&server).token("ann-0123456789abcdef");
    client.meta = parent("01");
    let told = client.call("chain_call", json!({ "tool": "meta__sent_meta", "arguments": {} })).await;
    let spans = collector.spans(TRACE, 4).await;
    let of = |name: &str, kind: u64| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name && span.kind == kind).collect();
        let [one] = found[..] else { panic!("{name}: {spans:?}") };
        one
    };
    let (root, run) = (of("tools/call chain_call", SERVER), of("run chain", INTERNAL));
    let (nested, below) = (of("tools/call sent_meta", INTERNAL), of("tools/call sent_meta", CLIENT));
    // Each is below the one before, and the first one below the caller's.
    assert_eq!([&root.parent, &run.parent, &nested.parent, &below.parent], [CALLER, &root.id, &run.id, &nested.id]);
    assert_eq!((text(nested, "toolbay.provider"), text(below, "toolbay.provider")), ("meta".to_owned(), "meta".to_owned()));
    assert_eq!(text(below, "toolbay.replica"), "1");
    // What is logged of it says where it went, for whom, and to which trace it belongs.
    let id = text(nested, "toolbay.call.id");
    let line = eventually("the line of the log", secs(10), async || {
        server.log().lines().find(|line| line.contains("a replica is asked") && line.contains("meta")).map(str::to_owned)
    })
    .await;
    let wanted = [format!("id={id}"), format!("trace=\"{TRACE}\""), "principal=\"ann\"".to_owned(), "replica=1".to_owned()];
    assert!(wanted.iter().all(|part| line.contains(part)), "{line}");
    // What the program is told is the span of the request to it.
    assert!(told.body.contains(&format!("00-{TRACE}-{}-01", below.id)), "{told:?}");
    assert_eq!(collector.spans(TRACE, 4).await.len(), 4);
}

#[tokio::test]
async fn a_tree_is_kept_whole_or_not_at_all() {
    // Half of all calls are chosen, whatever their callers say.
    let collector = Collector::start().await;
    let server = chained(&collector, "sample = 0.5\nparent_based = false").start().await;
    let mut client = Client::modern(&server);
    for number in 0..40 {
        client.meta = json!({ "traceparent": format!("00-{number:031x}a-{CALLER}-01") });
        client.call("chain_call", json!({ "tool": "calculator__add", "arguments": { "a": 1, "b": 2 } })).await.ok();
    }
    let whole = eventually("several trees", secs(20), async || {
        let mut traces: BTreeMap<String, usize> = BTreeMap::new();
        collector.spans.lock().expect("no handler panics").iter().for_each(|span| *traces.entry(span.trace.clone()).or_default() += 1);
        (traces.len() > 8).then_some(traces)
    })
    .await;
    assert!(whole.values().all(|count| *count == 4), "{whole:?}");

    // What was slow is kept with all that was done for it, however quick that was.
    let collector = Collector::start().await;
    let server = chained(&collector, "sample = 0.0\nslow = \"300ms\"").start().await;
    let client = Client::modern(&server);
    let calls = |ms: u64| {
        let add = json!({ "tool": "calculator__add", "arguments": { "a": 1, "b": 2 } });
        json!({ "calls": [add, { "tool": "worker__sleep", "arguments": { "ms": ms } }] })
    };
    client.call("chain_all", calls(1)).await.ok();
    client.call("chain_all", calls(500)).await.ok();
    let kept = eventually("the slow call", secs(20), async || {
        let spans = collector.spans.lock().expect("no handler panics").clone();
        (spans.len() >= 6).then_some(spans)
    })
    .await;
    let mut names: Vec<&str> = kept.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    let wanted = ["run calculator", "run chain", "tools/call add", "tools/call chain_all", "tools/call sleep", "tools/call sleep"];
    assert_eq!(names, wanted, "{kept:?}");
    assert!(kept.iter().all(|span| span.trace == kept[0].trace), "{kept:?}");
}
