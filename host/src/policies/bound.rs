//! Policies as far as they are about one caller, and what they decide.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, Response, RestrictedExpression,
};
use chrono::{DateTime, Datelike as _, Utc};

use super::{
    caller::Caller,
    conditions::Arguments,
    item::{Action, Item, uid},
    json,
    rule::Rule,
    set::Set,
};

/// What policies say of something, whatever a call of it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may be used: this policy permits it.
    Allowed(Arc<str>),
    /// It may not: this policy forbids it. None: no policy permits it.
    Denied(Option<Arc<str>>),
    /// It depends on each call: these policies decide.
    EachCall(Vec<Arc<str>>),
}

/// What policies say of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be made.
    Allowed,
    /// It may not.
    Denied(Denial),
}

/// Why a call may not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The policy that denies it. None: no policy permits it.
    pub by: Option<Arc<str>>,
    /// For who calls, in a sentence.
    pub text: String,
    /// For the operator, where there is more to say.
    pub fault: Option<String>,
}

/// When a call is made, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    time: DateTime<Utc>,
    address: Option<IpAddr>,
}

impl Moment {
    /// This moment, from somewhere.
    #[must_use]
    pub fn now() -> Self {
        Self { time: Utc::now(), address: None }
    }

    /// From this address, where it is known.
    #[must_use]
    pub fn from_address(self, address: Option<IpAddr>) -> Self {
        // One of IPv4 is the same by whichever socket it comes in.
        Self { address: address.map(|address| address.to_canonical()), ..self }
    }

    #[cfg(test)]
    pub(super) fn at(text: &str) -> Self {
        Self { time: text.parse().unwrap(), address: None }
    }

    fn parts(self) -> impl Iterator<Item = (String, RestrictedExpression)> {
        let time = self.time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let weekday = i64::from(self.time.weekday().number_from_monday());
        let always = [("time", RestrictedExpression::new_datetime(time)), ("weekday", RestrictedExpression::new_long(weekday))];
        let address = self.address.map(|address| ("address", RestrictedExpression::new_ip(address.to_string())));
        always.into_iter().chain(address).map(|(name, value)| (name.to_owned(), value))
    }
}

/// Policies as far as they are about one caller.
pub struct Bound {
    set: Arc<Set>,
    caller: EntityUid,
    /// The caller, its roles and the actions.
    entities: Option<Entities>,
    /// Policies whose scope may be about the caller, by their places.
    rules: Vec<usize>,
    plans: Mutex<Plans>,
}

/// By action and server.
type Plans = HashMap<(Action, Box<str>), Arc<Plan>>;

/// The policies that may be about what a server offers.
struct Plan {
    forbids: PolicySet,
    permits: PolicySet,
    /// All of them, as they are.
    whole: PolicySet,
    /// What those that depend on the call read of its arguments.
    arguments: Vec<Arguments>,
    /// What holds for all that the server offers.
    constant: Option<Ruling>,
}

impl Bound {
    pub(super) fn new(set: &Arc<Set>, caller: &Caller<'_>) -> Self {
        let own = caller.entities(&set.types, &set.declared);
        let entities = own.and_then(|own| set.actions.clone().add_entities(own, None).ok());
        let is_about = |(_, rule): &(usize, &Rule)| rule.principal.is(caller);
        Self {
            caller: caller.uid(&set.types),
            entities,
            rules: set.rules.iter().enumerate().filter(is_about).map(|(place, _)| place).collect(),
            set: Arc::clone(set),
            plans: Mutex::default(),
        }
    }

    /// What may be done with something, as far as no call is needed to know it.
    #[must_use]
    pub fn ruling(&self, action: Action, item: &Item<'_>) -> Ruling {
        let plan = self.plan(action, item.server());
        if let Some(constant) = &plan.constant {
            return constant.clone();
        }
        let Some((request, entities)) = self.asked(action, item, Context::empty()) else { return Ruling::Denied(None) };
        let forbids = satisfied(&plan.forbids, &request, &entities);
        let permits = satisfied(&plan.permits, &request, &entities);
        let (Ok(forbids), Ok(permits)) = (&forbids, &permits) else {
            let failed = forbids.err().or(permits.err());
            return Ruling::Denied(failed.map(|(id, _)| id.into()));
        };
        self.weigh(forbids, permits)
    }

