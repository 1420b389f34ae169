//! Tools that an operator has disabled while the host runs: nobody can list or call them until they are enabled, or the host restarts.
//!
//! It goes by the provider and its own name for the tool, so a new version of a plugin, or a server that starts again, has the same tools disabled.

use std::collections::{BTreeMap, BTreeSet};

use super::Entry;
use crate::provider::ProviderId;

/// Tools by provider and own name.
#[derive(Clone, Default)]
pub(super) struct Disabled(BTreeMap<ProviderId, BTreeSet<Box<str>>>);

impl Disabled {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, entry: &Entry) -> bool {
        self.0.get(entry.provider().id()).is_some_and(|tools| tools.contains(entry.own_name()))
    }

    /// Whether it was otherwise before.
    pub(super) fn set(&mut self, provider: &ProviderId, tool: &str, disabled: bool) -> bool {
        if disabled {
            return self.0.entry(provider.clone()).or_default().insert(tool.into());
        }
        let Some(tools) = self.0.get_mut(provider) else { return false };
        let was = tools.remove(tool);
        if tools.is_empty() {
            self.0.remove(provider);
        }
        was
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use crate::{
        catalog::{Catalog, Choice, Policy, Role, tests::put},
        provider::{ProviderId, Roles},
    };

    fn names(catalog: &Catalog) -> Vec<String> {
        catalog.snapshot().tools().map(|entry| entry.name().to_owned()).collect()
    }

    #[test]
    fn a_disabled_tool_is_nowhere_and_comes_back_under_its_name() {
        let catalog = Catalog::new();
        catalog.apply(vec![put("a", &["add", "same"]), put("b", &["same"])]);
        catalog.settle();
        let (view, changes) = (catalog.view("a").unwrap(), catalog.changes());
        let all = Role { name: "all".to_owned(), servers: vec!["*".to_owned()], ..Role::default() };
        let access = Arc::new(Policy::new(vec![all], Roles::default(), HashMap::new()).access(&Roles::new(["all"])));
        let chosen = catalog.choose(Choice { endpoint: ProviderId::new("some").unwrap(), access, search: false });
        assert_eq!(names(&catalog), ["add", "a__same", "b__same"]);
        assert_eq!(catalog.disable("a", "same", true), Some(true));
        assert!(changes.has_changed().unwrap(), "clients that listen are told");
        assert_eq!(names(&catalog), ["add", "b__same"], "no other tool takes its name");
        let snapshot = Arc::clone(&catalog.snapshot());
        assert!(snapshot.resolve("a__same").is_none());
        assert_eq!(snapshot.disabled().iter().map(|entry| entry.name()).collect::<Vec<_>>(), ["a__same"]);
        assert_eq!((names(&view), names(&chosen)), (vec!["add".to_owned()], vec!["add".to_owned(), "b__same".into()]));
        // A new version of the plugin, and a view that is opened later.
        catalog.apply(vec![put("a", &["add", "same", "more"])]);
        drop(view);
        let view = catalog.view("a").unwrap();
        assert_eq!(
            (names(&catalog), names(&view)),
            (vec!["add".to_owned(), "more".into(), "b__same".into()], vec!["add".into(), "more".into()])
        );
        assert_eq!(catalog.disable("a", "same", true), Some(false));
        assert_eq!(catalog.disable("a", "same", false), Some(true));
        assert_eq!(names(&catalog), ["add", "a__same", "more", "b__same"]);
        assert_eq!(names(&view), ["add", "same", "more"]);
        assert_eq!(names(&chosen), names(&catalog));
        assert_eq!((catalog.disable("a", "none", true), catalog.disable("none", "add", true)), (None, None));
    }

    #[test]
    fn who_holds_a_name_holds_it_while_disabled() {
        let catalog = Catalog::new();
        catalog.apply(vec![put("b", &["x"])]);
        catalog.settle();
        catalog.disable("b", "x", true);
        catalog.apply(vec![put("a", &["x"])]);
        assert_eq!(names(&catalog), ["a__x"]);
        catalog.disable("b", "x", false);
        assert_eq!(names(&catalog), ["a__x", "x"]);
    }
}
