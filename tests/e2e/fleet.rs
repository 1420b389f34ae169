//! Several hosts behind real balancers that send each request to the next one: whatever a client began at one host goes on at the others.

use std::sync::Arc;

use toolbay_tests::{
    Balancer, Client, Load, Proxy, Server, Setup,
    balancer::Kind::{self, Envoy, HaProxy, Nginx},
    eventually, json,
    lab::Lab,
    millis,
    outside::Outside,
    secs,
};

use crate::clients::{asked_at, assert_report, calls, script_at, weather_config};

const KEY: &str = "a-key-that-is-long-enough-to-sign-it";
const OTHER: &str = "another-key-that-is-long-enough-too!";

fn setup(keys: &[&str], config: &str) -> Setup {
    let mut setup = Setup::new().plugin("calculator").plugin("weather").test_plugin("everything");
    let names: Vec<String> = (0..keys.len()).map(|n| format!("KEY_{n}")).collect();
    for (name, key) in names.iter().zip(keys) {
        setup = setup.env(name, key);
    }
    let sources: Vec<String> = names.iter().map(|name| format!("{{ from_env = \"{name}\" }}")).collect();
    setup.config(&format!("[state]\nkeys = [{}]\ncopies = 3\n[tasks]\nadvertise = \"127.0.0.1\"\n{config}", sources.join(", ")))
}

/// Three hosts behind a balancer.
struct Fleet {
    hosts: [Server; 3],
    balancer: Balancer,
    config: String,
    _weather: Outside,
}

impl Fleet {
    /// None: the balancer is not installed.
    async fn start(kind: Kind) -> Option<Self> {
        let (plugin, weather) = weather_config().await;
        // On loopback the end is not announced unless this says so. Longer than nginx keeps an idle connection.
        let config = format!("{plugin}\n[http]\nlame_duck = \"3s\"\n");
        let host = async || setup(&[KEY], &config).start().await;
        let hosts = [host().await, host().await, host().await];
        let [a, b, c] = hosts.each_ref().map(Server::address);
        let balancer = Balancer::start(kind, [a, b, c]).await?;
        Some(Self { hosts, balancer, config, _weather: weather })
    }

    /// Ends one as an orchestrator does, and starts it again at its address.
    async fn restart(&mut self, which: usize) {
        let host = &mut self.hosts[which];
        let address = host.address().to_owned();
        host.signal(rustix::process::Signal::TERM);
        assert_eq!(host.wait_exit(secs(60)).await.code(), Some(0), "{}", host.log());
        *host = setup(&[KEY], &self.config).listen(&address).start().await;
        // HAProxy looks every half second, and nginx leaves one that failed alone for two.
        tokio::time::sleep(millis(2_500)).await;
    }
}

async fn clients_behind(kind: Kind) {
    let Some(fleet) = Fleet::start(kind).await else { return };
    let url = fleet.balancer.url();
    for (script, mode, negotiated) in [
        ("mcp_client.py", Some("auto"), "2026-07-28"),
        ("mcp_client.py", Some("legacy"), "2025-11-25"),
        ("fastmcp_client.py", None, "2026-07-28"),
        ("sdk1_client.mjs", None, "2025-11-25"),
        ("client2_client.mjs", Some("auto"), "2026-07-28"),
        ("client2_client.mjs", Some("legacy"), "2025-11-25"),
    ] {
        script_at(&url, script, mode, negotiated).await;
    }
    for (script, mode, negotiated) in [
        ("mcp_asking.py", Some("auto"), "2026-07-28"),
        ("mcp_asking.py", Some("legacy"), "2025-11-25"),
        ("sdk1_asking.mjs", None, "2025-11-25"),
        ("client2_asking.mjs", Some("legacy"), "2025-11-25"),
    ] {
        asked_at(&url, script, mode, negotiated).await;
    }
    if let Some(ran) = Lab::find().tutorial("tutorial_client.py", &[&url, &calls()]).await {
        assert_report(&ran, "2025-06-18");
    }
    for host in &fleet.hosts {
        let log = host.log();
        assert!(!log.contains("unknown key"), "{log}");
    }
}

#[tokio::test]
async fn clients_of_every_kind_work_behind_haproxy_without_stickiness() {
    clients_behind(HaProxy).await;
}

#[tokio::test]
async fn clients_of_every_kind_work_behind_nginx_without_stickiness() {
    clients_behind(Nginx).await;
}

#[tokio::test]
async fn clients_of_every_kind_work_behind_envoy_without_stickiness() {
    clients_behind(Envoy).await;
}

