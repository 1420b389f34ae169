//! The command line: help that teaches, answers that scripts can read, exit codes that mean something.

use toolbay_tests::{Client, Setup, Value, files, json, wat};

const SUBCOMMANDS: &[&str] = &["serve", "stdio", "check", "tools", "call", "health"];

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test]
async fn help_lists_the_subcommands_and_each_has_help_of_its_own() {
    let setup = Setup::new();
    let help = setup.run(["--help"]).await;
    help.expect_code(0);
    for subcommand in SUBCOMMANDS {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(subcommand)), "{subcommand}: {}", help.stdout);
        let own = setup.run([subcommand, "--help"]).await;
        own.expect_code(0);
        assert!(own.stdout.contains("Usage:") && own.stdout.len() > 300, "{}", own.stdout);
        assert!(own.stdout.contains(&format!("\n  toolbay {subcommand} ")), "an example to copy: {}", own.stdout);
    }
    let version = setup.run(["--version"]).await;
    assert_eq!(version.expect_code(0).stdout.split_whitespace().next(), Some("toolbay"));
}

#[tokio::test]
async fn a_wrong_use_is_exit_code_2_and_says_what_would_be_right() {
    let setup = Setup::new();
    let misspelt = setup.run(["serv"]).await;
    assert!(misspelt.expect_code(2).stderr.contains("serve"), "{}", misspelt.stderr);
    let misspelt = setup.run(["serve", "--plugin", "x"]).await;
    assert!(misspelt.expect_code(2).stderr.contains("--plugins"), "{}", misspelt.stderr);
    setup.run(["serve", "--listen", "nonsense"]).await.expect_code(2);
    setup.run(["call"]).await.expect_code(2);
    setup.run(["serve", "--config", "not-there.toml"]).await.expect_code(2);
    let missing = setup.run(["check", "not-there"]).await;
    assert!(missing.expect_code(2).stderr.contains("not-there"), "{}", missing.stderr);
}

#[tokio::test]
async fn nothing_is_coloured_away_from_a_terminal() {
    let setup = Setup::new().plugin("calculator").bytes("broken.wasm", b"nonsense");
    for arguments in [["check", "plugins"].as_slice(), &["tools", "--plugins", "plugins"], &["--help"], &["serv"]] {
        let finished = setup.run(arguments).await;
        assert!(!finished.all().contains('\u{1b}'), "{arguments:?}: {}", finished.all());
    }
}

#[tokio::test]
async fn check_is_content_with_a_good_folder() {
    let setup = Setup::new().plugin("calculator").plugin("weather");
    let text = setup.run(["check", "plugins"]).await;
    text.expect_code(0);
    for word in ["calculator", "weather", "add", "get_alerts"] {
        assert!(text.stdout.contains(word), "{word}: {}", text.stdout);
    }
    let report = setup.run(["check", "plugins", "--json"]).await;
    let report = json_of(&report.expect_code(0).stdout);
    let plugins = report["plugins"].as_array().unwrap_or_else(|| panic!("a list of plugins: {report}"));
    let weather = plugins.iter().find(|plugin| plugin["name"] == "weather").expect("the weather");
    assert_eq!(weather["state"], "serving");
    assert!(
        weather["imports"].as_array().is_some_and(|i| i.iter().any(|i| i.as_str().is_some_and(|i| i.contains("toolbay:plugin/fetch")))),
        "{weather}"
    );
}

#[tokio::test]
async fn check_names_every_broken_file_and_why() {
    let good = std::fs::read(toolbay_tests::files::plugin("calculator")).expect("it is built");
    let setup = Setup::new()
        .plugin("calculator")
        .bytes("truncated.wasm", &good[..good.len() / 2])
        .bytes("empty.wasm", b"")
        .bytes("text.wasm", b"this is not a wasm")
        .bytes("module.wasm", &wat::hostile_named("core-module"))
        .bytes("other.wasm", &wat::hostile_named("unknown-import"))
        .bytes("nothing.wasm", &wat::hostile_named("no-exports"));
    let text = setup.run(["check", "plugins"]).await;
    text.expect_code(1);
    let report = setup.run(["check", "plugins", "--json"]).await;
    let report = json_of(&report.expect_code(1).stdout);
    let error = |name: &str| {
        let plugin = report["plugins"].as_array().and_then(|all| all.iter().find(|plugin| plugin["name"] == name));
        let plugin = plugin.unwrap_or_else(|| panic!("{name} is in the report: {report}"));
        assert_eq!(plugin["state"], "broken", "{plugin}");
        let error = plugin["error"].as_str().unwrap_or_else(|| panic!("{name} says why: {plugin}")).to_owned();
        assert!(text.all().contains(name), "{name} in the text: {}", text.all());
        error
    };
    assert!(error("empty").contains("empty"), "{}", error("empty"));
    assert!(error("module").contains("core WebAssembly module") && error("module").contains("not a component"), "{}", error("module"));
    assert!(error("other").contains("acme:rocket/engine"), "{}", error("other"));
    assert!(error("text").contains("WebAssembly"), "{}", error("text"));
    assert!(!error("truncated").is_empty() && !error("nothing").is_empty());
    assert_eq!(
        report["plugins"].as_array().expect("a list").iter().find(|p| p["name"] == "calculator").expect("the good one")["state"],
        "serving"
    );
}

