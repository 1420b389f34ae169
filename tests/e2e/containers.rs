//! Images of `[server.NAME]`: called like everything else, whatever happens to a container, to its engine or to Toolbay itself; and nothing is left of them.

use std::collections::BTreeSet;

use rustix::process::Signal;
use toolbay_tests::{
    Client, Load, Reply, Server, Setup, Value,
    engine::{Engine, Service},
    eventually, files, json,
    lab::Lab,
    secs,
};

/// `[server.box]` of the image, run by this engine, with these further lines.
fn boxed(engine: &Engine, way: &str, more: &str) -> Setup {
    Setup::new().config(&format!(
        "[host]\ncontainer_engine = {way:?}\n[server.box]\nimage = {:?}\npull = \"never\"\nmemory = \"64MiB\"\nstop_timeout = \"1s\"\n{more}\n",
        engine.image
    ))
}

async fn run(client: &Client, command: &str) -> Reply {
    client.call("run", json!({ "command": command })).await
}

/// The names of the containers that are up.
async fn up(server: &Server) -> BTreeSet<String> {
    let status = server.plugin_status("box").await.expect("box is in /status");
    let replicas = status["replicas"]["up"].as_array().unwrap_or_else(|| panic!("a list in {status}")).clone();
    let name = |replica: &Value| {
        let name = replica["name"].as_str().expect("a replica has a name");
        name.strip_prefix("container ").unwrap_or_else(|| panic!("{name} is a container")).to_owned()
    };
    replicas.iter().map(name).collect()
}

async fn wait_up(server: &Server, count: usize) -> BTreeSet<String> {
    eventually(&format!("{count} containers are up"), secs(60), || async { Some(up(server).await).filter(|up| up.len() == count) }).await
}

/// Ends it as a service manager does, and looks whether it left anything.
async fn stop(engine: &Engine, mut server: Server) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(secs(60)).await.code(), Some(0), "{}", server.log());
    let left = engine.containers_of(server.pid).await;
    assert!(left.is_empty(), "left after a clean stop: {left:?}\n{}", server.log());
}

#[tokio::test]
async fn an_image_is_served_by_the_engines_program_and_by_its_api() {
    let Some(engine) = Engine::find() else { return };
    for (way, _service) in engine.ways().await {
        let more = "args = [\"--one\", \"a b\"]\nprefix = \"box_\"\nenv = { GREETING = \"hello\", TOKEN = { from_env = \"E2E_TOKEN\" } }";
        let setup = boxed(&engine, &way, more).env("E2E_TOKEN", "s3cr3t-from-outside").env("E2E_NOT_HANDED_ON", "x");
        let check = setup.run(["check"]).await;
        assert!(check.expect_code(0).stdout.contains("ok      box: box_run\n"), "{way}: {}", check.stdout);
        let call = setup.run(["call", "box_run", "{\"command\": \"echo by hand\"}"]).await;
        assert_eq!(call.expect_code(0).stdout, "by hand\n", "{way}");

        let server = setup.start().await;
        for client in [Client::modern(&server), Client::legacy(&server).await] {
            assert_eq!(client.tool_names().await, ["box_run"], "{way}");
            let say = async |command: &str| client.call("box_run", json!({ "command": command })).await.ok();
            assert_eq!(say("echo \"hello\" ü").await, "\"hello\" ü", "{way}");
            assert_eq!(say("args").await, "--one a b", "{way}");
            assert_eq!(say("env GREETING").await, "hello", "{way}");
            assert_eq!(say("env TOKEN").await, "s3cr3t-from-outside", "{way}");
            assert_eq!(say("env E2E_NOT_HANDED_ON").await, "(not set)", "{way}");
            assert_eq!(say("say a word to the log").await, "said", "{way}");
        }
        let line = server.wait_log("what it wrote to stderr", |line| line.contains("a word to the log")).await;
        assert!(line.contains("box"), "{line}");
        let status = server.plugin_status("box").await.expect("its status");
        assert_eq!((&status["kind"], &status["state"]), (&json!("bridge"), &json!("serving")), "{way}: {status}");
        assert_eq!(status["source"], format!("image {}", engine.image), "{way}");
        for (place, text) in [("/status", status.to_string()), ("the log", server.log()), ("ps", engine.run(&["ps", "--all"]).await)] {
            assert!(!text.contains("s3cr3t-from-outside"), "{way}: a secret is in {place}");
        }
        assert_eq!(engine.containers_of(server.pid).await.len(), 1, "{way}");
        stop(&engine, server).await;
    }
}

