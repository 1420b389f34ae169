//! The second layer: whether a principal calls too often, by the limits of its roles.
//!
//! Each caller is counted by itself, for each limit of each of its roles. The limits of all its roles hold.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;

use super::{Operation, rate::Rate};
use crate::{
    catalog::{Limit, Policy},
    provider::{CallError, Principal, Roles},
};

/// Callers that are counted before those are looked for that have not called for long.
const MANY: usize = 10_000;
/// How long a caller that does not call is remembered: as long as a quota counts.
const REMEMBERED: Duration = DAY;
/// A day, as quotas have it: from midnight to midnight, UTC.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// When to try again where as many calls run as may: most take less.
const SOON: Duration = Duration::from_secs(1);

/// The limits on calls by principal and by tool. How many calls a provider runs at once is limited below.
pub(super) struct RateLimit {
    accounts: RwLock<HashMap<Box<str>, Arc<Account>>>,
    /// How many accounts there may be before some are looked for that are not needed.
    sweep_at: AtomicUsize,
    started: Instant,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { accounts: RwLock::default(), sweep_at: AtomicUsize::new(MANY), started: Instant::now() }
    }
}

/// What is counted of one caller.
struct Account {
    now: ArcSwap<Standing>,
    /// Held by whoever puts another in place.
    renewing: Mutex<()>,
    /// When it called last, in seconds since the host's start.
    used: AtomicU64,
}

/// The limits of a caller, as a policy has them.
#[derive(Default)]
struct Standing {
    /// Of which policy. None: of none yet.
    policy: Option<u64>,
    roles: Roles,
    rules: Arc<[Rule]>,
}

/// One limit, and what counts against it.
#[derive(Clone)]
struct Rule {
    limit: Limit,
    rate: Option<Arc<Rate>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    in_flight: AtomicUsize,
    /// The day, and the calls of it: 32 bits each.
    day: AtomicU64,
}

/// A call that may be made. It counts as running until this is dropped.
#[derive(Default)]
pub(super) struct Admitted(Vec<Arc<Counts>>);

