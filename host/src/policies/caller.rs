//! Who calls, as policies see it.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entity, EntityUid, RestrictedExpression};
use serde_json::{Map, Value};

use super::{
    declared::Declared,
    item::{Types, uid},
};
use crate::provider::Roles;

/// Who calls, by this host's authentication.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Its name. None: callers have no names.
    pub subject: Option<&'a str>,
    /// The name of the issuer of its token. None: its token is a static one, or it has none.
    pub issuer: Option<&'a str>,
    /// The scopes of its token.
    pub scopes: &'a [String],
    /// Claims of its token that were chosen.
    pub claims: &'a Map<String, Value>,
    /// Its roles.
    pub roles: &'a Roles,
}

/// What the decisions on callers depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) roles: Roles,
    pub(super) facts: Option<[u8; 32]>,
}

/// What policies read of a caller, beside its roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) subject: bool,
    pub(super) issuer: bool,
    pub(super) scopes: bool,
    pub(super) claims: bool,
}

impl Reads {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            subject: self.subject || other.subject,
            issuer: self.issuer || other.issuer,
            scopes: self.scopes || other.scopes,
            claims: self.claims || other.claims,
        }
    }

    /// Digest of what is read. None: nothing is.
    pub(super) fn facts(self, caller: &Caller<'_>, declared: &Declared) -> Option<[u8; 32]> {
        if self == Self::default() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            // With its length, so that no two lists of texts are one.
            hasher.update(&text.len().to_le_bytes()).update(text.as_bytes());
        };
        if self.subject {
            add(caller.subject.unwrap_or_default());
        }
        if self.issuer {
            add(caller.issuer.unwrap_or_default());
        }
        if self.scopes {
            let mut scopes: Vec<&str> = caller.scopes.iter().map(String::as_str).collect();
            scopes.sort_unstable();
            scopes.dedup();
            add(&scopes.len().to_string());
            scopes.into_iter().for_each(&mut add);
        }
        if self.claims {
            for name in declared.claims.keys() {
                add(&caller.claims.get(name).map(Value::to_string).unwrap_or_default());
            }
        }
        for role in caller.roles.iter() {
            add(role);
        }
        Some(*hasher.finalize().as_bytes())
    }
}

impl Caller<'_> {
    pub(super) fn uid(&self, types: &Types) -> EntityUid {
        uid(&types.caller, self.subject.unwrap_or_default())
    }

    /// It and its roles.
    pub(super) fn entities(&self, types: &Types, declared: &Declared) -> Option<Vec<Entity>> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut attributes = HashMap::new();
        attributes.extend(self.subject.map(|subject| ("subject".to_owned(), text(subject))));
        attributes.extend(self.issuer.map(|issuer| ("issuer".to_owned(), text(issuer))));
        attributes.insert("scopes".to_owned(), RestrictedExpression::new_set(self.scopes.iter().map(|scope| text(scope))));
        // A claim of another type than was declared is as if it were absent: the issuer says it, and nobody who calls.
        let claims = declared.claims.iter().filter_map(|(name, kind)| Some((name.clone(), kind.of(self.claims.get(name)?).ok()??)));
        attributes.insert("claims".to_owned(), RestrictedExpression::new_record(claims.collect::<Vec<_>>()).ok()?);
        let roles: HashSet<EntityUid> = self.roles.iter().map(|role| uid(&types.role, role)).collect();
        let mut all: Vec<Entity> = roles.iter().cloned().map(Entity::with_uid).collect();
        all.push(Entity::new(self.uid(types), attributes, roles).ok()?);
        Some(all)
    }
}
