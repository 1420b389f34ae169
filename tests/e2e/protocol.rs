//! Both eras on the wire: what every result carries, and the error for everything that can be wrong.

use toolbay_tests::{Client, Reply, Setup, Value, client::MODERN, json};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

async fn calculator() -> toolbay_tests::Server {
    Setup::new().plugin("calculator").start().await
}

/// The POST of a modern request with headers of the test's own choice.
async fn send(client: &Client, body: &Value, headers: &[(&str, &str)]) -> Reply {
    let mut request = toolbay_tests::client::http().post(url(client)).header("accept", "application/json, text/event-stream");
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::read(request.body(body.to_string()).send().await.expect("an answer"), None).await
}

fn url(client: &Client) -> String {
    client.url().to_owned()
}

fn call_body(client: &Client) -> Value {
    let params = client.params(json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }));
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params })
}

const GOOD: [(&str, &str); 3] = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "add")];

#[tokio::test]
async fn a_stateless_client_can_discover_the_server() {
    let server = calculator().await;
    let reply = Client::modern(&server).rpc("server/discover", json!({})).await;
    let result = reply.result();
    let versions = result["supportedVersions"].as_array().unwrap_or_else(|| panic!("{result}"));
    assert!(versions.contains(&json!(MODERN)), "{result}");
    assert!(result["capabilities"]["tools"].is_object(), "{result}");
    assert!(result["capabilities"]["prompts"].is_object() && result["capabilities"]["resources"].is_object(), "{result}");
    assert_eq!(
        result["capabilities"]["extensions"],
        json!({ "io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {} }),
        "{result}"
    );
    assert!(result["capabilities"]["tasks"].is_null(), "{result}");
}

#[tokio::test]
async fn every_stateless_result_says_what_it_is_and_how_long_it_holds() {
    let server = calculator().await;
    let client = Client::modern(&server);
    let list = client.rpc("tools/list", json!({})).await;
    assert_eq!(list.result()["resultType"], "complete", "{list:?}");
    assert!(list.result()["ttlMs"].is_u64() && list.result()["cacheScope"].is_string(), "{list:?}");
    let call = client.call("add", json!({ "a": 1, "b": 2 })).await;
    assert_eq!(call.result()["resultType"], "complete", "{call:?}");
    assert!(call.headers["content-type"].to_str().expect("ASCII").starts_with("application/json"), "{call:?}");
    assert!(call.headers.get("mcp-session-id").is_none(), "{call:?}");
}

#[tokio::test]
async fn the_list_of_tools_is_the_same_every_time_and_for_both_eras() {
    let server = Setup::new().plugin("calculator").plugin("weather").plugin("text-tools").start().await;
    let (modern, legacy) = (Client::modern(&server), Client::legacy(&server).await);
    let names = modern.tool_names().await;
    for _ in 0..3 {
        assert_eq!(modern.tool_names().await, names);
    }
    assert_eq!(legacy.tool_names().await, names);
}

#[tokio::test]
async fn a_missing_meta_field_is_invalid_params() {
    let server = calculator().await;
    let client = Client::modern(&server);
    for field in [VERSION, "io.modelcontextprotocol/clientCapabilities"] {
        let mut body = call_body(&client);
        body["params"]["_meta"].as_object_mut().expect("an object").remove(field);
        let reply = send(&client, &body, &GOOD).await;
        assert_eq!((reply.status, reply.code()), (400, -32602), "{field}: {reply:?}");
        assert_eq!(reply.answer()["id"], 7);
    }
}

#[tokio::test]
async fn a_revision_that_nobody_knows_is_named_beside_those_that_are_known() {
    let server = calculator().await;
    let client = Client::modern(&server);
    let mut body = call_body(&client);
    body["params"]["_meta"][VERSION] = json!("2099-01-01");
    let reply = send(&client, &body, &[("mcp-protocol-version", "2099-01-01"), GOOD[1], GOOD[2]]).await;
    assert_eq!((reply.status, reply.code()), (400, -32022), "{reply:?}");
    assert_eq!(reply.error()["data"]["requested"], "2099-01-01");
    assert!(reply.error()["data"]["supported"].as_array().is_some_and(|all| all.contains(&json!(MODERN))), "{reply:?}");
}

#[tokio::test]
async fn headers_that_disagree_with_the_body_are_an_error() {
    let server = calculator().await;
    let client = Client::modern(&server);
    let body = call_body(&client);
    for headers in [
        vec![GOOD[0], ("mcp-method", "tools/list"), GOOD[2]],
        vec![GOOD[0], GOOD[1], ("mcp-name", "subtract")],
        vec![GOOD[0], GOOD[1], ("mcp-name", "=?base64?c3VidHJhY3Q=?=")],
        vec![GOOD[0], GOOD[1]],
        vec![GOOD[0], GOOD[2]],
        vec![("mcp-protocol-version", "2025-11-25"), GOOD[1], GOOD[2]],
    ] {
        let reply = send(&client, &body, &headers).await;
        assert_eq!((reply.status, reply.code()), (400, -32020), "{headers:?}: {reply:?}");
    }
    for headers in [GOOD.to_vec(), vec![GOOD[0], GOOD[1], ("mcp-name", "=?base64?YWRk?=")]] {
        let reply = send(&client, &body, &headers).await;
        assert_eq!(reply.status, 200, "{headers:?}: {reply:?}");
    }
}

#[tokio::test]
async fn an_unknown_method_is_404_and_an_unknown_tool_is_invalid_params() {
    let server = calculator().await;
    let client = Client::modern(&server);
    let reply = client.rpc("tools/fly", json!({})).await;
    assert_eq!((reply.status, reply.code()), (404, -32601), "{reply:?}");
    for method in ["tasks/result", "tasks/list"] {
        let reply = client.rpc(method, json!({})).await;
        assert_eq!((reply.status, reply.code()), (404, -32601), "what is not declared is not there: {method}: {reply:?}");
    }
    let reply = client.call("ad", json!({ "a": 1, "b": 2 })).await;
    assert_eq!(reply.code(), -32602, "{reply:?}");
    assert!(reply.failure().contains("ad"), "{reply:?}");
}

#[tokio::test]
async fn there_is_nothing_to_get_or_delete_for_a_stateless_client() {
    let server = calculator().await;
    let http = toolbay_tests::client::http();
    for method in [reqwest::Method::GET, reqwest::Method::DELETE, reqwest::Method::PUT] {
        let request =
            http.request(method.clone(), &server.url).header("mcp-protocol-version", MODERN).header("accept", "text/event-stream");
        assert_eq!(request.send().await.expect("an answer").status(), 405, "{method}");
    }
}

#[tokio::test]
async fn a_session_lives_from_initialize_to_delete() {
    let server = calculator().await;
    let client = Client::legacy(&server).await;
    let session = client.session().expect("a session was given").to_owned();
    assert_eq!(client.greeting["serverInfo"]["name"], "toolbay", "{}", client.greeting);
    assert_eq!(*client.rpc("ping", json!({})).await.result(), json!({}));
    let call = client.call("add", json!({ "a": 1, "b": 2 })).await;
    assert_eq!(call.result()["structuredContent"]["result"], 3.0);
    assert!(call.result().get("resultType").is_none_or(Value::is_string), "{call:?}");
    let delete =
        toolbay_tests::client::http().delete(&server.url).header("mcp-session-id", &session).header("mcp-protocol-version", "2025-11-25");
    assert!(delete.send().await.expect("an answer").status().is_success());
    let (_, request) = client.request("tools/list", json!({}));
    assert_eq!(request.send().await.expect("an answer").status(), 404, "a session that has ended is not found");
}

#[tokio::test]
async fn a_legacy_request_with_a_revision_that_nobody_knows_is_400() {
    let server = calculator().await;
    let client = Client::legacy(&server).await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let session = client.session().expect("a session").to_owned();
    let reply = send(&client, &body, &[("mcp-protocol-version", "1999-01-01"), ("mcp-session-id", &session)]).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let reply = send(&client, &body, &[("mcp-session-id", &session)]).await;
    assert_eq!(reply.status, 200, "without a header it is 2025-03-26: {reply:?}");
}

#[tokio::test]
async fn older_revisions_are_spoken_too() {
    let server = calculator().await;
    for revision in ["2025-06-18", "2025-03-26"] {
        let client = Client::modern(&server);
        let params = json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "old", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        let reply = send(&client, &body, &[]).await;
        assert_eq!(reply.result()["protocolVersion"], revision, "{reply:?}");
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told_to_the_model_with_name_value_and_rule() {
    let server = calculator().await;
    let client = Client::modern(&server);
    for (tool, arguments, words) in [
        ("add", json!({ "a": "one", "b": 2 }), vec!["a", "one", "number"]),
        ("add", json!({ "a": 1 }), vec!["b", "missing"]),
        ("add", json!({ "a": 1, "b": 2, "c": 3 }), vec!["c"]),
        ("convert", json!({ "value": 1, "from_unit": "metre", "to_unit": "parsec" }), vec!["to_unit", "parsec", "kilometre"]),
        ("greatest_common_divisor", json!({ "a": -1, "b": 2 }), vec!["a", "-1", "0"]),
        ("statistics", json!({ "numbers": [1, "two"] }), vec!["numbers", "1", "two"]),
    ] {
        let reply = client.call(tool, arguments.clone()).await;
        let failure = reply.failure();
        for word in words {
            assert!(failure.contains(word), "{tool} {arguments}: `{word}` in {failure}");
        }
    }
    let reply = client.rpc("tools/call", json!({ "name": "add", "arguments": [1, 2] })).await;
    assert_eq!(reply.code(), -32602, "{reply:?}");
}

#[tokio::test]
async fn typed_functions_are_published_with_schemas_that_their_answers_fit() {
    let server = Setup::new().plugin("calculator").plugin("weather").plugin("text-tools").start().await;
    let client = Client::modern(&server);
    let tools = client.tools().await;
    for tool in &tools {
        assert!(tool["description"].as_str().is_some_and(|text| text.len() > 10), "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        for schema in [&tool["inputSchema"], &tool["outputSchema"]].into_iter().filter(|schema| !schema.is_null()) {
            jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|e| panic!("{e}: {schema}"));
        }
    }
    for (name, arguments) in [
        ("add", json!({ "a": 0.5, "b": -2 })),
        ("statistics", json!({ "numbers": [3] })),
        ("statistics", json!({ "numbers": [3, 4, 8] })),
        ("greatest_common_divisor", json!({ "a": 12, "b": 18 })),
        ("convert", json!({ "value": 1, "from_unit": "mile", "to_unit": "metre" })),
    ] {
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name} is listed"));
        let reply = client.call(name, arguments).await;
        let validator = jsonschema::draft202012::new(&tool["outputSchema"]).expect("a schema");
        let structured = &reply.result()["structuredContent"];
        validator.validate(structured).unwrap_or_else(|e| panic!("{e}: {structured}"));
    }
    let statistics = tools.iter().find(|tool| tool["name"] == "statistics").expect("it is listed");
    assert!(statistics["outputSchema"]["properties"]["standard_deviation"].is_object(), "snake_case: {statistics}");
    let required = statistics["outputSchema"]["required"].as_array().expect("a list");
    assert!(!required.contains(&json!("standard_deviation")), "an option is not required: {statistics}");
}

#[tokio::test]
async fn progress_is_told_to_who_asks_for_it_and_to_nobody_else() {
    let server = Setup::new().test_plugin("everything").start().await;
    for mut client in [Client::modern(&server), Client::legacy(&server).await] {
        let silent = client.call("test_tool_with_progress", json!({})).await;
        assert!(silent.notifications("notifications/progress").is_empty(), "{silent:?}");
        client.meta = json!({ "progressToken": "p-1" });
        let told = client.call("test_tool_with_progress", json!({})).await;
        let seen: Vec<f64> = told.notifications("notifications/progress").iter().filter_map(|n| n["params"]["progress"].as_f64()).collect();
        assert_eq!(seen, [0.0, 50.0, 100.0], "{told:?}");
        assert!(told.notifications("notifications/progress").iter().all(|n| n["params"]["progressToken"] == "p-1"), "{told:?}");
    }
}

#[tokio::test]
async fn log_messages_reach_who_asks_for_their_level() {
    let server = Setup::new().test_plugin("everything").start().await;
    let mut client = Client::modern(&server);
    let silent = client.call("test_logging_tool", json!({})).await;
    assert!(silent.notifications("notifications/message").is_empty(), "{silent:?}");
    client.meta = json!({ "io.modelcontextprotocol/logLevel": "error" });
    let silent = client.call("test_logging_tool", json!({})).await;
    assert!(silent.notifications("notifications/message").is_empty(), "it logs below error: {silent:?}");
    client.meta = json!({ "io.modelcontextprotocol/logLevel": "debug" });
    let told = client.call("test_logging_tool", json!({})).await;
    assert!(!told.notifications("notifications/message").is_empty(), "{told:?}");
}