/// A call, and what was wrong with its answer.
async fn add(client: Arc<Client>) -> Option<String> {
    tokio::time::sleep(millis(10)).await;
    match client.try_rpc("tools/call", json!({ "name": "add", "arguments": { "a": 1, "b": 2 } })).await {
        Ok(reply) if reply.status == 200 && reply.answer()["result"]["structuredContent"]["result"] == 3.0 => None,
        Ok(reply) => Some(format!("{reply:?}")),
        Err(error) => Some(format!("{error:?}")),
    }
}

/// Callers of both eras, some of which connect anew for each call, and how many they are.
async fn mixed(url: &str) -> ([Load; 3], usize) {
    let session = Client::legacy_at(url).await;
    let loads =
        [Load::of(|| Client::at(url), 4, add), Load::of(|| session.also_at(url), 4, add), Load::of(|| Client::at(url).alone(), 2, add)];
    for load in &loads {
        load.more(20).await;
    }
    (loads, 10)
}

async fn rolling(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind).await else { return };
    let restarts = std::env::var("TOOLBAY_RESTARTS").map_or(3, |count| count.parse().expect("a number"));
    let url = fleet.balancer.url();
    let (loads, _) = mixed(&url).await;
    for number in 0..restarts {
        fleet.restart(number % 3).await;
    }
    let mut lost = Vec::new();
    let mut answered = 0;
    for load in loads {
        answered += load.answered();
        lost.extend(load.end().await);
    }
    println!("{kind:?}: {restarts} restarts, {answered} calls, {} lost", lost.len());
    assert!(lost.is_empty(), "{} of {answered} calls were lost: {lost:#?}", lost.len());
}

#[tokio::test]
async fn no_call_is_lost_behind_haproxy_while_hosts_are_restarted() {
    rolling(HaProxy).await;
}

#[tokio::test]
async fn no_call_is_lost_behind_nginx_while_hosts_are_restarted() {
    rolling(Nginx).await;
}

#[tokio::test]
async fn no_call_is_lost_behind_envoy_while_hosts_are_restarted() {
    rolling(Envoy).await;
}

/// A host is killed and comes back, while all that there are call.
async fn killed(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind).await else { return };
    let url = fleet.balancer.url();
    let (loads, callers) = mixed(&url).await;
    let host = &mut fleet.hosts[1];
    let address = host.address().to_owned();
    host.signal(rustix::process::Signal::KILL);
    host.wait_exit(secs(20)).await;
    let ended = async |loads: [Load; 3]| {
        let (mut lost, mut answered) = (Vec::new(), 0);
        for load in loads {
            load.more(50).await;
            answered += load.answered();
            lost.extend(load.end().await);
        }
        println!("{kind:?}: {answered} calls, {} lost", lost.len());
        lost
    };
    // Each has one call in flight, and may have sent another one while the system was still taking the process away. No session was lost.
    let lost = ended(loads).await;
    assert!(lost.len() <= 2 * callers && !lost.iter().any(|why| why.contains("-32001")), "{} calls were lost: {lost:#?}", lost.len());
    // While it is away, and when it comes back, nobody notices.
    let (loads, _) = mixed(&url).await;
    *host = setup(&[KEY], &fleet.config).listen(&address).start().await;
    let lost = ended(loads).await;
    assert!(lost.is_empty(), "{} calls were lost: {lost:#?}", lost.len());
}

#[tokio::test]
async fn a_host_that_is_killed_behind_haproxy_takes_only_the_calls_in_flight_with_it() {
    killed(HaProxy).await;
}

#[tokio::test]
async fn a_host_that_is_killed_behind_nginx_takes_only_the_calls_in_flight_with_it() {
    killed(Nginx).await;
}

#[tokio::test]
async fn a_host_that_is_killed_behind_envoy_takes_only_the_calls_in_flight_with_it() {
    killed(Envoy).await;
}

/// Opens a session and uses it.
async fn opens(client: Arc<Client>) -> Option<String> {
    let client = Arc::new(Client::legacy_at(client.url()).await);
    add(client).await
}

