//! The ways that a call can go beside the plain one, and what its size costs.

use std::{fs, path::Path, rc::Rc};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    baseline::Ratio,
    client::Client,
    compare::{Contender, cpu, figures, of_rounds, rounds, session},
    process::Server,
    requests::{Case, Dialect, Era, TOOL, Way},
    run::{Bench, Copies, TOKEN, TOKEN_FILE, Verdict, WAY_GOAL},
    servers::Kind,
    table::Table,
};

/// The tool of the plugin `probe` that answers its arguments.
pub(crate) const ECHO: &str = "echo";

const CONNECTIONS: u32 = 8;

/// Arguments, and answers twice that: as structured content and as text.
const SIZES: [(&str, usize); 4] = [("1 KB", 1 << 10), ("64 KB", 64 << 10), ("1 MB", 1 << 20), ("4 MB", 4 << 20)];

/// A body, and an answer, may be as large as the largest of these, and what is around it.
/// What a call asked stays answerable for as long as it is measured.
const ROOM: &str = "[http]\nmax_body = \"8MiB\"\nask_timeout = \"1h\"\n[plugin.probe]\noutput = \"32MiB\"\n";

/// The tool of the plugin `everything` that asks for a name, and one that does not.
const ASKS: &str = "test_input_required_result_elicitation";
const GREETS: &str = "greet";

/// So many reports are one call's progress.
const STEPS: u32 = 3;

/// Some contenders, and the first of them that the others are compared with.
struct Group {
    contenders: Vec<Contender>,
    /// Whether the goal is for it.
    is_for_goal: bool,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<(Verdict, Vec<Ratio>)> {
    let mut table = Table::new(&["call", "CPU µs/call", "× the first", "calls/s", "p50 µs", "p99 µs"], &[0]);
    let (mut ratios, mut judged) = (Vec::new(), Vec::new());
    for Group { contenders, is_for_goal } in groups(bench)? {
        for contender in &contenders {
            contender.measure(bench, CONNECTIONS, bench.pace)?;
        }
        let rounds = rounds(bench, &contenders, CONNECTIONS)?;
        let first = rounds.first().map_or(f64::NAN, |measured| cpu(measured));
        for (contender, measured) in contenders.iter().zip(&rounds) {
            let figures = figures(measured, first);
            bench.record("way", &json!({ "call": contender.label, "connections": CONNECTIONS }), &figures)?;
            if contender.is_ours {
                let ratio =
                    Ratio { server: format!("a way: {}", contender.label), connections: CONNECTIONS, beside: false, ratio: figures.ratio };
                if is_for_goal {
                    judged.push(ratio.clone());
                }
                ratios.push(ratio);
            }
            table.row([contender.label.clone()].into_iter().chain(figures.cells()));
        }
        table.line();
    }
    table.print(&format!("ways that a call can go, at {CONNECTIONS} connections"), &of_rounds(bench));
    let measured: Vec<String> = judged.iter().map(|Ratio { server, ratio, .. }| format!("{server}: {ratio:.2}")).collect();
    let verdict = Verdict {
        goal: format!("whichever way it goes, a call costs at most {WAY_GOAL} × the plain one"),
        met: judged.iter().all(|ratio| ratio.ratio <= WAY_GOAL),
        measured: measured.join(", "),
    };
    Ok((verdict, ratios))
}

fn groups(bench: &Bench) -> anyhow::Result<Vec<Group>> {
    let folder = bench.folder("ways", 0, Copies::Same)?;
    fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    for (component, name) in [(&bench.probe, "probe.wasm"), (&bench.asking, "everything.wasm")] {
        if let Some(component) = component {
            fs::copy(component, folder.join(name))?;
        }
    }
    let config = if bench.probe.is_some() { ROOM } else { "" };
    let args = bench.toolbay_args_with(&folder, "ways", "cache", config, "127.0.0.1:0")?;
    let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log("ways"))?);
    let call = |label: &str, name: &str, case: &Case| {
        Ok::<_, anyhow::Error>(Contender {
            is_ours: true,
            case: Some(bench.case(name, case)?),
            ..Contender::modern(label, &server, &case.tool)
        })
    };
    let adding = |label: &str, name: &str, way| call(label, name, &Case::adding(way));
    let legacy = |contender: Contender, session| Contender { era: Era::Legacy, session, ..contender };

    let mut ways = vec![
        Contender { is_ours: false, ..adding("`add`, 2026-07-28", "plain", Way::Plain)? },
        adding("without MCP, POST /call", "rest", Way::Rest)?,
        adding("through the SDK, for a member that only it knows", "unusual", Way::Unusual)?,
        legacy(adding("2025-11-25, no session", "plain", Way::Plain)?, None),
    ];
    if let Some(session) = session(&server.address)? {
        ways.push(legacy(adding("2025-11-25, session", "plain", Way::Plain)?, Some(session.clone())));
        ways.push(legacy(adding("2025-11-25, session, through the SDK", "unusual", Way::Unusual)?, Some(session)));
    }
    ways.push(known(bench, &folder)?);
    let mut groups = vec![Group { contenders: ways, is_for_goal: true }];
    if bench.probe.is_none() {
        eprintln!("ways: no rows for progress and sizes: scripts/build-test-plugins.sh makes the plugin for them");
        return Ok(groups);
    }

    let progress = |way, wanted: bool| Case {
        structured: json!({ "wanted": wanted, "steps": STEPS }),
        way,
        ..Case::of("progress", json!({ "steps": STEPS, "pause_ms": 0 }))
    };
    let silent = call("progress that nobody asked for", "silent", &progress(Way::Plain, false))?;
    let told = call(&format!("progress, {} events on a stream", STEPS + 1), "progress", &progress(Way::Progress, true))?;
    groups.push(Group { contenders: vec![Contender { is_ours: false, ..silent }, told], is_for_goal: false });

    if bench.asking.is_some() {
        let greets = Case { holds: text("Hello, Ada!"), ..Case::of(GREETS, json!({ "name": "Ada" })) };
        let greets = Contender { is_ours: false, ..call("a call that asks nothing", "greets", &greets)? };
        let (asks, answered) = asking(&server.address)?;
        let asks = call("a call that asks: its question", "asks", &asks)?;
        let answered = call("the answer, with which it runs again", "answered", &answered)?;
        groups.push(Group { contenders: vec![greets, asks, answered], is_for_goal: false });
    }

    let native = Rc::new(Server::start(&bench.own, ["serve", Kind::Echo.name()], &bench.log("echo"))?);
    for (label, bytes) in SIZES {
        let arguments = payload(bytes);
        let case = Case { structured: arguments.clone(), ..Case::of(ECHO, arguments) };
        let ours = call(&format!("{label} there and back"), &format!("echo-{bytes}"), &case)?;
        let native = Contender { case: ours.case.clone(), ..Contender::modern(&format!("{label}, axum + serde_json"), &native, ECHO) };
        groups.push(Group { contenders: vec![native, ours], is_for_goal: false });
    }
    Ok(groups)
}

