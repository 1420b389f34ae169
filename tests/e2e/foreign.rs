//! Components that were made for others: MCP servers over `wasi:http`, which are plugins without a
//! change, and what is none.

use toolbay_tests::{Client, Setup, files, json};

/// The same component as servers of several kinds.
fn setup() -> Setup {
    let herald = files::test_plugin("herald");
    let kinds = ["sessions", "root", "modern"];
    let all = kinds.iter().fold(Setup::new().file(&herald, "herald"), |setup, kind| setup.file(&herald, kind));
    let modes: Vec<String> = kinds.iter().map(|kind| format!("[plugin.{kind}]\nenv = {{ MODE = \"{kind}\" }}\n")).collect();
    all.config(&modes.concat())
}

#[tokio::test]
async fn a_component_that_is_an_mcp_server_is_served_like_any_plugin() {
    let server = setup().start().await;
    let (modern, legacy) = (Client::modern(&server), Client::legacy(&server).await);
    let names = modern.tool_names().await;
    for plugin in ["herald", "sessions", "root", "modern"] {
        assert!(names.contains(&format!("{plugin}__cry")), "{names:?}");
        for client in [&modern, &legacy] {
            let call = |tool: &str, arguments| {
                let tool = format!("{plugin}__{tool}");
                async move { client.call(&tool, arguments).await }
            };
            assert_eq!(call("cry", json!({ "what": "hear" })).await.ok(), "HEAR!", "{plugin}");
            // Each call has an instance of its own, also where that opens a session first.
            for _ in 0..2 {
                assert_eq!(call("served", json!({})).await.ok(), "1", "{plugin}");
            }
            assert_eq!(call("wrong", json!({})).await.code(), -32099, "{plugin}");
        }
        let status = server.plugin_status(plugin).await.expect("it is there");
        assert_eq!(status["state"], "serving", "{status}");
    }
    let many = (0..30).map(|_| modern.call("herald__served", json!({})));
    for reply in futures::future::join_all(many).await {
        assert_eq!(reply.ok(), "1");
    }
    let prompt = modern.rpc("prompts/get", json!({ "name": "herald__proclaim", "arguments": { "what": "peace" } })).await;
    assert_eq!(prompt.result()["messages"][0]["content"]["text"], "Proclaim peace!");
    let listed = modern.rpc("resources/list", json!({})).await;
    let uris: Vec<&str> =
        listed.result()["resources"].as_array().expect("a list").iter().filter_map(|entry| entry["uri"].as_str()).collect();
    assert_eq!(uris.len(), 4, "{uris:?}");
    for uri in uris {
        let read = modern.rpc("resources/read", json!({ "uri": uri })).await;
        assert_eq!(read.result()["contents"][0]["text"], "hear, hear", "{uri}");
    }
}

#[tokio::test]
async fn what_it_tells_before_its_answer_and_what_it_asks_reach_the_client() {
    let server = setup().start().await;
    for mut client in [Client::modern(&server), Client::legacy(&server).await] {
        client.meta = json!({ "progressToken": "p-1" });
        for plugin in ["herald", "root", "modern"] {
            let told = client.call(&format!("{plugin}__steps"), json!({})).await;
            let steps: Vec<&str> =
                told.notifications("notifications/progress").iter().filter_map(|told| told["params"]["message"].as_str()).collect();
            assert_eq!(steps, ["step 1", "step 2", "step 3"], "{plugin}: {told:?}");
            assert_eq!(told.ok(), "three steps");
        }
    }
    let client = Client::modern(&server).able(json!({ "elicitation": {} }));
    let asked = client.call("modern__ask", json!({})).await;
    let result = asked.result();
    assert_eq!(result["resultType"], "input_required", "{asked:?}");
    let key = result["inputRequests"].as_object().and_then(|requests| requests.keys().next()).expect("a question").clone();
    let answers = json!({ key: { "action": "accept", "content": { "name": "Ann" } } });
    let again = json!({ "name": "modern__ask", "arguments": {}, "inputResponses": answers, "requestState": result["requestState"] });
    assert_eq!(client.rpc("tools/call", again).await.ok(), "hail, Ann");
}

