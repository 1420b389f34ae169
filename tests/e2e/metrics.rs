//! `/metrics`: what it shows, who may read it, and what a real Prometheus makes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use rustix::process::Signal;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};
use toolbay_tests::{Client, Load, Server, Setup, Value, client::http, eventually, files, json, otlp::Message, secs};

const TOKEN: &str = "scraper-0123456789abcdef0123456789";

/// A page, read.
struct Page(String);

impl Page {
    async fn of(base: &str) -> Self {
        let response = http().get(format!("{base}/metrics")).send().await.expect("/metrics answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self(response.text().await.expect("a page"))
    }

    /// The samples of one name: the labels as they stand there, and the value.
    fn samples(&self, name: &str) -> BTreeMap<&str, f64> {
        let samples = self.0.lines().filter_map(|line| {
            let (head, value) = line.rsplit_once(' ')?;
            let labels = head.strip_prefix(name)?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            is_it.then(|| (labels, value.parse().expect("a number")))
        });
        samples.collect()
    }

    /// The sum of the samples of that name that have all of these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |shown: &str| labels.iter().all(|(label, value)| shown.contains(&format!("{label}=\"{value}\"")));
        self.samples(name).into_iter().filter(|(shown, _)| has(shown)).map(|(_, value)| value).sum()
    }

    /// Types by name.
    fn types(&self) -> BTreeMap<&str, &str> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
    }
}

/// The metrics of docs/monitoring.md: type and labels by name.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(files::root().join("docs/monitoring.md")).expect("the page of documentation");
    let table = page.split("## All metrics").nth(1).expect("its table");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let plain = |text: &str| text.trim_matches('`').to_owned();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty()).map(plain).collect();
        (plain(cells[1]), (cells[2].to_owned(), labels))
    };
    rows.map(row).collect()
}

/// A host with a plugin, a program that serves, and one that never will.
fn setup() -> Setup {
    let worker = files::root().join("tests/servers/worker.py");
    Setup::new().plugin("calculator").test_plugin("moody").config(&format!(
        "[server.worker]\ncommand = [\"python3\", {worker:?}]\nstop_timeout = \"1s\"\n[server.gone]\ncommand = [\"false\"]\n"
    ))
}

