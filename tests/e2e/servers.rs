//! Servers that exist already, behind the same endpoint: programs on stdio in replicas, and what happens when they die, hang, or do not start.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};
use toolbay_tests::{Client, Load, Reply, Server, Setup, Value, eventually, files, json, lab::Lab, secs};

/// `[server.worker]` with these further lines. Its stop is short, as the tests end many.
fn worker(more: &str) -> String {
    program("worker", more)
}

fn program(name: &str, more: &str) -> String {
    format!(
        "[server.{name}]\ncommand = [\"python3\", {:?}]\nstop_timeout = \"1s\"\n{more}\n",
        files::root().join("tests/servers/worker.py")
    )
}

/// The replicas in `/status`.
async fn replicas(server: &Server, name: &str) -> Vec<Value> {
    let status = server.plugin_status(name).await.unwrap_or_else(|| panic!("{name} is in /status"));
    status["replicas"]["up"].as_array().unwrap_or_else(|| panic!("a list in {status}")).clone()
}

fn pid_of(replica: &Value) -> i32 {
    let name = replica["name"].as_str().expect("a name");
    name.strip_prefix("pid ").and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{name} is a pid"))
}

async fn pids(server: &Server, name: &str) -> BTreeSet<i32> {
    replicas(server, name).await.iter().map(pid_of).collect()
}

/// Waits until so many replicas are up.
async fn wait_up(server: &Server, name: &str, count: usize) -> BTreeSet<i32> {
    eventually(&format!("{count} replicas of {name}"), secs(60), || async {
        Some(pids(server, name).await).filter(|pids| pids.len() == count)
    })
    .await
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("it runs");
}

/// Whether a process is there, dead ones that nobody reaped too.
fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn wait_gone(pids: &BTreeSet<i32>) {
    eventually("the processes are gone", secs(30), || async { pids.iter().all(|pid| !is_there(*pid)).then_some(()) }).await;
}

/// What went wrong with a call. None: nothing.
fn failure(reply: &Reply) -> Option<String> {
    let answer = reply.answer();
    answer.get("error").map(|error| error["message"].as_str().unwrap_or_default().to_owned())
}

/// Callers of `sleep`.
fn load(server: &Server, callers: usize, ms: u64) -> Load {
    Load::start(server, callers, move |client| async move { failure(&client.call("sleep", json!({ "ms": ms })).await) })
}

#[tokio::test]
async fn a_program_is_served_beside_plugins_under_the_names_of_the_configuration() {
    let names = "prefix = \"w_\"\nrename = { echo = \"repeat\" }\nexclude = [\"p*\"]\ntools.echo.description = \"Says it again.\"\n\
                 env = { GREETING = \"hello\", TOKEN = { from_env = \"E2E_TOKEN\" } }";
    let config = format!("{}\n[plugin.calculator]\nprefix = \"calc_\"\ninclude = [\"add\"]\n", worker(names));
    let setup = Setup::new().plugin("calculator").config(&config).env("E2E_TOKEN", "from-outside").env("E2E_NOT_HANDED_ON", "x");

    let check = setup.run(["check"]).await;
    check.expect_code(0);
    assert!(check.stdout.contains("ok      worker: repeat, w_sleep, w_meet, w_environment, w_grow"), "{}", check.stdout);
    assert!(check.stdout.contains("ok      calculator: calc_add\n"), "{}", check.stdout);
    assert!(check.stdout.ends_with("1 plugin, 1 server, 6 tools, 0 broken\n"), "{}", check.stdout);
    let call = setup.run(["call", "repeat", "{\"a\": 1}"]).await;
    assert_eq!(call.expect_code(0).stdout, "{\"a\": 1}\n");

    let server = setup.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["calc_add", "repeat", "w_environment", "w_grow", "w_meet", "w_sleep"]);
    let tools = client.tools().await;
    assert_eq!(tools[1]["description"], "Says it again.");
    assert_eq!(client.call("repeat", json!({ "a": [1, "ü"] })).await.ok(), "{\"a\": [1, \"\\u00fc\"]}");
    assert_eq!(client.call("worker__repeat", json!({})).await.ok(), "{}");
    assert_eq!(
        Client::legacy(&server).await.call("calc_add", json!({ "a": 1, "b": 2 })).await.result()["structuredContent"]["result"],
        3.0
    );
    let environment: Value = serde_json::from_str(&client.call("w_environment", json!({})).await.ok()).expect("JSON");
    assert_eq!((&environment["GREETING"], &environment["TOKEN"]), (&json!("hello"), &json!("from-outside")));
    assert!(environment.get("E2E_NOT_HANDED_ON").is_none() && environment.get("E2E_TOKEN").is_none(), "{environment}");
    assert!(!server.log().contains("from-outside"), "a secret is in the log");
    let banner = server.stdout();
    assert!(banner.contains("serves 6 tools of 1 plugin and 1 server at"), "{banner}");
    let status = server.plugin_status("worker").await.expect("its status");
    assert_eq!(
        (&status["kind"], &status["state"], &status["replicas"]["wanted"]),
        (&json!("bridge"), &json!("serving"), &json!(1)),
        "{status}"
    );
    assert_eq!(status["replicas"]["breaker"]["state"], "closed", "{status}");
    assert!(!status.to_string().contains("from-outside"), "a secret is in /status");
}