impl Drop for Admitted {
    fn drop(&mut self) {
        for counts in &self.0 {
            counts.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl RateLimit {
    /// Counts one call that may be made. Called once for each. Does not wait.
    ///
    /// A call that a tool makes is part of the one that its caller has running, which `concurrency` counts: only a limit on some tools counts both.
    ///
    /// # Errors
    ///
    /// [`CallError::Limited`], with the time after which the next call may be made.
    pub(super) fn check(
        &self,
        policy: &Policy,
        principal: Option<&Principal>,
        operation: &Operation<'_>,
        is_nested: bool,
    ) -> Result<Admitted, CallError> {
        if !policy.has_limits() {
            return Ok(Admitted::default());
        }
        let account = self.account(principal);
        account.used.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
        let rules = account.rules(policy, policy.roles_of(principal));
        let mut admitted = Admitted::default();
        let mut counted_today = Vec::new();
        for rule in rules.iter().filter(|rule| rule.is_about(operation)) {
            if let Err(refusal) = rule.begin(&mut admitted, &mut counted_today, is_nested) {
                counted_today.iter().for_each(|counts: &Arc<Counts>| counts.uncount_today());
                return Err(refusal.of(principal, &rule.limit));
            }
        }
        // A rate cannot be given back, so it is asked last.
        for rule in rules.iter().filter(|rule| rule.is_about(operation)) {
            let Some(Err(wait)) = rule.rate.as_ref().map(|rate| rate.take()) else { continue };
            counted_today.iter().for_each(|counts| counts.uncount_today());
            return Err(Refusal::Rate(wait).of(principal, &rule.limit));
        }
        Ok(admitted)
    }

    fn account(&self, principal: Option<&Principal>) -> Arc<Account> {
        let subject = principal.map_or("", Principal::subject);
        if let Some(known) = self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(subject) {
            return Arc::clone(known);
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= self.sweep_at.load(Ordering::Relaxed) {
            let now = self.started.elapsed().as_secs();
            accounts.retain(|_, account| account.is_needed(now));
            self.sweep_at.store((accounts.len() * 2).max(MANY), Ordering::Relaxed);
        }
        let new = || Arc::new(Account { now: ArcSwap::default(), renewing: Mutex::default(), used: AtomicU64::new(0) });
        Arc::clone(accounts.entry(subject.into()).or_insert_with(new))
    }
}

impl Account {
    /// The limits by this policy. What was counted before counts on.
    fn rules(&self, policy: &Policy, roles: &Roles) -> Arc<[Rule]> {
        let is_of = |standing: &Standing| standing.policy == Some(policy.version()) && standing.roles == *roles;
        let now = self.now.load();
        if is_of(&now) {
            return Arc::clone(&now.rules);
        }
        let _one = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.now.load();
        if is_of(&before) {
            return Arc::clone(&before.rules);
        }
        let rules: Arc<[Rule]> = policy.limits(roles).map(|limit| Rule::after(&before.rules, limit)).collect();
        let next = Standing { policy: Some(policy.version()), roles: roles.clone(), rules: Arc::clone(&rules) };
        self.now.store(Arc::new(next));
        rules
    }

    fn is_needed(&self, now: u64) -> bool {
        let runs = || self.now.load().rules.iter().any(|rule| rule.counts.in_flight.load(Ordering::Acquire) > 0);
        now.saturating_sub(self.used.load(Ordering::Relaxed)) < REMEMBERED.as_secs() || runs()
    }
}

impl Rule {
    fn after(before: &[Self], limit: &Limit) -> Self {
        let known = before.iter().find(|rule| rule.limit.role == limit.role && rule.limit.pattern == limit.pattern);
        let same_rate = known.filter(|rule| rule.limit.rate == limit.rate).and_then(|rule| rule.rate.clone());
        Self {
            rate: same_rate.or_else(|| limit.rate.map(|rate| Arc::new(Rate::new(rate.calls, rate.per, rate.burst)))),
            counts: known.map(|rule| Arc::clone(&rule.counts)).unwrap_or_default(),
            limit: limit.clone(),
        }
    }

    fn is_about(&self, operation: &Operation<'_>) -> bool {
        match (&self.limit.pattern, operation) {
            (None, _) => true,
            (Some(_), Operation::Call { entry, .. }) => self.limit.is_about(entry),
            (Some(_), _) => false,
        }
    }

    /// Counts a call as running, and as one of today.
    fn begin(&self, admitted: &mut Admitted, counted_today: &mut Vec<Arc<Counts>>, is_nested: bool) -> Result<(), Refusal> {
        let is_counted = !is_nested || self.limit.pattern.is_some();
        if let Some(most) = self.limit.concurrency.filter(|_| is_counted) {
            let next = |running: usize| (running < most).then_some(running + 1);
            if self.counts.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_err() {
                return Err(Refusal::Concurrency(most));
            }
            admitted.0.push(Arc::clone(&self.counts));
        }
        if let Some(most) = self.limit.daily {
            self.counts.count_today(most).map_err(|wait| Refusal::Daily(most, wait))?;
            counted_today.push(Arc::clone(&self.counts));
        }
        Ok(())
    }
}

impl Counts {
    /// One more of today's calls, if there may be one. Else the time until tomorrow.
    fn count_today(&self, most: u32) -> Result<(), Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let today = now / DAY.as_secs();
        let next = |counted: u64| {
            let calls = if counted >> 32 == today { counted & u64::from(u32::MAX) } else { 0 };
            (calls < u64::from(most)).then_some((today << 32) | (calls + 1))
        };
        let left = Duration::from_secs(DAY.as_secs() - now % DAY.as_secs());
        self.day.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).map(drop).map_err(|_| left)
    }

    /// The call was not made after all.
    fn uncount_today(&self) {
        let less = |counted: u64| (counted & u64::from(u32::MAX) > 0).then(|| counted - 1);
        let _none_counted = self.day.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

/// Which kind of limit was reached.
enum Refusal {
    Rate(Duration),
    Concurrency(usize),
    Daily(u32, Duration),
}

impl Refusal {
    fn of(self, principal: Option<&Principal>, limit: &Limit) -> CallError {
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