#[tokio::test]
async fn the_page_shows_calls_refusals_and_how_everything_stands() {
    let server = setup().start().await;
    let client = Client::modern(&server);
    let (old, rest) = (Client::legacy(&server).await, http());
    for b in [1, 2, 0] {
        client.call("divide", json!({ "a": 1, "b": b })).await;
    }
    old.call("add", json!({ "a": 1, "b": 2 })).await.ok();
    for client in [&client, &old] {
        assert!(client.call("no_such_tool", json!({})).await.error().is_object());
        assert!(client.rpc("resources/read", json!({ "uri": "no://thing" })).await.error().is_object());
        assert!(client.rpc("prompts/get", json!({ "name": "none" })).await.error().is_object());
    }
    let call = |body: &'static str| rest.post(format!("{}/call", server.base)).body(body).send();
    assert_eq!(call("{\"tool_name\": \"nor_this\", \"tool_args\": {}}").await.expect("an answer").status(), 404);
    assert_eq!(call("{\"tool_name\": \"add\", \"tool_args\": {\"a\": 1, \"b\": 2}}").await.expect("an answer").status(), 200);
    let page = Page::of(&server.base).await;
    let calls = |tool, outcome| {
        let labels = [("mcp_method_name", "tools/call"), ("provider", "calculator"), ("gen_ai_tool_name", tool), ("outcome", outcome)];
        page.sum("toolbay_calls_total", &labels)
    };
    assert_eq!((calls("divide", "ok"), calls("divide", "tool_error"), calls("add", "ok")), (2.0, 1.0, 2.0), "{}", page.0);
    let durations = [("provider", "calculator"), ("gen_ai_tool_name", "divide")];
    assert_eq!(page.sum("mcp_server_operation_duration_seconds_count", &durations), 3.0);
    for (reason, count) in [("unknown_tool", 3.0), ("unknown_resource", 2.0), ("unknown_prompt", 2.0), ("authentication", 0.0)] {
        assert_eq!(page.sum("toolbay_refusals_total", &[("reason", reason)]), count, "{reason}\n{}", page.0);
    }
    assert_eq!(page.sum("toolbay_mcp_sessions", &[]), 1.0);
    assert_eq!(page.sum("toolbay_provider_state", &[("provider", "worker"), ("kind", "bridge"), ("state", "serving")]), 1.0);
    assert_eq!(page.sum("toolbay_replicas", &[("provider", "worker"), ("state", "serving")]), 1.0);
    assert!(page.sum("toolbay_replica_restarts_total", &[("provider", "gone")]) >= 1.0);
    let compiled = page.sum("toolbay_compile_cache_total", &[]);
    assert_eq!(compiled, 2.0, "calculator and moody");
    assert_eq!(page.sum("toolbay_plugins_in_memory", &[]), 2.0, "calculator and moody");
    assert!(page.sum("toolbay_pool_instances", &[("state", "free")]) > 0.0);
    let posts = [("http_request_method", "POST"), ("http_route", "/mcp"), ("http_response_status_code", "200")];
    assert!(page.sum("http_server_request_duration_seconds_count", &posts) >= 4.0);
    assert!(page.sum("toolbay_http_connections", &[]) >= 1.0);
    assert_eq!(page.sum("toolbay_ready", &[]), 1.0);
    let resident = page.sum("process_resident_memory_bytes", &[]);
    assert!(resident > 1e7 && resident < 1e10, "{resident}");
    let started = page.sum("process_start_time_seconds", &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!(now - started < 200.0 && started <= now + 1.0, "{started} {now}");
}

#[tokio::test]
async fn the_documentation_the_alerts_and_the_dashboard_name_what_is_there() {
    let server = setup().start().await;
    Client::modern(&server).call("add", json!({ "a": 1, "b": 2 })).await.ok();
    let page = Page::of(&server.base).await;
    let documented = documented();
    let shown: BTreeMap<&str, &str> = page.types();
    let told: BTreeMap<&str, &str> = documented.iter().map(|(name, (kind, _))| (name.as_str(), kind.as_str())).collect();
    assert_eq!(shown, told, "types by name: the page, and docs/monitoring.md");
    for (name, (_, labels)) in &documented {
        for shown in page.samples(name).keys().chain(page.samples(&format!("{name}_count")).keys()) {
            let names = shown.trim_matches(['{', '}']).split("\",").filter_map(|label| label.split_once("=\""));
            for (label, _) in names {
                assert!(labels.contains(label), "{name} has the label {label}, which docs/monitoring.md does not list");
            }
        }
    }
    let labels: BTreeSet<&String> = documented.values().flat_map(|(_, labels)| labels).collect();
    for text in ["deploy/prometheus/alerts.yaml", "deploy/prometheus/alerts_test.yaml", "deploy/grafana/toolbay.json"] {
        let text_of = std::fs::read_to_string(files::root().join(text)).expect("it can be read");
        let words = text_of.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let ours = words.filter(|word| ["toolbay_", "mcp_", "gen_ai_", "http_", "process_"].iter().any(|begin| word.starts_with(begin)));
        let used: BTreeSet<&str> = ours.collect();
        assert!(used.len() > 10, "{text}");
        for word in used {
            let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
            let is_metric = documented.contains_key(word) || of_histogram.is_some_and(|name| shown.get(name) == Some(&"histogram"));
            assert!(is_metric || labels.contains(&word.to_owned()), "{text} uses {word}, which /metrics does not have");
        }
    }
}

/// The status of `/metrics` at an address.
async fn status(base: &str, token: Option<&str>) -> u16 {
    let request = http().get(format!("{base}/metrics"));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.map_or(0, |response| response.status().as_u16())
}

fn with_token(config: &str) -> Setup {
    Setup::new()
        .plugin("calculator")
        .env("SCRAPER", TOKEN)
        .config(&format!("[auth.tokens]\nscraper = {{ from_env = \"SCRAPER\" }}\n{config}"))
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

#[tokio::test]
async fn who_may_read_it_is_configured() {
    let server = with_token("").start().await;
    assert_eq!((status(&server.base, None).await, status(&server.base, Some(TOKEN)).await), (401, 200));
    assert_eq!(http().post(format!("{}/metrics", server.base)).send().await.expect("an answer").status(), 405);
    // From the next request on.
    let path = server.home().join("toolbay.toml");
    let text = std::fs::read_to_string(&path).expect("its configuration");
    std::fs::write(&path, format!("{text}\n[metrics]\nauthenticate = false\n")).expect("it can be changed");
    eventually("anybody may read it", secs(20), || async { (status(&server.base, None).await == 200).then_some(()) }).await;
    let page = Page::of(&server.base).await;
    assert_eq!(page.sum("toolbay_config_reloads_total", &[("result", "applied")]), 1.0);
    assert!(page.sum("toolbay_refusals_total", &[("reason", "authentication")]) >= 1.0);
    // A broken one changes nothing but what is told of it.
    std::fs::write(&path, "[metrics]\nauthentcate = false\n").expect("it can be changed");
    let rejected = async || {
        let page = Page::of(&server.base).await;
        (page.sum("toolbay_config_valid", &[]) == 0.0).then_some(page)
    };
    let page = eventually("the configuration is rejected", secs(20), rejected).await;
    assert_eq!(page.sum("toolbay_config_reloads_total", &[("result", "rejected")]), 1.0);

    let address = free_address();
    let server = with_token(&format!("[metrics]\nlisten = \"{address}\"\n")).start().await;
    let alone = format!("http://{address}");
    assert_eq!((status(&server.base, Some(TOKEN)).await, status(&alone, None).await, status(&alone, Some(TOKEN)).await), (404, 401, 200));
    let nothing = http().get(format!("{alone}/status")).bearer_auth(TOKEN).send().await.expect("an answer");
    assert_eq!(nothing.status(), 404, "only metrics are served there");

    let server = Setup::new().plugin("calculator").config("[metrics]\nenabled = false").start().await;
    assert_eq!(status(&server.base, None).await, 404);

    let refused = Setup::new().plugin("calculator").config("[metrics]\nlisten = \"0.0.0.0:0\"").refused().await;
    refused.expect_code(2);
    assert!(refused.stderr.contains("set authenticate = false in [metrics]"), "{}", refused.stderr);
}

/// A program of Debian's `prometheus` package. None: it is not here, which is an error where `CI` is set.
fn program(name: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "there is no {name}: apt-get install prometheus");
    if found.is_none() {
        eprintln!("skipped: there is no {name}; apt-get install prometheus");
    }
    found
}

async fn promtool(arguments: &[&str], input: Option<&str>, folder: &Path) {
    let Some(promtool) = program("promtool") else { return };
    let mut command = Command::new(promtool);
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.unwrap_or_default().as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let listed = files::root().join("tests/servers/listed.py");
    let setup = setup().config(&format!("[server.odd]\ncommand = [\"python3\", {listed:?}, \"odd.json\"]\n"));
    // Labels are the server's own names of its tools.
    let odd = ["\"quoted\\\"", "a{b=\"c\"} 1", "new\nline", "# TYPE x counter", "übung 測試", &"long".repeat(1000)];
    let tool =
        |(number, name): (usize, &&str)| json!({ "name": name, "title": format!("odd {number}"), "inputSchema": { "type": "object" } });
    let tools: Vec<Value> = odd.iter().enumerate().map(tool).collect();
    std::fs::write(setup.home().join("odd.json"), json!(tools).to_string()).expect("it can be written");
    let server = setup.start().await;
    let client = Client::modern(&server);
    client.call("add", json!({ "a": 1, "b": 2 })).await.ok();
    // They are published under others.
    for tool in client.tools().await.iter().filter(|tool| tool["title"].as_str().is_some_and(|title| title.starts_with("odd "))) {
        client.call(tool["name"].as_str().expect("a name"), json!({})).await.ok();
    }
    let page = Page::of(&server.base).await;
    for name in odd {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = [("provider", "odd"), ("gen_ai_tool_name", &*escaped), ("outcome", "ok")];
        assert_eq!(page.sum("toolbay_calls_total", &labels), 1.0, "{name:?}");
    }
    let folder = files::root().join("deploy/prometheus");
    promtool(&["check", "metrics"], Some(&page.0), &folder).await;
    promtool(&["check", "rules", "alerts.yaml"], None, &folder).await;
    promtool(&["test", "rules", "alerts_test.yaml"], None, &folder).await;
}

/// A Prometheus that scrapes one server each second.
struct Prometheus {
    base: String,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    async fn start(server: &Server) -> Option<Self> {
        let program = program("prometheus")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rules = files::root().join("deploy/prometheus/alerts.yaml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\nscrape_configs:\n  - job_name: toolbay\n    \
             authorization: {{ credentials: {TOKEN} }}\n    static_configs: [{{ targets: [{:?}] }}]\n",
            server.address()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("its configuration");
        let address = free_address();
        let mut command = Command::new(program);
        command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data").arg(format!("--web.listen-address={address}"));
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let prometheus = Self { base: format!("http://{address}"), _child: command.spawn().expect("it starts"), _folder: folder };
        eventually("Prometheus is ready", secs(60), || async {
            let ready = http().get(format!("{}/-/ready", prometheus.base)).send().await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
        Some(prometheus)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http().get(format!("{}/api/v1/{path}", self.base)).send().await.expect("an answer");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    /// The results of a query.
    async fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("query?query={encoded}")).await;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    async fn number(&self, query: &str) -> Option<f64> {
        self.query(query).await.first()?["value"][1].as_str()?.parse().ok()
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_a_host_under_load() {
    let (collector, _, pushes) = collector().await;
    let server = with_token(&format!("[metrics]\nendpoint = {collector:?}\ninterval = \"1s\"")).start().await;
    let Some(prometheus) = Prometheus::start(&server).await else { return };
    let load = Load::of(
        || Client::modern(&server).token(TOKEN),
        8,
        async |client| client.call("add", json!({ "a": 1, "b": 2 })).await.answer().get("error").map(Value::to_string),
    );
    load.more(500).await;
    let rate = || async { prometheus.number("sum(rate(toolbay_calls_total{outcome=\"ok\"}[10s]))").await.filter(|rate| *rate > 1.0) };
    eventually("Prometheus sees the calls", secs(60), rate).await;
    let p50 = "histogram_quantile(0.5, sum by (le) (rate(mcp_server_operation_duration_seconds_bucket{provider=\"calculator\"}[10s])))";
    let p50 = prometheus.number(p50).await.expect("a median");
    assert!(p50 > 0.0 && p50 < 1.0, "{p50}");
    let targets = prometheus.get("targets").await;
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{targets}");
    // What is on the page is what was stored: nothing was dropped as a duplicate.
    let samples = "scrape_samples_scraped - scrape_samples_post_metric_relabeling";
    assert_eq!(prometheus.number(samples).await, Some(0.0));
    assert_eq!(load.end().await, Vec::<String>::new());

    let calls = || async { prometheus.number("sum(toolbay_calls_in_flight)").await.filter(|calls| *calls == 0.0) };
    eventually("the calls have ended", secs(30), calls).await;
    let rules = prometheus.get("rules").await;
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("the alerts").clone();
    assert!(rules.len() >= 15 && rules.iter().all(|rule| rule["health"] != "err"), "{rules:?}");
    assert!(rules.iter().all(|rule| rule["state"] != "firing"), "a host that is well raises an alert: {rules:?}");
    // Every query of the dashboard is one.
    let dashboard = std::fs::read_to_string(files::root().join("deploy/grafana/toolbay.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let targets = dashboard["panels"].as_array().expect("panels").iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let (mut queries, mut empty) = (0, Vec::new());
    for target in targets {
        let query = target["expr"].as_str().expect("a query");
        let query = query.replace("$__rate_interval", "30s").replace("$instance", ".*").replace("$provider", ".*");
        queries += 1;
        if prometheus.query(&query).await.is_empty() {
            empty.push(query);
        }
    }
    assert!(queries > 40, "{queries}");
    // There is no server, no model, no failure here.
    let quiet = ["replica", "breaker", "model", "refusals", "> 0"];
    empty.retain(|query| !quiet.iter().any(|word| query.contains(word)));
    assert_eq!(empty, Vec::<String>::new(), "queries of the dashboard that show nothing");
    pushes.abort();
}

/// Requests to a collector: their headers, and what was pushed.
type Pushed = Arc<Mutex<Vec<(HeaderMap, Message)>>>;

async fn collector() -> (String, Pushed, tokio::task::JoinHandle<()>) {
    async fn receive(State(pushed): State<Pushed>, headers: HeaderMap, body: Bytes) {
        pushed.lock().expect("no handler panics").push((headers, Message::read(&body)));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let pushed = Pushed::default();
    let router = Router::new().route("/v1/metrics", post(receive)).with_state(Arc::clone(&pushed));
    (url, pushed, tokio::spawn(async move { drop(axum::serve(listener, router).await) }))
}

/// The sum of all points of a count, with these attributes.
fn counted(request: &Message, name: &str, attributes: &[(&str, &str)]) -> u64 {
    let metrics = request.all(1).flat_map(|of| of.all(2).collect::<Vec<_>>()).flat_map(|of| of.all(2).collect::<Vec<_>>());
    let points = metrics.filter(|metric| metric.text(1) == name).flat_map(|metric| metric.all(7).collect::<Vec<_>>());
    let points = points.flat_map(|sum| sum.all(1).collect::<Vec<_>>());
    let has = |point: &Message| {
        let all: Vec<(String, String)> =
            point.all(7).map(|pair| (pair.text(1), pair.all(2).next().map(|value| value.text(1)).unwrap_or_default())).collect();
        attributes.iter().all(|(key, value)| all.iter().any(|pair| (&*pair.0, &*pair.1) == (*key, *value)))
    };
    points.filter(has).filter_map(|point| point.number(6)).sum()
}

#[tokio::test]
async fn metrics_are_pushed_to_a_collector_as_the_configuration_says_and_for_the_last_time_at_the_end() {
    let (first, of_first, one) = collector().await;
    let (second, of_second, two) = collector().await;
    let push = |url: &str, more: &str| {
        format!(
            "[metrics]\nendpoint = {url:?}\ngzip = false\ninterval = \"1s\"\nheaders = {{ x-key = {{ from_env = \"COLLECTOR\" }} }}\n{more}"
        )
    };
    let setup = Setup::new().plugin("calculator").config(&push(&first, "")).env("COLLECTOR", "c0llect0r");
    let mut server = setup.start().await;
    let client = Client::modern(&server);
    for n in 0..3 {
        client.call("add", json!({ "a": n, "b": 1 })).await.ok();
    }
    let add = [("gen_ai.tool.name", "add"), ("outcome", "ok")];
    let last = |pushed: &Pushed| pushed.lock().expect("no handler panics").last().cloned();
    eventually("three calls at the collector", secs(30), async || {
        last(&of_first).is_some_and(|(_, request)| counted(&request, "toolbay.calls", &add) == 3).then_some(())
    })
    .await;
    let (headers, request) = last(&of_first).expect("it is there");
    assert_eq!((headers["x-key"].as_bytes(), headers["content-type"].as_bytes()), (&b"c0llect0r"[..], &b"application/x-protobuf"[..]));
    let page = Page::of(&format!("http://{}", server.address())).await;
    assert_eq!(page.sum("toolbay_calls_total", &[("gen_ai_tool_name", "add"), ("outcome", "ok")]), 3.0);
    let of_page = page.sum("toolbay_refusals_total", &[("reason", "queue")]);
    assert_eq!(counted(&request, "toolbay.refusals", &[("reason", "queue")]) as f64, of_page);
    // Another collector, from now on, without a restart. What it is sent is what it has not been sent yet.
    std::fs::write(server.home().join("toolbay.toml"), push(&second, "temporality = \"delta\"\n"))
        .expect("the configuration can be written");
    eventually("a push to the other collector", secs(30), async || last(&of_second)).await;
    client.call("add", json!({ "a": 1, "b": 1 })).await.ok();
    server.signal(Signal::TERM);
    server.wait_exit(secs(30)).await;
    let sum: u64 = of_second.lock().expect("no handler panics").iter().map(|(_, request)| counted(request, "toolbay.calls", &add)).sum();
    assert_eq!(sum, 4);
    assert!(!server.log().contains("c0llect0r"), "{}", server.log());
    one.abort();
    two.abort();
}
