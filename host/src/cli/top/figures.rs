//! What happened between two looks at a server's metrics: rates, percentiles, errors, queues.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use super::scrape::{Sample, Scrape, total};

/// Outcomes that are no errors.
const GOOD: [&str; 2] = ["ok", "input_required"];

/// The metrics that are read, and their labels.
const CALLS: &str = "toolbay_calls_total";
const BUCKETS: &str = "mcp_server_operation_duration_seconds_bucket";
const METHOD: &str = "mcp_method_name";
const TOOL: &str = "gen_ai_tool_name";
const PROVIDER: &str = "provider";

/// By what tools are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    /// Calls a second
    Calls,
    /// The median duration
    P50,
    /// The duration that 99 of 100 calls don't reach
    P99,
    /// Failed calls
    Errors,
    /// Plugin or server, and tool
    Name,
}

/// All that is shown.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) ready: bool,
    /// Of all calls.
    pub(super) calls: Calls,
    pub(super) in_flight: f64,
    pub(super) queued: f64,
    /// Refused requests a second.
    pub(super) refused: f64,
    pub(super) connections: f64,
    pub(super) sessions: f64,
    pub(super) tasks: f64,
    /// Processors in use.
    pub(super) cpu: f64,
    /// Resident bytes.
    pub(super) memory: f64,
    pub(super) tools: Vec<Tool>,
    pub(super) providers: Vec<Provider>,
}

/// What is to be shown next: figures, or why there are none.
pub(super) type Next = Result<Figures, String>;

/// Calls of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Calls {
    /// A second.
    pub(super) rate: f64,
    /// Failed ones a second.
    pub(super) errors: f64,
    /// In seconds. None: there was none.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    /// Since the server's start.
    pub(super) total: f64,
}

/// A tool.
#[derive(Debug, PartialEq)]
pub(super) struct Tool {
    pub(super) provider: String,
    pub(super) name: String,
    pub(super) calls: Calls,
}

/// A plugin or a server.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) in_flight: f64,
    pub(super) queued: f64,
    /// Replicas that run, and that are wanted. None: it has none.
    pub(super) replicas: Option<(f64, f64)>,
    pub(super) restarts: f64,
}

/// Counts of one series at one moment.
#[derive(Default)]
struct Counted {
    all: f64,
    bad: f64,
    /// By the upper end of the bucket, each with all below it.
    buckets: Vec<(f64, f64)>,
}

/// Method, provider, tool.
type Key = (String, String, String);

impl Figures {
    /// What the second look says, with rates since the first. None: there was none, and what is shown is since the server's start, without rates.
    pub(super) fn between(before: Option<&Scrape>, now: &Scrape) -> Self {
        let seconds = before.map_or(0.0, |before| now.at.saturating_duration_since(before.at).as_secs_f64());
        let (old, new) = (before.map(counts).unwrap_or_default(), counts(now));
        let rate = |name: &str| per_second(now.sum(name) - before.map_or(0.0, |before| before.sum(name)), seconds);
        let (mut all, mut all_before) = (Counted::default(), Counted::default());
        let mut tools = Vec::new();
        for (key, counted) in &new {
            all.add(counted);
            let earlier = old.get(key);
            if let Some(earlier) = earlier {
                all_before.add(earlier);
            }
            if key.0 == "tools/call" && counted.all > 0.0 {
                tools.push(Tool { provider: key.1.clone(), name: key.2.clone(), calls: Calls::between(earlier, counted, seconds) });
            }
        }
        let text = |name: &str, label: &str| now.of(name).first().map(|sample| sample.label(label).to_owned()).unwrap_or_default();
        Self {
            version: text("toolbay_build_info", "version"),
            ready: now.sum("toolbay_ready") > 0.0,
            calls: Calls::between(before.map(|_| &all_before), &all, seconds),
            in_flight: now.sum("toolbay_calls_in_flight"),
            queued: now.sum("toolbay_provider_calls_queued"),
            refused: rate("toolbay_refusals_total"),
            connections: now.sum("toolbay_http_connections"),
            sessions: now.sum("toolbay_mcp_sessions"),
            tasks: now.sum("toolbay_tasks"),
            cpu: rate("process_cpu_seconds_total"),
            memory: now.sum("process_resident_memory_bytes"),
            tools,
            providers: providers(now),
        }
    }

