//! The same server on one core and on two: what calls cost more because others run beside them.

use std::{path::Path, rc::Rc};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    compare::{Contender, cpu, figures, rounds},
    process::Server,
    requests::TOOL,
    run::{Bench, Copies},
    servers::Kind,
    table::{Table, number},
};

const CONNECTIONS: u32 = 64;

/// The core of those that have one. Clients run where there is room.
const CORE: &str = "0";

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let folder = bench.folder("cores", 0, Copies::Same)?;
    std::fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    let plugin = bench.plugin.to_str().context("the path of the plugin is not UTF-8")?;
    let toolbay = bench.toolbay_args(&folder, "cache", "127.0.0.1:0")?;
    let floor = ["serve", Kind::Floor.name(), "--plugin", plugin].map(str::to_owned).to_vec();
    let mut contenders = Vec::new();
    for (label, program, args) in [("the floor", &bench.own, &floor), ("Toolbay", &bench.toolbay, &toolbay)] {
        for pinned in [true, false] {
            let server = Rc::new(start(bench, program, args, pinned)?);
            let cores = if pinned { "one core" } else { "all cores" };
            contenders.push(Contender::modern(&format!("{label}, {cores}"), &server, TOOL));
        }
    }
    for contender in &contenders {
        contender.measure(bench, CONNECTIONS, bench.pace)?;
    }
    let rounds = rounds(bench, &contenders, CONNECTIONS)?;
    let mut table = Table::new(&["server", "CPU µs/call", "× one core", "calls/s"], &[0]);
    let mut one = f64::NAN;
    for (index, (contender, measured)) in contenders.iter().zip(&rounds).enumerate() {
        if index % 2 == 0 {
            one = cpu(measured);
        }
        let figures = figures(measured, one);
        bench.record("cores", &json!({ "server": contender.label, "connections": CONNECTIONS }), &figures)?;
        table.row([contender.label.clone(), number(figures.cpu_us, 1), number(figures.ratio, 2), number(figures.calls_per_second, 0)]);
    }
    table.print("cores", &format!("calls of `add` at {CONNECTIONS} connections; clients share the cores"));
    Ok(())
}

/// `pinned`: on one core, by taskset of util-linux.
fn start(bench: &Bench, program: &Path, args: &[String], pinned: bool) -> anyhow::Result<Server> {
    let log = bench.log("cores");
    if !pinned {
        return Server::start(program, args, &log);
    }
    let program = program.to_str().context("the path of the program is not UTF-8")?.to_owned();
    // It becomes the program, so it is that process whose time is read.
    let args = ["-c".to_owned(), CORE.to_owned(), program].into_iter().chain(args.iter().cloned());
    Server::start(Path::new("taskset"), args, &log)
}
