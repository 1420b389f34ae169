//! Plugins that misbehave are each ended by a limit that has a name, while their neighbours' calls go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use toolbay_tests::{
    Client, Server, Setup, Value, files, json, secs,
    wat::{self, Hostile, binary},
};

/// Resident memory that a server with a misbehaving plugin may have: no guest makes the host take hundreds of megabytes.
const RESIDENT: u64 = 600 << 20;

/// Calls the calculator without a pause, and counts.
struct Neighbour {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Neighbour {
    fn start(server: &Server) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = Client::modern(server);
        let task = tokio::spawn({
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.call("add", json!({ "a": 1, "b": 2 })).await;
                    assert_eq!(reply.result()["structuredContent"]["result"].as_f64(), Some(3.0), "{reply:?}");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, calls, task }
    }

    async fn assert_went_on(self) {
        // What fails at once leaves the neighbour no time for many calls, so it has some more.
        let more = async {
            while self.calls.load(Ordering::Relaxed) < 10 && !self.task.is_finished() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let went_on = tokio::time::timeout(secs(20), more).await;
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("each of the neighbour's calls was answered");
        assert!(went_on.is_ok(), "the neighbour had only {} calls", self.calls.load(Ordering::Relaxed));
    }
}

/// Calls a misbehaving tool three times with a neighbour beside it; each must fail and name the limit.
async fn assert_calls_end(server: &Server, tool: &str, arguments: Value, limit: &str) {
    let neighbour = Neighbour::start(server);
    let client = Client::modern(server);
    for _ in 0..3 {
        let start = Instant::now();
        let reply = client.call(tool, arguments.clone()).await;
        let failure = reply.failure();
        assert!(failure.contains(limit), "the limit `{limit}` is named: {failure}");
        assert!(start.elapsed() < secs(8), "{:?}", start.elapsed());
    }
    neighbour.assert_went_on().await;
    let resident = server.resident();
    assert!(resident < RESIDENT, "the host holds {} MiB", resident >> 20);
}

/// A server with the calculator and all of `tests/plugins/hostile`, compiled by one of the compilers.
async fn among_enemies(all: &[Hostile], compiler: &str) -> Server {
    let setup = all.iter().fold(Setup::new().plugin("calculator"), |setup, bad| setup.bytes(&format!("{}.wasm", bad.name), &bad.bytes));
    setup.config(&format!("[plugin.default]\ntimeout = \"1s\"\n[host]\ncompiler = \"{compiler}\"")).start().await
}

/// What is wrong with the way that one of them ended; none where it ended as its file says.
async fn verdict(server: &Server, bad: &Hostile) -> Option<String> {
    let status = server.plugin_status(&bad.name).await.unwrap_or_else(|| panic!("{} is listed", bad.name));
    let start = Instant::now();
    let (stage, said) = match status["error"].as_str() {
        Some(error) => ("load", error.to_owned()),
        None => {
            let reply = Client::modern(server).call(&format!("{}__run", bad.name), bad.arguments.clone()).await;
            match reply.messages.first().map(|answer| answer["error"].is_object() || answer["result"]["isError"] == true) {
                Some(true) => ("call", reply.failure()),
                _ => return Some(format!("{} did not fail: {} {}", bad.name, reply.status, &reply.body[..reply.body.len().min(300)])),
            }
        }
    };
    let expected =
        (bad.stage == "any" || bad.stage == stage) && bad.words.split_whitespace().all(|word| said.to_lowercase().contains(word));
    if !expected {
        return Some(format!("{} should fail at `{}` with `{}`, and failed at `{stage}` with: {said}", bad.name, bad.stage, bad.words));
    }
    (start.elapsed() > secs(5)).then(|| format!("{} took {:?}", bad.name, start.elapsed()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_component_is_ended_by_what_its_file_names() {
    all_end_as_their_files_say("cranelift").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_component_is_ended_by_what_its_file_names_on_early_code_too() {
    all_end_as_their_files_say("winch").await;
}

async fn all_end_as_their_files_say(compiler: &str) {
    let all = wat::hostile();
    assert!(all.len() > 20, "{} files", all.len());
    let mut server = among_enemies(&all, compiler).await;
    let mut wrong = Vec::new();
    for bad in &all {
        let neighbour = Neighbour::start(&server);
        // Twice: the first must leave nothing behind that the second trips over.
        for _ in 0..2 {
            wrong.extend(verdict(&server, bad).await);
        }
        neighbour.assert_went_on().await;
        let resident = server.resident();
        if resident > RESIDENT {
            wrong.push(format!("after {} the host holds {} MiB", bad.name, resident >> 20));
        }
        assert!(server.runs(), "{} ended the server", bad.name);
    }
    assert!(wrong.is_empty(), "{} things wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_them_at_once_do_not_stop_a_neighbour() {
    for compiler in ["cranelift", "winch"] {
        none_stops_a_neighbour(compiler).await;
    }
}

async fn none_stops_a_neighbour(compiler: &str) {
    let all = wat::hostile();
    let server = among_enemies(&all, compiler).await;
    let neighbour = Neighbour::start(&server);
    let calls = all.iter().filter(|bad| bad.stage != "load").flat_map(|bad| [bad, bad, bad]).map(|bad| {
        let client = Client::modern(&server);
        async move { client.call(&format!("{}__run", bad.name), bad.arguments.clone()).await.status }
    });
    let statuses = futures::future::join_all(calls).await;
    assert!(statuses.iter().all(|status| *status < 500 || *status == 503), "{statuses:?}");
    neighbour.assert_went_on().await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_flood_is_cut_to_the_rate_that_is_allowed() {
    let server = Setup::new().test_plugin("probe").config("[plugin.probe]\nlog_rate = 50").start().await;
    let client = Client::modern(&server);
    for tool in ["log_flood", "stderr", "stdout"] {
        let arguments = if tool == "log_flood" { json!({ "count": 100_000 }) } else { json!({ "bytes": 8_000_000 }) };
        client.call(tool, arguments).await;
    }
    let lines = server.log().lines().count();
    assert!(lines > 40, "some lines are kept: {lines}");
    assert!(lines < 3000, "{lines} lines of log");
    assert!(server.resident() < RESIDENT, "the host holds {} MiB", server.resident() >> 20);
    assert!(server.log().contains("log_rate"), "what was dropped is said, and by which limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_the_same_megabyte_many_times_ends_by_the_output_limit() {
    let bad = binary(&wat::same_text_many_times(1_000_000));
    let server = Setup::new().plugin("calculator").bytes("bad.wasm", &bad).config("[plugin.bad]\ntimeout = \"5s\"").start().await;
    assert_calls_end(&server, "answer", json!({}), "output").await;
}

#[tokio::test]
async fn a_trap_is_an_error_of_that_call_that_names_the_plugin() {
    let server = Setup::new().plugin("calculator").bytes("bad.wasm", &binary(&wat::trap())).start().await;
    let client = Client::modern(&server);
    let failure = client.call("trap", json!({})).await.failure();
    assert!(failure.contains("bad") && failure.contains("unreachable"), "{failure}");
    assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })).await.result()["structuredContent"]["result"], 3.0);
}

#[tokio::test]
async fn a_plugin_that_wants_more_memory_than_it_may_have_says_so_when_it_is_loaded_or_called() {
    let server = Setup::new().bytes("bad.wasm", &binary(&wat::large_memory(4096))).start().await;
    let status = server.plugin_status("bad").await.expect("it is listed");
    let said = match status["error"].as_str() {
        Some(error) => error.to_owned(),
        None => Client::modern(&server).call("started", json!({})).await.failure(),
    };
    assert!(said.contains("memory") && said.contains("256") && said.contains("128"), "what it wants and what it may have: {said}");
}

#[tokio::test]
async fn with_a_grant_a_plugin_has_the_memory_that_it_wants() {
    let setup = Setup::new().bytes("good.wasm", &binary(&wat::large_memory(4096))).config("[plugin.good]\nmemory = \"256MiB\"");
    let server = setup.start().await;
    assert_eq!(Client::modern(&server).call("started", json!({})).await.result()["structuredContent"]["result"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_endless_loops_at_once_leave_room_for_a_neighbour() {
    let setup = Setup::new().plugin("calculator").bytes("bad.wasm", &binary(&wat::spin()));
    let server = setup.config("[plugin.bad]\ntimeout = \"500ms\"\nconcurrency = 8\nqueue = 16").start().await;
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let client = Client::modern(&server);
            tokio::spawn(async move { client.call("spin", json!({})).await })
        })
        .collect();
    let neighbour = Neighbour::start(&server);
    for call in calls {
        let reply = call.await.expect("no panic");
        let failure = reply.failure();
        assert!(failure.contains("time limit") || reply.status == 503, "{reply:?}");
    }
    neighbour.assert_went_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compile_bomb_is_stopped_by_its_limit_while_others_serve() {
    // A cache of its own: what an earlier run has compiled without optimisation is no bomb any more.
    let server = Setup::new().plugin("calculator").config("[host]\ncompile_time = \"2s\"\ncache = \"cache\"").start().await;
    let neighbour = Neighbour::start(&server);
    files::put(&binary(&wat::compile_bomb(200_000)), &server.plugin_file("bomb"));
    // Without optimisation it is no bomb, which is the second try; and where that is too much too, it is broken.
    server.wait_log("that its limit was reached", |line| line.contains("without optimisation")).await;
    let ended = |status: &Value| matches!(status["state"].as_str(), Some("broken" | "serving"));
    let status = server.wait_plugin("bomb", "is compiled or given up", ended).await;
    neighbour.assert_went_on().await;
    if status["state"] == "broken" {
        let error = status["error"].as_str().expect("it says why");
        assert!(error.contains("compile_time") || error.contains("compile_memory"), "{error}");
    }
    assert!(server.resident() < RESIDENT, "the host holds {} MiB", server.resident() >> 20);
}

#[tokio::test]
async fn too_little_memory_to_compile_with_is_said_by_its_name() {
    for (number, memory) in [(4711, "64MiB"), (4712, "256MiB"), (4713, "1GiB")] {
        // A cache of its own: what is compiled already is not compiled again.
        let setup = Setup::new().bytes("v.wasm", &binary(&wat::version(number)));
        let setup = setup.config(&format!("[host]\ncompile_memory = \"{memory}\"\ncache = \"cache\""));
        let check = setup.run(["check", "plugins"]).await;
        if check.code != Some(0) {
            assert!(check.all().contains("compile_memory") && !check.all().contains("RUST_BACKTRACE"), "{memory}: {}", check.all());
        }
    }
}

#[tokio::test]
async fn files_that_are_no_plugins_are_named_with_the_reason_and_hurt_nobody() {
    let good = std::fs::read(files::plugin("calculator")).expect("it is built");
    let setup = Setup::new()
        .plugin("calculator")
        .bytes("truncated.wasm", &good[..good.len() / 2])
        .bytes("empty.wasm", b"")
        .bytes("text.wasm", b"this is not a wasm at all")
        .bytes("module.wasm", &wat::hostile_named("core-module"))
        .bytes("other.wasm", &wat::hostile_named("unknown-import"))
        .bytes("huge.wasm", &[good.as_slice(), &vec![0; 3 << 20]].concat())
        .bytes("notes.txt", b"not a plugin, and nobody says it is")
        .bytes(".hidden.wasm", b"an editor's own file")
        .config("[host]\nmax_file = \"2MiB\"");
    std::fs::create_dir(setup.plugins().join("folder.wasm")).expect("a folder");
    let server = setup.start().await;
    for (name, words) in [
        ("truncated", vec!["webassembly"]),
        ("empty", vec!["empty"]),
        ("text", vec!["webassembly"]),
        ("module", vec!["core webassembly module", "not a component"]),
        ("other", vec!["acme:rocket/engine"]),
        ("huge", vec!["max_file"]),
    ] {
        let status = server.wait_plugin(name, "is broken", |status| status["state"] == "broken").await;
        let error = status["error"].as_str().unwrap_or_else(|| panic!("{name} says why: {status}")).to_lowercase();
        for word in words {
            assert!(error.contains(word), "{name} says {word}: {error}");
        }
    }
    let status = server.status().await;
    assert!(!status.to_string().contains("notes") && !status.to_string().contains("hidden"), "{status}");
    assert_eq!(Client::modern(&server).call("add", json!({ "a": 1, "b": 2 })).await.result()["structuredContent"]["result"], 3.0);
}

#[tokio::test]
async fn a_plugin_has_no_more_of_the_processors_than_its_cpu() {
    let setup = Setup::new().plugin("calculator").bytes("slow.wasm", &binary(&wat::version(7)));
    let server = setup.config("[plugin.slow]\ncpu = 0.1\n").start().await;
    let client = Client::modern(&server);
    client.call("slow_version", json!({ "turns": 1 })).await.ok();
    let (started, before) = (Instant::now(), server.cpu());
    // Some 20 ms each, by four callers: without the limit they would take all processors.
    let end = started + secs(6);
    let callers = (0..4).map(|_| {
        let client = Client::modern(&server);
        async move {
            let mut calls = 0;
            while Instant::now() < end {
                client.call("slow_version", json!({ "turns": 20_000_000_u64 })).await.ok();
                calls += 1;
            }
            calls
        }
    });
    let calls: usize = futures::future::join_all(callers).await.into_iter().sum();
    let used = server.cpu() - before;
    // A tenth of the time, what may be used at once, and what the host itself does.
    let allowed = started.elapsed().mul_f64(0.1) + secs(1);
    assert!(calls > 0 && used < allowed, "{used:?} for {calls} calls, and {allowed:?} were allowed");
    server.wait_log("that its calls wait", |log| log.contains("calls wait: the plugin has used its `cpu`")).await;
}

#[tokio::test]
async fn under_overload_plugins_share_the_processors_however_many_call_them() {
    /// Calls of the plugin with few callers.
    const CALLS: usize = 40;
    let code = binary(&wat::version(7));
    let server = Setup::new().bytes("few.wasm", &code).bytes("many.wasm", &code).start().await;
    // Not more than a plugin has room for.
    let cores = std::thread::available_parallelism().map_or(2, usize::from).min(12);
    let counts = [0, 0].map(|_| std::sync::atomic::AtomicUsize::new(0));
    let callers = [("few", 2), ("many", 20)].into_iter().zip(&counts).flat_map(|((plugin, callers), count)| {
        let tool = format!("{plugin}__slow_version");
        (0..callers * cores).map(move |_| (tool.clone(), count))
    });
    let [few, many] = &counts;
    let calls = callers.map(async |(tool, count)| {
        let client = Client::modern(&server);
        while few.load(Ordering::Relaxed) < CALLS {
            // Some 20 ms.
            client.call(&tool, json!({ "turns": 20_000_000_u64 })).await.ok();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    futures::future::join_all(calls).await;
    // Ten times as many callers have as much, and what of theirs was under way at the end.
    let (few, many) = (few.load(Ordering::Relaxed), many.load(Ordering::Relaxed));
    let under_way = 20 * cores;
    assert!(many <= 3 * few + under_way, "{few} calls of the one, {many} of the other");
}
