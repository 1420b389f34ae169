//! One limit of one caller, and what counts against it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Operation, rate::Rate};
use crate::{
    catalog::Limit,
    provider::{CallError, Principal},
    unix_time,
};

/// A day, as quotas have it: from midnight to midnight, UTC.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// When to try again where as many calls run as may: most take less.
const SOON: Duration = Duration::from_secs(1);

/// How long a refusal by all hosts is believed without asking again. A day's quota may be given back by hand.
const BELIEVED: Duration = Duration::from_secs(5);

/// One limit, and what counts against it.
pub(super) struct Rule {
    pub(super) limit: Limit,
    pub(super) rate: Option<Arc<Rate>>,
    pub(super) counts: Arc<Counts>,
    /// What it is counted under together with other hosts.
    pub(super) key: Box<str>,
    /// Until when all hosts together have refused calls by the rate, and by the quota of the day.
    pub(super) rate_hold: Arc<Hold>,
    pub(super) daily_hold: Arc<Hold>,
}

#[derive(Default)]
pub(super) struct Counts {
    in_flight: AtomicUsize,
    /// The day, and the calls of it: 32 bits each.
    day: AtomicU64,
}

/// Until when all hosts together have refused calls, so that a flood of them is not asked about one by one.
pub(super) struct Hold {
    started: Instant,
    /// Both in nanoseconds since the start.
    until: AtomicU64,
    believed: AtomicU64,
}

impl Default for Hold {
    fn default() -> Self {
        Self { started: Instant::now(), until: AtomicU64::new(0), believed: AtomicU64::new(0) }
    }
}

impl Hold {
    /// Whether it is worth asking. Else: how long to wait.
    pub(super) fn look(&self) -> Result<(), Duration> {
        let believed = self.believed.load(Ordering::Relaxed);
        if believed == 0 || Duration::from_nanos(believed) <= self.started.elapsed() {
            return Ok(());
        }
        Err(Duration::from_nanos(self.until.load(Ordering::Relaxed)).saturating_sub(self.started.elapsed()))
    }

    /// All hosts together have refused a call, and do so for this long.
    pub(super) fn refused(&self, wait: Duration) {
        let now = self.started.elapsed();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.until.store(nanos(now + wait), Ordering::Relaxed);
        self.believed.store(nanos(now + wait.min(BELIEVED)), Ordering::Relaxed);
    }
}

/// What the calls of one caller are counted under, for one limit: the same at all hosts. A digest stands for the caller: names of people are not told to
/// whoever may list keys. In braces, since all keys of a caller belong together.
fn key(subject: &str, limit: &Limit) -> Box<str> {
    let caller = blake3::hash(subject.as_bytes()).to_hex();
    let caller = caller.get(..32).unwrap_or_default();
    let pattern = limit.pattern.as_deref().map(|pattern| format!(":{pattern}")).unwrap_or_default();
    format!("{{{caller}}}:{}{pattern}", limit.role).into()
}

fn until_tomorrow() -> Duration {
    Duration::from_secs(DAY.as_secs() - unix_time::seconds() % DAY.as_secs())
}

impl Rule {
    /// With this limit, where these held before.
    pub(super) fn after(before: &[Self], limit: &Limit, subject: &str) -> Self {
        let known = before.iter().find(|rule| rule.limit.role == limit.role && rule.limit.pattern == limit.pattern);
        let same = known.filter(|rule| rule.limit == *limit);
        let same_rate = known.filter(|rule| rule.limit.rate == limit.rate).and_then(|rule| rule.rate.clone());
        Self {
            rate: same_rate.or_else(|| limit.rate.map(|rate| Arc::new(Rate::new(rate.calls, rate.per, rate.burst)))),
            counts: known.map(|rule| Arc::clone(&rule.counts)).unwrap_or_default(),
            key: key(subject, limit),
            rate_hold: same.map(|rule| Arc::clone(&rule.rate_hold)).unwrap_or_default(),
            daily_hold: same.map(|rule| Arc::clone(&rule.daily_hold)).unwrap_or_default(),
            limit: limit.clone(),
        }
    }