    /// What holds for all that a server offers, if that is known.
    #[must_use]
    pub fn constant(&self, action: Action, server: &str) -> Option<Ruling> {
        self.plan(action, server).constant.clone()
    }

    /// Whether everything is permitted, whatever is called and whatever comes.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let rules = || self.rules.iter().filter_map(|place| self.set.rules.get(*place));
        rules().all(|rule| rule.permits) && rules().any(Rule::is_about_everything)
    }

    /// Whether a plugin or server that offers nothing now could offer this caller something.
    #[must_use]
    pub fn names_server(&self, server: &str) -> bool {
        [Action::Call, Action::Read, Action::Get].into_iter().any(|action| {
            let about = |rule: &&Rule| rule.is_about(action) && rule.resource.may_be_of(action.kind(), server);
            let rules = || self.rules.iter().filter_map(|place| self.set.rules.get(*place)).filter(about);
            let forbids_all = |rule: &Rule| !rule.permits && !rule.has_conditions && !rule.resource.is_one();
            rules().any(|rule| rule.permits) && !rules().any(forbids_all)
        })
    }

    /// Whether a call may be made. `arguments`: its JSON text, of a tool.
    #[must_use]
    pub fn verdict(&self, action: Action, item: &Item<'_>, arguments: &str, moment: Moment) -> Verdict {
        let plan = self.plan(action, item.server());
        let context = match self.context(|name| plan.arguments.iter().any(|read| read.has(name)), action, arguments, moment) {
            Ok(context) => context,
            Err(why) => return denied(None, format!("denied by this server's policies: {why}; nothing was done"), None),
        };
        let Some((request, entities)) = self.asked(action, item, context) else {
            return denied(None, "denied: this server's policies could not be asked; nothing was done".to_owned(), None);
        };
        let response = Authorizer::new().is_authorized(&request, &plan.whole, &entities);
        if let Some((id, error)) = failed(&response) {
            let text = format!("denied: policy {id:?} of this server could not be evaluated; nothing was done");
            return denied(Some(id.into()), text, Some(error));
        }
        if response.decision() == Decision::Allow {
            return Verdict::Allowed;
        }
        let by = response.diagnostics().reason().filter_map(|id| self.place(id.as_ref())).min();
        match by.and_then(|place| self.set.rules.get(place)) {
            Some(rule) => {
                let reason = rule.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                denied(Some(Arc::clone(&rule.id)), format!("denied by policy {:?}{reason}; nothing was done", rule.id), None)
            }
            None => {
                let with = if action == Action::Call { " with these arguments" } else { "" };
                denied(None, format!("denied: no policy permits this call{with} at this time; nothing was done"), None)
            }
        }
    }

    fn plan(&self, action: Action, server: &str) -> Arc<Plan> {
        /// Servers are few; a resource of a name that somebody made up has none.
        const MOST: usize = 4096;
        let key = (action, Box::from(server));
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&key) {
            return Arc::clone(plan);
        }
        let plan = Arc::new(self.make(action, server));
        if plans.len() >= MOST {
            plans.clear();
        }
        plans.insert(key, Arc::clone(&plan));
        plan
    }

    fn make(&self, action: Action, server: &str) -> Plan {
        let all = self.rules.iter().filter_map(|place| self.set.rules.get(*place));
        let rules: Vec<&Rule> = all.filter(|rule| rule.is_about(action) && rule.resource.may_be_of(action.kind(), server)).collect();
        let of = |permits: bool| set_of(rules.iter().filter(|rule| rule.permits == permits).map(|rule| rule.known()));
        let of_call: Vec<&&Rule> = rules.iter().filter(|rule| rule.is_of_call()).collect();
        let is_constant = rules.iter().all(|rule| !rule.has_conditions && !rule.resource.is_one());
        let first = |permits: bool| rules.iter().find(|rule| rule.permits == permits).map(|rule| Arc::clone(&rule.id));
        let constant = is_constant.then(|| match (first(false), first(true)) {
            (Some(forbids), _) => Ruling::Denied(Some(forbids)),
            (None, Some(permits)) => Ruling::Allowed(permits),
            (None, None) => Ruling::Denied(None),
        });
        Plan {
            forbids: of(false),
            permits: of(true),
            whole: set_of(rules.iter().map(|rule| &rule.policy)),
            arguments: of_call.iter().map(|rule| rule.arguments.clone()).collect(),
            constant,
        }
    }

    /// What follows from the policies that would be satisfied, those that depend on the call among them.
    fn weigh(&self, forbids: &[String], permits: &[String]) -> Ruling {
        let rules = |ids: &[String]| {
            let mut rules: Vec<usize> = ids.iter().filter_map(|id| self.place(id)).collect();
            rules.sort_unstable();
            rules.into_iter().filter_map(|place| self.set.rules.get(place)).collect::<Vec<&Rule>>()
        };
        let (forbids, permits) = (rules(forbids), rules(permits));
        if let Some(rule) = forbids.iter().find(|rule| !rule.is_of_call()) {
            return Ruling::Denied(Some(Arc::clone(&rule.id)));
        }
        let certain = permits.iter().find(|rule| !rule.is_of_call());
        match certain {
            Some(rule) if forbids.is_empty() => Ruling::Allowed(Arc::clone(&rule.id)),
            None if permits.is_empty() => Ruling::Denied(None),
            _ => {
                let permits = permits.iter().filter(|_| certain.is_none());
                Ruling::EachCall(forbids.iter().chain(permits).map(|rule| Arc::clone(&rule.id)).collect())
            }
        }
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.set.places.get(id).copied()
    }

    fn asked(&self, action: Action, item: &Item<'_>, context: Context) -> Option<(Request, Entities)> {
        let types = &self.set.types;
        let entity: Entity = item.entity(types)?;
        let request = Request::new(self.caller.clone(), uid(&types.action, action.name()), entity.uid(), context, None).ok()?;
        // What it is in has no attributes and is in nothing itself, so it need not be there.
        let entities = self.entities.clone()?.add_entities([entity], None).ok()?;
        Some((request, entities))
    }

    /// All that a policy could read of a call.
    #[cfg(test)]
    pub(super) fn whole_context(&self, action: Action, arguments: &str, moment: Moment) -> Context {
        self.context(|_| true, action, arguments, moment).unwrap()
    }

    /// What the policies may read of a call.
    ///
    /// # Errors
    ///
    /// What about its arguments is not as was declared, for who calls.
    fn context(&self, reads: impl Fn(&str) -> bool, action: Action, arguments: &str, moment: Moment) -> Result<Context, String> {
        let mut parts: Vec<_> = moment.parts().collect();
        if action == Action::Call {
            let declared = self.set.declared.arguments.iter().filter(|(name, _)| reads(name));
            let mut declared = declared.peekable();
            let mut given = Vec::new();
            if declared.peek().is_some() {
                let members = json::members(arguments).map_err(|error| format!("the arguments cannot be read: {error}"))?;
                for (name, kind) in declared {
                    let Some(value) = members.get(name) else { continue };
                    let value = kind.of(value).map_err(|_| format!("argument {name:?} is no {kind}, by which they decide"))?;
                    given.extend(value.map(|value| (name.clone(), value)));
                }
            }
            let given = RestrictedExpression::new_record(given).map_err(|error| error.to_string())?;
            parts.push(("arguments".to_owned(), given));
        }
        Context::from_pairs(parts).map_err(|error| error.to_string())
    }
}

