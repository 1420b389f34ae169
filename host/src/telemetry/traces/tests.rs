//! What is recorded, what is kept, and what is dropped, with a collector made of the protobufs.

use std::net::TcpListener;

use http::HeaderValue;

use super::*;
use crate::{
    provider::SpanKind,
    telemetry::otlp::collector::{Collector, Read},
};

const LONG: Duration = Duration::from_secs(20);
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

fn next_spans(collector: &Collector) -> Vec<Read> {
    spans(&collector.requests.recv_timeout(LONG).unwrap().1)
}

fn spans(request: &Read) -> Vec<Read> {
    request.all(1).iter().flat_map(|resource| resource.all(2)).flat_map(|scope| scope.all(2)).collect()
}

fn traces(url: &str, change: impl FnOnce(&mut TracesConfig)) -> Arc<Traces> {
    let mut config = TracesConfig { endpoint: Some(url.parse().unwrap()), ..TracesConfig::default() };
    change(&mut config);
    Traces::start(&config).unwrap().unwrap()
}

fn begin(traces: &Traces, parent: Option<&str>, name: &str) -> Option<Root> {
    let outline = Outline::new(SpanKind::Server, &[name], &[]);
    traces.choose(parent).map(|chosen| chosen.begin((Instant::now(), SystemTime::now()), &outline, |_| {}))
}

/// One call with a request below it.
fn call(traces: &Arc<Traces>, parent: Option<&str>, failure: Option<&str>, took: Duration) -> bool {
    let Some(root) = begin(traces, parent, "tools/call add") else { return false };
    let below = root.span().child(SpanKind::Client, &["GET"]);
    below.set("http.response.status_code", 200_u16.into());
    drop(below);
    root.end(failure, failure.is_some(), took);
    true
}

