//! The last calls, for the console: what was called by whom, how it ended and how long it took. No arguments and no results.
//!
//! Calls that went well are kept so many a second: past that, one pays two reads for it, whoever asks how busy the host is. What failed, was turned away or
//! took long has room of its own, so that a flood of good calls hides none of it.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{OperationResult, Outcome, TurnedAway, audited, known::KnownCall};
use crate::{provider::CallError, telemetry::unix_millis};

/// Calls of each kind that are kept.
const KEPT: usize = 400;

/// Calls that are kept of one second: more than anybody reads.
const GOOD: u64 = 20;
const BAD: u64 = 50;

/// A call that takes longer is kept like one that failed.
const LONG: Duration = Duration::from_secs(1);

/// Bytes of a message, and of a name that a caller made up.
const MESSAGE: usize = 400;

/// One call, as the console shows it.
#[derive(Clone, Debug, Serialize)]
pub struct RecentCall {
    /// Its place among all that were kept.
    pub number: u64,
    /// The log's id of it. None: it never became a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    pub time: u64,
    /// What was done: `tools/call`.
    pub operation: &'static str,
    /// Whose tool, resource or prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Box<str>>,
    /// Which one, as its caller named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Who called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Box<str>>,
    /// By which way.
    pub front: &'static str,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// Why not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
    /// How long it took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// The W3C trace id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<str>>,
}

/// The last calls.
#[derive(Debug)]
pub struct Recent {
    kept: Mutex<Kept>,
    epoch: Instant,
    /// Calls that were kept in the second that is the upper half of the number.
    good: AtomicU64,
    bad: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    good: VecDeque<RecentCall>,
    bad: VecDeque<RecentCall>,
    next: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Self { kept: Mutex::default(), epoch: Instant::now(), good: AtomicU64::new(0), bad: AtomicU64::new(0) }
    }
}

impl Recent {
    /// Keeps what never became a call.
    pub(super) fn turned_away(&self, what: &TurnedAway<'_>) {
        if !self.admit(&self.bad, BAD, self.epoch.elapsed()) {
            return;
        }
        let away = audited::turned_away(what);
        let facts = away.facts;
        // Made for both: what is hidden and what is nowhere take the same time.
        let error = cut(&what.error.to_string());
        self.keep(true, |number| RecentCall {
            number,
            id: None,
            time: unix_millis(),
            operation: facts.operation.unwrap_or_default(),
            provider: None,
            name: facts.name.map(cut),
            caller: facts.caller.map(Into::into),
            front: facts.front,
            outcome: away.outcome,
            error: what.denied.is_none().then_some(error),
            micros: None,
            trace: facts.trace.map(Into::into),
        });
    }

    /// Keeps a call that has ended, if there is place for it. `result`: None where it was dropped before.
    pub(super) fn ended(&self, known: &KnownCall, result: Option<&Result<OperationResult, CallError>>, outcome: Outcome, took: Duration) {
        let is_bad = !matches!(outcome, Outcome::Ok | Outcome::InputRequired) || took >= LONG;
        let (budget, most) = if is_bad { (&self.bad, BAD) } else { (&self.good, GOOD) };
        if !self.admit(budget, most, (known.begin + took).saturating_duration_since(self.epoch)) {
            return;
        }
        let error = match result {
            Some(Err(error)) => Some(cut(&error.to_string())),
            _ => None,
        };
        self.keep(is_bad, |number| RecentCall {
            number,
            id: Some(known.id),
            time: unix_millis(),
            operation: known.operation,
            provider: Some(known.provider().id().as_str().into()),
            name: known.name().map(cut),
            caller: known.caller().map(Into::into),
            front: known.face,
            outcome: outcome.as_str(),
            error,
            micros: Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            trace: known.trace().map(Into::into),
        });
    }

    /// The last calls behind a number, the newest first.
    #[must_use]
    pub fn after(&self, number: Option<u64>) -> Vec<RecentCall> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |call: &&RecentCall| number.is_none_or(|number| call.number > number);
        let mut calls: Vec<RecentCall> = kept.good.iter().chain(&kept.bad).filter(is_new).cloned().collect();
        drop(kept);
        calls.sort_unstable_by_key(|call| std::cmp::Reverse(call.number));
        calls
    }

    /// Whether one more has a place in this second. Only who has one writes.
    fn admit(&self, budget: &AtomicU64, most: u64, at: Duration) -> bool {
        let second = at.as_secs() << 32;
        let spent = budget.load(Relaxed);
        if spent & !0xffff_ffff != second {
            // Two at once are both kept, and one is counted.
            budget.store(second | 1, Relaxed);
            return true;
        }
        let has_place = spent & 0xffff_ffff < most;
        if has_place {
            budget.fetch_add(1, Relaxed);
        }
        has_place
    }

    fn keep(&self, is_bad: bool, call: impl FnOnce(u64) -> RecentCall) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.next += 1;
        let call = call(kept.next);
        let calls = if is_bad { &mut kept.bad } else { &mut kept.good };
        if calls.len() >= KEPT {
            calls.pop_front();
        }
        calls.push_back(call);
    }
}

/// Without secrets of the configuration, and no longer than is shown.
fn cut(text: &str) -> Box<str> {
    let text: Cow<'_, str> = crate::telemetry::without_secrets(text);
    text.get(..text.floor_char_boundary(MESSAGE)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u64, outcome: &'static str) -> RecentCall {
        let (operation, front) = ("tools/call", "mcp");
        let (provider, name, caller, error, trace) = (None, None, None, None, None);
        RecentCall { number, id: None, time: 0, operation, provider, name, caller, front, outcome, error, micros: None, trace }
    }

    #[test]
    fn good_calls_hide_none_that_failed_and_what_is_kept_has_an_end() {
        let recent = Recent::default();
        for _ in 0..3 {
            recent.keep(true, |number| call(number, "busy"));
        }
        for _ in 0..10_000 {
            recent.keep(false, |number| call(number, "ok"));
        }
        let calls = recent.after(None);
        assert_eq!(calls.len(), KEPT + 3);
        assert_eq!(calls.iter().filter(|call| call.outcome == "busy").count(), 3);
        assert!(calls.is_sorted_by_key(|call| std::cmp::Reverse(call.number)));
        assert_eq!(recent.after(Some(10_001)).len(), 2);
    }

    #[test]
    fn of_one_second_so_many_are_kept() {
        let recent = Recent::default();
        let kept = |second: u64| (0..1000).filter(|_| recent.admit(&recent.good, GOOD, Duration::from_secs(second))).count() as u64;
        assert_eq!((kept(0), kept(1), kept(1), kept(7)), (GOOD, GOOD, 0, GOOD));
    }
}
