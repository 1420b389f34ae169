//! Views of the catalog by roles: what each set of roles may use, decided once and kept until the
//! catalog or the policy is another.

use std::{
    collections::HashMap,
    hash::Hash as HashKey,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
use blake3::Hash;

use super::{Access, Generations, Policy, Snapshot};
use crate::provider::{Principal, Roles};

/// Sets of roles whose views are kept. Past that all are made anew: they come from tokens and claims,
/// and few callers differ.
const MOST: usize = 1024;

/// What a caller sees of the catalog at one moment.
pub enum Seen {
    /// All of it: there are no roles.
    All(Guard<Arc<Snapshot>>),
    /// What the caller's roles, and the policies, allow.
    Part(Arc<Snapshot>, Generations),
}

impl Seen {
    /// Which published lists these are. They are compared with those that the same caller saw before.
    #[must_use]
    pub fn generations(&self) -> Generations {
        match self {
            Self::All(snapshot) => snapshot.generations(),
            Self::Part(_, generations) => *generations,
        }
    }

    /// Whether something may be hidden from the caller.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.is_part()
    }
}

impl Deref for Seen {
    type Target = Arc<Snapshot>;

    fn deref(&self) -> &Arc<Snapshot> {
        match self {
            Self::All(snapshot) => snapshot,
            Self::Part(snapshot, _) => snapshot,
        }
    }
}

/// All views that were made.
pub(super) struct Kept {
    views: ArcSwap<HashMap<Roles, Arc<View>>>,
    /// Of callers of whom policies read more than their roles, by what they read.
    personal: ArcSwap<HashMap<[u8; 32], Arc<View>>>,
    /// Held by whoever makes one, or drops what is out of date. Says which view is the next.
    making: Mutex<u64>,
}

struct View {
    policy: u64,
    generations: Generations,
    prints: [Hash; 3],
    /// What it was made of, and what came of it. None: that is out of date, and holds nothing back.
    made: Option<(Arc<Snapshot>, Arc<Snapshot>)>,
}

impl View {
    /// What is seen, if it was made of these.
    fn of(&self, policy: &Policy, whole: &Arc<Snapshot>) -> Option<Seen> {
        let (of, part) = self.made.as_ref().filter(|_| self.policy == policy.version())?;
        Arc::ptr_eq(of, whole).then(|| Seen::Part(Arc::clone(part), self.generations))
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self { views: ArcSwap::default(), personal: ArcSwap::default(), making: Mutex::new(1) }
    }
}

impl Kept {
    /// What these roles see. `current`: the whole catalog at any moment from now on.
    pub(super) fn get(&self, policy: &Policy, principal: Option<&Principal>, roles: &Roles, current: &ArcSwap<Snapshot>) -> Seen {
        if policy.is_open() {
            return Seen::All(current.load());
        }
        let access = || policy.access_of(principal, roles);
        match policy.facts(principal, roles) {
            None => self.of(&self.views, policy, roles, current, access),
            Some(facts) => self.of(&self.personal, policy, &facts, current, access),
        }
    }

    fn of<K: Clone + Eq + HashKey>(
        &self,
        views: &ArcSwap<HashMap<K, Arc<View>>>,
        policy: &Policy,
        key: &K,
        current: &ArcSwap<Snapshot>,
        access: impl FnOnce() -> Access,
    ) -> Seen {
        let known = views.load().get(key).and_then(|view| view.of(policy, &current.load()));
        known.unwrap_or_else(|| self.make(views, policy, key, current, access))
    }