#[test]
fn a_call_is_one_tree_and_belongs_to_who_asked_for_it() {
    let collector = Collector::start(&[(200, 0)]);
    let traces = traces(&collector.url, |config| {
        config.service_name = "tools".to_owned();
        config.headers.insert("x-key", HeaderValue::from_static("s3cr3t"));
    });
    assert!(call(&traces, Some(&format!("{PARENT}-01")), Some("tool_error"), Duration::ZERO));
    assert!(traces.flush(LONG));
    let (head, request) = collector.requests.recv_timeout(LONG).unwrap();
    assert!(head.starts_with("post /v1/traces ") && head.contains("x-key: s3cr3t") && head.contains("application/x-protobuf"), "{head}");
    let service = request.one(1).one(1).all(1).into_iter().find(|attribute| attribute.text(1) == "service.name").unwrap();
    assert_eq!(service.one(2).text(1), "tools");
    let spans = spans(&request);
    let [get, root] = &spans[..] else { panic!("{request:?}") };
    assert_eq!((root.text(5), root.number(6), get.text(5), get.number(6)), ("tools/call add".to_owned(), 2, "GET".to_owned(), 3));
    assert_eq!(root.one(1).0, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(root.one(4).0, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!((get.one(1), get.one(4)), (root.one(1), root.one(2)));
    assert_eq!((root.one(15).number(3), root.one(15).text(2)), (2, "tool_error".to_owned()));
    assert!(get.all(15).is_empty() && get.number(7) >= root.number(7) && root.number(8) >= root.number(7));
    assert_eq!(traces.counts(), (2, 0));
}

#[test]
fn who_asks_decides_and_else_the_share_does() {
    let collector = Collector::start(&[(200, 0)]);
    let (none, all) = (traces(&collector.url, |config| config.sample = 0.0), traces(&collector.url, |_| {}));
    let is_recorded = |traces: &Arc<Traces>, parent: Option<&str>| traces.choose(parent).is_some();
    for parent in [None, Some("nonsense"), Some(&*format!("{PARENT}-00"))] {
        assert!(!is_recorded(&none, parent), "{parent:?}");
    }
    assert!(!is_recorded(&all, Some(&format!("{PARENT}-00"))), "its caller does not record it");
    assert!(call(&none, Some(&format!("{PARENT}-01")), None, Duration::ZERO) && call(&all, None, None, Duration::ZERO));
    let half = traces(&collector.url, |config| config.sample = 0.5);
    let recorded = (0..2000).filter(|_| half.choose(None).is_some()).count();
    assert!((800..1200).contains(&recorded), "{recorded}");
}

#[test]
fn an_operator_can_decide_for_all_callers() {
    let collector = Collector::start(&[(200, 0)]);
    let with = |sample| {
        traces(&collector.url, |config| {
            (config.sample, config.parent_based) = (sample, false);
        })
    };
    let (none, all) = (with(0.0), with(1.0));
    for flags in ["00", "01"] {
        let parent = format!("{PARENT}-{flags}");
        assert!(none.choose(Some(&parent)).is_none(), "{flags}");
        let root = begin(&all, Some(&parent), "call").expect("it is recorded");
        let own = root.span().trace_parent();
        assert!(own.starts_with(&PARENT[..35]) && own.ends_with("-01"), "the trace is the caller's: {own}");
    }
}

#[test]
fn what_was_slow_or_failed_is_kept_though_it_was_not_chosen() {
    let collector = Collector::start(&[(200, 0)]);
    let traces = traces(&collector.url, |config| {
        (config.sample, config.slow, config.failed) = (0.0, Some(Duration::from_secs(1)), true);
    });
    let unsampled = format!("{PARENT}-00");
    for (parent, failure, took) in
        [(None, None, 0), (None, Some("tool_error"), 0), (Some(unsampled.as_str()), None, 1), (Some(unsampled.as_str()), None, 0)]
    {
        assert!(call(&traces, parent, failure, Duration::from_secs(took)), "what may be kept is recorded");
    }
    assert!(traces.flush(LONG));
    let spans = next_spans(&collector);
    assert_eq!(spans.len(), 4, "two calls: {spans:?}");
    assert_eq!(traces.counts(), (4, 0));
    // Those who are asked meanwhile are told that it was not chosen.
    let root = begin(&traces, None, "call").unwrap();
    assert!(root.span().trace_parent().ends_with("-00"));
}

#[test]
fn what_ends_after_its_call_is_kept_or_dropped_with_it() {
    let collector = Collector::start(&[(200, 0)]);
    let traces = traces(&collector.url, |config| (config.sample, config.failed) = (0.0, true));
    let late: Vec<_> = [Some("internal"), None]
        .into_iter()
        .map(|failure| {
            let root = begin(&traces, None, "call").unwrap();
            let late = root.span().child(SpanKind::Internal, &["late"]);
            root.end(failure, failure.is_some(), Duration::ZERO);
            late
        })
        .collect();
    drop(late);
    assert!(traces.flush(LONG));
    let mut names: Vec<_> = next_spans(&collector).iter().map(|span| span.text(5)).collect();
    names.sort();
    assert_eq!(names, ["call", "late"]);
    // A call that begins spans without end is not recorded without end.
    let root = begin(&traces, None, "many").unwrap();
    (0..1000).for_each(|_| drop(root.span().child(SpanKind::Client, &["GET"])));
    root.end(Some("internal"), true, Duration::ZERO);
    assert!(traces.flush(LONG));
    assert!(next_spans(&collector).len() <= 256);
    assert!(traces.counts().1 > 700, "{:?}", traces.counts());
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_what_it_rejects_is_counted() {
    let collector = Collector::start(&[(503, 0), (200, 1)]);
    let busy = traces(&collector.url, |_| {});
    call(&busy, None, None, Duration::ZERO);
    assert_eq!(next_spans(&collector), next_spans(&collector), "the same again");
    assert!(busy.flush(LONG));
    assert_eq!(busy.counts(), (1, 1));
    let collector = Collector::start(&[(400, 0)]);
    let refused = traces(&collector.url, |_| {});
    call(&refused, None, None, Duration::ZERO);
    next_spans(&collector);
    assert!(refused.flush(LONG));
    assert_eq!(refused.counts(), (0, 2));
}

#[test]
fn who_ends_does_not_wait_as_long_as_a_collector_asks() {
    let head =
        |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n{more}\r\n").into_bytes();
    let collector = Collector::answering(vec![head(429, "retry-after: 50\r\n"), head(200, "")]);
    let traces = traces(&collector.url, |_| {});
    call(&traces, None, None, Duration::ZERO);
    // It has been asked, and wants to be left alone for as long as this may not take.
    let (_, first) = collector.requests.recv_timeout(LONG).unwrap();
    assert!(traces.flush(LONG));
    assert_eq!(collector.requests.recv_timeout(LONG).unwrap().1, first);
    assert_eq!(traces.counts(), (2, 0));
}

#[test]
fn spans_that_nobody_takes_are_dropped_and_counted_and_hold_up_no_call() {
    // It listens and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let traces = traces(&format!("http://{}", silent.local_addr().unwrap()), |config| config.queue = 64);
    let from = Instant::now();
    for _ in 0..1000 {
        call(&traces, None, None, Duration::ZERO);
    }
    assert!(from.elapsed() < LONG);
    let (exported, dropped) = traces.counts();
    assert!(exported == 0 && dropped >= 2000 - 64 - 64, "{dropped}");
}

#[test]
fn nothing_is_configured_and_nothing_runs() {
    assert!(Traces::start(&TracesConfig::default()).unwrap().is_none());
}
