//! A call that fetches: what it costs that a plugin asks a service over HTTP and puts the answer into words, beside a server without a sandbox that does it.

use std::rc::Rc;

use anyhow::Context as _;
use serde_json::json;

use crate::{
    compare::{Contender, cpu, figures, rounds},
    process::Server,
    run::{Bench, Copies, FETCH_GOAL, Verdict},
    servers::Kind,
    table::{Table, number},
    weather,
};

const CONNECTIONS: [u32; 2] = [8, 64];

pub(crate) fn run(bench: &Bench) -> anyhow::Result<Verdict> {
    let upstream = Server::start(&bench.own, ["serve", Kind::Upstream.name()], &bench.log("upstream"))?;
    let contenders = contenders(bench, &upstream.address)?;
    for contender in &contenders {
        contender.measure(bench, 64, bench.pace)?;
    }
    let mut table = Table::new(&["connections", "server", "CPU µs/call", "× native", "calls/s", "p50 µs", "p99 µs"], &[1]);
    let mut ours = Vec::new();
    for connections in CONNECTIONS {
        let rounds = rounds(bench, &contenders, connections)?;
        let native = rounds.first().map_or(f64::NAN, |measured| cpu(measured));
        for (contender, measured) in contenders.iter().zip(&rounds) {
            let figures = figures(measured, native);
            let what = json!({ "server": contender.label, "connections": connections });
            bench.record("fetch", &what, &figures)?;
            if contender.is_ours {
                ours.push((connections, figures.ratio));
            }
            table.row([
                connections.to_string(),
                contender.label.clone(),
                number(figures.cpu_us, 1),
                number(figures.ratio, 2),
                number(figures.calls_per_second, 0),
                number(figures.p50_us, 0),
                number(figures.p99_us, 0),
            ]);
        }
        table.line();
    }
    table.print(
        &format!(
            "a call of `{}`, which fetches {} kB and tells {} of them",
            weather::TOOL,
            weather::DOCUMENT.len() / 1000,
            weather::TOLD.len() / 1000
        ),
        &format!("{} interleaved rounds: CPU is the lower quartile, the rest are medians", bench.pace.rounds),
    );
    let measured: Vec<String> = ours.iter().map(|(connections, ratio)| format!("{ratio:.2} at {connections}")).collect();
    Ok(Verdict {
        goal: format!("a plugin that fetches costs at most {FETCH_GOAL} × a native server's CPU"),
        met: ours.iter().all(|(_, ratio)| *ratio <= FETCH_GOAL),
        measured: format!("{} connections", measured.join(", ")),
    })
}

/// The native server first.
fn contenders(bench: &Bench, upstream: &str) -> anyhow::Result<Vec<Contender>> {
    let args = ["serve", Kind::Fetching.name(), "--upstream", upstream];
    let native = Rc::new(Server::start(&bench.own, args, &bench.log("fetching"))?);
    let folder = bench.folder("fetch", 0, Copies::Same)?;
    let plugin = bench.plugin.with_file_name("weather.wasm");
    std::fs::copy(&plugin, folder.join("weather.wasm"))
        .with_context(|| format!("cannot copy {}: scripts/build-plugins.sh makes it", plugin.display()))?;
    let config = format!("[plugin.weather]\nhttp_private = [\"{upstream}\"]\nenv = {{ NWS_API_BASE = \"http://{upstream}\" }}\n");
    let args = bench.toolbay_args_with(&folder, "fetch", "cache", &config, "127.0.0.1:0")?;
    let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log("fetch"))?);
    let ours = Contender { is_ours: true, ..Contender::modern("Toolbay, the plugin weather", &server, weather::TOOL) };
    Ok(vec![Contender::modern("axum + reqwest + serde", &native, weather::TOOL), ours])
}