    /// Whether a call counts against it.
    pub(super) fn is_about(&self, operation: &Operation<'_>) -> bool {
        match (&self.limit.pattern, operation) {
            (None, _) => true,
            (Some(_), Operation::Call { entry, .. }) => self.limit.is_about(entry),
            (Some(_), _) => false,
        }
    }

    /// Counts a call as running, and as one of today.
    pub(super) fn begin(
        &self,
        running: &mut Vec<Arc<Counts>>,
        counted_today: &mut Vec<Arc<Counts>>,
        is_nested: bool,
        is_shared: bool,
    ) -> Result<(), Refusal> {
        let is_counted = !is_nested || self.limit.pattern.is_some();
        if let Some(most) = self.limit.concurrency.filter(|_| is_counted) {
            let next = |now: usize| (now < most).then_some(now + 1);
            if self.counts.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_err() {
                return Err(Refusal::Concurrency(most));
            }
            running.push(Arc::clone(&self.counts));
        }
        if let Some(most) = self.limit.daily {
            if is_shared && self.daily_hold.look().is_err() {
                return Err(Refusal::Daily(most, until_tomorrow()));
            }
            self.counts.count_today(most).map_err(|wait| Refusal::Daily(most, wait))?;
            counted_today.push(Arc::clone(&self.counts));
        }
        Ok(())
    }
}

impl Counts {
    /// Whether calls run that count.
    pub(super) fn are_running(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// One of them has ended.
    pub(super) fn ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// One more of today's calls, if there may be one. Else the time until tomorrow.
    fn count_today(&self, most: u32) -> Result<(), Duration> {
        let today = unix_time::seconds() / DAY.as_secs();
        let next = |counted: u64| {
            let calls = if counted >> 32 == today { counted & u64::from(u32::MAX) } else { 0 };
            (calls < u64::from(most)).then_some((today << 32) | (calls + 1))
        };
        self.day.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).map(drop).map_err(|_| until_tomorrow())
    }

    /// The call was not made after all.
    pub(super) fn uncount_today(&self) {
        let less = |counted: u64| (counted & u64::from(u32::MAX) > 0).then(|| counted - 1);
        let _none_counted = self.day.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

/// Which kind of limit was reached.
pub(super) enum Refusal {
    Rate(Duration),
    Concurrency(usize),
    Daily(u32, Duration),
}

impl Refusal {
    pub(super) fn of(self, principal: Option<&Principal>, limit: &Limit) -> CallError {
        let caller = principal.map_or_else(|| "a caller without a name".to_owned(), |principal| format!("caller {}", principal.subject()));
        let place = limit.place();
        let (what, retry_after) = match self {
            Self::Rate(wait) => {
                let rate = limit.rate.map(|rate| rate.to_string()).unwrap_or_default();
                (format!("{caller} calls more often than {rate}, which `rate` in {place} allows"), wait)
            }
            Self::Concurrency(most) => {
                (format!("{caller} has {most} calls running, which is all that `concurrency` in {place} allows"), SOON)
            }
            Self::Daily(most, wait) => (format!("{caller} has made {most} calls today, which is all that `daily` in {place} allows"), wait),
        };
        CallError::Limited { what, retry_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_all_hosts_is_believed_for_a_while_and_told_whole() {
        let hold = Hold::default();
        assert!(hold.look().is_ok());
        hold.refused(Duration::from_secs(3600));
        assert!(hold.look().is_err_and(|wait| wait > Duration::from_secs(3000)));
        hold.refused(Duration::ZERO);
        assert!(hold.look().is_ok());
    }

    #[test]
    fn a_caller_is_counted_under_the_same_key_everywhere_and_not_by_its_name() {
        let limit =
            |role: &str, pattern: Option<&str>| Limit { role: role.to_owned(), pattern: pattern.map(str::to_owned), ..Limit::default() };
        let ann = key("ann@example.com", &limit("r", None));
        assert!(ann.starts_with('{') && ann.ends_with("}:r") && ann == key("ann@example.com", &limit("r", None)), "{ann}");
        let others =
            [key("bob", &limit("r", None)), key("ann@example.com", &limit("q", None)), key("ann@example.com", &limit("r", Some("*__add")))];
        assert!(!ann.contains("ann") && others.iter().all(|other| *other != ann), "{ann} {others:?}");
    }
}
