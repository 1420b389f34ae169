//! What a collector is sent, and that it is what `/metrics` says.

use std::{collections::BTreeMap, fmt, sync::atomic::AtomicU64};

use http::HeaderValue;

use super::*;
use crate::telemetry::{
    metrics::{Format, HttpRoute, Metrics, Out, Reason, Source, Word, family},
    otlp::collector::{Collector, Read},
};

const LONG: Duration = Duration::from_secs(20);
const WORDS: &[Word] = &[Word { word: "ok", always: true }, Word { word: "busy", always: false }];

/// Series by what Prometheus calls them.
type Series = BTreeMap<String, f64>;

/// Gauges, and a count that is no whole number.
#[derive(Default)]
struct Beside(AtomicU64);

impl Source for Beside {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        let halves = self.0.load(std::sync::atomic::Ordering::Relaxed);
        out.single(&family::COMPILE_SECONDS, halves as f64 / 2.0)?;
        out.single(&family::POOL_MEMORY, 1_u64 << 40)?;
        out.single(&family::PROCESS_START, 1_700_000_000.25)?;
        let mut states = out.family(&family::POOL_INSTANCES)?;
        states.add(["used"], 3_u64)?;
        states.add(["free"], 0_u64)?;
        out.family(&family::MODEL_UP).map(drop)
    }
}

struct Fixture {
    metrics: Arc<Metrics>,
    beside: Arc<Beside>,
    page: Arc<Page>,
}

impl Fixture {
    fn new() -> Self {
        let (metrics, beside) = (Arc::new(Metrics::new(WORDS, true)), Arc::<Beside>::default());
        let page = Arc::new(Page::new(vec![metrics.clone() as Arc<dyn Source>, beside.clone()]));
        let fixture = Self { metrics, beside, page };
        fixture.count();
        fixture
    }

    fn count(&self) {
        let meter = self.metrics.calls().unwrap().meter("tools/call", "calculator", "a\"b\\c");
        meter.ended(0, Duration::from_micros(30));
        meter.ended(1, Duration::from_secs(400));
        self.metrics.refused(Reason::Queue);
        self.metrics.http().unwrap().answered(HttpRoute::Mcp, "POST", 200, Duration::from_millis(2));
        self.metrics.http().unwrap().answered(HttpRoute::None, "BREW", 418, Duration::from_millis(2));
        self.beside.0.fetch_add(3, std::sync::atomic::Ordering::Relaxed);
    }

    /// All series of the page.
    fn shown(&self) -> Series {
        let page = self.page.render(Format::Text);
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
    }
}

