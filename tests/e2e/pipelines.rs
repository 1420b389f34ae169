//! `[pipeline.NAME]`: tools made of others, across everything that offers tools, with the rights, the time and the answers of who calls them.

use std::sync::Arc;

use axum::{http::StatusCode, response::IntoResponse};
use toolbay_tests::{Client, Server, Setup, Value, client::http, engine::Engine, eventually, files, json, models, outside::Outside, secs};

/// A server on stdio.
fn worker() -> String {
    format!("[server.worker]\ncommand = [\"python3\", {:?}]\nstop_timeout = \"1s\"\n", files::root().join("tests/servers/worker.py"))
}

async fn in_flight(server: &Server, name: &str, count: u64) {
    server.wait_plugin(name, &format!("runs {count}"), |status| status["in_flight"] == count).await;
}

const SUM: &str = r#"
[pipeline.sum]
title = "Three numbers"
parameters = { required = ["a", "b", "c"], properties = { a = { type = "number" }, b = { type = "number" }, c = { type = "number" } } }
[[pipeline.sum.steps]]
name = "first"
tool = "add"
arguments = { a = { from = "/args/a" }, b = { from = "/args/b" } }
[[pipeline.sum.steps]]
tool = "calculator__add"
arguments = { a = { from = "steps.first.structured.result" }, b = { from = "args.c" } }
"#;

#[tokio::test]
async fn a_pipeline_is_a_tool_like_any() {
    let server = Setup::new().plugin("calculator").config(SUM).start().await;
    let client = Client::modern(&server);
    let sum = client.call("sum", json!({ "a": 1, "b": 2, "c": 3.5 })).await;
    assert_eq!(sum.result()["structuredContent"], json!({ "result": 6.5 }), "{sum:?}");
    let tools = client.tools().await;
    let tool = tools.iter().find(|tool| tool["name"] == "sum").expect("sum");
    assert_eq!((&tool["title"], &tool["inputSchema"]["required"]), (&json!("Three numbers"), &json!(["a", "b", "c"])));
    assert_eq!(tool["outputSchema"]["properties"]["result"]["type"], "number");
    let refused = client.call("sum", json!({ "a": 1, "b": "x", "c": 3 })).await.failure();
    assert!(refused.contains("argument `b`"), "{refused}");
    // At its own address, by REST, and with a session.
    assert_eq!(Client::at(&server.url_of("sum")).tool_names().await, ["sum"]);
    let body = json!({ "tool_name": "sum", "tool_args": { "a": 1, "b": 1, "c": 1 } }).to_string();
    let rest = http().post(format!("{}/sum/call", server.base)).body(body).send().await.expect("REST").text().await.expect("a body");
    assert!(rest.contains("\"result\":3"), "{rest}");
    assert_eq!(
        Client::legacy(&server).await.call("sum", json!({ "a": 1, "b": 1, "c": 2 })).await.result()["structuredContent"]["result"],
        4.0
    );
    let status = server.plugin_status("sum").await.expect("its status");
    assert_eq!((&status["kind"], &status["state"], &status["tools"]), (&json!("pipeline"), &json!("serving"), &json!(["sum"])));
    let page = http().get(format!("http://{}/metrics", server.address())).send().await.expect("/metrics").text().await.expect("a page");
    assert!(page.contains("toolbay_nested_calls_total{parent=\"sum\",provider=\"calculator\"} 6\n"), "{page}");
}

