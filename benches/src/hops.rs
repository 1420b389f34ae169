//! A hop: what a call costs that leads to another one, by a plugin or by a pipeline, beside the call itself.

use std::{fs, rc::Rc};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    compare::{Contender, Figures, cpu, figures, rounds},
    process::Server,
    requests::{CALLER, TOOL},
    run::{Bench, HOP_GOAL, Verdict, fresh},
    table::{Table, number},
};

const CONNECTIONS: [u32; 2] = [8, 64];

/// One step with the arguments as they are, one with arguments that are picked, and two steps.
const PIPELINES: &str = r#"
[pipeline.pass]
steps = [{ tool = "add" }]

[pipeline.pick]
steps = [{ tool = "add", arguments = { a = { from = "/args/a" }, b = { from = "/args/b" } } }]

[pipeline.two]
parameters = { required = ["a", "b"], properties = { a = { type = "number" }, b = { type = "number" } } }
[[pipeline.two.steps]]
name = "zero"
tool = "add"
arguments = { a = { from = "/args/a" }, b = 0 }
[[pipeline.two.steps]]
tool = "add"
arguments = { a = { from = "/steps/zero/structured/result" }, b = { from = "/args/b" } }
"#;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<Verdict> {
    let contenders = contenders(bench)?;
    for contender in &contenders {
        contender.measure(bench, 64, bench.pace)?;
    }
    let header = ["connections", "call", "CPU µs/call", "× direct", "added", "calls/s", "p50 µs", "p99 µs"];
    let mut table = Table::new(&header, &[1]);
    let mut hops = Vec::new();
    for connections in CONNECTIONS {
        let rounds = rounds(bench, &contenders, connections)?;
        let direct = rounds.first().map(|measured| cpu(measured)).unwrap_or_default();
        for (contender, measured) in contenders.iter().zip(&rounds) {
            let figures = figures(measured, direct);
            let Figures { cpu_us, ratio, calls_per_second, p50_us, p99_us } = figures;
            let what = json!({ "call": contender.label, "connections": connections, "added_us": cpu_us - direct });
            bench.record("hop", &what, &figures)?;
            if contender.is_ours {
                hops.push((contender.label.clone(), connections, (cpu_us - direct) / direct));
            }
            table.row([
                connections.to_string(),
                contender.label.clone(),
                number(cpu_us, 1),
                number(ratio, 2),
                number(cpu_us - direct, 1),
                number(calls_per_second, 0),
                number(p50_us, 0),
                number(p99_us, 0),
            ]);
        }
        table.line();
    }
    table.print("a call of `add` that another call makes", "CPU of the whole call; `added` is what the hop costs beside the direct call");
    let measured: Vec<String> = hops.iter().map(|(label, connections, hop)| format!("{label}: {hop:.2} at {connections}")).collect();
    Ok(Verdict {
        goal: format!("a hop costs at most {HOP_GOAL} × a direct call's CPU"),
        met: hops.iter().all(|(_, _, hop)| *hop <= HOP_GOAL),
        measured: measured.join(", "),
    })
}

/// The direct call first; the goal is for those that make one call.
fn contenders(bench: &Bench) -> anyhow::Result<Vec<Contender>> {
    let folder = bench.dir.join("hops");
    fresh(&folder)?;
    fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    let mut config = format!("[host]\ncache = \"cache\"\ncompiler = \"cranelift\"\n{PIPELINES}");
    let has_caller = bench.caller.exists();
    if has_caller {
        fs::copy(&bench.caller, folder.join("chain.wasm"))?;
        config += "[plugin.chain]\ncalls = [\"add\"]\n";
    } else {
        eprintln!("hops: {} is not there, no row for a plugin that calls: scripts/build-test-plugins.sh makes it", bench.caller.display());
    }
    let file = bench.dir.join("hops.toml");
    fs::write(&file, config)?;
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned).context("the path is not UTF-8");
    let args = ["serve", "--config", &text(&file)?, "--plugins", &text(&folder)?, "--listen", "127.0.0.1:0"].map(str::to_owned);
    let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log("hops"))?);
    let hop = |label: &str, tool: &str| Contender { is_ours: true, ..Contender::modern(label, &server, tool) };
    let mut contenders =
        vec![Contender::modern("direct", &server, TOOL), hop("a pipeline of one step", "pass"), hop("one step, picked", "pick")];
    if has_caller {
        contenders.push(hop("a plugin that calls", CALLER));
    }
    contenders.push(Contender::modern("a pipeline of two steps", &server, "two"));
    Ok(contenders)
}