    /// The tools in an order. Those that are equal in it come by name.
    pub(super) fn sorted(&self, sort: Sort, reversed: bool) -> Vec<&Tool> {
        let mut tools: Vec<&Tool> = self.tools.iter().collect();
        let by_name = |a: &Tool, b: &Tool| (&a.provider, &a.name).cmp(&(&b.provider, &b.name));
        let largest = |a: f64, b: f64| b.total_cmp(&a);
        let time = |time: Option<f64>| time.unwrap_or(-1.0);
        tools.sort_by(|a, b| {
            let (x, y) = (&a.calls, &b.calls);
            let order = match sort {
                Sort::Calls => largest(x.rate, y.rate).then(largest(x.total, y.total)),
                Sort::P50 => largest(time(x.p50), time(y.p50)),
                Sort::P99 => largest(time(x.p99), time(y.p99)),
                Sort::Errors => largest(x.errors, y.errors),
                Sort::Name => Ordering::Equal,
            };
            order.then_with(|| by_name(a, b))
        });
        if reversed {
            tools.reverse();
        }
        tools
    }
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.all += other.all;
        self.bad += other.bad;
        for (end, count) in &other.buckets {
            match self.buckets.iter_mut().find(|(known, _)| known == end) {
                Some((_, known)) => *known += count,
                None => self.buckets.push((*end, *count)),
            }
        }
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// What is more than before, by bucket. A server that was started anew counts from 0 again.
    fn since(&self, before: Option<&Self>) -> Vec<(f64, f64)> {
        let earlier = |end: f64| before.and_then(|before| before.buckets.iter().find(|(known, _)| *known == end)).map_or(0.0, |(_, n)| *n);
        let restarted = before.is_some_and(|before| before.all > self.all);
        self.buckets.iter().map(|(end, count)| (*end, if restarted { *count } else { (count - earlier(*end)).max(0.0) })).collect()
    }
}

impl Calls {
    fn between(before: Option<&Counted>, now: &Counted, seconds: f64) -> Self {
        let more = |now: f64, before: Option<f64>| per_second(now - before.filter(|before| *before <= now).unwrap_or_default(), seconds);
        let buckets = now.since(before);
        Self {
            rate: more(now.all, before.map(|before| before.all)),
            errors: more(now.bad, before.map(|before| before.bad)),
            p50: quantile(&buckets, 0.5),
            p99: quantile(&buckets, 0.99),
            total: now.all,
        }
    }
}

fn per_second(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count.max(0.0) / seconds } else { 0.0 }
}

/// The time that this share of the calls did not reach, as Prometheus works it out: within a bucket they are taken to lie evenly.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let wanted = all * share;
    let mut below = (0.0, 0.0);
    for (end, count) in buckets {
        if *count >= wanted {
            let within = if *count > below.1 { (wanted - below.1) / (count - below.1) } else { 1.0 };
            // Past the last end nothing is known but that.
            return Some(if end.is_finite() { below.0 + (end - below.0) * within } else { below.0 });
        }
        below = (*end, *count);
    }
    Some(below.0)
}

fn counts(scrape: &Scrape) -> HashMap<Key, Counted> {
    let mut counts: HashMap<Key, Counted> = HashMap::new();
    let key = |sample: &Sample| [METHOD, PROVIDER, TOOL].map(|label| sample.label(label).to_owned()).into();
    for sample in scrape.of(CALLS) {
        let counted = counts.entry(key(sample)).or_default();
        counted.all += sample.value;
        counted.bad += if GOOD.contains(&sample.label("outcome")) { 0.0 } else { sample.value };
    }
    for sample in scrape.of(BUCKETS) {
        if let Ok(end) = sample.label("le").parse() {
            counts.entry(key(sample)).or_default().buckets.push((end, sample.value));
        }
    }
    counts.values_mut().for_each(|counted| counted.buckets.sort_by(|a, b| a.0.total_cmp(&b.0)));
    counts
}

