//! A server on stdio: called by a bare pipe, through Toolbay, and through the bridge of the Python SDK that people use.

use std::{
    net::TcpListener,
    process::Command,
    rc::Rc,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::{
    client::Client,
    compare::{Contender, Figures, cpu, figures, rounds},
    load::Measured,
    process::Server,
    requests::{Dialect, Era, TOOL},
    run::{BRIDGE_GOAL_US, Bench, Pace, Verdict, fresh},
    table::{Table, number},
};

/// Callers at once, all on one process of the server.
const CALLERS: [u32; 2] = [1, 64];
const RAW: &str = "a bare pipe";
/// Milliseconds a call need longer rounds.
const SLOW: Pace = Pace { rounds: 3, warmup: Duration::from_millis(500), measure: Duration::from_secs(2) };
/// A Python program takes seconds to start on a busy machine.
const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn run(bench: &Bench) -> anyhow::Result<Verdict> {
    let ours = vec![toolbay(bench)?];
    let other = match &bench.mcp_proxy {
        Some(program) => Some(mcp_proxy(bench, program)?),
        None => {
            eprintln!("bridge: no --mcp-proxy, no row for it");
            None
        }
    };
    for contender in &ours {
        contender.measure(bench, 64, bench.pace)?;
    }
    let mut table = Table::new(&["callers", "way", "CPU µs/call", "added", "calls/s", "p50 µs", "p99 µs"], &[1]);
    let mut added = Vec::new();
    for callers in CALLERS {
        let raw = raw(bench, callers)?;
        let bare = cpu(&raw);
        let mut measured = rounds(bench, &ours, callers)?;
        added.push((callers, measured.first().map(|measured| cpu(measured) - bare).unwrap_or_default()));
        if let Some(other) = &other {
            let slow = (0..SLOW.rounds).map(|_| other.measure(bench, callers, SLOW));
            measured.push(slow.collect::<anyhow::Result<_>>()?);
        }
        let labels = std::iter::once(RAW).chain(ours.iter().chain(&other).map(|contender| contender.label.as_str()));
        for (label, measured) in labels.zip(std::iter::once(&raw).chain(&measured)) {
            let Figures { cpu_us, calls_per_second, p50_us, p99_us, .. } = figures(measured, bare);
            let rest = json!({ "cpu_us": cpu_us, "added_us": cpu_us - bare, "calls_per_second": calls_per_second, "p50_us": p50_us, "p99_us": p99_us });
            bench.record("bridge", &json!({ "way": label, "callers": callers }), &rest)?;
            table.row([
                callers.to_string(),
                label.to_owned(),
                number(cpu_us, 1),
                if label == RAW { String::new() } else { number(cpu_us - bare, 1) },
                number(calls_per_second, 0),
                number(p50_us, 0),
                number(p99_us, 0),
            ]);
        }
        table.line();
    }
    table.print("a call of a server on stdio", "one process of the server; CPU of what stands before it, the server's own not counted");
    Ok(Verdict {
        goal: format!("the bridge adds at most {BRIDGE_GOAL_US} µs of CPU to a call, HTTP and all"),
        met: added.iter().all(|(_, added)| *added <= BRIDGE_GOAL_US),
        measured: added.iter().map(|(callers, added)| format!("{added:.1} with {callers} callers")).collect::<Vec<_>>().join(", "),
    })
}

/// The least that such a call costs.
fn raw(bench: &Bench, callers: u32) -> anyhow::Result<Vec<Measured>> {
    let one = |round| {
        let mut command = Command::new(&bench.own);
        command.args(["pipe", "--in-flight", &callers.to_string()]);
        command.args(["--warmup", &bench.pace.warmup.as_millis().to_string(), "--millis", &bench.pace.measure.as_millis().to_string()]);
        let output = command.output().context("cannot start the client of the pipe")?;
        ensure!(output.status.success(), "the client of the pipe: {}", String::from_utf8_lossy(&output.stderr).trim());
        let measured: Measured = serde_json::from_slice(&output.stdout).context("the client said something else than was expected")?;
        bench.record("round", &json!({ "server": RAW, "connections": callers, "round": round }), &measured)?;
        Ok(measured)
    };
    (0..bench.pace.rounds).map(one).collect()
}

fn toolbay(bench: &Bench) -> anyhow::Result<Contender> {
    let folder = bench.dir.join("none");
    fresh(&folder)?;
    let config = bench.dir.join("bridge.toml");
    let command = json!([bench.own, "adder"]);
    std::fs::write(&config, format!("[host]\ncache = \"cache\"\n[server.adder]\ncommand = {command}\n"))?;
    let (config, folder) = (config.display().to_string(), folder.display().to_string());
    let args = ["serve", "--config", &config, "--plugins", &folder, "--listen", "127.0.0.1:0"];
    let server = Server::start(&bench.toolbay, args, &bench.log("bridge"))?;
    ready(&Dialect::modern(&server.address), "Toolbay")?;
    Ok(Contender::modern("Toolbay, 2026-07-28", &Rc::new(server), TOOL))
}

fn mcp_proxy(bench: &Bench, program: &std::path::Path) -> anyhow::Result<Contender> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let own = bench.own.display().to_string();
    let port = address.port().to_string();
    // Without it a session's requests of several connections get in each other's way, since each counts from 1.
    let args = ["--stateless", "--port", &port, "--log-level", "WARNING", "--", &own, "adder"];
    let server = Rc::new(Server::start_at(program, args, &bench.log("mcp-proxy"), &address.to_string())?);
    ready(&Dialect { host: server.address.clone(), era: Era::Legacy, session: None }, "mcp-proxy")?;
    Ok(Contender { era: Era::Legacy, ..Contender::modern("mcp-proxy (Python), 2025-11-25", &server, TOOL) })
}

/// Waits until a call is answered as it should be.
fn ready(dialect: &Dialect, what: &str) -> anyhow::Result<()> {
    let (request, expected) = dialect.call(TOOL, 1);
    until(what, || {
        let answer = Client::connect(&dialect.host)?.send(&request)?;
        expected.check(answer.status, &answer.body)
    })
}

fn until<T>(what: &str, mut works: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match works() {
            Err(error) if started.elapsed() > START => return Err(error.context(format!("{what} does not serve"))),
            Err(_) => sleep(PAUSE),
            done => return done,
        }
    }
}
