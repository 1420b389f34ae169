//! Calls that go on when their request was answered with a handle: with one copy of the host and with several.

use rustix::process::Signal;
use toolbay_tests::{Client, Proxy, Reply, Server, Setup, Value, eventually, json, lab::Lab, secs};

const KEY: &str = "a-key-that-is-long-enough-to-sign-ids";
const TOKEN: &str = "a-token-that-is-long-enough";

fn able() -> Value {
    json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// One of several copies, where nobody comes in without a token.
async fn copy() -> Server {
    Setup::new()
        .test_plugin("everything")
        .env("KEY", KEY)
        .env("TOKEN", TOKEN)
        .config(
            "[state]\nkeys = [{ from_env = \"KEY\" }]\ncopies = 2\n[auth.tokens]\nann = { from_env = \"TOKEN\" }\n[tasks]\nadvertise = \"127.0.0.1\"\n\
             [plugin.everything]\ntimeout = \"10m\"",
        )
        .start()
        .await
}

async fn begun(client: &Client, tool: &str, arguments: Value) -> String {
    let reply = client.call(tool, arguments).await;
    assert_eq!(reply.result()["resultType"], "task", "{reply:?}");
    reply.result()["taskId"].as_str().expect("an id").to_owned()
}

async fn get(client: &Client, id: &str) -> Reply {
    client.rpc("tasks/get", json!({ "taskId": id })).await
}

async fn until(client: &Client, id: &str, status: &str) -> Value {
    eventually(status, secs(30), async || {
        let reply = get(client, id).await;
        let task = reply.result();
        (task["status"] == status).then(|| task.clone())
    })
    .await
}

#[tokio::test]
async fn the_typescript_client_of_the_extension_runs_tasks() {
    let server = Setup::new().test_plugin("everything").start().await;
    let ran = Lab::find().client("client2_tasks.mjs", &[&server.url]).await;
    assert!(ran.success, "{}", ran.all);
    let report: Value = ran.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("{}", ran.all));
    assert_eq!(report["negotiated"], "2026-07-28", "{report}");
    let calls: Vec<_> =
        report["calls"].as_array().expect("calls").iter().map(|call| (&call["kind"], &call["text"], &call["isError"])).collect();
    let (task, no, yes) = (json!("task"), json!(false), json!(true));
    let expected = [
        (json!("immediate"), json!("Hello, Ann!"), &no),
        (task.clone(), json!("Computed \"\" for 3.0 s"), &no),
        (task.clone(), json!("Deleted a"), &no),
        (task.clone(), json!("Ann said {\"name\":\"Ann\",\"confirm\":true}"), &no),
        (task.clone(), json!("Hello, Ann, this took a while"), &no),
        (task, json!("The job failed, as it always does"), &yes),
    ];
    assert_eq!(calls, expected.each_ref().map(|(kind, text, error)| (kind, text, *error)), "{report}");
    assert!(report["calls"][1]["messages"].as_u64() > Some(0), "it is seen how far a task has come: {report}");
    assert_eq!(report["cancelled"], "cancelled");
    assert_eq!(report["failed"], json!({ "status": "failed", "code": -32603 }));
}

#[tokio::test]
async fn a_task_of_one_copy_is_asked_for_through_the_other() {
    const TASKS: usize = 20;
    let (first, second) = (copy().await, copy().await);
    let proxy = Proxy::start(&[&first, &second]).await;
    // Each request goes to the next copy in turn.
    let client = Client::at(&proxy.url()).able(able()).token(TOKEN).alone();
    let mut ids = Vec::new();
    for n in 0..TASKS {
        ids.push(begun(&client, "slow_compute", json!({ "seconds": 0.5, "label": n.to_string() })).await);
    }
    for (n, id) in ids.iter().enumerate() {
        let done = until(&client, id, "completed").await;
        assert_eq!(done["result"]["content"][0]["text"], format!("Computed \"{n}\" for 0.5 s"));
    }
    for other in [&first, &second] {
        let direct = Client::modern(other).able(able()).token(TOKEN);
        for id in &ids {
            assert_eq!(get(&direct, id).await.result()["status"], "completed", "either copy knows of all");
        }
    }
    // Questions, answers and an end by whichever copy they come to.
    let id = begun(&client, "multi_input", json!({})).await;
    let answer = |key: &str, content: Value| json!({ "taskId": id, "inputResponses": { key: { "action": "accept", "content": content } } });
    until(&client, &id, "input_required").await;
    assert_eq!(client.rpc("tasks/update", answer("name", json!({ "name": "Ann" }))).await.result()["resultType"], "complete");
    assert_eq!(get(&client, &id).await.result()["inputRequests"].as_object().expect("questions").len(), 1);
    assert_eq!(client.rpc("tasks/update", answer("confirm", json!({ "confirm": true }))).await.result()["resultType"], "complete");
    until(&client, &id, "completed").await;
    for _ in 0..2 {
        let long = begun(&client, "slow_compute", json!({ "seconds": 300 })).await;
        // The next request goes to the other copy.
        assert_eq!(client.rpc("tasks/cancel", json!({ "taskId": long })).await.result()["resultType"], "complete");
        until(&client, &long, "cancelled").await;
    }
    let nobody = Client::modern(&first).able(able());
    let (_, refused) = nobody.request("tasks/get", json!({ "taskId": ids[0] }));
    assert_eq!(refused.send().await.expect("an answer").status(), 401);
}

#[tokio::test]
async fn a_task_of_a_copy_that_was_killed_is_said_to_be_out_of_reach() {
    let (mut first, second) = (copy().await, copy().await);
    let id = begun(&Client::modern(&first).able(able()).token(TOKEN), "slow_compute", json!({ "seconds": 300 })).await;
    let other = Client::modern(&second).able(able()).token(TOKEN);
    assert_eq!(get(&other, &id).await.result()["status"], "working");
    first.signal(Signal::KILL);
    first.wait_exit(secs(20)).await;
    let (_, request) = other.request("tasks/get", json!({ "taskId": id }));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let error: Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
    assert!(error["error"]["message"].as_str().expect("a message").contains("does not answer"), "{error}");
    // The next one at that address is another process, which knows nothing of it.
    second.wait_log("a word on it", |log| log.contains("the instance that runs a task does not answer")).await;
}

#[tokio::test]
async fn a_task_that_runs_holds_up_the_end_of_the_host() {
    let mut server = Setup::new().test_plugin("everything").start().await;
    let client = Client::modern(&server).able(able());
    begun(&client, "slow_compute", json!({ "seconds": 2 })).await;
    server.signal(Signal::TERM);
    assert!(server.wait_exit(secs(30)).await.success());
    let log = server.log();
    assert!(!log.contains("call cancelled") && !log.contains("were ended"), "{log}");
}

#[tokio::test]
async fn copies_that_cannot_find_each_other_have_no_tasks_and_say_so() {
    let server =
        Setup::new().test_plugin("everything").env("KEY", KEY).config("[state]\nkeys = [{ from_env = \"KEY\" }]\ncopies = 2").start().await;
    let client = Client::modern(&server).able(able());
    assert_eq!(client.call("slow_compute", json!({ "seconds": 0.1 })).await.ok(), "Computed \"\" for 0.1 s");
    server.wait_log("a warning", |log| log.contains("no call becomes a task") && log.contains("advertise")).await;
    let failed = client.call("failing_job", json!({})).await;
    assert!(failed.failure().contains("advertise"), "{failed:?}");
}
