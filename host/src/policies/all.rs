//! All policies of a configuration, and what is kept of them for each caller.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    bound::Bound,
    caller::{Caller, Key, Reads},
    item::Action,
    set::Set,
};

/// Callers for whom policies are kept as far as they are about them.
const MOST: usize = 1024;

/// All policies of a configuration.
pub struct Policies {
    pub(super) set: Arc<Set>,
    /// What any of them reads of a caller, beside its roles.
    pub(super) reads: Reads,
    /// Whether any of them reads where the caller is.
    pub(super) reads_address: bool,
    /// Of the files and of what was declared.
    pub(super) print: blake3::Hash,
    pub(super) warnings: Vec<String>,
    pub(super) bound: Mutex<HashMap<Key, Arc<Bound>>>,
}

impl Policies {
    /// What its operator should know of them, in sentences.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many there are, beside the host's own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.rules.iter().filter(|rule| !rule.is_own).count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Digest of what decisions depend on of a caller beside its roles. None: they depend on its roles alone, so that all callers with the same roles may do
    /// the same.
    #[must_use]
    pub fn facts(&self, caller: &Caller<'_>) -> Option<[u8; 32]> {
        self.reads.facts(caller, &self.set.declared)
    }

    /// Whether some policy on this action depends on the call: on its arguments, or the time.
    #[must_use]
    pub fn asks_each(&self, action: Action, server: &str) -> bool {
        self.set.rules.iter().any(|rule| rule.is_of_call() && rule.is_about(action) && rule.resource.may_be_of(action.kind(), server))
    }

    /// Whether some policy depends on where the caller is.
    #[must_use]
    pub fn reads_address(&self) -> bool {
        self.reads_address
    }

    /// The policies as far as they are about a caller.
    #[must_use]
    pub fn bind(&self, caller: &Caller<'_>) -> Arc<Bound> {
        let key = Key { roles: caller.roles.clone(), facts: self.facts(caller) };
        let mut all = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&key) {
            return Arc::clone(known);
        }
        if all.len() >= MOST {
            all.clear();
        }
        let bound = Arc::new(Bound::new(&self.set, caller));
        all.insert(key, Arc::clone(&bound));
        bound
    }

    /// Roles and servers that they name, with the policy that does.
    pub fn named(&self) -> impl Iterator<Item = (&str, &'static str, String)> {
        self.set
            .rules
            .iter()
            .filter(|rule| !rule.is_own)
            .flat_map(|rule| rule.named().into_iter().map(|(kind, name)| (&*rule.id, kind, name)))
    }
}

impl PartialEq for Policies {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Policies {}

/// Told apart by their texts, which may name people.
impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({} {})", self.len(), self.print.to_hex())
    }
}
