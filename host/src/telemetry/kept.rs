//! The last lines of the log, for the console: kept by the thread that writes them, so that a call pays nothing for it.

use std::{
    collections::VecDeque,
    sync::{Mutex, OnceLock, PoisonError},
};

use serde::Serialize;

use super::audit::known;

/// Lines that are kept.
const LINES: usize = 2_000;

/// Bytes of a line that are kept: a plugin decides what is in its lines.
const LINE: usize = 2_000;

/// The lines of this process. Not there: nobody wants them.
static KEPT: OnceLock<Mutex<Kept>> = OnceLock::new();

#[derive(Default)]
struct Kept {
    lines: VecDeque<Box<str>>,
    /// Lines that are no longer kept: the number of the first one.
    gone: u64,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptLine {
    /// Its number, from 0.
    pub number: u64,
    /// As it was logged, without colours and secrets.
    pub text: String,
}

impl Kept {
    fn push(&mut self, line: &[u8]) {
        let line = line.get(..LINE).unwrap_or(line);
        if self.lines.len() >= LINES {
            self.lines.pop_front();
            self.gone += 1;
        }
        self.lines.push_back(String::from_utf8_lossy(line).trim_end().into());
    }

    fn last(&self, after: Option<u64>, most: usize, wanted: impl Fn(&str) -> bool) -> Vec<KeptLine> {
        let end = self.gone + self.lines.len() as u64;
        let numbered = (self.gone..end).rev().zip(self.lines.iter().rev());
        let numbered = numbered.take_while(|(number, _)| after.is_none_or(|after| *number > after));
        let mut last: Vec<_> = numbered
            .map(|(number, line)| (number, plain(line)))
            .filter(|(_, text)| wanted(text))
            .take(most)
            .map(|(number, text)| KeptLine { number, text: known(&text).into_owned() })
            .collect();
        last.reverse();
        last
    }
}

/// Keeps the last lines from now on.
pub fn keep_lines() {
    let _ = KEPT.set(Mutex::default());
}

/// The last lines that are wanted, the newest at the end. `after`: only those behind this one.
#[must_use]
pub fn kept_lines(after: Option<u64>, most: usize, wanted: impl Fn(&str) -> bool) -> Vec<KeptLine> {
    let kept = KEPT.get().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
    kept.map(|kept| kept.last(after, most, wanted)).unwrap_or_default()
}

pub(super) fn push(line: &[u8]) {
    if let Some(kept) = KEPT.get() {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Without what colours a terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').strip_prefix('m').unwrap_or(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let mut kept = Kept::default();
        for number in 0..LINES + 5 {
            kept.push(format!("\u{1b}[32mINFO\u{1b}[0m line {number}\n").as_bytes());
        }
        kept.push("é".repeat(LINE).as_bytes());
        assert_eq!(kept.lines.len(), LINES);
        let last = kept.last(None, 2, |line| line.starts_with("INFO"));
        let number = LINES as u64 + 4;
        assert_eq!(
            last.iter().map(|line| (line.number, line.text.as_str())).collect::<Vec<_>>(),
            [(number - 1, format!("INFO line {}", number - 1).as_str()), (number, format!("INFO line {number}").as_str()),]
        );
        assert_eq!(kept.last(Some(number), 100, |_| true).len(), 1);
        assert!(kept.last(Some(number + 1), 100, |_| true).is_empty());
    }
}
