//! A thousand plugins in the folder: all are listed, each can be called, and a call costs what it costs with one.

use std::time::Instant;

use toolbay_tests::{Client, Server, Setup, files, json, secs};

/// Calls that are measured.
const CALLS: usize = 4000;

/// User and system time of the server so far, in ticks of 10 ms.
fn ticks(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", server.pid)).expect("it runs");
    let fields: Vec<&str> = text.rsplit(')').next().expect("the name is in brackets").split_whitespace().collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

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
    let before = ticks(server);
    round(CALLS).await;
    (ticks(server) - before) as f64 * 10_000.0 / CALLS as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_plugins_are_served_and_a_call_costs_no_more_than_with_one() {
    let one = Setup::new().plugin("calculator").start().await;
    let cost_of_one = cost(&one, "add").await;
    drop(one);

    let calculator = files::plugin("calculator");
    let setup = (0..1000).fold(Setup::new(), |setup, n| setup.file(&calculator, &format!("p{n:04}")));
    let start = Instant::now();
    let server = setup.start().await;
    eprintln!("1,000 plugins are ready after {:?}, and the server holds {} MiB", start.elapsed(), server.resident() >> 20);
    assert!(start.elapsed() < secs(60), "{:?}", start.elapsed());
    let names = Client::modern(&server).tool_names().await;
    let tools_of_one = names.iter().filter(|name| name.starts_with("p0500__")).count();
    assert!(tools_of_one >= 9, "{tools_of_one} tools of p0500");
    assert_eq!(names.len(), tools_of_one * 1000);
    for n in [0, 1, 499, 999] {
        let reply = Client::modern(&server).call(&format!("p{n:04}__add"), json!({ "a": 1, "b": n })).await;
        assert_eq!(reply.result()["structuredContent"]["result"].as_f64(), Some(f64::from(n) + 1.0));
    }
    let longest = server.log().lines().map(str::len).max().unwrap_or(0);
    assert!(longest < 4000, "a line of the log has {longest} bytes");
    let cost_of_thousand = cost(&server, "p0999__add").await;
    eprintln!("CPU per call: {cost_of_one:.1} µs with one plugin, {cost_of_thousand:.1} µs with 1,000");
    assert!(cost_of_thousand < cost_of_one * 1.5 + 10.0, "{cost_of_one:.1} µs with one plugin, {cost_of_thousand:.1} µs with 1,000");
}