/// The same call of a caller that is known by a token and has a role.
fn known(bench: &Bench, folder: &Path) -> anyhow::Result<Contender> {
    let config = format!("[auth.tokens]\nbench = {{ from_file = {TOKEN_FILE:?}, roles = [\"all\"] }}\n[role.all]\nservers = [\"*\"]\n");
    let args = bench.toolbay_args_with(folder, "known", "cache", &config, "127.0.0.1:0")?;
    let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log("known"))?);
    let case = bench.case("plain", &Case::adding(Way::Plain))?;
    let contender = Contender::modern("by a token, with a role", &server, TOOL);
    Ok(Contender { is_ours: true, case: Some(case), token: Some(TOKEN.to_owned()), ..contender })
}

/// A call that asks, as it is made first and as it is made with the answer.
fn asking(address: &str) -> anyhow::Result<(Case, Case)> {
    let members = |value: Value| value.as_object().cloned().unwrap_or_default();
    let asks = Case {
        holds: vec![("/resultType".to_owned(), json!("input_required"))],
        capabilities: members(json!({ "elicitation": {} })),
        ..Case::of(ASKS, json!({}))
    };
    let (request, expected) = Dialect::modern(address).case(&asks, 1);
    let answer = Client::connect(address)?.send(&request)?;
    expected.check(answer.status, &answer.body)?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    let state = body.pointer("/result/requestState").context("no state came with the question")?;
    let answers = json!({ "user_name": { "action": "accept", "content": { "name": "Ada" } } });
    let answered =
        Case { holds: text("Hello, Ada!"), more: members(json!({ "requestState": state, "inputResponses": answers })), ..asks.clone() };
    Ok((asks, answered))
}

/// A result that is this text.
fn text(text: &str) -> Vec<(String, Value)> {
    vec![("/content/0/text".to_owned(), json!(text))]
}

/// Arguments of so many bytes: lines of text, numbers, and what has to be escaped.
fn payload(bytes: usize) -> Value {
    let line = |number: usize| json!({ "line": number, "text": "The quick brown fox\n\"jumps\" over the lazy dog, again and again.", "share": 0.5 });
    let each = line(1000).to_string().len() + 1;
    json!({ "lines": (0..(bytes / each).max(1)).map(line).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_about_as_large_as_they_are_said_to_be() {
        for (label, bytes) in SIZES {
            let length = payload(bytes).to_string().len();
            assert!(length.abs_diff(bytes) < bytes / 5, "{label}: {length}");
        }
    }
}
