//! What it costs a call that callers are told apart: a token, roles, limits, policies, each added to the one before.

use std::{fs, rc::Rc};

use serde_json::json;

use crate::{
    baseline::Ratio,
    compare::{Contender, cpu, figures, of_rounds, rounds},
    process::Server,
    requests::TOOL,
    run::{AUTHORIZED_GOAL, Bench, Copies, TOKEN, Verdict},
    table::Table,
};

const CONNECTIONS: [u32; 2] = [8, 64];

/// The row with all of it, which the goal is for.
const WHOLE: &str = "a token, roles, limits and policies";

/// Rows: what is configured beside what the rows before have.
const ROWS: [(&str, &str); 5] = [
    ("nobody is asked who calls", ""),
    ("a token", "[auth.tokens]\nbench = { from_file = \"bench.token\" }\n"),
    (
        "a token and roles",
        "[auth]\ndefault_roles = [\"some\"]\n[role.some]\ntools = [\"calculator__*\"]\n[role.other]\nservers = [\"*\"]\n",
    ),
    ("a token, roles and limits", LIMITS),
    (WHOLE, "[policy]\nfiles = [\"authorized.cedar\"]\n"),
];

/// More than any machine calls: each is counted, and none refused.
const LIMITS: &str = "[role.some.limits.\"*\"]\nrate = \"100000000/s\"\nconcurrency = 100000\ndaily = 1000000000\n";

/// Some permit and forbid by role and hints, as operators write them, and one by time, which is asked on each call of another tool.
const POLICIES: &str = r#"
@id("readers") permit(principal in Role::"some", action, resource in Server::"calculator");
@id("others") permit(principal in Role::"other", action, resource);
@id("harmless") forbid(principal in Role::"some", action == Action::"call", resource is Tool) when { resource.destructiveHint && resource.server != "calculator" };
@id("hours") forbid(principal, action == Action::"call", resource == Tool::"other__pay") when { context.weekday > 5 };
"#;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<(Verdict, Vec<Ratio>)> {
    let contenders = contenders(bench)?;
    for contender in &contenders {
        contender.measure(bench, 64, bench.pace)?;
    }
    let mut table =
        Table::new(&["connections", "callers are told apart by", "CPU µs/call", "× the first", "calls/s", "p50 µs", "p99 µs"], &[1]);
    let (mut ratios, mut whole) = (Vec::new(), Vec::new());
    for connections in CONNECTIONS {
        let rounds = rounds(bench, &contenders, connections)?;
        let first = rounds.first().map_or(f64::NAN, |measured| cpu(measured));
        for (contender, measured) in contenders.iter().zip(&rounds) {
            let figures = figures(measured, first);
            bench.record("authorized", &json!({ "by": contender.label, "connections": connections }), &figures)?;
            if contender.is_ours {
                let ratio = Ratio { server: format!("authorized: {}", contender.label), connections, beside: false, ratio: figures.ratio };
                if contender.label == WHOLE {
                    whole.push((connections, figures.ratio));
                }
                ratios.push(ratio);
            }
            table.row([connections.to_string(), contender.label.clone()].into_iter().chain(figures.cells()));
        }
        table.line();
    }
    table.print("a call of `add` by callers who are told apart", &of_rounds(bench));
    let measured: Vec<String> = whole.iter().map(|(connections, ratio)| format!("{ratio:.2} at {connections}")).collect();
    let verdict = Verdict {
        goal: format!("with {WHOLE}, a call costs at most {AUTHORIZED_GOAL} × one without"),
        met: whole.iter().all(|(_, ratio)| *ratio <= AUTHORIZED_GOAL),
        measured: format!("{} connections", measured.join(", ")),
    };
    Ok((verdict, ratios))
}

fn contenders(bench: &Bench) -> anyhow::Result<Vec<Contender>> {
    let folder = bench.folder("authorized", 0, Copies::Same)?;
    fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    fs::write(bench.dir.join("authorized.cedar"), POLICIES)?;
    let (mut contenders, mut config) = (Vec::new(), String::new());
    for (index, (label, more)) in ROWS.iter().enumerate() {
        config.push_str(more);
        let name = format!("authorized-{index}");
        let args = bench.toolbay_args_with(&folder, &name, "cache", &config, "127.0.0.1:0")?;
        let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log(&name))?);
        let token = (index > 0).then(|| TOKEN.to_owned());
        contenders.push(Contender { token, is_ours: index > 0, ..Contender::modern(label, &server, TOOL) });
    }
    Ok(contenders)
}
