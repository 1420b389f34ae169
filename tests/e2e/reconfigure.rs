//! A configuration that changes while calls run: it is applied within a second, no call is lost, nothing is left behind, and a broken one changes nothing.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use toolbay_tests::{Client, Load, Reply, Server, Setup, Value, eventually, files, json, secs};

/// The token of those who call all the time.
const KEPT: &str = "kept-0123456789abcdef0123456789";

/// How many changes are made under load. `TOOLBAY_RECONFIGURE_CHANGES` asks for more.
const CHANGES: u64 = 200;

/// What the files of the configuration say.
#[derive(Clone, Debug, Default)]
struct Wanted {
    round: u64,
    prefix: u64,
    extra_server: bool,
    max_body: u64,
    debug: bool,
    max_tasks: u64,
}

impl Wanted {
    fn toml(&self) -> String {
        let worker = files::root().join("tests/servers/worker.py");
        let mut text = format!(
            "include = [\"conf.d/*.toml\"]\nmcp_json = \"servers.json\"\n\
             [auth.tokens]\nkept = {{ from_file = \"kept.token\" }}\nrotated = {{ from_file = \"rotated.token\" }}\n\
             [http]\nmax_body = {max_body}\n[tasks]\nmax = {max_tasks}\n[telemetry]\nlog = \"{log}\"\n\
             [plugin.probe]\nenv = {{ ROUND = \"{round}\" }}\nconcurrency = {concurrency}\n\
             [plugin.weather]\nprefix = \"p{prefix}_\"\n\
             [server.worker]\ncommand = [\"python3\", {worker:?}]\nstop_timeout = \"1s\"\nenv = {{ ROUND = \"{server_round}\" }}\n",
            max_body = 1_000_000 + self.max_body,
            max_tasks = 100 + self.max_tasks,
            log = if self.debug { "toolbay::app=debug,toolbay=info,warn" } else { "info" },
            round = self.round,
            concurrency = 64 + self.round % 8,
            prefix = self.prefix,
            server_round = self.round / 8,
        );
        if self.extra_server {
            let _ = write!(text, "[server.extra]\ncommand = [\"python3\", {worker:?}]\nstop_timeout = \"1s\"\nprefix = \"extra_\"\n");
        }
        text
    }
}

/// A server and the files that it is configured by.
struct Bench {
    server: Server,
    wanted: Wanted,
    writes: u64,
}

impl Bench {
    async fn start() -> Self {
        let setup = Setup::new().plugin("calculator").plugin("weather").test_plugin("probe").config(&Wanted::default().toml());
        let home = setup.home().to_owned();
        std::fs::create_dir(home.join("conf.d")).expect("a folder");
        for (file, text) in
            [("kept.token", KEPT), ("rotated.token", "rotated-0-0123456789abcdef"), ("servers.json", "{\"mcpServers\": {}}")]
        {
            std::fs::write(home.join(file), text).expect("the folder can be written");
        }
        let bench = Self { server: setup.start().await, wanted: Wanted::default(), writes: 0 };
        bench.until("the first servers are up", |status| status["plugins"].as_array().is_some_and(|all| all.len() == 4)).await;
        bench
    }

    fn file(&self, name: &str) -> PathBuf {
        self.server.home().join(name)
    }

    fn client(&self) -> Client {
        Client::modern(&self.server).token(KEPT)
    }

