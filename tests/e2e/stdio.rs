//! One client on stdin and stdout: a host of its own, or a bridge to one that runs.

use rustix::process::{Pid, Signal, kill_process};
use toolbay_tests::{
    Setup, StdioClient, Value, files, json, millis, secs,
    wat::{self, binary},
};

use super::clients::{asked_at, script_at, weather_config};

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

/// A request's `_meta` of 2026-07-28.
fn meta(capabilities: &Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": { "name": "toolbay-e2e", "version": "1" },
    })
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

fn modern_call(name: &str, arguments: &Value) -> Value {
    json!({ "name": name, "arguments": arguments, "_meta": meta(&json!({})) })
}

/// What each client that starts `toolbay stdio` must see.
async fn client(script: &str, mode: Option<&str>, negotiated: &str) {
    let (config, _service) = weather_config().await;
    let setup = Setup::new().plugin("calculator").plugin("weather").config(&config);
    script_at(&setup.stdio_words(), script, mode, negotiated).await;
}

#[tokio::test]
async fn the_python_sdk_works_in_every_way_that_it_can_begin() {
    client("mcp_client.py", Some("auto"), MODERN).await;
    client("mcp_client.py", Some("legacy"), LEGACY).await;
    client("mcp_client.py", Some(MODERN), MODERN).await;
}

#[tokio::test]
async fn fastmcp_works() {
    client("fastmcp_client.py", None, MODERN).await;
}

#[tokio::test]
async fn the_typescript_sdk_1_works() {
    client("sdk1_client.mjs", None, LEGACY).await;
}

#[tokio::test]
async fn the_typescript_client_2_works_in_every_way_that_it_can_begin() {
    client("client2_client.mjs", Some("auto"), MODERN).await;
    client("client2_client.mjs", Some("legacy"), LEGACY).await;
    client("client2_client.mjs", Some(MODERN), MODERN).await;
}

/// The same plugin, asked through the host of its own and through a bridge.
async fn asked(script: &str, mode: Option<&str>, negotiated: &str) {
    asked_at(&Setup::new().test_plugin("everything").stdio_words(), script, mode, negotiated).await;
    let server = Setup::new().test_plugin("everything").start().await;
    let bridge = json!([files::binary(), "stdio", "--url", server.url]).to_string();
    asked_at(&bridge, script, mode, negotiated).await;
}

#[tokio::test]
async fn the_python_sdk_is_asked() {
    asked("mcp_asking.py", Some("auto"), MODERN).await;
    asked("mcp_asking.py", Some("legacy"), LEGACY).await;
}

#[tokio::test]
async fn the_typescript_sdks_are_asked() {
    asked("sdk1_asking.mjs", None, LEGACY).await;
    asked("client2_asking.mjs", Some("auto"), MODERN).await;
}

#[tokio::test]
async fn piped_requests_are_all_answered_before_the_end() {
    let setup = Setup::new().plugin("calculator");
    let mut client = StdioClient::start(setup.stdio());
    let first = client.request("server/discover", json!({ "_meta": meta(&json!({})) })).await;
    let calls = [1, 2, 3].map(|a| modern_call("add", &json!({ "a": a, "b": 40 })));
    let mut ids = vec![first];
    for call in calls {
        ids.push(client.request("tools/call", call).await);
    }
    client.close();
    for id in ids {
        assert!(client.answer(id).await["result"].is_object());
    }
    assert!(client.wait_exit().await.success());
}

#[tokio::test]
async fn what_is_no_message_is_told_and_costs_only_itself() {
    let setup = Setup::new().plugin("calculator").config("[http]\nmax_body = \"64 KiB\"");
    let mut client = StdioClient::start(setup.stdio());
    client.write("this is no JSON").await;
    let error = client.next(secs(60)).await.expect("an answer");
    assert_eq!((&error["id"], &error["error"]["code"]), (&Value::Null, &json!(-32700)), "{error}");
    client.write(&format!("\"{}\"", "x".repeat(100_000))).await;
    let error = client.next(secs(60)).await.expect("an answer");
    assert!(error["error"]["message"].as_str().expect("a message").contains("max_body"), "{error}");
    client.write(r#"{"jsonrpc":"2.0","id":"a","method":5}"#).await;
    let error = client.next(secs(60)).await.expect("an answer");
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("a"), &json!(-32600)), "{error}");
    client.initialize(LEGACY, json!({})).await;
    let error = client.rpc("no/such", json!({})).await;
    assert_eq!(error["error"]["code"], -32601, "{error}");
    let sum = client.rpc("tools/call", call("add", &json!({ "a": 2, "b": 40 }))).await;
    assert_eq!(sum["result"]["structuredContent"]["result"].as_f64(), Some(42.0), "{sum}");
}

