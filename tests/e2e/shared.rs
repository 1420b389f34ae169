//! What hosts share through a real Redis: limits that hold over all of them, what plugins keep, and what becomes of both while it is away.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use rustix::process::Signal;
use toolbay_tests::{Client, Load, Redis, Server, Setup, Value, client, eventually, json, millis, secs};

const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

const ROLES: &str = r#"
[auth.tokens]
ann = { from_env = "ANN", roles = ["limited"] }
bob = { from_env = "BOB", roles = ["free"] }

[role.free]
servers = ["*"]

[role.limited]
servers = ["*"]
"#;

/// On a busy machine an answer takes long, and nothing here is about that.
const PATIENT: &str = "timeout = \"20s\"\nconnect_timeout = \"20s\"\n";

/// A host with `[shared]` as it stands there, and limits of the role `limited`.
fn host(redis: &Redis, shared: &str, limits: &str) -> Setup {
    let url = redis.url();
    let patient = if shared.contains("timeout") { "" } else { PATIENT };
    Setup::new()
        .plugin("calculator")
        .env("ANN", ANN)
        .env("BOB", BOB)
        .config(&format!("{ROLES}{limits}\n[shared]\nredis = {url:?}\n{patient}{shared}\n"))
}

async fn two(setup: impl Fn() -> Setup) -> [Server; 2] {
    let (one, other) = tokio::join!(setup().start(), setup().start());
    connected(&one).await;
    connected(&other).await;
    [one, other]
}

async fn status(server: &Server) -> Value {
    server.status_as(BOB).await["shared"].clone()
}

async fn connected(server: &Server) {
    eventually("Redis is connected", secs(60), || async { (status(server).await["state"] == "connected").then_some(()) }).await;
}

async fn away(server: &Server) {
    eventually("Redis is away", secs(60), || async { (status(server).await["state"] == "away").then_some(()) }).await;
}

fn sum() -> Value {
    json!({ "a": 1, "b": 2 })
}

/// One of the figures of `/metrics`.
async fn figure(server: &Server, series: &str) -> u64 {
    let page = client::http().get(format!("{}/metrics", server.base)).bearer_auth(BOB).send().await.expect("an answer");
    let page = page.text().await.expect("a body");
    let line = page.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series} is not in {page}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_limit_holds_over_two_hosts_together() {
    let Some(redis) = Redis::start().await else { return };
    let limits = "rate = \"1/h\"\nburst = 12\n[role.limited.limits.\"calculator__convert\"]\ndaily = 5\n";
    let servers = two(|| host(&redis, "", limits)).await;
    let clients = servers.each_ref().map(|server| Client::modern(server).token(ANN));
    // Less than the rate allows, more than the quota of the day.
    let convert = json!({ "value": 1, "from": "m", "to": "km" });
    let calls = (0..8).map(|n| clients[n % 2].call("convert", convert.clone()));
    let answers = futures::future::join_all(calls).await;
    let (good, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|reply| reply.status != 429);
    assert_eq!((good.len(), refused.len()), (5, 3), "{good:?} {refused:?}");
    for reply in &refused {
        let message = reply.failure();
        assert!(message.contains("caller ann has made 5 calls today") && message.contains("`daily` in [role.limited.limits"), "{message}");
        assert!(reply.headers["retry-after"].to_str().expect("text").parse::<u64>().expect("seconds") >= 1);
    }
    // What the quota has refused was not counted against the rate.
    let answers = futures::future::join_all((0..40).map(|n| clients[n % 2].call("add", sum()))).await;
    assert_eq!(answers.iter().filter(|reply| reply.status == 200).count(), 7);
    for refused in answers.iter().filter(|reply| reply.status != 200) {
        assert_eq!((refused.status, refused.code()), (429, -32000), "{refused:?}");
        assert!(refused.failure().contains("caller ann calls more often than 1 calls an hour"), "{}", refused.failure());
        assert!(refused.headers["retry-after"].to_str().expect("text").parse::<u64>().expect("seconds") > 60);
    }
    // Others are not limited, and nobody's name is in Redis.
    assert_eq!(Client::modern(&servers[0]).token(BOB).call("add", sum()).await.status, 200);
    let keys = redis.ask(&["KEYS", "*"]);
    assert!(keys.contains("toolbay:rate:{") && keys.contains("toolbay:day:{") && !keys.contains("ann"), "{keys}");
    let admitted = figure(&servers[0], "toolbay_shared_decisions_total{decision=\"admitted\"}").await
        + figure(&servers[1], "toolbay_shared_decisions_total{decision=\"admitted\"}").await;
    assert_eq!((admitted, figure(&servers[0], "toolbay_shared_up").await), (12, 1));
    let status = status(&servers[0]).await;
    assert!(status["server"].as_str().expect("a name").contains(' ') && status["redis"] == redis.url(), "{status}");
}

