//! What a folder costs by the number of plugins in it.

use std::{rc::Rc, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    client::Client,
    compare::{Contender, cpu},
    load::Measured,
    process::Server,
    requests::{Dialect, TOOL},
    run::{Bench, Copies, FLAT_GOAL, Verdict, copy_name},
    starts::{Start, start},
    stats::median,
    table::{Table, number},
};

const COUNTS: [usize; 3] = [1, 100, 1000];
const CONNECTIONS: u32 = 64;
const LISTS: u32 = 20;

struct Folder {
    plugins: usize,
    start: Start,
    contender: Contender,
    /// Before the first call.
    rss_mib: f64,
    rounds: Vec<Measured>,
}

struct List {
    tools: usize,
    bytes: usize,
    millis: f64,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<Verdict> {
    let mut folders = Vec::new();
    for plugins in COUNTS {
        eprintln!("folders: {plugins} plugins");
        let folder = bench.folder(&format!("plugins-{plugins}"), plugins, Copies::Same)?;
        // All copies are the same and compiled once; the first start does it.
        drop(start(bench, &folder, plugins, "cache")?);
        let (start, server) = start(bench, &folder, plugins, "cache")?;
        let tool = format!("{}__{TOOL}", copy_name(plugins - 1));
        let rss_mib = server.rss_mib()?;
        let contender = Contender::modern(&format!("{plugins} plugins"), &Rc::new(server), &tool);
        contender.measure(bench, CONNECTIONS, bench.pace)?;
        folders.push(Folder { plugins, start, contender, rss_mib, rounds: Vec::new() });
    }
    for round in 0..bench.pace.rounds {
        for folder in &mut folders {
            let measured = folder.contender.measure(bench, CONNECTIONS, bench.pace)?;
            bench.record("round", &json!({ "plugins": folder.plugins, "connections": CONNECTIONS, "round": round }), &measured)?;
            folder.rounds.push(measured);
        }
    }

    let one = folders.first().map_or(f64::NAN, |folder| cpu(&folder.rounds));
    let header = [
        "plugins",
        "tools",
        "CPU µs/call",
        "× one",
        "tools/list ms",
        "list KiB",
        "RSS MiB idle",
        "RSS MiB",
        "first answer ms",
        "all ready ms",
    ];
    let mut table = Table::new(&header, &[]);
    let mut ratios = Vec::new();
    for folder in &folders {
        let list = list(&folder.contender.server)?;
        let cpu = cpu(&folder.rounds);
        let ratio = cpu / one;
        let rss = folder.contender.server.rss_mib()?;
        bench.record(
            "folder",
            &json!({ "plugins": folder.plugins, "tools": list.tools, "cpu_us": cpu, "ratio": ratio, "list_ms": list.millis,
                "list_bytes": list.bytes, "rss_idle_mib": folder.rss_mib, "rss_mib": rss }),
            &folder.start,
        )?;
        #[allow(clippy::cast_precision_loss, reason = "a size in memory, for people to read")]
        let kib = list.bytes as f64 / 1024.0;
        table.row([
            folder.plugins.to_string(),
            list.tools.to_string(),
            number(cpu, 1),
            number(ratio, 2),
            number(list.millis, 2),
            number(kib, 0),
            number(folder.rss_mib, 1),
            number(rss, 1),
            number(folder.start.first_answer_ms, 0),
            number(folder.start.ready_ms, 0),
        ]);
        ratios.push((folder.plugins, ratio));
    }
    table.print("a folder", &format!("calls to its last plugin at {CONNECTIONS} connections; copies of one file, compiled before"));
    let measured: Vec<String> = ratios.iter().skip(1).map(|(plugins, ratio)| format!("{ratio:.2} × with {plugins}")).collect();
    Ok(Verdict {
        goal: format!("CPU per call flat in the number of plugins: at most {FLAT_GOAL} × that with one"),
        met: ratios.iter().all(|(_, ratio)| *ratio <= FLAT_GOAL),
        measured: measured.join(", "),
    })
}

/// Asks for all tools, page after page, several times.
fn list(server: &Server) -> anyhow::Result<List> {
    let dialect = Dialect::modern(&server.address);
    let mut client = Client::connect(&server.address)?;
    let (mut times, mut tools, mut bytes) = (Vec::new(), 0, 0);
    for _ in 0..LISTS {
        (tools, bytes) = (0, 0);
        let mut cursor: Option<String> = None;
        let mut millis = 0.0;
        loop {
            let request = dialect.list(1, cursor.as_deref());
            let started = Instant::now();
            let answer = client.send(&request)?;
            millis += started.elapsed().as_secs_f64() * 1e3;
            ensure!(answer.status == 200, "tools/list was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            bytes += answer.body.len();
            let page: Value = serde_json::from_slice(&answer.body)?;
            tools += page.pointer("/result/tools").and_then(Value::as_array).context("tools/list without tools")?.len();
            match page.pointer("/result/nextCursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        times.push(millis);
    }
    Ok(List { tools, bytes, millis: median(times) })
}
