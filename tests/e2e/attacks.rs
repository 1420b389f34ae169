//! Attacks that once broke something: each has a neighbour whose calls go on, and leaves a server that answers and ends when it is asked to.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use futures::future::join_all;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use toolbay_tests::{Client, Server, Setup, Value, client::http, eventually, files, json, raw, secs, wat};

/// The neighbour's call, which has to work whatever goes on.
async fn assert_serves(server: &Server) {
    let client = Client::modern(server);
    let add = client.call("add", json!({ "a": 1, "b": 2 }));
    let reply = tokio::time::timeout(secs(10), add).await.expect("the neighbour is answered");
    assert_eq!(reply.result()["structuredContent"]["result"], 3.0);
}

async fn assert_ends(mut server: Server) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(secs(15)).await.code(), Some(0));
}

fn probe(config: &str) -> Setup {
    Setup::new().plugin("calculator").test_plugin("probe").config(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_that_matches_for_minutes_holds_nobody_up() {
    let server = probe("[http]\ndrain = \"1s\"\n[plugin.probe]\ntimeout = \"1s\"").start().await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = Client::modern(&server);
            tokio::spawn(async move { client.call("matched", json!({ "letters": 4_000_000 })).await.failure() })
        })
        .collect();
    while calls.iter().any(|call| !call.is_finished()) {
        assert_serves(&server).await;
        assert_eq!(http().get(format!("{}/healthz", server.base)).send().await.expect("it lives").status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for call in join_all(calls).await {
        let failure = call.expect("no panic");
        assert!(failure.contains("time limit"), "{failure}");
    }
    // Short answers are still checked.
    let failure = Client::modern(&server).call("matched", json!({ "letters": 1000 })).await.failure();
    assert!(failure.contains("does not match"), "{failure}");
    assert_ends(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_a_granted_folder_is_refused_and_keeps_nobody_from_ending() {
    let setup = probe("[plugin.probe]\ntimeout = \"2s\"\ndirs = [{ host = \"data\", guest = \"/data\", write = true }]");
    let data = setup.home().join("data");
    fs::create_dir(&data).expect("a folder");
    let pipe = data.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    assert!(fs::metadata(&pipe).expect("it is there").file_type().is_fifo());
    let _socket = std::os::unix::net::UnixListener::bind(data.join("socket")).expect("a socket");
    let server = setup.start().await;
    let client = Client::modern(&server);
    for _ in 0..20 {
        let read = client.call("read_file", json!({ "path": "/data/pipe" })).await.failure();
        assert!(read.contains("pipe") && read.contains("files and folders only"), "{read}");
        let write = client.call("write_file", json!({ "path": "/data/pipe", "text": "x" })).await.failure();
        assert!(write.contains("files and folders only"), "{write}");
    }
    let socket = client.call("read_file", json!({ "path": "/data/socket" })).await.failure();
    assert!(socket.contains("files and folders only"), "{socket}");
    client.call("write_file", json!({ "path": "/data/file", "text": "x" })).await.ok();
    client.call("read_file", json!({ "path": "/data/file" })).await.ok();
    assert_ends(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_files_of_one_plugin_leave_descriptors_for_connections() {
    let setup = probe("[plugin.probe]\ntimeout = \"10s\"\ndirs = [{ host = \"data\", guest = \"/data\" }]");
    fs::create_dir(setup.home().join("data")).expect("a folder");
    fs::write(setup.home().join("data/file"), "x").expect("a file");
    let server = setup.start().await;
    let hold: Vec<_> = (0..8)
        .map(|_| {
            let client = Client::modern(&server);
            let arguments = json!({ "path": "/data/file", "count": 900, "ms": 1500 });
            tokio::spawn(async move { client.call("hold_files", arguments).await.failure() })
        })
        .collect();
    server.wait_log("that a plugin may open no more", |line| line.contains("as many files open")).await;
    for _ in 0..20 {
        assert_eq!(
            raw::status(&raw::ask(server.address(), b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await),
            Some(200)
        );
        assert_serves(&server).await;
    }
    for call in join_all(hold).await {
        assert!(call.expect("no panic").contains("as many files open"));
    }
    // They are closed with their calls.
    let arguments = json!({ "path": "/data/file", "count": 20, "ms": 0 });
    assert_eq!(Client::modern(&server).call("hold_files", arguments).await.result()["structuredContent"]["opened"], 20);
}

/// Asks for megabytes over a connection that takes nearly nothing, and does not read.
async fn ask_and_do_not_read(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(server.address().parse().expect("an address")).await.expect("it listens");
    let params = json!({ "name": "structured", "arguments": { "letters": 3_900_000 } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it takes the request");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_bounded() {
    let server = probe("[http]\nmax_answers = \"32MiB\"\n[plugin.probe]\nconcurrency = 4").start().await;
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(ask_and_do_not_read(&server).await);
    }
    server.wait_log("that answers were given up", |line| line.contains("max_answers")).await;
    server.wait_plugin("probe", "has answered all", |status| status["in_flight"] == 0 && status["queued"] == 0).await;
    assert_serves(&server).await;
    // 780 MB of answers: what is left is the limit, and what the allocator keeps.
    // A thread gives its memory back when it works.
    eventually("the answers are gone", secs(60), || async {
        assert_serves(&server).await;
        let resident = server.resident() >> 20;
        (resident < 600).then_some(()).or_else(|| {
            eprintln!("{resident} MiB are resident");
            None
        })
    })
    .await;
    // Whoever reads gets the whole.
    let body = json!({ "tool_name": "structured", "tool_args": { "letters": 3_900_000 } }).to_string();
    let read = http().post(format!("{}/call", server.base)).body(body).send().await.expect("it answers");
    assert!(read.bytes().await.expect("a whole answer").len() > 3_900_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_name_of_megabytes_costs_nothing() {
    let server = Setup::new().plugin("calculator").start().await;
    let name = "ab".repeat(1_900_000);
    let body = json!({ "tool_name": name, "tool_args": {} }).to_string();
    for path in ["/call", "/calculator/call"] {
        let answer = http().post(format!("{}{path}", server.base)).body(body.clone()).send().await.expect("it answers");
        assert_eq!(answer.status(), 404);
        assert!(answer.text().await.expect("a body").len() < 2000);
    }
    for (method, params) in [
        ("tools/call", json!({ "name": name, "arguments": {} })),
        ("prompts/get", json!({ "name": name })),
        ("resources/read", json!({ "uri": name })),
    ] {
        let reply = Client::legacy(&server).await.rpc(method, params).await;
        assert!(reply.error()["message"].as_str().expect("a message").len() < 2000, "{method}");
    }
    assert_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_shut_out_neither_probes_nor_callers() {
    let server = Setup::new().plugin("calculator").config("[http]\nmax_connections = 20").start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        if let Ok(stream) = TcpStream::connect(server.address()).await {
            idle.push(stream);
        }
    }
    for path in ["/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert_eq!(raw::status(&raw::ask(server.address(), request.as_bytes()).await), Some(200), "{path}");
    }
    eventually("callers come in", secs(10), || async {
        let call = Client::modern(&server).try_rpc("tools/call", json!({ "name": "add", "arguments": { "a": 1, "b": 2 } })).await;
        call.ok().filter(|reply| reply.status == 200)
    })
    .await;
}

/// A server that answers `103 Early Hints` without end.
async fn hints_without_end() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x.css>; rel=preload\r\n\r\n".repeat(1000);
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let hints = hints.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                while stream.write_all(hints.as_bytes()).await.is_ok() {}
            });
        }
    });
    (port, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_without_end_hold_nobody_up() {
    let (port, hints) = hints_without_end().await;
    let server = probe(&format!("[plugin.probe]\ntimeout = \"2s\"\nhttp_private = [\"127.0.0.1:{port}\"]")).start().await;
    let client = Client::modern(&server);
    let arguments = json!({ "url": format!("http://127.0.0.1:{port}/"), "count": 16 });
    let call = tokio::spawn(async move { client.call("http_many", arguments).await.failure() });
    while !call.is_finished() {
        assert_serves(&server).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failure = call.await.expect("no panic");
    assert!(failure.contains("time limit"), "{failure}");
    assert_ends(server).await;
    hints.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instructions_that_cannot_be_interrupted_leave_a_worker_for_others() {
    let server = probe("[plugin.probe]\ntimeout = \"2s\"").start().await;
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let client = Client::modern(&server);
            tokio::spawn(async move { client.call("fill", json!({ "mib": 100, "times": 10_000 })).await.failure() })
        })
        .collect();
    while calls.iter().any(|call| !call.is_finished()) {
        assert_serves(&server).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for call in join_all(calls).await {
        let failure = call.expect("no panic");
        assert!(failure.contains("time limit"), "{failure}");
    }
}

/// The code of compiled components below a folder.
fn compiled(cache: &Path) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(cache).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let entries = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

async fn version_of(server: &Server) -> Value {
    Client::modern(server).call("version", json!({})).await.result()["structuredContent"]["result"].clone()
}

#[tokio::test]
async fn the_cache_may_be_changed_deleted_and_shut_and_comes_back() {
    let setup = Setup::new().bytes("v.wasm", &wat::binary(&wat::version(70_001))).config("[host]\ncache = \"cache\"");
    let cache = setup.home().join("cache");
    let server = setup.start().await;
    assert_eq!(version_of(&server).await, 70_001);
    let code = compiled(&cache).pop().expect("it is kept");
    let put = |number: u32| files::put(&wat::binary(&wat::version(number)), &server.plugin_file("v"));
    let serves = async |number: u32| {
        eventually("the new version serves", secs(30), || async { (version_of(&server).await == number).then_some(()) }).await;
    };
    // One bit of it.
    let mut bytes = fs::read(&code).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&code, &bytes).expect("it can be written");
    put(70_002);
    serves(70_002).await;
    put(70_001);
    serves(70_001).await;
    server.wait_log("that the code was changed", |line| line.contains("compiling again")).await;
    // Away, while it runs.
    fs::remove_dir_all(&cache).expect("it can be deleted");
    put(70_003);
    serves(70_003).await;
    assert_eq!(compiled(&cache).len(), 1, "it is there again");
    // In the way.
    fs::remove_dir_all(&cache).expect("it can be deleted");
    fs::write(&cache, "").expect("a file in its place");
    put(70_004);
    serves(70_004).await;
    server.wait_log("that nothing is kept", |line| line.contains("cannot be kept")).await;
    fs::remove_file(&cache).expect("it can be deleted");
    put(70_005);
    serves(70_005).await;
    server.wait_log("that it is kept again", |line| line.contains("kept again")).await;
    // Of everybody: not used.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("it is ours");
    put(70_006);
    serves(70_006).await;
    assert_eq!(compiled(&cache).len(), 1, "nothing is put there");
}

#[tokio::test]
async fn signals_that_mean_nothing_change_nothing_and_quit_drains() {
    let mut server = Setup::new().plugin("calculator").start().await;
    for signal in [Signal::USR1, Signal::USR2] {
        server.signal(signal);
    }
    server.wait_log("that the signal means nothing", |line| line.contains("SIGUSR2")).await;
    assert_serves(&server).await;
    server.signal(Signal::QUIT);
    assert_eq!(server.wait_exit(secs(10)).await.code(), Some(0));
    server.wait_log("the signal", |line| line.contains("SIGQUIT")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_log_lines_count_as_many() {
    let server = probe("[plugin.probe]\nlog_rate = 50").start().await;
    let client = Client::modern(&server);
    for _ in 0..200 {
        client.call("log_data", json!({ "logger": "x".repeat(10_000), "data": "\u{1}".repeat(100_000) })).await.ok();
    }
    let bytes = server.log().len();
    assert!(bytes < 400_000, "{bytes} bytes of log");
    assert!(server.log().contains("log_rate"), "what was dropped is said");
}
