//! Hot reload: files come, change and go while calls run, and no call is lost.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use toolbay_tests::{
    Client, Server, Setup, eventually, files, json, millis, secs,
    wat::{self, binary},
};

/// The number that the tool `version` says.
async fn version(client: &Client) -> Option<u64> {
    let reply = client.call("version", json!({})).await;
    reply.answer().get("result").and_then(|result| result["structuredContent"]["result"].as_u64())
}

fn put(server: &Server, name: &str, text: &str) {
    files::put(&binary(text), &server.plugin_file(name));
}

async fn until_version(server: &Server, wanted: u64) {
    let client = Client::modern(server);
    eventually(&format!("version {wanted} answers"), secs(30), || async { (version(&client).await == Some(wanted)).then_some(()) }).await;
}

/// Calls without a pause until told to stop: how many were answered, and the first that was not.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Option<String>>>,
}

impl Load {
    fn start(server: &Server, callers: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..callers)
            .map(|_| {
                let (client, stop, done) = (Client::modern(server), Arc::clone(&stop), Arc::clone(&done));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        match client.try_rpc("tools/call", json!({ "name": "version", "arguments": {} })).await {
                            Ok(reply) if reply.status == 200 && reply.result()["isError"] != true => done.fetch_add(1, Ordering::Relaxed),
                            Ok(reply) => return Some(format!("{reply:?}")),
                            Err(error) => return Some(error.to_string()),
                        };
                    }
                    None
                })
            })
            .collect();
        Self { stop, done, tasks }
    }

    async fn assert_none_failed(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let failure = task.await.expect("no caller panics");
            assert!(failure.is_none(), "a call failed: {}", failure.unwrap_or_default());
        }
        self.done.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_constant_load_ten_new_versions_cost_not_one_call() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(0))).start().await;
    let load = Load::start(&server, 4);
    for number in 1..=10 {
        put(&server, "v", &wat::version(number));
        until_version(&server, number.into()).await;
    }
    let done = load.assert_none_failed().await;
    assert!(done > 100, "there was load: {done} calls");
}

#[tokio::test]
async fn a_new_file_is_listed_and_a_deleted_one_is_gone() {
    let server = Setup::new().plugin("calculator").start().await;
    let client = Client::modern(&server);
    assert!(!client.tool_names().await.contains(&"version".to_owned()));
    let start = Instant::now();
    put(&server, "v", &wat::version(1));
    until_version(&server, 1).await;
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    assert!(client.tool_names().await.contains(&"version".to_owned()));
    std::fs::remove_file(server.plugin_file("v")).expect("it is there");
    eventually("its tools are gone", secs(5), || async { (!client.tool_names().await.contains(&"version".to_owned())).then_some(()) })
        .await;
    assert_eq!(client.call("version", json!({})).await.code(), -32602);
    assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })).await.result()["structuredContent"]["result"], 3.0);
}

#[tokio::test]
async fn a_version_that_is_copied_over_in_place_is_taken() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(1))).start().await;
    std::fs::write(server.plugin_file("v"), binary(&wat::version(2))).expect("it can be written");
    until_version(&server, 2).await;
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_old_one_serving_and_says_why() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(1))).start().await;
    files::put(b"this is not a component", &server.plugin_file("v"));
    // While the new one is looked at, the state is the same, and there is no reason yet.
    let told =
        |status: &serde_json::Value| status["state"] == "serving-previous" && status["error"].as_str().is_some_and(|why| !why.is_empty());
    server.wait_plugin("v", "serves the old version and says why", told).await;
    assert_eq!(version(&Client::modern(&server)).await, Some(1));
    server.wait_log("the reason", |line| line.contains("WARN") || line.contains("ERROR")).await;
    put(&server, "v", &wat::version(2));
    until_version(&server, 2).await;
    let status = server.wait_plugin("v", "serves", |status| status["state"] == "serving").await;
    assert!(status["error"].is_null(), "{status}");
}