#[tokio::test]
async fn a_cancelled_call_ends_and_has_no_answer() {
    let setup = Setup::new().bytes("busy.wasm", &binary(&wat::spin())).config("[plugin.busy]\ntimeout = \"30s\"\nconcurrency = 1");
    let mut client = StdioClient::start(setup.stdio());
    client.initialize(LEGACY, json!({})).await;
    for params in [modern_call("spin", &json!({})), call("spin", &json!({}))] {
        let id = client.request("tools/call", params).await;
        assert_eq!(client.next_answer(millis(1500)).await, None, "the call runs");
        let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
        client.send(cancelled).await;
    }
    // Nothing else was answered, and what is asked now is.
    let pong = client.request("ping", json!({})).await;
    let next = client.next_answer(secs(20)).await.expect("an answer");
    assert_eq!(next["id"], pong, "{next}");
}

/// The next message of a call. That the plugin has come meanwhile, which the call waited for, is told at any time.
async fn next_of_call(client: &mut StdioClient) -> Value {
    loop {
        let message = client.next(secs(60)).await.expect("a message");
        if message["method"] != "notifications/tools/list_changed" {
            return message;
        }
    }
}

#[tokio::test]
async fn progress_and_log_messages_come_before_the_answer() {
    let setup = Setup::new().test_plugin("probe");
    let mut client = StdioClient::start(setup.stdio());
    client.initialize(LEGACY, json!({})).await;
    let mut params = call("progress", &json!({ "steps": 2, "pause_ms": 1 }));
    params["_meta"] = json!({ "progressToken": "p" });
    let id = client.request("tools/call", params).await;
    for step in 0..=2 {
        let note = next_of_call(&mut client).await;
        assert_eq!(note["params"]["message"], format!("step {step}"), "{note}");
    }
    assert_eq!(next_of_call(&mut client).await["id"], id);
    let id = client.request("tools/call", call("log", &json!({ "level": "warning", "text": "careful" }))).await;
    let note = client.wait_method("notifications/message").await;
    assert_eq!((&note["params"]["level"], &note["params"]["data"]), (&json!("warning"), &json!("careful")), "{note}");
    client.answer(id).await;
}

#[tokio::test]
async fn a_client_hears_of_a_plugin_that_is_added() {
    let setup = Setup::new().plugin("calculator");
    let mut client = StdioClient::start(setup.stdio());
    client.initialize(LEGACY, json!({})).await;
    let before = client.rpc("tools/list", json!({})).await;
    let listen = json!({ "notifications": { "toolsListChanged": true }, "_meta": meta(&json!({})) });
    client.request("subscriptions/listen", listen).await;
    client.wait_method("notifications/subscriptions/acknowledged").await;
    files::put(&std::fs::read(files::plugin("text-tools")).expect("it is built"), &setup.plugins().join("text-tools.wasm"));
    // One by the session, one by the subscription.
    for _ in 0..2 {
        client.wait_method("notifications/tools/list_changed").await;
    }
    let after = client.rpc("tools/list", json!({})).await;
    let count = |answer: &Value| answer["result"]["tools"].as_array().expect("a list").len();
    assert!(count(&after) > count(&before), "{after}");
    // A stream that only listens does not hold up the end.
    client.close();
    assert!(client.wait_exit().await.success());
}

#[tokio::test]
async fn a_signal_ends_it_while_a_call_runs() {
    let setup = Setup::new().bytes("busy.wasm", &binary(&wat::spin())).config("[plugin.busy]\ntimeout = \"60s\"");
    let mut client = StdioClient::start(setup.stdio());
    client.request("tools/call", modern_call("spin", &json!({}))).await;
    assert_eq!(client.next(millis(1500)).await, None, "the call runs");
    let pid = Pid::from_raw(client.pid().cast_signed()).expect("a process has an id");
    kill_process(pid, Signal::TERM).expect("it runs");
    assert!(client.wait_exit().await.success());
}

