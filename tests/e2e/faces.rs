//! The other ways in: one plugin's own endpoint, and plain HTTP.

use toolbay_tests::{
    Client, Server, Setup, Value,
    client::http,
    eventually, files, json,
    lab::Lab,
    secs,
    wat::{self, binary},
};

/// Two plugins that both offer `version`, and one with a name that looks like a route.
async fn three() -> Server {
    let setup = Setup::new().bytes("one.wasm", &binary(&wat::version(1))).bytes("two.wasm", &binary(&wat::version(2)));
    setup.bytes("mcp.wasm", &binary(&wat::version(3))).start().await
}

#[tokio::test]
async fn a_plugin_has_an_endpoint_of_its_own_with_its_own_names_in_both_eras() {
    let server = three().await;
    let whole = Client::modern(&server);
    let names = whole.tool_names().await;
    assert!(names.contains(&"one__version".to_owned()) && !names.contains(&"version".to_owned()), "{names:?}");
    for (name, number) in [("one", 1), ("two", 2), ("mcp", 3)] {
        for client in [Client::at(&server.url_of(name)), Client::legacy_at(&server.url_of(name)).await] {
            assert_eq!(client.tool_names().await, ["slow_version", "version"]);
            let reply = client.call("version", json!({})).await;
            assert_eq!(reply.result()["structuredContent"]["result"], number, "{reply:?}");
            let foreign = client.call(if name == "one" { "two__version" } else { "one__version" }, json!({})).await;
            assert_eq!(foreign.code(), -32602, "{foreign:?}");
        }
    }
    let nobody = Client::at(&server.url_of("nobody")).rpc("tools/list", json!({})).await;
    assert_eq!(nobody.status, 404);
    assert!(nobody.error()["message"].as_str().is_some_and(|text| text.contains("mcp, one, two")), "{nobody:?}");
}

#[tokio::test]
async fn a_plugins_endpoint_follows_its_file() {
    let server = three().await;
    let client = Client::legacy_at(&server.url_of("one")).await;
    let mut told = client.listen_legacy().await;
    let mut listening = Client::at(&server.url_of("one")).listen_modern().await;
    // Nothing of this concerns the endpoint of `one`.
    files::put(&binary(&wat::version_and(2, Some("more"))), &server.plugin_file("two"));
    let all = Client::modern(&server);
    eventually("two has more", secs(30), || async { all.tool_names().await.contains(&"more".to_owned()).then_some(()) }).await;
    files::put(&binary(&wat::version_and(1, Some("another"))), &server.plugin_file("one"));
    for stream in [&mut told, &mut listening] {
        assert_eq!(stream.next().await.expect("it is told")["method"], "notifications/tools/list_changed");
    }
    assert_eq!(client.tool_names().await, ["another", "slow_version", "version"]);
    std::fs::remove_file(server.plugin_file("one")).expect("the file can be removed");
    while listening.next().await.is_some() {}
    let gone = client.rpc("tools/list", json!({})).await;
    assert_eq!(gone.status, 404, "{gone:?}");
}

