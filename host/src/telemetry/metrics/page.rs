//! The page: what all sources say at this moment, in the format that is asked for.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{Durations, Family, Kind, durations::Shown, otlp::Points, value::Value};

/// Somebody who has something to show on the page.
pub trait Source: Send + Sync {
    /// Writes it. Called for every page; must not wait.
    ///
    /// # Errors
    ///
    /// Only what writing gives back.
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result;
}

/// In which format a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, which everything reads.
    Text,
    /// OpenMetrics 1.0, for who asks for it.
    OpenMetrics,
}

impl Format {
    /// The format for a request with this `Accept`.
    #[must_use]
    pub fn of(accept: Option<&str>) -> Self {
        // Prometheus lists what it reads, the best first; who names neither reads the text format.
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) { Self::OpenMetrics } else { Self::Text }
    }

    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Makes pages.
pub struct Page {
    registry: Registry,
    sources: Vec<Arc<dyn Source>>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Page {
    /// Of these sources, in this order. Each family comes from one of them.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let mut registry = Registry::default();
        for source in &sources {
            registry.register_collector(Box::new(Collected(Arc::clone(source))));
        }
        Self { registry, sources }
    }

    /// Writes the same for a collector.
    pub(super) fn points(&self, points: &mut Points) {
        // Nothing that they write to can fail.
        let _ = self.sources.iter().try_for_each(|source| source.collect(&mut Out(Target::Otlp(points))));
    }

    /// The page as it is now.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let mut page = String::with_capacity(16 << 10);
        let written = match format {
            Format::Text => prometheus_text::encode(&mut page, &self.registry),
            Format::OpenMetrics => text::encode(&mut page, &self.registry),
        };
        if written.is_err() {
            tracing::error!("the page of metrics could not be written whole");
        }
        page
    }
}

struct Collected(Arc<dyn Source>);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.collect(&mut Out(Target::Text(encoder)))
    }
}

/// Where sources write.
pub struct Out<'a>(Target<'a, DescriptorEncoder<'a>>);

/// For whom.
enum Target<'a, E> {
    Text(E),
    Otlp(&'a mut Points),
}

impl Out<'_> {
    /// Begins a family. It is on the page also where it has no sample.
    ///
    /// # Errors
    ///
    /// What writing gives back.
    pub fn family(&mut self, family: &'static Family) -> Result<Samples<'_>, fmt::Error> {
        let encoder = match &mut self.0 {
            Target::Text(encoder) => encoder,
            Target::Otlp(points) => {
                points.begin(family);
                return Ok(Samples { to: Target::Otlp(points), family });
            }
        };
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        // The encoder adds the end that belongs to a counter.
        let name = family.name.strip_suffix("_total").unwrap_or(family.name);
        let help = family.help.trim().trim_end_matches('.');
        Ok(Samples { to: Target::Text(encoder.encode_descriptor(name, help, None, kind)?), family })
    }

    /// A family with one sample and without labels.
    ///
    /// # Errors
    ///
    /// What writing gives back.
    pub fn single(&mut self, family: &'static Family, value: impl Into<Value>) -> fmt::Result {
        self.family(family)?.add([], value)
    }
}

/// The samples of a family.
pub struct Samples<'a> {
    to: Target<'a, MetricEncoder<'a>>,
    family: &'static Family,
}

impl Samples<'_> {
    /// One more, with the values of the family's labels in their order.
    ///
    /// # Errors
    ///
    /// What writing gives back.
    pub fn add<const N: usize>(&mut self, labels: [&str; N], value: impl Into<Value>) -> fmt::Result {
        let labels = self.named(labels);
        let encoder = match &mut self.to {
            Target::Text(encoder) => encoder,
            Target::Otlp(points) => {
                points.add(&labels, value.into());
                return Ok(());
            }
        };
        let mut encoder = encoder.encode_family(&labels)?;
        match (self.family.kind, value.into()) {
            (Kind::Counter, Value::Whole(value)) => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
            (Kind::Counter, Value::Real(value)) => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
            (_, Value::Whole(value)) => encoder.encode_gauge(&value),
            (_, Value::Real(value)) => encoder.encode_gauge(&value),
        }
    }

    /// One more, of a histogram.
    ///
    /// # Errors
    ///
    /// What writing gives back.
    pub fn durations<const N: usize>(&mut self, labels: [&str; N], durations: &Durations) -> fmt::Result {
        if durations.is_empty() {
            return Ok(());
        }
        let labels = self.named(labels);
        match &mut self.to {
            Target::Text(encoder) => {
                let Shown { count, sum, buckets } = durations.shown();
                encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }
            Target::Otlp(points) => {
                points.durations(&labels, durations);
                Ok(())
            }
        }
    }

    fn named<'l, const N: usize>(&self, values: [&'l str; N]) -> Vec<(&'static str, &'l str)> {
        debug_assert_eq!(self.family.labels.len(), N, "labels of {}", self.family.name);
        // One that is empty is none.
        self.family.labels.iter().copied().zip(values).filter(|(_, value)| !value.is_empty()).collect()
    }
}
