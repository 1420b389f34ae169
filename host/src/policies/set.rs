//! All policies, each by itself, and what they are asked with.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::Entities;

use super::{declared::Declared, item::Types, rule::Rule};

/// All policies, and what they are asked with.
pub(super) struct Set {
    pub(super) rules: Vec<Rule>,
    /// Where in `rules` each is, by its id.
    pub(super) places: HashMap<Arc<str>, usize>,
    pub(super) declared: Declared,
    pub(super) types: Types,
    /// The actions of the schema, and which are in which.
    pub(super) actions: Entities,
}
