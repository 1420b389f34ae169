//! Metrics as OTLP has them. The numbers are those of `opentelemetry/proto/metrics/v1/metrics.proto` and its neighbours, which never change.

use std::{collections::HashMap, mem};

use super::{Durations, Family, Kind, Value, family::otlp_label};
use crate::{
    config::Temporality,
    provider::SpanValue,
    telemetry::otlp::{Message, attribute},
};

/// What was counted of each series when a collector took it last.
#[derive(Debug, Default)]
pub(super) struct Taken {
    series: HashMap<Box<[u8]>, Counted>,
    /// When that was, in nanoseconds since 1970.
    at: u64,
}

impl Taken {
    /// Nothing was taken yet. `at`: when the counting began.
    pub(super) fn nothing(at: u64) -> Self {
        Self { series: HashMap::new(), at }
    }
}

#[derive(Clone, Debug)]
enum Counted {
    Number(Value),
    Times(Times),
}

/// The times of a histogram.
#[derive(Clone, Debug)]
struct Times {
    buckets: Vec<u64>,
    /// In nanoseconds.
    sum: u64,
}

/// The data points of one push, while they are written.
#[derive(Debug)]
pub(super) struct Points {
    /// Those families that are whole, as fields of `ScopeMetrics`.
    metrics: Message,
    /// The points of the family that is being written.
    points: Message,
    family: Option<&'static Family>,
    /// When what is counted began, and now.
    start: u64,
    now: u64,
    /// With delta temporality: what is taken off, and what is so the next time.
    before: Option<Taken>,
    after: Taken,
}

impl Points {
    /// `start`: when the counting began; `before`: what a collector has taken, where it is sent what has come since.
    pub(super) fn new(temporality: Temporality, start: u64, now: u64, before: Taken) -> Self {
        let before = (temporality == Temporality::Delta).then_some(before);
        let start = before.as_ref().map_or(start, |taken| taken.at);
        let after = Taken::nothing(now);
        Self { metrics: Message::default(), points: Message::default(), family: None, start, now, before, after }
    }

    /// One `ExportMetricsServiceRequest` with them; what was taken before; what is taken if this is.
    pub(super) fn request(mut self, resource: &[u8], scope: &[u8]) -> (Vec<u8>, Option<Taken>, Taken) {
        self.end();
        let mut request = Message::with_capacity(resource.len() + scope.len() + self.metrics.as_bytes().len() + 64);
        request.message(1, |resource_metrics| {
            resource_metrics.bytes(1, resource);
            resource_metrics.message(2, |scope_metrics| {
                scope_metrics.bytes(1, scope);
                scope_metrics.append(self.metrics.as_bytes());
            });
        });
        (request.into_bytes(), self.before, self.after)
    }

    pub(super) fn begin(&mut self, family: &'static Family) {
        self.end();
        self.family = Some(family);
    }

    /// The family is whole.
    fn end(&mut self) {
        let points = mem::take(&mut self.points);
        let Some(family) = self.family.take().filter(|_| !points.as_bytes().is_empty()) else { return };
        let (name, unit) = family.otlp_name();
        // AGGREGATION_TEMPORALITY_DELTA and _CUMULATIVE
        let temporality = if self.before.is_some() { 1 } else { 2 };
        self.metrics.message(2, |metric| {
            metric.text(1, &name);
            metric.text(2, family.help);
            if !unit.is_empty() {
                metric.text(3, unit);
            }
            match family.kind {
                Kind::Gauge => metric.bytes(5, points.as_bytes()),
                Kind::Counter => metric.message(7, |sum| {
                    sum.append(points.as_bytes());
                    sum.number(2, temporality);
                    sum.number(3, 1);
                }),
                Kind::Histogram => metric.message(9, |histogram| {
                    histogram.append(points.as_bytes());
                    histogram.number(2, temporality);
                }),
            }
        });
    }

    /// A point of a counter or a gauge.
    pub(super) fn add(&mut self, labels: &[(&'static str, &str)], value: Value) {
        let Some(family) = self.family else { return };
        let is_counter = family.kind == Kind::Counter;
        let value = match &self.before {
            Some(before) if is_counter => {
                let key = key(family, labels);
                let shown = match before.series.get(&key) {
                    Some(Counted::Number(taken)) => since(value, *taken),
                    _ => value,
                };
                self.after.series.insert(key, Counted::Number(value));
                shown
            }
            _ => value,
        };
        let (start, now) = (self.start, self.now);
        self.points.message(1, |point| {
            if is_counter {
                point.fixed(2, start);
            }
            point.fixed(3, now);
            match value {
                Value::Whole(value) => point.fixed(6, value),
                Value::Real(value) => point.fixed(4, value.to_bits()),
            }
            attributes(point, 7, labels);
        });
    }

    /// A point of a histogram.
    pub(super) fn durations(&mut self, labels: &[(&'static str, &str)], durations: &Durations) {
        let Some(family) = self.family else { return };
        let counted = Times { buckets: durations.counts().collect(), sum: durations.sum() };
        let shown = match &self.before {
            Some(before) => {
                let key = key(family, labels);
                let shown = match before.series.get(&key) {
                    Some(Counted::Times(taken)) => counted.since(taken),
                    _ => counted.clone(),
                };
                self.after.series.insert(key, Counted::Times(counted));
                shown
            }
            None => counted,
        };
        let (start, now) = (self.start, self.now);
        self.points.message(1, |point| {
            point.fixed(2, start);
            point.fixed(3, now);
            // Of what was read, so that they fit each other also while others count.
            point.fixed(4, shown.buckets.iter().sum());
            point.fixed(5, (shown.sum as f64 / 1e9).to_bits());
            point.packed(6, shown.buckets.iter().copied());
            point.packed(7, Durations::ends().iter().map(|nanos| (*nanos as f64 / 1e9).to_bits()));
            attributes(point, 9, labels);
        });
    }
}

impl Times {
    /// What has come since. Less than before: the counting has begun again.
    fn since(&self, taken: &Self) -> Self {
        let counts = self.buckets.iter().zip(&taken.buckets);
        if counts.clone().any(|(now, before)| now < before) {
            return self.clone();
        }
        Self { buckets: counts.map(|(now, before)| now - before).collect(), sum: self.sum.saturating_sub(taken.sum) }
    }
}

/// What has come since. Less than before: the counting has begun again.
fn since(now: Value, taken: Value) -> Value {
    match (now, taken) {
        (Value::Whole(now), Value::Whole(taken)) => Value::Whole(now.checked_sub(taken).unwrap_or(now)),
        (Value::Real(now), Value::Real(taken)) if now >= taken => Value::Real(now - taken),
        _ => now,
    }
}

/// A series, as one piece.
fn key(family: &Family, labels: &[(&'static str, &str)]) -> Box<[u8]> {
    let mut key = Message::default();
    key.text(1, family.name);
    for (name, value) in labels {
        key.text(2, name);
        key.text(3, value);
    }
    key.into_bytes().into()
}

fn attributes(point: &mut Message, number: u32, labels: &[(&'static str, &str)]) {
    for (name, value) in labels {
        let name = otlp_label(name);
        let status = if name == "http.response.status_code" { value.parse().ok() } else { None };
        attribute(point, number, name, status.map_or(SpanValue::Text(value), SpanValue::Number));
    }
}
