//! Why a name is not in a part of a snapshot, for the operator: it is hidden from this caller, or nowhere.
//!
//! A caller is told the same of both, and waits as long for it: a name that is nowhere is judged as one that is hidden, so that what
//! roles and policies cost shows in the time of both answers or of none.

use std::hint::black_box;

use super::{Snapshot, Why, stand_ins::stand_in};

/// Why a name is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is there, and by this it is hidden from the caller.
    Hidden(Why),
    /// It is nowhere.
    Nowhere,
}

impl Snapshot {
    /// Why there is no such tool here. None: nothing is hidden from anybody here.
    #[must_use]
    pub fn lacks_tool(&self, name: &str) -> Option<Lack> {
        let part = self.by_roles()?;
        let (stand_in, entry) = (stand_in(&part.hidden.tools, name), part.whole.resolve(name));
        let why = part.access.tool(entry.or(stand_in)?);
        Some(lack(entry.is_some(), why))
    }

    /// The same about a prompt.
    #[must_use]
    pub fn lacks_prompt(&self, name: &str) -> Option<Lack> {
        let part = self.by_roles()?;
        let (stand_in, entry) = (stand_in(&part.hidden.prompts, name), part.whole.prompt(name));
        let judged = entry.or(stand_in)?;
        let why = part.access.prompt(judged.provider().id().as_str(), judged.own_name(), judged.name());
        Some(lack(entry.is_some(), why))
    }

    /// The same about a resource.
    #[must_use]
    pub fn lacks_resource(&self, uri: &str) -> Option<Lack> {
        let part = self.by_roles()?;
        let (stand_in, entry) = (stand_in(&part.hidden.resources, uri), part.whole.resource(uri));
        let (judged, address) = match (entry, stand_in) {
            (Some(entry), _) => (entry, uri),
            (None, Some(other)) => (other, other.uri()),
            (None, None) => return None,
        };
        if entry.is_none() && part.access.has_policies() {
            // One that is there was judged when it was looked for: see `Snapshot::resource`.
            black_box(part.reads(judged, address));
        }
        if entry.is_some_and(|entry| entry.uri() == uri) {
            // One that is nowhere was held against all templates.
            black_box(part.whole.resources.matching(uri, |_| true));
        }
        let why = part.access.resource(judged.provider().id().as_str(), judged.own_uri(address));
        Some(lack(entry.is_some(), why))
    }
}

fn lack(is_there: bool, why: Why) -> Lack {
    let why = black_box(why);
    if is_there && !why.is_allowed() { Lack::Hidden(why) } else { Lack::Nowhere }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        catalog::{Catalog, Policy, Role, tests::put},
        provider::{Principal, Roles},
    };

    #[test]
    fn a_name_that_is_nowhere_is_judged_as_one_that_is_hidden() {
        let catalog = Catalog::new();
        let names: Vec<String> = (0..500).map(|n| format!("tool_{n}")).collect();
        catalog.apply(vec![put("shown", &["a", "b"]), put("hidden", &names.iter().map(String::as_str).collect::<Vec<_>>())]);
        let role = Role { name: "some".to_owned(), servers: vec!["shown".to_owned()], ..Role::default() };
        let policy = Policy::new(vec![role], Roles::default(), HashMap::new());
        let ann = Principal::with_roles("ann", Roles::new(["some"]));
        let seen = catalog.seen(&policy, Some(&ann));
        assert_eq!(seen.lacks_tool("tool_7"), Some(Lack::Hidden(Why::NotNamed)));
        assert_eq!(seen.lacks_tool("tool_x"), Some(Lack::Nowhere));
        // There is something to judge for each.
        let part = seen.by_roles().unwrap();
        assert!(part.hidden.tools.iter().all(|entry| entry.provider().id().as_str() == "hidden"));
        assert!(stand_in(&part.hidden.tools, "tool_x").is_some());
        // Where nothing is hidden there is nothing to be told of.
        assert_eq!(seen.lacks_prompt("x"), None);
        let all = Policy::new(
            vec![Role { name: "all".to_owned(), servers: vec!["*".to_owned()], ..Role::default() }],
            Roles::default(),
            HashMap::new(),
        );
        let bob = Principal::with_roles("bob", Roles::new(["all"]));
        assert_eq!(catalog.seen(&all, Some(&bob)).lacks_tool("tool_x"), None);
        assert_eq!(catalog.seen(&Policy::default(), None).lacks_tool("tool_x"), None);
    }
}
