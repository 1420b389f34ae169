//! A server on stdio: called by a bare pipe, through Toolbay, and through bridges that people use.

use std::{
    net::TcpListener,
    path::Path,
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
    run::{BRIDGE_GOAL_US, Bench, Others, Pace, Verdict, fresh},
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
    let others = others(bench)?;
    for contender in &ours {
        contender.measure(bench, 64, bench.pace)?;
    }
    let mut table = Table::new(&["callers", "way", "CPU µs/call", "added", "calls/s", "p50 µs", "p99 µs"], &[1]);
    let mut added = Vec::new();
    let mut failures = Vec::new();
    for callers in CALLERS {
        let raw = raw(bench, callers)?;
        let bare = cpu(&raw);
        let measured = rounds(bench, &ours, callers)?;
        added.push((callers, measured.first().map(|measured| cpu(measured) - bare).unwrap_or_default()));
        let row = |table: &mut Table, label: &str, measured: &[Measured]| {
            let figures = figures(measured, bare);
            let Figures { cpu_us, calls_per_second, p50_us, p99_us, .. } = figures;
            table.row([
                callers.to_string(),
                label.to_owned(),
                number(cpu_us, 1),
                if label == RAW { String::new() } else { number(cpu_us - bare, 1) },
                number(calls_per_second, 0),
                number(p50_us, 0),
                number(p99_us, 0),
            ]);
            bench.record("bridge", &json!({ "way": label, "callers": callers, "added_us": cpu_us - bare }), &figures)
        };
        row(&mut table, RAW, &raw)?;
        for (contender, measured) in ours.iter().zip(&measured) {
            row(&mut table, &contender.label, measured)?;
        }
        for (contender, measured) in others.iter().zip(slow_rounds(bench, &others, callers)?) {
            match measured {
                Ok(measured) => row(&mut table, &contender.label, &measured)?,
                Err(why) => {
                    // Its clients stop at the first answer that is wrong or does not come. There is no figure then.
                    let blank = String::new;
                    table.row([callers.to_string(), contender.label.clone(), "failed".to_owned(), blank(), blank(), blank(), blank()]);
                    bench.record("bridge", &json!({ "way": contender.label, "callers": callers }), &json!({ "error": why }))?;
                    failures.push(format!("failed: {why}"));
                }
            }
        }
        table.line();
    }
    table.print(
        "a call of a server on stdio",
        "one process of the server; CPU of what stands before it, without the server's own where it is started once",
    );
    for failure in failures {
        println!("{failure}");
    }
    Ok(Verdict {
        goal: format!("the bridge adds at most {BRIDGE_GOAL_US} µs of CPU to a call, HTTP and all"),
        met: added.iter().all(|(_, added)| *added <= BRIDGE_GOAL_US),
        measured: added.iter().map(|(callers, added)| format!("{added:.1} with {callers} callers")).collect::<Vec<_>>().join(", "),
    })
}

/// Bridges that people use: those that are there and start.
fn others(bench: &Bench) -> anyhow::Result<Vec<Contender>> {
    let Others { mcp_proxy, mcpo, supergateway } = &bench.others;
    let mut others = Vec::new();
    for (name, program, start) in
        [("mcp-proxy", mcp_proxy, self::mcp_proxy as Start), ("mcpo", mcpo, self::mcpo), ("supergateway", supergateway, self::supergateway)]
    {
        match program {
            Some(program) => match start(bench, program) {
                Ok(contender) => others.push(contender),
                Err(error) => eprintln!("bridge: no row for {name}: {error:#}; see {}", bench.log(name).display()),
            },
            None => eprintln!("bridge: no --{name}, no row for it"),
        }
    }
    Ok(others)
}

type Start = fn(&Bench, &Path) -> anyhow::Result<Contender>;

/// Takes turns among those that need milliseconds a call. What went wrong with one is said in its place.
fn slow_rounds(bench: &Bench, others: &[Contender], callers: u32) -> anyhow::Result<Vec<Result<Vec<Measured>, String>>> {
    let mut all: Vec<Result<Vec<Measured>, String>> = others.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..SLOW.rounds {
        for (contender, measured) in others.iter().zip(&mut all) {
            let Ok(list) = measured else { continue };
            match contender.measure(bench, callers, SLOW) {
                Ok(one) => {
                    bench.record("round", &json!({ "server": contender.label, "connections": callers, "round": round }), &one)?;
                    list.push(one);
                }
                Err(error) => *measured = Err(format!("{error:#}")),
            }
        }
    }
    Ok(all)
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
    std::fs::write(&config, format!("[host]\ncache = \"cache\"\ncompiler = \"cranelift\"\n[server.adder]\ncommand = {command}\n"))?;
    let (config, folder) = (config.display().to_string(), folder.display().to_string());
    let args = ["serve", "--config", &config, "--plugins", &folder, "--listen", "127.0.0.1:0"];
    let server = Server::start(&bench.toolbay, args, &bench.log("bridge"))?;
    ready(&Dialect::modern(&server.address), "Toolbay")?;
    Ok(Contender::modern("Toolbay, 2026-07-28", &Rc::new(server), TOOL))
}

fn mcp_proxy(bench: &Bench, program: &Path) -> anyhow::Result<Contender> {
    // Without it a session's requests of several connections get in each other's way, since each counts from 1.
    let server = bridge(bench, "mcp-proxy", program, Era::Legacy, |port, adder| {
        vec!["--stateless", "--port", port, "--log-level", "WARNING", "--", adder, "adder"].into_iter().map(str::to_owned).collect()
    })?;
    Ok(Contender { era: Era::Legacy, ..Contender::modern("mcp-proxy (Python), 2025-11-25", &server, TOOL) })
}

fn mcpo(bench: &Bench, program: &Path) -> anyhow::Result<Contender> {
    let server = bridge(bench, "mcpo", program, Era::Plain, |port, adder| {
        vec!["--host", "127.0.0.1", "--port", port, "--log-level", "WARNING", "--", adder, "adder"].into_iter().map(str::to_owned).collect()
    })?;
    Ok(Contender { era: Era::Plain, ..Contender::modern("mcpo (Python), plain HTTP", &server, TOOL) })
}

fn supergateway(bench: &Bench, program: &Path) -> anyhow::Result<Contender> {
    // As it comes, without sessions: it starts a process of the server for every call, which is what a call costs then. With `--stateful` it starts one for
    // every session, and 64 callers of one session would need 64 ranges of ids.
    let server = bridge(bench, "supergateway", program, Era::Legacy, |port, adder| {
        let command = format!("'{adder}' adder");
        vec!["--stdio", &command, "--outputTransport", "streamableHttp", "--port", port, "--logLevel", "none"]
            .into_iter()
            .map(str::to_owned)
            .collect()
    })?;
    let label = "supergateway (Node), 2025-11-25, a process a call";
    Ok(Contender { era: Era::Legacy, with_family: true, ..Contender::modern(label, &server, TOOL) })
}

/// Starts a bridge of others on a free port, before the server, and waits until it answers right.
fn bridge(bench: &Bench, name: &str, program: &Path, era: Era, args: impl Fn(&str, &str) -> Vec<String>) -> anyhow::Result<Rc<Server>> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let args = args(&address.port().to_string(), &bench.own.display().to_string());
    let server = Rc::new(Server::start_at(program, args, &bench.log(name), &address.to_string())?);
    ready(&Dialect::new(&server.address, era), name)?;
    Ok(server)
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