/// Download, classify, translate, as in the tutorials.
#[tokio::test]
async fn a_picture_is_downloaded_classified_and_what_it_shows_is_translated() {
    let folder = models::folder("vit-tiny").join("held-out");
    let labels = models::json(&folder.join("labels.json"));
    let (file, label) = (labels[0]["file"].as_str().expect("a name"), labels[0]["label"].as_str().expect("a label"));
    let pictures = Outside::with("127.0.0.1:0", |_| {
        Arc::new(move |path| {
            let picture = std::fs::read(folder.join(path.trim_start_matches('/'))).ok();
            Some(picture.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response))
        })
    })
    .await;
    let config = format!(
        r#"
{}
{}
[plugin.classifier]
http_private = ["127.0.0.1:{}"]
[pipeline.describe]
output = {{ label = {{ from = "/steps/label/structured/label" }}, french = {{ from = "/steps/french/structured/translation" }}, slug = {{ from = "steps.slug.text" }} }}
[[pipeline.describe.steps]]
name = "label"
tool = "classify"
arguments = {{ image_url = {{ from = "/args/url" }}, top_k = 1 }}
[[pipeline.describe.steps]]
name = "french"
tool = "translate"
arguments = {{ text = {{ from = "join('', ['The ', steps.label.structured.label, ' is beautiful.'])" }} }}
[[pipeline.describe.steps]]
name = "slug"
tool = "slugify"
after = ["label"]
arguments = {{ text = {{ from = "steps.label.structured.label" }} }}
"#,
        models::section("vit-tiny", &models::folder("vit-tiny"), "classifier"),
        models::section("t5-tiny", &models::folder("t5-tiny"), "translator"),
        pictures.port(),
    );
    let setup = models::with_library(Setup::new().plugin("classifier").plugin("translator").plugin("text-tools"));
    let server = setup.config(&config).start().await;
    let client = Client::modern(&server);
    let described = client.call("describe", json!({ "url": format!("{}/{file}", pictures.base()) })).await;
    let described = &described.result()["structuredContent"];
    let french = client.call("translate", json!({ "text": format!("The {label} is beautiful.") })).await.ok();
    assert_eq!((described["label"].as_str(), described["french"].as_str()), (Some(label), Some(french.as_str())), "{described}");
    assert!(!described["slug"].as_str().expect("a slug").contains(' '), "{described}");
    let failed = client.call("describe", json!({ "url": format!("{}/nothing.png", pictures.base()) })).await.failure();
    assert!(failed.starts_with("step \"label\" of pipeline describe (tool classify) failed: "), "{failed}");
}

/// A plugin, a program on stdio, another Toolbay, a pipeline, and a container where there is an engine: in one call.
#[tokio::test]
async fn one_call_goes_through_everything_that_offers_tools() {
    let far = Setup::new().plugin("calculator").start().await;
    let engine = Engine::find();
    let boxed = engine.as_ref().map(|engine| {
        let head = format!("[host]\ncontainer_engine = {:?}\n[server.box]\nimage = {:?}\npull = \"never\"\nmemory = \"64MiB\"\nstop_timeout = \"1s\"\n", engine.program, engine.image);
        let step = "[[pipeline.all.steps]]\nname = \"boxed\"\ntool = \"box__run\"\narguments = { command = { from = \"join(' ', ['echo', steps.inner.text])\" } }\n";
        (head, step)
    });
    let (head, step) = boxed.clone().unwrap_or_default();
    let config = format!(
        r#"
{head}
{}
[server.far]
url = "{}"
prefix = "far_"
[plugin.chain]
calls = ["far_*"]
[pipeline.inner]
parameters = {{ properties = {{ n = {{ type = "number" }} }} }}
[[pipeline.inner.steps]]
name = "far"
tool = "far_add"
arguments = {{ a = {{ from = "/args/n" }}, b = 1 }}
[[pipeline.inner.steps]]
tool = "worker__echo"
arguments = {{ sum = {{ from = "/steps/far/structured/result" }} }}
[pipeline.all]
output = {{ inner = {{ from = "parse_json(steps.inner.text).sum" }}, plugin = {{ from = "steps.plugin.text" }}, boxed = {{ from = "steps.boxed.text" }} }}
[[pipeline.all.steps]]
name = "inner"
tool = "inner"
arguments = {{ n = {{ from = "/args/n" }} }}
{step}
[[pipeline.all.steps]]
name = "plugin"
tool = "chain_call"
after = ["inner"]
arguments = {{ tool = "far_multiply", arguments = {{ a = 2, b = {{ from = "parse_json(steps.inner.text).sum" }} }} }}
"#,
        worker(),
        far.url,
    );
    let config = if boxed.is_some() { config } else { config.replace(", boxed = { from = \"steps.boxed.text\" }", "") };
    let server = Setup::new().test_plugin("chain").config(&config).start().await;
    let all = Client::modern(&server).call("all", json!({ "n": 20 })).await;
    let answer = &all.result()["structuredContent"];
    assert_eq!(answer["inner"], 21.0, "{all:?}");
    assert!(answer["plugin"].as_str().is_some_and(|text| text.contains("42")), "{all:?}");
    if boxed.is_some() {
        assert!(answer["boxed"].as_str().is_some_and(|text| text.contains("21")), "{all:?}");
    }
}