#[tokio::test]
async fn tools_are_listed_from_a_folder_and_from_a_server() {
    let server = Setup::new().plugin("calculator").start().await;
    for place in [["--plugins", "plugins"], ["--url", &server.url]] {
        let text = server.setup().run([["tools"].as_slice(), &place].concat()).await;
        assert!(text.expect_code(0).stdout.contains("square_root"), "{}", text.stdout);
        let list = server.setup().run([["tools", "--json"].as_slice(), &place].concat()).await;
        let list = json_of(&list.expect_code(0).stdout);
        let tools = list.as_array().or_else(|| list["tools"].as_array()).unwrap_or_else(|| panic!("a list of tools: {list}"));
        let add = tools.iter().find(|tool| tool["name"] == "add").expect("add is listed");
        assert_eq!(add["inputSchema"]["properties"]["a"]["type"], "number", "{add}");
    }
}

#[tokio::test]
async fn a_tool_is_called_in_a_folder_and_on_a_server() {
    let server = Setup::new().plugin("calculator").start().await;
    for place in [["--plugins", "plugins"], ["--url", &server.url]] {
        let call = async |arguments: &[&str]| server.setup().run([["call"].as_slice(), arguments, &place].concat()).await;
        let sum = call(&["add", r#"{"a": 1, "b": 2}"#]).await;
        assert_eq!(sum.expect_code(0).stdout.trim().trim_end_matches(".0"), "3", "{}", sum.all());
        let sum = call(&["calculator__add", r#"{"a": 1, "b": 2}"#, "--json"]).await;
        assert_eq!(json_of(&sum.expect_code(0).stdout)["structuredContent"]["result"].as_f64(), Some(3.0), "{}", sum.stdout);
        let failed = call(&["divide", r#"{"a": 1, "b": 0}"#]).await;
        assert!(failed.expect_code(1).all().contains("division by zero"), "{}", failed.all());
        let wrong = call(&["add", r#"{"a": "one", "b": 2}"#]).await;
        assert!(wrong.expect_code(1).all().contains("one"), "{}", wrong.all());
        let unknown = call(&["ad", r#"{"a": 1, "b": 2}"#]).await;
        assert!(matches!(unknown.code, Some(1 | 2)) && unknown.stderr.contains("add"), "the nearest name is said: {}", unknown.stderr);
        let no_json = call(&["add", "{a: 1}"]).await;
        assert!(no_json.expect_code(2).stderr.to_lowercase().contains("json"), "{}", no_json.stderr);
    }
}

/// A server whose results have members that no revision of MCP knows.
const EXTRA: &str = r#"
import json, sys
RESULTS = {
    "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "extra", "version": "1"}},
    "tools/list": {"tools": [{"name": "more", "inputSchema": {"type": "object"}}, {"name": "fails", "inputSchema": {"type": "object"}}]},
    "ping": {},
}
MORE = {"content": [{"type": "text", "text": "x", "of": 1}], "structuredContent": {"a": 1}, "_meta": {"k": 2}, "later": [1, {"b": None}]}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answer = {"result": RESULTS.get(message["method"], MORE)}
        if message.get("params", {}).get("name") == "fails":
            answer = {"error": {"code": -32050, "message": "as asked"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"#;

#[tokio::test]
async fn a_call_without_a_server_is_answered_as_the_server_answers_member_for_member() {
    let setup = Setup::new().plugin("calculator");
    let script = setup.home().join("extra.py");
    std::fs::write(&script, EXTRA).expect("the folder can be written");
    let server = setup.config(&format!("[server.extra]\ncommand = [\"python3\", {script:?}]")).start().await;
    let client = Client::modern(&server);
    for (tool, arguments, code) in [("more", json!({}), 0), ("add", json!({ "a": 1, "b": 2 }), 0), ("divide", json!({ "a": 1, "b": 0 }), 1)]
    {
        let local = server.setup().run(["call", tool, &arguments.to_string(), "--json"]).await;
        let reply = client.call(tool, arguments).await;
        assert_eq!(json_of(&local.expect_code(code).stdout), *reply.result());
    }
    let local = server.setup().run(["call", "more", "--json"]).await;
    assert_eq!(json_of(&local.stdout)["later"], json!([1, { "b": null }]), "{}", local.stdout);
    let local = server.setup().run(["call", "fails"]).await;
    assert!(local.expect_code(1).stderr.contains("as asked"), "{}", local.stderr);
}

#[tokio::test]
async fn a_server_that_wants_a_token_is_called_with_one_from_the_environment() {
    let setup = Setup::new()
        .plugin("calculator")
        .config("[auth.tokens]\nme = { from_env = \"MY_TOKEN\" }")
        .env("MY_TOKEN", "secret-of-mine-0123456789");
    let server = setup.start().await;
    let arguments = ["call", "add", r#"{"a": 1, "b": 2}"#, "--url", &server.url];
    let turned_away = server.setup().run(arguments).await;
    let said = &turned_away.expect_code(1).stderr;
    assert!(said.contains("401") || said.contains("token"), "{said}");
    let taken = server.setup().run(arguments.iter().copied().chain(["--token-env", "MY_TOKEN"])).await;
    taken.expect_code(0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_in_a_sentence() {
    let gone = Setup::new().run(["tools", "--url", "http://127.0.0.1:9/mcp"]).await;
    assert!(gone.expect_code(1).stderr.contains("127.0.0.1:9"), "{}", gone.stderr);
    assert!(!gone.stderr.contains("panicked") && !gone.stderr.contains("rmcp"), "{}", gone.stderr);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_crash() {
    let setup = Setup::new().plugin("calculator");
    let mut command = setup.command();
    command.args(["tools", "--json", "--plugins", "plugins"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().await.expect("it ends");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(101));
}

#[tokio::test]
async fn the_banner_says_the_url_the_tools_and_what_to_paste_into_a_client() {
    let server = Setup::new().plugin("calculator").start().await;
    toolbay_tests::eventually("the banner is whole", toolbay_tests::secs(5), || async {
        server.stdout().contains("mcpServers").then_some(())
    })
    .await;
    let banner = server.stdout();
    assert!(banner.contains(&server.url) && banner.contains("add"), "{banner}");
    let snippet = &banner[banner.find('{').expect("JSON to paste")..=banner.rfind('}').expect("its end")];
    let snippet = json_of(snippet);
    assert_eq!(snippet["mcpServers"]["toolbay"]["url"], json!(server.url), "{banner}");
}

#[tokio::test]
async fn docs_of_another_plugin_are_refused_and_the_component_stays_as_it_is() {
    let setup = Setup::new().plugin("calculator");
    let file = setup.plugins().join("calculator.wasm");
    let before = std::fs::read(&file).expect("the plugin");
    let wit = |plugin: &str| files::root().join("plugins").join(plugin).join("wit").into_os_string();
    let refused = setup.run(["embed-docs".into(), file.clone().into_os_string(), "--wit".into(), wit("weather")]).await;
    refused.expect_code(1);
    assert!(refused.stderr.contains("get-alerts") && refused.stderr.contains("plugins/weather/wit"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&file).expect("the plugin"), before);
    setup.run(["embed-docs".into(), file.into_os_string(), "--wit".into(), wit("calculator")]).await.expect_code(0);
}

#[tokio::test]
async fn health_says_whether_the_server_takes_calls() {
    let server = Setup::new().plugin("calculator").config("[auth.tokens]\nme = { from_env = \"E2E_TOKEN\" }\n");
    let server = server.env("E2E_TOKEN", "0123456789abcdef").start().await;
    let setup = server.setup();
    assert_eq!(setup.run(["health", "--url", &server.base]).await.expect_code(0).stdout, "ready\n");
    assert_eq!(setup.run(["health", "--url", &server.url, "--live"]).await.expect_code(0).stdout, "ok\n");
    let closed = setup.run(["health", "--url", "http://127.0.0.1:9"]).await;
    let words = &closed.expect_code(1).stderr;
    assert!(words.contains("http://127.0.0.1:9/readyz") && words.contains("refused") && words.contains("toolbay serve"), "{words}");
    let wrong = setup.run(["health", "--url", "127.0.0.1:8000"]).await;
    assert!(wrong.expect_code(2).stderr.contains("such as http://127.0.0.1:8000"), "{}", wrong.stderr);
    setup.run(["health", "--timeout", "0"]).await.expect_code(2);
}
