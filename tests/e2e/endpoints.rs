//! `[endpoint.NAME]`: chosen sets of what real plugins offer, with and without a search, and what `check` says of them.

use toolbay_tests::{Client, Server, Setup, Value, eventually, json, secs};

const ADMIN: &str = "admin-0123456789abcdef";
const GUEST: &str = "guest-0123456789abcdef";

const CONFIG: &str = r#"
[auth.tokens]
admin = { from_env = "ADMIN", roles = ["admin"] }
guest = { from_env = "GUEST", roles = ["guest"] }

[role.admin]
servers = ["*"]

[role.guest]
tools = ["calculator__add", "calculator__divide"]

[endpoint.sums]
tools = ["calculator__add", "calculator__sub*", "probe__echo"]
instructions = "Only sums."

[endpoint.all]
search = true

[endpoint.ours]
servers = ["probe"]
callers = ["admin"]
"#;

fn setup(config: &str) -> Setup {
    let setup = Setup::new().plugin("calculator").test_plugin("probe").test_plugin("everything");
    setup.env("ADMIN", ADMIN).env("GUEST", GUEST).config(config)
}

async fn tools(client: &Client) -> Vec<String> {
    let listed = client.rpc("tools/list", json!({})).await.result()["tools"].clone();
    listed.as_array().expect("a list").iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

fn at(server: &Server, endpoint: &str, token: &str) -> Client {
    Client::at(&server.url_of(endpoint)).token(token)
}

#[tokio::test]
async fn an_endpoint_shows_its_part_within_the_roles_of_its_callers() {
    let server = setup(CONFIG).start().await;
    assert_eq!(tools(&at(&server, "sums", ADMIN)).await, ["add", "subtract", "echo"]);
    assert_eq!(tools(&at(&server, "sums", GUEST)).await, ["add"]);
    let legacy = Client::legacy_as(&server.url_of("sums"), GUEST).await;
    assert_eq!((tools(&legacy).await, &legacy.greeting["instructions"]), (vec!["add".to_owned()], &json!("Only sums.")));
    let sum = at(&server, "sums", GUEST).call("add", json!({ "a": 2, "b": 3 })).await;
    assert_eq!(sum.result()["structuredContent"], json!({ "result": 5.0 }), "{sum:?}");
    for hidden in ["divide", "multiply", "test_simple_text"] {
        let told = at(&server, "sums", ADMIN).call(hidden, json!({})).await.body;
        assert!(told.contains("-32602") && !told.contains("calculator__"), "{told}");
    }
    // What is not for a caller is not there.
    assert!(!tools(&at(&server, "ours", ADMIN)).await.is_empty());
    assert_eq!(at(&server, "ours", GUEST).rpc("tools/list", json!({})).await.status, 404);
    // Without MCP too.
    let rest = async |path: &str, token: &str| {
        let url = format!("http://{}{path}", server.address());
        let answer = toolbay_tests::client::http().get(url).bearer_auth(token).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let (status, listed) = rest("/sums/tools", GUEST).await;
    assert!(status == 200 && listed.contains("\"add\"") && !listed.contains("subtract"), "{listed}");
    assert_eq!(rest("/ours/tools", GUEST).await.0, 404);
}

#[tokio::test]
async fn a_search_finds_and_calls_real_tools_and_the_audit_has_their_names() {
    let setup = setup(CONFIG).config("[audit]\nfile = \"audit.jsonl\"\n");
    let audit = setup.home().join("audit.jsonl");
    let server = setup.start().await;
    let client = at(&server, "all", ADMIN);
    assert_eq!(tools(&client).await, ["find_tools", "call_tool"]);
    let found = client.call("find_tools", json!({ "query": "divide two numbers" })).await;
    let best = &found.result()["structuredContent"]["tools"][0];
    assert!(best["name"] == "divide" && best["inputSchema"]["properties"].is_object(), "{found:?}");
    let quotient = client.call("call_tool", json!({ "name": "divide", "arguments": { "a": 9, "b": 3 } })).await;
    assert_eq!(quotient.result()["structuredContent"], json!({ "result": 3.0 }), "{quotient:?}");
    let own = client.call("divide", json!({ "a": 9, "b": 3 })).await;
    assert_eq!(own.result(), quotient.result());
    // A guest finds and calls no more than its roles allow.
    let guest = at(&server, "all", GUEST);
    let found = guest.call("find_tools", json!({ "query": "add subtract multiply divide echo", "limit": 50 })).await;
    let names: Vec<&str> =
        found.result()["structuredContent"]["tools"].as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert!(names.len() == 2 && names.contains(&"add") && names.contains(&"divide"), "{names:?}");
    assert!(
        guest.call("call_tool", json!({ "name": "multiply", "arguments": { "a": 1, "b": 2 } })).await.body.contains("there is no tool")
    );
    server.wait_log("the denial", |line| line.contains("a call of tool \"multiply\" was denied")).await;
    // Progress comes through, and so does a question to the user.
    let messages = at(&server, "all", ADMIN);
    let told = messages.call("call_tool", json!({ "name": "test_tool_with_progress", "arguments": {} })).await;
    assert_eq!(told.status, 200, "{told:?}");
    let line = async || {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line")).find(|line| line["name"] == "divide")
    };
    let line = eventually("an audit line", secs(10), line).await;
    assert_eq!((&line["provider"], &line["outcome"]), (&json!("calculator"), &json!("ok")), "{line}");
}

#[tokio::test]
async fn a_changed_endpoint_applies_at_once_and_a_wrong_one_changes_nothing() {
    let setup = setup(CONFIG);
    let file = setup.home().join("toolbay.toml");
    let server = setup.start().await;
    let client = at(&server, "sums", ADMIN);
    assert_eq!(tools(&client).await.len(), 3);
    std::fs::write(&file, CONFIG.replace("\"calculator__sub*\", ", "")).expect("the configuration can be written");
    eventually("another list", secs(10), async || (tools(&client).await == ["add", "echo"]).then_some(())).await;
    std::fs::write(&file, CONFIG.replace("[endpoint.ours]", "[endpoint.probe]")).expect("the configuration can be written");
    server.wait_log("the mistake", |log| log.contains("there is a plugin of this name")).await;
    assert_eq!(tools(&client).await, ["add", "echo"]);
    std::fs::write(&file, CONFIG.replace("[endpoint.sums]", "[endpoint.more]")).expect("the configuration can be written");
    eventually("its end", secs(10), async || (client.rpc("tools/list", json!({})).await.status == 404).then_some(())).await;
    assert_eq!(tools(&at(&server, "more", ADMIN)).await.len(), 3);
}

#[tokio::test]
async fn check_shows_what_endpoints_offer() {
    let config = CONFIG.replace("\"probe__echo\"]", "\"probe__echo\", \"calculator__root\"]");
    let setup = setup(&config);
    let text = setup.run(["check"]).await.expect_code(0).all();
    for line in [
        "ok      endpoint /sums/mcp: 3 tools\n        tools: add, subtract, echo\n",
        "warning: \"calculator__root\" in tools is about nothing that is on offer now",
        "; lists find_tools and call_tool in place of them",
        "        for \"admin\"\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}