/// All series of a push, under the names that a collector gives them for Prometheus.
fn pushed(request: &Read) -> Series {
    let mut series = Series::new();
    for metric in request.all(1).iter().flat_map(|resource| resource.all(2)).flat_map(|scope| scope.all(2)) {
        let unit = match &*metric.text(3) {
            "s" => "_seconds",
            "By" => "_bytes",
            "" => "",
            unit => panic!("{unit}"),
        };
        let name = format!("{}{unit}", metric.text(1).replace('.', "_"));
        for point in metric.one(5).all(1) {
            series.insert(format!("{name}{}", labels(&point, 7, "")), number(&point));
        }
        for point in metric.one(7).all(1) {
            assert_eq!(metric.one(7).number(3), 1, "{name} only grows");
            series.insert(format!("{name}_total{}", labels(&point, 7, "")), number(&point));
        }
        for point in metric.one(9).all(1) {
            let eights =
                |field| point.one(field).0.chunks(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect::<Vec<_>>();
            let ends = eights(7).into_iter().map(|bits| f64::from_bits(bits).to_string()).chain(["+Inf".to_owned()]);
            let mut below = 0;
            for (count, end) in eights(6).into_iter().zip(ends) {
                below += count;
                // As the page writes it.
                let end = if end == "0.00002" || end == "0.00005" { end.replace("0.0000", "") + "e-05" } else { end };
                series.insert(format!("{name}_bucket{}", labels(&point, 9, &end)), below as f64);
            }
            assert_eq!(point.number(4), below);
            series.insert(format!("{name}_count{}", labels(&point, 9, "")), below as f64);
            series.insert(format!("{name}_sum{}", labels(&point, 9, "")), f64::from_bits(point.number(5)));
        }
    }
    series
}

fn number(point: &Read) -> f64 {
    let is_whole = super::otlp::fields(&point.0).any(|(field, _)| field == 6);
    if is_whole { point.number(6) as f64 } else { f64::from_bits(point.number(4)) }
}

fn labels(point: &Read, number: u64, end: &str) -> String {
    let of = |pair: &Read| {
        let value = pair.one(2);
        let value = if value.all(1).is_empty() { value.number(3).to_string() } else { value.text(1) };
        format!("{}=\"{}\"", pair.text(1).replace('.', "_"), value.replace('\\', r"\\").replace('"', r#"\""#))
    };
    let mut all: Vec<String> = point.all(number).iter().map(of).collect();
    if !end.is_empty() {
        all.push(format!("le=\"{end}\""));
    }
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn config(collector: &Collector, change: impl FnOnce(&mut MetricsConfig)) -> MetricsConfig {
    // Nothing is pushed but what the test asks for.
    let interval = Duration::from_secs(3600);
    let mut config = MetricsConfig { endpoint: Some(collector.url.parse().unwrap()), interval, ..MetricsConfig::default() };
    change(&mut config);
    config
}

fn next(push: &Push, collector: &Collector) -> (String, Read) {
    assert!(push.flush(LONG));
    collector.requests.recv_timeout(LONG).unwrap()
}

#[test]
fn what_is_pushed_is_what_the_page_says() {
    let (fixture, collector) = (Fixture::new(), Collector::start(&[(200, 0)]));
    let headers = [(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer s3cr3t"))].into_iter().collect();
    let config = config(&collector, |config| (config.headers, config.service_name) = (headers, "tools".to_owned()));
    let push = Push::start(fixture.page.clone(), &config, Arc::default()).unwrap();
    for _ in 0..2 {
        let (head, request) = next(&push, &collector);
        assert!(
            head.starts_with("post /v1/metrics ") && head.contains("bearer s3cr3t") && head.contains("application/x-protobuf"),
            "{head}"
        );
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let service = request.one(1).one(1).all(1).into_iter().find(|attribute| attribute.text(1) == "service.name").unwrap();
        assert_eq!(service.one(2).text(1), "tools");
        assert_eq!(pushed(&request), fixture.shown());
        fixture.count();
    }
}

#[test]
fn with_delta_each_push_has_what_has_come_since_the_last_that_was_taken() {
    let (fixture, collector) = (Fixture::new(), Collector::start(&[(200, 0), (200, 0), (400, 0), (200, 0)]));
    let config = config(&collector, |config| (config.temporality, config.gzip) = (Temporality::Delta, false));
    let push = Push::start(fixture.page.clone(), &config, Arc::default()).unwrap();
    let calls =
        "toolbay_calls_total{mcp_method_name=\"tools/call\",gen_ai_tool_name=\"a\\\"b\\\\c\",provider=\"calculator\",outcome=\"ok\"}";
    let http =
        "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_route=\"/mcp\",http_response_status_code=\"200\"}";
    let of = |(head, request): (String, Read)| {
        assert!(!head.contains("content-encoding"), "{head}");
        let series = pushed(&request);
        let sum = series[&http.replace("_count", "_sum")];
        (series[calls], series[http], series["toolbay_compile_seconds_total"], (sum * 1000.0).round(), series["toolbay_pool_memory_bytes"])
    };
    let memory = (1_u64 << 40) as f64;
    assert_eq!(of(next(&push, &collector)), (1.0, 1.0, 1.5, 2.0, memory));
    assert_eq!(of(next(&push, &collector)), (0.0, 0.0, 0.0, 0.0, memory));
    fixture.count();
    assert_eq!(of(next(&push, &collector)), (1.0, 1.0, 1.5, 2.0, memory), "it is rejected");
    fixture.count();
    assert_eq!(of(next(&push, &collector)), (2.0, 2.0, 3.0, 4.0, memory));
    fixture.count();
    let (_, request) = next(&push, &collector);
    let metrics: Vec<Read> = request.all(1).iter().flat_map(|resource| resource.all(2)).flat_map(|scope| scope.all(2)).collect();
    assert!(metrics.iter().flat_map(|metric| metric.all(7)).all(|sum| sum.number(2) == 1), "AGGREGATION_TEMPORALITY_DELTA");
    assert_eq!(pushed(&request)[calls], 1.0);
}

#[test]
fn where_and_what_is_pushed_changes_with_the_configuration() {
    let (fixture, first, second) = (Fixture::new(), Collector::start(&[(200, 0)]), Collector::start(&[(200, 0)]));
    let push = Push::start(fixture.page.clone(), &MetricsConfig::default(), Arc::default()).unwrap();
    assert!(push.flush(LONG), "there is nothing to do");
    let cumulative = config(&first, |_| {});
    push.reconfigure(&cumulative);
    assert_eq!(pushed(&next(&push, &first).1), fixture.shown());
    // Who has been sent nothing yet is sent everything.
    push.reconfigure(&config(&second, |config| config.temporality = Temporality::Delta));
    assert_eq!(pushed(&next(&push, &second).1), fixture.shown());
    let nothing_new = pushed(&next(&push, &second).1);
    assert!(nothing_new.iter().filter(|(series, _)| series.contains("_total")).all(|(_, value)| *value == 0.0), "{nothing_new:?}");
    push.reconfigure(&cumulative);
    assert_eq!(pushed(&next(&push, &first).1), fixture.shown());
    push.reconfigure(&MetricsConfig::default());
    assert!(push.flush(LONG));
    assert!(first.requests.try_recv().is_err() && second.requests.try_recv().is_err());
}

#[test]
fn it_is_pushed_once_in_an_interval() {
    let (fixture, collector) = (Fixture::new(), Collector::start(&[(503, 0), (200, 0)]));
    let push = Push::start(fixture.page.clone(), &config(&collector, |config| config.interval = Duration::from_millis(50)), Arc::default())
        .unwrap();
    for _ in 0..3 {
        assert_eq!(pushed(&collector.requests.recv_timeout(LONG).unwrap().1), fixture.shown());
    }
    drop(push);
}

#[test]
fn a_collector_makes_the_names_of_prometheus_again() {
    for family in family::ALL {
        let (name, unit) = family.otlp_name();
        let unit = [("s", "_seconds"), ("By", "_bytes")].iter().find(|(short, _)| *short == unit).map_or("", |(_, suffix)| suffix);
        let total = if family.kind == crate::telemetry::metrics::Kind::Counter { "_total" } else { "" };
        assert_eq!(format!("{}{unit}{total}", name.replace('.', "_")), family.name);
    }
    assert_eq!(family::CALL_DURATION.otlp_name(), ("mcp.server.operation.duration".to_owned(), "s"));
    assert_eq!(family::POOL_MEMORY_LIMIT.otlp_name(), ("toolbay.pool_memory_limit".to_owned(), "By"));
}