    async fn status(&self) -> Value {
        self.server.status_as(KEPT).await
    }

    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, secs(30), || async { Some(self.status().await).filter(|status| is(status)) }).await
    }

    /// Writes a file as editors and deployment tools do, in turn.
    fn write(&mut self, name: &str, text: &str) {
        self.writes += 1;
        if self.writes.is_multiple_of(2) {
            files::put(text.as_bytes(), &self.file(name));
        } else {
            std::fs::write(self.file(name), text).expect("it can be written");
        }
    }

    async fn reloads(&self) -> u64 {
        self.status().await["configuration"]["reloads"].as_u64().expect("a count")
    }

    /// Makes a change, and waits until the host says that it has applied one: how long that took.
    async fn apply(&mut self, change: impl FnOnce(&mut Self)) -> Duration {
        let before = self.reloads().await;
        let begin = Instant::now();
        change(self);
        self.until("the change is applied", |status| status["configuration"]["reloads"].as_u64() > Some(before)).await;
        begin.elapsed()
    }

    async fn put(&mut self, change: impl FnOnce(&mut Wanted)) -> Duration {
        change(&mut self.wanted);
        let text = self.wanted.toml();
        self.apply(|bench| bench.write("toolbay.toml", &text)).await
    }

    /// What a tool answers, as soon as it is that.
    async fn says(&self, tool: &str, arguments: Value, wanted: &str) {
        let client = self.client();
        eventually(&format!("{tool} says {wanted}"), secs(30), || async {
            client.call(tool, arguments.clone()).await.body.contains(wanted).then_some(())
        })
        .await;
    }

    async fn offers(&self, tool: &str, wanted: bool) {
        let client = self.client();
        eventually(&format!("{tool} is listed: {wanted}"), secs(30), || async {
            (client.tool_names().await.iter().any(|name| name == tool) == wanted).then_some(())
        })
        .await;
    }

    /// One change of each kind in turn.
    async fn change(&mut self, number: u64) -> Option<Duration> {
        let took = match number % 11 {
            0 => {
                let took = self.put(|wanted| wanted.round += 1).await;
                self.says("probe__env", json!({}), &format!("\"ROUND\":\"{}\"", self.wanted.round)).await;
                took
            }
            1 => {
                // A multiple of eight changes the server too.
                let took = self.put(|wanted| wanted.round = (wanted.round / 8 + 1) * 8).await;
                let round = self.wanted.round / 8;
                self.says("worker__environment", json!({}), &format!("\\\"ROUND\\\": \\\"{round}\\\"")).await;
                took
            }
            2 => {
                let took = self.put(|wanted| wanted.extra_server = !wanted.extra_server).await;
                self.offers("extra_pid", self.wanted.extra_server).await;
                took
            }
            3 => {
                let (old, new) = (format!("rotated-{}-0123456789abcdef", number - 1), format!("rotated-{number}-0123456789abcdef"));
                let took = self.apply(|bench| bench.write("rotated.token", &format!("{new}\n"))).await;
                assert_eq!(self.as_who(&new).await, 200);
                assert_eq!(self.as_who(&old).await, 401, "the token before is none any more");
                took
            }
            4 => {
                let took = self.put(|wanted| wanted.prefix += 1).await;
                self.offers(&format!("p{}_get_alerts", self.wanted.prefix), true).await;
                took
            }
            5 => self.put(|wanted| wanted.max_body += 1).await,
            6 => self.put(|wanted| wanted.debug = !wanted.debug).await,
            7 => self.put(|wanted| wanted.max_tasks += 1).await,
            8 => {
                // A file more in the folder of included ones.
                let file = self.file("conf.d/team.toml");
                let is_there = file.exists();
                let took = self
                    .apply(|bench| {
                        if is_there {
                            std::fs::remove_file(&file).expect("it is there");
                        } else {
                            bench.write("conf.d/team.toml", "[plugin.team]\nmemory = \"64MiB\"\n");
                        }
                    })
                    .await;
                let digests = self.status().await["configuration"]["digests"]["plugin"].clone();
                assert_eq!(digests.get("team").is_some(), !is_there, "{digests}");
                took
            }
            9 => {
                let worker = files::root().join("tests/servers/worker.py");
                let has = std::fs::read_to_string(self.file("servers.json")).expect("it is there").contains("desktop");
                let servers = if has { json!({}) } else { json!({ "desktop": { "command": "python3", "args": [worker] } }) };
                let took = self.apply(|bench| bench.write("servers.json", &json!({ "mcpServers": servers }).to_string())).await;
                self.offers("desktop__pid", !has).await;
                took
            }
            _ => {
                self.break_and_mend(number).await;
                return None;
            }
        };
        Some(took)
    }

    async fn as_who(&self, token: &str) -> u16 {
        Client::modern(&self.server).token(token).rpc("tools/list", json!({})).await.status
    }

    /// A broken file changes nothing and is told with its place; the one before is right again.
    async fn break_and_mend(&mut self, number: u64) {
        let (good, before) = (self.wanted.toml(), self.status().await["configuration"].clone());
        let (bad, message) = match number % 3 {
            0 => (format!("{good}[plugin.probe2]\nmemry = \"1MiB\"\n"), "memry"),
            1 => (good.replace("[tasks]", "[tasks"), "toolbay.toml"),
            _ => (good.replace("kept.token", "no-such.token"), "no-such.token"),
        };
        self.write("toolbay.toml", &bad);
        let status = self.until("the broken file is told", |status| status["configuration"]["state"] == "rejected").await;
        let configuration = &status["configuration"];
        let error = &configuration["error"];
        assert!(error["message"].as_str().is_some_and(|text| text.contains(message)), "{error}");
        assert!(error["problems"][0]["line"].as_u64() > Some(0) && error["problems"][0]["column"].as_u64() > Some(0), "{error}");
        assert_eq!((&configuration["digests"], &configuration["reloads"]), (&before["digests"], &before["reloads"]), "nothing has changed");
        self.write("toolbay.toml", &good);
        self.until("the file is right again", |status| status["configuration"]["state"] == "applied").await;
        assert_eq!(self.status().await["configuration"]["digests"], before["digests"]);
    }

    /// What the process holds: descriptors, threads, processes below it, tasks.
    async fn holds(&self) -> Held {
        let proc = PathBuf::from(format!("/proc/{}", self.server.pid));
        let count = |name: &str| std::fs::read_dir(proc.join(name)).map_or(0, Iterator::count);
        let status = self.status().await;
        Held { descriptors: count("fd"), children: children(self.server.pid), tasks: status["runtime"]["tasks"].as_u64().expect("a count") }
    }
}

