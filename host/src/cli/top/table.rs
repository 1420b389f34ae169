//! The figures as text: for `--once`, and the cells of the screen.

use std::fmt::Write as _;

use super::figures::{Calls, Figures, Provider, Sort, Tool};
use crate::provider::without_steering;

/// The columns of the tools.
pub(super) const TOOLS: [&str; 7] = ["provider", "tool", "calls/s", "p50", "p99", "errors/s", "total"];

/// The columns of plugins and servers.
pub(super) const PROVIDERS: [&str; 6] = ["provider", "state", "in flight", "queued", "replicas", "restarts"];

/// Everything in one text.
pub(super) fn text(figures: &Figures, sort: Sort) -> String {
    let mut text = summary(figures).join("\n");
    text.push_str("\n\n");
    rows(&mut text, &TOOLS, &figures.sorted(sort, false).into_iter().map(tool).collect::<Vec<_>>());
    text.push('\n');
    rows(&mut text, &PROVIDERS, &figures.providers.iter().map(provider).collect::<Vec<_>>());
    text
}

/// Two lines on the whole server.
pub(super) fn summary(figures: &Figures) -> [String; 2] {
    let Calls { rate, errors, p50, p99, .. } = figures.calls;
    let state = if figures.ready { "ready" } else { "not ready" };
    [
        format!(
            "Toolbay {}, {state}: {} calls/s, p50 {}, p99 {}, {} errors/s, {} denied or rejected/s",
            figures.version,
            number(rate),
            time(p50),
            time(p99),
            number(errors),
            number(figures.refused)
        ),
        format!(
            "{} in flight, {} queued, {} connections, {} sessions, {} tasks, {:.2} CPU, {:.0} MiB",
            figures.in_flight,
            figures.queued,
            figures.connections,
            figures.sessions,
            figures.tasks,
            figures.cpu,
            figures.memory / f64::from(1 << 20)
        ),
    ]
}

/// A tool's row.
pub(super) fn tool(tool: &Tool) -> [String; 7] {
    let Tool { provider, name, calls: Calls { rate, errors, p50, p99, total } } = tool;
    [plain(provider), plain(name), number(*rate), time(*p50), time(*p99), number(*errors), format!("{total}")]
}

/// A plugin's or server's row.
pub(super) fn provider(provider: &Provider) -> [String; 6] {
    let Provider { name, state, in_flight, queued, replicas, restarts, .. } = provider;
    let copies = replicas.map_or("-".to_owned(), |(up, wanted)| format!("{up}/{wanted}"));
    let restarts = if replicas.is_some() { format!("{restarts}") } else { "-".to_owned() };
    [plain(name), plain(state), format!("{in_flight}"), format!("{queued}"), copies, restarts]
}

/// Names come from plugins and servers: nothing of them steers the terminal.
fn plain(text: &str) -> String {
    without_steering(text, '?')
}

fn number(value: f64) -> String {
    if value >= 100.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// A duration in the unit that a person would take.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// Rows under their heads: the first two columns begin on the left, numbers end on the right.
fn rows<const N: usize>(text: &mut String, heads: &[&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or_default()
    };
    let mut line = |cells: &[&str; N]| {
        let mut written = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = width(column);
            // Writing to a String cannot fail.
            let _ = if column < 2 { write!(written, "{cell:<width$}  ") } else { write!(written, "{cell:>width$}  ") };
        }
        text.push_str(written.trim_end());
        text.push('\n');
    };
    line(heads);
    for row in rows {
        line(&row.each_ref().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_readable_and_no_name_steers_the_terminal() {
        let calls = Calls { rate: 1234.56, errors: 0.5, p50: Some(0.000_045), p99: Some(0.012_3), total: 99.0 };
        let tools = vec![Tool { provider: "calc".to_owned(), name: "a\u{1b}[2J\u{202e}dd".to_owned(), calls }];
        let providers =
            vec![Provider { name: "calc".to_owned(), state: "serving".to_owned(), replicas: Some((1.0, 2.0)), ..Provider::default() }];
        let figures = Figures {
            version: "1.0".to_owned(),
            ready: true,
            calls,
            memory: 3.0 * 1024.0 * 1024.0,
            tools,
            providers,
            ..Figures::default()
        };
        assert_eq!(
            text(&figures, Sort::Calls),
            "Toolbay 1.0, ready: 1235 calls/s, p50 45 µs, p99 12.3 ms, 0.5 errors/s, 0 denied or rejected/s\n\
             0 in flight, 0 queued, 0 connections, 0 sessions, 0 tasks, 0.00 CPU, 3 MiB\n\n\
             provider  tool      calls/s    p50      p99  errors/s  total\n\
             calc      a?[2J?dd     1235  45 µs  12.3 ms       0.5     99\n\n\
             provider  state    in flight  queued  replicas  restarts\n\
             calc      serving          0       0       1/2         0\n"
        );
    }
}
