//! One process follows another at the same address of one machine, by `handover` in `[http]`: no call is lost, whoever makes it.

use std::sync::Arc;

use rustix::process::Signal;
use tokio::sync::watch;
use toolbay_tests::{Client, Load, Reply, Server, Setup, eventually, json, outside::Outside, secs};

const KEY: &str = "a-key-that-is-long-enough-to-sign-it";

fn setup(path: &std::path::Path, config: &str) -> Setup {
    // What `config` begins with is of [http] too.
    let config = format!("[state]\nkeys = [{{ from_env = \"KEY\" }}]\n[http]\nhandover = {path:?}\nlame_duck = \"2s\"\n{config}");
    Setup::new().plugin("calculator").env("KEY", KEY).config(&config)
}

async fn add(client: Arc<Client>) -> Option<String> {
    match client.try_rpc("tools/call", json!({ "name": "add", "arguments": { "a": 1, "b": 2 } })).await {
        Ok(reply) if reply.status == 200 && reply.answer()["result"]["structuredContent"]["result"] == 3.0 => None,
        Ok(reply) => Some(format!("{reply:?}")),
        Err(error) => Some(format!("{error:?}")),
    }
}

#[tokio::test]
async fn no_call_is_lost_while_one_process_takes_over_from_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("handover.sock");
    let mut serves: Server = setup(&path, "").start().await;
    let (address, url) = (serves.address().to_owned(), serves.url.clone());
    let session = Client::legacy(&serves).await;
    let loads = [
        Load::of(|| Client::at(&url), 3, add),
        Load::of(|| session.also_at(&url), 3, add),
        // One that connects anew for each call.
        Load::of(|| Client::at(&url).alone(), 2, add),
    ];
    for round in 0..3 {
        for load in &loads {
            load.more(20).await;
        }
        // It says its address as soon as it is ready, while the other one still serves.
        let next = setup(&path, "").listen(&address).start().await;
        assert_eq!(next.address(), address, "round {round}");
        assert_eq!(serves.wait_exit(secs(60)).await.code(), Some(0), "{}", serves.log());
        assert!(serves.log().contains("another process has taken over"), "{}", serves.log());
        serves = next;
    }
    let (mut lost, mut answered) = (Vec::new(), 0);
    for load in loads {
        load.more(20).await;
        answered += load.answered();
        lost.extend(load.end().await);
    }
    println!("{answered} calls, {} lost", lost.len());
    assert!(lost.is_empty(), "{} of {answered} calls were lost: {lost:#?}", lost.len());
    // Nobody follows this one.
    serves.signal(Signal::TERM);
    assert_eq!(serves.wait_exit(secs(60)).await.code(), Some(0), "{}", serves.log());
    assert!(!path.exists());
}

async fn count(client: Arc<Client>) -> Option<String> {
    match client.try_rpc("tools/call", json!({ "name": "keep_increment", "arguments": { "key": "count", "by": 1 } })).await {
        Ok(reply) if reply.status == 200 && !reply.is_error() => None,
        Ok(reply) => Some(format!("{reply:?}")),
        Err(error) => Some(format!("{error:?}")),
    }
}

/// Ends the calls of [`count`], of which none may be lost: how many were answered, and what is kept.
async fn counted(load: Load, url: &str) -> (u64, u64) {
    let answered = load.answered();
    let lost = load.end().await;
    assert!(lost.is_empty(), "{} of {answered} calls were lost: {lost:#?}", lost.len());
    let kept = Client::at(url).call("keep_get", json!({ "key": "count" })).await.ok();
    (answered, kept.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number"))
}

#[tokio::test]
async fn what_plugins_keep_is_there_for_both_while_one_takes_over_from_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("handover.sock");
    let store = format!("[store]\npath = {:?}\n[plugin.keeper]\nstore = true\n", folder.path().join("store.redb"));
    let keeper = || setup(&path, &store).test_plugin("keeper");
    let mut serves = keeper().start().await;
    let (address, url) = (serves.address().to_owned(), serves.url.clone());
    let load = Load::of(|| Client::at(&url), 3, count);
    for _ in 0..2 {
        load.more(10).await;
        let next = keeper().listen(&address).start().await;
        load.more(10).await;
        assert_eq!(serves.wait_exit(secs(60)).await.code(), Some(0), "{}", serves.log());
        serves = next;
        serves.wait_log("that it is alone", |line| line.contains("the process before this one has ended")).await;
    }
    load.more(10).await;
    let (answered, kept) = counted(load, &url).await;
    assert!(kept >= answered, "{kept} of {answered}");
}