#[tokio::test]
async fn a_bridge_outlives_the_server_that_it_leads_to() {
    let token = "the-token-that-only-ann-has";
    let setup = || Setup::new().plugin("calculator").config("[auth.tokens]\nann = { from_env = \"ANN\" }").env("ANN", token);
    let mut server = setup().start().await;
    let (url, address) = (server.url.clone(), server.address().to_owned());
    let home = setup();
    let mut command = home.command();
    command.args(["stdio", "--url", &url, "--bearer-env", "ANN"]);
    let mut client = StdioClient::start(command);
    client.initialize(LEGACY, json!({})).await;
    let sum = async |client: &mut StdioClient| {
        let answer = client.rpc("tools/call", call("add", &json!({ "a": 2, "b": 40 }))).await;
        assert_eq!(answer["result"]["structuredContent"]["result"].as_f64(), Some(42.0), "{answer}");
    };
    sum(&mut client).await;
    server.signal(Signal::TERM);
    server.wait_exit(secs(20)).await;
    // A call in between waits for the next one to be there.
    let waits = client.request("tools/call", call("add", &json!({ "a": 1, "b": 1 }))).await;
    let _next = setup().listen(&address).start().await;
    let answer = client.answer(waits).await;
    assert_eq!(answer["result"]["structuredContent"]["result"].as_f64(), Some(2.0), "{answer}");
    client.wait_method("notifications/tools/list_changed").await;
    sum(&mut client).await;
    let modern = client.rpc("tools/call", modern_call("add", &json!({ "a": 2, "b": 40 }))).await;
    assert_eq!(modern["result"]["structuredContent"]["result"].as_f64(), Some(42.0), "{modern}");
    client.close();
    assert!(client.wait_exit().await.success());
}

#[tokio::test]
async fn a_bridge_says_what_is_wrong_with_where_it_leads() {
    let config = "[auth.tokens]\nann = { from_env = \"ANN\" }";
    let server = Setup::new().plugin("calculator").config(config).env("ANN", "the-token-that-only-ann-has").start().await;
    let setup = Setup::new();
    let mut command = setup.command();
    command.args(["stdio", "--url", &server.url]);
    let mut client = StdioClient::start(command);
    let answer = client.rpc("tools/list", json!({ "_meta": meta(&json!({})) })).await;
    let message = answer["error"]["message"].as_str().expect("an error");
    assert!(message.contains("--token-env"), "{message}");

    for (args, word) in [
        (&["stdio", "--url", "ftp://127.0.0.1/mcp"][..], "only http and https"),
        (&["stdio", "--url", "http://127.0.0.1/mcp", "--bearer-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (&["stdio", "--plugins", "no-such-folder"], "no-such-folder"),
    ] {
        let ended = setup.run(args).await;
        assert!(ended.expect_code(2).all().contains(word), "{}", ended.all());
    }
}

/// The configuration of a desktop client, as the documentation has it, with this machine's paths in place of the example's.
#[tokio::test]
async fn the_desktop_configuration_of_the_documentation_starts_and_lists_tools() {
    let text = std::fs::read_to_string(files::root().join("docs/clients.md")).expect("the page is there");
    let block = text.split("<!-- tested: desktop -->\n```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let setup = Setup::new().plugin("calculator");
    let config: Value = serde_json::from_str(block).expect("it is JSON");
    let server = &config["mcpServers"]["toolbay"];
    assert_eq!(server["command"], "/usr/local/bin/toolbay");
    let mut command = setup.command();
    for arg in server["args"].as_array().expect("a list").iter().map(|arg| arg.as_str().expect("text")) {
        command.arg(if arg == "/home/me/plugins" { setup.plugins().into_os_string() } else { arg.into() });
    }
    // Such a client starts it wherever it likes.
    command.current_dir("/");
    let mut client = StdioClient::start(command);
    client.initialize(LEGACY, json!({})).await;
    let tools = client.rpc("tools/list", json!({})).await;
    assert!(tools["result"]["tools"].as_array().expect("a list").iter().any(|tool| tool["name"] == "add"), "{tools}");
}