/// Calls without a pause at both hosts, as ann.
fn load(servers: &[Server; 2], allowed: &'static [u16]) -> Vec<Load> {
    let start = |server: &Server| {
        Load::of(
            || Client::modern(server).token(ANN),
            4,
            move |client| async move {
                let reply = client.call("add", sum()).await;
                (!allowed.contains(&reply.status)).then(|| format!("{reply:?}"))
            },
        )
    };
    servers.iter().map(start).collect()
}

#[tokio::test]
async fn while_redis_is_away_each_host_counts_by_itself_if_it_fails_open() {
    let Some(mut redis) = Redis::start().await else { return };
    let servers = two(|| host(&redis, "on_failure = \"open\"", "rate = \"1000000/s\"")).await;
    let load = load(&servers, &[200]);
    for one in &load {
        one.more(50).await;
    }
    redis.kill().await;
    for server in &servers {
        away(server).await;
        server.wait_log("why", |line| line.contains("WARN") && line.contains("meanwhile each instance counts calls by itself")).await;
    }
    for one in &load {
        one.more(50).await;
    }
    let error = status(&servers[0]).await;
    assert!(error["error"].as_str().expect("a reason").contains("Redis at redis://127.0.0.1"), "{error}");
    redis.restart().await;
    for server in &servers {
        connected(server).await;
    }
    for one in &load {
        one.more(50).await;
    }
    for one in load {
        assert_eq!(one.end().await, Vec::<String>::new());
    }
    assert!(figure(&servers[0], "toolbay_shared_decisions_total{decision=\"alone\"}").await > 0);
    assert_eq!(figure(&servers[0], "toolbay_shared_decisions_total{decision=\"denied\"}").await, 0);
}

#[tokio::test]
async fn while_redis_is_away_limited_calls_are_refused_if_it_fails_closed() {
    let Some(mut redis) = Redis::start().await else { return };
    let servers = two(|| host(&redis, "on_failure = \"closed\"", "rate = \"1000000/s\"")).await;
    let load = load(&servers, &[200, 503]);
    for one in &load {
        one.more(50).await;
    }
    redis.kill().await;
    for server in &servers {
        away(server).await;
    }
    let (ann, bob) = (Client::modern(&servers[0]).token(ANN), Client::modern(&servers[0]).token(BOB));
    let refused = ann.call("add", sum()).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after") && refused.failure().contains("cannot be counted at the moment"), "{refused:?}");
    assert!(!refused.failure().contains("redis"), "where Redis is concerns no caller: {refused:?}");
    assert_eq!(bob.call("add", sum()).await.status, 200, "who has no limits goes on");
    redis.restart().await;
    for server in &servers {
        connected(server).await;
    }
    assert_eq!(ann.call("add", sum()).await.status, 200);
    for one in load {
        one.more(20).await;
        assert_eq!(one.end().await, Vec::<String>::new());
    }
    assert!(figure(&servers[0], "toolbay_shared_decisions_total{decision=\"denied\"}").await > 0);
}