#[tokio::test]
async fn a_process_that_does_not_become_ready_takes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("handover.sock");
    let serves = setup(&path, "").start().await;
    let client = Client::modern(&serves);
    let call = async || assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })).await.ok(), "3.0");
    call().await;
    // A first attempt takes as long as its slowest server: this one never answers.
    let server = "[server.stuck]\ncommand = [\"sleep\", \"1000\"]\nstart_timeout = \"10m\"";
    let stuck_setup = setup(&path, server).listen(serves.address());
    let mut stuck = stuck_setup.spawn_only();
    serves.wait_log("the sockets were taken", |line| line.contains("asked for")).await;
    call().await;
    stuck.start_kill().expect("it runs");
    serves.wait_log("that it goes on", |line| line.contains("this one goes on")).await;
    call().await;
    // Without the path, the address is simply taken.
    let refused = Setup::new().plugin("calculator").listen(serves.address()).refused().await;
    refused.expect_code(1);
    assert!(refused.stderr.contains("another program uses the port"), "{}", refused.stderr);
    eventually("the process is still there", secs(5), || async { path.exists().then_some(()) }).await;
}

/// Answers when it is told to.
async fn gated(opened: watch::Receiver<bool>) -> Outside {
    let body = move || {
        let mut opened = opened.clone();
        axum::body::Body::from_stream(futures::stream::once(async move {
            opened.wait_for(|is| *is).await.expect("the test goes on");
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"through"))
        }))
    };
    Outside::with("127.0.0.1:0", |_| Arc::new(move |_: &str| Some(axum::response::Response::new(body())))).await
}

#[tokio::test]
async fn a_third_process_takes_over_while_the_first_one_still_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("handover.sock");
    let (open, opened) = watch::channel(false);
    let outside = gated(opened).await;
    // A call that waits, and then keeps something.
    let config = format!(
        "drain = \"10m\"\n[store]\npath = {:?}\n[plugin.keeper]\nstore = true\n[plugin.probe]\nhttp_private = [\"127.0.0.1:{}\"]\ntimeout = \"10m\"\n\
         http_timeout = \"10m\"\n[pipeline.late]\ntimeout = \"10m\"\n[[pipeline.late.steps]]\ntool = \"http_get\"\n\
         arguments = {{ url = {:?}, timeout_ms = 600000 }}\n[[pipeline.late.steps]]\ntool = \"keep_increment\"\n\
         arguments = {{ key = \"count\", by = 1 }}\n",
        folder.path().join("store.redb"),
        outside.port(),
        outside.base(),
    );
    let process = || setup(&path, &config).test_plugin("keeper").test_plugin("probe");
    let mut first = process().start().await;
    let (address, url) = (first.address().to_owned(), first.url.clone());
    let late = Client::at(&url).alone();
    let late = tokio::spawn(async move {
        let (id, request) = late.request("tools/call", json!({ "name": "late", "arguments": {} }));
        Reply::read(request.timeout(secs(600)).send().await.expect("an answer"), Some(id)).await
    });
    eventually("the call waits", secs(60), || async { (!outside.visits().is_empty()).then_some(()) }).await;
    let load = Load::of(|| Client::at(&url), 2, count);
    load.more(10).await;
    let mut second = process().listen(&address).start().await;
    first.wait_log("the second serves", |line| line.contains("another process has taken over")).await;
    load.more(10).await;
    let third = process().listen(&address).start().await;
    load.more(10).await;
    // The second ends before the first: the third knows that there is one more.
    assert_eq!(second.wait_exit(secs(60)).await.code(), Some(0), "{}", second.log());
    assert!(first.runs(), "its call waits");
    load.more(10).await;
    open.send_replace(true);
    late.await.expect("no panic").ok();
    assert_eq!(first.wait_exit(secs(60)).await.code(), Some(0), "{}", first.log());
    third.wait_log("that it is alone", |line| line.contains("the process before this one has ended")).await;
    load.more(10).await;
    let (answered, kept) = counted(load, &url).await;
    assert!(kept > answered, "{kept} of {answered} and the one that waited");
    for server in [&first, &second, &third] {
        assert!(!server.log().contains("has it open"), "{}", server.log());
    }
}

#[tokio::test]
async fn a_process_that_is_started_later_is_the_one_that_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("handover.sock");
    let mut first = setup(&path, "").start().await;
    let (address, url) = (first.address().to_owned(), first.url.clone());
    let load = Load::of(|| Client::at(&url), 2, add);
    load.more(10).await;
    // It does not become ready, so somebody starts another one, with a configuration that works.
    let stuck_setup = setup(&path, "[server.stuck]\ncommand = [\"sleep\", \"1000\"]\nstart_timeout = \"10m\"").listen(&address);
    let mut stuck = stuck_setup.spawn_only();
    first.wait_log("the sockets were taken", |line| line.contains("asked for")).await;
    let second = setup(&path, "").listen(&address).start().await;
    assert_eq!(first.wait_exit(secs(60)).await.code(), Some(0), "{}", first.log());
    let ended = tokio::time::timeout(secs(60), stuck.wait()).await.expect("it gives up").expect("its status");
    assert_eq!(ended.code(), Some(1));
    load.more(10).await;
    let lost = load.end().await;
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(!second.log().contains("asked for"), "{}", second.log());
}