impl Ruling {
    /// Whether it may be used, at least by some calls.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }
}

fn denied(by: Option<Arc<str>>, text: String, fault: Option<String>) -> Verdict {
    Verdict::Denied(Denial { by, text, fault })
}

/// The policies of a set that hold. All of them have one effect.
///
/// # Errors
///
/// One that cannot be evaluated, and why.
fn satisfied(set: &PolicySet, request: &Request, entities: &Entities) -> Result<Vec<String>, (String, String)> {
    if set.is_empty() {
        return Ok(Vec::new());
    }
    let response = Authorizer::new().is_authorized(request, set, entities);
    match failed(&response) {
        Some(failed) => Err(failed),
        None => Ok(response.diagnostics().reason().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect()),
    }
}

fn failed(response: &Response) -> Option<(String, String)> {
    response.diagnostics().errors().next().map(|error| {
        let AuthorizationError::PolicyEvaluationError(failed) = error;
        (AsRef::<str>::as_ref(failed.policy_id()).to_owned(), error.to_string())
    })
}

/// Their ids are different: it was looked when they were parsed.
fn set_of<'a>(policies: impl Iterator<Item = &'a cedar_policy::Policy>) -> PolicySet {
    let mut set = PolicySet::new();
    for policy in policies {
        let added = set.add(policy.clone());
        debug_assert!(added.is_ok(), "{added:?}");
    }
    set
}
