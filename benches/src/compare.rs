//! A call: what it costs with Toolbay and with the others, at several numbers of connections.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    rc::Rc,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;

use crate::{
    baseline::Ratio,
    client::Client,
    load::Measured,
    process::Server,
    requests::{Dialect, Era, TOOL},
    run::{Bench, Copies, GOAL, Pace, Verdict},
    servers::Kind,
    stats::{lower_quartile, median},
    table::{Table, number},
};

const CONNECTIONS: [u32; 4] = [1, 8, 64, 256];
/// Beside a busy process: fewer, since each row takes its time.
const CONNECTIONS_BESIDE: [u32; 2] = [8, 64];
/// The row that the others are compared with.
const FLOOR: &str = "axum + fresh instance (the floor)";

/// A row of the table: a server, and a way to talk to it.
pub(crate) struct Contender {
    pub(crate) label: String,
    pub(crate) server: Rc<Server>,
    pub(crate) tool: String,
    /// A call that is read from this file, in place of one of the tool.
    pub(crate) case: Option<PathBuf>,
    pub(crate) era: Era,
    pub(crate) session: Option<String>,
    /// The bearer token that the clients show.
    pub(crate) token: Option<String>,
    /// Whether the processes that it starts are counted with it.
    pub(crate) with_family: bool,
    /// Whether the goal is for it.
    pub(crate) is_ours: bool,
}

impl Contender {
    pub(crate) fn modern(label: &str, server: &Rc<Server>, tool: &str) -> Self {
        Self {
            label: label.to_owned(),
            server: server.clone(),
            tool: tool.to_owned(),
            case: None,
            era: Era::Modern,
            session: None,
            token: None,
            with_family: false,
            is_ours: false,
        }
    }

    /// Calls it for a while.
    pub(crate) fn measure(&self, bench: &Bench, connections: u32, pace: Pace) -> anyhow::Result<Measured> {
        let mut load = Command::new(&bench.own);
        match &self.case {
            Some(case) => load.args(["load", "--case"]).arg(case),
            None => load.args(["load", "--tool", &self.tool]),
        };
        load.args(["--address", &self.server.address])
            .args(["--era", self.era.name()])
            .args(["--pid", &self.server.pid().to_string(), "--connections", &connections.to_string()])
            .args(["--warmup", &pace.warmup.as_millis().to_string(), "--millis", &pace.measure.as_millis().to_string()]);
        if let Some(session) = &self.session {
            load.args(["--session", session]);
        }
        if let Some(token) = &self.token {
            load.args(["--token", token]);
        }
        if self.with_family {
            load.arg("--family");
        }
        let output = load.output().context("cannot start the clients")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} at {connections} connections: {}", self.label, said.trim());
        serde_json::from_slice(&output.stdout).context("the clients said something else than was expected")
    }
}

/// What came in several rounds, as one: the lower quartile of CPU times, the median of the others.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) cpu_us: f64,
    /// To the floor's.
    pub(crate) ratio: f64,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Figures {
    /// As they stand in a row: CPU, ratio, calls a second, median and 99th percentile.
    pub(crate) fn cells(&self) -> [String; 5] {
        let Self { cpu_us, ratio, calls_per_second, p50_us, p99_us } = *self;
        [number(cpu_us, 1), number(ratio, 2), number(calls_per_second, 0), number(p50_us, 0), number(p99_us, 0)]
    }
}

/// How figures come from rounds, for the head of a table.
pub(crate) fn of_rounds(bench: &Bench) -> String {
    format!("{} interleaved rounds: CPU is the lower quartile, the rest are medians", bench.pace.rounds)
}

/// A process that uses up caches, until this is dropped.
struct Neighbour(Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `beside`: a process that uses up caches runs all the while.
pub(crate) fn run(bench: &Bench, beside: bool) -> anyhow::Result<(Vec<Verdict>, Vec<Ratio>)> {
    let contenders = contenders(bench)?;
    // Code and pools are warm, and whoever answers wrong does it now.
    for contender in &contenders {
        contender.measure(bench, 64, bench.pace)?;
    }
    let mut table = Table::new(&["connections", "server", "CPU µs/call", "× floor", "calls/s", "p50 µs", "p99 µs", "RSS MiB"], &[1]);
    let neighbour = || Command::new(&bench.own).arg("thrash").stdin(Stdio::null()).spawn().context("cannot start the neighbour");
    let _neighbour = beside.then(neighbour).transpose()?.map(Neighbour);
    let (kind, connections) = if beside { ("call beside", &CONNECTIONS_BESIDE[..]) } else { ("call", &CONNECTIONS[..]) };
    let mut ratios = Vec::new();
    for &connections in connections {
        let rounds = rounds(bench, &contenders, connections)?;
        let floor = cpu(at(&contenders, &rounds, FLOOR));
        for (contender, measured) in contenders.iter().zip(&rounds) {
            let figures = figures(measured, floor);
            let rss = contender.server.rss_mib()?;
            let what = json!({ "server": contender.label, "connections": connections, "rss_mib": rss });
            bench.record(kind, &what, &figures)?;
            let who = [connections.to_string(), contender.label.clone()];
            table.row(who.into_iter().chain(figures.cells()).chain([number(rss, 1)]));
            if contender.is_ours {
                ratios.push(Ratio { server: contender.label.clone(), connections, beside, ratio: figures.ratio });
            }
        }
        table.line();
    }
    let title = if beside { "a call of `add` beside a process that uses up caches" } else { "a call of `add`" };
    table.print(title, &of_rounds(bench));
    let verdicts = verdicts(&contenders, &ratios, if beside { ", beside a busy process" } else { "" });
    Ok((verdicts, ratios))
}

/// All take turns, in every round another one first: whatever disturbs the machine disturbs all of them.
pub(crate) fn rounds(bench: &Bench, contenders: &[Contender], connections: u32) -> anyhow::Result<Vec<Vec<Measured>>> {
    let mut all: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..bench.pace.rounds {
        eprintln!("calls: {connections} connections, round {} of {}", round + 1, bench.pace.rounds);
        let first = usize::try_from(round)? % contenders.len();
        let order = (0..contenders.len()).cycle().skip(first).take(contenders.len());
        for index in order {
            let (Some(contender), Some(list)) = (contenders.get(index), all.get_mut(index)) else { continue };
            let measured = contender.measure(bench, connections, bench.pace)?;
            bench.record("round", &json!({ "server": contender.label, "connections": connections, "round": round }), &measured)?;
            list.push(measured);
        }
    }
    Ok(all)
}

fn at<'a>(contenders: &[Contender], rounds: &'a [Vec<Measured>], label: &str) -> &'a [Measured] {
    contenders.iter().zip(rounds).find(|(contender, _)| contender.label == label).map_or(&[], |(_, measured)| measured)
}