#[tokio::test]
async fn an_image_of_a_server_that_people_use_is_called_by_the_clients_that_people_use() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::find();
    let calls = json!([["echo", { "message": "hello" }], ["get-structured-content", { "location": "New York" }]]).to_string();
    let clients = [
        ("mcp_client.py", Some("auto")),
        ("mcp_client.py", Some("legacy")),
        ("sdk1_client.mjs", None),
        ("client2_client.mjs", Some("auto")),
    ];
    for ((way, _service), clients) in engine.ways().await.into_iter().zip(clients.chunks(2)) {
        let config = format!(
            "[host]\ncontainer_engine = {way:?}\n[server.everything]\nimage = {:?}\npull = \"never\"\nreplicas = 2\nstop_timeout = \"2s\"\n",
            engine.everything()
        );
        let server = Setup::new().config(&config).start().await;
        server.wait_plugin("everything", "is up", |status| status["state"] == "serving").await;
        for (script, mode) in clients {
            let arguments: Vec<&str> = std::iter::once(server.url.as_str()).chain(*mode).chain([calls.as_str()]).collect();
            let ran = lab.client(script, &arguments).await;
            assert!(ran.success, "{way} {script}: {}", ran.all);
            let report: Value =
                serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {}", ran.all));
            assert_eq!(report["results"][0]["content"][0]["text"], "Echo: hello", "{way} {script}: {report}");
            assert_eq!(report["results"][1]["structuredContent"]["humidity"], 82, "{way} {script}: {report}");
        }
        let prompts = Client::modern(&server).rpc("prompts/list", json!({})).await.result()["prompts"].clone();
        assert!(prompts.as_array().is_some_and(|prompts| !prompts.is_empty()), "{way}: {prompts}");
        stop(&engine, server).await;
    }
}

