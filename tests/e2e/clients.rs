//! Real clients, each in each era that it speaks, list and call the plugins that ship.

use toolbay_tests::{
    Server, Setup, Value, json,
    lab::{Lab, Ran},
    outside::Outside,
    weather,
};

/// What the weather plugin needs, and the weather service that it asks.
pub(super) async fn weather_config() -> (String, Outside) {
    let service = weather::start().await;
    let config =
        format!("[plugin.weather]\nhttp_private = [\"127.0.0.1:{}\"]\nenv = {{ NWS_API_BASE = \"{}\" }}", service.port(), service.base());
    (config, service)
}

/// A server with the calculator and the weather, and the weather service that it asks.
async fn shop() -> (Server, Outside) {
    let (config, service) = weather_config().await;
    let server = Setup::new().plugin("calculator").plugin("weather").config(&config).start().await;
    (server, service)
}

pub(super) fn calls() -> String {
    json!([
        ["add", { "a": 2, "b": 40 }],
        ["statistics", { "numbers": [1, 2, 3, 4] }],
        ["divide", { "a": 1, "b": 0 }],
        ["get_alerts", { "state": "CA" }]
    ])
    .to_string()
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}"))
}

/// JSON in which 4 and 4.0 are the same, as they are in JavaScript.
fn with_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), with_floats(value))).collect(),
        Value::Array(list) => list.iter().map(with_floats).collect(),
        other => other.clone(),
    }
}

/// What every client must have seen of [`calls`].
fn assert_results(results: &[Value]) {
    let [sum, statistics, division, alerts] = results else { panic!("four results, not {results:?}") };
    assert_eq!(sum["structuredContent"]["result"].as_f64(), Some(42.0), "{sum}");
    assert_ne!(sum["isError"], true);
    assert_eq!(statistics["structuredContent"]["mean"].as_f64(), Some(2.5), "{statistics}");
    assert_eq!(statistics["structuredContent"]["count"], 4, "{statistics}");
    let copy: Value = serde_json::from_str(text(statistics)).expect("the text beside a record is its JSON");
    assert_eq!(with_floats(&copy), with_floats(&statistics["structuredContent"]));
    assert_eq!(division["isError"], true, "{division}");
    assert!(text(division).contains("division by zero"), "{division}");
    assert_eq!(text(alerts), weather::ALERTS);
}

pub(super) fn assert_report(ran: &Ran, negotiated: &str) {
    assert!(ran.success, "{}", ran.all);
    let line = ran.stdout.lines().last().unwrap_or_else(|| panic!("no report: {}", ran.all));
    let report: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {}", ran.all));
    assert_eq!(report["negotiated"], negotiated);
    let tools = report["tools"].as_array().expect("a list of tools");
    let add = tools.iter().find(|tool| tool["name"] == "add").unwrap_or_else(|| panic!("add is listed: {tools:?}"));
    assert_eq!(add["description"], "Adds two numbers.");
    assert_eq!(add["inputSchema"]["required"], json!(["a", "b"]));
    assert!(tools.iter().any(|tool| tool["name"] == "get_forecast"), "{tools:?}");
    assert_results(report["results"].as_array().expect("a list of results"));
}

async fn script(script: &str, mode: Option<&str>, negotiated: &str) {
    let (server, _service) = shop().await;
    script_at(&server.url, script, mode, negotiated).await;
}

/// The same, of the calculator and the weather at a URL or behind a command.
pub(super) async fn script_at(target: &str, script: &str, mode: Option<&str>, negotiated: &str) {
    let calls = calls();
    let arguments: Vec<&str> = std::iter::once(target).chain(mode).chain([calls.as_str()]).collect();
    assert_report(&Lab::find().client(script, &arguments).await, negotiated);
}

