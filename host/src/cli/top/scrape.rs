//! A page of metrics in the text format of Prometheus, read.

use std::{collections::HashMap, time::Instant};

/// One value with its labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Sample {
    /// A label's value. Empty: it has none.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// All that a page says.
#[derive(Debug)]
pub(super) struct Scrape {
    /// When it was asked for.
    pub(super) at: Instant,
    samples: HashMap<String, Vec<Sample>>,
}

impl Scrape {
    /// Reads a page. Lines that are none of the format are left out.
    pub(super) fn parse(page: &str, at: Instant) -> Self {
        let mut samples: HashMap<String, Vec<Sample>> = HashMap::new();
        for (name, sample) in page.lines().filter(|line| !line.starts_with('#')).filter_map(line) {
            match samples.get_mut(name) {
                Some(known) => known.push(sample),
                None => drop(samples.insert(name.to_owned(), vec![sample])),
            }
        }
        Self { at, samples }
    }

    /// The values of one name.
    pub(super) fn of(&self, name: &str) -> &[Sample] {
        self.samples.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Their sum.
    pub(super) fn sum(&self, name: &str) -> f64 {
        total(self.of(name).iter())
    }

    /// The sum of those that have this label.
    pub(super) fn with(&self, name: &str, label: &str, value: &str) -> f64 {
        total(self.of(name).iter().filter(|sample| sample.label(label) == value))
    }
}

/// `name{label="value"} 1.5`.
fn line(line: &str) -> Option<(&str, Sample)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, Sample { labels, value }))
}

/// A value up to its closing quotation mark, and what stands behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

/// The sum of these. Of none it is 0, and not the -0 that `sum` begins with.
pub(super) fn total<'a>(samples: impl Iterator<Item = &'a Sample>) -> f64 {
    samples.fold(0.0, |sum, sample| sum + sample.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_with_its_labels_and_what_is_odd_is_left_out() {
        let page =
            "# TYPE a counter\na{x=\"1\",y=\"q\\\"u\\\\o\\nte}\"} 2\na{x=\"2\"} 3.5 1700000000\nb 7\nb{x=\"1\" 8\nc\nd{} +Inf\ne x\n\n";
        let scrape = Scrape::parse(page, Instant::now());
        assert_eq!((scrape.sum("a"), scrape.with("a", "x", "2"), scrape.sum("b"), scrape.sum("none")), (5.5, 3.5, 7.0, 0.0));
        assert_eq!(scrape.of("a").first().map(|sample| sample.label("y")), Some("q\"u\\o\nte}"));
        assert_eq!((scrape.of("c").len(), scrape.of("e").len(), scrape.sum("d")), (0, 0, f64::INFINITY));
    }
}