#[tokio::test]
async fn a_file_that_is_copied_slowly_is_waited_for() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(1))).start().await;
    let bytes = binary(&wat::version(2));
    let mut file = std::fs::File::create(server.plugin_file("v")).expect("it can be written");
    for part in bytes.chunks(bytes.len() / 8 + 1) {
        std::io::Write::write_all(&mut file, part).expect("it can be written");
        assert_eq!(version(&Client::modern(&server)).await, Some(1), "the old one serves meanwhile");
        tokio::time::sleep(millis(150)).await;
    }
    drop(file);
    until_version(&server, 2).await;
    assert!(!server.log().contains("ERROR"), "no half file was taken for a broken one:\n{}", server.log());
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_version_it_began_with() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(1))).start().await;
    let client = Client::modern(&server);
    let call = tokio::spawn(async move { client.call("slow_version", json!({ "turns": 4_000_000_000_u64 })).await });
    server.wait_plugin("v", "has the call", |status| status["in_flight"] == 1).await;
    put(&server, "v", &wat::version(2));
    until_version(&server, 2).await;
    assert!(!call.is_finished(), "the call was still running when the new version answered");
    let reply = call.await.expect("no panic");
    assert_eq!(reply.result()["structuredContent"]["result"], 1, "{reply:?}");
}

#[tokio::test]
async fn listening_clients_of_both_eras_hear_that_the_list_has_changed() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(1))).start().await;
    let legacy = Client::legacy(&server).await;
    assert_eq!(legacy.greeting["capabilities"]["tools"]["listChanged"], true, "{}", legacy.greeting);
    let modern = Client::modern(&server);
    let mut streams = (modern.listen_modern().await, legacy.listen_legacy().await);
    put(&server, "v", &wat::version_and(2, Some("one-more")));
    let message = streams.0.wait_method("notifications/tools/list_changed").await;
    assert!(!message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].is_null(), "{message}");
    streams.1.wait_method("notifications/tools/list_changed").await;
    for client in [&modern, &legacy] {
        assert!(client.tool_names().await.contains(&"one_more".to_owned()), "who is told can list it");
    }
}

#[tokio::test]
async fn a_link_that_leads_out_of_the_folder_is_refused() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    let target = outside.path().join("v.wasm");
    std::fs::write(&target, binary(&wat::version(1))).expect("it can be written");
    let link = |server: &Server| std::os::unix::fs::symlink(&target, server.plugin_file("v")).expect("a link");
    let server = Setup::new().plugin("calculator").start().await;
    link(&server);
    let status = server.wait_plugin("v", "is broken", |status| status["state"] == "broken").await;
    assert!(status["error"].as_str().expect("it says why").contains("link"), "{status}");
    assert!(!Client::modern(&server).tool_names().await.contains(&"version".to_owned()));
}

#[tokio::test]
async fn a_link_within_the_folder_is_followed() {
    let server = Setup::new().plugin("calculator").start().await;
    put(&server, "v1", &wat::version(1));
    until_version(&server, 1).await;
    std::os::unix::fs::symlink(Path::new("v1.wasm"), server.plugin_file("v")).expect("a link");
    let status = server.wait_plugin("v", "serves", |status| status["state"] == "serving").await;
    assert!(status["error"].is_null(), "{status}");
}

#[tokio::test]
async fn a_sidecar_that_changes_is_taken_without_a_restart() {
    let server = Setup::new().bytes("v.wasm", &binary(&wat::version(1))).start().await;
    std::fs::write(server.plugins().join("v.toml"), "[tools.version]\ndescription = \"Says a number.\"\n").expect("it can be written");
    let client = Client::modern(&server);
    eventually("the description is published", secs(10), || async {
        client.tools().await.iter().any(|tool| tool["description"] == "Says a number.").then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_plugins_with_the_same_tools_are_published_under_qualified_names() {
    let server = Setup::new().bytes("one.wasm", &binary(&wat::version(1))).bytes("two.wasm", &binary(&wat::version(2))).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["one__slow_version", "one__version", "two__slow_version", "two__version"]);
    assert_eq!(client.call("two__version", json!({})).await.result()["structuredContent"]["result"], 2);
    let check = server.setup().run(["check", "plugins"]).await;
    assert!(check.all().contains("one__version") && check.all().contains("two__version"), "{}", check.all());
    std::fs::remove_file(server.plugin_file("one")).expect("it is there");
    until_version(&server, 2).await;
    assert_eq!(client.call("two__version", json!({})).await.result()["structuredContent"]["result"], 2, "the qualified name always works");
}