/// CPU time for a call, in microseconds.
pub(crate) fn cpu(measured: &[Measured]) -> f64 {
    lower_quartile(measured.iter().map(|measured| measured.cpu_us).collect())
}

pub(crate) fn figures(measured: &[Measured], floor: f64) -> Figures {
    let middle = |part: fn(&Measured) -> f64| median(measured.iter().map(part).collect());
    Figures {
        cpu_us: cpu(measured),
        ratio: cpu(measured) / floor,
        calls_per_second: middle(|measured| measured.calls_per_second),
        p50_us: middle(|measured| measured.p50_us),
        p99_us: middle(|measured| measured.p99_us),
    }
}

fn verdicts(contenders: &[Contender], ratios: &[Ratio], how: &str) -> Vec<Verdict> {
    let ours = contenders.iter().filter(|contender| contender.is_ours);
    let verdict = |contender: &Contender| {
        let mine = ratios.iter().filter(|ratio| ratio.server == contender.label);
        let measured: Vec<String> = mine.clone().map(|Ratio { connections, ratio, .. }| format!("{ratio:.2} at {connections}")).collect();
        Verdict {
            goal: format!("{}{how}: CPU per call at most {GOAL} × the floor", contender.label),
            met: mine.clone().all(|mine| mine.ratio <= GOAL),
            measured: format!("{} connections", measured.join(", ")),
        }
    };
    ours.map(verdict).collect()
}

fn contenders(bench: &Bench) -> anyhow::Result<Vec<Contender>> {
    let plugin = bench.plugin.to_str().context("the path of the plugin is not UTF-8")?;
    let mut contenders = Vec::new();
    for kind in Kind::ADDING {
        let mut args = vec!["serve", kind.name()];
        if matches!(kind, Kind::Floor) {
            args.extend(["--plugin", plugin]);
        }
        let server = Rc::new(Server::start(&bench.own, args, &bench.log(kind.name()))?);
        let label = match kind {
            Kind::Floor => FLOOR,
            Kind::Rmcp => "rmcp, native tool",
            _ => "axum + serde_json",
        };
        contenders.push(Contender::modern(label, &server, TOOL));
    }
    let folder = bench.folder("one", 0, Copies::Same)?;
    std::fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    let args = bench.toolbay_args(&folder, "cache", "127.0.0.1:0")?;
    let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log("toolbay"))?);
    contenders.push(Contender { is_ours: true, ..Contender::modern("Toolbay, 2026-07-28", &server, TOOL) });
    if let Some((other, name)) = &bench.other {
        let args = bench.toolbay_args(&folder, "cache-other", "127.0.0.1:0")?;
        let other = Rc::new(Server::start(other, args, &bench.log("toolbay-other"))?);
        contenders.push(Contender::modern(&format!("Toolbay, 2026-07-28, {name}"), &other, TOOL));
    }
    let legacy = |label: &str, session| Contender {
        is_ours: true,
        era: Era::Legacy,
        session,
        ..Contender::modern(&format!("Toolbay, 2025-11-25, {label}"), &server, TOOL)
    };
    match session(&server.address)? {
        Some(session) => contenders.push(legacy("session", Some(session))),
        None => eprintln!("Toolbay gives legacy clients no session: no row for it"),
    }
    if serves_without_session(&server.address)? {
        contenders.push(legacy("no session", None));
    } else {
        eprintln!("Toolbay does not serve legacy clients without a session: no row for it");
    }
    Ok(contenders)
}

/// The session that a legacy client gets from `initialize`.
pub(crate) fn session(address: &str) -> anyhow::Result<Option<String>> {
    let mut dialect = Dialect::new(address, Era::Legacy);
    let mut client = Client::connect(address)?;
    let answer = client.send(&dialect.initialize())?;
    ensure!(answer.status == 200, "initialize was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    dialect.session = answer.header("mcp-session-id").map(str::to_owned);
    if dialect.session.is_some() {
        let answer = client.send(&dialect.initialized())?;
        ensure!(answer.status == 202, "notifications/initialized was answered {}", answer.status);
    }
    Ok(dialect.session)
}

fn serves_without_session(address: &str) -> anyhow::Result<bool> {
    let dialect = Dialect::new(address, Era::Legacy);
    let (request, expected) = dialect.call(TOOL, 1);
    let answer = Client::connect(address)?.send(&request)?;
    Ok(expected.check(answer.status, &answer.body).is_ok())
}