#[derive(Debug)]
struct Held {
    descriptors: usize,
    children: BTreeSet<u32>,
    tasks: u64,
}

/// All processes below one.
fn children(of: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("there is one")
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut next = vec![of];
    while let Some(parent) = next.pop() {
        for (pid, _) in parents.iter().filter(|(_, its)| *its == parent) {
            if all.insert(*pid) {
                next.push(*pid);
            }
        }
    }
    all
}

/// What went wrong with a call. None: nothing.
fn failure(reply: &Reply) -> Option<String> {
    let well = reply.status == 200 && reply.answer().get("result").is_some_and(|result| result["isError"] != true);
    (!well).then(|| format!("{} {}", reply.status, reply.body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_every_kind_under_64_callers_cost_no_call_and_leave_nothing_behind() {
    let mut bench = Bench::start().await;
    let changes = std::env::var("TOOLBAY_RECONFIGURE_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(CHANGES);
    // One of each kind before anything is counted: what is made once is made.
    for number in 0..22 {
        bench.change(number).await;
    }
    let settled = |held: &Held, children: usize| held.children.len() == children;
    eventually("what was replaced is gone", secs(20), || async { settled(&bench.holds().await, 2).then_some(()) }).await;
    let before = bench.holds().await;
    let turn = Arc::new(AtomicU64::new(0));
    let load = Load::of(
        || bench.client(),
        64,
        move |client| {
            let turn = turn.fetch_add(1, SeqCst);
            async move {
                let reply = match turn % 4 {
                    0 => client.call("worker__sleep", json!({ "ms": 30 })).await,
                    1 => client.call("probe__echo", json!({ "a": 1 })).await,
                    2 => client.call("worker__pid", json!({})).await,
                    _ => client.call("calculator__add", json!({ "a": 1, "b": 2 })).await,
                };
                failure(&reply)
            }
        },
    );
    let mut took = Vec::new();
    for number in 22..22 + changes {
        took.extend(bench.change(number).await);
    }
    load.more(64).await;
    let answered = load.answered();
    let errors = load.end().await;
    assert!(errors.is_empty(), "{} of {answered} calls were lost, such as {:?}", errors.len(), errors.first());
    took.sort();
    println!("{answered} calls; a change took {:?} at the median, {:?} at most", took[took.len() / 2], took[took.len() - 1]);
    // As it was when it was counted.
    if bench.wanted.extra_server {
        bench.put(|wanted| wanted.extra_server = false).await;
    }
    if std::fs::read_to_string(bench.file("servers.json")).expect("it is there").contains("desktop") {
        bench.apply(|bench| bench.write("servers.json", "{\"mcpServers\": {}}")).await;
    }
    let after = eventually("nothing is left", secs(30), || async {
        let now = bench.holds().await;
        let same =
            now.children.len() <= before.children.len() && now.descriptors <= before.descriptors + 4 && now.tasks <= before.tasks + 4;
        Some(now).filter(|_| same)
    });
    let after = after.await;
    println!("before {before:?}, after {after:?}");
}

#[tokio::test]
async fn what_waits_for_a_restart_is_named_and_check_says_what_would_change() {
    let config = "[plugin.weather]\ntimeout = \"30s\"\n";
    let mut server = Setup::new().plugin("weather").config(config).start().await;
    let next = format!("{config}concurrency = 3\n[host]\ninstances = 77\n[server.new]\nurl = \"http://127.0.0.1:9/mcp\"\n");
    std::fs::write(server.home().join("next.toml"), &next).expect("it can be written");
    let check = async |file: &str| server.setup().run(["check", "plugins/weather.wasm", "--config", file, "--against", &server.url]).await;
    let said = check("next.toml").await;
    for line in ["changed  [plugin.weather]", "added    [server.new]", "restart  host.instances"] {
        assert!(said.stdout.contains(line), "{line}: {}", said.all());
    }
    assert!(!said.stdout.contains("listen") && !said.stdout.contains("[http]"), "the command line sets it: {}", said.stdout);
    files::put(next.as_bytes(), &server.home().join("toolbay.toml"));
    eventually("it is applied", secs(20), || async {
        let status = server.status().await;
        (status["configuration"]["needs_restart"] == json!(["host.instances"])).then_some(())
    })
    .await;
    server.wait_log("the warning", |line| line.contains("WARN") && line.contains("host.instances")).await;
    assert!(!check("next.toml").await.stdout.contains("changed"), "all that can be has been applied");
    // The signal that ends other programs reads again.
    server.signal(Signal::HUP);
    server.wait_log("the signal", |line| line.contains("reading the configuration again")).await;
    assert!(server.runs());
}

#[tokio::test]
async fn a_server_that_does_not_start_leaves_the_one_before_serving() {
    let worker = |more: &str| {
        format!(
            "[server.worker]\ncommand = [\"python3\", {:?}]\nstop_timeout = \"1s\"\n{more}",
            files::root().join("tests/servers/worker.py")
        )
    };
    let server = Setup::new().config(&worker("")).start().await;
    let client = Client::modern(&server);
    let pid = client.call("pid", json!({})).await.result().clone();
    let put = |text: &str| files::put(text.as_bytes(), &server.home().join("toolbay.toml"));
    put("[server.worker]\ncommand = [\"false\"]\n");
    let status =
        server.wait_plugin("worker", "serves the one before", |status| status["state"] == "serving-previous" && !status["error"].is_null());
    let status = status.await;
    assert!(status["tools"].as_array().is_some_and(|tools| tools.len() == 6), "{status}");
    assert_eq!(*client.call("pid", json!({})).await.result(), pid, "the process before answers");
    put(&worker("env = { A = \"1\" }\n"));
    eventually("another process answers", secs(20), || async { (*client.call("pid", json!({})).await.result() != pid).then_some(()) })
        .await;
    server.wait_plugin("worker", "serves", |status| status["state"] == "serving").await;
    let (server, pid) = (&server, server.pid);
    // The program, and the process that watches over it.
    eventually("the process before is gone", secs(20), || async { (children(pid).len() == 2).then_some(()) }).await;
    // One that is removed is gone, with its process.
    files::put(b"# Nothing.\n", &server.home().join("toolbay.toml"));
    eventually("no process is left", secs(20), || async { children(pid).is_empty().then_some(()) }).await;
    assert!(client.tool_names().await.is_empty());
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_server_that_it_began_with() {
    let worker = |more: &str| {
        format!(
            "[server.worker]\ncommand = [\"python3\", {:?}]\nstop_timeout = \"1s\"\n{more}",
            files::root().join("tests/servers/worker.py")
        )
    };
    let server = Setup::new().config(&worker("")).start().await;
    let client = Arc::new(Client::modern(&server));
    let pid = client.call("pid", json!({})).await.result()["content"][0]["text"].clone();
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.call("sleep", json!({ "ms": 4000 })).await }
    });
    server.wait_plugin("worker", "has the call", |status| status["in_flight"] == 1).await;
    files::put(worker("env = { A = \"1\" }\n").as_bytes(), &server.home().join("toolbay.toml"));
    eventually("another process answers", secs(20), || async {
        (client.call("pid", json!({})).await.result()["content"][0]["text"] != pid).then_some(())
    })
    .await;
    assert!(!slow.is_finished(), "the call was still running when the new process answered");
    assert_eq!(slow.await.expect("no panic").result()["content"][0]["text"], pid);
}

/// Kubernetes mounts a ConfigMap and a Secret as links into a folder with a new name for each version, and switches one link.
#[tokio::test]
async fn a_config_map_and_a_secret_that_are_switched_are_applied() {
    use std::{fs, os::unix::fs::symlink, path::Path};

    fn publish(mount: &Path, version: u32, file: &str, text: &str) {
        let folder = format!("..{version}");
        fs::create_dir_all(mount.join(&folder)).expect("a folder");
        fs::write(mount.join(&folder).join(file), text).expect("it can be written");
        symlink(&folder, mount.join("..data_tmp")).expect("a link");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("it is switched");
        if version == 1 {
            symlink(format!("..data/{file}"), mount.join(file)).expect("a link");
        } else {
            fs::remove_dir_all(mount.join(format!("..{}", version - 1))).expect("the one before goes");
        }
    }

    let setup = Setup::new()
        .plugin("calculator")
        .config("include = [\"mounted/part.toml\"]\n[auth.tokens]\nme = { from_file = \"secrets/token\" }\n");
    let (config, secrets) = (setup.home().join("mounted"), setup.home().join("secrets"));
    let token = |version: u32| format!("token-{version}-0123456789abcdef");
    let switch = |version: u32| {
        publish(&config, version, "part.toml", &format!("[plugin.calculator]\nprefix = \"p{version}_\"\n"));
        publish(&secrets, version, "token", &token(version));
    };
    switch(1);
    let server = setup.start().await;
    for version in 1..=4 {
        if version > 1 {
            switch(version);
        }
        let client = Client::modern(&server).token(&token(version));
        eventually(&format!("version {version} is live"), secs(20), || async {
            let reply = client.rpc("tools/list", json!({})).await;
            reply.body.contains(&format!("\"p{version}_add\"")).then_some(())
        })
        .await;
        if version > 1 {
            let old = Client::modern(&server).token(&token(version - 1));
            assert_eq!(old.rpc("tools/list", json!({})).await.status, 401, "the token before is not taken any more");
        }
    }
}

/// Editors empty a file before they write it: that is no configuration, and authentication does not end for it.
#[tokio::test]
async fn a_file_that_is_empty_or_gone_changes_nothing() {
    let config = "[auth.tokens]\nme = { from_file = \"kept.token\" }\n";
    let setup = Setup::new().plugin("calculator").config(config);
    std::fs::write(setup.home().join("kept.token"), KEPT).expect("it can be written");
    let server = setup.start().await;
    let file = server.home().join("toolbay.toml");
    let stranger = async || Client::modern(&server).rpc("tools/list", json!({})).await.status;
    let until = async |state: &str, word: &str| {
        eventually(&format!("the configuration is {state}"), secs(30), || async {
            let configuration = server.status_as(KEPT).await["configuration"].clone();
            let message = configuration["error"]["message"].as_str().unwrap_or_default().to_owned();
            (configuration["state"] == state && message.contains(word)).then_some(())
        })
        .await;
    };
    for blank in ["", "\u{feff} \n"] {
        std::fs::write(&file, blank).expect("it can be written");
        until("rejected", "empty or gone").await;
        assert_eq!(stranger().await, 401);
        std::fs::write(&file, config).expect("it can be written");
        until("applied", "").await;
    }
    std::fs::remove_file(&file).expect("it is there");
    until("rejected", "").await;
    assert_eq!(stranger().await, 401);
    // Whoever means it says so.
    std::fs::write(&file, "# All defaults.\n").expect("it can be written");
    eventually("authentication has ended", secs(30), || async { (stranger().await == 200).then_some(()) }).await;
}
