//! What guards cost a call: none, one that looks at the answer, one that looks at both sides, and those of other tools.

use std::{path::Path, rc::Rc};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    compare::{Contender, cpu, figures, of_rounds, rounds},
    process::Server,
    requests::TOOL,
    run::{Bench, Copies, GUARD_GOAL_US, Verdict},
    table::{Table, number},
};

const CONNECTIONS: [u32; 2] = [8, 64];

/// A row: its configuration, and how many questions guards are asked for each of its calls.
const ROWS: [(&str, &str, f64); 4] = [
    ("no guard", "", 0.0),
    ("a guard of another tool", "[guard.other]\nplugin = \"redact\"\ntools = [\"subtract\"]\n", 0.0),
    ("injection: looks at the answer", "[guard.injection]\nplugin = \"injection\"\n", 1.0),
    ("redact: looks at the arguments and the answer", "[guard.redact]\nplugin = \"redact\"\nsettings = { arguments = \"redact\" }\n", 2.0),
];

pub(crate) fn run(bench: &Bench) -> anyhow::Result<Verdict> {
    let contenders = contenders(bench)?;
    for contender in &contenders {
        contender.measure(bench, 64, bench.pace)?;
    }
    let mut table = Table::new(&["connections", "guard", "CPU µs/call", "added", "added a question", "calls/s", "p50 µs", "p99 µs"], &[1]);
    let mut worst: Vec<(u32, f64)> = Vec::new();
    for connections in CONNECTIONS {
        let rounds = rounds(bench, &contenders, connections)?;
        let bare = rounds.first().map_or(f64::NAN, |measured| cpu(measured));
        let mut most = 0.0_f64;
        for ((contender, measured), (_, _, questions)) in contenders.iter().zip(&rounds).zip(ROWS) {
            let figures = figures(measured, bare);
            let added = figures.cpu_us - bare;
            let each = if questions > 0.0 { added / questions } else { 0.0 };
            most = most.max(each);
            let what = json!({ "guard": contender.label, "connections": connections, "added_us": added, "added_a_question_us": each });
            bench.record("guard", &what, &figures)?;
            table.row([
                connections.to_string(),
                contender.label.clone(),
                number(figures.cpu_us, 1),
                number(added, 1),
                if questions > 0.0 { number(each, 1) } else { String::new() },
                number(figures.calls_per_second, 0),
                number(figures.p50_us, 0),
                number(figures.p99_us, 0),
            ]);
        }
        worst.push((connections, most));
        table.line();
    }
    table.print("a call of `add` with guards", &of_rounds(bench));
    let measured: Vec<String> = worst.iter().map(|(connections, most)| format!("{most:.1} µs at {connections}")).collect();
    Ok(Verdict {
        goal: format!("a guard adds at most {GUARD_GOAL_US} µs of CPU for each question"),
        met: worst.iter().all(|(_, most)| *most <= GUARD_GOAL_US),
        measured: format!("{} connections", measured.join(", ")),
    })
}

fn contenders(bench: &Bench) -> anyhow::Result<Vec<Contender>> {
    let guards = bench.plugin.parent().unwrap_or(Path::new("."));
    let mut contenders = Vec::new();
    for (index, (label, config, _)) in ROWS.iter().enumerate() {
        let name = format!("guards-{index}");
        let folder = bench.folder(&name, 0, Copies::Same)?;
        std::fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
        for guard in ["redact", "injection"] {
            let file = guards.join(format!("{guard}.wasm"));
            std::fs::copy(&file, folder.join(format!("{guard}.wasm")))
                .with_context(|| format!("cannot copy {}: scripts/build-plugins.sh makes it", file.display()))?;
        }
        let args = bench.toolbay_args_with(&folder, &name, "cache", config, "127.0.0.1:0")?;
        let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log(&name))?);
        contenders.push(Contender::modern(label, &server, TOOL));
    }
    Ok(contenders)
}
