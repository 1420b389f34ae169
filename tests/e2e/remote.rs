//! Servers that run elsewhere: another Toolbay by Streamable HTTP, and an HTTP application by its OpenAPI document.

use std::net::TcpListener;

use toolbay_tests::{Client, Reply, Server, Setup, Value, client, eventually, json, lab::Lab, secs};

const TOKEN: &str = "a-token-of-the-other-toolbay";
const OWN: &str = "a-token-of-this-very-toolbay";

/// The other one, which lets in who has its token.
fn other() -> Setup {
    Setup::new()
        .plugin("calculator")
        .test_plugin("everything")
        .config("[auth.tokens]\nfront = { from_env = \"TOKEN\" }")
        .env("TOKEN", TOKEN)
}

/// This one.
fn front(config: &str) -> Setup {
    Setup::new().config(config).env("UP_TOKEN", TOKEN)
}

fn remote(other: &Server) -> String {
    format!("[server.up]\nurl = \"{}\"\nbearer = {{ from_env = \"UP_TOKEN\" }}\nprefix = \"up_\"\n", other.url)
}

#[tokio::test]
async fn a_toolbay_serves_what_another_has() {
    let other = other().arg("--log").arg("toolbay=debug").start().await;
    let setup = front(&format!("{}\n[auth.tokens]\nann = {{ from_env = \"OWN_TOKEN\" }}\n", remote(&other))).env("OWN_TOKEN", OWN);
    let check = setup.run(["check"]).await;
    check.expect_code(0);
    assert!(check.stdout.contains("ok      up: ") && check.stdout.contains("up_add"), "{}", check.all());

    let server = setup.start().await;
    let mut client = Client::modern(&server).token(OWN);
    assert_eq!(client.call("up_add", json!({ "a": 1, "b": 2 })).await.result()["structuredContent"]["result"], 3.0);
    other.wait_log("under whose name it came", |line| line.contains("front") && line.contains("add")).await;
    client.meta = json!({ "progressToken": "p-1" });
    let told = client.call("up_test_tool_with_progress", json!({})).await;
    assert_eq!(told.notifications("notifications/progress").len(), 3, "{told:?}");

    let client = Client::modern(&server).token(OWN).able(json!({ "elicitation": {} }));
    let asked = client.call("up_test_input_required_result_elicitation", json!({})).await;
    let result = asked.result();
    assert_eq!(result["resultType"], "input_required", "{asked:?}");
    let answers: serde_json::Map<_, _> = result["inputRequests"]
        .as_object()
        .expect("questions")
        .keys()
        .map(|key| (key.clone(), json!({ "action": "accept", "content": { "name": "Ann" } })))
        .collect();
    let again = json!({ "name": "up_test_input_required_result_elicitation", "arguments": {}, "inputResponses": answers,
        "requestState": result["requestState"] });
    let answered = client.rpc("tools/call", again).await;
    assert_eq!(answered.ok(), "Hello, Ann!");

    let status = server.status_as(OWN).await;
    let up = status["plugins"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == "up").expect("up").clone();
    assert_eq!((&up["kind"], &up["state"], &up["source"]), (&json!("remote"), &json!("serving"), &json!(other.url)), "{up}");
    for log in [server.log(), other.log(), up.to_string(), check.all()] {
        assert!(!log.contains(TOKEN) && !log.contains(OWN), "{log}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_said_with_the_key_that_gives_it() {
    let other = other().start().await;
    let check = front(&remote(&other)).env("UP_TOKEN", "surely-not-the-token").run(["check"]).await;
    check.expect_code(1);
    let said = check.all();
    assert!(said.contains("BROKEN  up") && said.contains("401") && said.contains("`bearer`") && said.contains("[server.up]"), "{said}");
    let check = front(&format!("[server.up]\nurl = \"{}\"", other.url)).run(["check"]).await;
    check.expect_code(1);
    assert!(check.all().contains("[server.up] bearer = { from_env"), "{}", check.all());
}

#[tokio::test]
async fn what_is_away_is_said_to_be_and_is_served_again_when_it_is_back() {
    let up = other().start().await;
    let address = up.address().to_owned();
    let server = front(&remote(&up)).start().await;
    let client = Client::modern(&server);
    assert!(!client.call("up_add", json!({ "a": 1, "b": 2 })).await.is_error());
    drop(up);
    let error = eventually("its absence is said", secs(30), || async {
        let reply = client.call("up_add", json!({ "a": 1, "b": 2 })).await;
        let error = reply.answer()["error"]["message"].as_str().map(str::to_owned);
        error.filter(|error| error.starts_with("server up cannot be reached"))
    })
    .await;
    assert!(error.contains(&address) && error.contains("tried again") || error.contains("being tried"), "{error}");
    assert!(client.tool_names().await.contains(&"up_add".to_owned()), "its tools stay listed");
    let _up = other().listen(&address).start().await;
    eventually("it serves again", secs(60), || async {
        let reply = client.call("up_add", json!({ "a": 1, "b": 2 })).await;
        reply.answer().get("error").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_application_is_served_by_its_document_even_if_that_comes_late() {
    // The face of another Toolbay for callers without MCP is an application as any other.
    let up = other().start().await;
    let address = up.address().to_owned();
    let config = format!(
        "[server.app]\nopenapi = \"{base}/openapi.json\"\nbase_url = \"{base}\"\nbearer = {{ from_env = \"UP_TOKEN\" }}\nprefix = \"app_\"\n",
        base = up.base
    );
    let check = front(&config).run(["check"]).await;
    check.expect_code(0);
    assert!(check.stdout.contains("ok      app: app_"), "{}", check.all());
    drop(up);
    let late = front(&config).start().await;
    let status = late.wait_plugin("app", "is broken", |status| status["state"] == "broken").await;
    assert!(status["error"].as_str().is_some_and(|error| error.contains("openapi.json")), "{status}");
    let _up = other().listen(&address).start().await;
    let status = late.wait_plugin("app", "serves", |status| status["state"] == "serving").await;
    assert_eq!(status["kind"], "remote", "{status}");
}

#[tokio::test]
async fn a_server_that_speaks_nothing_but_the_sse_transport_of_2024_is_served_whole() {
    let (lab, port) = (Lab::find(), TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port());
    let up = format!("http://127.0.0.1:{port}");
    let _up = lab.running("upstream_server.mjs", &[&json!({ "port": port }).to_string()]).await;
    let setup = front(&format!("[server.up]\nurl = \"{up}/sse\"\nbearer = {{ from_env = \"UP_TOKEN\" }}\nforward = [\"X-Request-Id\"]\n"));
    let check = setup.run(["check"]).await;
    check.expect_code(0);
    assert!(check.stdout.contains("ok      up: ") && check.stdout.contains("steps"), "{}", check.all());
    let server = setup.start().await;

    // Many at once, each with its own answer.
    let calls = (0..20).map(|number| {
        let client = Client::modern(&server);
        async move {
            let (id, request) = client.request("tools/call", json!({ "name": "seen", "arguments": {} }));
            let answer = request.header("X-Request-Id", format!("r-{number}")).send().await.expect("the server answers");
            let seen: Value = Reply::read(answer, Some(id)).await.ok().parse().expect("JSON");
            assert_eq!(seen["headers"]["x-request-id"], format!("r-{number}"), "{seen}");
            assert_eq!(seen["headers"]["authorization"], format!("Bearer {TOKEN}"), "{seen}");
        }
    });
    futures::future::join_all(calls).await;
    let mut client = Client::modern(&server);
    client.meta = json!({ "progressToken": "p-1" });
    let told = client.call("steps", json!({})).await;
    assert_eq!((told.ok().as_str(), told.notifications("notifications/progress").len()), ("done", 3), "{told:?}");

    let client = Client::modern(&server).able(json!({ "elicitation": {} }));
    let asked = client.call("ask", json!({})).await;
    let result = asked.result();
    assert_eq!(result["resultType"], "input_required", "{asked:?}");
    let answers: serde_json::Map<_, _> = result["inputRequests"]
        .as_object()
        .expect("questions")
        .keys()
        .map(|key| (key.clone(), json!({ "action": "accept", "content": { "name": "Ann" } })))
        .collect();
    let again = json!({ "name": "ask", "arguments": {}, "inputResponses": answers, "requestState": result["requestState"] });
    assert_eq!(client.rpc("tools/call", again).await.ok(), "Hello, Ann!");

    client.call("more", json!({})).await.ok();
    let listed = || async { client.tool_names().await.contains(&"extra".to_owned()).then_some(()) };
    eventually("a changed list is read again", secs(60), listed).await;

    client::http().post(format!("{up}/close-streams")).send().await.expect("an answer");
    eventually("it is connected again", secs(60), || async {
        let reply = client.call("seen", json!({})).await;
        reply.answer().get("error").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_no_mcp_endpoint_is_not_taken_for_one_of_2024() {
    let (lab, port) = (Lab::find(), TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port());
    let _up = lab.running("upstream_server.mjs", &[&json!({ "port": port }).to_string()]).await;
    let check = front(&format!("[server.up]\nurl = \"http://127.0.0.1:{port}/nowhere\"")).run(["check"]).await;
    check.expect_code(1);
    assert!(check.all().contains("/nowhere answers 404"), "{}", check.all());
}