#[tokio::test]
async fn real_clients_use_a_plugins_endpoint() {
    let lab = Lab::find();
    let server = Setup::new().plugin("calculator").bytes("other.wasm", &binary(&wat::version(1))).start().await;
    let (url, calls) = (server.url_of("calculator"), r#"[["add", {"a": 2, "b": 40}]]"#);
    for (script, mode, negotiated) in [
        ("mcp_client.py", Some("auto"), "2026-07-28"),
        ("mcp_client.py", Some("legacy"), "2025-11-25"),
        ("sdk1_client.mjs", None, "2025-11-25"),
    ] {
        let arguments: Vec<&str> = std::iter::once(url.as_str()).chain(mode).chain([calls]).collect();
        let ran = lab.client(script, &arguments).await;
        assert!(ran.success, "{}", ran.all);
        let report: toolbay_tests::Value = serde_json::from_str(ran.stdout.lines().last().expect("a report")).expect("it is JSON");
        assert_eq!(report["negotiated"], negotiated);
        let tools = report["tools"].as_array().expect("a list of tools");
        assert!(tools.iter().all(|tool| tool["name"] != "version") && tools.iter().any(|tool| tool["name"] == "add"), "{tools:?}");
        assert_eq!(report["results"][0]["structuredContent"]["result"].as_f64(), Some(42.0), "{report}");
    }
}

async fn post(url: &str, body: &Value) -> (u16, Value) {
    let response = http().post(url).body(body.to_string()).send().await.expect("the server answers");
    let status = response.status().as_u16();
    (status, serde_json_of(&response.text().await.expect("a body")))
}

async fn get(url: &str) -> (u16, Value) {
    let response = http().get(url).send().await.expect("the server answers");
    let status = response.status().as_u16();
    (status, serde_json_of(&response.text().await.expect("a body")))
}

fn serde_json_of(text: &str) -> Value {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn tools_are_listed_and_called_by_plain_http() {
    let config = "[plugin.v]\ndefault_tool = \"version\"";
    let setup = Setup::new().plugin("calculator").plugin("text-tools").bytes("v.wasm", &binary(&wat::version(7))).config(config);
    let server = setup.start().await;
    let at = |path: &str| format!("{}{path}", server.base);
    let (status, list) = get(&at("/tools")).await;
    assert_eq!(status, 200);
    let all: Vec<_> = Client::modern(&server).tools().await.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect();
    let names: Vec<_> = list["tools"].as_array().expect("a list").iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    assert_eq!(names, all, "the same tools as by MCP, in the same order");
    let add = list["tools"].as_array().and_then(|tools| tools.iter().find(|tool| tool["name"] == "add")).expect("add is listed");
    assert_eq!(add["description"], "Adds two numbers.");
    assert_eq!(add["input_schema"]["required"], json!(["a", "b"]));
    let (_, own) = get(&at("/calculator/tools")).await;
    assert!(own["tools"].as_array().is_some_and(|tools| !tools.is_empty() && tools.len() < names.len()), "{own}");

    let sum = json!({ "tool_name": "add", "tool_args": { "a": 2, "b": 40 } });
    for path in ["/call", "/calculator/call"] {
        assert_eq!(post(&at(path), &sum).await, (200, json!({ "result": { "result": 42.0 } })), "{path}");
    }
    assert_eq!(post(&at("/v/call"), &json!({ "tool_args": {} })).await, (200, json!({ "result": { "result": 7 } })));
    let failures = [
        ("/call", json!({ "tool_name": "divide", "tool_args": { "a": 1, "b": 0 } }), 500, "Tool execution error", "division by zero"),
        ("/call", json!({ "tool_name": "add", "tool_args": { "a": "x", "b": 1 } }), 500, "Tool execution error", "a"),
        ("/call", json!({ "tool_name": "add" }), 400, "Missing 'tool_name' or 'tool_args'", "tool_args"),
        ("/calculator/call", json!({ "tool_args": {} }), 400, "Missing 'tool_name' or 'tool_args'", "tool_name"),
        ("/v/call", json!({}), 400, "must include 'tool_args'", "tool_args"),
        ("/nobody/call", sum.clone(), 404, "MCP nobody not found", "calculator, text-tools, v"),
        ("/v/call", sum.clone(), 404, "Tool add not found", "tools"),
    ];
    for (path, body, status, detail, reason) in failures {
        let (seen, answer) = post(&at(path), &body).await;
        assert_eq!((seen, answer["detail"].as_str()), (status, Some(detail)), "{path} {body}: {answer}");
        assert!(answer["reason"].as_str().is_some_and(|text| text.contains(reason)), "{path} {body}: {answer}");
    }
    let line = server.wait_log("the failed call", |line| line.contains("era=\"rest\"") && line.contains("divide")).await;
    assert!(line.contains("tool_error"), "{line}");
}

#[tokio::test]
async fn the_rest_face_asks_for_tokens_and_origins_as_mcp_does() {
    let config = "[auth.tokens]\nann = { from_env = \"ANN\" }\n[http]\nmax_body = \"2KiB\"";
    let server = Setup::new().plugin("calculator").config(config).env("ANN", "0123456789abcdef").start().await;
    let sum = json!({ "tool_name": "add", "tool_args": { "a": 2, "b": 40 } }).to_string();
    let post = |url: String| http().post(url).bearer_auth("0123456789abcdef");
    let status = async |request: toolbay_tests::client::Request| request.send().await.expect("the server answers").status().as_u16();
    for path in ["/call", "/calculator/call"] {
        let url = format!("{}{path}", server.base);
        assert_eq!(status(http().post(&url).body(sum.clone())).await, 401);
        assert_eq!(status(http().post(&url).bearer_auth("wrong-wrong-wrong").body(sum.clone())).await, 401);
        assert_eq!(status(post(url.clone()).header("origin", "https://evil.example").body(sum.clone())).await, 403);
        assert_eq!(status(post(url.clone()).header("host", "evil.example").body(sum.clone())).await, 403);
        assert_eq!(status(post(url.clone()).body("x".repeat(3000))).await, 413);
        assert_eq!(status(post(url).body(sum.clone())).await, 200);
    }
    for path in ["/tools", "/calculator/tools", "/nobody/tools", "/openapi.json"] {
        assert_eq!(status(http().get(format!("{}{path}", server.base))).await, 401, "{path}");
    }
}

#[tokio::test]
async fn a_full_plugin_says_when_to_come_back_and_a_closed_connection_ends_its_call() {
    let config = "[plugin.spin]\nconcurrency = 1\nqueue = 0\ntimeout = \"1m\"";
    let server = Setup::new().bytes("spin.wasm", &binary(&wat::spin())).config(config).start().await;
    let url = format!("{}/spin/call", server.base);
    let running = tokio::spawn({
        let url = url.clone();
        async move { http().post(url).body("{\"tool_args\": {}}").send().await }
    });
    server.wait_plugin("spin", "runs a call", |status| status["in_flight"] == 1).await;
    let full = http().post(&url).body("{\"tool_args\": {}}").send().await.expect("the server answers");
    assert_eq!(full.status(), 503);
    assert!(full.headers()["retry-after"].to_str().expect("text").parse::<u64>().expect("seconds") >= 1);
    let body = serde_json_of(&full.text().await.expect("a body"));
    assert_eq!(body["detail"], "Too many calls", "{body}");
    running.abort();
    server.wait_plugin("spin", "runs nothing", |status| status["in_flight"] == 0).await;
    server.wait_log("the cancelled call", |line| line.contains("call cancelled")).await;
}

#[tokio::test]
async fn the_openapi_document_fits_what_is_served() {
    let server = Setup::new().plugin("calculator").plugin("text-tools").start().await;
    let (status, document) = get(&format!("{}/openapi.json", server.base)).await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let body = json!({ "$ref": "#/components/schemas/Call", "components": document["components"] });
    let validator = jsonschema::validator_for(&body).expect("a schema");
    for name in Client::modern(&server).tool_names().await {
        assert!(document["components"]["schemas"].get(format!("{name}.args")).is_some(), "{name}");
    }
    assert!(validator.is_valid(&json!({ "tool_name": "add", "tool_args": { "a": 2, "b": 40 } })));
    assert!(!validator.is_valid(&json!({ "tool_name": "add", "tool_args": { "a": "2", "b": 40 } })));
    assert!(!validator.is_valid(&json!({ "tool_name": "nothing", "tool_args": {} })));
}

#[tokio::test]
async fn check_and_status_tell_of_resources_and_prompts_too() {
    let setup = Setup::new().test_plugin("everything");
    let said = setup.run(["check", "plugins"]).await;
    for line in ["resources: ", "templates: ", "prompts: "] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
    let json = serde_json_of(&setup.run(["check", "plugins", "--json"]).await.stdout);
    let server = setup.start().await;
    let status = server.plugin_status("everything").await.expect("it is there");
    let client = Client::modern(&server);
    for (member, list, key) in
        [("resources", "resources", "uri"), ("templates", "resourceTemplates", "uriTemplate"), ("prompts", "prompts", "name")]
    {
        let method = if member == "templates" { "resources/templates/list".to_owned() } else { format!("{member}/list") };
        let result = client.rpc(&method, json!({})).await.result().clone();
        let mut listed: Vec<_> = result[list].as_array().expect("a list").iter().map(|item| item[key].as_str().expect("a key")).collect();
        listed.sort_unstable();
        for seen in [&status, &json["plugins"][0]] {
            let mut seen: Vec<_> = seen[member].as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect();
            seen.sort_unstable();
            assert_eq!(seen, listed, "{member}");
            assert!(!seen.is_empty());
        }
    }
}

/// A classifier and a translator as they are found in the world: HTTP, and a document that says how.
async fn application() -> (String, tokio::task::JoinHandle<()>) {
    use axum::{Json, Router, extract::Path, routing};
    let text = json!({ "type": "object", "required": ["text"], "properties": { "text": { "type": "string", "minLength": 1 } } });
    let label = json!({ "type": "object", "required": ["label"], "properties": { "label": { "enum": ["short", "long"] } } });
    let body = |schema: &Value| json!({ "application/json": { "schema": schema } });
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Texts", "version": "1" },
        "paths": {
            "/classify": { "post": {
                "operationId": "classify", "summary": "Short or long?",
                "requestBody": { "required": true, "content": body(&text) },
                "responses": { "200": { "description": "ok", "content": body(&label) } }
            } },
            "/translate/{lang}": { "get": {
                "operationId": "translate",
                "parameters": [
                    { "name": "lang", "in": "path", "required": true, "schema": { "enum": ["de"] } },
                    { "name": "q", "in": "query", "required": true, "schema": { "type": "string" } }
                ],
                "responses": { "200": { "description": "ok" } }
            } }
        }
    });
    let classify = async |Json(body): Json<Value>| {
        let long = body["text"].as_str().is_some_and(|text| text.len() > 10);
        Json(json!({ "label": if long { "long" } else { "short" } }))
    };
    let translate = async |Path(lang): Path<String>, uri: axum::http::Uri| format!("{lang}: {}", uri.query().unwrap_or_default());
    let app = Router::new()
        .route("/openapi.json", routing::get(async move || Json(document.clone())))
        .route("/classify", routing::post(classify))
        .route("/translate/{lang}", routing::get(translate));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("it listens"));
    (base, tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") }))
}