#[tokio::test]
async fn a_pipeline_reaches_no_more_than_its_caller_may_and_each_step_has_its_line() {
    let roles = "[auth.tokens]\nsmall = { from_env = \"SMALL\", roles = [\"small\"] }\nall = { from_env = \"ALL\", roles = [\"all\"] }\n\
                 [role.all]\nservers = [\"*\"]\n[role.small]\ntools = [\"sum\"]\n";
    let setup = Setup::new().plugin("calculator").env("SMALL", "small-0123456789abcdef").env("ALL", "all-0123456789abcdef");
    let audit = setup.home().join("audit.jsonl");
    let server = setup.config(SUM).config(roles).config(&format!("[audit]\nfile = {audit:?}\n")).start().await;
    let [small, all] = ["small-0123456789abcdef", "all-0123456789abcdef"].map(|token| Client::modern(&server).token(token));
    let numbers = json!({ "a": 1, "b": 2, "c": 3 });
    assert_eq!(
        small.call("sum", numbers.clone()).await.failure(),
        "step \"first\" of pipeline sum failed: it calls a tool that is not there, or not for this caller",
        "nobody is told the name of what it may not call"
    );
    assert!(all.call("sum", numbers).await.ok().contains('6'));
    let lines = || std::fs::read_to_string(&audit).unwrap_or_default();
    let lines: Vec<Value> = eventually("audit lines", secs(20), || async {
        let lines: Vec<Value> = lines().lines().filter_map(|line| line.parse().ok()).collect();
        let of_all = |name: &str| lines.iter().filter(|line| line["caller"] == "all" && line["name"] == name).count();
        (of_all("add") == 2 && of_all("sum") == 1).then_some(lines)
    })
    .await;
    let outer = lines.iter().find(|line| line["caller"] == "all" && line["name"] == "sum").expect("the pipeline's line");
    for inner in lines.iter().filter(|line| line["caller"] == "all" && line["name"] == "add") {
        assert_eq!((&inner["front"], &inner["parent"]), (&json!("pipeline"), &outer["id"]), "{inner}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_stops_everything_below() {
    let config = r#"
[pipeline.outer]
steps = [{ tool = "both" }]
[pipeline.both]
[[pipeline.both.steps]]
name = "plugin"
tool = "probe__progress"
arguments = { steps = 100000, pause_ms = 5 }
[[pipeline.both.steps]]
name = "program"
tool = "worker__sleep"
after = []
arguments = { ms = 60000 }
"#;
    let server = Setup::new().test_plugin("probe").config(&worker()).config(config).start().await;
    let client = Client::modern(&server);
    let left = tokio::spawn(async move { client.call("outer", json!({})).await });
    for name in ["outer", "both", "probe", "worker"] {
        in_flight(&server, name, 1).await;
    }
    left.abort();
    let _ = left.await;
    for name in ["outer", "both", "probe", "worker"] {
        in_flight(&server, name, 0).await;
    }
    let cancelled = || server.log().matches("outcome=\"cancelled\"").count();
    eventually("all four are cancelled", secs(20), async || (cancelled() >= 4).then_some(())).await;
}

#[tokio::test]
async fn circles_and_towers_of_pipelines_end_with_the_chain() {
    let config = r#"
[pipeline.ping]
parameters.properties.x = { type = "string" }
steps = [{ tool = "pong" }]
[pipeline.pong]
parameters.properties.x = { type = "string" }
steps = [{ tool = "ping" }]
[pipeline.bomb]
parameters.properties.n = { type = "integer" }
steps = [{ name = "a", tool = "bomb", arguments = { n = { from = "sum([args.n, args.n, `1`])" } } }, { name = "b", after = [], tool = "bomb", arguments = { n = { from = "sum([args.n, args.n, `2`])" } } }]
"#;
    let server = Setup::new().plugin("calculator").config(config).start().await;
    let client = Client::modern(&server);
    let circle = client.call("ping", json!({ "x": "a" })).await.failure();
    assert!(circle.contains("calls go in a circle, with the same arguments: ping -> pong -> ping"), "{circle}");
    let bomb = client.call("bomb", json!({ "n": 0 })).await.failure();
    assert!(bomb.contains("calls lead to each other more than 8 deep: bomb -> bomb"), "{bomb}");
    in_flight(&server, "bomb", 0).await;
    assert!(client.call("add", json!({ "a": 1, "b": 2 })).await.ok().contains('3'));
}

#[tokio::test]
async fn what_a_step_asks_and_tells_reaches_the_client() {
    let config = r#"
[pipeline.asks]
output = { from = "join(', ', [steps.one.text, steps.two.text])" }
[[pipeline.asks.steps]]
name = "one"
tool = "test_input_required_result_elicitation"
[[pipeline.asks.steps]]
name = "two"
tool = "test_input_required_result_elicitation"
after = []
[pipeline.tells]
steps = [{ name = "a", tool = "test_simple_text" }, { name = "b", tool = "test_tool_with_progress" }]
"#;
    let server = Setup::new().test_plugin("everything").config(config).start().await;
    let client = Client::modern(&server).able(json!({ "elicitation": {} }));
    let mut params = json!({ "name": "asks", "arguments": {} });
    let mut rounds = 0;
    let said = loop {
        let reply = client.rpc("tools/call", params.clone()).await;
        let result = reply.result();
        if result["resultType"] != "input_required" {
            break reply.ok();
        }
        rounds += 1;
        let mut responses = json!({});
        for key in result["inputRequests"].as_object().expect("questions").keys() {
            responses[key] = json!({ "action": "accept", "content": { "name": format!("N{rounds}") } });
        }
        params["inputResponses"] = responses;
        params["requestState"] = result["requestState"].clone();
    };
    assert_eq!((said.as_str(), rounds), ("Hello, N1!, Hello, N2!", 2));
    let unable = Client::modern(&server).call("asks", json!({})).await;
    assert!(unable.error()["data"]["requiredCapabilities"].is_object(), "{unable:?}");
    let tells = json!({ "name": "tells", "arguments": {}, "_meta": { "progressToken": 7 } });
    let reply = client.rpc("tools/call", tells).await;
    let told: Vec<f64> =
        reply.notifications("notifications/progress").iter().map(|told| told["params"]["progress"].as_f64().expect("a number")).collect();
    assert!(told.first() == Some(&1.0) && told.last() == Some(&2.0) && told.is_sorted() && told.len() >= 3, "{told:?}");
}

#[tokio::test]
async fn pipelines_come_change_and_go_without_a_restart() {
    let setup = Setup::new().plugin("calculator").config(
        "[pipeline.double]\nsteps = [{ tool = \"add\", arguments = { a = { from = \"/args/n\" }, b = { from = \"/args/n\" } } }]\n",
    );
    let server = setup.start().await;
    let client = Client::modern(&server);
    assert!(client.call("double", json!({ "n": 4 })).await.ok().contains('8'));
    let mut changes = client.listen_modern().await;
    let file = server.home().join("toolbay.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(&file, format!("{}{SUM}", text.replace("\"add\"", "\"multiply\""))).expect("it can be written");
    changes.wait_method("notifications/tools/list_changed").await;
    eventually("the other pipeline", secs(20), async || client.tool_names().await.contains(&"sum".to_owned()).then_some(())).await;
    assert!(client.call("double", json!({ "n": 4 })).await.ok().contains("16"));
    // One that calls nothing is told, and the rest goes on.
    std::fs::write(&file, text.replace("\"add\"", "\"addd\"")).expect("it can be written");
    let broken = server.wait_plugin("double", "is broken", |status| status["state"] == "broken").await;
    let error = broken["error"].as_str().expect("why");
    assert!(error.contains("toolbay.toml:2:") && error.contains("there is no tool \"addd\"; did you mean \"add\"?"), "{error}");
    eventually("sum is gone", secs(20), async || (!client.tool_names().await.contains(&"sum".to_owned())).then_some(())).await;
    let told = Client::at(&server.url_of("double")).rpc("tools/list", json!({})).await;
    assert!(told.body.contains("pipeline double is broken"), "{}", told.body);
}

