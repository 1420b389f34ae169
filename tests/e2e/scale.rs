//! A thousand plugins in the folder: all are listed, each can be called, and a call costs what it costs with one.

use std::time::Instant;

use toolbay_tests::{Client, Server, Setup, eventually, files, json, secs};

/// Calls that are measured.
const CALLS: usize = 4000;

/// CPU time of one call of a tool, in microseconds.
async fn cost(server: &Server, tool: &str) -> f64 {
    let clients: Vec<Client> = (0..8).map(|_| Client::modern(server)).collect();
    let round = async |calls: usize| {
        let work = clients.iter().map(|client| async move {
            for _ in 0..calls / 8 {
                client.call(tool, json!({ "a": 1, "b": 2 })).await.ok();
            }
        });
        futures::future::join_all(work).await;
    };
    round(400).await;
    let before = server.cpu();
    round(CALLS).await;
    (server.cpu() - before).as_secs_f64() * 1e6 / CALLS as f64
}

/// A thousand calculators, `p0000` to `p0999`.
fn thousand() -> Setup {
    let calculator = files::plugin("calculator");
    (0..1000).fold(Setup::new(), |setup, n| setup.file(&calculator, &format!("p{n:04}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_it_is_ready_serves_all_of_a_thousand_plugins() {
    let start = Instant::now();
    let server = thousand().start().await;
    let names = Client::modern(&server).tool_names().await;
    eprintln!("1,000 plugins are ready after {:?}, and the server holds {} MiB", start.elapsed(), server.resident() >> 20);
    assert!(start.elapsed() < secs(60), "{:?}", start.elapsed());
    assert_eq!(names.len(), 9000, "the first list after /readyz says 200 is whole");
    for n in [0, 1, 499, 999] {
        let reply = Client::modern(&server).call(&format!("p{n:04}__add"), json!({ "a": 1, "b": n })).await;
        assert_eq!(reply.result()["structuredContent"]["result"].as_f64(), Some(f64::from(n) + 1.0));
    }
}

#[tokio::test]
async fn a_thousand_plugins_with_the_same_tools_do_not_make_endless_lines_of_log() {
    let server = thousand().start().await;
    server.wait_log("the collision", |line| line.contains("WARN") && line.contains("add")).await;
    let (lines, longest) = server.log().lines().fold((0, 0), |(count, longest), line| (count + 1, line.len().max(longest)));
    assert!(longest < 4000, "a line of the log has {longest} bytes");
    assert!(lines < 3000, "{lines} lines of log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_costs_with_a_thousand_plugins_what_it_costs_with_one() {
    let one = Setup::new().plugin("calculator").start().await;
    let cost_of_one = cost(&one, "add").await;
    drop(one);
    let server = thousand().start().await;
    let client = Client::modern(&server);
    eventually("all are listed", secs(30), || async { (client.tool_names().await.len() == 9000).then_some(()) }).await;
    let cost_of_thousand = cost(&server, "p0999__add").await;
    eprintln!("CPU per call: {cost_of_one:.1} µs with one plugin, {cost_of_thousand:.1} µs with 1,000");
    assert!(cost_of_thousand < cost_of_one * 1.5 + 10.0, "{cost_of_one:.1} µs with one plugin, {cost_of_thousand:.1} µs with 1,000");
}