#[tokio::test]
async fn the_python_and_typescript_clients_call_a_program() {
    let lab = Lab::find();
    let server = Setup::new().config(&worker("replicas = 2")).start().await;
    let calls = json!([["echo", { "a": "b" }], ["pid", {}]]).to_string();
    for (script, mode) in [
        ("mcp_client.py", Some("auto")),
        ("mcp_client.py", Some("legacy")),
        ("sdk1_client.mjs", None),
        ("client2_client.mjs", Some("auto")),
    ] {
        let arguments: Vec<&str> = std::iter::once(server.url.as_str()).chain(mode).chain([calls.as_str()]).collect();
        let ran = lab.client(script, &arguments).await;
        assert!(ran.success, "{script}: {}", ran.all);
        let report: Value =
            serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {}", ran.all));
        assert_eq!(report["results"][0]["content"][0]["text"], "{\"a\": \"b\"}", "{script}: {report}");
    }
}

/// All behind one endpoint, two replicas of each that keeps nothing.
#[tokio::test]
async fn servers_that_people_use_are_called_by_the_clients_that_people_use() {
    let lab = Lab::find();
    let setup = Setup::new();
    let folder = setup.home().join("files").display().to_string();
    std::fs::create_dir(&folder).expect("the folder can be written");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").current_dir(&folder).args(arguments).output().expect("git is there");
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "-q"]);
    git(&["-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-q", "--allow-empty", "-m", "The first"]);
    let section =
        |name: &str, command: Vec<String>, more: &str| format!("[server.{name}]\ncommand = {command:?}\nstop_timeout = \"2s\"\n{more}\n");
    let config = [
        section("everything", lab.node_server("everything", &["stdio"]), "replicas = 2"),
        section("filesystem", lab.node_server("filesystem", &[&folder]), ""),
        section("memory", lab.node_server("memory", &[]), &format!("env = {{ MEMORY_FILE_PATH = \"{folder}/memory.json\" }}")),
        section("time", lab.python_server("mcp_server_time", &["--local-timezone", "UTC"]), "replicas = 2"),
        section("git", lab.python_server("mcp_server_git", &["--repository", &folder]), "exclude = [\"git_reset\"]"),
    ];
    let mut server = setup.config(&config.concat()).start().await;
    let names = eventually("all of them", secs(60), || async {
        let names = Client::modern(&server).tool_names().await;
        ["echo", "read_text_file", "read_graph", "convert_time", "git_log"]
            .iter()
            .all(|name| names.iter().any(|n| n == name))
            .then_some(names)
    })
    .await;
    assert!(!names.iter().any(|name| name == "git_reset"), "{names:?}");
    let file = format!("{folder}/note.txt");
    let calls = json!([
        ["echo", { "message": "hello" }],
        ["get-structured-content", { "location": "New York" }],
        ["write_file", { "path": file, "content": "kept" }],
        ["read_text_file", { "path": file }],
        ["create_entities", { "entities": [{ "name": "Ada", "entityType": "person", "observations": ["wrote programs"] }] }],
        ["read_graph", {}],
        ["convert_time", { "source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "UTC" }],
        ["git_log", { "repo_path": folder }]
    ])
    .to_string();
    for (script, mode) in [
        ("mcp_client.py", Some("auto")),
        ("mcp_client.py", Some("legacy")),
        ("sdk1_client.mjs", None),
        ("client2_client.mjs", Some("auto")),
    ] {
        let arguments: Vec<&str> = std::iter::once(server.url.as_str()).chain(mode).chain([calls.as_str()]).collect();
        let ran = lab.client(script, &arguments).await;
        assert!(ran.success, "{script}: {}", ran.all);
        let report: Value =
            serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {}", ran.all));
        let said: Vec<String> = report["results"].as_array().expect("results").iter().map(Value::to_string).collect();
        assert_eq!(report["results"][1]["structuredContent"]["humidity"], 82, "{script}: {report}");
        let wanted = ["Echo: hello", "humidity", "note.txt", "kept", "", "wrote programs", "T03:00:00+00:00", "The first"];
        for (said, wanted) in said.iter().zip(wanted) {
            assert!(said.contains(wanted) && !said.contains("\"isError\":true"), "{script}: {wanted} in {said}");
        }
        assert_eq!(said.len(), wanted.len());
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(secs(60)).await.code(), Some(0));
}

#[tokio::test]
async fn who_subscribes_to_a_resource_of_a_server_hears_of_its_updates_after_a_restart_and_a_changed_configuration_too() {
    let lab = Lab::find();
    let command = lab.node_server("everything", &["stdio"]);
    let config = format!("[server.everything]\ncommand = {command:?}\nstop_timeout = \"2s\"\n");
    let server = Setup::new().config(&config).start().await;
    let mut up = wait_up(&server, "everything", 1).await;
    let (modern, legacy) = (Client::modern(&server), Client::legacy(&server).await);
    let uri = |n: u8| format!("demo://resource/dynamic/text/{n}");
    let filter = json!({ "notifications": { "resourceSubscriptions": [uri(1)] } });
    let mut streams = [modern.stream("subscriptions/listen", filter).await, legacy.listen_legacy().await];
    assert_eq!(*legacy.rpc("resources/subscribe", json!({ "uri": uri(2) })).await.result(), json!({}));
    // It tells those, and only those, of updates that have subscribed: at once, and every five seconds.
    for round in 0..3 {
        modern.call("toggle-subscriber-updates", json!({})).await.ok();
        for (n, stream) in streams.iter_mut().enumerate() {
            let told = stream.wait_method("notifications/resources/updated").await;
            assert_eq!(told["params"]["uri"], uri(if n == 0 { 1 } else { 2 }), "{told}");
        }
        match round {
            0 => signal(*up.first().expect("one"), Signal::KILL),
            1 => files::put(format!("{config}env = {{ A = \"1\" }}\n").as_bytes(), &server.home().join("toolbay.toml")),
            _ => break,
        }
        up = eventually("another process", secs(60), || async {
            let now = pids(&server, "everything").await;
            (now.len() == 1 && now.is_disjoint(&up)).then_some(now)
        })
        .await;
        server.wait_plugin("everything", "serves", |status| status["state"] == "serving").await;
    }
    let [listening, _] = streams;
    drop(listening);
    assert_eq!(*legacy.rpc("resources/unsubscribe", json!({ "uri": uri(2) })).await.result(), json!({}));
    for n in [1, 2] {
        let gone = format!("Received Unsubscribe Resource request: {}", uri(n));
        server.wait_log("that it is not wanted any more", |line| line.contains(&gone)).await;
    }
}

#[tokio::test]
async fn a_desktop_clients_file_is_served() {
    let setup = Setup::new().env("E2E_VALUE", "expanded");
    let script = files::root().join("tests/servers/worker.py");
    let file = setup.home().join("mcp.json");
    let text = json!({ "mcpServers": {
        "My Worker": { "command": "python3", "args": [script], "env": { "A": "${E2E_VALUE}" }, "timeout": 30 },
        "off": { "command": "no-such-program", "disabled": true }
    }});
    std::fs::write(&file, text.to_string()).expect("the folder can be written");
    let file = file.to_str().expect("text").to_owned();
    let tools = setup.run(["tools", "--mcp-json", &file]).await;
    assert!(tools.expect_code(0).stdout.contains("echo         The tool echo.\n"), "{}", tools.stdout);
    let server = setup.arg("--mcp-json").arg(&file).start().await;
    let environment: Value =
        serde_json::from_str(&Client::modern(&server).call("my-worker__environment", json!({})).await.ok()).expect("JSON");
    assert_eq!(environment["A"], "expanded");
}

#[tokio::test]
async fn concurrent_calls_share_one_session() {
    let server = Setup::new().config(&worker("")).start().await;
    let calls = (0..40).map(|_| async { Client::modern(&server).call("meet", json!({ "count": 40 })).await.ok() });
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer, "met", "forty calls are in one process at the same time");
    }
    assert_eq!(pids(&server, "worker").await.len(), 1);
}