    fn make<K: Clone + Eq + HashKey>(
        &self,
        kept: &ArcSwap<HashMap<K, Arc<View>>>,
        policy: &Policy,
        key: &K,
        current: &ArcSwap<Snapshot>,
        access: impl FnOnce() -> Access,
    ) -> Seen {
        let mut next = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let (views, whole) = (kept.load_full(), current.load_full());
        let before = views.get(key);
        if let Some(seen) = before.and_then(|view| view.of(policy, &whole)) {
            return seen;
        }
        let access = access();
        let part = if access.is_everything() { Arc::clone(&whole) } else { Arc::new(Snapshot::part_of(&whole, Arc::new(access))) };
        let prints = part.prints();
        let generations = match before {
            Some(before) => before.generations.after(before.prints, prints),
            None => {
                // A number that no other view of this catalog comes to: who saw another one is told that the lists are others.
                *next += 1;
                Generations::starting_at(*next << 32)
            }
        };
        let view = View { policy: policy.version(), generations, prints, made: Some((whole, Arc::clone(&part))) };
        let mut all = if views.len() < MOST || before.is_some() { HashMap::clone(&views) } else { HashMap::new() };
        all.insert(key.clone(), Arc::new(view));
        kept.store(Arc::new(all));
        Seen::Part(part, generations)
    }

    /// The catalog is another. What was made of the one before is let go.
    pub(super) fn outdate(&self) {
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let_go(&self.views);
        let_go(&self.personal);
    }
}

/// Keeps of views only how their lists were numbered.
fn let_go<K: Clone + Eq + HashKey>(kept: &ArcSwap<HashMap<K, Arc<View>>>) {
    let views = kept.load();
    if views.is_empty() {
        return;
    }
    let without = |view: &View| View { policy: view.policy, generations: view.generations, prints: view.prints, made: None };
    let all = views.iter().map(|(key, view)| (key.clone(), Arc::new(without(view))));
    kept.store(Arc::new(all.collect()));
}

impl Generations {
    fn starting_at(number: u64) -> Self {
        Self { tools: number, prompts: number, resources: number }
    }

