//! Tools that call tools: across plugins and servers, by grants and roles, in circles, and what passes through to the client.

use toolbay_tests::{Client, Server, Setup, Value, client::http, eventually, files, json, secs};

/// A server on stdio.
fn worker() -> String {
    format!("[server.worker]\ncommand = [\"python3\", {:?}]\nstop_timeout = \"1s\"\n", files::root().join("tests/servers/worker.py"))
}

/// The plugin that calls, with what it may call.
fn granted(calls: &[&str]) -> Setup {
    Setup::new().test_plugin("chain").config(&format!("[plugin.chain]\ncalls = {calls:?}\n"))
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({ "tool": tool, "arguments": arguments })
}

async fn in_flight(server: &Server, name: &str, count: u64) {
    server.wait_plugin(name, &format!("runs {count}"), |status| status["in_flight"] == count).await;
}

#[tokio::test]
async fn a_plugin_calls_tools_wherever_they_live() {
    let server = granted(&["*"]).plugin("calculator").test_plugin("everything").config(&worker()).start().await;
    let client = Client::modern(&server);
    // A plugin's, by both of its names.
    for name in ["add", "calculator__add"] {
        let sum = client.call("chain_call", call(name, json!({ "a": 2, "b": 3 }))).await;
        assert!(sum.ok().contains('5'), "{sum:?}");
    }
    // A program's on stdio.
    assert_eq!(client.call("chain_call", call("worker__echo", json!({ "x": [1, "ä"] }))).await.ok(), r#"{"x": [1, "\u00e4"]}"#);
    // Several at once, which meet.
    let both = json!({ "calls": [call("worker__meet", json!({ "count": 2 })), call("worker__meet", json!({ "count": 2 })), call("add", json!({ "a": 1, "b": 1 }))] });
    let said = client.call("chain_all", both).await.ok();
    assert!(said.starts_with("met\nmet\n") && said.contains('2'), "{said}");
    let page = http().get(format!("http://{}/metrics", server.address())).send().await.expect("/metrics").text().await.expect("a page");
    assert!(page.contains("toolbay_nested_calls_total{parent=\"chain\",provider=\"calculator\"} 3\n"), "{page}");
    // A picture crosses as it is, and so does what a tool says of its failure.
    let direct = client.call("test_multiple_content_types", json!({})).await;
    let nested = client.call("chain_call", call("test_multiple_content_types", json!({}))).await;
    assert_eq!(nested.result()["content"], direct.result()["content"]);
    let failed = client.call("chain_call", call("test_error_handling", json!({}))).await;
    assert_eq!(failed.failure(), "This tool intentionally returns an error for testing");
    // Arguments are checked as a client's are.
    for (arguments, word) in [(json!({ "a": "two" }), "a"), (json!("{"), "not JSON"), (json!("[]"), "must be a JSON object")] {
        let refused = client.call("chain_call", call("add", arguments)).await;
        assert!(refused.failure().contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_the_line_that_grants_it() {
    let server = granted(&["worker__*"]).plugin("calculator").config(&worker()).start().await;
    let client = Client::modern(&server);
    let refused = client.call("chain_call", call("add", json!({ "a": 1, "b": 2 }))).await.failure();
    assert_eq!(
        refused,
        "denied: plugin chain may not call tool \"add\"; to grant it, put  calls = [\"worker__*\", \"add\"]  into [plugin.chain] of toolbay.toml"
    );
    assert_eq!(client.call("chain_call", call("nowhere", json!({}))).await.failure(), "unknown: there is no tool \"nowhere\"");
    let mut listed: Vec<String> = client.call("chain_list", json!({})).await.ok().split(' ').map(str::to_owned).collect();
    listed.sort();
    assert_eq!(listed, ["echo", "environment", "grow", "meet", "pid", "sleep"]);
}

#[tokio::test]
async fn a_plugin_reaches_no_more_than_its_caller_may() {
    let setup =
        granted(&["*"]).plugin("calculator").config(&worker()).env("SMALL", "small-0123456789abcdef").env("ALL", "all-0123456789abcdef");
    let roles = "[auth.tokens]\nsmall = { from_env = \"SMALL\", roles = [\"small\"] }\nall = { from_env = \"ALL\", roles = [\"all\"] }\n\
                 [role.all]\nservers = [\"*\"]\n[role.small]\ntools = [\"chain__*\", \"worker__pid\"]\nconcurrency = 1\n[role.small.limits.pid]\ndaily = 2\n";
    let audit = setup.home().join("audit.jsonl");
    let server = setup.config(roles).config(&format!("[audit]\nfile = {audit:?}\n")).start().await;
    let [small, all] = ["small-0123456789abcdef", "all-0123456789abcdef"].map(|token| Client::modern(&server).token(token));
    assert!(all.call("chain_call", call("add", json!({ "a": 1, "b": 2 }))).await.ok().contains('3'));
    // The same words as for a tool that there is not.
    assert_eq!(small.call("chain_call", call("add", json!({ "a": 1, "b": 2 }))).await.failure(), "unknown: there is no tool \"add\"");
    let mut listed: Vec<String> = small.call("chain_list", json!({})).await.ok().split(' ').map(str::to_owned).collect();
    listed.retain(|name| !name.starts_with("chain_"));
    assert_eq!(listed, ["pid"]);
    // What a role limits is counted; the call within the call is no second one at once.
    for _ in 0..2 {
        small.call("chain_call", call("pid", json!({}))).await.ok();
    }
    let third = small.call("chain_call", call("pid", json!({}))).await.failure();
    assert!(third.starts_with("busy: caller small has made 2 calls today"), "{third}");
    // Each call has a line, and the inner one names the outer.
    server.wait_log("the last call", |line| line.contains("caller small has made 2 calls today")).await;
    let lines = || std::fs::read_to_string(&audit).unwrap_or_default();
    let lines: Vec<Value> = toolbay_tests::eventually("audit lines", secs(20), || async {
        let lines: Vec<Value> = lines().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.iter().any(|line| line["outcome"] == "limited").then_some(lines)
    })
    .await;
    let inner = lines.iter().find(|line| line["name"] == "pid" && line["outcome"] == "ok").expect("the inner call");
    assert_eq!((inner["front"].as_str(), inner["caller"].as_str()), (Some("plugin"), Some("small")), "{inner}");
    let outer = toolbay_tests::eventually("the outer call", secs(20), || async {
        let lines: Vec<Value> =
            std::fs::read_to_string(&audit).unwrap_or_default().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().find(|line| line["id"] == inner["parent"])
    })
    .await;
    assert_eq!(outer["name"], "chain_call", "{outer}");
    assert!(lines.iter().any(|line| line["outcome"] == "denied" && line["name"] == "add" && line["front"] == "plugin"), "{lines:?}");
}

#[tokio::test]
async fn circles_and_towers_end_with_the_chain() {
    let setup = granted(&["*"]).file(&files::test_plugin("chain"), "other");
    let server = setup.config("[plugin.other]\ncalls = [\"chain__*\"]\n").start().await;
    let client = Client::modern(&server);
    let round = json!({ "tools": ["other__chain_forever", "chain__chain_forever"] });
    let circle = client.call("chain__chain_forever", round).await.failure();
    assert_eq!(
        circle,
        "circular: calls go in a circle, with the same arguments: chain__chain_forever -> other__chain_forever -> chain__chain_forever"
    );
    let bomb = client.call("chain__chain_down", json!({ "n": 100, "tool": "chain__chain_down" })).await.failure();
    let chain = ["chain__chain_down"; 10].join(" -> ");
    assert_eq!(bomb, format!("circular: calls lead to each other more than 8 deep: {chain}"));
    // As deep as may be, which is a recursion that ends.
    assert_eq!(client.call("chain__chain_down", json!({ "n": 8, "tool": "chain__chain_down" })).await.ok(), "8 7 6 5 4 3 2 1 0");
}

#[tokio::test]
async fn a_circle_is_seen_at_its_first_turn() {
    let server = granted(&["chain_*"]).start().await;
    let circle = Client::modern(&server).call("chain_forever", json!({})).await.failure();
    assert_eq!(circle, "circular: calls go in a circle, with the same arguments: chain_forever -> chain_forever");
}

/// One call of it at once, in a pool of few places: whoever waits has given its turn back.
#[tokio::test]
async fn a_plugin_of_one_call_at_once_calls_itself_and_its_callers_get_their_turn() {
    let config = "[host]\ninstances = 12\n[plugin.chain]\ncalls = [\"chain_*\"]\nconcurrency = 1\n";
    let server = Setup::new().test_plugin("chain").config(config).start().await;
    let calls = (0..24).map(|n| {
        let client = Client::modern(&server);
        tokio::spawn(async move { client.call("chain_down", json!({ "n": n % 8 })).await.ok() })
    });
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let said = call.await.expect("no panic");
        assert!(said.starts_with(&(n % 8).to_string()) && said.ends_with('0'), "{n}: {said}");
    }
    in_flight(&server, "chain", 0).await;
}

/// As many calls at once as would take every place of the pool, and each needs more places below it.
#[tokio::test]
async fn callers_that_could_fill_the_pool_leave_places_for_what_they_call() {
    let config = "[host]\ninstances = 10\n[plugin.chain]\ncalls = [\"*\"]\ntimeout = \"30s\"\n";
    let server = Setup::new().test_plugin("chain").plugin("calculator").config(config).start().await;
    let calls = (0..60).map(|n| {
        let client = Client::modern(&server);
        tokio::spawn(async move {
            let add = call("add", json!({ "a": n, "b": 1 }));
            let inner = call("chain_call", add.clone());
            let deep = json!({ "calls": [inner.clone(), add, call("chain_down", json!({ "n": 5 }))] });
            client.call("chain_all", deep).await.ok()
        })
    });
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let said = call.await.expect("no panic");
        assert!(said.matches(&(n + 1).to_string()).count() >= 2 && said.ends_with("5 4 3 2 1 0"), "{n}: {said}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_stops_everything_below() {
    let setup = granted(&["*"]).test_plugin("probe").config(&worker()).file(&files::test_plugin("chain"), "other");
    let server = setup.config("[plugin.other]\ncalls = [\"*\"]\n").start().await;
    let client = Client::modern(&server);
    let progress = call("probe__progress", json!({ "steps": 100_000, "pause_ms": 5 }));
    let both = json!({ "calls": [call("other__chain_call", progress), call("worker__sleep", json!({ "ms": 60_000 }))] });
    let left = tokio::spawn(async move { client.call("chain__chain_all", both).await });
    for name in ["chain", "other", "probe", "worker"] {
        in_flight(&server, name, 1).await;
    }
    left.abort();
    let _ = left.await;
    for name in ["chain", "other", "probe", "worker"] {
        in_flight(&server, name, 0).await;
    }
    let cancelled = || server.log().matches("outcome=\"cancelled\"").count();
    eventually("all four are cancelled", secs(10), async || (cancelled() >= 4).then_some(())).await;
    assert_eq!(cancelled(), 4, "{}", server.log());
}

#[tokio::test]
async fn the_time_of_a_call_holds_for_what_it_calls() {
    let setup = Setup::new().test_plugin("chain").config("[plugin.chain]\ncalls = [\"*\"]\ntimeout = \"1s\"\n");
    let server = setup.config(&worker()).start().await;
    let late = Client::modern(&server).call("chain_call", call("sleep", json!({ "ms": 60_000 }))).await.failure();
    assert!(late.contains("plugin chain went over its") && late.contains("`timeout`"), "{late}");
    in_flight(&server, "worker", 0).await;
}

fn able() -> Value {
    json!({ "elicitation": {}, "sampling": {}, "roots": {} })
}

fn accept(content: Value) -> Value {
    json!({ "action": "accept", "content": content })
}

/// Answers the questions of a call until it has a result.
async fn answered(client: &Client, tool: &str, arguments: Value, answers: &[(&str, Value)]) -> (String, Vec<String>) {
    let mut params = json!({ "name": tool, "arguments": arguments });
    let mut asked = Vec::new();
    loop {
        let reply = client.rpc("tools/call", params.clone()).await;
        let result = reply.result();
        if result["resultType"] != "input_required" {
            return (reply.ok(), asked);
        }
        let mut responses = json!({});
        for key in result["inputRequests"].as_object().expect("questions").keys() {
            let (_, answer) = answers.iter().find(|(known, _)| known == key).unwrap_or_else(|| panic!("{key} is answered"));
            responses[key] = accept(answer.clone());
            asked.push(key.clone());
        }
        params["inputResponses"] = responses;
        params["requestState"] = result["requestState"].clone();
    }
}

#[tokio::test]
async fn what_is_asked_below_is_asked_of_the_client() {
    let server = granted(&["*"]).test_plugin("everything").start().await;
    let client = Client::modern(&server).able(able());
    let answers = [("user_name", json!({ "name": "Ann" })), ("step1", json!({ "name": "Bo" })), ("step2", json!({ "color": "blue" }))];
    let one = call("test_input_required_result_elicitation", json!({}));
    let (said, asked) = answered(&client, "chain_call", one.clone(), &answers).await;
    assert_eq!((said.as_str(), asked.len()), ("Hello, Ann!", 1));
    // Through two, and several at once: in the order of the calls, whoever asks first.
    for _ in 0..5 {
        let several = json!({ "calls": [
            call("chain_call", one.clone()),
            call("test_input_required_result_multi_round", json!({})),
            call("test_simple_text", json!({})),
            one.clone(),
        ] });
        let (said, asked) = answered(&client, "chain_all", several, &answers).await;
        assert_eq!(said, "Hello, Ann!\nBo likes blue\nThis is a simple text response for testing.\nHello, Ann!");
        assert_eq!(asked, ["user_name", "step1", "step2", "user_name"]);
    }
    // Who cannot be asked is told what it lacks, as in a call of its own.
    let unable = Client::modern(&server).call("chain_call", one.clone()).await;
    assert!(unable.error()["data"]["requiredCapabilities"].is_object(), "{unable:?}");
}

#[tokio::test]
async fn progress_and_logs_from_below_reach_the_client_and_only_rise() {
    let server = granted(&["*"]).test_plugin("everything").start().await;
    let client = Client::modern(&server);
    let step = json!({ "name": "chain_step", "arguments": call("test_tool_with_progress", json!({})), "_meta": { "progressToken": 7 } });
    let reply = client.rpc("tools/call", step).await;
    let told: Vec<f64> =
        reply.notifications("notifications/progress").iter().map(|told| told["params"]["progress"].as_f64().expect("a number")).collect();
    assert_eq!(told, [1.0, 1.5, 2.0, 3.0], "{reply:?}");
    let messages: Vec<&Value> = reply.notifications("notifications/progress").iter().map(|told| &told["params"]["message"]).collect();
    assert_eq!(messages[1], "Completed step 50 of 100");
}
