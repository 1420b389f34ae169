//! Whether the page says what was counted, in both formats, and stays small whatever comes.

use std::{path::Path, sync::Arc, time::Duration};

use super::*;

const WORDS: &[Word] = &[Word { word: "ok", always: true }, Word { word: "denied", always: false }];

fn metrics(is_on: bool) -> Arc<Metrics> {
    Arc::new(Metrics::new(WORDS, is_on))
}

fn page(metrics: &Arc<Metrics>, format: Format) -> String {
    Page::new(vec![metrics.clone() as Arc<dyn Source>]).render(format)
}

#[test]
fn a_page_shows_what_was_counted() {
    let metrics = metrics(true);
    let meter = metrics.calls().unwrap().meter("tools/call", "calculator", "a\"b\\c\nd");
    meter.ended(0, Duration::from_micros(30));
    meter.ended(0, Duration::from_secs(400));
    metrics.refused(Reason::Queue);
    metrics.http().unwrap().answered(HttpRoute::Mcp, "POST", 200, Duration::from_millis(2));
    metrics.http().unwrap().answered(HttpRoute::None, "BREW", 418, Duration::from_millis(2));
    metrics.set_connections(3);
    let page = page(&metrics, Format::Text);
    let tool = r#"mcp_method_name="tools/call",gen_ai_tool_name="a\"b\\c\nd",provider="calculator""#;
    for line in [
        "# TYPE toolbay_calls_total counter".to_owned(),
        format!("toolbay_calls_total{{{tool},outcome=\"ok\"}} 2"),
        format!("mcp_server_operation_duration_seconds_bucket{{{tool},le=\"5e-05\"}} 1"),
        format!("mcp_server_operation_duration_seconds_bucket{{{tool},le=\"300\"}} 1"),
        format!("mcp_server_operation_duration_seconds_bucket{{{tool},le=\"+Inf\"}} 2"),
        format!("mcp_server_operation_duration_seconds_count{{{tool}}} 2"),
        "toolbay_refusals_total{reason=\"queue\"} 1".to_owned(),
        "toolbay_refusals_total{reason=\"authentication\"} 0".to_owned(),
        "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_route=\"/mcp\",http_response_status_code=\"200\"} 1"
            .to_owned(),
        "http_server_request_duration_seconds_count{http_request_method=\"_OTHER\",http_response_status_code=\"_OTHER\"} 1".to_owned(),
        "toolbay_http_connections 3".to_owned(),
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\nis not on\n{page}");
    }
    // A rare outcome is shown when there was one.
    assert!(!page.contains("denied\"} 0") || !page.contains("outcome=\"denied\""), "{page}");
    meter.ended(1, Duration::ZERO);
    assert!(super::tests::page(&metrics, Format::Text).contains("outcome=\"denied\"} 1"));
}

#[test]
fn openmetrics_is_for_who_asks_for_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, format) in
        [(None, Format::Text), (Some("*/*"), Format::Text), (Some("text/plain"), Format::Text), (Some(prometheus), Format::OpenMetrics)]
    {
        assert_eq!(Format::of(accept), format, "{accept:?}");
    }
    let page = page(&metrics(true), Format::OpenMetrics);
    assert!(page.contains("# TYPE toolbay_calls counter\n") && page.ends_with("# EOF\n"), "{page}");
}

#[test]
fn nothing_is_counted_where_metrics_are_off() {
    let metrics = metrics(false);
    metrics.refused(Reason::Queue);
    assert!(metrics.calls().is_none() && metrics.http().is_none());
    assert!(page(&metrics, Format::Text).contains("reason=\"queue\"} 0"));
}

#[test]
fn the_number_of_series_has_an_end_and_gone_tools_make_room() {
    let meters = CallMeters::with_most(WORDS, 100);
    let kept = meters.meter("tools/call", "p", "kept");
    kept.ended(0, Duration::ZERO);
    for round in 0..100_000 {
        // Nobody holds it: the tool is gone again.
        meters.meter("tools/call", "p", &format!("t{round}")).ended(0, Duration::ZERO);
    }
    let page = Page::new(vec![Arc::new(meters) as Arc<dyn Source>]).render(Format::Text);
    let series = page.lines().filter(|line| line.starts_with("toolbay_calls_total{")).count();
    assert!((2..=101).contains(&series), "{series}");
    assert!(page.contains("gen_ai_tool_name=\"kept\",provider=\"p\",outcome=\"ok\"} 1\n"), "{page}");
    let counted: u64 = page
        .lines()
        .filter(|line| line.starts_with("toolbay_calls_total{") && line.contains("_OTHER"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(counted > 99_000, "{counted}");
}

/// The table of the documentation, made of the declarations.
fn table() -> String {
    let code = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut text = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Family { name, kind, labels, help } in family::ALL {
        let unit = family::ALL.iter().find(|family| family.name == *name).map_or("", |family| family.unit());
        text += &format!("| `{name}` | {} | {} | {unit} | {help} |\n", kind.as_str(), code(labels));
    }
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    text + &format!("\nReasons of refusals: {}.\n", code(&reasons))
}

#[test]
fn the_documentation_lists_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- metrics: made by `TOOLBAY_RENEW=1 cargo test -p toolbay --lib metrics::` -->\n", "<!-- end -->");
    let (before, rest) = page.split_once(begin).expect("where the table begins");
    let (written, after) = rest.split_once(end).expect("where it ends");
    if std::env::var_os("TOOLBAY_RENEW").is_some() {
        std::fs::write(&path, format!("{before}{begin}\n{}\n{end}{after}", table())).unwrap();
    } else {
        assert_eq!(written.trim(), table().trim(), "run TOOLBAY_RENEW=1 cargo test -p toolbay --lib metrics::");
    }
}

#[test]
fn names_are_as_prometheus_wants_them() {
    let mut names: Vec<&str> = family::ALL.iter().map(|family| family.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), family::ALL.len());
    for family in family::ALL {
        assert_eq!(family.kind == Kind::Counter, family.name.ends_with("_total"), "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
    }
}
