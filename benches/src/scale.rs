//! What many of something cost: connections that are open, sessions, plugins on disk, tools to search; and whether memory stays where it is while all of it comes
//! and goes.

use std::{
    fs,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    client::Client,
    compare::{Contender, session},
    process::Server,
    requests::{Case, Dialect, Era, TOOL, Way},
    run::{Bench, Copies, Verdict, copy_name},
    starts::{Start, start_with},
    stats::median,
    table::{Table, number},
};

/// Connections that are open, and those of them on which something is called.
const OPEN: usize = 10_000;
const ACTIVE: u32 = 100;
const SESSIONS: usize = 10_000;
const SESSIONS_GOAL_MIB: f64 = 100.0;
/// Plugins on disk, and those of them that are called. Each has nine tools.
const PLUGINS: usize = 10_000;
const USED: usize = 100;
const PLUGINS_GOAL_MIB: f64 = 300.0;
const SEARCHES: usize = 20;
/// Memory may be so much more at the end of the churn than after its first third.
const FLAT: f64 = 1.05;

/// What is measured at one size, and in a smaller run at another.
pub(crate) struct Scale {
    /// A hundredth of everything: to see that it runs.
    pub(crate) small: bool,
    pub(crate) churn: Duration,
}

pub(crate) fn run(bench: &Bench, scale: &Scale) -> anyhow::Result<Vec<Verdict>> {
    let of = |count: usize| if scale.small { count / 100 } else { count };
    let mut table = Table::new(&["what", "how many", "MiB before", "MiB after", "and"], &[0, 4]);
    let verdicts = vec![
        connections(bench, of(OPEN.min(room_for_connections())), &mut table)?,
        sessions(bench, of(SESSIONS), &mut table)?,
        plugins(bench, of(PLUGINS), of(USED), &mut table)?,
        churn(bench, scale.churn, &mut table)?,
    ];
    table.print("scale", "resident memory of the server");
    Ok(verdicts)
}

/// So many connections can be open beside those that are used: a server takes half of the files that the system lets it open, and makes room for another one by
/// ending one on which nothing goes on.
fn room_for_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // As many at most as the server asks for.
    let files = usize::try_from(files.min(1 << 16)).unwrap_or(usize::MAX);
    (files / 2).saturating_sub(3 * ACTIVE as usize)
}

/// A server of one plugin.
fn one(bench: &Bench, name: &str, config: &str) -> anyhow::Result<Rc<Server>> {
    let folder = bench.folder(name, 0, Copies::Same)?;
    fs::copy(&bench.plugin, folder.join("calculator.wasm"))?;
    let args = bench.toolbay_args_with(&folder, name, "cache", config, "127.0.0.1:0")?;
    Ok(Rc::new(Server::start(&bench.toolbay, args, &bench.log(name))?))
}

/// Calls on some connections, with and without so many others that are open.
fn connections(bench: &Bench, open: usize, table: &mut Table) -> anyhow::Result<Verdict> {
    let server = one(bench, "open", &format!("[http]\nmax_connections = {}\n", open * 2 + 1000))?;
    let contender = Contender::modern("open", &server, TOOL);
    let active = ACTIVE.min(u32::try_from(open / 2)?).max(1);
    let cost = || Ok::<_, anyhow::Error>(contender.measure(bench, active, bench.pace)?.cpu_us);
    cost()?;
    let (alone, before) = (cost()?, server.rss_mib()?);
    let (request, expected) = Dialect::modern(&server.address).call(TOOL, 1);
    let mut clients = Vec::with_capacity(open);
    for number in 0..open {
        let mut client = Client::connect(&server.address).with_context(|| format!("connection {number}"))?;
        let answer = client.send(&request)?;
        expected.check(answer.status, &answer.body)?;
        clients.push(client);
    }
    let (beside, after) = (cost()?, server.rss_mib()?);
    // None of them was closed meanwhile.
    for client in clients.iter_mut().step_by((open / 10).max(1)) {
        let answer = client.send(&request)?;
        expected.check(answer.status, &answer.body)?;
    }
    #[allow(clippy::cast_precision_loss, reason = "for people to read")]
    let each = (after - before) * 1024.0 / open as f64;
    let told = format!("{each:.1} KiB each; a call on {active} more costs {beside:.1} µs of CPU, {alone:.1} without them");
    bench.record(
        "scale",
        &json!({ "what": "connections", "count": open }),
        &json!({ "before_mib": before, "after_mib": after, "call_us": beside, "call_alone_us": alone }),
    )?;
    row(table, "connections open", open, before, after, &told);
    Ok(Verdict {
        goal: format!("{open} open connections make the calls on others at most 1.25 × as dear"),
        met: beside <= alone * 1.25,
        measured: told,
    })
}

fn sessions(bench: &Bench, count: usize, table: &mut Table) -> anyhow::Result<Verdict> {
    let server = one(bench, "sessions", "")?;
    let dialect = Dialect::new(&server.address, Era::Legacy);
    let mut client = Client::connect(&server.address)?;
    let case = Case::adding(Way::Plain);
    let mut begin = || {
        let session = session(&server.address)?;
        let dialect = Dialect { session, ..dialect.clone() };
        let (request, expected) = dialect.case(&case, 1);
        let answer = client.send(&request)?;
        expected.check(answer.status, &answer.body)
    };
    for _ in 0..100 {
        begin()?;
    }
    let before = server.rss_mib()?;
    for _ in 0..count {
        begin()?;
    }
    let after = server.rss_mib()?;
    bench.record("scale", &json!({ "what": "sessions", "count": count }), &json!({ "before_mib": before, "after_mib": after }))?;
    row(table, "sessions, each with a call", count, before, after, "");
    Ok(Verdict {
        goal: format!("{count} sessions take at most {SESSIONS_GOAL_MIB} MiB"),
        met: after - before <= SESSIONS_GOAL_MIB,
        measured: format!("{:.1} MiB", after - before),
    })
}