#[tokio::test]
async fn it_has_the_limits_and_the_grants_of_a_plugin() {
    let herald = files::test_plugin("herald");
    let outside = toolbay_tests::outside::Outside::start().await;
    let there = format!("127.0.0.1:{}", outside.port());
    let config =
        format!("[plugin.herald]\ntimeout = \"2s\"\noutput = \"1MiB\"\n[plugin.free]\nhttp_private = [\"127.0.0.1:9\", {there:?}]\n");
    let server = Setup::new().file(&herald, "herald").file(&herald, "free").config(&config).start().await;
    let client = Client::modern(&server);
    let fails = |tool: &'static str, arguments| {
        let client = &client;
        async move { client.call(tool, arguments).await.failure() }
    };
    let host = json!({ "host": "127.0.0.1:9" });
    let denied = fails("herald__fetch", host.clone()).await;
    assert!(denied.contains("http_private = [\"127.0.0.1:9\"]"), "{denied}");
    let granted = fails("free__fetch", host).await;
    assert!(!granted.contains("may not reach"), "{granted}");
    let fetched = client.call("free__fetch", json!({ "host": there })).await.ok();
    assert!(fetched.starts_with("status ") && outside.visits().len() == 1, "{fetched}");
    assert!(fails("herald__crash", json!({})).await.contains("plugin herald crashed"));
    assert!(fails("herald__spin", json!({})).await.contains("time limit (2s)"));
    assert!(fails("herald__flood", json!({})).await.contains("output limit (1 MiB)"));
    assert_eq!(client.call("herald__cry", json!({ "what": "on" })).await.ok(), "ON!");
    // Who leaves ends it.
    let caller = Client::modern(&server);
    let call = tokio::spawn(async move { caller.call("free__spin", json!({})).await });
    server.wait_plugin("free", "has the call", |status| status["in_flight"] == 1).await;
    call.abort();
    server.wait_plugin("free", "runs nothing", |status| status["in_flight"] == 0).await;
}

#[tokio::test]
async fn an_instance_that_may_serve_several_calls_does_unless_its_handler_was_cut_off() {
    let herald = files::test_plugin("herald");
    let kept = "reuse = 3\nreuse_across = \"all\"\n";
    let config = format!("[plugin.herald]\n{kept}[plugin.sessions]\n{kept}env = {{ MODE = \"sessions\" }}\n");
    let server = Setup::new().file(&herald, "herald").file(&herald, "sessions").config(&config).start().await;
    let client = Client::modern(&server);
    for plugin in ["herald", "sessions"] {
        for wanted in ["1", "2", "3", "1"] {
            assert_eq!(client.call(&format!("{plugin}__served"), json!({})).await.ok(), wanted, "{plugin}");
        }
    }
    for _ in 0..3 {
        assert_eq!(client.call("herald__linger", json!({})).await.ok(), "answered");
        assert_eq!(client.call("herald__cry", json!({ "what": "a" })).await.ok(), "A!");
    }
}

#[tokio::test]
async fn names_and_descriptions_are_the_operators_and_an_edit_takes_effect() {
    let herald = files::test_plugin("herald");
    let config = "[plugin.herald]\nrename = { cry = \"shout\" }\n[plugin.herald.tools.cry]\ndescription = \"Shouts.\"\n";
    let server = Setup::new().file(&herald, "herald").config(config).start().await;
    let client = Client::modern(&server);
    let tools = client.tools().await;
    let shout = tools.iter().find(|tool| tool["name"] == "shout").expect("it is listed");
    assert_eq!(shout["description"], "Shouts.");
    assert_eq!(client.call("shout", json!({ "what": "x" })).await.ok(), "X!");
    std::fs::write(server.plugins().join("herald.toml"), "env = { MODE = \"page\" }\n").expect("it can be written");
    server.wait_plugin("herald", "is told to be none", |status| status.to_string().contains("no answer of JSON-RPC")).await;
    assert_eq!(client.call("shout", json!({ "what": "x" })).await.ok(), "X!", "what served goes on");
}

#[tokio::test]
async fn what_speaks_no_mcp_is_told_so_in_its_status() {
    let herald = files::test_plugin("herald");
    let modes = [
        ("page", "which is no answer of JSON-RPC: <h1>Welcome</h1>"),
        ("text", "which is no answer of JSON-RPC: hello"),
        ("teapot", "418"),
        ("silent", "ended without an answer"),
        ("half", "ended without the end of its answer"),
        ("error", "the error ErrorCode::LoopDetected"),
        ("trap", "crashed"),
        ("large", "output limit"),
        ("empty", "has no tools, no resources and no prompts"),
    ];
    let mut setup = Setup::new().plugin("calculator");
    let mut config = String::new();
    for (mode, _) in modes {
        setup = setup.file(&herald, mode);
        config.push_str(&format!("[plugin.{mode}]\nenv = {{ MODE = \"{mode}\" }}\n"));
    }
    let server = setup.config(&config).start().await;
    for (mode, wanted) in modes {
        let status = server.wait_plugin(mode, "has a reason", |status| status["error"].is_string()).await;
        let error = status["error"].as_str().unwrap_or_default();
        assert!(error.contains("MCP server") && error.contains(wanted), "{mode}: {error}");
    }
    assert_eq!(Client::modern(&server).call("add", json!({ "a": 1, "b": 2 })).await.ok(), "3.0");
}
