//! From start to first answer, with plugins that were compiled before.

use std::{
    net::TcpListener,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde::Serialize;
use serde_json::json;

use crate::{
    client::{self, Client},
    process::Server,
    requests::{Dialect, TOOL},
    run::{Bench, Copies, START_GOAL_MS, Verdict, copy_name, fresh},
    stats::median,
    table::{Table, number},
};

const PLUGINS: usize = 20;
const STARTS: u32 = 5;
/// Between two tries. Shorter, and the tries would take the CPU that the server needs.
const PAUSE: Duration = Duration::from_micros(500);
/// The first start compiles.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a start took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    /// From before the process was made until a call had its right answer.
    pub(crate) first_answer_ms: f64,
    /// Until `/readyz` said so: every plugin is loaded.
    pub(crate) ready_ms: f64,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<Verdict> {
    let folder = bench.folder("twenty", PLUGINS, Copies::Different)?;
    let cache = "cache-starts";
    fresh(&bench.dir.join(cache))?;
    let (first, _) = start(bench, &folder, PLUGINS, cache)?;
    bench.record("start", &json!({ "plugins": PLUGINS, "cached": false }), &first)?;
    let mut cached = Vec::new();
    for number in 0..STARTS {
        eprintln!("starts: {} of {STARTS}", number + 1);
        let (start, _) = start(bench, &folder, PLUGINS, cache)?;
        bench.record("start", &json!({ "plugins": PLUGINS, "cached": true }), &start)?;
        cached.push(start);
    }
    let answers: Vec<f64> = cached.iter().map(|start| start.first_answer_ms).collect();
    let slowest = answers.iter().copied().fold(0.0, f64::max);
    let (answer, ready) = (median(answers), median(cached.iter().map(|start| start.ready_ms).collect()));

    let mut table = Table::new(&["start with 20 plugins", "first answer ms", "all ready ms"], &[0]);
    table.row(["nothing compiled yet".to_owned(), number(first.first_answer_ms, 0), number(first.ready_ms, 0)]);
    table.row([format!("all in the cache (median of {STARTS})"), number(answer, 0), number(ready, 0)]);
    table.print("a start", "from the process to the answer of a call to the last plugin; each plugin's bytes are different");
    Ok(Verdict {
        goal: format!("first answer with {PLUGINS} cached plugins within {START_GOAL_MS} ms"),
        met: answer <= START_GOAL_MS,
        measured: format!("median {answer:.0} ms, slowest {slowest:.0} ms"),
    })
}

/// Starts Toolbay with so many copies, and waits for an answer of the last one and for all.
pub(crate) fn start(bench: &Bench, folder: &Path, copies: usize, cache: &str) -> anyhow::Result<(Start, Server)> {
    start_with(bench, folder, copies, cache, "")
}

/// The same with more in the configuration.
pub(crate) fn start_with(bench: &Bench, folder: &Path, copies: usize, cache: &str, more: &str) -> anyhow::Result<(Start, Server)> {
    // A port that is free now, and is known before the server is there.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string();
    let args = bench.toolbay_args_with(folder, cache, cache, more, &address)?;
    let tool = format!("{}__{TOOL}", copy_name(copies - 1));
    let (request, expected) = Dialect::modern(&address).call(&tool, 1);
    let started = Instant::now();
    let mut server = Server::start_at(&bench.toolbay, args, &bench.log("starts"), &address)?;
    let mut last = String::new();
    let mut until = |what: &str, done: &mut dyn FnMut() -> anyhow::Result<bool>| -> anyhow::Result<f64> {
        loop {
            match done() {
                Ok(true) => return Ok(started.elapsed().as_secs_f64() * 1e3),
                Ok(false) => {}
                Err(error) => last = format!("{error:#}"),
            }
            server.runs()?;
            ensure!(started.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}; the last try: {last}");
            sleep(PAUSE);
        }
    };
    let first_answer_ms = until("the first answer", &mut || {
        let answer = Client::connect(&address)?.send(&request)?;
        expected.check(answer.status, &answer.body)?;
        Ok(true)
    })?;
    let ready_ms = until("readiness", &mut || Ok(client::get(&address, "/readyz")? == 200))?;
    Ok((Start { first_answer_ms, ready_ms }, server))
}