/// A folder of so many plugins, of which some are called; and a search among all their tools.
fn plugins(bench: &Bench, count: usize, used: usize, table: &mut Table) -> anyhow::Result<Verdict> {
    let folder = bench.folder("many", 0, Copies::Same)?;
    link(&bench.plugin, &folder, count)?;
    let search = "[endpoint.found]\nsearch = true\n";
    drop(start_with(bench, &folder, count, "cache", search)?);
    let (Start { ready_ms, .. }, server) = start_with(bench, &folder, count, "cache", search)?;
    let before = server.rss_mib()?;
    let dialect = Dialect::modern(&server.address);
    let mut client = Client::connect(&server.address)?;
    for number in 0..used {
        let (request, expected) = dialect.call(&format!("{}__{TOOL}", copy_name(number * (count / used.max(1)))), 1);
        let answer = client.send(&request)?;
        expected.check(answer.status, &answer.body)?;
    }
    let after = server.rss_mib()?;
    let search = Dialect { path: "found/mcp".to_owned(), ..Dialect::modern(&server.address) };
    let mut times = Vec::new();
    for _ in 0..SEARCHES {
        let request = search.call_with("find_tools", 1, &json!({ "query": "add two numbers" }));
        let started = Instant::now();
        let answer = client.send(&request)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        let body: Value = serde_json::from_slice(&answer.body)?;
        ensure!(body.pointer("/result/isError").and_then(Value::as_bool) != Some(true), "a search failed: {body:.500}");
    }
    let first = times.first().copied().unwrap_or_default();
    let (search_ms, indexed) = (median(times), server.rss_mib()?);
    let told = format!(
        "ready after {ready_ms:.0} ms; a search among {} tools takes {search_ms:.1} ms, the first {first:.0}, and {:.0} MiB",
        count * 9,
        indexed - after
    );
    let figures = json!({ "before_mib": before, "after_mib": after, "ready_ms": ready_ms, "search_ms": search_ms, "first_search_ms": first, "indexed_mib": indexed });
    bench.record("scale", &json!({ "what": "plugins", "count": count, "used": used }), &figures)?;
    row(table, &format!("plugins on disk, {used} of them called"), count, before, after, &told);
    Ok(Verdict {
        goal: format!("{count} plugins on disk take at most {PLUGINS_GOAL_MIB} MiB"),
        met: after <= PLUGINS_GOAL_MIB,
        measured: format!("{after:.0} MiB"),
    })
}

/// So many names of one file.
fn link(plugin: &Path, folder: &Path, count: usize) -> anyhow::Result<()> {
    let own = folder.join("p0000.wasm");
    fs::copy(plugin, &own)?;
    for number in 1..count {
        let name = folder.join(format!("{}.wasm", copy_name(number)));
        fs::hard_link(&own, &name).with_context(|| format!("cannot make {}", name.display()))?;
    }
    Ok(())
}

/// Connections, sessions, calls, lists and new versions of a plugin come and go.
fn churn(bench: &Bench, length: Duration, table: &mut Table) -> anyhow::Result<Verdict> {
    let server = one(bench, "churn", "")?;
    let file = bench.dir.join("churn").join("calculator.wasm");
    let plugin = fs::read(&file)?;
    let dialect = Dialect::modern(&server.address);
    let started = Instant::now();
    let (mut samples, mut rounds) = (Vec::new(), 0_u32);
    while started.elapsed() < length {
        rounds += 1;
        let mut clients = (0..20).map(|_| Client::connect(&server.address)).collect::<Result<Vec<_>, _>>()?;
        for client in &mut clients {
            for id in 1..=50 {
                let (request, expected) = dialect.call(TOOL, id);
                let answer = client.send(&request)?;
                expected.check(answer.status, &answer.body)?;
            }
            let answer = client.send(&dialect.list(1, None))?;
            ensure!(answer.status == 200, "a list was answered {}", answer.status);
            session(&server.address)?;
        }
        // The same code under another digest: a custom section with a number in it.
        let content = format!("\x05round{rounds:08}");
        let version = [&plugin[..], &[0, u8::try_from(content.len())?], content.as_bytes()].concat();
        let part = file.with_extension("part");
        fs::write(&part, version)?;
        fs::rename(&part, &file)?;
        samples.push(server.rss_mib()?);
    }
    let third = samples.len() / 3;
    let highest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let (early, late) = (highest(samples.get(..third.max(1)).unwrap_or_default()), highest(samples.get(2 * third..).unwrap_or_default()));
    let told = format!(
        "{rounds} rounds in {} s: 1,000 calls on 20 connections, 20 sessions and lists, a new version of the plugin",
        length.as_secs()
    );
    bench.record(
        "scale",
        &json!({ "what": "churn", "rounds": rounds }),
        &json!({ "early_mib": early, "late_mib": late, "samples_mib": samples }),
    )?;
    row(table, "rounds of churn", rounds as usize, early, late, &told);
    Ok(Verdict {
        goal: format!("after {} s of churn memory is at most {FLAT} × what it was in the first third", length.as_secs()),
        met: late <= early * FLAT,
        measured: format!("{early:.1} MiB, then {late:.1}"),
    })
}

fn row(table: &mut Table, what: &str, count: usize, before: f64, after: f64, told: &str) {
    #[allow(clippy::cast_precision_loss, reason = "for people to read")]
    let count = count as f64;
    table.row([what.to_owned(), number(count, 0), number(before, 1), number(after, 1), told.to_owned()]);
}
