//! A call whose limits hold for all hosts together: what is asked of them, and what becomes of it without an answer.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};

use super::rule::{Counts, Refusal, Rule};
use crate::{
    provider::{CallError, Principal},
    shared::{Counted, Decision, Fault, Link, Refused, Shared},
};

/// When to try again where nothing can be counted.
const SOON: Duration = Duration::from_secs(1);

/// A call that this host would let in, and others have a word in.
pub(super) struct Pending {
    shared: Arc<Shared>,
    link: Arc<Link>,
    principal: Option<Principal>,
    /// The limits of its caller, and which of them are about it.
    rules: Arc<[Rule]>,
    about: Vec<usize>,
    /// What it was counted against here already.
    counted_today: Vec<Arc<Counts>>,
}

impl Pending {
    /// None: no limit that is counted together is about the call.
    pub(super) fn of(
        shared: &Arc<Shared>,
        principal: Option<&Principal>,
        rules: &Arc<[Rule]>,
        is_about: impl Fn(&Rule) -> bool,
        counted_today: Vec<Arc<Counts>>,
    ) -> Option<Box<Self>> {
        let is_counted = |rule: &Rule| rule.rate.is_some() || rule.limit.daily.is_some();
        let about: Vec<_> =
            rules.iter().enumerate().filter(|(_, rule)| is_counted(rule) && is_about(rule)).map(|(place, _)| place).collect();
        if about.is_empty() {
            return None;
        }
        let (shared, link) = (Arc::clone(shared), Arc::clone(shared.link()?));
        Some(Box::new(Self { shared, link, principal: principal.cloned(), rules: Arc::clone(rules), about, counted_today }))
    }

    /// Asks, and counts the call or refuses it.
    pub(super) fn decide(self: Box<Self>) -> BoxFuture<'static, Result<(), CallError>> {
        async move {
            let (limits, of): (Vec<_>, Vec<_>) = self.limits().unzip();
            match self.link.count(&limits).await {
                Ok(Ok(())) => {
                    self.shared.decided(Decision::Admitted);
                    self.rules().filter_map(|rule| rule.rate.as_ref()).for_each(|rate| rate.count());
                    Ok(())
                }
                Ok(Err(refused)) => {
                    self.shared.decided(Decision::Limited);
                    self.uncount();
                    Err(self.refused(refused, limits.get(refused.limit), of.get(refused.limit).copied()))
                }
                Err(fault) => self.without(&fault),
            }
        }
        .boxed()
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.about.iter().filter_map(|place| self.rules.get(*place))
    }

    /// All limits, and the rule that each is of.
    fn limits(&self) -> impl Iterator<Item = (Counted<'_>, &Rule)> {
        self.rules().flat_map(|rule| {
            let key = &*rule.key;
            let rate = rule.rate.as_ref().map(|rate| {
                let (each, ahead) = rate.pace();
                Counted::Rate { key, each, ahead }
            });
            let daily = rule.limit.daily.map(|most| Counted::Daily { key, most });
            rate.into_iter().chain(daily).map(move |limit| (limit, rule))
        })
    }

    fn refused(&self, refused: Refused, limit: Option<&Counted<'_>>, rule: Option<&Rule>) -> CallError {
        let Some(rule) = rule else {
            // It answers another question than was asked.
            return CallError::Busy { what: "the limits of this call cannot be checked".to_owned(), retry_after: SOON };
        };
        let (refusal, hold) = match limit {
            Some(Counted::Daily { most, .. }) => (Refusal::Daily(*most, refused.wait), &rule.daily_hold),
            _ => (Refusal::Rate(refused.wait), &rule.rate_hold),
        };
        hold.refused(refused.wait);
        refusal.of(self.principal.as_ref(), &rule.limit)
    }

    /// Nobody knows what other hosts have counted.
    fn without(&self, fault: &Fault) -> Result<(), CallError> {
        if self.shared.fails_closed() {
            self.shared.decided(Decision::Refused);
            self.uncount();
            // The log and `/status` say more: where Redis is concerns no caller.
            tracing::debug!("a call is denied, since its limits cannot be counted: {fault}");
            let what = "the limits of this call cannot be counted at the moment, and without that it is not made".to_owned();
            return Err(CallError::Uncounted { what, retry_after: SOON });
        }
        for rule in self.rules() {
            let Some(Err(wait)) = rule.rate.as_ref().map(|rate| rate.take()) else { continue };
            self.shared.decided(Decision::Limited);
            self.uncount();
            return Err(Refusal::Rate(wait).of(self.principal.as_ref(), &rule.limit));
        }
        self.shared.decided(Decision::Alone);
        Ok(())
    }

    fn uncount(&self) {
        self.counted_today.iter().for_each(|counts| counts.uncount_today());
    }
}