#[tokio::test]
async fn a_redis_that_answers_nothing_holds_nobody_up() {
    let Some(redis) = Redis::start().await else { return };
    let servers = two(|| host(&redis, "timeout = \"300ms\"", "rate = \"1000000/s\"")).await;
    redis.signal(Signal::STOP);
    let ann = Client::modern(&servers[0]).token(ANN);
    assert_eq!(ann.call("add", sum()).await.status, 200);
    away(&servers[0]).await;
    let reason = status(&servers[0]).await["error"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("gave no "), "{reason}");
    assert_eq!(ann.call("add", sum()).await.status, 200);
    redis.signal(Signal::CONT);
    connected(&servers[0]).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_the_right_one_taken_without_a_restart() {
    let Some(redis) = Redis::with(&["--requirepass", "the-right-password"], false).await else { return };
    let setup = host(&redis, "password = { from_file = \"password\" }\nstore = false", "rate = \"1000/s\"");
    let file = setup.home().join("password");
    std::fs::write(&file, "the-wrong-password\n").expect("it can be written");
    let checked = setup.run(["check"]).await;
    checked.expect_code(1);
    let told = checked.all();
    assert!(told.contains("BROKEN  [shared] redis") && told.contains("rejects the user name or password"), "{told}");
    assert!(told.contains("correct `password` in [shared] and the user in `redis`") && !told.contains("the-wrong"), "{told}");
    let server = setup.start().await;
    server.wait_log("the refusal", |line| line.contains("rejects the user name or password")).await;
    assert!(!server.log().contains("the-wrong-password"));
    std::fs::write(&file, "the-right-password\n").expect("it can be written");
    connected(&server).await;
    server.setup().run(["check"]).await.expect_code(0);
}

#[tokio::test]
async fn check_says_what_is_wrong_with_redis_and_what_to_do() {
    let Some(mut redis) = Redis::with(&["--requirepass", "the-right-password"], false).await else { return };
    let told = async |setup: Setup, code: i32| {
        let checked = setup.run(["check"]).await;
        checked.expect_code(code);
        checked.all()
    };
    let no_password = told(host(&redis, "", ""), 1).await;
    assert!(no_password.contains("wants a password: set `password = { from_env = \"VARIABLE\" }` in [shared]"), "{no_password}");
    // A whole URL from the environment.
    let from_env = |url: String| Setup::new().config(&format!("[shared]\n{PATIENT}redis = {{ from_env = \"URL\" }}\n")).env("URL", &url);
    let right = redis.url().replace("redis://", "redis://:the-right-password@");
    let warned = told(from_env(right.clone()), 0).await;
    assert!(warned.contains("has no append-only file") && !warned.contains("the-right-password"), "{warned}");
    let in_the_file = told(Setup::new().config(&format!("[shared]\nredis = {right:?}\n")), 2).await;
    assert!(
        in_the_file.contains("a password cannot be written in the configuration") && !in_the_file.contains("the-right"),
        "{in_the_file}"
    );
    // One without TLS says nothing to it.
    let encrypted = Setup::new().config("[shared]\ntimeout = \"300ms\"\nconnect_timeout = \"20s\"\nredis = { from_env = \"URL\" }\n");
    let encrypted = told(encrypted.env("URL", &right.replace("redis://", "rediss://")), 1).await;
    assert!(encrypted.contains("speaks no TLS") && encrypted.contains("write redis://"), "{encrypted}");
    redis.kill().await;
    let unreachable = told(host(&redis, "", ""), 1).await;
    assert!(unreachable.contains("nothing listens at Redis at redis://127.0.0.1"), "{unreachable}");
    // Something else listens there.
    let web = Setup::new().start().await;
    let not_redis = told(Setup::new().config(&format!("[shared]\n{PATIENT}redis = \"redis://{}\"\n", web.address())), 1).await;
    assert!(not_redis.contains("does not speak the protocol of Redis; correct the port"), "{not_redis}");
    let alone = told(Setup::new().config("[shared]\non_failure = \"closed\"\n"), 2).await;
    assert!(alone.contains("is of no use without \"redis\""), "{alone}");
}

#[tokio::test]
async fn a_connection_is_encrypted_and_its_certificate_checked() {
    let Some(redis) = Redis::with(&["--appendonly", "yes"], true).await else { return };
    let untrusted = host(&redis, "", "").run(["check"]).await;
    untrusted.expect_code(1);
    assert!(untrusted.all().contains("is not trusted") && untrusted.all().contains("`tls_ca` in [shared]"), "{}", untrusted.all());
    let ca = redis.ca();
    let setup = host(&redis, &format!("tls_ca = {ca:?}"), "rate = \"1/h\"\nburst = 2");
    setup.run(["check"]).await.expect_code(0);
    let server = setup.start().await;
    connected(&server).await;
    let ann = Client::modern(&server).token(ANN);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ann.call("add", sum()).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

/// A host with the plugin that keeps things.
fn keeper(redis: &Redis, grants: &str) -> Setup {
    let url = redis.url();
    let tokens = "[auth.tokens]\nann = { from_env = \"ANN\" }\nbob = { from_env = \"BOB\" }\n";
    let setup = Setup::new().test_plugin("keeper").env("ANN", ANN).env("BOB", BOB);
    setup.config(&format!("{tokens}[shared]\n{PATIENT}redis = {url:?}\n[plugin.keeper]\n{grants}\n"))
}

async fn get(client: &Client, key: &str) -> String {
    client.call("keep_get", json!({ "key": key })).await.ok()
}

async fn set(client: &Client, key: &str, value: &str) -> String {
    client.call("keep_set", json!({ "key": key, "value": value, "absent": false })).await.text()
}

#[tokio::test]
async fn what_a_plugin_keeps_at_one_host_is_there_at_the_other() {
    let Some(redis) = Redis::start().await else { return };
    let servers = two(|| keeper(&redis, "store = \"2KiB\"")).await;
    let [one, other] = servers.each_ref().map(|server| Client::modern(server).token(ANN));
    assert!(set(&one, "color", "red").await.contains("true") && get(&other, "color").await.contains("red"));
    assert!(other.call("keep_set", json!({ "key": "color", "value": "green", "absent": true })).await.ok().contains("false"));
    // Many at once count and swap, at both.
    let many = (0..20).map(|n| {
        let client = Client::modern(&servers[n % 2]).token(ANN);
        tokio::spawn(async move {
            client.call("keep_increment", json!({ "key": "count", "by": 2 })).await.ok();
            client.call("keep_swap", json!({ "key": "swapped" })).await.ok();
        })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.expect("no panic");
    }
    assert!(get(&one, "count").await.contains("40") && get(&other, "swapped").await.contains("20"));
    let said = other.call("keyvalue", json!({ "name": "", "key": "color", "value": "pink" })).await.ok();
    assert_eq!(said, r#"Some("pink") 2 1 (true, false) ["color", "count", "kv-a", "kv-count", "swapped"] None"#);
    assert!(one.call("keep_keys", json!({ "prefix": "co" })).await.ok().contains("count"));
    assert!(one.call("keep_delete", json!({ "key": "color" })).await.ok().contains("true") && !get(&other, "color").await.contains("pink"));
    let refused = one.call("keep_increment", json!({ "key": "kv-a", "by": i64::MAX })).await.failure();
    assert!(refused.contains("are too large together"), "{refused}");
    // The quota is that of both together, and what has expired does not count.
    for (client, key) in [(&one, "a"), (&other, "b")] {
        let brief = json!({ "key": key, "value": "x".repeat(700), "ttl_ms": 1, "absent": false });
        assert!(client.call("keep_set", brief).await.ok().contains("true"));
        eventually("it has expired", secs(20), || async { (!get(&one, key).await.contains('x')).then_some(()) }).await;
    }
    assert!(set(&one, "a", &"x".repeat(1200)).await.contains("true"));
    let full = set(&other, "b", &"x".repeat(700)).await;
    assert!(full.contains("full: plugin keeper may keep 2048 bytes") && full.contains("raise `store` in [plugin.keeper]"), "{full}");
}

#[tokio::test]
async fn each_caller_has_keys_of_its_own_at_all_hosts() {
    let Some(redis) = Redis::start().await else { return };
    let servers = two(|| keeper(&redis, "store = true\nstore_scope = \"caller\"")).await;
    let [ann, bob] = [ANN, BOB].map(|token| Client::modern(&servers[0]).token(token));
    set(&ann, "k", "of ann").await;
    assert!(!get(&bob, "k").await.contains("of ann"));
    assert!(get(&Client::modern(&servers[1]).token(ANN), "k").await.contains("of ann"));
}

#[tokio::test]
async fn what_redis_has_acknowledged_is_there_after_it_was_killed_under_load() {
    let Some(mut redis) = Redis::start().await else { return };
    let servers = two(|| keeper(&redis, "store = true")).await;
    let start = |server: &Server, key: &'static str| {
        Load::of(
            || Client::modern(server).token(ANN),
            2,
            move |client| async move {
                let reply = client.call("keep_increment", json!({ "key": key, "by": 1 })).await;
                Some(if reply.is_error() { reply.failure() } else { "counted".to_owned() })
            },
        )
    };
    let load = [start(&servers[0], "one"), start(&servers[1], "two")];
    for one in &load {
        one.more(30).await;
    }
    for _ in 0..3 {
        redis.kill().await;
        away(&servers[0]).await;
        away(&servers[1]).await;
        redis.restart().await;
        connected(&servers[0]).await;
        connected(&servers[1]).await;
        for one in &load {
            one.more(30).await;
        }
    }
    let client = Client::modern(&servers[0]).token(ANN);
    for (one, key) in load.into_iter().zip(["one", "two"]) {
        let said = one.end().await;
        let counted = said.iter().filter(|said| *said == "counted").count();
        // What was under way when it was killed may have been done.
        let uncertain = said.iter().filter(|said| said.contains("whether the write was done is not known")).count();
        let others = said.iter().find(|said| *said != "counted" && !said.contains("the store does not work: "));
        assert_eq!(others, None);
        let kept: usize = client.call("keep_increment", json!({ "key": key, "by": 0 })).await.ok().parse().expect("a number");
        assert!((counted..=counted + uncertain).contains(&kept), "{counted} acknowledged, {uncertain} uncertain, {kept} kept");
        assert!(counted > 100 && uncertain < said.len() / 2, "{counted} of {}", said.len());
    }
}

/// A host whose tools read and send: `add` private things, `subtract` what strangers wrote, and `multiply` sends.
fn flowing(redis: &Redis, on_failure: &str) -> Setup {
    let flows = "[flow.private]\ntools = [\"calculator__add\"]\nreads = \"private\"\n[flow.web]\ntools = [\"calculator__subtract\"]\n\
                 reads = \"untrusted\"\n[flow.out]\ntools = [\"calculator__multiply\"]\nsends = \"outside\"\n";
    host(redis, &format!("on_failure = {on_failure:?}"), flows)
}

#[tokio::test]
async fn what_was_read_at_one_host_is_not_sent_by_the_other() {
    let Some(mut redis) = Redis::start().await else { return };
    let servers = two(|| flowing(&redis, "open")).await;
    let clients = servers.each_ref().map(|server| Client::modern(server).token(ANN));
    let call = async |client: &Client, conversation: Option<&str>, tool: &str| {
        let mut params = json!({ "name": tool, "arguments": sum() });
        if let Some(name) = conversation {
            params["_meta"] = json!({ "toolbay/conversation": name });
        }
        client.rpc("tools/call", params).await
    };
    let sends = async |client: &Client, conversation: Option<&str>| {
        let reply = call(client, conversation, "multiply").await;
        let is_denied = reply.is_error() && reply.text().contains("this conversation has read private things");
        assert!(is_denied || !reply.is_error(), "{reply:?}");
        !is_denied
    };
    let (one, other) = (&clients[0], &clients[1]);
    assert!(!call(one, Some("a"), "add").await.is_error());
    assert!(sends(other, Some("a")).await, "private alone may leave");
    assert!(!call(other, Some("a"), "subtract").await.is_error());
    assert!(!sends(one, Some("a")).await && !sends(other, Some("a")).await, "the two halves were read at two hosts");
    assert!(sends(other, Some("b")).await && sends(one, None).await, "another conversation");
    let bob = Client::modern(&servers[1]).token(BOB);
    assert!(sends(&bob, Some("a")).await, "another caller");
    // What was read where no conversation is named counts in all of that caller.
    for tool in ["add", "subtract"] {
        assert!(!call(one, None, tool).await.is_error());
    }
    assert!(!sends(other, Some("c")).await && !sends(other, None).await && sends(&bob, None).await);
    let keys = redis.ask(&["KEYS", "*"]);
    assert!(keys.contains("toolbay:flow:{") && !keys.contains("ann"), "{keys}");
    let ttl: i64 = redis.ask(&["PTTL", keys.lines().find(|key| key.contains(":flow:")).expect("one")]).parse().expect("a number");
    assert!(ttl > 0, "nothing is kept for ever: {ttl}");
    // Redis is away: each host goes by what it has read itself.
    redis.kill().await;
    for server in &servers {
        away(server).await;
    }
    assert!(!sends(one, None).await && sends(&bob, Some("d")).await);
}

#[tokio::test]
async fn calls_of_labelled_tools_are_refused_while_redis_is_away_if_it_fails_closed() {
    let Some(mut redis) = Redis::start().await else { return };
    let servers = two(|| flowing(&redis, "closed")).await;
    let client = Client::modern(&servers[0]).token(ANN);
    assert_eq!(client.call("multiply", sum()).await.status, 200);
    redis.kill().await;
    away(&servers[0]).await;
    for tool in ["add", "multiply"] {
        let refused = client.call(tool, sum()).await;
        assert_eq!(refused.status, 503, "{tool}: {refused:?}");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        assert!(refused.failure().contains("what this conversation has read cannot be looked up") && !refused.failure().contains("redis"));
    }
    // What has no label goes on.
    assert_eq!(client.call("divide", sum()).await.status, 200);
    redis.restart().await;
    connected(&servers[0]).await;
    assert_eq!(client.call("multiply", sum()).await.status, 200);
}

#[tokio::test]
async fn a_quota_and_what_was_read_hold_over_a_redis_that_is_killed_and_started_again_under_load() {
    const DAILY: usize = 80;
    let Some(mut redis) = Redis::start().await else { return };
    let flows = "[flow.private]\ntools = [\"calculator__add\"]\nreads = \"private\"\n[flow.web]\ntools = [\"calculator__subtract\"]\n\
                 reads = \"untrusted\"\n[flow.out]\ntools = [\"calculator__multiply\"]\nsends = \"outside\"\n";
    let servers = two(|| host(&redis, "on_failure = \"closed\"", &format!("daily = {DAILY}\n{flows}"))).await;
    let bobs = servers.each_ref().map(|server| Client::modern(server).token(BOB));
    let as_bob = async |host: usize, tool: &str| {
        let params = json!({ "name": tool, "arguments": sum(), "_meta": { "toolbay/conversation": "one" } });
        bobs[host].rpc("tools/call", params).await
    };
    assert!(!as_bob(0, "add").await.is_error());
    // Callers at both hosts, without a pause: each answer is counted by its status.
    let counts = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let count = |which: usize| counts[which].load(SeqCst);
    let start = |server: &Server| {
        let counts = Arc::clone(&counts);
        Load::of(
            || Client::modern(server).token(ANN),
            4,
            move |client| {
                let counts = Arc::clone(&counts);
                async move {
                    let reply = client.call("add", sum()).await;
                    let Some(which) = [200, 429, 503].iter().position(|status| *status == reply.status) else {
                        return Some(format!("{reply:?}"));
                    };
                    counts[which].fetch_add(1, SeqCst);
                    // Not so fast that all is spent before Redis is killed.
                    tokio::time::sleep(millis(50)).await;
                    None
                }
            },
        )
    };
    let load: Vec<Load> = servers.iter().map(start).collect();
    eventually("some calls", secs(60), async || (count(0) >= 10).then_some(())).await;
    redis.kill().await;
    for server in &servers {
        away(server).await;
    }
    eventually("some are refused", secs(60), async || (count(2) >= 10).then_some(())).await;
    let before = count(0);
    redis.restart().await;
    for server in &servers {
        connected(server).await;
    }
    eventually("the quota is spent", secs(120), async || (count(1) >= 20).then_some(())).await;
    for one in load {
        assert_eq!(one.end().await, Vec::<String>::new());
    }
    let good = count(0);
    // A call that Redis has counted and whose answer was lost with it was refused.
    assert!(good <= DAILY && good + 16 >= DAILY && good > before, "{good} of {DAILY}, {before} before");
    // What was read before counts behind it, at the other host too.
    assert!(!as_bob(1, "subtract").await.is_error());
    for host in [0, 1] {
        let denied = as_bob(host, "multiply").await;
        assert!(denied.is_error() && denied.text().contains("this conversation has read private things"), "{denied:?}");
    }
}
