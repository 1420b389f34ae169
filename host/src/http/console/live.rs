//! The figures that move, in one compact answer: the page asks for it every second and keeps what it plots.
//!
//! Counts only grow; the page subtracts. They are those of the metrics, so that the console and Prometheus say the same.

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, extract::State};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Console, Pool};
use crate::{
    http::answer,
    provider::{ProviderKind, ProviderState},
    telemetry::{
        metrics::{CallMeter, Usage},
        unix_millis,
    },
};

/// Tools that are told apart: those with the most calls.
const TOOLS: usize = 100;

/// Outcomes that are no errors: they come first in [`Outcome::ALL`](crate::dispatch::Outcome::ALL).
const GOOD: usize = 2;

#[derive(Serialize)]
pub(super) struct Live {
    /// In milliseconds since 1970.
    time: u64,
    ready: bool,
    /// False: there are no metrics, so that no calls are counted.
    counted: bool,
    in_flight: usize,
    queued: usize,
    /// By the place of the outcome.
    outcomes: Vec<u64>,
    calls: Counted,
    refusals: BTreeMap<&'static str, u64>,
    connections: u64,
    sessions: usize,
    tasks: usize,
    pool: Pool,
    process: Option<Usage>,
    providers: Vec<Provider>,
    tools: Vec<Tool>,
    models: Vec<Value>,
    /// Grow with every change of what is published.
    generations: [u64; 3],
    disabled: usize,
    /// `applied` or `rejected`.
    configuration: Value,
    /// What collectors do not take, and why.
    collectors: BTreeMap<String, Value>,
    /// Why tools are searched by words alone, although there is a model.
    search: Value,
}

/// Calls that ended.
#[derive(Default, Serialize)]
struct Counted {
    count: u64,
    bad: u64,
    /// In microseconds.
    sum: u64,
    /// By duration, without the empty ones at the end.
    buckets: Vec<u64>,
}

#[derive(Serialize)]
struct Provider {
    name: String,
    kind: ProviderKind,
    state: ProviderState,
    in_flight: usize,
    queued: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<[u64; 3]>,
    calls: Counted,
}

#[derive(Serialize)]
struct Tool {
    provider: String,
    name: String,
    calls: Counted,
}

impl Counted {
    fn add(&mut self, meter: &CallMeter) {
        for (place, count) in meter.outcomes().enumerate() {
            self.count += count;
            self.bad += if place < GOOD { 0 } else { count };
        }
        self.sum += meter.durations().sum() / 1000;
        for (place, count) in meter.durations().counts().enumerate() {
            match self.buckets.get_mut(place) {
                Some(bucket) => *bucket += count,
                None => self.buckets.push(count),
            }
        }
    }

    fn trimmed(mut self) -> Self {
        while self.buckets.last() == Some(&0) {
            self.buckets.pop();
        }
        self
    }
}

pub(super) async fn live(State(console): State<Arc<Console>>) -> Response<Body> {
    answer::json(StatusCode::OK, &Live::of(&console))
}

/// The errors of those that fail, by signal.
fn failing(collectors: Option<&Value>) -> BTreeMap<String, Value> {
    let all = collectors.and_then(Value::as_object).into_iter().flatten();
    all.filter(|(_, status)| !status["error"].is_null()).map(|(signal, status)| (signal.clone(), status["error"].clone())).collect()
}

impl Live {
    /// Of the host and its providers, and of no single tool or model.
    pub(super) fn of_all(console: &Console) -> Self {
        Self { tools: Vec::new(), models: Vec::new(), ..Self::of(console) }
    }