#[tokio::test]
async fn keys_rotate_under_load_and_no_session_ends_before_its_key_is_removed() {
    let host = async || setup(&[KEY, OTHER], "").start().await;
    let hosts = [host().await, host().await, host().await];
    let (old, new) = ("{ from_env = \"KEY_0\" }", "{ from_env = \"KEY_1\" }");
    let mut rounds = 0;
    // One host after the other, so that there are some of both kinds meanwhile.
    let mut rotate = async |keys: &str| {
        for server in &hosts {
            let path = server.home().join("toolbay.toml");
            let text = std::fs::read_to_string(&path).expect("it was written");
            let line = text.lines().find(|line| line.starts_with("keys = [")).expect("its keys");
            toolbay_tests::files::put(text.replace(line, &format!("keys = [{keys}]")).as_bytes(), &path);
            let holds = || async { (server.log().matches("configuration reloaded").count() > rounds).then_some(()) };
            eventually("the new keys hold", secs(60), holds).await;
        }
        rounds += 1;
    };
    rotate(old).await;
    let [a, b, c] = hosts.each_ref().map(Server::address);
    let Some(balancer) = Balancer::start(HaProxy, [a, b, c]).await else { return };
    let url = balancer.url();
    let (loads, _) = mixed(&url).await;
    let opening = Load::of(|| Client::at(&url), 2, opens);
    for keys in [format!("{old}, {new}"), format!("{new}, {old}")] {
        rotate(&keys).await;
        for load in loads.iter().chain([&opening]) {
            load.more(20).await;
        }
    }
    let (late, [modern, legacy, alone]) = (Client::legacy_at(&url).await, loads);
    let mut lost = Vec::new();
    for load in [legacy, opening] {
        lost.extend(load.end().await);
    }
    // Who began under the old key begins again, and nobody else notices anything.
    let load = Load::of(|| late.also_at(&url), 4, add);
    rotate(new).await;
    load.more(50).await;
    for load in [modern, alone, load] {
        load.more(20).await;
        lost.extend(load.end().await);
    }
    assert!(lost.is_empty(), "{} calls were lost: {lost:#?}", lost.len());
}

#[tokio::test]
async fn the_end_is_announced_before_it_begins() {
    let mut server = Setup::new().plugin("calculator").config("[http]\nlame_duck = \"10m\"").start().await;
    let client = Client::modern(&server);
    let call = async || client.call("add", json!({ "a": 1, "b": 2 })).await;
    assert!(!call().await.headers.contains_key("connection"));
    server.signal(rustix::process::Signal::TERM);
    let probe = async || {
        toolbay_tests::client::http().get(format!("{}/readyz", server.base)).send().await.expect("it accepts connections").status()
    };
    eventually("/readyz answers 503", secs(20), || async { (probe().await == 503).then_some(()) }).await;
    for _ in 0..3 {
        let reply = call().await;
        assert_eq!(reply.headers["connection"], "close", "{reply:?}");
        assert_eq!(reply.ok(), "3.0");
    }
    // The next signal does not wait for anybody.
    tokio::time::sleep(millis(400)).await;
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait_exit(secs(20)).await.code(), Some(0));
}

/// Three hosts that a test reaches one by one.
async fn three() -> [Server; 3] {
    let host = async || setup(&[KEY], "[plugin.everything]\ntimeout = \"10m\"").start().await;
    [host().await, host().await, host().await]
}

#[tokio::test]
async fn a_question_asked_by_one_host_is_answered_at_each_other() {
    let hosts = three().await;
    let able = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
    // The session is of the first, the second asks, and the answer comes to each in turn.
    let first = Client::legacy_able(&hosts[0], able).await;
    let [_, second, _] = hosts.each_ref().map(|host| first.also_at(&host.url));
    for (n, answers) in hosts.iter().enumerate() {
        let mut stream = second.stream("tools/call", json!({ "name": "test_input_required_result_elicitation", "arguments": {} })).await;
        let question = stream.next().await.expect("a question");
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert!(question["id"].as_str().is_some_and(|id| id.len() < 300), "{question}");
        let answer = json!({ "action": "accept", "content": { "name": format!("Ann {n}") } });
        // Somebody else's session answers nothing.
        let other = Client::legacy(answers).await;
        assert_eq!(other.answer(&question["id"], answer.clone()).await.status, 202);
        assert_eq!(first.also_at(&answers.url).answer(&question["id"], answer).await.status, 202);
        let done = stream.next().await.expect("the result");
        assert_eq!(done["result"]["content"][0]["text"], format!("Hello, Ann {n}!"), "{done}");
    }
}

#[tokio::test]
async fn a_stream_at_any_host_tells_of_changes_and_of_what_was_subscribed_at_another() {
    let hosts = three().await;
    let client = Client::legacy(&hosts[0]).await;
    let [_, second, third] = hosts.each_ref().map(|host| client.also_at(&host.url));
    let mut stream = second.listen_legacy().await;
    assert_eq!(third.rpc("resources/subscribe", json!({ "uri": "test://watched-resource" })).await.result(), &json!({}));
    client.call("test_trigger_resource_update", json!({})).await.ok();
    let updated = stream.wait_method("notifications/resources/updated").await;
    assert_eq!(updated["params"]["uri"], "test://watched-resource");
    std::fs::remove_file(hosts[0].plugin_file("calculator")).expect("it is there");
    stream.wait_method("notifications/tools/list_changed").await;
    assert_eq!(third.rpc("resources/unsubscribe", json!({ "uri": "test://watched-resource" })).await.result(), &json!({}));
}

