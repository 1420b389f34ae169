//! Calls that lead to each other: how deep, how many, and whether they go in a circle.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::provider::MAX_DEPTH;

/// Calls that one call of a client may lead to in all: what a loop without end makes in a second or two.
const CALLS: u32 = 10_000;

/// One call of a tool that can call others, and what led to it.
pub(super) struct Link {
    above: Option<Arc<Self>>,
    id: u64,
    depth: u32,
    /// The provider, and its own name of the tool.
    provider: Box<str>,
    own: Box<str>,
    /// As it is published.
    shown: Box<str>,
    arguments: u64,
    /// Calls that the client's one has led to.
    made: Arc<AtomicU32>,
}

/// What is called, with what.
pub(super) struct Target<'a> {
    pub(super) provider: &'a str,
    pub(super) own: &'a str,
    pub(super) shown: &'a str,
    pub(super) arguments: &'a str,
}

impl Link {
    /// A call of this id, made by `above`.
    pub(super) fn new(above: Option<&Arc<Self>>, id: u64, target: &Target<'_>) -> Arc<Self> {
        Arc::new(Self {
            above: above.cloned(),
            id,
            depth: above.map_or(0, |above| above.depth + 1),
            provider: target.provider.into(),
            own: target.own.into(),
            shown: target.shown.into(),
            arguments: print(target.arguments),
            made: above.map(|above| Arc::clone(&above.made)).unwrap_or_default(),
        })
    }

    /// The log's id of it.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// How deep the calls are that it makes.
    pub(super) fn below(&self) -> u32 {
        self.depth + 1
    }

    /// Counts a call that it makes, if it may make it.
    ///
    /// # Errors
    ///
    /// Why not, with the chain.
    pub(super) fn admit(&self, next: &Target<'_>) -> Result<(), String> {
        let arguments = print(next.arguments);
        // A tool may call itself with something else: it gets to an end then. The same call made again and again does not.
        let is_same = |link: &&Self| link.arguments == arguments && *link.provider == *next.provider && *link.own == *next.own;
        if self.upwards().any(|link| is_same(&link)) {
            return Err(format!("calls go in a circle, with the same arguments: {}", self.chain(next.shown)));
        }
        if self.below() > MAX_DEPTH {
            return Err(format!("calls lead to each other more than {MAX_DEPTH} deep: {}", self.chain(next.shown)));
        }
        if self.made.fetch_add(1, Ordering::Relaxed) >= CALLS {
            return Err(format!("one call may lead to {CALLS} others at most, and this is one more: {}", self.chain(next.shown)));
        }
        Ok(())
    }

    /// Names of all calls that led to `next`, the first one first.
    fn chain(&self, next: &str) -> String {
        let mut names: Vec<&str> = self.upwards().map(|link| &*link.shown).collect();
        names.reverse();
        names.push(next);
        names.join(" -> ")
    }

    fn upwards(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |link| link.above.as_deref())
    }
}

fn print(arguments: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target<'a>(own: &'a str, arguments: &'a str) -> Target<'a> {
        Target { provider: "p", own, shown: own, arguments }
    }

    #[test]
    fn a_circle_is_told_with_the_whole_chain() {
        let a = Link::new(None, 1, &target("a", "{}"));
        let b = Link::new(Some(&a), 2, &target("b", "{\"n\":1}"));
        assert_eq!(b.admit(&target("a", "{}")).unwrap_err(), "calls go in a circle, with the same arguments: a -> b -> a");
        assert_eq!(b.admit(&target("b", "{\"n\":1}")).unwrap_err(), "calls go in a circle, with the same arguments: a -> b -> b");
        b.admit(&target("a", "{\"n\":2}")).unwrap();
        b.admit(&Target { provider: "q", ..target("a", "{}") }).unwrap();
    }

    #[test]
    fn a_recursion_ends_at_the_depth() {
        let mut link = Link::new(None, 0, &target("a", "0"));
        for n in 1..=u64::from(MAX_DEPTH) {
            let arguments = n.to_string();
            link.admit(&target("a", &arguments)).unwrap();
            link = Link::new(Some(&link), n, &target("a", &arguments));
        }
        let error = link.admit(&target("a", "-1")).unwrap_err();
        assert!(error.starts_with("calls lead to each other more than 8 deep: a -> a -> "), "{error}");
    }

    #[test]
    fn a_loop_ends_at_the_count_wherever_in_the_chain_it_is() {
        let a = Link::new(None, 1, &target("a", "{}"));
        let b = Link::new(Some(&a), 2, &target("b", "{}"));
        for _ in 0..CALLS / 2 {
            a.admit(&target("c", "{}")).unwrap();
            b.admit(&target("c", "{}")).unwrap();
        }
        assert!(a.admit(&target("c", "{}")).is_err() && b.admit(&target("c", "{}")).is_err());
    }
}