/// Callers of a command that takes a moment.
fn load(server: &Server, callers: usize) -> Load {
    Load::start(server, callers, |client| async move {
        let reply = run(&client, "sleep 20").await;
        let error = reply.answer().get("error").map(|error| error["message"].as_str().unwrap_or_default().to_owned());
        if error.is_none() {
            assert_eq!(reply.ok(), "slept");
        }
        error
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_container_that_is_killed_only_the_calls_in_flight_fail() {
    let Some(engine) = Engine::find() else { return };
    for (way, _service) in engine.ways().await {
        let server = boxed(&engine, &way, "replicas = 3").start().await;
        let before = wait_up(&server, 3).await;
        let load = load(&server, 9);
        load.more(60).await;
        let victim = before.first().expect("three").clone();
        engine.run(&["kill", &victim]).await;
        let after = eventually("another is up in its place", secs(60), || async {
            Some(up(&server).await).filter(|up| up.len() == 3 && !up.contains(&victim))
        })
        .await;
        load.more(60).await;
        let errors = load.end().await;
        assert!(errors.len() <= 9, "{way}: one for each caller at most: {errors:?}");
        for error in &errors {
            assert!(error.contains("ended while this call ran on it") && error.contains(&victim), "{way}: {error}");
            assert!(error.contains("killed by signal 9"), "{way}: {error}");
        }
        assert!(before.iter().filter(|name| **name != victim).all(|name| after.contains(name)), "{way}: the others stay");
        assert_eq!(server.plugin_status("box").await.expect("status")["replicas"]["restarts"], 1, "{way}");
        stop(&engine, server).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_the_tools_error_and_too_much_memory_the_containers_end() {
    let Some(engine) = Engine::find() else { return };
    for (way, _service) in engine.ways().await {
        let server = boxed(&engine, &way, "tmpfs = \"1MiB\"\npids = 16").start().await;
        let client = Client::modern(&server);
        let first = wait_up(&server, 1).await;
        let full = run(&client, "fill /tmp/large 2").await;
        assert!(full.is_error() && full.text().contains("No space left on device"), "{way}: {full:?}");
        let refused = run(&client, "write /file").await;
        assert!(refused.is_error() && refused.text().contains("Read-only file system"), "{way}: {refused:?}");
        assert_eq!(run(&client, "echo still there").await.ok(), "still there", "{way}");
        assert_eq!(up(&server).await, first, "{way}: it is the same container");

        let ended = run(&client, "eat 200").await.failure();
        assert!(ended.contains("ended while this call ran on it") && ended.contains("its memory limit (64 MiB)"), "{way}: {ended}");
        // It waits for the next container.
        assert_eq!(run(&client, "echo again").await.ok(), "again", "{way}");
        assert!(up(&server).await.is_disjoint(&first), "{way}: it is another container");
        stop(&engine, server).await;
    }
}

#[tokio::test]
async fn what_a_killed_toolbay_left_is_removed_by_the_next() {
    let Some(engine) = Engine::find() else { return };
    for (way, _service) in engine.ways().await {
        let mut killed = boxed(&engine, &way, "replicas = 2").start().await;
        wait_up(&killed, 2).await;
        // It does not read that its input is closed, and stays.
        let client = Client::modern(&killed);
        let busy = tokio::spawn(async move {
            client.try_rpc("tools/call", json!({ "name": "run", "arguments": { "command": "sleep 600000" } })).await
        });
        killed.wait_plugin("box", "is at work", |status| status["in_flight"] == 1).await;
        assert_eq!(engine.containers_of(killed.pid).await.len(), 2, "{way}");
        killed.signal(Signal::KILL);
        killed.wait_exit(secs(10)).await;
        assert!(busy.await.expect("no panic").is_err(), "{way}: nobody answered");

        let server = boxed(&engine, &way, "").start().await;
        assert_eq!(run(&Client::modern(&server), "echo up").await.ok(), "up", "{way}");
        engine.wait_none_of(killed.pid).await;
        stop(&engine, server).await;
    }
}

#[tokio::test]
async fn an_image_that_is_missing_is_told_in_the_engines_words_and_hides_nothing() {
    let Some(engine) = Engine::find() else { return };
    for (way, _service) in engine.ways().await {
        let more = "[server.never]\nimage = \"localhost/toolbay-none:1\"\npull = \"never\"\n\
                    [server.missing]\nimage = \"localhost:9/toolbay-none:1\"\nstart_timeout = \"10s\"";
        let setup = boxed(&engine, &way, more);
        let check = setup.run(["check"]).await;
        check.expect_code(1);
        assert!(check.stdout.contains("ok      box: run\n"), "{way}: {}", check.all());
        // The engine asks a registry at a port where nobody listens.
        let words = [("never", "pull = \"never\""), ("missing", "refused")];
        let server = setup.start().await;
        assert_eq!(run(&Client::modern(&server), "echo here").await.ok(), "here", "{way}");
        for (name, words) in words {
            let line = check.stdout.lines().chain(check.stderr.lines()).find(|line| line.contains(name) && line.contains(words));
            assert!(line.is_some_and(|line| line.contains("/toolbay-none:1")), "{way} {name}: {}", check.all());
            let broken = server.wait_plugin(name, "is broken", |status| status["state"] == "broken").await;
            let error = broken["error"].as_str().unwrap_or_default();
            assert!(error.contains("/toolbay-none:1") && error.contains(words), "{way}: {error}");
        }
        stop(&engine, server).await;
    }
}

#[tokio::test]
async fn without_an_engine_the_other_servers_serve() {
    let config = format!(
        "[host]\ncontainer_engine = \"unix:///nowhere/engine.sock\"\n[server.box]\nimage = \"localhost/any:1\"\n\
         [server.worker]\ncommand = [\"python3\", {:?}]\nstop_timeout = \"1s\"\n",
        files::root().join("tests/servers/worker.py")
    );
    let setup = Setup::new().plugin("calculator").config(&config);
    let check = setup.run(["check"]).await;
    check.expect_code(1);
    let server = setup.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.call("add", json!({ "a": 20, "b": 22 })).await.result()["structuredContent"]["result"].as_f64(), Some(42.0));
    assert_eq!(client.call("echo", json!({ "a": 1 })).await.ok(), "{\"a\": 1}");
    let broken = server.wait_plugin("box", "is broken", |status| status["state"] == "broken").await;
    for said in [check.all(), broken["error"].as_str().unwrap_or_default().to_owned()] {
        for words in ["no container engine answers: unix:///nowhere/engine.sock", "[host] container_engine"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[tokio::test]
async fn an_engine_that_is_started_again_is_used_again() {
    let Some(engine) = Engine::find() else { return };
    if !engine.has_service() {
        eprintln!("SKIPPED: {} is not the tests' own, and is not restarted by them", engine.program);
        return;
    }
    let mut service = Service::start(&engine).await;
    let server = boxed(&engine, &service.address(), "replicas = 2").start().await;
    let client = Client::modern(&server);
    wait_up(&server, 2).await;
    let busy = {
        let client = Client::modern(&server);
        tokio::spawn(async move { run(&client, "sleep 600000").await })
    };
    server.wait_plugin("box", "is at work", |status| status["in_flight"] == 1).await;
    service.kill();
    let error = tokio::time::timeout(secs(30), busy).await.expect("it fails before its deadline").expect("no panic").failure();
    for words in ["ended while this call ran on it", "its engine does not answer: podman", &service.address()] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert_eq!(client.tool_names().await, ["run"], "its tools stay listed");
    let down = server
        .wait_plugin("box", "says what is wrong", |status| status["error"].as_str().is_some_and(|text| text.contains("engine.sock")))
        .await;
    assert_eq!(down["replicas"]["up"], json!([]), "{down}");

    service.start_again().await;
    eventually("calls are answered again", secs(120), || async {
        let reply = run(&client, "echo back").await;
        (reply.answer().get("result").is_some() && reply.text() == "back").then_some(())
    })
    .await;
    wait_up(&server, 2).await;
    stop(&engine, server).await;
}

#[tokio::test]
async fn scratch_folders_can_be_written_within_their_size_and_nothing_else_can() {
    let Some(engine) = Engine::find() else { return };
    for (way, _service) in engine.ways().await {
        let more = "tmpfs = \"1MiB\"\nscratch = [\"/root\", \"/var/cache/deep/er\"]";
        let server = boxed(&engine, &way, more).start().await;
        let client = Client::modern(&server);
        for folder in ["/root", "/var/cache/deep/er", "/tmp"] {
            assert_eq!(run(&client, &format!("write {folder}/file")).await.ok(), "written", "{way}");
            assert_eq!(run(&client, &format!("read {folder}/file")).await.ok(), "written", "{way}");
            let full = run(&client, &format!("fill {folder}/big 4")).await.failure();
            assert!(full.contains("No space left"), "{way}: {folder}: {full}");
        }
        for path in ["/file", "/var/cache/file", "/etc/file"] {
            let refused = run(&client, &format!("write {path}")).await.failure();
            assert!(refused.contains("Read-only file system") || refused.contains("No such file"), "{way}: {path}: {refused}");
        }
        stop(&engine, server).await;
    }
}

/// Another image of the same server, under this name.
async fn build(engine: &Engine, name: &str, mark: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("Containerfile"), format!("FROM {}\nLABEL mark={mark}\n", engine.image)).expect("it can be written");
    let file = folder.path().join("Containerfile").display().to_string();
    engine.run(&["build", "--quiet", "--network=none", "--tag", name, "--file", &file, &folder.path().display().to_string()]).await;
}

#[tokio::test]
async fn an_image_is_pinned_by_what_its_name_stands_for() {
    let Some(engine) = Engine::find() else { return };
    for (number, (way, _service)) in engine.ways().await.into_iter().enumerate() {
        let name = format!("localhost/toolbay-pinned-{number}-{}:1", std::process::id());
        build(&engine, &name, "first").await;
        let config = format!(
            "[host]\ncontainer_engine = {way:?}\n[server.box]\nimage = {name:?}\npull = \"never\"\nmemory = \"64MiB\"\nstop_timeout = \"1s\"\n"
        );
        let setup = Setup::new().config(&config);
        let locked = setup.run(["lock"]).await;
        assert!(locked.expect_code(0).stdout.contains("of 1 server, 1 image\n"), "{way}: {}", locked.all());
        let text = std::fs::read_to_string(setup.home().join("toolbay.lock")).unwrap();
        assert!(text.contains(&format!("image = \"{name}@sha256:")), "{way}: {text}");
        let check = setup.run(["check"]).await;
        assert!(!check.expect_code(0).all().contains("pinned"), "{way}: {}", check.all());
        let server = setup.start().await;
        let status = server.plugin_status("box").await.expect("its status");
        assert!(status["image"]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{way}: {status}");
        let before = wait_up(&server, 1).await;

        // The name stands for another image now. What runs goes on; nothing of the new one is started.
        build(&engine, &name, "second").await;
        engine.run(&["kill", before.first().expect("one")]).await;
        let status =
            server.wait_plugin("box", "is held back", |status| status["error"].to_string().contains("another one than was accepted")).await;
        assert!(status["error"].as_str().unwrap_or_default().contains("`toolbay lock --accept box`"), "{way}: {status}");
        let run = async |args: &[&str]| server.setup().run(args).await;
        let check = run(&["check"]).await;
        assert!(check.expect_code(1).stdout.contains("another one than was accepted"), "{way}: {}", check.all());
        let diff = run(&["lock", "--diff"]).await;
        let lines = format!("changed image of box\n          - {name}@sha256:");
        assert!(
            diff.expect_code(1).stdout.starts_with(&lines) && diff.stdout.contains(&format!("\n          + {name}@sha256:")),
            "{}",
            diff.all()
        );
        run(&["lock", "--accept", "box"]).await.expect_code(0);
        wait_up(&server, 1).await;
        assert_eq!(run(&["lock", "--diff"]).await.expect_code(0).stdout.lines().count(), 1);

        // Another name is another image, until it is accepted too. Flagged only, it is started and told.
        let other = name.replace(":1", ":2");
        engine.run(&["tag", &name, &other]).await;
        let config = std::fs::read_to_string(server.home().join("toolbay.toml")).unwrap();
        std::fs::write(server.home().join("toolbay.toml"), config.replace(&name, &other)).unwrap();
        let says = format!("image {other} was not accepted");
        server.wait_plugin("box", "is held back", |status| status["error"].to_string().contains(&says)).await;
        let flagged = format!("{}\n[trust]\nchanged = \"flag\"\n", config.replace(&name, &other));
        std::fs::write(server.home().join("toolbay.toml"), flagged).unwrap();
        server.wait_log("it is told", |line| line.contains("was not accepted") && line.contains("started all the same")).await;
        server.wait_plugin("box", "serves", |status| status["image"]["name"] == other.as_str()).await;
        let one = || async { (engine.containers_of(server.pid).await.len() == 1).then_some(()) };
        eventually("the one before is gone", secs(60), one).await;
        stop(&engine, server).await;
        engine.run(&["rmi", &name, &other]).await;
    }
}