    /// The next ones, where these lists come after those.
    fn after(self, before: [Hash; 3], now: [Hash; 3]) -> Self {
        let [tools, prompts, resources] = [0, 1, 2].map(|list| u64::from(before.get(list) != now.get(list)));
        Self { tools: self.tools + tools, prompts: self.prompts + prompts, resources: self.resources + resources }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Catalog, Role, tests::put},
        provider::{Principal, ProviderChange, ProviderId},
    };

    fn policy(tools: &[&str]) -> Policy {
        let tools = tools.iter().map(|pattern| (*pattern).to_owned()).collect();
        let role = Role { name: "r".to_owned(), tools, ..Role::default() };
        let all = Role { name: "all".to_owned(), servers: vec!["*".to_owned()], ..Role::default() };
        Policy::new(vec![role, all], Roles::default(), HashMap::new())
    }

    fn names(seen: &Seen) -> Vec<&str> {
        seen.tools().map(|entry| entry.name()).collect()
    }

    #[test]
    fn a_view_is_made_once_for_a_policy_a_set_of_roles_and_a_catalog() {
        let catalog = Catalog::new();
        catalog.apply(vec![put("a", &["x", "y"]), put("b", &["z"])]);
        let (one, all) = (Principal::with_roles("ann", Roles::new(["r"])), Principal::with_roles("bob", Roles::new(["all", "r"])));
        let first = policy(&["a__x", "b__*"]);
        let seen = catalog.seen(&first, Some(&one));
        assert_eq!(names(&seen), ["x", "z"]);
        assert!(seen.resolve("y").is_none() && seen.resolve("a__y").is_none() && seen.resolve("a__x").is_some());
        let other = Principal::with_roles("eve", Roles::new(["r", "r"]));
        assert!(Arc::ptr_eq(&seen, &catalog.seen(&first, Some(&other))), "the same roles have one view");
        assert!(Arc::ptr_eq(&catalog.snapshot(), &catalog.seen(&first, Some(&all))), "who may use everything has no view to be made");
        assert!(names(&catalog.seen(&first, None)).is_empty());
        assert!(Arc::ptr_eq(&catalog.snapshot(), &catalog.seen(&Policy::default(), Some(&one))));

        // What is not seen changes nothing for who does not see it.
        let before = seen.generations();
        catalog.apply(vec![put("a", &["x", "y", "w"])]);
        assert_eq!(catalog.seen(&first, Some(&one)).generations(), before);
        let hidden = policy(&["a__x", "b__*", "c__*"]);
        assert_eq!(catalog.seen(&hidden, Some(&one)).generations(), before, "nor does a rule about nothing");
        catalog.apply(vec![put("c", &["v"])]);
        let after = catalog.seen(&hidden, Some(&one));
        assert_eq!((names(&after), after.generations().tools), (vec!["x", "z", "v"], before.tools + 1));
        assert_eq!((after.generations().prompts, after.generations().resources), (before.prompts, before.resources));
        let less = catalog.seen(&policy(&["a__x"]), Some(&one));
        assert_eq!((names(&less), less.generations().tools), (vec!["x"], before.tools + 2));
        // With no policy any more the lists are others too.
        assert_ne!(catalog.seen(&Policy::default(), Some(&one)).generations(), less.generations());
    }

    #[test]
    fn a_thousand_roles_and_ten_thousand_tools_cost_a_call_one_look() {
        let catalog = Catalog::new();
        let tools: Vec<String> = (0..100).map(|tool| format!("tool_{tool}")).collect();
        let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
        catalog.apply((0..100).map(|provider| put(&format!("server{provider}"), &tools)).collect());
        let role = |number: usize| Role {
            name: format!("role{number}"),
            tools: vec![format!("server{}__tool_{}", number % 100, number / 10), "server7__*_5".to_owned()],
            deny: vec![format!("server{}__*", (number + 1) % 100)],
            ..Role::default()
        };
        let policy = Policy::new((0..1_000).map(role).collect(), Roles::default(), HashMap::new());
        let callers = |number: usize| {
            let roles: Vec<String> = (0..20).map(|more| format!("role{}", (number * 37 + more * 101) % 1_000)).collect();
            Principal::with_roles("ann", Roles::new(roles.iter().map(String::as_str)))
        };
        let first: Vec<Seen> = (0..10).map(|number| catalog.seen(&policy, Some(&callers(number)))).collect();
        for (number, seen) in first.iter().enumerate() {
            assert!((1..30).contains(&seen.tools().len()), "{}", seen.tools().len());
            // Nothing is decided again: it is the same view.
            assert!(Arc::ptr_eq(seen, &catalog.seen(&policy, Some(&callers(number)))));
        }
    }

    #[test]
    fn a_view_holds_back_nothing_of_a_catalog_that_is_out_of_date() {
        let catalog = Catalog::new();
        let ProviderChange::Put(provider) = put("a", &["x"]) else { panic!("a provider") };
        let gone = Arc::downgrade(&provider);
        catalog.apply(vec![ProviderChange::Put(provider)]);
        let (policy, ann) = (policy(&["*"]), Principal::with_roles("ann", Roles::new(["r"])));
        assert_eq!(names(&catalog.seen(&policy, Some(&ann))), ["x"]);
        catalog.apply(vec![ProviderChange::Remove(ProviderId::new("a").unwrap())]);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn as_many_sets_of_roles_as_there_may_be_do_not_grow_the_table_for_ever() {
        let catalog = Catalog::new();
        catalog.apply(vec![put("a", &["x"])]);
        let policy = policy(&["*"]);
        let seen =
            |number: usize| catalog.seen(&policy, Some(&Principal::with_roles("x", Roles::new([format!("{number}").as_str(), "r"]))));
        let first = seen(0).generations();
        for number in 1..=MOST {
            seen(number);
        }
        assert!(catalog.kept.views.load().len() <= MOST);
        assert_ne!(seen(0).generations(), first, "who saw a view that was dropped is told of the next");
    }
}