#[tokio::test]
async fn one_call_too_many_is_told_when_to_come_again() {
    let server = Setup::new().config(&worker("concurrency = 1\nqueue = 1")).start().await;
    let held: Vec<_> = (0..2)
        .map(|_| {
            let client = Client::modern(&server);
            tokio::spawn(async move { client.call("sleep", json!({ "ms": 2000 })).await })
        })
        .collect();
    server.wait_plugin("worker", "is full", |status| status["in_flight"] == 1 && status["queued"] == 1).await;
    let answer = toolbay_tests::client::http()
        .post(format!("{}/call", server.base))
        .json_body(&json!({ "tool_name": "echo", "tool_args": {} }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    let error = Client::modern(&server).call("echo", json!({})).await;
    let error = failure(&error).expect("an error");
    assert!(error.contains("`concurrency`, `queue` and `replicas` in [server.worker] set how many may"), "{error}");
    for call in held {
        call.await.expect("no panic").ok();
    }
}

/// `RequestBuilder::json` needs a feature of reqwest that nothing else does.
trait JsonBody {
    fn json_body(self, body: &Value) -> Self;
}

impl JsonBody for toolbay_tests::client::Request {
    fn json_body(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_killed_replica_only_the_calls_in_flight_fail() {
    let server = Setup::new().config(&worker("replicas = 3")).start().await;
    wait_up(&server, "worker", 3).await;
    let load = load(&server, 12, 20);
    let mut killed = BTreeSet::new();
    for _ in 0..4 {
        load.more(60).await;
        let victim = *wait_up(&server, "worker", 3).await.first().expect("three");
        signal(victim, Signal::KILL);
        killed.insert(victim);
    }
    load.more(60).await;
    let errors = load.end().await;
    for error in &errors {
        assert!(error.contains("ended while this call ran on it") && error.contains("killed by signal 9"), "{error}");
        assert!(killed.iter().any(|pid| error.contains(&format!("(pid {pid})"))), "{error} is of one of {killed:?}");
    }
    assert!(errors.len() <= killed.len() * 12, "{} errors", errors.len());
    let up = wait_up(&server, "worker", 3).await;
    assert!(up.is_disjoint(&killed));
    assert_eq!(server.plugin_status("worker").await.expect("status")["replicas"]["restarts"], 4);
    wait_gone(&killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_is_found_out_and_replaced() {
    let server = Setup::new().config(&worker("replicas = 2\ntimeout = \"2s\"\nping = \"1s\"")).start().await;
    let frozen = *wait_up(&server, "worker", 2).await.first().expect("two");
    let load = load(&server, 8, 20);
    load.more(50).await;
    signal(frozen, Signal::STOP);
    wait_gone(&BTreeSet::from([frozen])).await;
    wait_up(&server, "worker", 2).await;
    load.more(100).await;
    let errors = load.end().await;
    assert!(!errors.is_empty() && errors.len() <= 8, "those that were in flight: {errors:?}");
    for error in errors {
        let told = error.contains("did not answer within 2 s") || error.contains(&format!("(pid {frozen})"));
        assert!(told, "{error}");
    }
    // One that has nothing to do is found out as well, before a call comes to it.
    let frozen = *pids(&server, "worker").await.first().expect("two");
    signal(frozen, Signal::STOP);
    wait_gone(&BTreeSet::from([frozen])).await;
}

#[tokio::test]
async fn one_that_does_not_start_hides_nobody_and_is_back_by_itself() {
    let setup = Setup::new();
    let refuse = setup.home().join("refuse");
    std::fs::write(&refuse, "").expect("the folder can be written");
    let refusing = program("refusing", &format!("prefix = \"r_\"\nenv = {{ REFUSE = {refuse:?} }}"));
    let server = setup.config(&worker("")).config(&refusing).start().await;
    let client = Client::modern(&server);
    client.call("echo", json!({})).await.ok();
    let status = server.wait_plugin("refusing", "is broken", |status| status["state"] == "broken").await;
    let error = status["error"].as_str().expect("why");
    assert!(error.contains("exit status 3") && error.contains("the worker refuses to work"), "{error}");
    assert!(server.stdout().contains("refusing  BROKEN: "), "{}", server.stdout());
    // Whoever asks for it by name is told that it is not unknown, and why it is not there.
    for (path, body) in [("tools", None), ("call", Some(json!({ "tool_name": "echo", "tool_args": {} })))] {
        let url = format!("{}/refusing/{path}", server.base);
        let http = toolbay_tests::client::http();
        let request = body.map_or_else(|| http.get(&url), |body| http.post(&url).json_body(&body));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 503, "{url}");
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        let said: Value = answer.text().await.expect("a body").parse().expect("JSON");
        assert_eq!(said["detail"], "MCP refusing not running");
        let why = said["reason"].as_str().expect("why");
        assert!(why.contains("configured and not running") && why.contains("the worker refuses to work"), "{why}");
    }
    let absent = Client::at(&server.url_of("refusing")).rpc("tools/list", json!({})).await;
    assert_eq!((absent.status, absent.headers.contains_key("retry-after")), (503, true), "{absent:?}");
    assert!(absent.failure().contains("the worker refuses to work"), "{absent:?}");
    let unknown = toolbay_tests::client::http().get(format!("{}/nobody/tools", server.base)).send().await.expect("an answer");
    assert_eq!(unknown.status(), 404);
    // Often enough for the breaker.
    let status = server.wait_plugin("refusing", "has an open breaker", |status| status["replicas"]["breaker"]["state"] == "open").await;
    assert!(status["replicas"]["breaker"]["until"].as_u64().is_some(), "{status}");
    client.call("echo", json!({})).await.ok();
}

#[tokio::test]
async fn tools_stay_listed_while_their_server_is_down() {
    let setup = Setup::new();
    let refuse = setup.home().join("refuse");
    let server = setup.config(&worker(&format!("env = {{ REFUSE = {refuse:?} }}"))).start().await;
    let client = Client::modern(&server);
    let names = client.tool_names().await;
    let changes_before = server.log().matches("server is published").count();
    std::fs::write(&refuse, "").expect("the folder can be written");
    signal(*pids(&server, "worker").await.first().expect("one"), Signal::KILL);
    // The first call may reach the dead process before anybody knows, and those behind it wait for the start that fails.
    let error = eventually("an error", secs(30), || async {
        failure(&client.call("echo", json!({})).await).filter(|error| error.starts_with("server worker is not running: "))
    })
    .await;
    assert!(error.contains("exit status 3"), "{error}");
    assert!(error.contains("it is started again in") || error.contains("it is being started again"), "{error}");
    assert_eq!(client.tool_names().await, names);
    std::fs::remove_file(&refuse).expect("it is there");
    eventually("it works again", secs(60), || async { failure(&client.call("echo", json!({})).await).is_none().then_some(()) }).await;
    assert_eq!(server.log().matches("server is published").count(), changes_before, "the same tools are no change");
}

#[tokio::test]
async fn one_that_hangs_at_its_start_does_not_hold_up_the_others() {
    let setup = Setup::new();
    let wait = setup.home().join("go");
    let slow = program("slow", &format!("prefix = \"s_\"\nenv = {{ WAIT = {wait:?} }}"));
    let server = setup.config(&worker("")).config(&slow).start().await;
    let client = Client::modern(&server);
    client.call("echo", json!({})).await.ok();
    assert_eq!(server.plugin_status("slow").await.expect("status")["state"], "loading");
    std::fs::write(&wait, "").expect("the folder can be written");
    eventually("its tools", secs(60), || async { client.tool_names().await.contains(&"s_echo".to_owned()).then_some(()) }).await;
    client.call("s_echo", json!({})).await.ok();
}

#[tokio::test]
async fn a_change_of_the_tools_is_published() {
    let server = Setup::new().config(&worker("prefix = \"w_\"")).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("w_grow", json!({})).await.ok(), "grew");
    eventually("the new tool", secs(30), || async { client.tool_names().await.contains(&"w_grown".to_owned()).then_some(()) }).await;
    assert_eq!(client.call("w_grown", json!({})).await.ok(), "I am new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_makes_replicas_and_rest_ends_them_and_no_call_is_lost() {
    let scaling = "replicas = { min = 1, max = 3, target_ongoing_requests = 2, upscale_delay = \"300ms\", downscale_delay = \"600ms\" }\nconcurrency = 4";
    let server = Setup::new().config(&worker(scaling)).start().await;
    let first = wait_up(&server, "worker", 1).await;
    let load = load(&server, 10, 20);
    let most = wait_up(&server, "worker", 3).await;
    load.more(200).await;
    assert!(most.is_superset(&first));
    let errors = load.end().await;
    assert_eq!(errors, [] as [&str; 0]);
    let least = wait_up(&server, "worker", 1).await;
    wait_gone(&most.difference(&least).copied().collect()).await;
    let status = server.plugin_status("worker").await.expect("status");
    assert_eq!((&status["replicas"]["restarts"], &status["replicas"]["wanted"]), (&json!(0), &json!(1)), "{status}");
}

#[tokio::test]
async fn a_server_with_a_minimum_of_zero_runs_while_it_is_called() {
    let scaling = "replicas = { min = 0, max = 1, upscale_delay = \"100ms\", downscale_delay = \"300ms\" }";
    let server = Setup::new().config(&worker(scaling)).start().await;
    let client = Client::modern(&server);
    for _ in 0..3 {
        eventually("it is idle", secs(30), || async { replicas(&server, "worker").await.is_empty().then_some(()) }).await;
        assert!(client.tool_names().await.contains(&"echo".to_owned()), "its tools are listed while it sleeps");
        assert_eq!(server.plugin_status("worker").await.expect("status")["state"], "serving");
        client.call("echo", json!({})).await.ok();
    }
}

#[tokio::test]
async fn a_clean_end_leaves_no_process() {
    let mut server = Setup::new().config(&worker("replicas = 3")).start().await;
    let up = wait_up(&server, "worker", 3).await;
    server.signal(Signal::TERM);
    let status = server.wait_exit(secs(30)).await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(up.iter().all(|pid| !is_there(*pid)), "when it has ended, they have");
}

#[tokio::test]
async fn a_killed_host_leaves_no_process() {
    let mut server = Setup::new().config(&worker("replicas = 3")).start().await;
    let up = wait_up(&server, "worker", 3).await;
    server.signal(Signal::KILL);
    server.wait_exit(secs(30)).await;
    wait_gone(&up).await;
}

/// Descriptors and children of a process.
fn held(pid: u32) -> (usize, usize) {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let children = |task: PathBuf| std::fs::read_to_string(task.join("children")).unwrap_or_default().split_whitespace().count();
    (descriptors, tasks.flatten().map(|task| children(task.path())).sum())
}

/// Every start costs a process of its own: fifty here, and as many as `TOOLBAY_RESTARTS` says where somebody wants to see a thousand.
#[tokio::test]
async fn many_restarts_leave_nothing_behind() {
    let restarts: u64 = std::env::var("TOOLBAY_RESTARTS").ok().and_then(|count| count.parse().ok()).unwrap_or(50);
    let server = Setup::new().config(&worker("")).start().await;
    let client = Client::modern(&server);
    client.call("echo", json!({})).await.ok();
    let (descriptors, children) = held(server.pid);
    for round in 0..restarts {
        // The next call waits for the next process, so it is the round's end.
        let pid: i32 = client.call("pid", json!({})).await.ok().parse().expect("a number");
        signal(pid, Signal::KILL);
        eventually("another process", secs(30), || async {
            let reply = client.call("pid", json!({})).await;
            // The one call that reached the dead process before anybody knew.
            (failure(&reply).is_none() && reply.ok() != pid.to_string()).then_some(())
        })
        .await;
        assert_eq!(server.plugin_status("worker").await.expect("status")["replicas"]["restarts"], round + 1);
    }
    eventually("all is as before", secs(30), || async {
        let now = held(server.pid);
        (now.0 <= descriptors + 1 && now.1 == children).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_told_by_check() {
    let config = format!("{}{}", program("missing", "").replace("\"python3\"", "\"no-such-program\""), worker("include = [\"ecoh\"]"));
    let setup = Setup::new().config(&config);
    let check = setup.run(["check"]).await;
    check.expect_code(1);
    assert!(check.stdout.contains("BROKEN  missing (`no-such-program"), "{}", check.stdout);
    assert!(check.stdout.contains("warning: `include` in [server.worker] names \"ecoh\""), "{}", check.stdout);
    assert!(check.stdout.contains("did you mean \"echo\"?"), "{}", check.stdout);
    let clash = Setup::new().plugin("calculator").config(&program("calculator", "")).run(["check"]).await;
    clash.expect_code(1);
    assert!(clash.stdout.contains("there is also a [server.calculator]"), "{}", clash.stdout);
}

#[tokio::test]
async fn patience_is_bounded_by_the_start_deadline() {
    let setup = Setup::new();
    let wait = setup.home().join("never");
    let slow = worker(&format!("start_timeout = \"500ms\"\nenv = {{ WAIT = {wait:?} }}"));
    let server = setup.config(&slow).start().await;
    let status = server.wait_plugin("worker", "is broken", |status| status["state"] == "broken").await;
    let error = status["error"].as_str().expect("why");
    assert!(error.contains("`start_timeout`"), "{error}");
}