#[tokio::test]
async fn an_http_application_is_a_set_of_tools_by_its_openapi_document() {
    let (base, task) = application().await;
    let config = format!(
        "[server.texts]\nopenapi = \"{base}/openapi.json\"\nprefix = \"text_\"\ndefault_tool = \"classify\"\n\
         [server.gone]\nopenapi = \"http://127.0.0.1:9/openapi.json\"\nstart_timeout = \"2s\""
    );
    let setup = Setup::new().config(&config);
    let said = setup.run(["check", "--json"]).await;
    let checked = serde_json_of(&said.stdout);
    assert_eq!((said.code, &checked["ok"]), (Some(1), &json!(false)), "{}", said.all());
    let server = setup.start().await;
    for client in [Client::modern(&server), Client::legacy_at(&server.url_of("texts")).await] {
        assert_eq!(client.tool_names().await, ["text_classify", "text_translate"]);
        let reply = client.call("text_classify", json!({ "text": "a rather long text" })).await;
        assert_eq!(reply.result()["structuredContent"], json!({ "label": "long" }), "{reply:?}");
        assert_eq!(client.call("text_translate", json!({ "lang": "de", "q": "a b" })).await.text(), "de: q=a+b");
        let refused = client.call("text_translate", json!({ "lang": "xx", "q": "a" })).await;
        assert!(refused.is_error() && refused.text().contains("lang"), "{refused:?}");
    }
    let url = format!("{}/texts/call", server.base);
    assert_eq!(post(&url, &json!({ "tool_args": { "text": "a" } })).await, (200, json!({ "result": { "label": "short" } })));
    let (status, answer) = post(&url, &json!({})).await;
    assert_eq!((status, answer["detail"].as_str()), (400, Some("must include 'tool_args'")));
    let gone = server.plugin_status("gone").await.expect("it is listed");
    assert!(gone["state"] == "broken" && gone["error"].as_str().is_some_and(|error| error.contains("127.0.0.1:9")), "{gone}");
    task.abort();
}

