//! The second layer: whether a principal calls too often, by the limits of its roles.
//!
//! Each caller is counted by itself, for each limit of each of its roles. The limits of all its roles hold.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use super::{
    Operation,
    counted::Pending,
    rate::Rate,
    rule::{Counts, Refusal, Rule},
};
use crate::{
    catalog::Policy,
    provider::{CallError, Principal, Roles},
    shared::Shared,
};

/// Callers that are counted before those are looked for that have not called for long.
const MANY: usize = 10_000;
/// How long a caller that does not call is remembered: as long as a quota counts.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The limits on calls by principal and by tool. How many calls a provider runs at once is limited below.
pub(super) struct RateLimit {
    accounts: RwLock<HashMap<Box<str>, Arc<Account>>>,
    /// How many accounts there may be before some are looked for that are not needed.
    sweep_at: AtomicUsize,
    started: Instant,
    /// Where calls are counted together with other hosts.
    shared: Arc<Shared>,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
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

/// A call that may be made. It counts as running until this is dropped.
#[derive(Default)]
pub(super) struct Admitted {
    running: Vec<Arc<Counts>>,
    /// What other hosts have a word in: to be awaited before the call is made.
    pub(super) pending: Option<Box<Pending>>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        for counts in &self.running {
            counts.ended();
        }
    }
}

impl RateLimit {
    /// Counts nothing yet. `shared`: where it is counted together with other hosts.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { accounts: RwLock::default(), sweep_at: AtomicUsize::new(MANY), started: Instant::now(), shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Counts one call that may be made. Called once for each. Does not wait.
    ///
    /// Where other hosts have a word in it, that is still to be asked for: see [`Pending`]. What this host alone refuses all of them would, so a flood does
    /// not reach them.
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
        let rules = account.rules(policy, policy.roles_of(principal), principal.map_or("", Principal::subject));
        let is_shared = self.shared.counts_calls();
        let mut admitted = Admitted::default();
        let mut counted_today = Vec::new();
        for rule in rules.iter().filter(|rule| rule.is_about(operation)) {
            if let Err(refusal) = rule.begin(&mut admitted.running, &mut counted_today, is_nested, is_shared) {
                counted_today.iter().for_each(|counts: &Arc<Counts>| counts.uncount_today());
                return Err(refusal.of(principal, &rule.limit));
            }
        }
        // A rate cannot be given back, so it is asked last.
        for rule in rules.iter().filter(|rule| rule.is_about(operation)) {
            let asked = |rate: &Arc<Rate>| if is_shared { rate.look().and_then(|()| rule.rate_hold.look()) } else { rate.take() };
            let Some(Err(wait)) = rule.rate.as_ref().map(asked) else { continue };
            counted_today.iter().for_each(|counts| counts.uncount_today());
            return Err(Refusal::Rate(wait).of(principal, &rule.limit));
        }
        if is_shared {
            admitted.pending = Pending::of(&self.shared, principal, &rules, |rule| rule.is_about(operation), counted_today);
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
    fn rules(&self, policy: &Policy, roles: &Roles, subject: &str) -> Arc<[Rule]> {
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
        let rules: Arc<[Rule]> = policy.limits(roles).map(|limit| Rule::after(&before.rules, limit, subject)).collect();
        let next = Standing { policy: Some(policy.version()), roles: roles.clone(), rules: Arc::clone(&rules) };
        self.now.store(Arc::new(next));
        rules
    }

    fn is_needed(&self, now: u64) -> bool {
        let runs = || self.now.load().rules.iter().any(|rule| rule.counts.are_running());
        now.saturating_sub(self.used.load(Ordering::Relaxed)) < REMEMBERED.as_secs() || runs()
    }
}