fn providers(scrape: &Scrape) -> Vec<Provider> {
    let mut providers: BTreeMap<String, Provider> = BTreeMap::new();
    // Of its states one is 1.
    for sample in scrape.of("toolbay_provider_state").iter().filter(|sample| sample.value > 0.0) {
        let name = sample.label(PROVIDER).to_owned();
        let (kind, state) = (sample.label("kind").to_owned(), sample.label("state").to_owned());
        providers.insert(name.clone(), Provider { name, kind, state, ..Provider::default() });
    }
    for (name, provider) in &mut providers {
        let of = |metric: &str| scrape.with(metric, PROVIDER, name);
        (provider.in_flight, provider.queued) = (of("toolbay_provider_calls_in_flight"), of("toolbay_provider_calls_queued"));
        // One that is starting is not up yet; a suspect one serves, and one that drains still ends its calls.
        let up =
            scrape.of("toolbay_replicas").iter().filter(|sample| sample.label(PROVIDER) == name && sample.label("state") != "starting");
        let wanted = scrape.of("toolbay_replicas_wanted").iter().find(|sample| sample.label(PROVIDER) == name);
        provider.replicas = wanted.map(|wanted| (total(up), wanted.value));
        provider.restarts = of("toolbay_replica_restarts_total");
    }
    providers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn page(ok: u32, bad: u32, buckets: [u32; 3]) -> String {
        let series = r#"mcp_method_name="tools/call",gen_ai_tool_name="add",provider="calc""#;
        let mut page = format!(
            "toolbay_build_info{{version=\"1.2.3\"}} 1\ntoolbay_ready 1\n{CALLS}{{{series},outcome=\"ok\"}} {ok}\n{CALLS}{{{series},outcome=\"tool_error\"}} {bad}\n"
        );
        for (end, count) in ["0.001", "0.01", "+Inf"].iter().zip(buckets) {
            page += &format!("{BUCKETS}{{{series},le=\"{end}\"}} {count}\n");
        }
        page + "toolbay_provider_state{provider=\"calc\",kind=\"plugin\",state=\"serving\"} 1\ntoolbay_provider_state{provider=\"calc\",kind=\"plugin\",state=\"failed\"} 0\n\
                toolbay_provider_calls_queued{provider=\"calc\"} 3\ntoolbay_replicas{provider=\"calc\",state=\"starting\"} 5\ntoolbay_replicas{provider=\"calc\",state=\"serving\"} 1\ntoolbay_replicas_wanted{provider=\"calc\"} 2\n"
    }

    #[test]
    fn rates_and_percentiles_are_of_the_time_between() {
        let begin = Instant::now();
        let before = Scrape::parse(&page(100, 0, [100, 100, 100]), begin);
        let now = Scrape::parse(&page(110, 10, [110, 119, 120]), begin + Duration::from_secs(2));
        let figures = Figures::between(Some(&before), &now);
        let [Tool { provider, name, calls }] = figures.tools.as_slice() else { panic!("{figures:?}") };
        assert_eq!((provider.as_str(), name.as_str(), *calls), ("calc", "add", figures.calls));
        assert_eq!((calls.rate, calls.errors, calls.total), (10.0, 5.0, 120.0));
        // 20 calls: 10 below 1 ms, 9 below 10 ms, one above.
        assert_eq!((calls.p50, calls.p99), (Some(0.001), Some(0.01)));
        assert_eq!((figures.version.as_str(), figures.ready, figures.queued), ("1.2.3", true, 3.0));
        let [provider] = figures.providers.as_slice() else { panic!("{figures:?}") };
        assert_eq!(
            (provider.state.as_str(), provider.kind.as_str(), provider.queued, provider.replicas),
            ("serving", "plugin", 3.0, Some((1.0, 2.0)))
        );
        let first = Figures::between(None, &now);
        assert_eq!((first.calls.rate, first.calls.total, first.calls.p50.is_some()), (0.0, 120.0, true));
    }

    #[test]
    fn a_server_that_was_started_anew_has_no_negative_rates() {
        let begin = Instant::now();
        let before = Scrape::parse(&page(1000, 50, [1000, 1050, 1050]), begin);
        let now = Scrape::parse(&page(4, 0, [4, 4, 4]), begin + Duration::from_secs(2));
        let calls = Figures::between(Some(&before), &now).calls;
        assert_eq!((calls.rate, calls.errors), (2.0, 0.0));
        assert!(calls.p50.is_some_and(|p50| p50 <= 0.001), "{calls:?}");
        assert_eq!(Figures::between(None, &Scrape::parse("", begin)), Figures::default());
    }

    #[test]
    fn tools_come_in_the_order_that_was_asked_for() {
        let tool = |name: &str, rate, p50, errors| Tool {
            provider: "p".to_owned(),
            name: name.to_owned(),
            calls: Calls { rate, errors, p50, p99: p50, total: 1.0 },
        };
        let figures = Figures {
            tools: vec![tool("b", 1.0, None, 2.0), tool("a", 3.0, Some(0.1), 0.0), tool("c", 2.0, Some(0.2), 0.0)],
            ..Figures::default()
        };
        let names = |sort, reversed| figures.sorted(sort, reversed).iter().map(|tool| tool.name.as_str()).collect::<String>();
        assert_eq!(
            [Sort::Calls, Sort::P50, Sort::P99, Sort::Errors, Sort::Name].map(|sort| names(sort, false)),
            ["acb", "cab", "cab", "bac", "abc"]
        );
        assert_eq!(names(Sort::Name, true), "cba");
    }
}