/// A document with one operation of this name.
fn one(operation: &str) -> String {
    let paths = json!({ "/x": { "get": { "operationId": operation, "responses": { "200": { "description": "ok" } } } } });
    json!({ "openapi": "3.1.0", "info": { "title": "x", "version": "1" }, "servers": [{ "url": "http://127.0.0.1:9" }], "paths": paths })
        .to_string()
}

#[tokio::test]
async fn what_of_an_openapi_document_is_not_served_is_reported_with_its_place() {
    let setup = Setup::new().config("[server.app]\nopenapi = \"app.json\"");
    let good = json!({ "operationId": "good", "responses": { "200": { "description": "ok" } } });
    let paths = json!({ "/good": { "get": good }, "/bad": { "get": { "parameters": [{ "in": "query" }] } } });
    let servers = json!([{ "url": "http://127.0.0.1:9" }]);
    let document = json!({ "openapi": "3.0.3", "servers": servers, "paths": paths }).to_string();
    std::fs::write(setup.home().join("app.json"), document).expect("the folder can be written");
    let reason = "GET /bad is left out: a parameter has no name (at #/paths/~1bad/get/parameters/0)";
    let check = setup.run(["check"]).await;
    check.expect_code(0);
    assert!(check.stdout.contains(&format!("warning: {reason}")) && check.stdout.contains("ok      app: good"), "{}", check.all());
    let server = setup.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, ["good"]);
    let status = server.plugin_status("app").await.expect("it is listed");
    assert_eq!((&status["state"], &status["warnings"]), (&json!("serving"), &json!([reason])), "{status}");
    server.wait_log("what is left out", |line| line.contains("#/paths/~1bad/get/parameters/0")).await;
}

#[tokio::test]
async fn a_changed_openapi_document_changes_the_tools_and_a_broken_one_does_not() {
    let setup = Setup::new().config("[server.app]\nopenapi = \"app.json\"");
    let file = setup.home().join("app.json");
    std::fs::write(&file, one("before")).expect("the folder can be written");
    let server = setup.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["before"]);
    let mut listening = client.listen_modern().await;
    std::fs::write(&file, one("after")).expect("the folder can be written");
    listening.wait_method("notifications/tools/list_changed").await;
    assert_eq!(client.tool_names().await, ["after"]);
    std::fs::write(&file, "{ \"openapi\": ").expect("the folder can be written");
    let status = server.wait_plugin("app", "is broken", |status| status["state"] == "serving-previous").await;
    assert!(status["error"].as_str().is_some_and(|error| error.contains("not JSON")), "{status}");
    assert_eq!(client.tool_names().await, ["after"]);
    std::fs::write(&file, one("at_last")).expect("the folder can be written");
    listening.wait_method("notifications/tools/list_changed").await;
    assert_eq!(client.tool_names().await, ["at_last"]);
    server.wait_plugin("app", "is well", |status| status["state"] == "serving").await;
}