    fn of(console: &Console) -> Self {
        let dispatcher = console.front.dispatcher();
        let metrics = dispatcher.metrics();
        let (mut outcomes, mut calls) = (Vec::new(), Counted::default());
        let mut of_providers: BTreeMap<String, Counted> = BTreeMap::new();
        let mut tools = Vec::new();
        if let Some(meters) = metrics.calls() {
            outcomes.resize(meters.words().len(), 0);
            meters.each(|method, provider, tool, meter| {
                outcomes.iter_mut().zip(meter.outcomes()).for_each(|(all, count)| *all += count);
                calls.add(meter);
                match of_providers.get_mut(provider) {
                    Some(of) => of.add(meter),
                    None => of_providers.entry(provider.to_owned()).or_default().add(meter),
                }
                if method == "tools/call" && meter.outcomes().any(|count| count > 0) {
                    let mut calls = Counted::default();
                    calls.add(meter);
                    tools.push(Tool { provider: provider.to_owned(), name: tool.to_owned(), calls: calls.trimmed() });
                }
            });
        }
        tools.sort_unstable_by(|a, b| b.calls.count.cmp(&a.calls.count).then_with(|| (&a.provider, &a.name).cmp(&(&b.provider, &b.name))));
        tools.truncate(TOOLS);
        let mut providers: Vec<Provider> = console
            .host
            .statuses()
            .into_iter()
            .map(|status| {
                let replicas = status.replicas.map(|replicas| [replicas.up.len() as u64, replicas.wanted.into(), replicas.restarts]);
                let calls = of_providers.remove(&status.name).unwrap_or_default().trimmed();
                let (kind, state, in_flight, queued) = (status.kind, status.state, status.in_flight, status.queued);
                Provider { name: status.name, kind, state, in_flight, queued, replicas, calls }
            })
            .collect();
        providers.sort_by(|a, b| a.name.cmp(&b.name));
        let sections: BTreeMap<_, _> = console.host.sections().into_iter().collect();
        let models = sections.get("models").and_then(Value::as_array).into_iter().flatten();
        let models = models.map(
            |model| json!({ "name": model["name"], "queued": model["queued"], "computes": model["computes"], "failed": model["failed"] }),
        );
        let snapshot = console.front.catalog().snapshot();
        let generations = snapshot.generations();
        Self {
            time: unix_millis(),
            ready: console.host.ready(),
            counted: metrics.calls().is_some(),
            in_flight: dispatcher.in_flight(),
            queued: providers.iter().map(|provider| provider.queued).sum(),
            outcomes,
            calls: calls.trimmed(),
            refusals: metrics.refusals().counts().filter(|(_, count)| *count > 0).collect(),
            connections: metrics.connections(),
            sessions: console.front.sessions(),
            tasks: console.front.tasks().0,
            pool: console.host.pool(),
            process: Usage::now(),
            models: models.collect(),
            providers,
            tools,
            generations: [generations.tools, generations.prompts, generations.resources],
            disabled: snapshot.disabled().len(),
            collectors: failing(sections.get("collectors")),
            search: sections.get("search").map(|section| section["error"].clone()).unwrap_or_default(),
            configuration: sections.get("configuration").map(|section| section["state"].clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dispatch::{Dispatcher, Outcome};

    #[test]
    fn the_outcomes_that_are_no_errors_come_first() {
        let good: Vec<_> = Outcome::ALL.iter().take(GOOD).collect();
        assert_eq!(good, [&Outcome::Ok, &Outcome::InputRequired]);
    }

    #[test]
    fn counts_are_added_and_empty_buckets_are_left_out() {
        let dispatcher = Dispatcher::new();
        let meters = dispatcher.metrics().calls().unwrap();
        for tool in ["a", "b"] {
            let meter = meters.meter("tools/call", "p", tool);
            meter.ended(Outcome::Ok as usize, Duration::from_micros(30));
            meter.ended(Outcome::Busy as usize, Duration::from_micros(10));
        }
        let mut all = Counted::default();
        meters.each(|_, _, _, meter| all.add(meter));
        let all = all.trimmed();
        assert_eq!((all.count, all.bad, all.sum, all.buckets), (4, 2, 80, vec![2, 2]));
    }
}