#[tokio::test]
async fn check_tells_what_is_wrong_with_place_and_cure() {
    let good = Setup::new().plugin("calculator").config(SUM);
    let checked = good.run(["check"]).await;
    checked.expect_code(0);
    assert!(checked.stdout.contains("ok      sum: sum") && checked.stdout.contains("1 plugin, 1 pipeline, "), "{}", checked.all());
    for (before, after, message) in [
        ("tool = \"add\"", "tool = \"ad\"", "toolbay.toml:5:1: step \"first\": there is no tool \"ad\"; did you mean \"add\"?"),
        ("a = { from = \"/args/a\" }, ", "", "step \"first\": tool add needs the argument \"a\"; put it into `arguments`"),
        (
            "structured.result",
            "structured.rseult",
            "\"steps.first.structured.rseult\" leads to nothing: steps.first.structured has no \"rseult\"; did you mean \"result\"?",
        ),
        (
            "b = { from = \"args.c\" }",
            "b = \"three\"",
            "the arguments do not fit tool calculator__add: argument `b`: \"three\" is not of type \"number\"",
        ),
    ] {
        let checked = Setup::new().plugin("calculator").config(&SUM.replacen(before, after, 1)).run(["check"]).await;
        checked.expect_code(1);
        assert!(checked.stdout.contains("BROKEN  sum") && checked.stdout.contains(message), "{message}\n{}", checked.all());
    }
    // What needs no tool to be seen is wrong with the configuration itself.
    let checked = Setup::new().config(&SUM.replace("args.c", "args.d")).run(["check"]).await;
    checked.expect_code(2);
    assert!(checked.all().contains("toolbay.toml:11:"), "{}", checked.all());
}
