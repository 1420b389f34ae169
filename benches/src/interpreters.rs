//! Plugins in JavaScript and Python: what a call costs in a fresh instance and in one that is kept (`reuse`), for plain functions and for `tools`.

use std::{fs, rc::Rc};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    compare::{Contender, cpu, figures, of_rounds, rounds},
    process::Server,
    run::{Bench, KEPT_GOAL_US, Verdict, fresh},
    table::{Table, number},
};

const CONNECTIONS: u32 = 8;

/// Calls that a kept instance serves.
const KEPT: &str = "reuse = 100\nreuse_across = \"all\"\n";

/// Languages, as the components are called and as the table calls them.
const LANGUAGES: [(&str, &str); 2] = [("js", "JavaScript"), ("python", "Python")];
const KINDS: [(&str, &str); 2] = [("typed", "plain function"), ("tools", "`tools`")];

/// Whose row it is: the language, none for Rust, and whether its instances are kept.
type Owner = (Option<&'static str>, bool);

/// None: the components are not there.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<Option<Verdict>> {
    let Some((contenders, owners)) = contenders(bench)? else { return Ok(None) };
    for contender in &contenders {
        contender.measure(bench, CONNECTIONS, bench.pace)?;
    }
    let measured = rounds(bench, &contenders, CONNECTIONS)?;
    let native = measured.first().map(|measured| cpu(measured)).unwrap_or_default();
    let mut table = Table::new(&["call", "CPU µs/call", "added", "calls/s", "p50 µs", "p99 µs"], &[0]);
    let mut kept = Vec::new();
    for ((contender, (language, is_kept)), measured) in contenders.iter().zip(&owners).zip(&measured) {
        let figures = figures(measured, native);
        let added = figures.cpu_us - native;
        bench.record("interpreter", &json!({ "call": contender.label, "connections": CONNECTIONS, "added_us": added }), &figures)?;
        if let (Some(language), true) = (language, is_kept) {
            kept.push((*language, added));
        }
        let [cpu_us, _, calls, p50, p99] = figures.cells();
        table.row([contender.label.clone(), cpu_us, number(added, 1), calls, p50, p99]);
    }
    table.print(&format!("a call of `add` in an interpreter, at {CONNECTIONS} connections"), &of_rounds(bench));
    let goal = |language: &str| KEPT_GOAL_US.iter().find(|(known, _)| *known == language).map_or(f64::NAN, |(_, goal)| *goal);
    let goals: Vec<String> = KEPT_GOAL_US.iter().map(|(language, goal)| format!("{goal} µs in {language}")).collect();
    let measured: Vec<String> = kept.iter().map(|(language, added)| format!("{language} {added:.1} µs")).collect();
    Ok(Some(Verdict {
        goal: format!("a call in a kept instance costs at most so much CPU beside a call in Rust: {}", goals.join(", ")),
        met: kept.iter().all(|(language, added)| *added <= goal(language)),
        measured: measured.join(", "),
    }))
}

/// A plugin in Rust first, which the others are compared with.
fn contenders(bench: &Bench) -> anyhow::Result<Option<(Vec<Contender>, Vec<Owner>)>> {
    let from = &bench.interpreted;
    let folder = bench.dir.join("interpreters");
    fresh(&folder)?;
    fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    let mut config = String::new();
    let mut wanted = Vec::new();
    for (language, name) in LANGUAGES {
        for (kind, what) in KINDS {
            let component = from.join(format!("{language}-{kind}.wasm"));
            if !component.exists() {
                eprintln!("interpreters: {} is not there: benches/interpreters/build.sh makes it", component.display());
                return Ok(None);
            }
            for (way, more) in [("fresh", ""), ("kept", KEPT)] {
                let plugin = format!("{language}_{kind}_{way}");
                fs::copy(&component, folder.join(format!("{plugin}.wasm"))).with_context(|| component.display().to_string())?;
                config += &format!("[plugin.{plugin}]\n{more}");
                wanted.push((format!("{name}, {what}, {way}"), plugin, (Some(name), way == "kept")));
            }
        }
    }
    let args = bench.toolbay_args_with(&folder, "interpreters", "cache", &config, "127.0.0.1:0")?;
    let server = Rc::new(Server::start(&bench.toolbay, args, &bench.log("interpreters"))?);
    let contender = |label: &str, plugin: &str| Contender::modern(label, &server, &format!("{plugin}__add"));
    let mut contenders = vec![contender("Rust, plain function, fresh", "calculator")];
    contenders.extend(wanted.iter().map(|(label, plugin, _)| contender(label, plugin)));
    let owners = std::iter::once((None, false)).chain(wanted.iter().map(|(_, _, owner)| *owner));
    Ok(Some((contenders, owners.collect())))
}