/// The Inspector makes one request a run, and prints its result.
async fn inspector(era: &str) {
    let lab = Lab::find();
    let (server, _service) = shop().await;
    let mut results = Vec::new();
    let calls: Value = serde_json::from_str(&calls()).expect("our own JSON");
    for call in calls.as_array().expect("our own list") {
        let (tool, arguments) = (call[0].as_str().expect("a name"), call[1].to_string());
        let request = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", &arguments, "--format", "json"];
        let ran = lab.inspector(&[&[&server.url, "--transport", "http", "--protocol-era", era], request.as_slice()].concat()).await;
        let start = ran.stdout.find('{').unwrap_or_else(|| panic!("no JSON from the inspector: {}", ran.all));
        let mut result: Value = serde_json::from_str(&ran.stdout[start..]).unwrap_or_else(|e| panic!("{e}: {}", ran.all));
        if let Some(inner) = result.get_mut("result").filter(|inner| inner.get("content").is_some()) {
            result = inner.take();
        }
        results.push(result);
    }
    assert_results(&results);
}

#[tokio::test]
async fn the_python_sdk_finds_the_stateless_revision_by_itself() {
    script("mcp_client.py", Some("auto"), "2026-07-28").await;
}

#[tokio::test]
async fn the_python_sdk_works_with_initialize() {
    script("mcp_client.py", Some("legacy"), "2025-11-25").await;
}

#[tokio::test]
async fn the_python_sdk_works_pinned_to_the_stateless_revision() {
    script("mcp_client.py", Some("2026-07-28"), "2026-07-28").await;
}

#[tokio::test]
async fn fastmcp_works() {
    script("fastmcp_client.py", None, "2026-07-28").await;
}

#[tokio::test]
async fn the_typescript_sdk_1_works() {
    script("sdk1_client.mjs", None, "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_client_2_finds_the_stateless_revision_by_itself() {
    script("client2_client.mjs", Some("auto"), "2026-07-28").await;
}

#[tokio::test]
async fn the_typescript_client_2_works_with_initialize() {
    script("client2_client.mjs", Some("legacy"), "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_client_2_works_pinned_to_the_stateless_revision() {
    script("client2_client.mjs", Some("2026-07-28"), "2026-07-28").await;
}

#[tokio::test]
async fn the_inspector_works_with_initialize() {
    inspector("legacy").await;
}

#[tokio::test]
async fn the_inspector_finds_the_revision_by_itself() {
    inspector("auto").await;
}

#[tokio::test]
async fn the_inspector_works_with_the_stateless_revision() {
    inspector("modern").await;
}

/// A client that answers what it is asked: in one round, in two, and everything at once.
async fn asked(script: &str, mode: Option<&str>, negotiated: &str) {
    let server = Setup::new().test_plugin("everything").start().await;
    asked_at(&server.url, script, mode, negotiated).await;
}

/// The same, of the plugin `everything` at a URL or behind a command.
pub(super) async fn asked_at(target: &str, script: &str, mode: Option<&str>, negotiated: &str) {
    let tools = ["elicitation", "multi_round", "multiple_inputs"].map(|name| format!("test_input_required_result_{name}"));
    let tools = json!(tools).to_string();
    let arguments: Vec<&str> = std::iter::once(target).chain(mode).chain([tools.as_str()]).collect();
    let ran = Lab::find().client(script, &arguments).await;
    assert!(ran.success, "{}", ran.all);
    let report: Value = ran.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("{}", ran.all));
    let texts = ["Hello, Ann!", "Ann likes blue", "Welcome Ann, who works in 1 folders"];
    assert_eq!(report, json!({ "negotiated": negotiated, "texts": texts }));
}

#[tokio::test]
async fn the_python_sdk_is_asked_without_a_session() {
    asked("mcp_asking.py", Some("auto"), "2026-07-28").await;
}

#[tokio::test]
async fn the_python_sdk_is_asked_on_its_session() {
    asked("mcp_asking.py", Some("legacy"), "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_1_is_asked_on_its_session() {
    asked("sdk1_asking.mjs", None, "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_client_2_is_asked_without_a_session() {
    asked("client2_asking.mjs", Some("auto"), "2026-07-28").await;
}

#[tokio::test]
async fn the_typescript_client_2_is_asked_on_its_session() {
    asked("client2_asking.mjs", Some("legacy"), "2025-11-25").await;
}