#[tokio::test]
async fn a_call_is_cancelled_at_whichever_host_its_client_says_so() {
    let hosts = three().await;
    let client = Client::legacy(&hosts[0]).await;
    for (runs, cancels) in [(0, 1), (1, 0), (1, 2), (2, 2)] {
        let (runs, cancels) = (&hosts[runs], client.also_at(&hosts[cancels].url));
        let (id, request) =
            client.also_at(&runs.url).request("tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 300 } }));
        let call = tokio::spawn(async move { request.send().await.expect("an answer").text().await });
        runs.wait_plugin("everything", "has the call", |status| status["in_flight"] == 1).await;
        assert_eq!(cancels.notify("notifications/cancelled", json!({ "requestId": id })).await.status, 202);
        let body = tokio::time::timeout(secs(20), call).await.expect("it ends").expect("no panic").expect("a body");
        assert!(!body.contains("\"result\""), "{body}");
        runs.wait_plugin("everything", "runs nothing", |status| status["in_flight"] == 0).await;
    }
}

#[tokio::test]
async fn sessions_go_on_when_their_host_is_killed_and_when_the_keys_rotate() {
    let [mut first, second, third] = three().await;
    let client = Client::legacy(&first).await;
    let mut stream = client.also_at(&second.url).listen_legacy().await;
    first.signal(rustix::process::Signal::KILL);
    first.wait_exit(secs(20)).await;
    // What went through it has ended; the client listens again, and anybody answers.
    assert!(stream.next().await.is_none());
    for host in [&second, &third] {
        let client = client.also_at(&host.url);
        assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })).await.ok(), "3.0");
        assert_eq!(client.rpc("logging/setLevel", json!({ "level": "debug" })).await.result(), &json!({}));
        let mut stream = client.listen_legacy().await;
        std::fs::remove_file(host.plugin_file("calculator")).expect("it is there");
        stream.wait_method("notifications/tools/list_changed").await;
    }
    // Both keys, then only the new one: that client begins again.
    for (keys, status) in [(&[OTHER, KEY][..], 200), (&[OTHER], 404)] {
        let host = setup(keys, "").start().await;
        let reply = client.also_at(&host.url).rpc("tools/list", json!({})).await;
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 404 {
            assert_eq!(reply.code(), -32001);
            host.wait_log("the operator is told", |line| line.contains("WARN") && line.contains("[state] keys")).await;
        }
    }
}

#[tokio::test]
async fn an_ended_session_is_ended_where_it_was_and_where_that_was_said() {
    let hosts = three().await;
    let client = Client::legacy(&hosts[0]).await;
    let [_, second, _] = hosts.each_ref().map(|host| client.also_at(&host.url));
    let mut stream = client.listen_legacy().await;
    assert_eq!(second.end().await.status, 204);
    assert!(stream.next().await.is_none());
    for host in &hosts[..2] {
        assert_eq!(client.also_at(&host.url).rpc("tools/list", json!({})).await.status, 404);
    }
}

#[tokio::test]
async fn without_sessions_nothing_is_given_out_and_everything_is_served() {
    let host = async || Setup::new().plugin("calculator").config("[http]\nsessions = \"none\"").start().await;
    let hosts = [host().await, host().await];
    // Not even a key in common is needed.
    let proxy = Proxy::start(&[&hosts[0], &hosts[1]]).await;
    let client = Client::legacy_at(&proxy.url()).await;
    assert_eq!(client.session(), None);
    for _ in 0..4 {
        assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })).await.ok(), "3.0");
    }
}

#[tokio::test]
async fn thousands_of_sessions_take_little_memory() {
    /// Several times of what they take, and a small part of what a worker with channels for each would.
    const MOST: u64 = 20 << 20;
    const SESSIONS: usize = 3_000;
    const AT_ONCE: usize = 20;
    let server = Setup::new().plugin("calculator").start().await;
    let open = async |count: usize| {
        let http = toolbay_tests::client::http();
        // `initialized` is the first use of the session, from which on something is kept of it.
        for _ in 0..count {
            Client::legacy_through(&server.url, &http).await;
        }
    };
    open(50).await;
    let before = server.resident();
    futures::future::join_all((0..AT_ONCE).map(|_| open(SESSIONS / AT_ONCE))).await;
    let after = server.resident();
    assert!(after.saturating_sub(before) < MOST, "{before} bytes before, {after} with {SESSIONS} sessions");
}
