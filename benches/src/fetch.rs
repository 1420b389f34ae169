//! A call that fetches: what it costs that a plugin asks a service over HTTP and tells of the answer, beside a server without a sandbox that does it.

use std::{path::PathBuf, rc::Rc};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    baseline::Ratio,
    compare::{Contender, cpu, figures, of_rounds, rounds},
    process::Server,
    requests::Case,
    run::{Bench, Copies, FETCH_GOAL, Verdict},
    servers::Kind,
    table::Table,
    weather,
};

/// The tool of the plugin `probe` that fetches an address several times.
pub(crate) const MANY: &str = "http_whole_many";
/// So many times.
const COUNT: usize = 32;
/// What is fetched then, and where it is.
pub(crate) const SMALL: &str =
    r#"{"id":17,"name":"something small","tags":["one","two","three"],"text":"As long as the answer of an API about one thing."}"#;
pub(crate) const SMALL_PATH: &str = "/small";

/// One kind of call that fetches.
struct Load {
    label: String,
    case: Option<PathBuf>,
    connections: &'static [u32],
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<(Verdict, Vec<Ratio>)> {
    let upstream = Server::start(&bench.own, ["serve", Kind::Upstream.name()], &bench.log("upstream"))?;
    let (native, ours) = servers(bench, &upstream.address)?;
    let header = ["call", "connections", "server", "CPU µs/call", "× native", "calls/s", "p50 µs", "p99 µs"];
    let mut table = Table::new(&header, &[0, 2]);
    let mut ratios = Vec::new();
    for Load { label, case, connections } in loads(bench, &upstream.address)? {
        let with =
            |server: &str, running, is_ours| Contender { case: case.clone(), is_ours, ..Contender::modern(server, running, weather::TOOL) };
        let contenders = [with("axum + reqwest + serde", &native, false), with("Toolbay, a plugin", &ours, true)];
        for contender in &contenders {
            contender.measure(bench, 8, bench.pace)?;
        }
        for &connections in connections {
            let rounds = rounds(bench, &contenders, connections)?;
            let native = rounds.first().map_or(f64::NAN, |measured| cpu(measured));
            for (contender, measured) in contenders.iter().zip(&rounds) {
                let figures = figures(measured, native);
                let what = json!({ "call": label, "server": contender.label, "connections": connections });
                bench.record("fetch", &what, &figures)?;
                if contender.is_ours {
                    ratios.push(Ratio { server: format!("a fetch: {label}"), connections, beside: false, ratio: figures.ratio });
                }
                let who = [label.clone(), connections.to_string(), contender.label.clone()];
                table.row(who.into_iter().chain(figures.cells()));
            }
            table.line();
        }
    }
    table.print("a call that fetches", &of_rounds(bench));
    let measured: Vec<String> =
        ratios.iter().map(|Ratio { server, connections, ratio, .. }| format!("{server}: {ratio:.2} at {connections}")).collect();
    let verdict = Verdict {
        goal: format!("a plugin that fetches costs at most {FETCH_GOAL} × a native server's CPU"),
        met: ratios.iter().all(|measured| measured.ratio <= FETCH_GOAL),
        measured: format!("{} connections", measured.join(", ")),
    };
    Ok((verdict, ratios))
}

fn loads(bench: &Bench, upstream: &str) -> anyhow::Result<Vec<Load>> {
    let kilobytes =
        |document: &str, told: &str| format!("`{}` of {} kB, {} kB told", weather::TOOL, document.len() / 1000, told.len() / 1000);
    let large =
        Case { structured: json!({ "result": *weather::TOLD }), ..Case::of(weather::TOOL, json!({ "state": weather::LARGE_STATE })) };
    let mut loads = vec![
        Load { label: kilobytes(&weather::DOCUMENT, &weather::TOLD), case: None, connections: &[8, 64] },
        Load { label: kilobytes(&weather::LARGE, &weather::TOLD), case: Some(bench.case("fetch-large", &large)?), connections: &[8] },
    ];
    if bench.probe.is_some() {
        let outcome = json!({ "status": 200, "location": null, "bytes": SMALL.len(), "body": SMALL });
        let many = Case {
            structured: json!({ "outcomes": vec![outcome; COUNT] as Vec<Value> }),
            ..Case::of(MANY, json!({ "url": format!("http://{upstream}{SMALL_PATH}"), "count": COUNT }))
        };
        let case = Some(bench.case("fetch-many", &many)?);
        loads.push(Load { label: format!("{COUNT} fetches of {} bytes", SMALL.len()), case, connections: &[8] });
    }
    Ok(loads)
}

/// The native server, and ours.
fn servers(bench: &Bench, upstream: &str) -> anyhow::Result<(Rc<Server>, Rc<Server>)> {
    let args = ["serve", Kind::Fetching.name(), "--upstream", upstream];
    let native = Rc::new(Server::start(&bench.own, args, &bench.log("fetching"))?);
    let folder = bench.folder("fetch", 0, Copies::Same)?;
    let plugin = bench.plugin.with_file_name("weather.wasm");
    std::fs::copy(&plugin, folder.join("weather.wasm"))
        .with_context(|| format!("cannot copy {}: scripts/build-plugins.sh makes it", plugin.display()))?;
    let mut config = format!("[plugin.weather]\nhttp_private = [\"{upstream}\"]\nenv = {{ NWS_API_BASE = \"http://{upstream}\" }}\n");
    if let Some(probe) = &bench.probe {
        std::fs::copy(probe, folder.join("probe.wasm"))?;
        config += &format!("[plugin.probe]\nhttp_private = [\"{upstream}\"]\n");
    } else {
        eprintln!("fetch: no row for several fetches in one call: scripts/build-test-plugins.sh makes the plugin for it");
    }
    let args = bench.toolbay_args_with(&folder, "fetch", "cache", &config, "127.0.0.1:0")?;
    Ok((native, Rc::new(Server::start(&bench.toolbay, args, &bench.log("fetch"))?)))
}
